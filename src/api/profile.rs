//! `EncryptionProfile`: a key, or a Recovery Kit of several.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{OBJECT_NAME, ONE_LINE, SecretKeySelector, exactly_one_of};

/// A key that opens backups: one of `aes256Gcm`, `age`, `recoveryKit`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "reinstate.dev",
    version = "v1alpha1",
    kind = "EncryptionProfile",
    plural = "encryptionprofiles",
    category = "reinstate",
    namespaced,
    derive = "PartialEq",
    doc = "A key that opens backups, or a Recovery Kit of several; the value stays in its Secret.",
    printcolumn(name = "Id", type_ = "string", json_path = ".spec.id"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = exactly_one_of(&["aes256Gcm", "age", "recoveryKit"]),
    validation = Rule::new("!has(self.recoveryKit) || !has(self.id)")
        .message("a Recovery Kit brings the ids of its keys: remove id")
        .field_path(".id")
)]
pub struct EncryptionProfileSpec {
    /// The profile's id as backups know it; only a help to try the right key first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub id: Option<String>,
    /// An AES-256 key as 64 hexadecimal digits, as DBackup uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aes256_gcm: Option<Aes256Gcm>,
    /// A key of age: an identity or a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Age>,
    /// All keys of a DBackup Recovery Kit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_kit: Option<RecoveryKit>,
}

/// An AES-256 key.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Aes256Gcm {
    /// The key as 64 hexadecimal digits.
    pub secret_key_ref: SecretKeySelector,
}

/// A key of age: exactly one of the two.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one_of(&["identitySecretKeyRef", "passphraseSecretKeyRef"]))]
pub struct Age {
    /// An X25519 identity: a file with AGE-SECRET-KEY-1….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_secret_key_ref: Option<SecretKeySelector>,
    /// A passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_secret_key_ref: Option<SecretKeySelector>,
}

/// A Recovery Kit as a Secret: its `master.key`, or its `keys.json` and `*.key` files.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryKit {
    /// Name of the Secret whose keys are the kit's files, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub secret_name: String,
}

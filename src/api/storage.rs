//! `BackupStorage`: a storage destination.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{OBJECT_NAME, ONE_LINE, SecretKeySelector, exactly_one_of, relative_path};

/// Where backups are stored: one of `s3`, `volume`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "reinstate.dev",
    version = "v1alpha1",
    kind = "BackupStorage",
    plural = "backupstorages",
    category = "reinstate",
    namespaced,
    derive = "PartialEq",
    doc = "A storage destination: where backups are stored.",
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.s3.bucket"),
    printcolumn(name = "Claim", type_ = "string", json_path = ".spec.volume.claimName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one_of(&["s3", "volume"]))]
pub struct BackupStorageSpec {
    /// An S3 bucket, at AWS or anything else that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Storage>,
    /// A folder of a `PersistentVolumeClaim`. `reinstate run --claim NAME=DIR` gives the claim a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStorage>,
}

/// An S3 bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct S3Storage {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub bucket: String,
    /// Folder in the bucket below which all backups lie; paths are relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = ONE_LINE))]
    #[x_kube(validation = relative_path())]
    pub prefix: Option<String>,
    /// URL of the endpoint; absent: AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"))]
    pub endpoint: Option<String>,
    /// Region; absent: that of the environment, else us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]*$"))]
    pub region: Option<String>,
    /// The bucket in the path of the URL instead of in its host name. MinIO and its like need it.
    #[serde(default)]
    pub force_path_style: bool,
    /// Access keys; absent: AWS's default chain, which on a cluster is the pod's web identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<S3Credentials>,
    /// How the endpoint's certificate is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<S3Tls>,
}

/// Access keys of S3.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct S3Credentials {
    /// The access key id.
    pub access_key_id_secret_key_ref: SecretKeySelector,
    /// The secret access key.
    pub secret_access_key_secret_key_ref: SecretKeySelector,
    /// The session token of temporary keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_secret_key_ref: Option<SecretKeySelector>,
}

/// How the endpoint's certificate is verified.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct S3Tls {
    /// PEM of the CA to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_key_ref: Option<SecretKeySelector>,
}

/// A folder of a `PersistentVolumeClaim`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStorage {
    /// Name of the `PersistentVolumeClaim`, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub claim_name: String,
    /// Folder in the volume below which all backups lie; absent: the volume's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = ONE_LINE))]
    #[x_kube(validation = relative_path())]
    pub path: Option<String>,
}

//! S3 and everything that speaks its protocol.

use crate::secret::Secret;

/// Keys written out in a Secret.
#[derive(Clone, Debug)]
pub struct S3Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token of temporary keys.
    pub session_token: Option<Secret<String>>,
}

/// A bucket and how to reach it.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    /// Bucket name.
    pub bucket: String,
    /// Path below which everything lies; empty, or ending in `/`.
    pub prefix: String,
    /// Endpoint URL; `None`: AWS.
    pub endpoint: Option<String>,
    /// Region; `None`: from the environment, else `us-east-1`.
    pub region: Option<String>,
    /// The bucket in the path instead of in the host name.
    pub force_path_style: bool,
    /// Keys; `None`: AWS's default chain (environment, profile, web identity, container, instance).
    pub credentials: Option<S3Credentials>,
    /// PEM of the CA to trust instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
}

/// An S3 bucket below a prefix.
pub struct S3;

//! Buckets that pods reach, and the objects that make one known to Reinstate.

use std::sync::OnceLock;

use super::{Namespace, cluster};
use crate::parts::minio::{Bucket, Minio};
use crate::parts::{Server, server_folder};

/// A new bucket, at an address that pods reach, under TLS with the cluster's own CA.
pub(crate) fn bucket() -> Bucket {
    static MINIO: OnceLock<Minio> = OnceLock::new();
    static SERVER: OnceLock<Server> = OnceLock::new();
    let cluster = cluster();
    let minio = MINIO.get_or_init(|| {
        let (host, pki) = (cluster.host(), cluster.certificates());
        // Beside the own cluster it runs already.
        if cluster.folder.is_none() {
            let (script, folder) =
                (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/minio.sh"), server_folder("minio"));
            SERVER.get_or_init(|| {
                cluster.serve(script.as_ref(), &folder.join("log"), |command| {
                    command.arg(&folder).arg(&host).arg(&pki);
                })
            });
        }
        Minio::running(&host, 9000, std::fs::read(pki.join("ca.crt")).unwrap())
    });
    minio.bucket()
}

impl Namespace {
    /// Makes the bucket the `BackupStorage` of this name, with its Secret of the same name.
    pub(crate) fn storage(&self, name: &str, bucket: &Bucket) {
        let options = bucket.options();
        let ca = String::from_utf8(options.ca_pem.unwrap()).unwrap();
        let keys = options.credentials.unwrap();
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"id": keys.access_key_id, "secret": keys.secret_access_key.expose(), "ca.crt": ca},
        });
        self.apply(&secret.to_string());
        self.apply(&format!(
            "
apiVersion: reinstate.dev/v1alpha1
kind: BackupStorage
metadata: {{name: {name}}}
spec:
  s3:
    bucket: {bucket}
    endpoint: {endpoint}
    region: us-east-1
    forcePathStyle: true
    credentials:
      accessKeyIdSecretKeyRef: {{name: {name}, key: id}}
      secretAccessKeySecretKeyRef: {{name: {name}, key: secret}}
    tls: {{caSecretKeyRef: {{name: {name}, key: ca.crt}}}}
",
            bucket = bucket.name,
            endpoint = options.endpoint.unwrap()
        ));
    }
}

//! MinIO: one server with TLS under a CA of its own, one without TLS for the tampering proxy.

use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use futures_util::{StreamExt, stream};
use reinstate::runner::source::{S3, S3Credentials, S3Options};
use reinstate::secret::Secret;
use tokio::runtime::Runtime;

use super::{Server, free_port, installed, server_folder, start, tied, wait_until};

pub(crate) const KEY_ID: &str = "test-only-key-id";
pub(crate) const SECRET: &str = "test-only-secret-key";

/// A running MinIO.
pub(crate) struct Minio {
    /// `None`: somebody else holds it.
    _server: Option<Server>,
    pub(crate) port: u16,
    pub(crate) endpoint: String,
    /// The CA of its certificate; `None` without TLS.
    pub(crate) ca: Option<Vec<u8>>,
    /// Id and secret of the key that may do everything.
    keys: (String, String),
    admin: Client,
}

/// A bucket of one test.
pub(crate) struct Bucket {
    minio: &'static Minio,
    pub(crate) name: String,
}

/// The server with TLS.
pub(crate) fn minio() -> &'static Minio {
    static MINIO: OnceLock<Minio> = OnceLock::new();
    MINIO.get_or_init(|| Minio::start("minio-tls", true))
}

/// The server without TLS.
pub(crate) fn plain_minio() -> &'static Minio {
    static MINIO: OnceLock<Minio> = OnceLock::new();
    MINIO.get_or_init(|| Minio::start("minio-plain", false))
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap()).block_on(work)
}

impl Minio {
    fn start(name: &str, tls: bool) -> Self {
        let (folder, port) = (server_folder(name), free_port());
        let certificates = folder.join("certs");
        std::fs::create_dir_all(&certificates).unwrap();
        let ca = tls.then(|| make_certificates(&certificates));
        let mut command = tied(&installed("minio"));
        command
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}"), "--certs-dir"])
            .arg(&certificates)
            .arg(folder.join("data"))
            .env("MINIO_ROOT_USER", KEY_ID)
            .env("MINIO_ROOT_PASSWORD", SECRET)
            .env("MINIO_SITE_REGION", "us-east-1")
            .env("MINIO_BROWSER", "off");
        let server = start(command, &folder.join("log"));
        let endpoint = format!("{}://127.0.0.1:{port}", if tls { "https" } else { "http" });
        Self::at(Some(server), endpoint, port, ca, (KEY_ID, SECRET))
    }

    /// A server that runs at `https://HOST:PORT`.
    pub(crate) fn running(host: &str, port: u16, ca: Vec<u8>) -> Self {
        Self::running_with(host, port, ca, (KEY_ID, SECRET))
    }

    /// The same with keys of its own.
    pub(crate) fn running_with(host: &str, port: u16, ca: Vec<u8>, keys: (&str, &str)) -> Self {
        Self::at(None, format!("https://{host}:{port}"), port, Some(ca), keys)
    }

    fn at(
        server: Option<Server>,
        endpoint: String,
        port: u16,
        ca: Option<Vec<u8>>,
        (id, secret): (&str, &str),
    ) -> Self {
        let admin = client(&endpoint, ca.as_deref(), (id, secret));
        wait_until("MinIO answers", || wait(admin.list_buckets().send()).is_ok());
        let keys = (id.to_owned(), secret.to_owned());
        Self { _server: server, port, endpoint, ca, keys, admin }
    }

    pub(crate) fn bucket(&'static self) -> Bucket {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // A server may outlive the process.
        let name = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        wait(self.admin.create_bucket().bucket(&name).send()).unwrap();
        Bucket { minio: self, name }
    }

    /// A bucket that keeps every version of its objects.
    pub(crate) fn versioned_bucket(&'static self) -> Bucket {
        let bucket = self.bucket();
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.admin.put_bucket_versioning().bucket(&bucket.name);
        wait(request.versioning_configuration(enabled).send()).unwrap();
        bucket
    }
}

impl Bucket {
    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        let request = self.minio.admin.put_object().bucket(&self.name).key(key);
        wait(request.body(content.to_vec().into()).send()).unwrap();
    }

    /// Many small objects at once.
    pub(crate) fn put_all(&self, keys: &[String]) {
        wait(
            stream::iter(keys)
                .map(|key| self.minio.admin.put_object().bucket(&self.name).key(key).send())
                .buffer_unordered(16)
                .for_each(async |result| {
                    result.unwrap();
                }),
        );
    }

    pub(crate) fn delete(&self, key: &str) {
        wait(self.minio.admin.delete_object().bucket(&self.name).key(key).send()).unwrap();
    }

    /// How Reinstate reaches this bucket.
    pub(crate) fn options(&self) -> S3Options {
        S3Options {
            bucket: self.name.clone(),
            endpoint: Some(self.minio.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            force_path_style: true,
            credentials: Some(credentials(&self.minio.keys.0, &self.minio.keys.1)),
            ca_pem: self.minio.ca.clone(),
            ..S3Options::default()
        }
    }

    pub(crate) fn store(&self) -> S3 {
        S3::connect(self.options()).unwrap()
    }
}

pub(crate) fn credentials(id: &str, secret: &str) -> S3Credentials {
    S3Credentials {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(secret.to_owned()),
        session_token: None,
    }
}

fn client(endpoint: &str, ca: Option<&[u8]>, (id, secret): (&str, &str)) -> Client {
    let mut trust = TrustStore::empty();
    if let Some(ca) = ca {
        trust = trust.with_pem_certificate(ca);
    }
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trust).build().unwrap())
        .build_https();
    Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .force_path_style(true)
            .credentials_provider(Credentials::new(id, secret, None, None, "test"))
            .http_client(http)
            .build(),
    )
}

/// A CA and a server certificate for the loopback interface in `folder`; the CA as PEM.
pub(crate) fn make_certificates(folder: &Path) -> Vec<u8> {
    let ca = make_ca(folder);
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    openssl(
        folder,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout private.key -out request",
    );
    openssl(
        folder,
        "x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out public.crt",
    );
    ca
}

/// A CA of its own, which nobody trusts yet.
pub(crate) fn make_ca(folder: &Path) -> Vec<u8> {
    openssl(
        folder,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=test-only-ca -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt",
    );
    std::fs::read(folder.join("ca.crt")).unwrap()
}

pub(crate) fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

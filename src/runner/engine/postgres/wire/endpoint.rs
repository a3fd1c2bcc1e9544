//! Where a server is, how the way there is secured, and who logs in.

use std::time::Duration;

use crate::secret::Secret;

/// How much of the server's identity is verified; the modes of a `DatabaseConnection`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Encrypted, the certificate and the host name in it verified.
    #[default]
    VerifyFull,
    /// Encrypted, the certificate verified, not its name.
    VerifyCa,
    /// Encrypted, nothing verified.
    Require,
    /// Plain text on the network.
    Disable,
}

/// The certificate with which the client shows who it is.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// PEM: the certificate, then those up to its CA.
    pub certificate_pem: Vec<u8>,
    /// PEM: its private key, PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key_pem: Secret<Vec<u8>>,
}

/// TLS of a connection. There is no mode that falls back to plain text.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// What is verified.
    pub mode: TlsMode,
    /// PEM of the CAs to trust; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The client's own certificate, where the server asks for one.
    pub client: Option<ClientCertificate>,
}

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a session as a whole: name lookup, TCP, TLS, login.
    pub open: Duration,
    /// Longest time in which an awaited answer brings no byte and takes none, unless the server says over
    /// another session that it works for this one; `None`: no limit.
    pub silence: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { open: Duration::from_secs(30), silence: None }
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name or address; a name is also what the certificate must hold.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the way there is secured.
    pub tls: Tls,
    /// How long it may take.
    pub timeouts: Timeouts,
}

impl Endpoint {
    /// `host:port`, for messages.
    pub(super) fn name(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Who logs in, and with which settings the session begins.
#[derive(Clone, Debug)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password; empty: none.
    pub password: Secret<String>,
    /// The database.
    pub database: String,
    /// Settings of the session by name. `client_encoding` is `UTF8` and `application_name` is
    /// `reinstate` unless they stand here.
    pub options: Vec<(String, String)>,
}

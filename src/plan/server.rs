//! A database server, as an engine has to reach it: names of Secrets, never their values.

use serde::{Deserialize, Serialize};

use super::{ObjectParts, Roles, SecretKey, TlsMode};

/// A database server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTarget {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database to connect to while others are created, renamed or dropped.
    pub maintenance_database: String,
    /// The login that restores.
    pub credentials: Login,
    /// The login that creates, renames and drops databases; absent: the same.
    pub privileged_credentials: Option<Login>,
    /// `credentials` may be those of a superuser.
    #[serde(default)]
    pub allow_superuser: bool,
    /// How the server is verified.
    pub tls: ServerTls,
    /// The identity that the server must have.
    pub expect_identity: Option<String>,
    /// Who owns what is restored, and who may use it.
    #[serde(default)]
    pub roles: Roles,
    /// Which kinds of objects are restored.
    #[serde(default)]
    pub objects: ObjectParts,
}

/// Databases that every PostgreSQL server has.
const TEMPLATES: [&str; 2] = ["template0", "template1"];

impl ServerTarget {
    /// Whether a database of this name is the server's own, or the one that runs work from.
    pub fn keeps(&self, database: &str) -> bool {
        TEMPLATES.contains(&database) || database == self.maintenance_database
    }

    /// The Secrets that it names.
    pub fn secrets(&self) -> Vec<&str> {
        let logins = [Some(&self.credentials), self.privileged_credentials.as_ref()];
        let keys = logins.into_iter().flatten().flat_map(|login| [&login.username, &login.password]);
        let keys = keys.chain(&self.tls.ca).map(|key| key.secret.as_str());
        keys.chain(self.tls.client_certificate.as_deref()).collect()
    }
}

/// A login of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub username: SecretKey,
    /// The password.
    pub password: SecretKey,
}

/// How a server is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTls {
    /// What is verified.
    pub mode: TlsMode,
    /// PEM of the CA to trust instead of the system's.
    pub ca: Option<SecretKey>,
    /// Name of a Secret of type `kubernetes.io/tls` with the client's certificate and key.
    pub client_certificate: Option<String>,
}

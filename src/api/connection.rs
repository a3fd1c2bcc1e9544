//! `DatabaseConnection`: a target source, that is, a database server or file to restore to.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{OBJECT_NAME, ONE_LINE, SecretKeySelector, relative_path};

/// Database engines.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL.
    PostgreSQL,
    /// MySQL.
    MySQL,
    /// MariaDB.
    MariaDB,
    /// MongoDB.
    MongoDB,
    /// SQLite.
    SQLite,
    /// SQL Server.
    SQLServer,
}

impl Engine {
    /// The name as it stands in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PostgreSQL => "PostgreSQL",
            Self::MySQL => "MySQL",
            Self::MariaDB => "MariaDB",
            Self::MongoDB => "MongoDB",
            Self::SQLite => "SQLite",
            Self::SQLServer => "SQLServer",
        }
    }
}

/// Whether restores to a connection are allowed at all.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restores {
    /// They are.
    #[default]
    Allowed,
    /// They are refused, whatever a `DatabaseRestore` says.
    Forbidden,
}

/// A target source.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "reinstate.dev",
    version = "v1alpha1",
    kind = "DatabaseConnection",
    plural = "databaseconnections",
    category = "reinstate",
    namespaced,
    derive = "PartialEq",
    doc = "A target source: a database server, or a SQLite file, to restore to, with its guards.",
    printcolumn(name = "Engine", type_ = "string", json_path = ".spec.engine"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Restores", type_ = "string", json_path = ".spec.restores"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.engine == 'SQLite') == has(self.sqlite)")
        .message("engine SQLite needs sqlite, and no other engine may have it")
        .field_path(".sqlite"),
    validation = Rule::new("(self.engine == 'SQLite') != has(self.host)")
        .message("every engine but SQLite needs host, and SQLite has none")
        .field_path(".host"),
    validation = Rule::new("self.engine != 'SQLite' || !(has(self.port) || has(self.maintenanceDatabase) \
        || has(self.credentials) || has(self.privilegedCredentials) || has(self.tls) \
        || has(self.expectIdentity))")
        .message("SQLite is a file: port, maintenanceDatabase, credentials, privilegedCredentials, tls and \
        expectIdentity are for servers")
)]
pub struct DatabaseConnectionSpec {
    /// The engine: `PostgreSQL`, `MySQL`, `MariaDB`, `MongoDB`, `SQLite` or `SQLServer`.
    pub engine: Engine,
    /// Host name or address of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9.:_\[\]-]+$"))]
    pub host: Option<String>,
    /// Port of the server; absent: the engine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Database to connect to while others are created or dropped; absent: the engine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub maintenance_database: Option<String>,
    /// The login that restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// A stronger login, for `CREATE DATABASE` and its like only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileged_credentials: Option<Credentials>,
    /// How the connection is encrypted and the server verified; absent: `mode: VerifyFull`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `Forbidden` refuses every restore to this connection. It guards this object, not the server.
    #[serde(default)]
    pub restores: Restores,
    /// The server's own identity (`system_identifier`, `server_uuid`): another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub expect_identity: Option<String>,
    /// Whether `credentials` may be those of a superuser, with whose rights code in a backup would run.
    #[serde(default)]
    pub allow_superuser: bool,
    /// Whether a `DatabaseRestore` may bring SQL of its own (`hooks`).
    #[serde(default)]
    pub allow_hooks: bool,
    /// How many restores may run on this server at the same time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrent_restores: i32,
    /// The file, for SQLite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,
}

const fn one() -> i32 {
    1
}

/// A login.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The user's name.
    pub username_secret_key_ref: SecretKeySelector,
    /// The password.
    pub password_secret_key_ref: SecretKeySelector,
}

/// How the server is verified.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Encrypted, the certificate and its name verified.
    #[default]
    VerifyFull,
    /// Encrypted, the certificate verified, not its name.
    VerifyCa,
    /// Encrypted, nothing verified.
    Require,
    /// Plain text on the network.
    Disable,
}

/// TLS of a connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// `VerifyFull`; `VerifyCa` does not check the name, `Require` verifies nothing, `Disable` is
    /// plain text on the network.
    #[serde(default)]
    pub mode: TlsMode,
    /// PEM of the CA to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_key_ref: Option<SecretKeySelector>,
    /// Name of a Secret of type `kubernetes.io/tls` with the client's certificate and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub client_certificate_secret_name: Option<String>,
}

/// How an existing SQLite file is replaced.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplaceBy {
    /// SQLite's backup API, in one transaction.
    #[default]
    Backup,
    /// Rename over the existing file.
    Rename,
}

/// A SQLite file of a `PersistentVolumeClaim`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sqlite {
    /// Name of the `PersistentVolumeClaim`, in the same namespace. `reinstate run --claim NAME=DIR`
    /// gives the claim a folder.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub claim_name: String,
    /// Path of the database file in the volume.
    #[schemars(length(min = 1, max = 1024), regex(pattern = ONE_LINE))]
    #[x_kube(
        validation = relative_path(),
        validation = Rule::new("!self.endsWith('/')").message("must be the path of a file")
    )]
    pub path: String,
    /// User id that owns a new file and, on a cluster, runs the restore; never root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub run_as_user: Option<i64>,
    /// Group id that owns a new file and, on a cluster, runs the restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub run_as_group: Option<i64>,
    /// How an existing file is replaced. `Backup` uses SQLite's backup API in one transaction:
    /// applications that hold the file open see the old data or the new, never a mixture. `Rename`
    /// puts the new file in the place of the old: applications that hold the old file open go on
    /// reading and writing it, and what they write is silently lost. Use `Rename` only while
    /// nothing has the file open.
    #[serde(default)]
    pub replace_by: ReplaceBy,
}

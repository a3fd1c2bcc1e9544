//! Which backup is restored, and what is known of it beforehand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::{Duration, LocalRef, ONE_LINE, SHA256, exactly_one_of, relative_path};

/// The backup: a storage destination, and exactly one of `path`, `latest`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one_of(&["path", "latest"]))]
pub struct Backup {
    /// The `BackupStorage` that holds it.
    pub storage_ref: LocalRef,
    /// Path of the backup, relative to the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = ONE_LINE))]
    #[x_kube(validation = relative_path())]
    pub path: Option<String>,
    /// Takes the newest backup that fits, by the timestamp in its sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
    /// The format: `Auto` recognises it by its content, else `DBackup`, `PostgresPlain`,
    /// `PostgresArchive`, `MySQLDump`, `Mydumper`, `MongoArchive`, `SQLiteFile`, `SQLiteDump` or
    /// `SQLServerBak`.
    #[serde(default)]
    pub format: Format,
    /// The compression: `Auto` recognises it, else `None`, `Gzip`, `Brotli` or `Zstd`.
    #[serde(default)]
    pub compression: Compression,
    /// What the stored file must hash to. A DBackup sidecar brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// Lets a backup be restored that carries no proof of being whole: no tag, no checksum and no
    /// end mark.
    #[serde(default)]
    pub allow_unproven: bool,
    /// The key.
    #[serde(default)]
    pub encryption: Encryption,
}

/// Takes the newest backup that fits.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Latest {
    /// Folder, or beginning of the path, of the backups to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = ONE_LINE))]
    #[x_kube(validation = relative_path())]
    pub prefix: Option<String>,
    /// Only backups that hold this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub database: Option<String>,
    /// Only backups made at this time or before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// Fails when the newest is older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// What the stored file must hash to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Checksum {
    /// SHA-256 of the stored file, as 64 hexadecimal digits.
    #[schemars(length(min = 64, max = 64), regex(pattern = SHA256))]
    pub sha256: String,
}

/// Formats of backups.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Recognised by content, then sidecar, then name.
    #[default]
    Auto,
    /// What DBackup writes, all three generations.
    DBackup,
    /// Plain SQL of `pg_dump` or `pg_dumpall`.
    PostgresPlain,
    /// A custom, tar or directory archive of `pg_dump`.
    PostgresArchive,
    /// SQL of `mysqldump` or `mariadb-dump`.
    MySQLDump,
    /// A mydumper folder in a TAR.
    Mydumper,
    /// `mongodump --archive`.
    MongoArchive,
    /// A SQLite database file.
    SQLiteFile,
    /// SQL text of SQLite's `.dump`.
    SQLiteDump,
    /// A SQL Server backup set.
    SQLServerBak,
}

/// Compressions of backups.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Recognised by content, then sidecar, then name.
    #[default]
    Auto,
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// brotli.
    Brotli,
    /// zstd.
    Zstd,
}

/// Whether other profiles are tried.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// Every `EncryptionProfile` of the namespace is tried after the named one.
    #[default]
    Enabled,
    /// Only the named profile is tried.
    Disabled,
}

/// The key of an encrypted backup.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The `EncryptionProfile` to try first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_ref: Option<LocalRef>,
    /// `Enabled` tries every `EncryptionProfile` of the namespace (smart key recovery), `Disabled`
    /// only the named one.
    #[serde(default)]
    pub discovery: Discovery,
}

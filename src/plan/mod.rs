//! The request with every reference resolved: the one contract between those who read manifests and
//! the runner.
//!
//! A plan is complete (the runner asks nobody), versioned, and holds no secret value: only which key
//! of which Secret is meant ([`SecretKey`]), which the runner reads through a [`SecretReader`].

mod order;
mod resolve;
mod secrets;
mod server;
mod target;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::api::connection::{ReplaceBy, TlsMode};
pub use crate::api::restore::parts::{
    Kept, MissingRoles, ObjectParts, Owners, Privileges, RoleMapping, Roles,
};
pub use crate::api::restore::spec::{
    Content, Rows, Sessions, Statements, Statistics, Strategy, Switch, VersionGuard,
};
pub use crate::api::restore::{Compression, Format, Mode, OverwritePolicy};
pub use crate::api::{Duration, Engine};
pub use order::{Held, Order, Pinned, Task, pod};
pub use resolve::{Objects, Problem, namespace_of, profile_keys, refuse_locally, resolve};
pub use secrets::{MemorySecrets, SecretData, SecretError, SecretReader};
pub use server::{Login, ServerTarget, ServerTls};

/// The version of the plan that this program writes and reads.
pub const PLAN_VERSION: u32 = 1;

/// Most databases of one run: the journal's verdict has room to name each, and all are switched in one
/// transaction, which must stay short.
pub const DATABASES_LIMIT: usize = 16;

/// One run, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestorePlan {
    /// Always [`PLAN_VERSION`]; another one is refused when a plan is read.
    pub version: PlanVersion,
    /// Namespace of the request.
    pub namespace: String,
    /// Name of the request.
    pub name: String,
    /// How far the run goes.
    pub mode: Mode,
    /// The backup.
    pub backup: BackupPlan,
    /// The keys to try, in this order: the named profile first. Empty: none was named, and
    /// discovery found none or is off.
    pub keys: Vec<KeyProfile>,
    /// Where it is restored to; absent for mode Verify and for no other.
    pub target: Option<TargetPlan>,
    /// How data that the target holds is replaced.
    pub strategy: Strategy,
    /// What a person has decided about data that would be lost.
    pub overwrite: OverwritePlan,
    /// Sessions of others at the switch.
    pub sessions: Sessions,
    /// When the switch happens.
    pub switch: Switch,
    /// How long the replaced data is kept; zero: not at all.
    pub keep_previous: Duration,
    /// What happens with a backup of a newer release series.
    pub version_guard: VersionGuard,
    /// Which statements of a dump are sent.
    pub statements: Statements,
    /// Whether the planner's statistics are collected.
    pub statistics: Statistics,
    /// How rows are compared.
    pub rows: Rows,
    /// Whether the content of rows is compared.
    #[serde(default)]
    pub content: Content,
    /// Queries that must answer true before the switch; each is one statement that only reads.
    #[serde(default)]
    pub queries: Vec<TargetSql>,
    /// SQL that is run in the loaded databases before the switch.
    #[serde(default)]
    pub hooks: Vec<TargetSql>,
    /// Connections that load at the same time; absent: the number of cores, at most 8.
    pub parallelism: Option<u32>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Digest of uid and generation of the objects that the request names: part of what a
    /// confirmation is bound to. Empty where there is no cluster.
    #[serde(default)]
    pub references: String,
}

/// SQL of the manifest, and the target database that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetSql {
    /// Name of the target database.
    pub database: String,
    /// The SQL.
    pub sql: String,
}

/// The version of a plan; only [`PLAN_VERSION`] can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PlanVersion;

impl TryFrom<u32> for PlanVersion {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version == PLAN_VERSION {
            Ok(Self)
        } else {
            Err(format!("plan version {version} is not the one that this program reads, {PLAN_VERSION}"))
        }
    }
}

impl From<PlanVersion> for u32 {
    fn from(_: PlanVersion) -> Self {
        PLAN_VERSION
    }
}

/// One key of one Secret of the request's namespace; never its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// Name of the Secret.
    pub secret: String,
    /// Key in it.
    pub key: String,
}

/// The backup, and what is known of it beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupPlan {
    /// Name of the `BackupStorage`, for messages.
    pub storage_name: String,
    /// The storage destination.
    pub storage: Storage,
    /// Which backup of it.
    pub selector: Selector,
    /// The format, or `Auto`.
    pub format: Format,
    /// The compression, or `Auto`.
    pub compression: Compression,
    /// SHA-256 of the stored file in lower case, where the manifest gives it.
    pub sha256: Option<String>,
    /// Whether a backup without any proof of being whole may be restored.
    pub allow_unproven: bool,
    /// Name of the profile that the manifest names.
    pub profile: Option<String>,
    /// Whether the other keys are tried too (smart key recovery).
    pub discovery: bool,
}

/// A storage destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Storage {
    /// An S3 bucket.
    S3(Box<S3Storage>),
    /// A folder of a volume.
    Volume(VolumeStorage),
}

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Storage {
    /// Name of the bucket.
    pub bucket: String,
    /// Folder below which everything lies: empty, or ending in `/`.
    pub prefix: String,
    /// URL of the endpoint; absent: AWS.
    pub endpoint: Option<String>,
    /// Region; absent: that of the environment.
    pub region: Option<String>,
    /// The bucket in the path instead of in the host name.
    pub force_path_style: bool,
    /// Access keys; absent: AWS's default chain.
    pub credentials: Option<S3Keys>,
    /// PEM of the CA to trust instead of the system's.
    pub ca: Option<SecretKey>,
}

/// Where the access keys of a bucket are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Keys {
    /// The access key id.
    pub access_key_id: SecretKey,
    /// The secret access key.
    pub secret_access_key: SecretKey,
    /// The session token.
    pub session_token: Option<SecretKey>,
}

/// A folder of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeStorage {
    /// Name of the claim, which the caller maps to a folder.
    pub claim_name: String,
    /// Folder below it: relative, without `..`; empty: the volume's root.
    pub path: String,
}

/// Which backup of a storage destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Selector {
    /// The one at this path, relative to the storage.
    Path(String),
    /// The newest that fits.
    Latest(Latest),
}

/// The newest backup that fits, by the timestamp in its sidecar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latest {
    /// Beginning of the path, relative to the storage; empty: anywhere.
    pub prefix: String,
    /// Only backups that hold this database.
    pub database: Option<String>,
    /// Only backups made at this time or before.
    pub not_after: Option<Timestamp>,
    /// The newest must not be older than this.
    pub max_age: Option<Duration>,
}

/// A key, or a Recovery Kit of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyProfile {
    /// Name of the `EncryptionProfile`.
    pub name: String,
    /// The id that backups know it by.
    pub id: Option<String>,
    /// Where the value is.
    pub kind: KeyKind,
}

/// Kinds of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum KeyKind {
    /// 64 hexadecimal digits.
    Aes256Gcm(SecretKey),
    /// An age identity.
    AgeIdentity(SecretKey),
    /// An age passphrase.
    AgePassphrase(SecretKey),
    /// All keys of this Secret are the files of a Recovery Kit.
    #[serde(rename_all = "camelCase")]
    RecoveryKit {
        /// Name of the Secret.
        secret: String,
    },
}

/// Where a backup is restored to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetPlan {
    /// Name of the `DatabaseConnection`.
    pub connection: String,
    /// What the engine needs to know.
    pub settings: EngineSettings,
    /// The mapping. Empty: all databases of the backup under their own names; for SQLite the one that it
    /// holds, into [`SqliteTarget::path`], which is also its row's `to`.
    pub databases: Vec<DatabaseMapping>,
}

impl TargetPlan {
    /// Names the targets of a run whose manifest names none, as an earlier attempt has found them: for
    /// what is done without the backup.
    pub fn name(&mut self, found: impl IntoIterator<Item = DatabaseMapping>) {
        if self.databases.is_empty() && matches!(self.settings, EngineSettings::Postgres(_)) {
            self.databases.extend(found);
        }
    }

    /// The engine of the target.
    pub const fn engine(&self) -> Engine {
        match self.settings {
            EngineSettings::Sqlite(_) => Engine::SQLite,
            EngineSettings::Postgres(_) => Engine::PostgreSQL,
        }
    }
}

/// What an engine needs to know of its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum EngineSettings {
    /// A SQLite file.
    Sqlite(SqliteTarget),
    /// A PostgreSQL server.
    Postgres(Box<ServerTarget>),
}

/// A SQLite file of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SqliteTarget {
    /// Name of the claim, which the caller maps to a folder.
    pub claim_name: String,
    /// Path of the file below it, after the mapping: relative, without `..`. It is also the exact
    /// name that a confirmation must carry.
    pub path: String,
    /// User id that owns a new file.
    pub run_as_user: Option<u32>,
    /// Group id that owns a new file.
    pub run_as_group: Option<u32>,
    /// How an existing file is replaced.
    pub replace_by: ReplaceBy,
}

/// One row of the mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseMapping {
    /// Name in the backup.
    pub from: String,
    /// Name in the target.
    pub to: String,
}

/// What a person has decided about data that would be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverwritePlan {
    /// What happens when the target holds data.
    pub policy: OverwritePolicy,
    /// Exact names of the targets that may be replaced.
    pub confirm: Vec<String>,
    /// After this time the confirmation counts no more.
    pub confirm_until: Option<Timestamp>,
    /// The token of the plan that was confirmed.
    pub confirmed_plan: Option<String>,
    /// What a confirmation is bound to, beside the name.
    #[serde(default)]
    pub binding: Binding,
}

/// What a confirmation is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Binding {
    /// The name in the manifest is enough: it was confirmed by its review.
    #[default]
    Name,
    /// This plan was shown before the confirmation; another one now is `PlanChanged`.
    Shown(String),
    /// The object was created anew after a run: only `confirmedPlan` counts, else `AlreadyExecuted`.
    Recreated,
}

/// How long things may take; absent: the runner's own limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// The run, from the runner's start.
    pub run: Duration,
    /// The runner's start.
    pub start: Duration,
    /// A connection.
    pub connect: Option<Duration>,
    /// A single statement.
    pub statement: Option<Duration>,
    /// The backup's bytes standing still.
    pub stall: Option<Duration>,
}

//! The spec of a `DatabaseRestore`, its defaults, and the rules between its fields.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::overwrite::Overwrite;
use super::runner::Runner;
use super::status::RestoreStatus;
use super::target::Target;
use crate::api::common::{Duration, ONE_LINE, immutable_except};

/// What a person may change after the object was made.
const MUTABLE: &[&str] = &["cancel", "jobTTL", "overwrite", "sessions", "suspend", "switch"];

/// What is wanted of one run.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "reinstate.dev",
    version = "v1alpha1",
    kind = "DatabaseRestore",
    plural = "databaserestores",
    shortname = "dbr",
    category = "reinstate",
    namespaced,
    status = "RestoreStatus",
    derive = "PartialEq",
    doc = "One restore of one backup; its status is the history record. It runs at most once.",
    printcolumn(name = "Target", type_ = "string", json_path = ".status.target.summary"),
    printcolumn(name = "Backup", type_ = "string", json_path = ".status.backup.timestamp"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.message"),
    printcolumn(
        name = "Modified",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="TargetModified")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.target.engine", priority = 1),
    printcolumn(name = "Path", type_ = "string", json_path = ".status.backup.path", priority = 1),
    printcolumn(name = "Job", type_ = "string", json_path = ".status.jobRef.name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = immutable_except(MUTABLE))]
#[x_kube(
    validation = Rule::new("(self.mode == 'Verify') != has(self.target)")
        .message("mode Verify reads the backup alone and forbids target; Restore and Plan need it")
        .field_path(".target"),
    validation = Rule::new("!has(self.hooks) || !has(self.hooks.beforeSwitch) \
        || size(self.hooks.beforeSwitch) == 0 || self.strategy != 'Direct'")
        .message("hooks.beforeSwitch runs between load and switch: it needs strategy Swap or Auto")
        .field_path(".hooks")
)]
pub struct DatabaseRestoreSpec {
    /// `Restore`; `Plan` does all up to the first write; `Verify` reads the backup alone and has no
    /// target.
    #[serde(default)]
    pub mode: Mode,
    /// Another value makes a deleted and re-created object a new request. It never makes this object
    /// run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub recreate_token: Option<String>,
    /// The backup.
    pub backup: Backup,
    /// Where it is restored to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// `Auto` is `Swap` where the target holds data, else `Direct`. `Swap` loads beside the old data,
    /// which serves until the new is verified; `Direct` drops the old data first.
    #[serde(default)]
    pub strategy: Strategy,
    /// Overwrite protection.
    #[serde(default)]
    pub overwrite: Overwrite,
    /// How long a confirmation is waited for.
    #[serde(default = "a_week")]
    pub confirmation_timeout: Duration,
    /// A run that could not start within this time fails, so that it never fires weeks later.
    #[serde(default = "a_day")]
    pub starting_deadline: Duration,
    /// Sessions of others at the switch: `Fail` ends the run, `Terminate` ends the sessions.
    #[serde(default)]
    pub sessions: Sessions,
    /// `Auto`; `Hold` ends before the switch and waits for a change to `Auto`.
    #[serde(default)]
    pub switch: Switch,
    /// Particulars of the switch.
    #[serde(default)]
    pub swap: Swap,
    /// How long the replaced data is kept after a Swap; `0s`: not at all.
    #[serde(default = "a_day")]
    pub keep_previous: Duration,
    /// A backup of a newer release series than the target: `Enforce` refuses it, `Warn` only says so.
    #[serde(default)]
    pub version_guard: VersionGuard,
    /// `Known` sends only statements of the kinds that dump tools write; `All` sends every one.
    #[serde(default)]
    pub statements: Statements,
    /// `Analyze` collects the planner's statistics before the switch.
    #[serde(default)]
    pub statistics: Statistics,
    /// Connections that load at the same time; absent: the number of cores, at most 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub parallelism: Option<i32>,
    /// What is compared after the load.
    #[serde(default)]
    pub verification: Verification,
    /// SQL of your own; needs the connection's `allowHooks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// How long the run may take, from the runner's start.
    #[serde(default = "a_day")]
    pub timeout: Duration,
    /// How long the runner may take to start.
    #[serde(default = "a_quarter")]
    pub start_timeout: Duration,
    /// How long a connection may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// How long a single statement may take; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_timeout: Option<Duration>,
    /// How long the backup's bytes may stand still, and a server say nothing that does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<Duration>,
    /// New attempts, only of runs that did not touch the target.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// Holds the start. Ignored once the run has started.
    #[serde(default)]
    pub suspend: bool,
    /// Stops the run. It cannot be taken back.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("self || !oldSelf")
            .message("cancel cannot be taken back: create a new DatabaseRestore instead")
    )]
    pub cancel: bool,
    /// How long the Job, its pod and its log are kept after the verdict; never this object.
    #[serde(default = "a_week", rename = "jobTTL")]
    pub job_ttl: Duration,
    /// How the Job is placed on the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Runner>,
}

const fn a_week() -> Duration {
    Duration::hours(168)
}

const fn a_day() -> Duration {
    Duration::hours(24)
}

const fn a_quarter() -> Duration {
    Duration::minutes(15)
}

const fn two() -> i32 {
    2
}

/// How far a run goes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All the way.
    #[default]
    Restore,
    /// Up to the first write.
    Plan,
    /// Reads the backup alone.
    Verify,
}

/// How data that the target holds is replaced.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// `Swap` where the target holds data, else `Direct`.
    #[default]
    Auto,
    /// Load beside the old data, verify, switch.
    Swap,
    /// Drop the old data, load in its place.
    Direct,
}

/// What happens to sessions of others at the switch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sessions {
    /// The run ends.
    #[default]
    Fail,
    /// The sessions end.
    Terminate,
}

/// When the switch happens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// Once the load is verified.
    #[default]
    Auto,
    /// After a person has looked.
    Hold,
}

/// Whether a Swap may leave moments in which single objects are missing (MySQL only).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectWindow {
    /// It may not.
    #[default]
    Forbid,
    /// It may.
    Allow,
}

/// Particulars of the switch.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    /// MySQL only: whether views, triggers and routines may be missing for a moment.
    #[serde(default)]
    pub object_window: ObjectWindow,
}

/// What happens with a backup of a newer release series.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionGuard {
    /// It is refused.
    #[default]
    Enforce,
    /// It is tried, with a warning.
    Warn,
}

/// Which statements of a dump are sent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statements {
    /// The kinds that dump tools write.
    #[default]
    Known,
    /// All.
    All,
}

/// Whether the planner's statistics are collected.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statistics {
    /// They are, before the switch.
    #[default]
    Analyze,
    /// They are not.
    Skip,
}

/// How rows are compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Counted in the database.
    #[default]
    Exact,
    /// As the load reported them.
    Loaded,
}

/// Whether the content of rows is compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// It is not.
    #[default]
    None,
    /// By a digest of each table's rows.
    Digest,
}

/// What is compared after the load.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// `Exact` counts the rows of every table; `Loaded` trusts what the load reported.
    #[serde(default)]
    pub rows: Rows,
    /// PostgreSQL only: `Digest` reads every table back and compares its rows with the dump's by what
    /// their hashes add up to.
    #[serde(default)]
    pub content: Content,
    /// Queries that must answer true; they run read-only, before the switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub queries: Vec<Sql>,
}

/// SQL of your own.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Run in the loaded database before the switch. Needs strategy Swap or Auto.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub before_switch: Vec<Sql>,
}

/// A piece of SQL and the database that it is for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sql {
    /// Name of the target database.
    #[schemars(length(min = 1, max = 1024), regex(pattern = ONE_LINE))]
    pub database: String,
    /// The SQL.
    #[schemars(length(min = 1, max = 8192))]
    pub sql: String,
}

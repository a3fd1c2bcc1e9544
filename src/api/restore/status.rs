//! The status of a `DatabaseRestore`: conditions for machines, a phase for people, and the record.
//!
//! Only the operator writes it. An end never changes: once `completionTime` is set, the outcome
//! conditions are fixed by rule.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::record::{BackupStatus, PlanStatus, ProgressStatus, TargetStatus, VerificationStatus};
use crate::api::common::{Duration, bounded};

/// The record of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(oldSelf.completionTime) \
        || (has(self.completionTime) && self.completionTime == oldSelf.completionTime)")
        .message("completionTime is fixed once it is set")
        .field_path(".completionTime"),
    validation = Rule::new("!has(oldSelf.completionTime) || !has(oldSelf.conditions) \
        || oldSelf.conditions.filter(o, o.type == 'Complete' || o.type == 'Failed')\
        .all(o, has(self.conditions) && self.conditions.exists(n, \
        n.type == o.type && n.status == o.status && n.reason == o.reason))")
        .message("the outcome is fixed once completionTime is set")
        .field_path(".conditions"),
    validation = Rule::new("!has(oldSelf.completionTime) || !has(self.conditions) \
        || self.conditions.filter(n, n.type == 'Complete' || n.type == 'Failed')\
        .all(n, has(oldSelf.conditions) && oldSelf.conditions.exists(o, o.type == n.type))")
        .message("the outcome is fixed once completionTime is set")
        .field_path(".conditions"),
    validation = Rule::new("!has(self.conditions) || \
        size(self.conditions.filter(c, (c.type == 'Complete' || c.type == 'Failed') && c.status == 'True')) <= 1")
        .message("Complete and Failed are never both True")
        .field_path(".conditions")
)]
pub struct RestoreStatus {
    /// The generation of the spec that this status is about; -1: not seen yet.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// The state for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// `Ready`, `Complete`, `Failed`, `Reconciling`, `Stalled`, `ArtifactVerified`, `PreflightPassed`
    /// and `TargetModified`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounded::<Vec<Condition>>")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// When the run was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended, however it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// An earlier object of this name has run, so a confirmation that stands in the manifest does not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recreated: Option<bool>,
    /// The attempts, oldest first; of many, the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub attempts: Vec<Attempt>,
    /// The backup that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// What was restored to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
    /// How far the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressStatus>,
    /// What will be done, as it is shown for confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// What was compared after the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
    /// Why the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureStatus>,
    /// What the run left beside the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub leftovers: Vec<String>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub warnings: Vec<String>,
    /// The stages of the run with their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub stages: Vec<StageStatus>,
    /// The Job of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_ref: Option<JobRef>,
}

const fn unseen() -> i64 {
    -1
}

/// States of a run, for people.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Phase {
    Pending,
    Suspended,
    WaitingForTarget,
    AwaitingConfirmation,
    Running,
    CheckingBackup,
    Preflight,
    Restoring,
    Verifying,
    Holding,
    Switching,
    CleaningUp,
    Succeeded,
    Failed,
    Cancelled,
}

/// A fact that can be unknown.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Truth {
    True,
    False,
    Unknown,
}

/// One attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counted from 1.
    #[schemars(range(min = 1, max = 1000))]
    pub number: i32,
    /// Name of its Job.
    #[schemars(length(max = 63))]
    pub job_name: String,
    /// Uid of its Job.
    #[serde(default, rename = "jobUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How it ended: `Complete` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub outcome: Option<String>,
    /// The stable reason of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub reason: Option<String>,
    /// Whether it changed an existing target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Truth>,
}

/// Why a run failed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// The stage.
    #[schemars(length(max = 63))]
    pub stage: String,
    /// The stable reason.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// What failed, on what.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The database's own error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub engine_error: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub hint: Option<String>,
    /// Whether the same run may succeed later with nothing changed.
    #[serde(default)]
    pub retryable: bool,
}

/// One stage with its times.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Bytes that went through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// The Job of an attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobRef {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

//! Overwrite protection: what a person has decided about data that would be lost.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::{ONE_LINE, immutable_except};

/// What happens when a target holds data.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverwritePolicy {
    /// The run waits for a confirmation.
    #[default]
    Ask,
    /// The run ends.
    Refuse,
}

/// Overwrite protection. All but `policy` may be changed until the run has started.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = immutable_except(&["confirm", "confirmUntil", "confirmedPlan"]))]
pub struct Overwrite {
    /// What happens when a target holds data: `Ask` waits for a confirmation (`AwaitingConfirmation`),
    /// `Refuse` ends the run (`TargetNotEmpty`).
    #[serde(default)]
    pub policy: OverwritePolicy,
    /// Exact names of the targets that may be replaced. Ignored once the run has started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 1024), regex(pattern = ONE_LINE)))]
    pub confirm: Vec<String>,
    /// After this time the confirmation counts no more, and a person is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_until: Option<Time>,
    /// The `status.plan.token` that was confirmed. It clears `PlanChanged` and re-created objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub confirmed_plan: Option<String>,
}

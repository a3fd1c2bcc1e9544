//! The order of an attempt: the plan, and what earlier attempts bind it to.

use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::spec::Switch;
use crate::operator::names::digest;
use crate::plan::{Binding, DatabaseMapping, Held, Order, Pinned, PlanVersion, RestorePlan, Selector, Task};

/// The order of the attempt that is under way; `None` where there is none.
pub(super) fn order(restore: &DatabaseRestore, plan: &RestorePlan) -> Option<Order> {
    let status = restore.status.as_ref()?;
    let (attempt, earlier) = status.attempts.split_last()?;
    let uid = restore.metadata.uid.clone()?;
    let ended = |outcome: &str| earlier.iter().any(|it| it.outcome.as_deref() == Some(outcome));
    let mut plan = plan.clone();
    let asked = ended("AwaitingConfirmation");
    plan.overwrite.binding = match token(status) {
        Some(token) if asked => Binding::Shown(token),
        _ if status.recreated == Some(true) => Binding::Recreated,
        _ => Binding::Name,
    };
    if asked && let Some(path) = path(status) {
        // What was shown is restored, not a newer backup that came meanwhile.
        plan.backup.selector = Selector::Path(path);
    }
    let last = earlier.last().and_then(|it| it.outcome.as_deref());
    // A switch that failed untouched, or was asked about, has left the load where it was.
    let held = held(status).filter(|_| ended("Held") && restore.spec.switch == Switch::Auto);
    if let (Some(_), Some(target)) = (&held, &mut plan.target) {
        target.name(targets(status));
    }
    Some(Order {
        version: PlanVersion,
        nonce: nonce(restore),
        uid,
        attempt: u32::try_from(attempt.number).ok()?,
        task: Task::default(),
        pinned: pinned(status).filter(|_| last == Some("Failed") || ended("Held")),
        held,
        plan,
    })
}

/// What a request for the progress of the newest attempt carries. It is no secret towards the cluster:
/// it keeps others on the network from being answered.
pub fn nonce(restore: &DatabaseRestore) -> String {
    let uid = restore.metadata.uid.as_deref().unwrap_or_default();
    let attempt = restore.status.as_ref().and_then(|status| status.attempts.last());
    let job = attempt.map_or("", |attempt| attempt.job_name.as_str());
    digest(&format!("{uid} {job} progress"), 16)
}

/// The targets, as an earlier attempt has found them.
pub fn targets(status: &RestoreStatus) -> Vec<DatabaseMapping> {
    let rows = status.target.iter().flat_map(|target| &target.databases);
    rows.map(|row| DatabaseMapping { from: row.from.clone(), to: row.to.clone() }).collect()
}

fn token(status: &RestoreStatus) -> Option<String> {
    status.plan.as_ref()?.token.clone()
}

fn path(status: &RestoreStatus) -> Option<String> {
    status.backup.as_ref()?.path.clone()
}

/// The backup that a failed attempt has looked at.
fn pinned(status: &RestoreStatus) -> Option<Pinned> {
    let backup = status.backup.as_ref()?;
    Some(Pinned {
        path: backup.path.clone()?,
        size: u64::try_from(backup.size?).ok()?,
        etag: backup.etag.clone(),
        version_id: backup.version_id.clone(),
    })
}

/// What a run with `switch: Hold` has left.
fn held(status: &RestoreStatus) -> Option<Held> {
    let shadows = status.target.as_ref()?.held.clone();
    (!shadows.is_empty()).then_some(Held { shadows, token: token(status)? })
}

//! What the metrics count of restores: each end once, and what is going on now.

use kube::ResourceExt;

use super::context::Shared;
use super::decide::{is_active, is_ended};
use super::metrics::{End, Metrics};
use crate::api::DatabaseRestore;
use crate::api::restore::status::{Phase, Truth};
use crate::report::TargetModified;

/// Counts a restore that has just ended.
pub fn ended(metrics: &Metrics, restore: &DatabaseRestore) {
    let Some(status) = &restore.status else { return };
    let condition = |name: &str| status.conditions.iter().find(|it| it.type_ == name);
    let is_complete = condition("Complete").is_some_and(|it| it.status == "True");
    let reason = condition("Ready").map(|it| it.reason.clone()).unwrap_or_default();
    let engine =
        status.target.as_ref().and_then(|target| target.engine).map_or("none", |engine| engine.name());
    let touched = status.attempts.last().and_then(|attempt| attempt.touched);
    let modified = match touched {
        Some(Truth::True) => TargetModified::True,
        Some(Truth::Unknown) => TargetModified::Unknown,
        Some(Truth::False) | None => TargetModified::False,
    };
    metrics.run_ended(engine, if is_complete { End::Complete } else { End::Failed }, &reason, modified);
    for stage in &status.stages {
        let seconds = stage.duration.map_or(0.0, |it| it.get().as_secs_f64());
        let bytes = stage.bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        metrics.stage(&stage.name, seconds, bytes);
    }
    let connection = restore.spec.target.as_ref().map(|target| target.connection_ref.name.as_str());
    if let (true, Some(connection), Some(time)) = (is_complete, connection, &status.completion_time) {
        metrics.last_success(&restore.namespace().unwrap_or_default(), connection, time.0);
    }
}

/// Shows what is going on now.
pub fn gauges(shared: &Shared) {
    let open = shared.restores(|restore| !is_ended(restore.status.as_ref()));
    let count = |wanted: fn(&DatabaseRestore) -> bool| open.iter().filter(|restore| wanted(restore)).count();
    shared.metrics.running(count(|restore| is_active(restore.status.as_ref())));
    shared.metrics.waiting(count(|restore| !is_active(restore.status.as_ref())));
    shared.metrics.stuck(count(is_stuck));
}

/// Whether a person has to do something before a restore can go on.
fn is_stuck(restore: &DatabaseRestore) -> bool {
    restore.status.as_ref().is_some_and(|status| {
        let stalled = status.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True");
        stalled && status.phase != Some(Phase::Failed)
    })
}

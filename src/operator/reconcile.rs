//! One pass over one restore: look up, observe, decide, publish, apply.
//!
//! Level-triggered: a crash between any two lines is repaired by the next pass, because `decide` sees
//! only what was observed.

use std::sync::Arc;
use std::time::Instant;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::apply::apply;
use super::context::{Context, Done};
use super::decide::{Decision, decide, is_active, is_ended};
use super::dereference::dereference;
use super::error::{Error, Result};
use super::observe::observe;
use super::{caches, events, publish};
use crate::api::DatabaseRestore;

/// Moves one restore at most one step forward.
#[tracing::instrument(skip_all, fields(namespace = restore.namespace(), name = restore.name_any(), uid = restore.uid()))]
pub async fn reconcile(restore: Arc<DatabaseRestore>, context: Arc<Context>) -> Result<Action> {
    let begun = Instant::now();
    let now = (context.shared.settings.clock)();
    let Some(restore) = whole(restore, &context).await? else { return Ok(Action::await_change()) };
    let resolved = dereference(&context.caches, &restore);
    let view = observe(&context, &restore, &resolved, now).await?;
    let Decision { status, commands, again } = decide(&restore, &resolved, &view, now);
    let event = events::told(restore.status.as_ref(), &status);
    let written = publish::publish(&context, &restore, &status).await?;
    if let Some(event) = event {
        events::publish(&context.shared.recorder, &restore, event).await;
    }
    record(&context, &restore, &written);
    let skipped = apply(&context, &written, resolved.as_ref().ok(), &commands).await?;
    let again = if skipped { Some(again.map_or(Done::LAG, |again| again.min(Done::LAG))) } else { again };
    context.shared.metrics.reconciled(begun.elapsed().as_secs_f64());
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// The object as a whole where there is something to do for it; the cache has of most ended ones only
/// a part.
async fn whole(restore: Arc<DatabaseRestore>, context: &Context) -> Result<Option<Arc<DatabaseRestore>>> {
    if !caches::is_trimmed(&restore) {
        return Ok(Some(restore));
    }
    let namespace = restore.namespace().unwrap_or_default();
    let attempt = restore.status.as_ref().and_then(|status| status.attempts.last());
    let job = attempt
        .and_then(|attempt| context.caches.jobs.get(&ObjectRef::new(&attempt.job_name).within(&namespace)));
    if caches::is_put_away(&restore, job.as_deref()) {
        return Ok(None);
    }
    let api: Api<DatabaseRestore> = Api::namespaced(context.shared.client.clone(), &namespace);
    let name = restore.name_any();
    let found = api.get_opt(&name).await.map_err(Error::read("DatabaseRestore", &name))?;
    Ok(found.map(Arc::new))
}

/// Counts what has just ended.
fn record(context: &Context, before: &DatabaseRestore, after: &DatabaseRestore) {
    if is_ended(before.status.as_ref()) || !is_ended(after.status.as_ref()) {
        return;
    }
    super::tally::ended(&context.shared.metrics, after);
    if !is_active(after.status.as_ref()) {
        context.shared.waiting.leave(&after.uid().unwrap_or_default());
    }
}

/// What follows a failed pass.
#[expect(clippy::needless_pass_by_value, reason = "the controller hands its arguments over by value")]
pub fn failed(restore: Arc<DatabaseRestore>, error: &Error, context: Arc<Context>) -> Action {
    if let Error::Conflict { .. } = error {
        tracing::debug!(name = restore.name_any(), "{error}");
    } else {
        context.shared.metrics.failed();
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(namespace = restore.namespace(), name = restore.name_any(), cause, "{error}");
    }
    Action::requeue(error.retry_after())
}

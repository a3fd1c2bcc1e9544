//! Reads what belongs to a restore: its place, its Job, its pods, the cluster's warnings about them, and
//! the runner's progress. From the caches; the API server itself is asked before something that is not
//! in a cache counts as gone.

mod facts;
mod place;
mod progress;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job as ApiJob;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

pub use facts::was_never_made;
pub(crate) use place::is_gone;

use super::context::Context;
use super::decide::{Resolved, is_active};
use super::error::{Error, Result};
use super::names::{LABEL_ATTEMPT, LABEL_UID};
use super::view::{Job, JobFacts, Pod, Progress, View, Warning};
use crate::api::DatabaseRestore;
use crate::api::restore::status::Attempt;
use crate::plan::Problem;

/// A container that starts within this time needs no explanation.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// The runner is asked for its progress at most so often.
const ASK_APART: Duration = Duration::from_secs(4);

/// Reads everything.
pub async fn observe(
    context: &Context,
    restore: &DatabaseRestore,
    resolved: &std::result::Result<Resolved, Vec<Problem>>,
    now: Timestamp,
) -> Result<View> {
    let (place, recreated) = place::look(context, restore, resolved);
    let mut view = View { place, recreated, load: place::load(context, restore), ..View::default() };
    let status = restore.status.as_ref();
    let Some(attempt) = status.and_then(|status| status.attempts.last()) else { return Ok(view) };
    let active = is_active(status);
    view.job = job(context, restore, attempt, active).await?;
    view.pods = pods(context, restore, attempt);
    if !active {
        return Ok(view);
    }
    if view.pods.is_empty() && must_be_sure(&view.job, restore, attempt, now) {
        view.pods = listed_pods(context, restore, attempt).await?;
    }
    if let Job::There(job) = &view.job {
        if has_patience(restore, job, now) {
            // A claim is still being bound, a node is still being made.
            view.pods.iter_mut().for_each(|pod| pod.unschedulable = None);
        } else {
            view.troubles = troubles(context, restore, job, &view.pods).await?;
        }
        view.progress = asked(restore, job, &view.pods, now).await;
    }
    Ok(view)
}

fn namespace(restore: &DatabaseRestore) -> String {
    restore.namespace().unwrap_or_default()
}

/// Whether the run is to end.
fn is_stopped(restore: &DatabaseRestore) -> bool {
    restore.spec.cancel || restore.metadata.deletion_timestamp.is_some()
}

async fn job(context: &Context, restore: &DatabaseRestore, attempt: &Attempt, active: bool) -> Result<Job> {
    let namespace = namespace(restore);
    let key = ObjectRef::new(&attempt.job_name).within(&namespace);
    if let Some(job) = context.caches.jobs.get(&key) {
        return Ok(facts::job(&job, restore));
    }
    if !active {
        return Ok(Job::Unknown);
    }
    let exists = context.shared.done.is_recent(&super::apply::exists(restore));
    if attempt.job_uid.is_none() && !is_stopped(restore) && !exists {
        // If it is there after all, its creation says so.
        return Ok(Job::Missing);
    }
    // SAFETY OF RESTORE: a cache that lags must not make a Job that exists look gone.
    let api: Api<ApiJob> = Api::namespaced(context.shared.client.clone(), &namespace);
    let found = api.get_opt(&attempt.job_name).await.map_err(Error::read("Job", &attempt.job_name))?;
    Ok(found.map_or(Job::Missing, |job| facts::job(&job, restore)))
}

fn is_of(pod: &ApiPod, restore: &DatabaseRestore, attempt: &Attempt) -> bool {
    let labels = pod.labels();
    pod.namespace() == restore.namespace()
        && labels.get(LABEL_UID) == restore.metadata.uid.as_ref()
        && labels.get(LABEL_ATTEMPT).is_some_and(|number| *number == attempt.number.to_string())
}

fn pods(context: &Context, restore: &DatabaseRestore, attempt: &Attempt) -> Vec<Pod> {
    let found = context.caches.pods.state_filter(|pod| is_of(pod, restore, attempt));
    found.iter().map(|pod| facts::pod(pod, attempt.job_uid.as_deref())).collect()
}

/// Whether a decision depends on there being no pod.
fn must_be_sure(job: &Job, restore: &DatabaseRestore, attempt: &Attempt, now: Timestamp) -> bool {
    if attempt.job_uid.is_none() {
        return false;
    }
    match job {
        Job::Missing | Job::Foreign => true,
        Job::There(job) => {
            let late = job.start_time.is_some_and(|start| {
                SignedDuration::try_from(restore.spec.start_timeout.get())
                    .is_ok_and(|limit| now.duration_since(start) >= limit)
            });
            job.failed.is_some()
                || late
                || restore.spec.cancel
                || restore.metadata.deletion_timestamp.is_some()
        }
        Job::Unknown => false,
    }
}

async fn listed_pods(context: &Context, restore: &DatabaseRestore, attempt: &Attempt) -> Result<Vec<Pod>> {
    let uid = restore.metadata.uid.clone().unwrap_or_default();
    let selector = format!("{LABEL_UID}={uid},{LABEL_ATTEMPT}={}", attempt.number);
    let api: Api<ApiPod> = Api::namespaced(context.shared.client.clone(), &namespace(restore));
    let found = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(Error::read("pods of Job", &attempt.job_name))?;
    Ok(found.items.iter().map(|pod| facts::pod(pod, attempt.job_uid.as_deref())).collect())
}

/// Whether it is too early to ask why a container does not start.
fn has_patience(restore: &DatabaseRestore, job: &JobFacts, now: Timestamp) -> bool {
    let limit = SignedDuration::try_from(restore.spec.start_timeout.get()).unwrap_or(SignedDuration::MAX);
    job.start_time.is_none_or(|start| now.duration_since(start) < PATIENCE.min(limit))
}

/// The cluster's warnings about a container that does not start.
async fn troubles(
    context: &Context,
    restore: &DatabaseRestore,
    job: &JobFacts,
    pods: &[Pod],
) -> Result<Vec<Warning>> {
    // Events cannot be looked up: the API server reads all of the namespace for each question. A pod
    // that has no node says why itself.
    if job.suspended || pods.iter().any(|pod| pod.has_started() || pod.unschedulable.is_some()) {
        return Ok(Vec::new());
    }
    let uid = pods.first().map_or(job.uid.as_str(), |pod| pod.uid.as_str());
    warnings::of(&context.shared.client, &namespace(restore), uid).await
}

/// What the running pod tells, where it is time to ask.
async fn asked(restore: &DatabaseRestore, job: &JobFacts, pods: &[Pod], now: Timestamp) -> Progress {
    let running = pods.iter().find(|pod| matches!(pod.container, super::view::Container::Running));
    let Some(address) = running.and_then(|pod| pod.address.as_deref()) else { return Progress::NotAsked };
    let status = restore.status.as_ref();
    let last = status.and_then(|it| it.progress.as_ref()).and_then(|it| it.updated.as_ref());
    let soon = SignedDuration::try_from(ASK_APART).unwrap_or_default();
    if last.is_some_and(|time| now.duration_since(time.0) < soon) || job.is_finished() {
        return Progress::NotAsked;
    }
    let nonce = super::build::nonce(restore);
    progress::ask(address, &nonce).await
}

/// Restores that are under way.
pub(crate) fn under_way(restores: &[Arc<DatabaseRestore>], uid: Option<&String>) -> usize {
    restores.iter().filter(|it| it.metadata.uid.as_ref() != uid && is_active(it.status.as_ref())).count()
}

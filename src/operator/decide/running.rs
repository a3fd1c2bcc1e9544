//! An attempt is under way: its Job is made in two steps, watched, stopped where that is asked for,
//! and its end is taken from the journal of its pod.

use jiff::{SignedDuration, Timestamp};

use super::trouble::{self, Trouble};
use super::verdict::{self, Ended};
use super::{Command, GRACE_SECONDS, Next, Resolved, SPARE_SECONDS, progress};
use crate::api::DatabaseRestore;
use crate::api::restore::status::{Attempt, JobRef, Phase};
use crate::operator::draft::Draft;
use crate::operator::names::{FINALIZER_RUN, has_finalizer};
use crate::operator::view::{Job, JobFacts, Pod, View};
use crate::plan::Problem;
use crate::reason::Reason;

/// What is said until the container runs.
const STARTING: &str = "the runner's pod is starting";

/// Why a run is stopped from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// The object is being deleted.
    Deleted,
    /// `cancel: true`.
    Cancelled,
    /// The container did not start in time.
    StartTimeout,
}

/// Decides the next step of the attempt.
pub(super) fn step(
    draft: &mut Draft,
    restore: &DatabaseRestore,
    resolved: &Result<Resolved, Vec<Problem>>,
    view: &View,
) -> Next {
    let Some(attempt) = draft.active().cloned() else { return Next::default() };
    match (&view.job, attempt.job_uid.as_deref()) {
        (Job::Unknown, _) => Next::look_again(),
        (Job::Foreign, None) => {
            let message = format!("Job {} exists and is not of this DatabaseRestore", attempt.job_name);
            end(draft, restore, Ended::untouched(Reason::NameConflict, message))
        }
        (Job::Missing, None) => create(draft, restore, resolved),
        (Job::There(job), None) => record(draft, &attempt, job),
        (Job::There(job), Some(uid)) if job.uid == uid => watch(draft, restore, view, &attempt, job),
        (Job::There(job), Some(_)) if !job.deleting => {
            // A Job that was never let go; the recorded one is gone.
            let stray = Command::DeleteJob(job.uid.clone());
            let mut next = lost(draft, restore, view, &attempt);
            next.commands.insert(0, stray);
            next
        }
        (Job::There(_) | Job::Foreign | Job::Missing, Some(_)) => lost(draft, restore, view, &attempt),
    }
}

/// No Job was recorded, so none has run.
fn create(draft: &mut Draft, restore: &DatabaseRestore, resolved: &Result<Resolved, Vec<Problem>>) -> Next {
    if let Some(abort) = abort_of(restore) {
        return end(draft, restore, verdict::aborted_before_start(abort));
    }
    if let Err(problems) = resolved {
        // What was there when the attempt was recorded is gone.
        let (reason, message) = super::idle::words(problems);
        return end(draft, restore, Ended::untouched(reason, message));
    }
    if !has_finalizer(&restore.metadata, FINALIZER_RUN) {
        return Next::act(Command::Mark);
    }
    draft.progressing(Phase::Running, "Running", "the runner's Job is being created");
    Next::act(Command::CreateJob)
}

/// The suspended Job is there: its uid is written, and only then it may make its pod.
fn record(draft: &mut Draft, attempt: &Attempt, job: &JobFacts) -> Next {
    if job.deleting {
        return Next::look_again();
    }
    if let Some(attempt) = draft.status.attempts.last_mut() {
        attempt.job_uid = Some(job.uid.clone());
    }
    draft.status.job_ref = Some(JobRef { name: attempt.job_name.clone(), uid: Some(job.uid.clone()) });
    draft.progressing(Phase::Running, "Running", STARTING);
    Next::act(Command::Unsuspend(job.uid.clone()))
}

fn watch(
    draft: &mut Draft,
    restore: &DatabaseRestore,
    view: &View,
    attempt: &Attempt,
    job: &JobFacts,
) -> Next {
    let alive = view.pods.iter().any(|pod| !pod.is_over());
    let abort = abort_of(restore).or_else(|| start_timeout(draft, restore, view, job));
    let trouble = remembered(draft).or_else(|| trouble::explain(view, &attempt.job_name));
    if let Some(pod) = ended_pod(&view.pods).filter(|_| !alive) {
        let why = verdict::Why { abort, job: job.failed.as_ref(), lost: None, trouble: trouble.as_ref() };
        let ended = verdict::of_pod(pod, restore, attempt, why);
        return end(draft, restore, ended);
    }
    if !alive && let Some(failed) = &job.failed {
        return end(draft, restore, verdict::without_pod(failed, trouble));
    }
    if let Some(abort) = abort {
        if !alive && job.is_idle && job.suspended {
            return end(draft, restore, verdict::without_start(abort, trouble.as_ref(), restore));
        }
        if abort == Abort::StartTimeout {
            remember(draft, trouble, restore);
        }
        return stop(draft, view, abort, job);
    }
    if job.suspended && view.pods.is_empty() {
        return Next::act(Command::Unsuspend(job.uid.clone()));
    }
    unreachable(draft, restore, view, job)
        .unwrap_or_else(|| under_way(draft, restore, view, &attempt.job_name))
}

/// The pod that tells how the attempt ended: one that has started counts before one that never did.
fn ended_pod(pods: &[Pod]) -> Option<&Pod> {
    pods.iter()
        .find(|pod| pod.is_over() && pod.has_started())
        .or_else(|| pods.iter().find(|pod| pod.is_over()))
}

fn abort_of(restore: &DatabaseRestore) -> Option<Abort> {
    if restore.metadata.deletion_timestamp.is_some() {
        return Some(Abort::Deleted);
    }
    restore.spec.cancel.then_some(Abort::Cancelled)
}

/// Whether the container should have started by now, or was given up before.
fn start_timeout(draft: &Draft, restore: &DatabaseRestore, view: &View, job: &JobFacts) -> Option<Abort> {
    let limit = SignedDuration::try_from(restore.spec.start_timeout.get()).ok()?;
    let due = job.start_time.and_then(|begun| begun.checked_add(limit).ok());
    let is_over = draft.status.failure.is_some() || due.is_some_and(|due| draft.now() >= due);
    (is_over && !view.pods.iter().any(Pod::has_started)).then_some(Abort::StartTimeout)
}

/// Writes down why the container is given up: once its pod is being stopped, nobody else knows.
fn remember(draft: &mut Draft, trouble: Option<Trouble>, restore: &DatabaseRestore) {
    if draft.status.failure.is_none() {
        let trouble = trouble.unwrap_or_else(|| verdict::start_timeout(restore));
        draft.status.failure = Some(super::idle::failure(trouble.reason, trouble.message));
    }
}

/// The failure of an attempt that is under way: why it was given up.
fn remembered(draft: &Draft) -> Option<Trouble> {
    let failure = draft.status.failure.as_ref()?;
    Some(Trouble { reason: Reason::from_name(&failure.reason)?, message: failure.message.clone() })
}

fn stop(draft: &mut Draft, view: &View, abort: Abort, job: &JobFacts) -> Next {
    let why = match abort {
        Abort::Deleted => "the DatabaseRestore is being deleted",
        Abort::Cancelled => "spec.cancel is true",
        Abort::StartTimeout => "the runner did not start within startTimeout",
    };
    let hint = remembered(draft).map(|it| format!(". {}", it.reason.hint())).unwrap_or_default();
    let trouble = remembered(draft).map(|it| format!("{}; ", it.message)).unwrap_or_default();
    let message = format!("{trouble}{why}; the runner is being stopped");
    if let Some(since) = view.pods.iter().find_map(|pod| pod.deleting)
        && draft.now() > later(since, GRACE_SECONDS)
    {
        let message = format!("{message}; its pod does not end: its node may not answer");
        draft.progressing(Phase::Running, Reason::NodeLost.name(), &message);
    } else {
        let reason = remembered(draft).map_or("Stopping", |it| it.reason.name());
        draft.progressing(Phase::Running, reason, &format!("{message}{hint}"));
    }
    if job.suspended { Next::look_again() } else { Next::act(Command::Suspend(job.uid.clone())) }
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The recorded Job is gone. It is never made again: its pods tell, as long as they are there.
fn lost(draft: &mut Draft, restore: &DatabaseRestore, view: &View, attempt: &Attempt) -> Next {
    if view.pods.iter().any(|pod| !pod.is_over()) {
        let message = format!("Job {} was deleted; its pod is being stopped", attempt.job_name);
        draft.progressing(Phase::Running, Reason::RunnerLost.name(), &message);
        return Next::look_again();
    }
    let trouble = remembered(draft);
    let lost = Some(attempt.job_name.as_str());
    let why = verdict::Why { abort: abort_of(restore), job: None, lost, trouble: trouble.as_ref() };
    let ended = match ended_pod(&view.pods) {
        Some(pod) => verdict::of_pod(pod, restore, attempt, why),
        None => Ended::unknown(
            Reason::RunnerLost,
            format!(
                "Job {} and its pod are gone, and with them what the runner had to say",
                attempt.job_name
            ),
        ),
    };
    end(draft, restore, ended)
}

/// The node does not answer: nothing is started anew, and the place is kept, until the runner must
/// have ended itself.
fn unreachable(draft: &mut Draft, restore: &DatabaseRestore, view: &View, job: &JobFacts) -> Option<Next> {
    let pod = view.pods.iter().find(|pod| !pod.is_over())?;
    let overdue = pod.deleting.is_some_and(|since| draft.now() > later(since, GRACE_SECONDS + 30));
    if !pod.is_unreachable && !overdue {
        return None;
    }
    let limits = [restore.spec.start_timeout, restore.spec.timeout];
    let run: u64 = limits.iter().map(|limit| limit.get().as_secs()).sum();
    let seconds = i64::try_from(run).unwrap_or(i64::MAX).saturating_add(GRACE_SECONDS + 2 * SPARE_SECONDS);
    let fenced = later(job.start_time.unwrap_or_else(|| draft.now()), seconds.min(1 << 40));
    if draft.now() >= fenced {
        let message = format!("the node of pod {} did not answer until the run's time was over", pod.name);
        return Some(end(draft, restore, Ended::unknown(Reason::NodeLost, message)));
    }
    let message = format!(
        "the node of pod {} does not answer; the run counts as alive until its pod is gone, at the latest until {fenced}",
        pod.name
    );
    draft.progressing(Phase::Running, Reason::NodeLost.name(), &message);
    Some(Next::look_again())
}

fn under_way(draft: &mut Draft, restore: &DatabaseRestore, view: &View, job: &str) -> Next {
    if view.pods.iter().any(Pod::has_started) {
        return progress::show(draft, &view.progress);
    }
    match trouble::explain(view, job) {
        Some(trouble) => {
            let message = format!(
                "{}. {} It is waited for until startTimeout ({}) is over",
                trouble.message,
                trouble.reason.hint(),
                restore.spec.start_timeout
            );
            draft.progressing(Phase::Running, trouble.reason.name(), &message);
        }
        None => draft.progressing(Phase::Running, "Running", STARTING),
    }
    Next::look_again()
}

/// Writes the end of the attempt, and of the run where it is the run's end. Another attempt starts in
/// a later pass, after everything of this one is put away.
fn end(draft: &mut Draft, restore: &DatabaseRestore, ended: Ended) -> Next {
    verdict::write(draft, ended.of_mode(restore.spec.mode));
    if restore.metadata.deletion_timestamp.is_some() {
        return Next::default();
    }
    super::idle::settle(draft, restore)
}

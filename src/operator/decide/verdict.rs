//! How an attempt ended: from the journal of its pod where there is one, else from what the cluster
//! says. What is not known is said to be unknown.

use super::running::Abort;
use super::trouble::Trouble;
use crate::api::DatabaseRestore;
use crate::api::restore::status::{Attempt, FailureStatus, Truth};
use crate::journal::{self, Entry};
use crate::operator::conditions::ConditionType;
use crate::operator::draft::Draft;
use crate::operator::record;
use crate::operator::view::{Container, Pod, Warning};
use crate::plan::Mode;
use crate::reason::Reason;
use crate::report::{Outcome, RestoreReport, TargetModified};

/// What is told of the runtime's words at most, in bytes.
const SAID_LIMIT_BYTES: usize = 400;
/// Reason of the disruption of a pod whose node was removed from the cluster.
const NODE_GONE: &str = "DeletionByPodGC";

/// The end of an attempt.
#[derive(Debug)]
pub(super) struct Ended {
    /// The journal's verdict.
    report: Option<RestoreReport>,
    /// Its outcome's name.
    outcome: &'static str,
    /// Whether an existing target was changed.
    touched: Truth,
    /// Why it did not end well.
    failure: Option<FailureStatus>,
}

/// What is known beside the pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Why<'a> {
    /// It was stopped from here.
    pub(super) abort: Option<Abort>,
    /// The Job controller has ended it: its reason.
    pub(super) job: Option<&'a Warning>,
    /// The name of its Job, which is gone.
    pub(super) lost: Option<&'a str>,
    /// What kept its container from starting.
    pub(super) trouble: Option<&'a Trouble>,
}

impl Ended {
    /// A failure of a run that wrote nothing.
    pub(super) fn untouched(reason: Reason, message: impl Into<String>) -> Self {
        Self::failed(reason, message, Truth::False)
    }

    /// A failure of a run of which it is not known whether it wrote.
    pub(super) fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::failed(reason, message, Truth::Unknown)
    }

    /// The same of a run that only reads: whatever became of it, no target was changed.
    pub(super) fn of_mode(mut self, mode: Mode) -> Self {
        if mode != Mode::Restore && self.touched == Truth::Unknown {
            self.touched = Truth::False;
        }
        self
    }

    fn failed(reason: Reason, message: impl Into<String>, touched: Truth) -> Self {
        let failure = super::idle::failure(reason, message);
        Self { report: None, outcome: "Failed", touched, failure: Some(failure) }
    }
}

/// The end of a run whose Job was never let go.
pub(super) fn aborted_before_start(abort: Abort) -> Ended {
    match abort {
        Abort::Deleted => {
            Ended::untouched(Reason::Interrupted, "the DatabaseRestore was deleted before the run started")
        }
        Abort::Cancelled => Ended::untouched(Reason::Cancelled, "the run was cancelled before it started"),
        Abort::StartTimeout => Ended::untouched(Reason::StartTimeout, "the runner did not start"),
    }
}

/// The end of a run that was stopped from here before its container started.
pub(super) fn without_start(abort: Abort, trouble: Option<&Trouble>, restore: &DatabaseRestore) -> Ended {
    match (abort, trouble) {
        (Abort::StartTimeout, Some(trouble)) if trouble.reason != Reason::StartTimeout => {
            let message = format!("{}; it was waited for {}", trouble.message, restore.spec.start_timeout);
            Ended::untouched(trouble.reason, message)
        }
        (Abort::StartTimeout, _) => {
            let Trouble { reason, message } = start_timeout(restore);
            Ended::untouched(reason, message)
        }
        (Abort::Deleted | Abort::Cancelled, _) => aborted_before_start(abort),
    }
}

/// A container that does not start, and nobody says why.
pub(super) fn start_timeout(restore: &DatabaseRestore) -> Trouble {
    let message = format!("the runner did not start within {}", restore.spec.start_timeout);
    Trouble { reason: Reason::StartTimeout, message }
}

/// The end of a run that the Job controller has ended before there was a pod.
pub(super) fn without_pod(failed: &Warning, trouble: Option<Trouble>) -> Ended {
    match trouble {
        Some(trouble) => Ended::untouched(trouble.reason, trouble.message),
        None => Ended::untouched(Reason::StartTimeout, format!("{}: {}", failed.reason, failed.message)),
    }
}

/// The end of a run by its pod, which is over.
pub(super) fn of_pod(pod: &Pod, restore: &DatabaseRestore, attempt: &Attempt, why: Why<'_>) -> Ended {
    let uid = restore.metadata.uid.as_deref().unwrap_or_default();
    let number = u32::try_from(attempt.number).unwrap_or_default();
    match &pod.container {
        Container::Created | Container::Waiting(_) | Container::Running => never_started(pod, restore, why),
        Container::Ended { code, reason, journal } => match journal::last(journal, uid, number) {
            Some(Entry { verdict: Some(report), touched, .. }) => told(pod, report, touched, why),
            entry => silent(pod, (*code, reason), entry, why),
        },
    }
}

fn never_started(pod: &Pod, restore: &DatabaseRestore, why: Why<'_>) -> Ended {
    if let Some(abort) = why.abort {
        return without_start(abort, why.trouble, restore);
    }
    let disruption = pod.disruption.as_ref();
    let cause = disruption.map(|it| format!(": {}: {}", it.reason, it.message)).unwrap_or_default();
    if disruption.is_some_and(|it| it.reason == NODE_GONE) {
        // No kubelet has said that it never started: the node took its last word along.
        return Ended::unknown(Reason::NodeLost, format!("pod {} is gone with its node{cause}", pod.name));
    }
    Ended::untouched(
        Reason::Evicted,
        format!("pod {} was taken away before the run started{cause}", pod.name),
    )
}

/// The journal holds a verdict.
fn told(pod: &Pod, report: RestoreReport, touched: TargetModified, why: Why<'_>) -> Ended {
    let outcome = record::outcome_name(report.outcome);
    let mut failure = report.failure.as_ref().map(record::failure);
    if report.outcome == Outcome::Failed
        && let Some(failure) = &mut failure
        && failure.reason == Reason::Interrupted.name()
        && let Some((reason, message)) = why_interrupted(pod, why)
    {
        reason.name().clone_into(&mut failure.reason);
        failure.hint = Some(reason.hint().to_owned());
        failure.retryable = reason.is_retryable();
        failure.message = format!("{}: {message}", failure.message);
    }
    // A verdict without a failure that is no success would have no reason to show.
    if failure.is_none() && matches!(report.outcome, Outcome::Failed | Outcome::AwaitingConfirmation) {
        failure = Some(super::idle::failure(Reason::InternalError, "the runner gave no reason"));
    }
    Ended { outcome, touched: record::truth(touched), failure, report: Some(report) }
}

/// Why a runner was asked to stop; `None` where nobody here knows.
fn why_interrupted(pod: &Pod, why: Why<'_>) -> Option<(Reason, String)> {
    match why.abort {
        Some(Abort::Cancelled) => return Some((Reason::Cancelled, "spec.cancel is true".to_owned())),
        Some(Abort::Deleted) => {
            return Some((Reason::Interrupted, "the DatabaseRestore was deleted".to_owned()));
        }
        Some(Abort::StartTimeout) => return Some((Reason::StartTimeout, "it started too late".to_owned())),
        None => {}
    }
    if let Some(job) = why.job.filter(|job| job.reason == "DeadlineExceeded") {
        return Some((Reason::DeadlineExceeded, job.message.clone()));
    }
    if let Some(cause) = &pod.disruption {
        return Some((Reason::Evicted, format!("pod {}: {}: {}", pod.name, cause.reason, cause.message)));
    }
    if let Some(job) = why.lost {
        return Some((Reason::Evicted, format!("Job {job} was deleted, and pod {} with it", pod.name)));
    }
    pod.deleting.map(|_| (Reason::Evicted, format!("pod {} was deleted", pod.name)))
}

/// The container ended without a verdict.
fn silent(pod: &Pod, (code, words): (i32, &str), entry: Option<Entry>, why: Why<'_>) -> Ended {
    let touched = match entry {
        Some(entry) => record::truth(entry.touched),
        // The runtime could not start the program at all.
        None if matches!(words, "StartError" | "ContainerCannotRun") => Truth::False,
        None => Truth::Unknown,
    };
    let limit = pod.memory_limit.as_deref().unwrap_or("none");
    let (reason, message) = match words {
        "OOMKilled" => (
            Reason::OutOfMemory,
            format!("pod {} was killed because it used more memory than its limit, {limit}", pod.name),
        ),
        "StartError" | "ContainerCannotRun" => (
            Reason::ContainerNotStarted,
            format!("the container of pod {} could not be started: {words}: {}", pod.name, said(pod)),
        ),
        _ => why_interrupted(pod, why).unwrap_or_else(|| {
            let message =
                format!("the runner in pod {} ended without a verdict, exit code {code} ({words})", pod.name);
            (Reason::RunnerLost, message)
        }),
    };
    Ended::failed(reason, message, touched)
}

/// The runtime's words about a container that it could not start.
fn said(pod: &Pod) -> &str {
    let Container::Ended { journal, .. } = &pod.container else { return "" };
    let text = journal.trim();
    text.get(..text.floor_char_boundary(SAID_LIMIT_BYTES)).unwrap_or_default()
}

/// Writes the end into the attempt and what was learned into the record.
pub(super) fn write(draft: &mut Draft, ended: Ended) {
    let Ended { report, outcome, touched, failure } = ended;
    let time = draft.time();
    if let Some(attempt) = draft.status.attempts.last_mut() {
        attempt.completion_time = Some(time);
        attempt.outcome = Some(outcome.to_owned());
        attempt.reason = Some(failure.as_ref().map_or_else(|| outcome.to_owned(), |it| it.reason.clone()));
        attempt.touched = Some(touched);
    }
    draft.status.progress = None;
    if let Some(report) = report {
        record::write(&mut draft.status, &report);
        checks(draft, &report);
    }
    let (reason, message) = match touched {
        Truth::True => ("Modified", "an existing target was changed"),
        Truth::False if outcome == "Restored" => ("Created", "the target did not exist before"),
        Truth::False => ("Untouched", "no existing target was changed"),
        Truth::Unknown => {
            ("Unknown", "an existing target may have been changed: look at it before you go on")
        }
    };
    draft.set(ConditionType::TargetModified, touched, reason, message);
    draft.status.failure = failure;
}

/// What the stages that ended well have shown.
fn checks(draft: &mut Draft, report: &RestoreReport) {
    if let Some(proof) = report.backup.as_ref().and_then(|backup| backup.proof.as_deref()) {
        let message =
            format!("every byte of the backup was read; it is proven whole by {}", proof.to_lowercase());
        draft.set(ConditionType::ArtifactVerified, Truth::True, proof, &message);
    }
    let passed = matches!(report.outcome, Outcome::Restored | Outcome::Planned | Outcome::Held);
    let stage = report.failure.as_ref().map(|failure| failure.stage.as_str());
    if report.target.is_some()
        && (passed || matches!(stage, Some("Restore" | "Verify" | "Switch" | "CleanUp")))
    {
        draft.set(ConditionType::PreflightPassed, Truth::True, "Passed", "the target fits the backup");
    } else if stage == Some("Preflight") && report.outcome == Outcome::Failed {
        let reason = report.failure.as_ref().map_or("Refused", |failure| failure.reason.name());
        let message = report.failure.as_ref().map_or("", |failure| failure.message.as_str());
        draft.set(ConditionType::PreflightPassed, Truth::False, reason, message);
    }
}

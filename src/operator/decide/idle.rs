//! No attempt is under way: whether the run is over, waits for something, or starts an attempt.

use std::time::Duration;

use jiff::Timestamp;

use super::{Command, Next, Resolved, after, confirm};
use crate::api::DatabaseRestore;
use crate::api::restore::spec::Switch;
use crate::api::restore::status::{Attempt, FailureStatus, JobRef, Phase, Truth};
use crate::operator::build::ORDER_LIMIT_BYTES;
use crate::operator::conditions::whole_second;
use crate::operator::draft::Draft;
use crate::operator::names::job_name;
use crate::operator::view::{Place, View};
use crate::plan::Problem;
use crate::reason::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What the order may hold beside the plan, in bytes.
const ORDER_SPARE_BYTES: usize = 8 << 10;
/// Attempts that the status names; the oldest go first.
const ATTEMPTS_LIMIT: usize = 16;
/// The wait before the second attempt; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// The longest wait between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);
/// How long a missing Secret is taken for one that is just being made.
const SECRET_GRACE: Duration = Duration::from_mins(2);

/// What an attempt came to, as far as the next step depends on it.
enum Last {
    /// There was none.
    None,
    /// It ended well.
    Complete,
    /// It has loaded and waits for its switch.
    Held,
    /// It has asked.
    Asked(Reason),
    /// It failed.
    Failed(Reason),
}

fn last(attempt: Option<&Attempt>) -> Last {
    let Some(attempt) = attempt else { return Last::None };
    let reason = attempt.reason.as_deref().and_then(Reason::from_name).unwrap_or(Reason::InternalError);
    match attempt.outcome.as_deref() {
        Some("Restored" | "Planned" | "Verified") => Last::Complete,
        Some("Held") => Last::Held,
        Some("AwaitingConfirmation") => Last::Asked(reason),
        _ => Last::Failed(reason),
    }
}

/// Decides the next step.
pub(super) fn step(
    draft: &mut Draft,
    restore: &DatabaseRestore,
    resolved: &Result<Resolved, Vec<Problem>>,
    view: &View,
) -> Next {
    match rest(draft, restore) {
        Rest::Here(next) => next,
        Rest::Start(since) => start(draft, restore, resolved, view, &since),
    }
}

/// Says what an attempt that has just ended has come to; starts nothing.
pub(super) fn settle(draft: &mut Draft, restore: &DatabaseRestore) -> Next {
    match rest(draft, restore) {
        Rest::Here(next) => next,
        Rest::Start(_) => {
            draft.progressing(Phase::Pending, "Pending", "the next attempt is about to start");
            Next { again: Some(Duration::from_millis(100)), ..Next::default() }
        }
    }
}

/// Whether the run stays where it is.
enum Rest {
    /// It does; the status says why.
    Here(Next),
    /// It may start an attempt, and could since then.
    Start(Time),
}

fn rest(draft: &mut Draft, restore: &DatabaseRestore) -> Rest {
    let attempt = draft.status.attempts.last().cloned();
    let end = attempt.as_ref().and_then(|attempt| attempt.completion_time.clone());
    let verdict = last(attempt.as_ref());
    if let Last::Complete = verdict {
        return Rest::Here(complete(draft, &attempt.and_then(|attempt| attempt.outcome).unwrap_or_default()));
    }
    if let Last::Failed(reason) = verdict
        && is_final(draft, restore, reason)
    {
        return Rest::Here(fail_as_it_did(draft, reason));
    }
    if restore.spec.cancel {
        return Rest::Here(cancelled(draft));
    }
    let created = restore.metadata.creation_timestamp.clone().unwrap_or_else(|| draft.time());
    let ended = end.unwrap_or_else(|| created.clone());
    let (next, since) = match verdict {
        Last::None | Last::Complete => (None, created),
        Last::Held if restore.spec.switch == Switch::Hold => (Some(holding(draft)), ended),
        Last::Held => (None, ended),
        Last::Asked(reason) => {
            let since = Time(after(&ended, restore.spec.confirmation_timeout));
            (asked(draft, restore, reason, &ended), since)
        }
        Last::Failed(reason) => (failed(draft, restore, reason, &ended, &created), created),
    };
    next.map_or(Rest::Start(since), Rest::Here)
}

fn complete(draft: &mut Draft, outcome: &str) -> Next {
    let verification = draft.status.verification.as_ref().and_then(|it| it.result.clone());
    let message = verification.unwrap_or_else(|| match outcome {
        "Planned" => "everything up to the first write is possible".to_owned(),
        _ => "the backup is good".to_owned(),
    });
    draft.complete(outcome, &message);
    Next::default()
}

/// Whether a failed attempt is the end of the run.
fn is_final(draft: &Draft, restore: &DatabaseRestore, reason: Reason) -> bool {
    let touched = draft.status.attempts.last().and_then(|attempt| attempt.touched);
    if touched != Some(Truth::False) {
        return true;
    }
    if waits(reason) {
        return false;
    }
    let failures = draft
        .status
        .attempts
        .iter()
        .filter(|attempt| matches!(last(Some(attempt)), Last::Failed(it) if !waits(it)));
    let retries = usize::try_from(restore.spec.retries).unwrap_or_default();
    !reason.is_retryable() || failures.count() > retries
}

/// Reasons that are waited out, not retried: nothing was tried yet.
pub(super) const fn waits(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SecretMissing | Reason::SecretKeyMissing | Reason::TargetLocked | Reason::ReferenceNotFound
    )
}

fn fail_as_it_did(draft: &mut Draft, reason: Reason) -> Next {
    let phase = if reason == Reason::Cancelled { Phase::Cancelled } else { Phase::Failed };
    let failure = draft.status.failure.clone().unwrap_or_else(|| failure(reason, reason.facts().meaning));
    draft.failed(phase, failure);
    Next::default()
}

fn cancelled(draft: &mut Draft) -> Next {
    draft.failed(Phase::Cancelled, failure(Reason::Cancelled, "the run was cancelled before it started"));
    Next::default()
}

/// A failure that the operator itself finds; nothing of it is the database's.
pub(super) fn failure(reason: Reason, message: impl Into<String>) -> FailureStatus {
    FailureStatus {
        stage: "Start".to_owned(),
        reason: reason.name().to_owned(),
        message: message.into(),
        engine_error: None,
        hint: Some(reason.hint().to_owned()),
        retryable: reason.is_retryable(),
    }
}

fn holding(draft: &mut Draft) -> Next {
    let held = draft.status.target.as_ref().map(|target| target.held.clone()).unwrap_or_default();
    let message = format!(
        "loaded and verified as {}; look at it, then set spec.switch to Auto to put it in place, or spec.cancel to true",
        held.join(", ")
    );
    draft.blocked(Phase::Holding, "Holding", &message);
    Next::default()
}

/// Waits for a person; `None` where the shown plan is confirmed.
fn asked(draft: &mut Draft, restore: &DatabaseRestore, reason: Reason, ended: &Time) -> Option<Next> {
    let missing = confirm::check(&restore.spec.overwrite, &draft.status, reason, draft.now()).err()?;
    let deadline = after(ended, restore.spec.confirmation_timeout);
    if draft.now() >= deadline {
        let message = format!("nobody confirmed within {}", restore.spec.confirmation_timeout);
        draft.failed(Phase::Failed, failure(Reason::ConfirmationTimeout, message));
        return Some(Next::default());
    }
    // The age in the question is that of the time when it was asked, so the text stays the same.
    let question = confirm::question(&draft.status, ended.0);
    let why = match reason {
        Reason::ConfirmationRequired => String::new(),
        _ => format!("{} ", reason.facts().meaning),
    };
    let message = format!("{why}{question}. To confirm: {missing}");
    draft.blocked(Phase::AwaitingConfirmation, reason.name(), &message);
    Some(Next::until(deadline, draft.now()))
}

/// Waits after a failed attempt; `None` where the next one is due.
fn failed(
    draft: &mut Draft,
    restore: &DatabaseRestore,
    reason: Reason,
    ended: &Time,
    created: &Time,
) -> Option<Next> {
    let row = draft.status.attempts.iter().rev().take_while(|it| it.reason.as_deref() == Some(reason.name()));
    let (count, first) = row.fold((0_u32, ended.clone()), |(count, first), attempt| {
        (count + 1, attempt.completion_time.clone().unwrap_or(first))
    });
    let backoff = FIRST_BACKOFF.saturating_mul(1 << count.saturating_sub(1).min(10)).min(LONGEST_BACKOFF);
    let due = ended.0.checked_add(backoff).unwrap_or(Timestamp::MAX);
    if draft.now() >= due {
        return None;
    }
    let message = draft.status.failure.as_ref().map(crate::operator::draft::message_of).unwrap_or_default();
    let patience = first.0.checked_add(SECRET_GRACE).unwrap_or(Timestamp::MAX);
    match reason {
        Reason::TargetLocked => draft.progressing(Phase::WaitingForTarget, reason.name(), &message),
        _ if waits(reason) && draft.now() >= patience => {
            draft.blocked(Phase::Pending, reason.name(), &message);
        }
        _ => draft.progressing(Phase::Pending, reason.name(), &message),
    }
    let deadline = after(created, restore.spec.starting_deadline);
    let told = if draft.now() < patience { patience } else { Timestamp::MAX };
    Some(Next::until(due.min(deadline).min(told), draft.now()))
}

/// Starts an attempt, or says what it waits for. `since` is when it could have started first.
fn start(
    draft: &mut Draft,
    restore: &DatabaseRestore,
    resolved: &Result<Resolved, Vec<Problem>>,
    view: &View,
    since: &Time,
) -> Next {
    let deadline = after(since, restore.spec.starting_deadline);
    if draft.now() >= deadline {
        let why = draft.status.conditions.iter().find(|it| it.type_ == "Ready").map(|it| it.message.clone());
        let message = format!(
            "the run could not start within {}: {}",
            restore.spec.starting_deadline,
            why.unwrap_or_default()
        );
        draft.failed(Phase::Failed, failure(Reason::StartingDeadlineExceeded, message));
        return Next::default();
    }
    let left = Next::until(deadline, draft.now()).again.unwrap_or_default();
    if restore.spec.suspend {
        draft.progressing(Phase::Suspended, "Suspended", "spec.suspend is true; nothing was started");
        return Next::wait().no_later_than(left);
    }
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(problems) => return unresolved(draft, problems).no_later_than(left),
    };
    if !fits(&resolved.plan) {
        let message =
            "the mapping is too long for one run: restore some databases with another DatabaseRestore";
        draft.failed(Phase::Failed, failure(Reason::InvalidSpec, message));
        return Next::default();
    }
    if draft.status.target.is_none() {
        draft.status.target = super::progress::first_target(&resolved.plan);
    }
    if view.load.is_full() {
        let message = format!(
            "{} restores are under way ({} in this namespace), and no more may be at the same time",
            view.load.all, view.load.here
        );
        draft.progressing(Phase::Pending, "ConcurrencyLimit", &message);
        return Next::look_again().no_later_than(left);
    }
    match (&view.place, &resolved.queue) {
        (Place::Free, Some(queue)) => {
            // Nothing is written for this: the next pass, a moment later, has more to say.
            draft.status = restore.status.clone().unwrap_or_default();
            Next::act(Command::TakePlace(queue.clone()))
        }
        (Place::Taken { by }, _) => {
            draft.progressing(
                Phase::WaitingForTarget,
                "WaitingForTarget",
                &format!("{by} is restoring to the same target"),
            );
            Next::wait().no_later_than(left)
        }
        (Place::Held | Place::NotNeeded, _) | (Place::Free, None) => begin(draft, restore, view),
    }
}

fn unresolved(draft: &mut Draft, problems: &[Problem]) -> Next {
    let (reason, text) = words(problems);
    if reason != Reason::ReferenceNotFound {
        draft.failed(Phase::Failed, failure(reason, text));
        return Next::default();
    }
    draft.blocked(Phase::Pending, reason.name(), &format!("{text}. {}", reason.hint()));
    Next::wait()
}

/// All problems in one sentence, and the reason of the one that waiting does not heal, if there is one.
pub(super) fn words(problems: &[Problem]) -> (Reason, String) {
    let text: Vec<String> = problems.iter().map(|it| format!("{}: {}", it.field, it.message)).collect();
    let worst = problems.iter().find(|problem| problem.reason != Reason::ReferenceNotFound);
    let reason = worst.or_else(|| problems.first()).map_or(Reason::InvalidSpec, |problem| problem.reason);
    (reason, text.join("; "))
}

/// Whether the plan fits into the annotation that brings it to the pod, beside what the order adds.
fn fits(plan: &crate::plan::RestorePlan) -> bool {
    serde_json::to_string(plan).is_ok_and(|json| json.len() + ORDER_SPARE_BYTES <= ORDER_LIMIT_BYTES)
}

/// Records the next attempt. Its Job is made only after this is written.
fn begin(draft: &mut Draft, restore: &DatabaseRestore, view: &View) -> Next {
    let number = draft.status.attempts.last().map_or(1, |attempt| attempt.number.saturating_add(1));
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let name = job_name(&text(&restore.metadata.name), &text(&restore.metadata.uid), number);
    let time = Time(whole_second(draft.now()));
    if view.recreated {
        draft.status.recreated = Some(true);
    }
    draft.status.start_time.get_or_insert_with(|| time.clone());
    draft.status.failure = None;
    draft.status.job_ref = Some(JobRef { name: name.clone(), uid: None });
    draft.status.attempts.push(Attempt {
        number,
        job_name: name,
        job_uid: None,
        start_time: Some(time),
        completion_time: None,
        outcome: None,
        reason: None,
        touched: None,
    });
    let surplus = draft.status.attempts.len().saturating_sub(ATTEMPTS_LIMIT);
    draft.status.attempts.drain(..surplus);
    draft.progressing(Phase::Running, "Running", "the runner's Job is being created");
    Next::act(Command::Mark)
}

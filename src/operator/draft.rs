//! The next status of a restore while it is being decided.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{self, ConditionType, Says, whole_second};
use crate::api::restore::RestoreStatus;
use crate::api::restore::status::{Attempt, FailureStatus, Phase, Truth};
use crate::api::{DatabaseRestore, Duration};

/// A status that is being written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The status so far.
    pub status: RestoreStatus,
    generation: Option<i64>,
    now: Timestamp,
}

impl Draft {
    /// Begins from the status that `restore` has.
    pub fn begin(restore: &DatabaseRestore, now: Timestamp) -> Self {
        let mut status = restore.status.clone().unwrap_or_default();
        let generation = restore.metadata.generation;
        status.observed_generation = generation.unwrap_or_default();
        Self { status, generation, now }
    }

    /// The time of this pass.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The time of this pass as it is written.
    pub fn time(&self) -> Time {
        Time(whole_second(self.now))
    }

    /// Sets one condition.
    pub fn set(&mut self, kind: ConditionType, holds: Truth, reason: &str, message: &str) {
        let says = Says { kind, holds, reason, message };
        conditions::set(&mut self.status, &says, self.generation, self.now);
    }

    /// Something goes on, or is waited for that comes by itself.
    pub fn progressing(&mut self, phase: Phase, reason: &str, message: &str) {
        self.status.phase = Some(phase);
        self.set(ConditionType::Ready, Truth::Unknown, reason, message);
        self.set(ConditionType::Reconciling, Truth::True, reason, message);
        conditions::remove(&mut self.status, ConditionType::Stalled);
    }

    /// A person has to do something.
    pub fn blocked(&mut self, phase: Phase, reason: &str, message: &str) {
        self.status.phase = Some(phase);
        self.set(ConditionType::Ready, Truth::Unknown, reason, message);
        self.set(ConditionType::Stalled, Truth::True, reason, message);
        conditions::remove(&mut self.status, ConditionType::Reconciling);
    }

    /// The end, and a good one.
    pub fn complete(&mut self, reason: &str, message: &str) {
        self.end(Phase::Succeeded);
        self.set(ConditionType::Ready, Truth::True, reason, message);
        self.set(ConditionType::Complete, Truth::True, reason, message);
        self.set(ConditionType::Failed, Truth::False, reason, message);
        conditions::remove(&mut self.status, ConditionType::Stalled);
    }

    /// The end, and a bad one.
    pub fn failed(&mut self, phase: Phase, failure: FailureStatus) {
        self.end(phase);
        let message = message_of(&failure);
        let reason = failure.reason.clone();
        self.set(ConditionType::Ready, Truth::False, &reason, &message);
        self.set(ConditionType::Complete, Truth::False, &reason, &message);
        self.set(ConditionType::Failed, Truth::True, &reason, &message);
        self.set(ConditionType::Stalled, Truth::True, &reason, &message);
        let known = self.status.conditions.iter().any(|it| it.type_ == ConditionType::TargetModified.name());
        if !known {
            self.set(ConditionType::TargetModified, Truth::False, "NotStarted", "no run was started");
        }
        self.status.failure = Some(failure);
    }

    fn end(&mut self, phase: Phase) {
        self.status.phase = Some(phase);
        self.status.progress = None;
        self.status.completion_time = Some(self.time());
        self.status.duration = self.status.start_time.as_ref().and_then(|start| {
            let seconds = self.time().0.as_second() - start.0.as_second();
            format!("{}s", seconds.max(0)).parse::<Duration>().ok()
        });
        conditions::remove(&mut self.status, ConditionType::Reconciling);
    }

    /// The attempt that is under way.
    pub fn active(&self) -> Option<&Attempt> {
        active(&self.status)
    }
}

/// The attempt that is under way: it was recorded and has no end.
pub fn active(status: &RestoreStatus) -> Option<&Attempt> {
    status.attempts.last().filter(|attempt| attempt.completion_time.is_none())
}

/// A failure in one sentence or two: what failed, the engine's words, what to do.
pub fn message_of(failure: &FailureStatus) -> String {
    let mut text = failure.message.clone();
    if let Some(error) = &failure.engine_error {
        text = format!("{text}: {error}");
    }
    if let Some(hint) = &failure.hint {
        text = format!("{}. {hint}", text.trim_end_matches('.'));
    }
    text
}

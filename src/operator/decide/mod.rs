//! The state machine: what the status says next, and what is done for it. Pure.
//!
//! Everything that was learned comes in as a [`View`]; the same view gives the same decision, so a
//! crash between any two writes is repaired by the next pass. The newest attempt is either under way
//! ([`running`]) or over, and then it is decided whether another one starts ([`idle`]).

mod cleanup;
mod confirm;
mod idle;
mod progress;
mod running;
mod trouble;
mod verdict;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trouble_tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::draft::{self, Draft};
use super::queue::Queue;
use super::view::View;
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::plan::{Problem, RestorePlan};

/// Seconds that a runner has to end after SIGTERM: `terminationGracePeriodSeconds`.
pub const GRACE_SECONDS: i64 = 120;
/// Seconds beyond start, run and grace until the Job controller ends a run that did not end itself.
pub const SPARE_SECONDS: i64 = 60;

/// How soon something is looked at again that sends no event when it changes.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How soon a waiting run is looked at again in case an event was missed.
const WAIT_AGAIN: Duration = Duration::from_mins(1);

/// A restore whose references were looked up.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The run.
    pub plan: RestorePlan,
    /// Its queue; `None` for mode Verify.
    pub queue: Option<Queue>,
}

/// One act. Each can be repeated without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Takes a place in the queue, and remembers the run.
    TakePlace(Queue),
    /// Gives the place back.
    FreePlace {
        /// The run may have written, so it stays in the memory.
        is_remembered: bool,
    },
    /// Puts the finalizer and the uid of the executed object on the restore.
    Mark,
    /// Takes the finalizer off the restore.
    Unmark,
    /// Creates the suspended Job of the newest attempt.
    CreateJob,
    /// Lets the Job of this uid make its pod.
    Unsuspend(String),
    /// Stops the Job of this uid: its pod is asked to end.
    Suspend(String),
    /// Deletes the Job of this uid.
    DeleteJob(String),
    /// Sets how long the Job of this uid is kept, in seconds.
    SetTtl(String, i32),
    /// Lets a pod go whose journal is in the status.
    ReleasePod {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// What follows from a view.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The status, written first.
    pub status: RestoreStatus,
    /// Then these, in this order, until one fails.
    pub commands: Vec<Command>,
    /// When to look again although nothing happened.
    pub again: Option<Duration>,
}

/// What a step of the machine gives back beside its draft.
#[derive(Debug, Default)]
struct Next {
    commands: Vec<Command>,
    again: Option<Duration>,
}

impl Next {
    fn wait() -> Self {
        Self { commands: Vec::new(), again: Some(WAIT_AGAIN) }
    }

    fn look_again() -> Self {
        Self { commands: Vec::new(), again: Some(LOOK_AGAIN) }
    }

    fn until(time: Timestamp, now: Timestamp) -> Self {
        let left = Duration::try_from(time.duration_since(now)).unwrap_or_default();
        Self {
            commands: Vec::new(),
            again: Some(left.min(Duration::from_hours(1)) + Duration::from_millis(100)),
        }
    }

    fn act(command: Command) -> Self {
        Self { commands: vec![command], again: None }
    }

    /// The earlier of two times to look again counts.
    fn no_later_than(mut self, again: Duration) -> Self {
        self.again = Some(self.again.map_or(again, |own| own.min(again)));
        self
    }
}

/// Decides the next step of `restore`.
pub fn decide(
    restore: &DatabaseRestore,
    resolved: &Result<Resolved, Vec<Problem>>,
    view: &View,
    now: Timestamp,
) -> Decision {
    let mut draft = Draft::begin(restore, now);
    let deleting = restore.metadata.deletion_timestamp.is_some();
    let next = if draft.active().is_some() {
        running::step(&mut draft, restore, resolved, view)
    } else if draft.status.completion_time.is_some() || deleting {
        Next::default()
    } else {
        idle::step(&mut draft, restore, resolved, view)
    };
    let Next { mut commands, again } = next;
    if draft.active().is_none() && !commands.iter().any(|it| matches!(it, Command::TakePlace(_))) {
        commands.extend(cleanup::commands(&draft.status, restore, view));
    }
    Decision { status: draft.status, commands, again }
}

/// Whether the run of `status` is over, whatever its outcome.
pub fn is_ended(status: Option<&RestoreStatus>) -> bool {
    status.is_some_and(|status| status.completion_time.is_some())
}

/// Whether an attempt of `status` is under way.
pub fn is_active(status: Option<&RestoreStatus>) -> bool {
    status.is_some_and(|status| draft::active(status).is_some())
}

/// `time` and `length` later; the end of time where that is beyond it.
fn after(time: &Time, length: crate::api::Duration) -> Timestamp {
    let length = SignedDuration::try_from(length.get()).unwrap_or(SignedDuration::MAX);
    time.0.checked_add(length).unwrap_or(Timestamp::MAX)
}

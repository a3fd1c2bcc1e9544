//! What is put away when no attempt is under way: the pod is let go, the Job gets its time to live, the
//! place in the queue is given back, and at last the finalizer goes.

use super::Command;
use super::idle::waits;
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::status::Truth;
use crate::operator::build::ttl_seconds;
use crate::operator::names::{FINALIZER_RUN, has_finalizer};
use crate::operator::view::{Job, Place, View};
use crate::reason::Reason;

/// Seconds that the Job of an attempt is kept at most that has only found out that something is missing:
/// there may be hundreds, and each says the same.
const WAITING_TTL_SECONDS: i32 = 600;

/// The acts that are left to do. An object that is put away gives none.
pub(super) fn commands(status: &RestoreStatus, restore: &DatabaseRestore, view: &View) -> Vec<Command> {
    let kept = view.pods.iter().filter(|pod| pod.is_kept);
    let mut commands: Vec<Command> =
        kept.map(|pod| Command::ReleasePod { name: pod.name.clone(), uid: pod.uid.clone() }).collect();
    if let Job::There(job) = &view.job
        && !job.deleting
        && status.attempts.last().is_some_and(|attempt| attempt.job_uid.as_deref() == Some(&job.uid))
    {
        let ttl = ttl(status, restore);
        if !job.is_finished() && job.suspended {
            commands.push(Command::DeleteJob(job.uid.clone()));
        } else if job.ttl_seconds != Some(ttl) {
            commands.push(Command::SetTtl(job.uid.clone(), ttl));
        }
    }
    if view.place == Place::Held {
        commands.push(Command::FreePlace { is_remembered: may_have_written(status) });
    }
    if has_finalizer(&restore.metadata, FINALIZER_RUN) {
        commands.push(Command::Unmark);
    }
    commands
}

/// How long the newest attempt's Job is kept once it is over, in seconds.
fn ttl(status: &RestoreStatus, restore: &DatabaseRestore) -> i32 {
    let reason = status.attempts.last().and_then(|attempt| attempt.reason.as_deref());
    let waits = status.completion_time.is_none() && reason.and_then(Reason::from_name).is_some_and(waits);
    let wanted = ttl_seconds(restore.spec.job_ttl);
    if waits { wanted.min(WAITING_TTL_SECONDS) } else { wanted }
}

/// Whether an attempt may have put data into the target.
fn may_have_written(status: &RestoreStatus) -> bool {
    status.attempts.iter().any(|attempt| {
        !matches!(attempt.touched, Some(Truth::False)) || attempt.outcome.as_deref() == Some("Restored")
    })
}

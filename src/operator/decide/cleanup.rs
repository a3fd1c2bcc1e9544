//! What is put away when no attempt is under way: the pod is let go, the Job gets its time to live, the
//! place in the queue is given back, and at last the finalizer goes.

use super::Command;
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::status::Truth;
use crate::operator::build::ttl_seconds;
use crate::operator::names::{FINALIZER_RUN, has_finalizer};
use crate::operator::view::{Job, Place, View};

/// The acts that are left to do. An object that is put away gives none.
pub(super) fn commands(status: &RestoreStatus, restore: &DatabaseRestore, view: &View) -> Vec<Command> {
    let kept = view.pods.iter().filter(|pod| pod.is_kept);
    let mut commands: Vec<Command> =
        kept.map(|pod| Command::ReleasePod { name: pod.name.clone(), uid: pod.uid.clone() }).collect();
    if let Job::There(job) = &view.job
        && !job.deleting
        && status.attempts.last().is_some_and(|attempt| attempt.job_uid.as_deref() == Some(&job.uid))
    {
        let ttl = ttl_seconds(restore.spec.job_ttl);
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

/// Whether an attempt may have put data into the target.
fn may_have_written(status: &RestoreStatus) -> bool {
    status.attempts.iter().any(|attempt| {
        !matches!(attempt.touched, Some(Truth::False)) || attempt.outcome.as_deref() == Some("Restored")
    })
}

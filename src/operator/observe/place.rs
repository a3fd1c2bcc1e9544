//! A restore's place in the queue of its server, and whether it was there before.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::under_way;
use crate::api::DatabaseRestore;
use crate::operator::context::Context;
use crate::operator::decide::{Resolved, is_active, is_ended};
use crate::operator::names::{ANNOTATION_EXECUTED, LABEL_UID};
use crate::operator::queue::{Holder, Places, Queue};
use crate::operator::view::{Load, Place};
use crate::plan::{Mode, Problem};

/// The place, and whether an earlier object of this name has run.
pub(super) fn look(
    context: &Context,
    restore: &DatabaseRestore,
    resolved: &Result<Resolved, Vec<Problem>>,
) -> (Place, bool) {
    let uid = restore.metadata.uid.clone().unwrap_or_default();
    let status = restore.status.as_ref();
    let queue = resolved.as_ref().ok().and_then(|resolved| resolved.queue.as_ref());
    let Some(queue) = queue else { return (held_anywhere(context, &uid), false) };
    let lease = lease(context, queue);
    let places = lease.as_deref().map(Places::read).unwrap_or_default();
    let recreated =
        restore.spec.mode == Mode::Restore && (places.has_run_before(restore) || is_marked(restore));
    if places.holds(&uid) {
        context.shared.waiting.leave(&uid);
        return (Place::Held, recreated);
    }
    if is_ended(status) || is_active(status) {
        context.shared.waiting.leave(&uid);
        return (Place::NotNeeded, recreated);
    }
    (free(context, restore, queue, &places), recreated)
}

fn lease(context: &Context, queue: &Queue) -> Option<Arc<Lease>> {
    let key = ObjectRef::new(&queue.lease).within(&context.shared.settings.namespace);
    context.shared.leases.get(&key)
}

/// A restore whose references are gone may still hold a place.
fn held_anywhere(context: &Context, uid: &str) -> Place {
    let held = context.shared.leases.find(|lease| Places::read(lease).holds(uid));
    if held.is_some() { Place::Held } else { Place::NotNeeded }
}

/// Whether the object was started under another uid, or was and has lost its status.
fn is_marked(restore: &DatabaseRestore) -> bool {
    let executed = restore.annotations().get(ANNOTATION_EXECUTED);
    let attempts = restore.status.as_ref().map_or(0, |status| status.attempts.len());
    match executed {
        None => false,
        Some(uid) => Some(uid) != restore.metadata.uid.as_ref() || attempts == 0,
    }
}

fn free(context: &Context, restore: &DatabaseRestore, queue: &Queue, places: &Places) -> Place {
    let alive: Vec<&Holder> = places.holders.iter().filter(|holder| !is_gone(context, holder)).collect();
    let ahead = context.shared.waiting.enter(&queue.lease, restore);
    let ahead = ahead.into_iter().find(|holder| waits(context, holder));
    let room = queue.places > alive.len();
    match (room, ahead, alive.first()) {
        (true, None, _) => Place::Free,
        (true, Some(ahead), _) => Place::Taken { by: ahead.path() },
        (false, _, first) => Place::Taken { by: first.map(|holder| holder.path()).unwrap_or_default() },
    }
}

/// Whether a holder has nothing that runs any more, so that its place counts as free.
pub(crate) fn is_gone(context: &Context, holder: &Holder) -> bool {
    let restore = context.shared.restore_of(holder);
    let over = restore
        .is_none_or(|restore| !is_active(restore.status.as_ref()) && is_ended(restore.status.as_ref()));
    let pod = context.caches.pods.find(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.labels().get(LABEL_UID) == Some(&holder.uid) && !matches!(phase, Some("Succeeded" | "Failed"))
    });
    over && pod.is_none()
}

/// Whether one that is ahead still waits for the place.
fn waits(context: &Context, holder: &Holder) -> bool {
    context.shared.restore_of(holder).is_some_and(|restore| wants_place(&restore))
}

/// Whether a restore would start if it got a place. One that waits for a person, a Secret or its next
/// attempt lets the others go first.
fn wants_place(restore: &DatabaseRestore) -> bool {
    let status = restore.status.as_ref();
    let ready = status.and_then(|status| status.conditions.iter().find(|it| it.type_ == "Ready"));
    !is_ended(status)
        && !is_active(status)
        && !restore.spec.suspend
        && !restore.spec.cancel
        && restore.metadata.deletion_timestamp.is_none()
        && ready.is_none_or(|ready| matches!(ready.reason.as_str(), "WaitingForTarget" | "Pending"))
}

/// The runs of others that are under way; counted only where there is a limit.
pub(super) fn load(context: &Context, restore: &DatabaseRestore) -> Load {
    let settings = &context.shared.settings;
    let (limit_all, limit_here) = (settings.max_concurrent, settings.max_concurrent_per_namespace);
    if limit_all == 0 && limit_here == 0 {
        return Load::default();
    }
    let uid = restore.metadata.uid.as_ref();
    let all = context.shared.restores(|it| is_active(it.status.as_ref()));
    let here: Vec<_> = all.iter().filter(|it| it.namespace() == restore.namespace()).cloned().collect();
    Load { all: under_way(&all, uid), here: under_way(&here, uid), limit_all, limit_here }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;
    use crate::api::restore::RestoreStatus;

    #[test]
    fn one_that_waits_for_something_else_is_in_nobodys_way() {
        for (reason, expected) in [
            (None, true),
            (Some("Pending"), true),
            (Some("WaitingForTarget"), true),
            (Some("ConfirmationRequired"), false),
            (Some("PlanChanged"), false),
            (Some("SecretMissing"), false),
            (Some("ReferenceNotFound"), false),
            (Some("Holding"), false),
            (Some("TargetLocked"), false),
        ] {
            let mut restore = crate::operator::test_support::restore("r", "u");
            restore.status = reason.map(|reason| RestoreStatus {
                conditions: vec![Condition {
                    type_: "Ready".into(),
                    status: "Unknown".into(),
                    reason: reason.into(),
                    message: String::new(),
                    observed_generation: None,
                    last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
                }],
                ..RestoreStatus::default()
            });
            assert_eq!(wants_place(&restore), expected, "{reason:?}");
            restore.spec.suspend = true;
            assert!(!wants_place(&restore), "{reason:?}");
        }
    }
}

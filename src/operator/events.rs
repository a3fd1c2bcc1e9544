//! Events on the restore: its story in a few lines. What an event says is in the status too.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use super::draft;
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::status::Phase;
use crate::reason::{Class, Reason};

/// Longest note, in bytes, that the API takes.
const NOTE_LIMIT_BYTES: usize = 1000;

/// What is told when a status becomes another one; `None` for what goes without saying.
pub fn told(old: Option<&RestoreStatus>, new: &RestoreStatus) -> Option<(EventType, String, String)> {
    let ready = new.conditions.iter().find(|it| it.type_ == "Ready")?;
    let was = old.and_then(|old| old.conditions.iter().find(|it| it.type_ == "Ready"));
    let old_phase = old.and_then(|old| old.phase);
    let say = |kind, reason: &str, message: &str| Some((kind, reason.to_owned(), message.to_owned()));
    if new.completion_time.is_some() {
        if old.is_some_and(|old| old.completion_time.is_some()) {
            return None;
        }
        let kind = if ready.status == "True" { EventType::Normal } else { EventType::Warning };
        let reason = if ready.status == "True" { "Completed" } else { ready.reason.as_str() };
        return say(kind, reason, &ready.message);
    }
    if new.attempts.len() > old.map_or(0, |old| old.attempts.len())
        && let Some(attempt) = draft::active(new)
    {
        return say(
            EventType::Normal,
            "Started",
            &format!("attempt {} runs as Job {}", attempt.number, attempt.job_name),
        );
    }
    match new.phase {
        Some(Phase::WaitingForTarget) if old_phase != new.phase => {
            say(EventType::Normal, "WaitingForTarget", &ready.message)
        }
        Some(Phase::AwaitingConfirmation) if was.is_none_or(|was| was.message != ready.message) => {
            say(EventType::Warning, "AwaitingConfirmation", &ready.message)
        }
        Some(Phase::Holding) if old_phase != new.phase => say(EventType::Warning, "Holding", &ready.message),
        _ if was.is_none_or(|was| was.reason != ready.reason) && is_trouble(&ready.reason) => {
            say(EventType::Warning, &ready.reason, &ready.message)
        }
        _ => None,
    }
}

/// Whether a reason says that something is in the way.
fn is_trouble(reason: &str) -> bool {
    Reason::from_name(reason).is_some_and(|reason| reason.facts().class != Class::Confirmation)
}

/// Tells it. An event that cannot be written is logged: nothing depends on it.
pub async fn publish(recorder: &Recorder, restore: &DatabaseRestore, event: (EventType, String, String)) {
    let (type_, reason, message) = event;
    let note = message.get(..message.floor_char_boundary(NOTE_LIMIT_BYTES)).unwrap_or_default().to_owned();
    let event = Event { type_, reason, note: Some(note), action: "Restore".to_owned(), secondary: None };
    if let Err(error) = recorder.publish(&event, &restore.object_ref(&())).await {
        tracing::warn!("failed to write an event: {error}");
    }
}

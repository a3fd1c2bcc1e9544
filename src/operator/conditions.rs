//! Conditions: their types in one place, and the one function that sets them.
//!
//! Progress is `Ready=Unknown` with `Reconciling=True`; blocked on a person is `Stalled=True`; an end is
//! `Complete` or `Failed`. Tools that follow kstatus read it the same way.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::restore::RestoreStatus;
use crate::api::restore::status::Truth;

/// Longest message of a condition, in bytes.
const MESSAGE_LIMIT_BYTES: usize = 1024;

/// The types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// The run ended well.
    Ready,
    /// The run ended well; reason `Restored`, `Planned` or `Verified`.
    Complete,
    /// The run ended badly; the reason is stable.
    Failed,
    /// Something is being done.
    Reconciling,
    /// It failed, or a person has to do something.
    Stalled,
    /// The backup was read to its end and proven.
    ArtifactVerified,
    /// The target fits.
    PreflightPassed,
    /// An existing target was changed.
    TargetModified,
}

impl ConditionType {
    /// The name as it stands in the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::ArtifactVerified => "ArtifactVerified",
            Self::PreflightPassed => "PreflightPassed",
            Self::TargetModified => "TargetModified",
        }
    }
}

/// What a condition says.
#[derive(Clone, Debug)]
pub struct Says<'a> {
    /// Its type.
    pub kind: ConditionType,
    /// Its status.
    pub holds: Truth,
    /// One CamelCase word.
    pub reason: &'a str,
    /// A sentence.
    pub message: &'a str,
}

/// Inserts or replaces a condition. Its transition time moves only when its status flips, so equal
/// passes give equal objects and wake nobody.
pub fn set(status: &mut RestoreStatus, says: &Says<'_>, generation: Option<i64>, now: Timestamp) {
    let value = match says.holds {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    let name = says.kind.name();
    let old = status.conditions.iter().find(|it| it.type_ == name && it.status == value);
    let since = old.map_or_else(|| Time(whole_second(now)), |it| it.last_transition_time.clone());
    status.conditions.retain(|it| it.type_ != name);
    status.conditions.push(Condition {
        type_: name.to_owned(),
        status: value.to_owned(),
        reason: says.reason.to_owned(),
        message: cut(says.message),
        observed_generation: generation,
        last_transition_time: since,
    });
    status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
}

/// Removes a condition.
pub fn remove(status: &mut RestoreStatus, kind: ConditionType) {
    status.conditions.retain(|it| it.type_ != kind.name());
}

/// Times in a status have no fractions: what is written must be what is read back.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `text` in at most the bytes of a message.
pub fn cut(text: &str) -> String {
    if text.len() <= MESSAGE_LIMIT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MESSAGE_LIMIT_BYTES - '…'.len_utf8());
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let unequal = [
            (Truth::False, Truth::False, 1),
            (Truth::False, Truth::True, 2),
            (Truth::True, Truth::True, 1),
            (Truth::True, Truth::Unknown, 2),
        ];
        for (before, after, expected) in unequal {
            let mut status = RestoreStatus::default();
            for (holds, second) in [(before, 1), (after, 2)] {
                let says = Says { kind: ConditionType::Ready, holds, reason: "R", message: "m" };
                set(&mut status, &says, Some(1), at(second));
            }
            assert_eq!(status.conditions[0].last_transition_time.0, at(expected), "{before:?} {after:?}");
            assert_eq!(status.conditions.len(), 1);
        }
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(512)), "é".repeat(512));
        let long = cut(&"é".repeat(513));
        assert!(long.len() <= MESSAGE_LIMIT_BYTES && long.ends_with("é…"), "{}", long.len());
    }
}

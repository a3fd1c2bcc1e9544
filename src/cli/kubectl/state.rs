//! How far a restore is, read from the conditions of its status. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::record::PlannedDatabase;
use crate::api::restore::status::Phase;
use crate::cli::exit::ExitCode;
use crate::operator::conditions::ConditionType;
use crate::reason::Reason;
use crate::report::TargetModified;

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No operator has looked at it yet.
    Unseen,
    /// It waits for a person to confirm what would be lost.
    Asking,
    /// It is under way, or waits for something else.
    UnderWay,
    /// It ended well.
    Good,
    /// It ended badly, on this side of the first write.
    Bad(TargetModified),
}

/// The state of `restore`.
pub fn of(restore: &DatabaseRestore) -> State {
    let Some(status) = restore.status.as_ref().filter(|status| status.observed_generation >= 0) else {
        return State::Unseen;
    };
    let is_true = |kind| condition(status, kind).is_some_and(|it| it.status == "True");
    if is_true(ConditionType::Complete) {
        State::Good
    } else if is_true(ConditionType::Failed) {
        State::Bad(modified(status))
    } else if status.phase == Some(Phase::AwaitingConfirmation) {
        State::Asking
    } else {
        State::UnderWay
    }
}

impl State {
    /// Whether nothing will change any more.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Good | Self::Bad(_))
    }
}

/// The exit code of a run as it is now; `None` while it is under way.
pub fn exit_code(restore: &DatabaseRestore) -> Option<ExitCode> {
    match of(restore) {
        State::Unseen | State::UnderWay => None,
        State::Asking => Some(ExitCode::ConfirmationNeeded),
        State::Good => Some(ExitCode::Success),
        State::Bad(modified) => {
            let reason = restore.status.as_ref().map(reason).and_then(Reason::from_name);
            // A reason that a newer operator has written is still a failure.
            Some(ExitCode::failed(reason.unwrap_or(Reason::InternalError), modified))
        }
    }
}

/// Whether an existing target was changed.
pub fn modified(status: &RestoreStatus) -> TargetModified {
    match condition(status, ConditionType::TargetModified).map(|it| it.status.as_str()) {
        Some("False") => TargetModified::False,
        Some("True") => TargetModified::True,
        None if status.attempts.is_empty() => TargetModified::False,
        Some(_) | None => TargetModified::Unknown,
    }
}

/// One condition.
pub fn condition(status: &RestoreStatus, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|it| it.type_ == kind.name())
}

/// The reason in one word: why it ended, or what it waits for.
pub fn reason(status: &RestoreStatus) -> &str {
    condition(status, ConditionType::Ready).map_or("", |it| it.reason.as_str())
}

/// The reason in a sentence.
pub fn message(status: &RestoreStatus) -> &str {
    condition(status, ConditionType::Ready).map_or("", |it| it.message.as_str())
}

/// The databases that a person has to confirm, by their exact names.
pub fn asked_about(status: &RestoreStatus) -> Vec<&PlannedDatabase> {
    let plan = status.plan.iter().flat_map(|plan| &plan.databases);
    plan.filter(|row| row.holds.is_some()).collect()
}

/// A restore as it was read from a real cluster.
#[cfg(test)]
pub(super) fn sample(name: &str) -> DatabaseRestore {
    let path = format!("{}/tests/fixtures/restores/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_what_the_conditions_say() {
        for (name, state, code) in [
            ("restored", State::Good, Some(ExitCode::Success)),
            ("swapped", State::Good, Some(ExitCode::Success)),
            ("asking", State::Asking, Some(ExitCode::ConfirmationNeeded)),
            ("not-found", State::Bad(TargetModified::False), Some(ExitCode::Untouched)),
            ("lost", State::Bad(TargetModified::Unknown), Some(ExitCode::TouchedUnknown)),
            ("cancelled", State::Bad(TargetModified::False), Some(ExitCode::Stopped)),
            ("unresolved", State::UnderWay, None),
        ] {
            let restore = sample(name);
            assert_eq!((of(&restore), exit_code(&restore)), (state, code), "{name}");
        }
        let mut unseen = sample("restored");
        unseen.status = None;
        assert_eq!((of(&unseen), exit_code(&unseen)), (State::Unseen, None));
    }

    #[test]
    fn every_failure_has_the_code_that_a_local_run_has() {
        let mut restore = sample("not-found");
        for reason in Reason::ALL {
            for (modified, expected) in [
                ("False", ExitCode::untouched(*reason)),
                ("True", ExitCode::Touched),
                ("Unknown", ExitCode::TouchedUnknown),
            ] {
                for condition in &mut restore.status.as_mut().unwrap().conditions {
                    match condition.type_.as_str() {
                        "TargetModified" => modified.clone_into(&mut condition.status),
                        _ => reason.name().clone_into(&mut condition.reason),
                    }
                }
                assert_eq!(exit_code(&restore), Some(expected), "{reason} {modified}");
            }
        }
    }
}

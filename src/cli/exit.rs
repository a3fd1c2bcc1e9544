//! Exit codes: one enum, which says on which side of the first write a command ended.

use std::process;

use crate::reason::{Class, Reason};
use crate::report::{Outcome, RestoreReport, TargetModified};

/// How the process ends. The numbers are part of the interface (`docs/exit-codes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done: restored, planned, verified, extracted or listed.
    Success = 0,
    /// The command line or a manifest is not valid. Nothing was written.
    Usage = 2,
    /// The target holds data and nobody has confirmed its replacement. Nothing was written.
    ConfirmationNeeded = 3,
    /// The backup is not good, cannot be opened or cannot be shown to be whole. Nothing was written.
    BackupNotGood = 10,
    /// It failed for another reason before anything of the target was changed.
    Untouched = 11,
    /// Like 11, and the same command may succeed later with nothing changed.
    UntouchedRetryable = 12,
    /// It failed after an existing target was changed.
    Touched = 20,
    /// It failed, and an existing target may have been changed.
    TouchedUnknown = 21,
    /// It was stopped (Ctrl-C, SIGTERM, timeout) before anything of the target was changed.
    Stopped = 30,
    /// It goes on on the cluster, and nobody here waits for its end any more.
    GoesOn = 40,
}

impl ExitCode {
    /// All codes with what they mean, for the page and for `--help`.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Success, "Done: restored, planned, verified, extracted or listed."),
        (Self::Usage, "The command line or a manifest is not valid. Nothing was written."),
        (
            Self::ConfirmationNeeded,
            "The target holds data and its replacement is not confirmed. Nothing was written.",
        ),
        (
            Self::BackupNotGood,
            "The backup is not good, cannot be opened, or cannot be shown to be whole. Nothing was written.",
        ),
        (Self::Untouched, "Failed before an existing target was changed."),
        (
            Self::UntouchedRetryable,
            "Failed before an existing target was changed; the same command may succeed later.",
        ),
        (Self::Touched, "Failed after an existing target was changed."),
        (Self::TouchedUnknown, "Failed, and an existing target may have been changed."),
        (Self::Stopped, "Stopped (Ctrl-C, SIGTERM, timeout) before an existing target was changed."),
        (
            Self::GoesOn,
            "`kubectl reinstate` was stopped or its `--timeout` is over; the restore goes on on the cluster.",
        ),
    ];

    /// The code for a failure that wrote nothing.
    pub fn untouched(reason: Reason) -> Self {
        match reason.facts().class {
            Class::Confirmation => Self::ConfirmationNeeded,
            Class::Stopped => Self::Stopped,
            Class::Backup => Self::BackupNotGood,
            Class::Request if reason == Reason::InvalidSpec => Self::Usage,
            Class::Request | Class::Storage | Class::Target | Class::Cluster | Class::Internal => {
                if reason.is_retryable() { Self::UntouchedRetryable } else { Self::Untouched }
            }
        }
    }

    /// The code for a run.
    pub fn of_report(report: &RestoreReport) -> Self {
        let Some(failure) = &report.failure else { return Self::Success };
        match report.outcome {
            Outcome::AwaitingConfirmation => Self::ConfirmationNeeded,
            _ => Self::failed(failure.reason, report.target_modified),
        }
    }

    /// The code for a run that has failed.
    pub fn failed(reason: Reason, modified: TargetModified) -> Self {
        match modified {
            TargetModified::False => Self::untouched(reason),
            TargetModified::True => Self::Touched,
            TargetModified::Unknown => Self::TouchedUnknown,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_that_says_untouched() {
        for reason in Reason::ALL {
            let code = ExitCode::untouched(*reason) as u8;
            assert!((2..20).contains(&code) || code == 30, "{reason}: {code}");
        }
        assert_eq!(ExitCode::untouched(Reason::NoProfileFits), ExitCode::BackupNotGood);
        assert_eq!(ExitCode::untouched(Reason::SourceUnavailable), ExitCode::UntouchedRetryable);
    }
}

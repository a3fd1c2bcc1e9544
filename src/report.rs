//! What a run reports at its end: the same document for people, scripts and the operator.
//!
//! The JSON form is stable and documented in `docs/report.md`; a field that is not known is `null`.

use std::fmt;

use indicatif::BinaryBytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Everything was proven, loaded, compared and put in place.
    Restored,
    /// Everything up to the first write was done and is possible.
    Planned,
    /// The backup is good.
    Verified,
    /// Everything was loaded and compared beside the target; the switch waits for a person.
    Held,
    /// What runs had left beside the target was removed.
    Discarded,
    /// A person has to confirm first; nothing was written.
    AwaitingConfirmation,
    /// It failed; `targetModified` says on which side of the first write.
    Failed,
}

/// Whether an existing target was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetModified {
    /// Nothing of an existing target was changed.
    False,
    /// It was changed.
    True,
    /// It may have been changed.
    Unknown,
}

/// The report of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// Namespace of the request.
    pub namespace: String,
    /// Name of the request.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether an existing target was changed.
    pub target_modified: TargetModified,
    /// Start of the run.
    pub start_time: Timestamp,
    /// Seconds that it took.
    pub seconds: f64,
    /// The backup, as far as it was read.
    pub backup: Option<BackupReport>,
    /// The target, as far as it was looked at.
    pub target: Option<TargetReport>,
    /// What was compared.
    pub verification: Option<VerificationReport>,
    /// The failure.
    pub failure: Option<FailureReport>,
    /// What a failed run left beside the target.
    #[serde(default)]
    pub leftovers: Vec<String>,
    /// Things a person should know.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The steps with their times.
    #[serde(default)]
    pub stages: Vec<StageReport>,
}

impl RestoreReport {
    /// The report of a run that has begun and of which nothing is known yet.
    pub fn begun(namespace: &str, name: &str, start_time: Timestamp) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            outcome: Outcome::Failed,
            target_modified: TargetModified::False,
            start_time,
            seconds: 0.0,
            backup: None,
            target: None,
            verification: None,
            failure: None,
            leftovers: Vec::new(),
            warnings: Vec::new(),
            stages: Vec::new(),
        }
    }
}

/// The backup of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Path in the storage destination.
    pub path: String,
    /// The storage destination.
    pub storage: String,
    /// Stored bytes.
    pub size: u64,
    /// Entity tag of the stored object; of a file, one that is made of its time and size.
    pub etag: Option<String>,
    /// Version of the stored object, where it has one.
    #[serde(rename = "versionID")]
    pub version_id: Option<String>,
    /// SHA-256 of the stored file, where all of it was read.
    pub sha256: Option<String>,
    /// What shows that it is whole.
    pub proof: Option<String>,
    /// When it was made.
    pub timestamp: Option<Timestamp>,
    /// Its format.
    pub format: Option<String>,
    /// Its compression.
    pub compression: Option<String>,
    /// Its encryption.
    pub encryption: Option<String>,
    /// The profile whose key fitted.
    pub profile: Option<String>,
    /// The key was found by trying.
    #[serde(default)]
    pub discovered: bool,
    /// Its engine.
    pub engine: Option<String>,
    /// That server's version.
    pub engine_version: Option<String>,
}

/// The targets of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// `connection/database`.
    pub summary: String,
    /// Its engine.
    pub engine: String,
    /// Its version.
    pub version: Option<String>,
    /// What its server calls itself, where it has such a thing.
    pub identity: Option<String>,
    /// Where it is, for people.
    pub place: String,
    /// What identifies the plan that was shown; a confirmation may carry it.
    pub plan_token: String,
    /// `Swap` or `Direct`: how data that the target holds is replaced.
    #[serde(default)]
    pub strategy: String,
    /// A person has to confirm before data is replaced.
    #[serde(default)]
    pub confirmation_required: bool,
    /// Room at the target.
    pub space: Option<SpaceReport>,
    /// The databases.
    #[serde(default)]
    pub databases: Vec<DatabaseReport>,
    /// What was loaded and verified beside the targets and waits for the switch, by its names.
    #[serde(default)]
    pub held: Vec<String>,
}

/// Room at the target, in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpaceReport {
    /// Needed for the load beside the old data, and for the kept copy.
    pub needed: u64,
    /// Free.
    pub free: u64,
}

/// One database of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseReport {
    /// Name in the backup.
    pub from: Option<String>,
    /// Name in the target.
    pub to: String,
    /// `Create`, `Replace` or `Swap`.
    pub action: String,
    /// What the target held before.
    pub holds: Option<HoldsReport>,
    /// Tables in the restored database.
    pub tables: Option<u64>,
    /// Rows in the restored database.
    pub rows: Option<u64>,
    /// Bytes of the restored database, or of the dump where it was not restored.
    pub bytes: Option<u64>,
    /// The replaced data, where it was kept.
    pub previous: Option<PreviousReport>,
}

/// What a target held.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldsReport {
    /// Tables.
    pub tables: Option<u64>,
    /// Rows, exact or estimated.
    pub rows_estimate: Option<u64>,
    /// Bytes.
    pub bytes: u64,
}

/// In words, such as `2 tables, ≈1 325 rows, 60.00 KiB`.
impl fmt::Display for HoldsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tables) = self.tables {
            write!(f, "{}, ", counted(tables, "table"))?;
        }
        if let Some(rows) = self.rows_estimate {
            write!(f, "≈{}, ", counted(rows, "row"))?;
        }
        write!(f, "{}", BinaryBytes(self.bytes))
    }
}

/// A number of things, such as `1 row` or `61 440 rows`.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number in groups of three digits, such as `61 440`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Replaced data that was kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousReport {
    /// Its name.
    pub name: String,
    /// Until when it is kept at least.
    pub until: Option<Timestamp>,
    /// Bytes.
    pub bytes: u64,
}

/// What was compared after the load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationReport {
    /// Rows per table, counted.
    #[serde(default)]
    pub tables: Vec<TableReport>,
    /// What was checked, one phrase each.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Queries of the manifest that answered true.
    #[serde(default)]
    pub queries: u64,
}

/// Rows of one table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableReport {
    /// The target that it is in.
    #[serde(default)]
    pub database: String,
    /// Name.
    pub name: String,
    /// Rows counted in the restored database.
    pub rows: u64,
    /// Rows in the dump, where the dump says.
    pub expected: Option<u64>,
}

/// Why a run failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// The step that failed.
    pub stage: String,
    /// The stable reason; `docs/reasons.md`.
    pub reason: Reason,
    /// What failed, on what.
    pub message: String,
    /// The words of the database, the network or the file system.
    pub engine_error: Option<String>,
    /// What to do.
    pub hint: String,
    /// The same run may succeed later with nothing changed.
    #[serde(default)]
    pub retryable: bool,
}

/// One step and its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// Seconds from the start of the run to its begin.
    #[serde(default)]
    pub begin: f64,
    /// Seconds.
    pub seconds: f64,
    /// Bytes that it read, where it did.
    pub bytes: Option<u64>,
}

/// How far a run is, as the runner tells it while it goes. For showing only: nothing is decided from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressReport {
    /// The stage, such as `Download` or `Restore`.
    pub stage: String,
    /// What it works on.
    pub what: String,
    /// Bytes of this step done.
    pub done: u64,
    /// Bytes of this step in all; 0 where it is not known.
    pub total: u64,
    /// Grows with every new step.
    pub step: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_holds_is_told_as_far_as_it_is_known() {
        for (tables, rows_estimate, expected) in [
            (Some(2), Some(1_325), "2 tables, ≈1 325 rows, 60.00 KiB"),
            (Some(1), Some(1), "1 table, ≈1 row, 60.00 KiB"),
            (Some(0), None, "0 tables, 60.00 KiB"),
            (None, None, "60.00 KiB"),
        ] {
            assert_eq!(HoldsReport { tables, rows_estimate, bytes: 61_440 }.to_string(), expected);
        }
        assert_eq!([grouped(0), grouped(999), grouped(1_000_000)].join("|"), "0|999|1 000 000");
    }
}

//! What a report says of a fault and of a proven backup.

use crate::reason::Reason;
use crate::report::{BackupReport, FailureReport};
use crate::runner::engine::Survey;
use crate::runner::fault::{Fault, Stage};
use crate::runner::meter::sha256;
use crate::runner::read::Examined;
use crate::runner::source::{Artifact, ObjectStat};

/// The report's words for a fault.
pub fn failure(fault: &Fault) -> FailureReport {
    let full = fault.full_message();
    let below = full.strip_prefix(fault.message.as_str()).map(|rest| rest.trim_start_matches(": "));
    FailureReport {
        stage: fault.stage.name().to_owned(),
        reason: fault.reason,
        message: fault.message.clone(),
        engine_error: below.filter(|text| !text.is_empty()).map(str::to_owned),
        hint: fault.reason.hint().to_owned(),
        retryable: fault.reason.is_retryable(),
    }
}

/// The report's words for a proven backup.
pub fn backup_report(examined: &Examined) -> BackupReport {
    let format = if examined.dbackup {
        Some("DBackup".to_owned())
    } else {
        examined.format().map(|format| format!("{format:?}"))
    };
    BackupReport {
        path: examined.artifact.path.clone(),
        storage: examined.artifact.store.describe(),
        size: examined.size,
        etag: None,
        version_id: None,
        sha256: examined.stored_sha256.map(hex::encode),
        proof: examined.proof.map(|proof| format!("{proof:?}")),
        timestamp: examined.timestamp(),
        format,
        compression: examined.compression().map(|codec| codec.name().to_owned()),
        encryption: examined.encryption.as_ref().map(|seal| seal.algorithm.to_owned()),
        profile: examined.encryption.as_ref().map(|seal| seal.profile.clone()),
        discovered: examined.encryption.as_ref().is_some_and(|seal| seal.discovered),
        engine: examined.engine.map(|engine| format!("{engine:?}")),
        engine_version: examined.engine_version.clone(),
    }
}

/// The fault for a database that a mapping names and the backup does not hold.
pub(super) fn not_held(name: &str, examined: &Examined) -> Fault {
    let held: Vec<_> = examined.databases.iter().filter_map(|entry| entry.name.as_deref()).collect();
    let message = format!("there is no database {name:?} in the backup; it holds: {}", held.join(", "));
    Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, message)
}

/// The fault for a plan and a backup that do not name a common database.
pub(super) fn no_database() -> Fault {
    Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, "there is no database in the backup")
}

/// What identifies a plan: the pinned backup, the target as it was seen, and what would be done.
pub(super) fn plan_token(
    artifact: &Artifact,
    stat: Option<&ObjectStat>,
    survey: &Survey,
    references: &str,
) -> String {
    let pin = stat.map(|stat| &stat.pin);
    let text = format!(
        "{} {pin:?} {} {} {:?} {references}",
        artifact.path, survey.target, survey.identity, survey.action
    );
    hex::encode(sha256(text.as_bytes()).get(..8).unwrap_or_default())
}

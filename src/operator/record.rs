//! From the runner's verdict to the record in the status. Pure: it maps and cuts, and decides nothing.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{cut, whole_second};
use crate::api::restore::RestoreStatus;
use crate::api::restore::record::{
    Action, BackupStatus, DatabaseStatus, HoldsStatus, IncomingStatus, PlanStatus, PlannedDatabase,
    PreviousStatus, SpaceStatus, TargetStatus, VerificationStatus,
};
use crate::api::restore::status::{FailureStatus, StageStatus, Truth};
use crate::plan::pod;
use crate::report::{
    BackupReport, DatabaseReport, FailureReport, Outcome, RestoreReport, StageReport, TargetModified,
    TargetReport, VerificationReport, counted,
};

/// The name of an outcome as it stands in an attempt.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Restored => "Restored",
        Outcome::Planned => "Planned",
        Outcome::Verified => "Verified",
        Outcome::Held => "Held",
        Outcome::Discarded => "Discarded",
        Outcome::AwaitingConfirmation => "AwaitingConfirmation",
        Outcome::Failed => "Failed",
    }
}

/// Whether an existing target was changed.
pub const fn truth(modified: TargetModified) -> Truth {
    match modified {
        TargetModified::False => Truth::False,
        TargetModified::True => Truth::True,
        TargetModified::Unknown => Truth::Unknown,
    }
}

/// Why a run failed.
pub fn failure(report: &FailureReport) -> FailureStatus {
    FailureStatus {
        stage: cut(&report.stage),
        reason: report.reason.name().to_owned(),
        message: cut(&report.message),
        engine_error: report.engine_error.as_deref().map(cut),
        hint: Some(cut(&report.hint)).filter(|hint| !hint.is_empty()),
        retryable: report.retryable,
    }
}

/// Writes what `report` says into `status`; what it does not say stays.
pub fn write(status: &mut RestoreStatus, report: &RestoreReport) {
    if let Some(reported) = &report.backup {
        status.backup = Some(backup(reported));
    }
    if let Some(reported) = &report.target {
        status.plan = Some(plan(reported, report));
        status.target = Some(target(reported));
    }
    if let Some(reported) = &report.verification {
        status.verification = Some(verification(reported, report.target.as_ref()));
    }
    status.warnings = report.warnings.iter().take(64).map(|text| cut(text)).collect();
    status.leftovers = report.leftovers.iter().take(64).map(|text| cut(in_volume(text))).collect();
    status.stages = report.stages.iter().take(16).map(|it| stage(it, report.start_time)).collect();
}

/// A path in the runner's pod as the user knows it: below the volume's root.
fn in_volume(path: &str) -> &str {
    let below = path.strip_prefix(pod::CLAIMS_FOLDER).and_then(|rest| rest.strip_prefix('/'));
    below.and_then(|rest| rest.split_once('/')).map_or(path, |(_, path)| path)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn backup(report: &BackupReport) -> BackupStatus {
    let enumerated = |text: &Option<String>| text.clone().map(serde_json::Value::String);
    BackupStatus {
        path: Some(cut(&report.path)),
        etag: report.etag.as_deref().map(cut),
        version_id: report.version_id.as_deref().map(cut),
        size: Some(number(report.size)),
        sha256: report.sha256.clone().filter(|sha| sha.len() <= 64),
        proof: report.proof.clone(),
        timestamp: report.timestamp.map(|time| Time(whole_second(time))),
        format: enumerated(&report.format).and_then(|name| serde_json::from_value(name).ok()),
        compression: report.compression.as_deref().and_then(compression),
        encryption: report.encryption.clone(),
        profile: report.profile.clone(),
        discovered: report.profile.as_ref().map(|_| report.discovered),
        engine: report.engine.clone(),
        engine_version: report.engine_version.clone(),
    }
}

/// The codec by its name in reports, which is in lower case.
fn compression(name: &str) -> Option<crate::api::restore::Compression> {
    let mut letters = name.chars();
    let first = letters.next()?.to_ascii_uppercase();
    serde_json::from_value(format!("{first}{}", letters.as_str()).into()).ok()
}

fn action(name: &str) -> Option<Action> {
    serde_json::from_value(name.into()).ok()
}

fn target(report: &TargetReport) -> TargetStatus {
    TargetStatus {
        summary: Some(cut(&report.summary)),
        engine: serde_json::from_value(report.engine.clone().into()).ok(),
        version: report.version.clone(),
        identity: report.identity.as_deref().map(cut),
        held: report.held.iter().take(16).map(|name| cut(name)).collect(),
        databases: report.databases.iter().map(database).collect(),
        databases_omitted: None,
    }
}

fn database(report: &DatabaseReport) -> DatabaseStatus {
    DatabaseStatus {
        from: report.from.clone().unwrap_or_else(|| report.to.clone()),
        to: report.to.clone(),
        action: action(&report.action),
        tables: report.tables.map(number),
        rows: report.rows.map(number),
        bytes: report.bytes.map(number),
        previous: report.previous.as_ref().map(|previous| PreviousStatus {
            name: cut(in_volume(&previous.name)),
            until: previous.until.map(|time| Time(whole_second(time))),
            bytes: Some(number(previous.bytes)),
        }),
    }
}

fn plan(target: &TargetReport, report: &RestoreReport) -> PlanStatus {
    let databases = target.databases.iter().filter_map(|row| {
        Some(PlannedDatabase {
            to: row.to.clone(),
            action: action(&row.action)?,
            holds: row.holds.as_ref().map(|holds| HoldsStatus {
                tables: holds.tables.map(number),
                rows_estimate: holds.rows_estimate.map(number),
                bytes: Some(number(holds.bytes)),
            }),
            incoming: row.bytes.map(|bytes| IncomingStatus {
                tables: row.tables.map(number),
                rows: row.rows.map(number),
                bytes: Some(number(bytes)),
            }),
        })
    });
    PlanStatus {
        token: Some(cut(&target.plan_token)),
        strategy: None,
        confirmation_required: Some(target.confirmation_required),
        space: target.space.map(|space| SpaceStatus {
            needed: Some(number(space.needed)),
            free: Some(number(space.free)),
            known: true,
        }),
        databases: databases.collect(),
        findings: report.warnings.iter().take(64).map(|text| cut(text)).collect(),
    }
}

fn verification(report: &VerificationReport, target: Option<&TargetReport>) -> VerificationStatus {
    let sum = |of: fn(&DatabaseReport) -> Option<u64>| {
        target.and_then(|target| target.databases.iter().filter_map(of).reduce(u64::saturating_add))
    };
    let (tables, rows) = (sum(|row| row.tables), sum(|row| row.rows));
    let mut parts = Vec::new();
    parts.extend(tables.map(|tables| counted(tables, "table")));
    parts.extend(rows.map(|rows| counted(rows, "row")));
    parts.extend(report.checks.iter().cloned());
    VerificationStatus {
        tables: tables.map(number),
        rows: rows.map(number),
        queries: None,
        result: Some(cut(&parts.join(", "))),
    }
}

fn stage(report: &StageReport, start: Timestamp) -> StageStatus {
    let begin = SignedDuration::try_from_secs_f64(report.begin).unwrap_or_default();
    let time = start.checked_add(begin).unwrap_or(start);
    StageStatus {
        name: cut(&report.name),
        start_time: Some(Time(whole_second(time))),
        duration: format!("{:.3}s", report.seconds.max(0.0)).parse().ok(),
        bytes: report.bytes.map(number),
    }
}

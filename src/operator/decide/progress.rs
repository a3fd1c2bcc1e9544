//! What the status shows while a run goes: its target, its phase, its progress. For people only.

use indicatif::BinaryBytes;

use super::Next;
use crate::api::restore::record::{ProgressStatus, TargetStatus};
use crate::api::restore::status::Phase;
use crate::operator::draft::Draft;
use crate::operator::view::Progress;
use crate::plan::{EngineSettings, RestorePlan};
use crate::report::ProgressReport;

/// Two reports of the same stage are written at least so far apart.
const APART_SECONDS: i64 = 10;
/// How soon a running pod is asked again.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// The target as it is known before the first run.
pub(super) fn first_target(plan: &RestorePlan) -> Option<TargetStatus> {
    let target = plan.target.as_ref()?;
    let database = match &target.settings {
        EngineSettings::Sqlite(sqlite) => Some(&sqlite.path),
        EngineSettings::Postgres(_) => target.databases.first().map(|row| &row.to),
    };
    let connection = &target.connection;
    let others = match target.databases.len() {
        ..=1 => String::new(),
        several => format!(" +{}", several - 1),
    };
    Some(TargetStatus {
        summary: Some(
            database.map_or_else(|| connection.clone(), |name| format!("{connection}/{name}{others}")),
        ),
        engine: Some(target.engine()),
        ..TargetStatus::default()
    })
}

/// Bytes in words.
pub(super) fn bytes(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Shows what the runner tells.
pub(super) fn show(draft: &mut Draft, progress: &Progress) -> Next {
    match progress {
        Progress::NotAsked => {}
        Progress::Silent => {
            let message = "the restore runs; its progress cannot be reached from the operator";
            draft.progressing(Phase::Running, "Running", message);
        }
        Progress::Told(report) => told(draft, report),
    }
    Next { commands: Vec::new(), again: Some(ASK_AGAIN) }
}

fn told(draft: &mut Draft, report: &ProgressReport) {
    let phase = phase_of(&report.stage);
    let percent = (report.total > 0).then(|| percent(report));
    let now = draft.time();
    let old = draft.status.progress.clone().unwrap_or_default();
    let same_stage = old.stage.as_deref() == Some(report.stage.as_str());
    let elapsed = old.updated.as_ref().map_or(i64::MAX, |time| now.0.as_second() - time.0.as_second());
    if draft.status.phase == Some(phase) && same_stage && (elapsed < APART_SECONDS || old.percent == percent)
    {
        return;
    }
    let done = i64::try_from(report.done).unwrap_or(i64::MAX);
    let total = i64::try_from(report.total).ok().filter(|total| *total > 0);
    let gained = done.saturating_sub(old.bytes_done.unwrap_or(0));
    let rate = (same_stage && elapsed > 0 && elapsed < i64::MAX && gained >= 0).then(|| gained / elapsed);
    let left = total
        .zip(rate)
        .filter(|(_, rate)| *rate > 0)
        .map(|(total, rate)| total.saturating_sub(done).max(0) / rate);
    draft.progressing(phase, &format!("{phase:?}"), sentence(phase));
    draft.status.progress = Some(ProgressStatus {
        stage: Some(cut(&report.stage, 63)),
        percent,
        bytes_done: Some(done),
        bytes_total: total,
        rate,
        eta: left.and_then(|seconds| format!("{seconds}s").parse().ok()),
        message: Some(cut(&line(report, percent), 253)),
        updated: Some(now),
    });
}

fn percent(report: &ProgressReport) -> i32 {
    let percent = u128::from(report.done) * 100 / u128::from(report.total.max(1));
    i32::try_from(percent.min(100)).unwrap_or(100)
}

/// All of it in one line, such as `62% 1.40 GiB/2.30 GiB`.
fn line(report: &ProgressReport, percent: Option<i32>) -> String {
    match percent {
        Some(percent) => format!("{percent}% {}/{}", bytes(report.done), bytes(report.total)),
        None if report.done > 0 => bytes(report.done),
        None => report.what.clone(),
    }
}

fn cut(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default().to_owned()
}

/// The phase of a runner's stage.
fn phase_of(stage: &str) -> Phase {
    match stage {
        "Download" | "Decrypt" | "Decompress" | "Inspect" => Phase::CheckingBackup,
        "Preflight" => Phase::Preflight,
        "Restore" => Phase::Restoring,
        "Verify" => Phase::Verifying,
        "Switch" => Phase::Switching,
        "CleanUp" => Phase::CleaningUp,
        _ => Phase::Running,
    }
}

const fn sentence(phase: Phase) -> &'static str {
    match phase {
        Phase::CheckingBackup => "the backup is read and proven; nothing was written",
        Phase::Preflight => "the target is looked at; nothing was written",
        Phase::Restoring => "the backup is loaded",
        Phase::Verifying => "what was loaded is compared with the backup",
        Phase::Switching => "the loaded data is put in the place of the old",
        Phase::CleaningUp => "what is no longer needed is removed",
        _ => "the restore runs",
    }
}

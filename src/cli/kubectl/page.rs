//! The page of one restore, for people: what it is about, how far it is, and what to do. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::state::{self, State};
use crate::api::DatabaseRestore;
use crate::api::restore::record::{BackupStatus, DatabaseStatus, HoldsStatus, PlannedDatabase};
use crate::api::restore::status::{Attempt, FailureStatus, Phase};
use crate::api::restore::{Mode, RestoreStatus};
use crate::cli::ask::age;
use crate::cli::output::{bytes, clean, counted, table};
use crate::cli::render;
use crate::cli::verify::indent;
use crate::reason::Reason;
use crate::report::{BackupReport, HoldsReport, TargetModified};

/// Steps shorter than this are not worth a row, in milliseconds.
const STEP_FROM_MILLIS: u128 = 10;

/// The whole page, ending in a line feed.
pub fn page(restore: &DatabaseRestore, now: Timestamp) -> String {
    let mut text = headline(restore, now);
    let status = restore.status.clone().unwrap_or_default();
    text.push_str(&why(restore, &status));
    text.push('\n');
    text.push_str(&backup(restore, &status));
    text.push_str(&target(restore, &status));
    text.push_str(&verification(&status));
    text.push_str(&steps(&status));
    text.push_str(&attempts(&status));
    text.push_str(&notes(&status));
    text.push_str(&undo(&status));
    text
}

/// How far it is, in one line.
pub fn headline(restore: &DatabaseRestore, now: Timestamp) -> String {
    let name = clean(&restore.name_any());
    let status = restore.status.clone().unwrap_or_default();
    let took = status.duration.map_or_else(String::new, |time| format!(" after {time}"));
    let ago = |time: &Option<Time>| {
        time.as_ref().map_or_else(String::new, |time| format!(", {} ago", age(time.0, now)))
    };
    let ended = ago(&status.completion_time);
    let reason = clean(state::reason(&status));
    match state::of(restore) {
        State::Unseen => format!("{name}: no operator has looked at it yet\n"),
        State::Good => format!("{name}: {reason}{took}{ended}\n"),
        State::Bad(modified) => {
            let touched = touched(modified);
            let word = if status.phase == Some(Phase::Cancelled) { "Cancelled" } else { "Failed" };
            format!("{name}: {word}{took}{ended}; {touched}\n")
        }
        State::Asking => format!("{name}: waits for a confirmation; nothing was written\n"),
        State::UnderWay => {
            let phase = status.phase.map_or_else(|| "Pending".to_owned(), |phase| format!("{phase:?}"));
            let progress = status.progress.as_ref().and_then(|it| it.message.as_deref());
            let progress = progress.map_or_else(String::new, |text| format!(", {}", clean(text)));
            let since = status
                .start_time
                .as_ref()
                .map_or_else(String::new, |time| format!(", for {}", age(time.0, now)));
            format!("{name}: {phase}{progress}{since}\n")
        }
    }
}

/// What became of the target, in words that cannot be overlooked where it matters.
pub fn touched(modified: TargetModified) -> &'static str {
    match modified {
        TargetModified::False => "the target was not touched",
        TargetModified::True => "THE TARGET WAS MODIFIED",
        TargetModified::Unknown => "THE TARGET MAY HAVE BEEN MODIFIED",
    }
}

/// Why it is where it is.
fn why(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    let is_asking = status.plan.as_ref().is_some_and(|plan| plan.confirmation_required == Some(true));
    match (state::of(restore), &status.failure) {
        (State::Good, _) if is_asking && state::reason(status) == "Planned" => {
            "\n  possible, but a real run asks for a confirmation first; nothing was written\n".to_owned()
        }
        (State::Bad(_), Some(failure)) => failure_lines(failure),
        (State::Unseen, _) => String::new(),
        // The names and numbers of the question are below.
        (State::Asking, _) => {
            let name = clean(state::reason(status));
            let meaning = Reason::from_name(&name).map_or("", |reason| reason.facts().meaning);
            format!("\n  {name}: {meaning}\n")
        }
        (State::Good | State::Bad(_) | State::UnderWay, _) => {
            let message = clean(state::message(status));
            if message.is_empty() { message } else { format!("\n  {message}\n") }
        }
    }
}

fn failure_lines(failure: &FailureStatus) -> String {
    let mut text = format!("\n  {}: {}\n", clean(&failure.reason), clean(&failure.message));
    if let Some(error) = &failure.engine_error {
        let _ = writeln!(text, "  cause: {}", clean(error));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  hint: {}", clean(hint));
    }
    text
}

fn backup(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    if let Some(report) = status.backup.as_ref().and_then(|it| backup_report(restore, it)) {
        return render::backup_lines(&report);
    }
    let mut text = String::new();
    render::line(&mut text, "backup", &wanted(restore));
    text
}

/// The backup as the spec names it.
pub fn wanted(restore: &DatabaseRestore) -> String {
    let backup = &restore.spec.backup;
    let storage = &backup.storage_ref.name;
    match (&backup.path, &backup.latest) {
        (Some(path), _) => format!("{storage}/{path}"),
        (None, Some(latest)) => match &latest.prefix {
            Some(prefix) => format!("{storage}/{prefix}…, the newest"),
            None => format!("{storage}, the newest"),
        },
        (None, None) => storage.clone(),
    }
}

/// The backup of a status in the form of a report.
pub fn backup_report(restore: &DatabaseRestore, backup: &BackupStatus) -> Option<BackupReport> {
    Some(BackupReport {
        path: backup.path.clone()?,
        storage: restore.spec.backup.storage_ref.name.clone(),
        size: number(backup.size).unwrap_or_default(),
        etag: backup.etag.clone(),
        version_id: backup.version_id.clone(),
        sha256: backup.sha256.clone(),
        proof: backup.proof.clone(),
        timestamp: backup.timestamp.as_ref().map(|time| time.0),
        format: backup.format.map(|format| format!("{format:?}")),
        compression: backup.compression.map(|compression| format!("{compression:?}")),
        encryption: backup.encryption.clone(),
        profile: backup.profile.clone(),
        discovered: backup.discovered.unwrap_or_default(),
        engine: backup.engine.clone(),
        engine_version: backup.engine_version.clone(),
    })
}

/// A number of a status, which are all signed.
pub fn number(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok())
}

/// What a target holds, in words.
pub fn holds(holds: &HoldsStatus) -> String {
    let report = HoldsReport {
        tables: number(holds.tables),
        rows_estimate: number(holds.rows_estimate),
        bytes: number(holds.bytes).unwrap_or_default(),
    };
    report.to_string()
}

/// What would be done, as it stands in the status.
pub fn plan(restore: &DatabaseRestore) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let plan = status.plan.clone().unwrap_or_default();
    let mut text = format!("Plan of {}\n\n", clean(&restore.name_any()));
    text.push_str(&backup(restore, &status));
    text.push_str(&target(restore, &status));
    if let Some(token) = &plan.token {
        render::line(&mut text, "token", token);
    }
    for finding in &plan.findings {
        let _ = write!(text, "\n  note: {}", clean(finding));
    }
    text.push_str(if plan.confirmation_required == Some(true) {
        "\n  A confirmation is needed.\n"
    } else {
        "\n"
    });
    text
}

fn target(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    let mut text = String::new();
    if restore.spec.mode == Mode::Verify {
        return text;
    }
    let found = status.target.clone().unwrap_or_default();
    let connection = restore.spec.target.as_ref().map(|target| target.connection_ref.name.clone());
    let summary = found.summary.or(connection).unwrap_or_default();
    let engine = found.engine.map_or_else(String::new, |engine| format!("{engine:?}"));
    let version = found.version.map_or_else(String::new, |version| format!(" {version}"));
    let engine = if engine.is_empty() { engine } else { format!(" ({engine}{version})") };
    render::line(&mut text, "target", &format!("{summary}{engine}"));
    let is_restored = state::reason(status) == "Restored";
    for row in status.plan.iter().flat_map(|plan| &plan.databases) {
        render::line(&mut text, "", &planned(row, is_restored));
        let done = found.databases.iter().find(|done| is_restored && done.to == row.to);
        if let Some(counts) = done.map(counts) {
            render::line(&mut text, "now", &counts);
        }
    }
    let space = status.plan.as_ref().and_then(|plan| plan.space.as_ref());
    if let Some((needed, free)) = space.and_then(|space| number(space.needed).zip(number(space.free))) {
        render::line(&mut text, "room", &format!("{} needed, {} free", bytes(needed), bytes(free)));
    }
    text
}

/// What one database holds or held, and what is or was done to it.
fn planned(row: &PlannedDatabase, is_restored: bool) -> String {
    match (&row.holds, is_restored) {
        (Some(held), true) => format!("{} held {}, which was replaced", row.to, holds(held)),
        (Some(held), false) => format!("{} holds {}", row.to, holds(held)),
        (None, true) => format!("{} did not exist, or held nothing", row.to),
        (None, false) => format!("{} does not exist, or holds nothing", row.to),
    }
}

/// What a restored database has.
pub fn counts(row: &DatabaseStatus) -> String {
    let mut parts = Vec::new();
    parts.extend(number(row.tables).map(|tables| counted(tables, "table")));
    parts.extend(number(row.rows).map(|rows| counted(rows, "row")));
    parts.extend(number(row.bytes).map(bytes));
    parts.join(", ")
}

fn verification(status: &RestoreStatus) -> String {
    let result = status.verification.as_ref().and_then(|it| it.result.as_deref());
    // The first line says the same where there is nothing else to say.
    match result {
        Some(result) if result != state::message(status) => format!("\n  ✓ {}\n", clean(result)),
        _ => String::new(),
    }
}

fn steps(status: &RestoreStatus) -> String {
    let rows: Vec<Vec<String>> = status
        .stages
        .iter()
        .filter_map(|stage| Some((stage, stage.duration?.get())))
        .filter(|(_, time)| time.as_millis() >= STEP_FROM_MILLIS)
        .map(|(stage, time)| {
            let read = number(stage.bytes).map_or_else(String::new, bytes);
            vec![clean(&stage.name), format!("{:.2} s", time.as_secs_f64()), read]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", indent(&table(&["STEP", "TIME", "READ"], &rows, &[1, 2])))
}

/// All attempts, where there was more than one.
fn attempts(status: &RestoreStatus) -> String {
    if status.attempts.len() < 2 {
        return String::new();
    }
    let row = |attempt: &Attempt| {
        let time = |time: &Option<Time>| time.as_ref().map_or_else(|| "-".to_owned(), |it| minute(it.0));
        let reason = attempt.reason.as_deref().map_or_else(|| "under way".to_owned(), clean);
        vec![attempt.number.to_string(), time(&attempt.start_time), reason, clean(&attempt.job_name)]
    };
    let rows: Vec<_> = status.attempts.iter().map(row).collect();
    format!("\n{}", indent(&table(&["ATTEMPT", "STARTED", "RESULT", "JOB"], &rows, &[0])))
}

/// A time as it is shown: `2026-11-23 01:13:53 UTC`.
pub fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn notes(status: &RestoreStatus) -> String {
    let mut text = String::new();
    for warning in &status.warnings {
        let _ = write!(text, "\n  note: {}", clean(warning));
    }
    for leftover in &status.leftovers {
        let _ = write!(text, "\n  left behind: {}", clean(leftover));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn undo(status: &RestoreStatus) -> String {
    let mut text = String::new();
    let rows = status.target.iter().flat_map(|target| &target.databases);
    for previous in rows.filter_map(|row| row.previous.as_ref()) {
        let until = previous
            .until
            .as_ref()
            .map_or_else(String::new, |until| format!(", at least until {}", minute(until.0)));
        let size = number(previous.bytes).map_or_else(String::new, |size| format!(" ({})", bytes(size)));
        let _ = writeln!(text, "\n  The replaced data is kept as {}{size}{until}", clean(&previous.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    fn shown(name: &str) -> String {
        page(&sample(name), "2026-11-24T23:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_good_end_shows_backup_proof_target_and_counts() {
        let text = shown("restored");
        for part in [
            "first: Restored after 3s, 13 min ago\n",
            "  backup   minio/sqlite_gzip_enc_2026-11-23_01-13-52.db.gz.enc\n",
            "17.74 KiB, made 2026-11-23 01:13:53 UTC\n",
            "  content  SQLite 3.40.1, written by DBackup, Gzip\n",
            "  key      AES-256-GCM, opened by profile prod-key\n",
            "  proof    the encryption's authentication tag covers every byte\n",
            "  target   app/app.db (SQLite 3.54.1)\n",
            "app.db did not exist, or held nothing\n",
            "  now      2 tables, 325 rows, 60.00 KiB\n",
            "Check backup  0.05 s  17.74 KiB\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn each_state_begins_with_a_line_that_says_it() {
        for (name, expected) in [
            ("swapped", "swap: Restored"),
            ("asking", "second: waits for a confirmation; nothing was written\n"),
            ("not-found", "typo: Failed after 3s, 13 min ago; the target was not touched\n"),
            ("lost", "first: Failed after 3s, 20 min ago; THE TARGET MAY HAVE BEEN MODIFIED\n"),
            ("unresolved", "no-connection: Pending"),
            ("cancelled", "second: Cancelled"),
        ] {
            assert!(shown(name).starts_with(expected), "{}", shown(name));
        }
        assert!(shown("swapped").contains("which was replaced"), "{}", shown("swapped"));
        assert!(shown("swapped").contains("The replaced data is kept as "), "{}", shown("swapped"));
        assert!(
            shown("asking").contains("app.db holds 2 tables, ≈325 rows, 60.00 KiB"),
            "{}",
            shown("asking")
        );
        assert!(shown("not-found").contains("cause: NoSuchKey"), "{}", shown("not-found"));
    }

    #[test]
    fn escape_sequences_of_a_status_do_not_reach_the_terminal() {
        let mut restore = sample("not-found");
        let failure = restore.status.as_mut().unwrap().failure.as_mut().unwrap();
        failure.message = "\u{1b}[2Jgone".into();
        assert!(!page(&restore, Timestamp::UNIX_EPOCH).contains('\u{1b}'));
    }
}

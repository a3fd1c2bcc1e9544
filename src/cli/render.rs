//! The report of a run for people.

use std::fmt::Write as _;

use super::output::{self, bytes, clean, grouped};
use super::verify::indent;
use crate::plan::RestorePlan;
use crate::report::{
    BackupReport, DatabaseReport, FailureReport, Outcome, RestoreReport, TargetModified, TargetReport,
};

/// The whole report, ending in a line feed.
pub fn report(report: &RestoreReport, plan: &RestorePlan) -> String {
    let mut text = headline(report);
    if let Some(backup) = &report.backup {
        text.push_str(&backup_lines(backup));
    }
    if let Some(target) = &report.target {
        text.push_str(&target_lines(target));
    }
    text.push_str(&verification_lines(report));
    text.push_str(&stage_lines(report));
    for warning in &report.warnings {
        let _ = writeln!(text, "\n  note: {}", clean(warning));
    }
    if let Some(failure) = &report.failure {
        text.push_str(&failure_lines(failure, report, plan));
    }
    for leftover in &report.leftovers {
        let _ = writeln!(text, "\n  left behind: {}", clean(leftover));
    }
    text.push_str(&undo_lines(report));
    text
}

fn headline(report: &RestoreReport) -> String {
    let name = clean(&report.name);
    let time = format!("{:.1} s", report.seconds);
    match report.outcome {
        Outcome::Restored => format!("Restored {name} in {time}: every byte proven, every row counted\n\n"),
        Outcome::Planned => format!("Plan of {name}: possible as follows; nothing was written\n\n"),
        Outcome::Verified => format!("Verified {name} in {time}: the backup is good\n\n"),
        Outcome::AwaitingConfirmation => format!("{name} awaits confirmation; nothing was written\n\n"),
        Outcome::Failed => {
            let touched = match report.target_modified {
                TargetModified::False => "the target was not touched",
                TargetModified::True => "THE TARGET WAS MODIFIED",
                TargetModified::Unknown => "THE TARGET MAY HAVE BEEN MODIFIED",
            };
            format!("{name} failed after {time}; {touched}\n\n")
        }
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<11} {}", clean(value));
}

fn backup_lines(backup: &BackupReport) -> String {
    let mut text = String::new();
    let slash = if backup.storage.ends_with('/') { "" } else { "/" };
    line(&mut text, "backup", &format!("{}{slash}{} ({})", backup.storage, backup.path, bytes(backup.size)));
    if let Some(time) = backup.timestamp {
        line(&mut text, "made", &time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    }
    if let (Some(format), Some(engine)) = (&backup.format, &backup.engine) {
        let version = backup.engine_version.as_deref().unwrap_or("?");
        let compression = backup.compression.as_deref().unwrap_or("?");
        line(&mut text, "content", &format!("{engine} {version}, {format}, compression {compression}"));
    }
    if let Some(algorithm) = &backup.encryption {
        let profile = backup.profile.as_deref().unwrap_or("?");
        let how = if backup.discovered { "found by trying" } else { "as named" };
        line(&mut text, "key", &format!("{algorithm}, profile {profile} ({how})"));
    }
    if let Some(proof) = &backup.proof {
        line(&mut text, "proof", proof);
    }
    text
}

fn holds(row: &DatabaseReport) -> String {
    let Some(holds) = &row.holds else { return String::from("nothing") };
    match (holds.tables, holds.rows_estimate) {
        (Some(tables), Some(rows)) => {
            format!("{tables} tables, ≈{} rows, {}", grouped(rows), bytes(holds.bytes))
        }
        (Some(tables), None) => format!("{tables} tables, {}", bytes(holds.bytes)),
        (None, _) => bytes(holds.bytes),
    }
}

fn target_lines(target: &TargetReport) -> String {
    let mut text = String::new();
    let version = target.version.as_deref().unwrap_or_default();
    line(&mut text, "target", format!("{} ({} {version}", target.summary, target.engine).trim_end());
    // The closing bracket belongs behind a version that may be empty.
    if let Some(end) = text.pop() {
        text.push(')');
        text.push(end);
    }
    for row in &target.databases {
        line(&mut text, "held", &holds(row));
        line(&mut text, "action", &row.action);
    }
    if let Some(space) = target.space {
        line(&mut text, "room", &format!("{} needed, {} free", bytes(space.needed), bytes(space.free)));
    }
    text
}

fn verification_lines(report: &RestoreReport) -> String {
    let Some(verification) = &report.verification else { return String::new() };
    let rows: Vec<Vec<String>> = verification
        .tables
        .iter()
        .map(|table| {
            let expected = table.expected.map_or_else(|| "-".to_owned(), grouped);
            vec![clean(&table.name), grouped(table.rows), expected]
        })
        .collect();
    let mut text = format!("\n{}", indent(&output::table(&["TABLE", "ROWS", "IN THE DUMP"], &rows, &[1, 2])));
    text.push('\n');
    for check in &verification.checks {
        let _ = writeln!(text, "  ✓ {}", clean(check));
    }
    text
}

fn stage_lines(report: &RestoreReport) -> String {
    if report.stages.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report
        .stages
        .iter()
        .map(|stage| {
            let read = stage.bytes.map_or_else(|| "-".to_owned(), bytes);
            vec![stage.name.clone(), format!("{:.2} s", stage.seconds), read]
        })
        .collect();
    format!("\n{}", indent(&output::table(&["STEP", "TIME", "READ"], &rows, &[1, 2])))
}

fn failure_lines(failure: &FailureReport, report: &RestoreReport, plan: &RestorePlan) -> String {
    let mut text = format!("\n  {} in step {}: {}\n", failure.reason, failure.stage, clean(&failure.message));
    if let Some(error) = &failure.engine_error {
        let _ = writeln!(text, "  cause: {}", clean(error));
    }
    let _ = writeln!(text, "  what to do: {}", failure.hint);
    if report.outcome == Outcome::AwaitingConfirmation
        && let Some(row) = report.target.as_ref().and_then(|target| target.databases.first())
    {
        let _ = writeln!(text, "\n  to confirm, put this into DatabaseRestore {}:", clean(&plan.name));
        let _ = writeln!(text, "    overwrite:\n      confirm: [{:?}]", row.to);
    }
    text
}

fn undo_lines(report: &RestoreReport) -> String {
    let mut text = String::new();
    let rows = report.target.iter().flat_map(|target| &target.databases);
    for previous in rows.filter_map(|row| row.previous.as_ref()) {
        let until = previous.until.map_or_else(String::new, |until| {
            format!(", at least until {}", until.strftime("%Y-%m-%d %H:%M UTC"))
        });
        let name = clean(&previous.name);
        let _ = writeln!(text, "\n  the replaced data is kept as {name} ({}){until}", bytes(previous.bytes));
    }
    text
}

//! The report of a run for people.

use std::fmt::Write as _;

use super::output::{self, bytes, clean, counted, grouped};
use super::verify::{indent, proof_words};
use crate::plan::RestorePlan;
use crate::reason::Reason;
use crate::report::{
    BackupReport, DatabaseReport, FailureReport, Outcome, RestoreReport, TargetModified, TargetReport,
    VerificationReport,
};

/// Most tables that are shown one by one; `-o json` has all.
const TABLES_SHOWN: usize = 40;
/// Runs shorter than this have no steps worth a look, in seconds.
const STEPS_FROM_SECONDS: f64 = 1.0;

/// The whole report, ending in a line feed.
pub fn report(report: &RestoreReport, plan: &RestorePlan) -> String {
    let mut text = headline(report);
    if let Some(failure) = &report.failure {
        text.push_str(&failure_lines(failure));
    }
    let mut facts = String::new();
    if let Some(backup) = &report.backup {
        facts.push_str(&backup_lines(backup));
    }
    if let Some(target) = &report.target {
        facts.push_str(&target_lines(target, report.outcome));
    }
    if !facts.is_empty() {
        let _ = write!(text, "\n{facts}");
    }
    if let Some(verification) = &report.verification {
        text.push_str(&verification_lines(verification));
    }
    text.push_str(&stage_lines(report));
    for warning in &report.warnings {
        let _ = write!(text, "\n  note: {}", clean(warning));
    }
    for leftover in &report.leftovers {
        let _ = write!(text, "\n  left behind: {}", clean(leftover));
    }
    if !report.warnings.is_empty() || !report.leftovers.is_empty() {
        text.push('\n');
    }
    text.push_str(&undo_lines(report));
    if let Some(failure) = &report.failure {
        text.push_str(&confirm_lines(failure, report, plan));
    }
    text
}

fn headline(report: &RestoreReport) -> String {
    let name = clean(&report.name);
    let time = format!("{:.1} s", report.seconds);
    match report.outcome {
        Outcome::Restored => format!("Restored {name} in {time}: {}\n", what_was_shown(report)),
        Outcome::Planned if is_asking(report) => {
            format!(
                "Plan of {name}: possible, but a real run asks for a confirmation first; nothing was written\n"
            )
        }
        Outcome::Planned => format!("Plan of {name}: possible as follows; nothing was written\n"),
        Outcome::Verified => format!("Verified {name} in {time}: the backup is good\n"),
        Outcome::Held => format!("{name} is loaded and verified beside the target; the switch waits\n"),
        Outcome::Discarded => format!("Cleared what runs of {name} had left beside the target\n"),
        Outcome::AwaitingConfirmation => format!("{name} waits for a confirmation; nothing was written\n"),
        Outcome::Failed => {
            let touched = match report.target_modified {
                TargetModified::False => "the target was not touched",
                TargetModified::True => "THE TARGET WAS MODIFIED",
                TargetModified::Unknown => "THE TARGET MAY HAVE BEEN MODIFIED",
            };
            format!("{name} failed after {time}; {touched}\n")
        }
    }
}

/// Only what was done: a backup may be restored without a proof, and have no table.
fn what_was_shown(report: &RestoreReport) -> String {
    let proven = report.backup.as_ref().is_some_and(|backup| backup.proof.is_some());
    let tables = report.verification.as_ref().map_or(&[][..], |verification| &verification.tables);
    let bytes = if proven { "every byte proven" } else { "without a proof that the backup is whole" };
    let rows = match tables {
        [] => "",
        tables if tables.iter().all(|table| table.expected.is_some()) => {
            ", every row counted and compared with the backup"
        }
        _ => ", every row counted",
    };
    format!("{bytes}{rows}")
}

fn is_asking(report: &RestoreReport) -> bool {
    report.target.as_ref().is_some_and(|target| target.confirmation_required)
}

pub(super) fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<9}{}", clean(value));
}

pub(super) fn backup_lines(backup: &BackupReport) -> String {
    let mut text = String::new();
    let slash = if backup.storage.ends_with('/') { "" } else { "/" };
    line(&mut text, "backup", &format!("{}{slash}{}", backup.storage, backup.path));
    let made = backup
        .timestamp
        .map_or_else(String::new, |time| time.strftime(", made %Y-%m-%d %H:%M:%S UTC").to_string());
    line(&mut text, "", &format!("{}{made}", bytes(backup.size)));
    // Known once the backup was read.
    if backup.format.is_some() {
        line(&mut text, "content", &content_words(backup));
    }
    if let Some(algorithm) = &backup.encryption {
        let profile = backup.profile.as_deref().unwrap_or("?");
        let how = if backup.discovered { " (found by trying)" } else { "" };
        line(&mut text, "key", &format!("{algorithm}, opened by profile {profile}{how}"));
    }
    if backup.format.is_some() {
        line(&mut text, "proof", proof_words(backup.proof.as_deref()));
    }
    text
}

/// `SQLite 3.40.1, written by DBackup, Gzip`.
pub(super) fn content_words(backup: &BackupReport) -> String {
    let engine = backup.engine.as_deref().unwrap_or("unknown engine");
    let version = backup.engine_version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    let format = match backup.format.as_deref() {
        None => "several formats",
        Some("DBackup") => "written by DBackup",
        Some(name) => name,
    };
    let compression = match backup.compression.as_deref() {
        None | Some("None") => "not compressed",
        Some(name) => name,
    };
    format!("{engine}{version}, {format}, {compression}")
}

fn target_lines(target: &TargetReport, outcome: Outcome) -> String {
    let mut text = String::new();
    let version = target.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    line(&mut text, "target", &format!("{} ({}{version})", target.summary, target.engine));
    if !target.summary.ends_with(&target.place) {
        line(&mut text, "", &target.place);
    }
    let is_several = target.databases.len() > 1;
    for row in &target.databases {
        let name = if is_several { format!("{}: ", row.to) } else { String::new() };
        line(&mut text, "", &format!("{name}{}", action_words(row, outcome)));
        if outcome == Outcome::Restored {
            line(&mut text, "now", &format!("{name}{}", restored_words(row)));
        }
    }
    if let Some(space) = target.space {
        line(&mut text, "room", &format!("{} needed, {} free", bytes(space.needed), bytes(space.free)));
    }
    text
}

/// What the target held, and what became or becomes of it.
fn action_words(row: &DatabaseReport, outcome: Outcome) -> String {
    match (&row.holds, outcome) {
        (None, Outcome::Restored) => "did not exist, or held nothing".to_owned(),
        (None, _) => "does not exist, or holds nothing".to_owned(),
        (Some(holds), Outcome::Restored) => format!("held {holds}, which was replaced"),
        (Some(holds), _) => format!("holds {holds}"),
    }
}

fn restored_words(row: &DatabaseReport) -> String {
    let tables = row.tables.map_or_else(String::new, |tables| format!("{}, ", counted(tables, "table")));
    let rows = row.rows.map_or_else(String::new, |rows| format!("{}, ", counted(rows, "row")));
    format!("{tables}{rows}{}", row.bytes.map_or_else(String::new, bytes))
}

fn verification_lines(verification: &VerificationReport) -> String {
    let compared = verification.tables.iter().any(|table| table.expected.is_some());
    let mut databases: Vec<&str> = verification.tables.iter().map(|table| table.database.as_str()).collect();
    databases.dedup();
    let is_several = databases.len() > 1;
    let rows: Vec<Vec<String>> = verification
        .tables
        .iter()
        .take(TABLES_SHOWN)
        .map(|table| {
            let mut row = Vec::new();
            if is_several {
                row.push(clean(&table.database));
            }
            row.extend([clean(&table.name), grouped(table.rows)]);
            if compared {
                row.push(table.expected.map_or_else(|| "-".to_owned(), grouped));
            }
            row
        })
        .collect();
    let mut text = String::from("\n");
    if !rows.is_empty() {
        let mut head = if is_several { vec!["DATABASE"] } else { Vec::new() };
        head.extend(["TABLE", "ROWS"]);
        head.extend(compared.then_some("IN THE BACKUP"));
        let first = usize::from(is_several) + 1;
        text.push_str(&indent(&output::table(&head, &rows, &[first, first + 1])));
        let more = verification.tables.len().saturating_sub(TABLES_SHOWN);
        if more > 0 {
            let _ = writeln!(text, "  … and {more} more; -o json has all");
        }
        text.push('\n');
    }
    for check in &verification.checks {
        let _ = writeln!(text, "  ✓ {}", clean(check));
    }
    text
}

/// The steps that took a time worth a look.
fn stage_lines(report: &RestoreReport) -> String {
    if report.seconds < STEPS_FROM_SECONDS {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report
        .stages
        .iter()
        .filter(|stage| stage.seconds >= STEPS_FROM_SECONDS / 100.0)
        .map(|stage| {
            let read = stage.bytes.map_or_else(String::new, bytes);
            vec![stage.name.clone(), format!("{:.2} s", stage.seconds), read]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", indent(&output::table(&["STEP", "TIME", "READ"], &rows, &[1, 2])))
}

fn failure_lines(failure: &FailureReport) -> String {
    let mut text = format!("\n  {}: {}\n", failure.reason, clean(&failure.message));
    if let Some(error) = &failure.engine_error {
        let _ = writeln!(text, "  cause: {}", clean(error));
    }
    let _ = writeln!(text, "  hint: {}", failure.hint);
    text
}

/// What to write where to confirm.
fn confirm_lines(failure: &FailureReport, report: &RestoreReport, plan: &RestorePlan) -> String {
    let target = report.target.as_ref();
    let rows = target.map_or(&[][..], |target| &target.databases);
    let can_confirm = matches!(failure.reason, Reason::ConfirmationRequired | Reason::PlanChanged);
    if report.outcome != Outcome::AwaitingConfirmation || !can_confirm {
        return String::new();
    }
    // A JSON string is a YAML string too, whatever stands in the name.
    let names = rows.iter().filter(|row| row.holds.is_some());
    let names: Vec<String> = names.map(|row| serde_json::Value::from(row.to.as_str()).to_string()).collect();
    let mut text = format!(
        "\n  To confirm, run it on a terminal and type the name, or write into DatabaseRestore {}:\n\n    spec:\n      overwrite:\n        confirm: [{}]\n",
        clean(&plan.name),
        names.join(", ")
    );
    if plan.overwrite.confirmed_plan.is_some() {
        let token = target.map_or("", |target| target.plan_token.as_str());
        let _ = writeln!(text, "        confirmedPlan: {token}");
    }
    text
}

fn undo_lines(report: &RestoreReport) -> String {
    let mut text = String::new();
    let rows = report.target.iter().flat_map(|target| &target.databases);
    for previous in rows.filter_map(|row| row.previous.as_ref()) {
        let until = previous.until.map_or_else(String::new, |until| {
            until.strftime(", at least until %Y-%m-%d %H:%M UTC").to_string()
        });
        let (name, size) = (clean(&previous.name), bytes(previous.bytes));
        let _ = writeln!(text, "\n  The replaced data is kept as {name} ({size}){until}");
    }
    text
}

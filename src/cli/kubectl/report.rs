//! `kubectl reinstate report`: the receipt of a restore for the ticket: backup, proof, counts, times,
//! and how to undo it.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::page::{self, number};
use super::state::{self, State};
use crate::api::DatabaseRestore;
use crate::api::restore::{Mode, RestoreStatus};
use crate::cli::ask::age;
use crate::cli::exit::ExitCode;
use crate::cli::now;
use crate::cli::output::{self, bytes, clean, grouped};
use crate::cli::render::content_words;
use crate::cli::verify::proof_words;
use crate::report::TargetModified;

/// Writes the receipt of a restore, for the ticket
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// The `DatabaseRestore`
    pub name: String,
    /// The receipt's form
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Forms of a receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Markdown
    #[default]
    Md,
    /// The status as one JSON document
    Json,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Report) -> Result<ExitCode> {
    let restore: DatabaseRestore = cluster.find(&arguments.name).await?;
    if !state::of(&restore).is_end() {
        let message = format!("there is no receipt yet: {}", page::headline(&restore, now()).trim_end());
        return Err(Error::refused(
            message,
            format!("Follow it: {}", cluster.command(&format!("status --follow {}", arguments.name))),
        ));
    }
    match arguments.output {
        Form::Md => output::out(&receipt(&restore)),
        Form::Json => output::json(&restore.status),
    }
    Ok(ExitCode::Success)
}

/// The receipt as Markdown.
pub fn receipt(restore: &DatabaseRestore) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let mut text = head(restore, &status);
    text.push_str(&backup(restore, &status));
    if restore.spec.mode != Mode::Verify {
        text.push_str(&target(restore, &status));
    }
    text.push_str(&times(&status));
    text.push_str(&notes(&status));
    if restore.spec.mode == Mode::Restore {
        let _ = write!(text, "\n## How to undo it\n\n{}", undo(restore, &status));
    }
    text
}

/// Text of the status or the storage within a cell: no line, no column, no markup of its own.
fn code(text: &str) -> String {
    format!("`{}`", clean(text).replace('`', "'").replace('|', "\\|"))
}

fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for letter in clean(text).chars() {
        if r"\`*_{}[]<>|#".contains(letter) {
            words.push('\\');
        }
        words.push(letter);
    }
    words
}

fn rows(text: &mut String, rows: &[(&str, Option<String>)]) {
    text.push_str("| | |\n|---|---|\n");
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(text, "| {name} | {value} |");
        }
    }
}

fn time(time: Option<&Time>) -> Option<String> {
    time.map(|time| page::minute(time.0))
}

fn head(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    let namespace = restore.namespace().unwrap_or_default();
    let name = restore.name_any();
    let result = match state::of(restore) {
        State::Bad(modified) => format!("**{}; {}.**", words(state::reason(status)), page::touched(modified)),
        State::Good | State::Unseen | State::Asking | State::UnderWay => {
            format!("**{}.**", words(state::reason(status)))
        }
    };
    let mut text = format!("# DatabaseRestore {namespace}/{name}\n\n{result} ");
    match status.failure.as_ref().filter(|_| matches!(state::of(restore), State::Bad(_))) {
        Some(failure) => {
            let error =
                failure.engine_error.as_ref().map_or_else(String::new, |error| format!(": {}", words(error)));
            let _ =
                writeln!(text, "At the step {}: {}{error}.", words(&failure.stage), words(&failure.message));
        }
        None => {
            let _ = writeln!(text, "{}.", words(state::message(status)));
        }
    }
    text.push('\n');
    let confirmed = &restore.spec.overwrite.confirm;
    let confirmed: Vec<String> = confirmed.iter().map(|name| code(name)).collect();
    rows(
        &mut text,
        &[
            ("Asked for", time(restore.metadata.creation_timestamp.as_ref())),
            ("Confirmed", Some(confirmed.join(", ")).filter(|text| !text.is_empty())),
            ("Started", time(status.start_time.as_ref())),
            ("Ended", time(status.completion_time.as_ref())),
            ("Duration", status.duration.map(|time| time.to_string())),
            ("Attempts", Some(status.attempts.len().to_string()).filter(|_| status.attempts.len() > 1)),
            ("Uid", restore.metadata.uid.as_deref().map(code)),
        ],
    );
    text
}

fn backup(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    let mut text = "\n## Backup\n\n".to_owned();
    let Some(backup) = status.backup.as_ref().and_then(|it| page::backup_report(restore, it)) else {
        rows(&mut text, &[("Stored as", Some(code(&page::wanted(restore))))]);
        return text;
    };
    let started = status.start_time.as_ref().map(|time| time.0);
    let made = backup.timestamp.map(|made| {
        let old =
            started.map_or_else(String::new, |started| format!(", {} before the run", age(made, started)));
        format!("{}{old}", page::minute(made))
    });
    let key = backup.encryption.as_ref().map(|algorithm| {
        let how = if backup.discovered { ", found by trying" } else { "" };
        format!("{}, profile {}{how}", words(algorithm), code(backup.profile.as_deref().unwrap_or("?")))
    });
    let was_read = backup.format.is_some();
    rows(
        &mut text,
        &[
            ("Stored as", Some(code(&format!("{}/{}", backup.storage, backup.path)))),
            ("Size", Some(format!("{} ({} bytes)", bytes(backup.size), grouped(backup.size)))),
            ("Made", made),
            ("SHA-256", backup.sha256.as_deref().map(code)),
            ("Entity tag", backup.etag.as_deref().map(code)),
            ("Version", backup.version_id.as_deref().map(code)),
            ("Content", was_read.then(|| words(&content_words(&backup)))),
            ("Key", key),
            ("Proof", was_read.then(|| proof_words(backup.proof.as_deref()).to_owned())),
        ],
    );
    text
}

fn target(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    let found = status.target.clone().unwrap_or_default();
    let connection = restore.spec.target.as_ref().map(|target| target.connection_ref.name.clone());
    let summary = found.summary.clone().or(connection).unwrap_or_default();
    let engine = found.engine.map_or_else(String::new, |engine| format!(", {engine:?}"));
    let version = found.version.as_ref().map_or_else(String::new, |version| format!(" {}", words(version)));
    let mut text = format!("\n## Target\n\n{}{engine}{version}\n", code(&summary));
    let planned = status.plan.iter().flat_map(|plan| &plan.databases);
    let is_restored = state::reason(status) == "Restored";
    let table: Vec<String> = planned
        .map(|row| {
            let before = row.holds.as_ref().map_or_else(|| "nothing".to_owned(), page::holds);
            let now = found.databases.iter().find(|it| is_restored && it.to == row.to).map(page::counts);
            format!("| {} | {before} | {} |", code(&row.to), now.unwrap_or_else(|| "not restored".to_owned()))
        })
        .collect();
    if !table.is_empty() {
        let _ = writeln!(text, "\n| database | before | restored |\n|---|---|---|\n{}", table.join("\n"));
    }
    if let Some(omitted) = found.databases_omitted {
        let _ = writeln!(text, "\n{omitted} more databases are not listed.");
    }
    if let Some(result) = status.verification.as_ref().and_then(|it| it.result.as_deref()) {
        let _ = writeln!(text, "\nCompared after the load: {}.", words(result));
    }
    text
}

fn times(status: &RestoreStatus) -> String {
    if status.stages.is_empty() {
        return String::new();
    }
    let mut text = "\n## Times\n\n| step | started | took | read |\n|---|---|--:|--:|\n".to_owned();
    for stage in &status.stages {
        let took =
            stage.duration.map_or_else(String::new, |time| format!("{:.2} s", time.get().as_secs_f64()));
        let read = number(stage.bytes).map_or_else(String::new, bytes);
        let started = time(stage.start_time.as_ref()).unwrap_or_default();
        let _ = writeln!(text, "| {} | {started} | {took} | {read} |", words(&stage.name));
    }
    text
}

fn notes(status: &RestoreStatus) -> String {
    let notes = status.warnings.iter().map(|text| format!("- {}\n", words(text)));
    let left = status.leftovers.iter().map(|text| format!("- left behind: {}\n", code(text)));
    let all: String = notes.chain(left).collect();
    if all.is_empty() { all } else { format!("\n## Notes\n\n{all}") }
}

/// What a person has to do to have the old data back.
fn undo(restore: &DatabaseRestore, status: &RestoreStatus) -> String {
    let mut text = String::new();
    let databases = status.target.iter().flat_map(|target| &target.databases);
    for row in databases {
        let Some(previous) = &row.previous else { continue };
        let until = previous
            .until
            .as_ref()
            .map_or_else(String::new, |until| format!(" at least until {}", page::minute(until.0)));
        let _ = writeln!(
            text,
            "The replaced data of {} is kept as {}{until}. `kubectl reinstate revert {} -n {}` puts it back, and keeps what was written to {} since in its turn.",
            code(&row.to),
            code(&previous.name),
            restore.name_any(),
            restore.namespace().unwrap_or_default(),
            code(&row.to),
        );
    }
    if !text.is_empty() {
        return text;
    }
    let replaced = !state::asked_about(status).is_empty();
    match (state::of(restore), state::modified(status)) {
        (State::Bad(_), TargetModified::False) => "Nothing: no existing target was changed.\n",
        (State::Bad(_), TargetModified::True | TargetModified::Unknown) => {
            "Look at the target first. No copy of the old data is known to this record: restore a backup of it.\n"
        }
        (_, _) if replaced => "The replaced data was not kept: restore a backup of it.\n",
        (_, _) => "The target held nothing before: remove what was restored.\n",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    #[test]
    fn the_receipt_has_backup_proof_counts_times_and_the_way_back() {
        let text = receipt(&sample("swapped"));
        for part in [
            "# DatabaseRestore shop/swap\n\n**Restored.** ",
            "| Confirmed | `app.db` |\n",
            "| Duration | 3s |\n",
            "| Stored as | `minio/sqlite_none_plain_2026-11-23_01-13-52.db` |\n",
            "| Size | 60.00 KiB (61 440 bytes) |\n",
            "| Made | 2026-11-23 01:13:52 UTC, 45 h before the run |\n",
            "| Proof | the SHA-256 of the stored file is the expected one |\n",
            "| `app.db` | 2 tables, ≈325 rows, 60.00 KiB | 2 tables, 325 rows, 60.00 KiB |\n",
            "| Check backup | ",
            "The replaced data of `app.db` is kept as `/claims/app-data/app.db.reinstate-previous-",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn each_end_says_how_to_undo_it() {
        for (name, expected) in [
            ("restored", "The target held nothing before"),
            ("not-found", "Nothing: no existing target was changed."),
            ("lost", "Look at the target first."),
            ("cancelled", "Nothing: no existing target was changed."),
        ] {
            let text = receipt(&sample(name));
            assert!(text.contains(expected), "{text}");
        }
        assert!(receipt(&sample("lost")).contains("**RunnerLost; THE TARGET MAY HAVE BEEN MODIFIED.**"));
    }

    #[test]
    fn names_cannot_write_markup_into_the_receipt() {
        let mut restore = sample("restored");
        let backup = restore.status.as_mut().unwrap().backup.as_mut().unwrap();
        backup.path = Some("a`|\n# b".into());
        backup.engine = Some("<b>".into());
        let text = receipt(&restore);
        assert!(text.contains("`minio/a'\\|\u{fffd}# b`"), "{text}");
        assert!(text.contains("\\<b\\>"), "{text}");
    }
}

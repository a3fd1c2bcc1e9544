//! `kubectl reinstate status`: the page of one restore, or a table of all of the namespace.

use clap::{Args, ValueEnum};
use kube::ResourceExt;
use serde::Serialize;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::state::{self, State};
use super::{follow, page};
use crate::api::DatabaseRestore;
use crate::api::restore::status::Phase;
use crate::cli::exit::ExitCode;
use crate::cli::output::{self, clean, table};
use crate::cli::{ask, now};
use crate::report::TargetModified;
use jiff::Timestamp;

/// Shows a restore, or all that the namespace has
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// The `DatabaseRestore`; without it, all of the namespace
    pub name: Option<String>,
    /// Follow it to its end; the exit code is that of the run
    #[arg(short, long, requires = "name")]
    pub follow: bool,
    /// How long to follow it
    #[arg(long, value_name = "DURATION", requires = "follow")]
    pub timeout: Option<crate::api::Duration>,
    /// The object itself instead of the page
    #[arg(short, long, value_enum, conflicts_with = "follow")]
    pub output: Option<Form>,
}

/// Forms of an object for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// Prints `document` in a form for programs.
pub fn print(document: &impl Serialize, form: Form) -> Result<()> {
    match form {
        Form::Json => output::json(document),
        Form::Yaml => {
            let text = serde_saphyr::to_string(document)
                .map_err(|error| Error::Usage(format!("failed to write YAML: {error}")))?;
            output::out(&text);
        }
    }
    Ok(())
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Status) -> Result<ExitCode> {
    let Some(name) = &arguments.name else {
        let all = cluster.restores(false).await?;
        match arguments.output {
            Some(form) => print(&all, form)?,
            None => output::out(&list(&all, now())),
        }
        return Ok(ExitCode::Success);
    };
    let restore: DatabaseRestore = cluster.find(name).await?;
    if arguments.follow {
        return follow::run(cluster, &restore, arguments.timeout).await;
    }
    if let Some(form) = arguments.output {
        print(&restore, form)?;
    } else {
        output::out(&page::page(&restore, now()));
        output::note(&format!("\n{}", next(cluster, &restore)));
    }
    Ok(ExitCode::Success)
}

/// What can be done about it now, as commands.
pub fn next(cluster: &Cluster, restore: &DatabaseRestore) -> String {
    let name = restore.name_any();
    let phase = restore.status.as_ref().and_then(|status| status.phase);
    let rows: &[(&str, &str)] = match state::of(restore) {
        State::Asking => &[("to confirm", "confirm"), ("to give it up", "cancel")],
        State::Unseen | State::UnderWay if phase == Some(Phase::Holding) => &[("to give it up", "cancel")],
        State::Unseen | State::UnderWay => {
            &[("to follow it", "status --follow"), ("its log", "logs -f"), ("to stop it", "cancel")]
        }
        State::Good if has_kept(restore) => &[("the receipt", "report"), ("to undo it", "revert")],
        State::Good => &[("the receipt", "report")],
        State::Bad(_) => &[("its log", "logs"), ("the receipt", "report")],
    };
    let lines: Vec<String> = rows
        .iter()
        .map(|(what, verb)| {
            format!("  {:<14} {}", format!("{what}:"), cluster.command(&format!("{verb} {name}")))
        })
        .collect();
    lines.join("\n")
}

fn has_kept(restore: &DatabaseRestore) -> bool {
    let target = restore.status.as_ref().and_then(|status| status.target.as_ref());
    target.is_some_and(|target| target.databases.iter().any(|row| row.previous.is_some()))
}

/// The table of all.
fn list(all: &[DatabaseRestore], now: Timestamp) -> String {
    if all.is_empty() {
        return "there is no DatabaseRestore in this namespace\n".to_owned();
    }
    let row = |restore: &DatabaseRestore| {
        let status = restore.status.clone().unwrap_or_default();
        let phase = status.phase.map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}"));
        let progress = status.progress.as_ref().and_then(|it| it.message.clone());
        let target = status.target.as_ref().and_then(|it| it.summary.clone());
        let modified = match state::modified(&status) {
            TargetModified::False => "no",
            TargetModified::True => "YES",
            TargetModified::Unknown => "UNKNOWN",
        };
        let made = restore.metadata.creation_timestamp.as_ref();
        vec![
            restore.name_any(),
            clean(&target.unwrap_or_else(|| "-".to_owned())),
            phase,
            clean(state::reason(&status)),
            clean(&progress.unwrap_or_else(|| "-".to_owned())),
            modified.to_owned(),
            made.map_or_else(String::new, |time| ask::age(time.0, now)),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&["NAME", "TARGET", "PHASE", "REASON", "PROGRESS", "MODIFIED", "AGE"], &rows, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    #[test]
    fn the_table_has_a_line_for_each_restore() {
        let all = ["restored", "asking", "lost"].map(sample);
        let text = list(&all, "2026-11-24T23:00:00Z".parse().unwrap());
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["first", "app/app.db", "Succeeded", "Restored", "-", "no", "13", "min"]);
        assert_eq!(rows[2][2..4], ["AwaitingConfirmation", "ConfirmationRequired"]);
        assert_eq!(rows[3][5], "UNKNOWN");
    }
}

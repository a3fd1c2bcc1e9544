//! `kubectl reinstate backups`: what a storage holds. A Job of the user lists it, since only a pod sees
//! the storage's Secrets.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::cluster::Cluster;
use super::errand::{self, Errand};
use super::error::{Error, Result};
use super::wanted;
use crate::api::{BackupStorage, DatabaseRestore};
use crate::cli::exit::ExitCode;
use crate::cli::list::pod::Line;
use crate::cli::list::{self, List, Row};
use crate::cli::output::{self, clean};
use crate::plan::{Objects, resolve};

/// Backups that are shown without `--all`.
const SHOWN: usize = 50;

/// Lists the backups of a storage, newest first
#[derive(Args, Clone, Debug)]
pub struct Backups {
    /// The `BackupStorage`
    #[arg(value_name = "STORAGE")]
    pub storage: String,
    /// Only those whose path starts so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub prefix: String,
    /// All of them instead of the newest 50
    #[arg(long)]
    pub all: bool,
    /// How the list is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub output: list::ListFormat,
    /// How the Job is run
    #[command(flatten)]
    pub job: errand::Flags,
}

/// What the pod has told so far.
#[derive(Debug, Default)]
struct Heard {
    rows: Vec<Row>,
    end: Option<Line>,
    /// The last lines that are no part of the list.
    other: String,
}

impl Heard {
    fn line(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Line::Backup(row)) => self.rows.push(*row),
            Ok(end) => self.end = Some(end),
            Err(_) if !line.trim().is_empty() => self.other = clean(line),
            Err(_) => {}
        }
    }

    /// The list, and how many backups there are; a list without its end is none.
    fn finish(self) -> Result<(List, usize)> {
        match self.end {
            Some(Line::End { destination, count }) => Ok((List { destination, backups: self.rows }, count)),
            Some(Line::Failed { reason, message }) => {
                Err(Error::refused(format!("{} ({reason})", clean(&message)), reason.hint()))
            }
            Some(Line::Backup(_)) | None => Err(Error::refused(
                format!("the pod ended before the list was whole: {}", self.other),
                "The runner's image may be of another version: name one with --image.",
            )),
        }
    }
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Backups) -> Result<ExitCode> {
    let storage: BackupStorage = cluster.find(&arguments.storage).await?;
    let limit = (!arguments.all).then_some(SHOWN);
    let errand = errand(&storage, &arguments.prefix, limit)?;
    let mut heard = Heard::default();
    errand::run(cluster, &arguments.job, &errand, |line| heard.line(line)).await?;
    let (list, count) = heard.finish()?;
    match arguments.output {
        list::ListFormat::Json => output::json(&list),
        list::ListFormat::Table => {
            output::out(&list::table(&list.backups));
            let more = count.saturating_sub(list.backups.len());
            if more > 0 {
                output::note(&format!("… and {more} older; --all lists them"));
            }
            if let Some(newest) = list.backups.first() {
                let backup = format!("{}:{}", arguments.storage, newest.path());
                let command = cluster.command(&format!(
                    "restore '{}' --to CONNECTION --follow",
                    backup.replace('\'', r"'\''")
                ));
                output::note(&format!("\n  to restore the newest: {}", clean(&command)));
            }
        }
    }
    Ok(ExitCode::Success)
}

/// The errand that lists `storage`: a plan that only reads.
pub fn errand(storage: &BackupStorage, prefix: &str, limit: Option<usize>) -> Result<Errand> {
    let namespace = storage.metadata.namespace.clone().unwrap_or_default();
    let name = storage.metadata.name.clone().unwrap_or_default();
    let spec =
        json!({"mode": "Verify", "backup": {"storageRef": {"name": name}, "latest": {"prefix": prefix}}});
    let failed = |error: serde_json::Error| Error::Usage(format!("failed to make the list's plan: {error}"));
    let object = wanted::object(&namespace, &wanted::name("list", Timestamp::UNIX_EPOCH), &spec);
    let restore: DatabaseRestore = serde_json::from_value(object).map_err(failed)?;
    let objects = Objects { storages: vec![storage.clone()], ..Objects::default() };
    let plan = resolve(&restore, &objects).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::Usage(lines.join("\n       "))
    })?;
    let order = serde_json::to_string(&plan).map_err(failed)?;
    let mut arguments: Vec<String> = ["list", "--pod", "/"].map(str::to_owned).into();
    if let Some(limit) = limit {
        arguments.extend(["--limit".to_owned(), limit.to_string()]);
    }
    Ok(Errand { verb: "list", plan, order, arguments, is_writing: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_counts_only_when_its_last_line_was_heard() {
        let row = r#"{"backup":{"path":"a.sql","state":"ok","newField":1}}"#;
        let end = r#"{"end":{"destination":"s3://b/","count":7}}"#;
        let failed = r#"{"failed":{"reason":"SecretMissing","message":"Secret minio is not there"}}"#;
        for (lines, expected) in [
            (vec![row, "WARN something", end], Ok((1, 7))),
            (vec![row], Err("before the list was whole")),
            (vec!["error: unrecognized subcommand"], Err("unrecognized subcommand")),
            (vec![failed], Err("Secret minio is not there (SecretMissing)")),
        ] {
            let mut heard = Heard::default();
            for line in &lines {
                heard.line(line);
            }
            match (heard.finish(), expected) {
                (Ok((list, count)), Ok(expected)) => assert_eq!((list.backups.len(), count), expected),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, _) => panic!("{lines:?}: {found:?}"),
            }
        }
    }
}

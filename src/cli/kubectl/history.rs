//! `kubectl reinstate history`: what was restored when, and how it ended. The objects are the record.

use clap::Args;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::cluster::Cluster;
use super::error::Result;
use super::state::{self, State};
use super::{page, status};
use crate::api::DatabaseRestore;
use crate::cli::exit::ExitCode;
use crate::cli::output::{self, clean, table};
use crate::report::TargetModified;

/// Lists what was restored when, and how it ended
#[derive(Args, Clone, Debug)]
pub struct History {
    /// Those of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// The document for programs instead of the table
    #[arg(short, long, value_enum)]
    pub output: Option<status::Form>,
}

/// One run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    name: String,
    /// When it was started; when it was asked for where it never was.
    time: Option<Timestamp>,
    backup: String,
    backup_time: Option<Timestamp>,
    target: Option<String>,
    /// `Restored`, `Planned`, `Verified`, or why not; absent while it is under way.
    result: Option<String>,
    target_modified: &'static str,
    duration: Option<crate::api::Duration>,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &History) -> Result<ExitCode> {
    let all = cluster.restores(arguments.all_namespaces).await?;
    let mut rows: Vec<Row> = all.iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.time));
    match arguments.output {
        Some(form) => status::print(&rows, form)?,
        None => output::out(&text(&rows, arguments.all_namespaces)),
    }
    Ok(ExitCode::Success)
}

fn row(restore: &DatabaseRestore) -> Row {
    let status = restore.status.clone().unwrap_or_default();
    let state = state::of(restore);
    let started = status.start_time.as_ref().or(restore.metadata.creation_timestamp.as_ref());
    let storage = &restore.spec.backup.storage_ref.name;
    let path = status.backup.as_ref().and_then(|backup| backup.path.as_ref());
    Row {
        namespace: restore.namespace().unwrap_or_default(),
        name: restore.name_any(),
        time: started.map(|time| time.0),
        backup: path.map_or_else(|| page::wanted(restore), |path| format!("{storage}/{path}")),
        backup_time: status.backup.as_ref().and_then(|it| it.timestamp.as_ref()).map(|time| time.0),
        target: status.target.as_ref().and_then(|it| it.summary.clone()),
        result: state.is_end().then(|| state::reason(&status).to_owned()),
        target_modified: match state::modified(&status) {
            TargetModified::False => "False",
            TargetModified::True => "True",
            TargetModified::Unknown => "Unknown",
        },
        duration: status.duration.filter(|_| state != State::Unseen),
    }
}

fn text(rows: &[Row], is_everywhere: bool) -> String {
    if rows.is_empty() {
        return "nothing was restored here yet\n".to_owned();
    }
    let mut head = vec!["TIME", "NAME", "BACKUP", "TARGET", "RESULT", "DURATION"];
    if is_everywhere {
        head.insert(1, "NAMESPACE");
    }
    let cells = |row: &Row| {
        let mut result = row.result.clone().unwrap_or_else(|| "under way".to_owned());
        match row.target_modified {
            "True" if row.result.as_deref() != Some("Restored") => result.push_str(", TARGET MODIFIED"),
            "Unknown" if row.result.is_some() => result.push_str(", TARGET UNKNOWN"),
            _ => {}
        }
        let mut cells = vec![
            row.time.map_or_else(|| "-".to_owned(), page::minute),
            row.name.clone(),
            clean(&row.backup),
            clean(row.target.as_deref().unwrap_or("-")),
            clean(&result),
            row.duration.map_or_else(|| "-".to_owned(), |time| time.to_string()),
        ];
        if is_everywhere {
            cells.insert(1, row.namespace.clone());
        }
        cells
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    table(&head, &rows, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    #[test]
    fn the_history_has_time_backup_target_result_and_duration() {
        let rows = ["restored", "asking", "lost", "unresolved"].map(|name| row(&sample(name)));
        let text = text(&rows, true);
        for part in [
            "2026-11-24 22:46:37 UTC  shop       first",
            "app/app.db  Restored",
            "minio/sqlite_none_plain_2026-11-23_01-13-52.db",
            "under way",
            "RunnerLost, TARGET UNKNOWN",
            "minio/x.db",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let document = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!(document["result"], "Restored");
        assert_eq!(document["backupTime"], "2026-11-23T01:13:53Z");
        assert_eq!(document["duration"], "3s");
    }
}

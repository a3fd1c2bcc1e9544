//! `reinstate list`: the backups of a destination, with what their sidecars say.
//!
//! The JSON document is stable: `null` is what is not known. A row is never left out because its
//! sidecar is broken.

pub mod pod;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::storage_url::{self, StorageFlags};
use crate::reason::Reason;
use crate::runner::catalog::{self, Beside, Entry};
use crate::runner::codec::Codec;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::sidecar::Sidecar;
use crate::runner::source::Store;

/// Lists the backups of a destination, newest first
#[derive(Args, Clone, Debug, Default)]
pub struct ListArguments {
    /// A folder, or `s3://BUCKET/PREFIX`
    #[arg(value_name = "PATH|URL", required_unless_present = "pod")]
    pub location: Option<String>,
    /// How the list is printed
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
    /// Where and how
    #[command(flatten)]
    pub storage: StorageFlags,
    /// The storage that the plan in this pod names: what the Job of `kubectl reinstate backups` runs
    #[arg(long, value_name = "ROOT", hide = true, conflicts_with_all = ["location", "output"])]
    pub pod: Option<PathBuf>,
    /// With `--pod`: the newest so many
    #[arg(long, value_name = "NUMBER", hide = true, requires = "pod")]
    pub limit: Option<usize>,
}

/// Forms of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// The list as a text that ends in a line feed.
pub fn run(arguments: &ListArguments) -> Result<String> {
    if let Some(root) = &arguments.pod {
        return pod::list(root, arguments.limit);
    }
    let location = arguments.location.as_deref().unwrap_or_default();
    let place = storage_url::destination(location, &arguments.storage)?;
    let backups = rows(place.store.as_ref(), &place.prefix)?;
    match arguments.output {
        ListFormat::Table => Ok(table(&backups)),
        ListFormat::Json => json(&List { destination: place.store.describe(), backups }),
    }
}

fn rows(store: &dyn Store, prefix: &str) -> Result<Vec<Row>> {
    Ok(catalog::backups(store, prefix)?.into_iter().map(Row::of).collect())
}

/// The document.
#[derive(Debug, Serialize)]
pub struct List {
    /// The storage destination.
    pub destination: String,
    /// Its backups, newest first.
    pub backups: Vec<Row>,
}

/// Whether a row's data and sidecar are both there and good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Ok,
    NoSidecar,
    MissingData,
    UnreadableSidecar,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Problem {
    reason: Reason,
    message: String,
}

/// One backup, as it is printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    path: String,
    state: State,
    timestamp: Option<Timestamp>,
    size: Option<u64>,
    modified: Option<Timestamp>,
    engine: Option<String>,
    engine_version: Option<String>,
    job: Option<String>,
    databases: Option<Vec<String>>,
    compression: Option<String>,
    encrypted: Option<bool>,
    profile: Option<String>,
    locked: Option<bool>,
    last_check_passed: Option<bool>,
    chain: Option<String>,
    problem: Option<Problem>,
}

impl Row {
    /// Path below the destination.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn of(entry: Entry) -> Self {
        let Entry { path, size, modified, beside } = entry;
        let (state, sidecar, problem) = match beside {
            Beside::Nothing => (State::NoSidecar, None, None),
            Beside::Sidecar(sidecar) if size.is_some() => (State::Ok, Some(*sidecar), None),
            Beside::Sidecar(sidecar) => (State::MissingData, Some(*sidecar), None),
            Beside::Unreadable(fault) => {
                let problem = Problem { reason: fault.reason, message: fault.full_message() };
                let state = if size.is_some() { State::UnreadableSidecar } else { State::MissingData };
                (state, None, Some(problem))
            }
        };
        let known = sidecar.is_some();
        let sidecar = sidecar.unwrap_or_default();
        Self {
            path,
            state,
            timestamp: sidecar.timestamp,
            size,
            modified,
            compression: known.then(|| compression(&sidecar).name().to_owned()),
            encrypted: known.then(|| is_encrypted(&sidecar)),
            profile: profile(&sidecar).map(str::to_owned),
            locked: known.then_some(sidecar.locked),
            last_check_passed: sidecar.last_check_passed,
            databases: known.then_some(sidecar.databases),
            engine: sidecar.engine.map(|engine| format!("{engine:?}")).or(sidecar.source_type),
            engine_version: sidecar.engine_version,
            job: sidecar.job_name,
            chain: sidecar.backup_type,
            problem,
        }
    }
}

/// DBackup leaves out what is not compressed; archives say it of their entries.
fn compression(sidecar: &Sidecar) -> Codec {
    let of_archive = sidecar.archive.as_ref().and_then(|archive| archive.compression);
    sidecar.compression.or(of_archive).unwrap_or(Codec::None)
}

fn is_encrypted(sidecar: &Sidecar) -> bool {
    sidecar.encryption.is_some() || sidecar.archive.as_ref().is_some_and(|archive| archive.encrypted)
}

fn profile(sidecar: &Sidecar) -> Option<&str> {
    let whole = sidecar.encryption.as_ref().and_then(|seal| seal.profile_id.as_deref());
    whole.or_else(|| sidecar.archive.as_ref().and_then(|archive| archive.profile_id.as_deref()))
}

fn json(list: &List) -> Result<String> {
    let text = serde_json::to_string_pretty(list).map_err(|error| {
        Fault::new(Stage::Resolve, Reason::InternalError, "failed to write the list as JSON").caused_by(error)
    })?;
    Ok(text + "\n")
}

const HEADINGS: [&str; 8] =
    ["TIMESTAMP", "SIZE", "ENGINE", "DATABASES", "COMPRESSION", "ENCRYPTED", "NOTES", "PATH"];

/// The table for people.
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no backups found\n".to_owned();
    }
    let cells: Vec<[String; 8]> = rows.iter().map(cells).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&HEADINGS.map(str::to_owned), widths);
    for row in &cells {
        text.push_str(&line(row, widths));
    }
    text
}

fn line(cells: &[String; 8], widths: [usize; 8]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    padded.join("  ").trim_end().to_owned() + "\n"
}

fn cells(row: &Row) -> [String; 8] {
    let unknown = || "-".to_owned();
    let engine = match (&row.engine, &row.engine_version) {
        (Some(engine), Some(version)) => format!("{engine} {version}"),
        (Some(engine), None) => engine.clone(),
        (None, _) => unknown(),
    };
    let databases = match row.databases.as_deref() {
        Some([]) | None => unknown(),
        Some([only]) => only.clone(),
        Some([first, rest @ ..]) => format!("{first} +{}", rest.len()),
    };
    let encrypted = match (row.encrypted, &row.profile) {
        (Some(true), Some(profile)) => profile.clone(),
        (Some(true), None) => "yes".to_owned(),
        (Some(false), _) => "no".to_owned(),
        (None, _) => unknown(),
    };
    [
        row.timestamp.map_or_else(unknown, |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        row.size.map_or_else(unknown, |size| HumanBytes(size).to_string()),
        engine,
        databases,
        row.compression.clone().unwrap_or_else(unknown),
        encrypted,
        notes(row),
        row.path.clone(),
    ]
    .map(|cell| printable(&cell))
}

/// What a person should know of a row before choosing it.
fn notes(row: &Row) -> String {
    let mut notes = Vec::new();
    match row.state {
        State::Ok => {}
        State::NoSidecar => notes.push("no sidecar".to_owned()),
        State::MissingData => notes.push("missing data".to_owned()),
        State::UnreadableSidecar => notes.push("unreadable sidecar".to_owned()),
    }
    if let Some(problem) = &row.problem {
        notes.push(problem.reason.name().to_owned());
    }
    if row.last_check_passed == Some(false) {
        notes.push("last check failed".to_owned());
    }
    if row.chain.as_deref() == Some("incremental") {
        notes.push("incremental".to_owned());
    }
    if row.locked == Some(true) {
        notes.push("locked".to_owned());
    }
    notes.join(", ")
}

/// Names come from the storage: nothing in them may steer a terminal or break a row.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { clean.extend(letter.escape_default()) } else { clean.push(letter) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[(&str, &str)], output: ListFormat) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let location = folder.path().to_str().unwrap().to_owned();
        let text =
            run(&ListArguments { location: Some(location.clone()), output, ..ListArguments::default() });
        text.unwrap().replace(&location, "FOLDER")
    }

    const SEALED: &str = r#"{"version":1,"jobName":"shop","sourceType":"mariadb","engineVersion":"10.11.19",
        "databases":{"count":2,"names":["shop","audit"]},"timestamp":"2026-11-22T01:02:03.004Z",
        "compression":"BROTLI","encryption":{"enabled":true,"profileId":"p1","algorithm":"aes-256-gcm",
        "iv":"000102030405060708090a0b0c0d0e0f","authTag":"000102030405060708090a0b0c0d0e0f"},
        "locked":true,"backupType":"full","verification":{"passed":false}}"#;

    #[test]
    fn the_table_shows_what_a_person_chooses_by() {
        let text = list(
            &[("a.sql.br.enc", "12345"), ("a.sql.br.enc.meta.json", SEALED), ("b\u{1b}[2J.sql", "1")],
            ListFormat::Table,
        );
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(rows[0], HEADINGS);
        assert_eq!(
            rows[1],
            [
                "2026-11-22 01:02:03Z",
                "5 B",
                "MariaDB 10.11.19",
                "shop +1",
                "Brotli",
                "p1",
                "last check failed, locked",
                "a.sql.br.enc"
            ]
        );
        assert_eq!(rows[2], ["-", "1 B", "-", "-", "-", "-", "no sidecar", "b\\u{1b}[2J.sql"]);
        assert_eq!(list(&[], ListFormat::Table), "no backups found\n");
    }

    #[test]
    fn the_document_says_null_for_what_is_not_known() {
        let text = list(
            &[
                ("a.sql.br.enc", "12345"),
                ("a.sql.br.enc.meta.json", SEALED),
                (
                    "gone.tar.meta.json",
                    r#"{"version":1,"archive":{"formatVersion":2,"encrypted":true,"profileId":"p2","compression":"GZIP"}}"#,
                ),
                ("plain.sql", "1"),
                ("torn.sql", "1"),
                ("torn.sql.meta.json", "{"),
            ],
            ListFormat::Json,
        );
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["destination"], "FOLDER");
        let row = |path: &str| {
            let rows = document["backups"].as_array().unwrap();
            rows.iter().find(|row| row["path"] == path).unwrap().clone()
        };
        let mut sealed = row("a.sql.br.enc");
        assert!(sealed["modified"].is_string());
        sealed["modified"].take();
        assert_eq!(
            sealed,
            serde_json::json!({
                "path": "a.sql.br.enc", "state": "ok", "timestamp": "2026-11-22T01:02:03.004Z", "size": 5,
                "modified": null, "engine": "MariaDB", "engineVersion": "10.11.19", "job": "shop",
                "databases": ["shop", "audit"], "compression": "Brotli", "encrypted": true, "profile": "p1",
                "locked": true, "lastCheckPassed": false, "chain": "full", "problem": null,
            })
        );
        for (path, key, value) in [
            ("gone.tar", "state", serde_json::json!("missingData")),
            ("gone.tar", "size", serde_json::json!(null)),
            ("gone.tar", "compression", serde_json::json!("Gzip")),
            ("gone.tar", "profile", serde_json::json!("p2")),
            ("plain.sql", "state", serde_json::json!("noSidecar")),
            ("plain.sql", "encrypted", serde_json::json!(null)),
            ("plain.sql", "databases", serde_json::json!(null)),
            ("torn.sql", "state", serde_json::json!("unreadableSidecar")),
            ("torn.sql", "locked", serde_json::json!(null)),
        ] {
            assert_eq!(row(path)[key], value, "{path} {key}");
        }
        assert_eq!(row("torn.sql")["problem"]["reason"], "CorruptBackup");
    }
}

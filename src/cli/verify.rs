//! `reinstate verify`: what is this backup, and is it good?

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::exit::ExitCode;
use super::keys::KeyFlags;
use super::output::{self, Format, bytes, clean, grouped};
use super::progress::Display;
use super::storage_url::{self, StorageFlags};
use super::{report_fault, signals};
use crate::report::FailureReport;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, Proof, TableRows};
use crate::runner::keys::KeyRing;
use crate::runner::read::{Examined, Options, Request, examine};
use crate::runner::run;
use crate::runner::source::Artifact;

/// Reads all of a backup and says what it is, which key opens it, and whether it is whole
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// A local file, or `s3://BUCKET/KEY`
    #[arg(value_name = "PATH|URL")]
    pub backup: String,
    /// What to expect of the backup.
    #[command(flatten)]
    pub expect: Expectations,
    /// Keys.
    #[command(flatten)]
    pub keys: KeyFlags,
    /// Storage.
    #[command(flatten)]
    pub storage: StorageFlags,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What is known of a backup beforehand.
#[derive(Args, Clone, Debug, Default)]
pub struct Expectations {
    /// SHA-256 that the stored file must have
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// Accept a backup that carries no proof of being whole
    #[arg(long)]
    pub allow_unproven: bool,
}

impl Expectations {
    /// The reader's options.
    pub fn options(&self) -> Result<Options> {
        let checksum = self.sha256.as_ref().map(|text| {
            let mut digest = [0; 32];
            hex::decode_to_slice(text, &mut digest).map(|()| digest).map_err(|_| {
                Fault::new(
                    Stage::Resolve,
                    crate::reason::Reason::InvalidSpec,
                    "--sha256 is not 64 hexadecimal digits",
                )
            })
        });
        Ok(Options {
            checksum: checksum.transpose()?,
            allow_unproven: self.allow_unproven,
            ..Options::default()
        })
    }
}

/// The JSON document. Keys are stable; what is not known is `null`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    format: Option<String>,
    compression: Option<String>,
    encryption: Option<EncryptionDocument>,
    proof: Option<Proof>,
    engine: Option<String>,
    engine_version: Option<String>,
    timestamp: Option<String>,
    size: Option<u64>,
    stored_sha256: Option<String>,
    sha256: Option<String>,
    databases: Vec<DatabaseDocument>,
    files: Option<u64>,
    warnings: Vec<String>,
    verified: bool,
    failure: Option<FailureReport>,
}

#[derive(Serialize)]
struct EncryptionDocument {
    algorithm: String,
    profile: String,
    discovered: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseDocument {
    name: Option<String>,
    format: String,
    bytes: u64,
    sha256: String,
    tables: Option<Vec<TableRows>>,
}

/// Runs the command.
pub fn verify(arguments: &Verify) -> ExitCode {
    match arguments.keys.read().and_then(|keys| open(arguments, &keys)) {
        Ok(examined) => {
            match arguments.output {
                Format::Json => output::json(&document(&examined)),
                Format::Text => output::out(&text(&examined)),
            }
            ExitCode::Success
        }
        Err(fault) => {
            if arguments.output == Format::Json {
                output::json(&Document { failure: Some(run::failure(&fault)), ..Document::default() });
            }
            report_fault(&fault)
        }
    }
}

fn open(arguments: &Verify, keys: &KeyRing) -> Result<Examined> {
    let artifact = storage_url::artifact(&arguments.backup, &arguments.storage)?;
    examine_shown(&artifact, keys, &arguments.expect.options()?)
}

/// Pass 1 with a progress bar.
pub(super) fn examine_shown(artifact: &Artifact, keys: &KeyRing, options: &Options) -> Result<Examined> {
    let context = Context::default();
    let _signals = signals::cancel_on_signal(&context.cancel);
    let _display = Display::start(&context.progress, false);
    examine(Request { artifact, keys, options, context: &context })
}

fn document(examined: &Examined) -> Document {
    let backup = run::backup_report(examined);
    Document {
        format: backup.format,
        compression: backup.compression,
        encryption: examined.encryption.as_ref().map(|seal| EncryptionDocument {
            algorithm: seal.algorithm.to_owned(),
            profile: seal.profile.clone(),
            discovered: seal.discovered,
        }),
        proof: examined.proof,
        engine: backup.engine,
        engine_version: backup.engine_version,
        timestamp: backup.timestamp.map(|time| time.to_string()),
        size: Some(backup.size),
        stored_sha256: backup.sha256,
        sha256: examined.decoded.map(|(sha256, _)| hex::encode(sha256)),
        databases: examined.databases.iter().map(database).collect(),
        files: examined.files,
        warnings: examined.warnings.clone(),
        verified: true,
        failure: None,
    }
}

fn database(entry: &DatabaseEntry) -> DatabaseDocument {
    DatabaseDocument {
        name: entry.name.clone(),
        format: format!("{:?}", entry.format),
        bytes: entry.bytes,
        sha256: hex::encode(entry.sha256),
        tables: entry.facts.tables.clone(),
    }
}

/// What a proof means, in a few words.
pub(super) fn proof_words(proof: Option<Proof>) -> &'static str {
    match proof {
        Some(Proof::Tag) => "its encryption's authentication tag covers every byte",
        Some(Proof::Checksum) => "the SHA-256 is the expected one",
        Some(Proof::Trailer) => "the dump's own end mark is there",
        None => "none: accepted as it is",
    }
}

fn text(examined: &Examined) -> String {
    let backup = run::backup_report(examined);
    let unknown = || "?".to_owned();
    let mut lines = vec![
        (
            "engine",
            format!(
                "{} {}",
                backup.engine.unwrap_or_else(unknown),
                backup.engine_version.unwrap_or_else(unknown)
            ),
        ),
        (
            "format",
            format!(
                "{}, compression {}",
                backup.format.unwrap_or_else(unknown),
                backup.compression.unwrap_or_else(unknown)
            ),
        ),
        ("encryption", encryption_words(examined)),
        ("proof", proof_words(examined.proof).to_owned()),
        ("stored", format!("{} bytes ({})", grouped(backup.size), bytes(backup.size))),
    ];
    if let Some(time) = backup.timestamp {
        lines.insert(0, ("made", time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
    }
    if let Some((sha256, size)) = examined.decoded {
        lines.push(("decoded", format!("{} bytes, SHA-256 {}", grouped(size), hex::encode(sha256))));
    }
    if let Some(files) = examined.files {
        lines.push(("files", files.to_string()));
    }
    let mut text = format!("Good backup: {}\n\n", clean(&examined.artifact.describe()));
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:<11} {}", clean(&value));
    }
    text.push('\n');
    text.push_str(&indent(&databases_table(examined)));
    for warning in &examined.warnings {
        let _ = writeln!(text, "\n  warning: {}", clean(warning));
    }
    text
}

fn encryption_words(examined: &Examined) -> String {
    match &examined.encryption {
        None => "none".to_owned(),
        Some(seal) if seal.discovered => {
            format!("{}, opened by key {} (found by trying)", seal.algorithm, seal.profile)
        }
        Some(seal) => format!("{}, opened by key {}", seal.algorithm, seal.profile),
    }
}

fn databases_table(examined: &Examined) -> String {
    let rows: Vec<Vec<String>> = examined
        .databases
        .iter()
        .map(|entry| {
            let tables = entry.facts.tables.as_ref();
            let rows = tables.map(|tables| tables.iter().map(|table| table.rows).sum());
            vec![
                clean(entry.name.as_deref().unwrap_or("-")),
                format!("{:?}", entry.format),
                tables.map_or_else(|| "-".to_owned(), |tables| tables.len().to_string()),
                rows.map_or_else(|| "-".to_owned(), grouped),
                grouped(entry.bytes),
                hex::encode(entry.sha256),
            ]
        })
        .collect();
    output::table(&["DATABASE", "FORMAT", "TABLES", "ROWS", "BYTES", "SHA-256"], &rows, &[2, 3, 4])
}

/// Every line two blanks in.
pub(super) fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "  {line}");
        all
    })
}

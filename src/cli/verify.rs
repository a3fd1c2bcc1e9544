//! `reinstate verify`: what is this backup, and is it good?

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::exit::ExitCode;
use super::keys::KeyFlags;
use super::output::{self, Format, bytes, clean, counted, grouped};
use super::progress::Display;
use super::storage_url::{self, StorageFlags};
use super::{render, report_fault, signals};
use crate::reason::{Class, Reason};
use crate::report::{BackupReport, FailureReport};
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
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Keys.
    #[command(flatten)]
    pub keys: KeyFlags,
    /// Storage.
    #[command(flatten)]
    pub storage: StorageFlags,
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
                Fault::new(Stage::Resolve, Reason::InvalidSpec, "--sha256 is not 64 hexadecimal digits")
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
    sha256: Option<String>,
    databases: Option<Vec<DatabaseDocument>>,
    verified: bool,
    files: Option<u64>,
    timestamp: Option<String>,
    size: Option<u64>,
    stored_sha256: Option<String>,
    warnings: Vec<String>,
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
            let fault = named(fault, &arguments.backup);
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
    let _signals = signals::cancel_on_signal(&context.cancel, signals::Again::Ends);
    let _display = Display::start(&context.progress, false);
    examine(Request { artifact, stat: None, keys, options, context: &context })
}

/// The fault with the backup's name in it: the reader knows content, not names.
pub(super) fn named(mut fault: Fault, backup: &str) -> Fault {
    let file = backup.rsplit('/').next().unwrap_or(backup);
    let about_backup = fault.reason.facts().class == Class::Backup;
    if about_backup && !fault.message.contains(file) {
        fault.message = format!("{backup}: {}", fault.message);
    }
    fault
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
        sha256: examined.decoded.map(|(sha256, _)| hex::encode(sha256)),
        databases: Some(examined.databases.iter().map(database).collect()),
        verified: true,
        files: examined.files,
        timestamp: backup.timestamp.map(|time| time.to_string()),
        size: Some(backup.size),
        stored_sha256: backup.sha256,
        warnings: examined.warnings.clone(),
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
pub(super) fn proof_words(proof: Option<&str>) -> &'static str {
    match proof {
        Some("Tag") => "the encryption's authentication tag covers every byte",
        Some("Checksum") => "the SHA-256 of the stored file is the expected one",
        Some("Trailer") => "the dump's own end mark is there",
        _ => "none: accepted as it is",
    }
}

fn text(examined: &Examined) -> String {
    let backup = run::backup_report(examined);
    let mut lines = vec![
        ("backup", clean(&examined.artifact.describe())),
        ("", stored_words(&backup)),
        ("content", render::content_words(&backup)),
        ("key", encryption_words(examined)),
        ("proof", proof_words(backup.proof.as_deref()).to_owned()),
    ];
    if let Some((sha256, size)) = examined.decoded {
        lines.push(("decoded", format!("{} bytes, SHA-256 {}", grouped(size), hex::encode(sha256))));
    }
    if let Some(files) = examined.files {
        lines.push(("files", format!("{} beside the databases, proven too", counted(files, "file"))));
    }
    let headline = match examined.proof {
        Some(_) => "Good backup: every byte was read and proven",
        None => "Readable backup, but nothing proves that it is whole",
    };
    let mut text = format!("{headline}\n\n");
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:<9}{}", clean(&value));
    }
    text.push('\n');
    text.push_str(&indent(&databases_table(examined)));
    for warning in &examined.warnings {
        let _ = writeln!(text, "\n  warning: {}", clean(warning));
    }
    text
}

fn stored_words(backup: &BackupReport) -> String {
    let made = backup
        .timestamp
        .map_or_else(String::new, |time| time.strftime(", made %Y-%m-%d %H:%M:%S UTC").to_string());
    format!("{}{made}", bytes(backup.size))
}

fn encryption_words(examined: &Examined) -> String {
    match &examined.encryption {
        None => "none: it is not encrypted".to_owned(),
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

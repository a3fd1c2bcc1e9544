//! Walks through a decoded stream once: recognises what it is and takes the inventory.

use std::io::{self, Read};
use std::sync::Arc;

use super::again::Again;

use crate::reason::Reason;
use crate::runner::engine::postgres::archive::reader::late_contents;
use crate::runner::engine::{self, Scanner};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::manifest::{self, ListedDatabase, Manifest};
use crate::runner::format::detect::{self, Content};
use crate::runner::format::text::TextScanner;
use crate::runner::inventory::{DatabaseEntry, DumpFacts, DumpFormat, SourceEngine};
use crate::runner::meter::{Hasher, Sha256};
use crate::runner::pipe::{BUFFER_BYTES, Peek};
use crate::runner::tar::{Kind, Member, TarReader};

/// Most databases in one TAR.
const MAX_DATABASES: usize = 10_000;

/// What is known before the walk.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The engine that the sidecar or the manifest names.
    pub(super) engine: Option<SourceEngine>,
    /// The name of a single database.
    pub(super) name: Option<String>,
    /// The format that the request states.
    pub(super) format: Option<DumpFormat>,
    /// What an earlier walk gave as [`Walked::late_contents`].
    pub(super) contents: Option<Arc<[u8]>>,
    /// The decoded stream is the stored one, whose hash others take: see [`Walked::hashed_as`].
    pub(super) is_stored: bool,
    /// Rows are added up, for [`DumpFacts::digests`].
    pub(super) digests: bool,
    /// How parts of the stream are read once more.
    pub(super) again: Option<Arc<Again>>,
}

/// What a walk found.
pub(super) struct Walked {
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
    /// Databases with their place in the decoded stream: first byte and bytes.
    pub(super) databases: Vec<(DatabaseEntry, (u64, u64))>,
    pub(super) engine: Option<SourceEngine>,
    pub(super) engine_version: Option<String>,
    /// There was a DBackup manifest.
    pub(super) manifest: bool,
}

impl Walked {
    /// Takes in the hash of a stream that the walk itself did not hash.
    pub(super) fn hashed_as(&mut self, sha256: Sha256) {
        self.sha256 = sha256;
        for (database, place) in &mut self.databases {
            if *place == (0, self.bytes) {
                database.sha256 = sha256;
            }
        }
    }

    /// The table of contents of an archive in which it stands behind data: its rows are counted by a
    /// second walk, which is given it.
    pub(super) fn late_contents(&self) -> Option<Arc<[u8]>> {
        self.databases.iter().find_map(|(database, _)| database.facts.late_contents.clone())
    }
}

/// Counts and hashes what goes through it.
struct Hashing<R> {
    inner: R,
    hasher: Option<Hasher>,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(target.get(..count).unwrap_or_default());
        }
        self.bytes += count as u64;
        Ok(count)
    }
}

pub(super) fn read_fault(error: io::Error) -> Fault {
    Fault::from_io(error, Stage::Inspect, Reason::CorruptBackup, "failed to read the backup")
}

fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Stage::Inspect, reason, message)
}

/// Reads `decoded` to its end.
pub(super) fn walk(decoded: impl Read, known: &Known) -> Result<Walked> {
    let hasher = (!known.is_stored).then(Hasher::default);
    let mut stream = Peek::new(Hashing { inner: decoded, hasher, bytes: 0 });
    let head = stream.peek(detect::HEAD_BYTES).map_err(read_fault)?.to_vec();
    if head.is_empty() {
        return Err(fault(Reason::Truncated, "the backup decodes to nothing"));
    }
    let mut walked = match (known.format, detect::content(&head, known.engine)) {
        (_, Content::Tar) => walk_tar(&mut stream, known)?,
        (None, Content::Dump(format)) => walk_dump(&mut stream, format, known, &head)?,
        (Some(format), Content::Dump(found)) if format == found => {
            walk_dump(&mut stream, format, known, &head)?
        }
        // Text may lack the comments that it is known by; a binary format has its magic number.
        (Some(format), Content::Unknown) if detect::is_text(format) => {
            walk_dump(&mut stream, format, known, &head)?
        }
        (Some(format), _) => return Err(not_the_stated(format)),
        (None, Content::Unknown) => {
            return Err(fault(Reason::UnsupportedFormat, "the content is of no format that is known"));
        }
    };
    if let Some(format) =
        known.format.filter(|format| walked.databases.iter().any(|(d, _)| d.format != *format))
    {
        return Err(not_the_stated(format));
    }
    let hashing = stream.into_inner();
    walked.sha256 = hashing.hasher.map(Hasher::finish).unwrap_or_default();
    walked.bytes = hashing.bytes;
    for (database, place) in &mut walked.databases {
        if place.1 == u64::MAX {
            // The whole stream is this one dump.
            *place = (0, walked.bytes);
            (database.sha256, database.bytes) = (walked.sha256, walked.bytes);
        }
    }
    Ok(walked)
}

/// The fault for content that is not of the format that the request states.
pub(super) fn not_the_stated(format: DumpFormat) -> Fault {
    fault(Reason::UnsupportedFormat, format!("the content is not the {format:?} that was stated"))
}

/// The scanner that takes the inventory of a dump.
fn scanner(format: DumpFormat, known: &Known) -> Option<Box<dyn Scanner>> {
    let mut own = match &known.contents {
        Some(contents) => engine::scanner_again(format, Arc::clone(contents)),
        None => engine::scanner(format),
    };
    if let Some(scanner) = own.as_mut().filter(|_| known.digests) {
        scanner.digest_rows();
    }
    own.or_else(|| match format {
        DumpFormat::PostgresPlain | DumpFormat::MySQLDump => Some(Box::new(TextScanner::default())),
        _ => None,
    })
}

/// Gives a stream on to its end.
fn pour(stream: &mut impl Read, give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = stream.read(&mut buffer).map_err(read_fault)?;
        if count == 0 {
            return Ok(());
        }
        give(buffer.get(..count).unwrap_or_default())?;
    }
}

/// Reads one dump to its end.
fn scan(dump: &mut impl Read, format: DumpFormat, known: &Known) -> Result<(Sha256, u64, DumpFacts)> {
    let mut scanner = scanner(format, known);
    let (mut hasher, mut bytes) = (Hasher::default(), 0);
    pour(dump, &mut |part| {
        hasher.update(part);
        bytes += part.len() as u64;
        scanner.as_mut().map_or(Ok(()), |scanner| scanner.feed(part))
    })?;
    let facts = scanner.map_or_else(|| Ok(DumpFacts::default()), Scanner::finish)?;
    if facts.late_contents.is_some() {
        // Parts of something larger are read once in pass 1.
        return Err(late_contents());
    }
    Ok((hasher.finish(), bytes, facts))
}

fn walk_dump(stream: &mut impl Read, format: DumpFormat, known: &Known, head: &[u8]) -> Result<Walked> {
    // The stream's own hash is this dump's hash: it is not computed twice.
    let mut scanner = scanner(format, known);
    match (&mut scanner, &known.again) {
        (Some(scanner), Some(again)) => again.feed(stream, &mut **scanner)?,
        (Some(scanner), None) => pour(stream, &mut |part| scanner.feed(part))?,
        (None, _) => pour(stream, &mut |_| Ok(()))?,
    }
    let facts = scanner.map_or_else(|| Ok(DumpFacts::default()), Scanner::finish)?;
    let engine = same_family(known.engine, detect::engine_of(format, head));
    let engine_version = facts.engine_version.clone();
    let name = known.name.clone().or_else(|| own_name(&facts));
    let database = DatabaseEntry { name, format, bytes: 0, sha256: [0; 32], facts };
    Ok(Walked {
        sha256: [0; 32],
        bytes: 0,
        databases: vec![(database, (0, u64::MAX))],
        engine: Some(engine),
        engine_version,
        manifest: false,
    })
}

/// The name of the one database that a dump says it is of.
fn own_name(facts: &DumpFacts) -> Option<String> {
    match facts.databases.as_slice() {
        [only] => Some(only.name.clone()).filter(|name| !name.is_empty()),
        _ => None,
    }
}

/// The stated engine where the content agrees with it (`MySQL` and `MariaDB` write the same dumps,
/// and so do Redis and Valkey), else what the content says.
pub(super) fn same_family(stated: Option<SourceEngine>, found: SourceEngine) -> SourceEngine {
    use SourceEngine::{MariaDB, MySQL, Redis, Valkey};
    match (stated, found) {
        (Some(stated @ (MySQL | MariaDB)), MySQL | MariaDB)
        | (Some(stated @ (Redis | Valkey)), Redis | Valkey) => stated,
        (_, found) => found,
    }
}

fn walk_tar(stream: &mut impl Read, known: &Known) -> Result<Walked> {
    let mut archive = TarReader::new(stream);
    let Some(first) = archive.next_member()? else {
        return Err(fault(Reason::UnsupportedFormat, "the archive is empty"));
    };
    check_regular(&first)?;
    if first.name == manifest::NAME {
        return walk_databases(&mut archive, &first, known);
    }
    if first.name.strip_suffix(".bak").is_some() {
        return walk_bak_files(&mut archive, first);
    }
    let name = first.name.trim_start_matches("./");
    if name == "metadata" || name.ends_with("-schema-create.sql") {
        return walk_mydumper(&mut archive, known);
    }
    let message = format!("the archive begins with {name:?}: it is none that a dump tool writes");
    Err(fault(Reason::UnsupportedFormat, message))
}

fn check_regular(member: &Member) -> Result<()> {
    if member.kind == Kind::File {
        return Ok(());
    }
    let message = format!("{:?} in the archive is not a regular file", member.name);
    Err(fault(Reason::UnsafeContent, message))
}

/// A mydumper folder.
fn walk_mydumper(archive: &mut TarReader<impl Read>, known: &Known) -> Result<Walked> {
    let format = DumpFormat::Mydumper;
    while let Some(member) = archive.next_member()? {
        if member.kind != Kind::Folder {
            check_regular(&member)?;
        }
    }
    let engine = same_family(known.engine, detect::engine_of(format, b""));
    let facts = DumpFacts::default();
    let database = DatabaseEntry { name: known.name.clone(), format, bytes: 0, sha256: [0; 32], facts };
    Ok(walked(vec![(database, (0, u64::MAX))], Some(engine), None))
}

fn walked(
    databases: Vec<(DatabaseEntry, (u64, u64))>,
    engine: Option<SourceEngine>,
    engine_version: Option<String>,
) -> Walked {
    Walked { sha256: [0; 32], bytes: 0, databases, engine, engine_version, manifest: false }
}

/// DBackup's TAR of several databases.
fn walk_databases(archive: &mut TarReader<impl Read>, first: &Member, known: &Known) -> Result<Walked> {
    if first.size > manifest::LIMIT_BYTES {
        return Err(fault(Reason::LimitExceeded, format!("a manifest of {} bytes", first.size)));
    }
    let mut text = Vec::new();
    archive.read_to_end(&mut text).map_err(read_fault)?;
    let Manifest::Databases { engine, engine_version, databases } = Manifest::parse(&text)? else {
        let message = "a seekable archive lies under a compression or a seal of its own";
        return Err(fault(Reason::UnsupportedFormat, message));
    };
    if databases.len() > MAX_DATABASES {
        return Err(fault(Reason::LimitExceeded, format!("{} databases in one archive", databases.len())));
    }
    let mut found: Vec<(DatabaseEntry, (u64, u64))> = Vec::new();
    for listed in databases {
        if found.iter().any(|(other, _)| other.name.as_ref() == Some(&listed.name)) {
            return Err(fault(
                Reason::CorruptBackup,
                format!("the database {:?} stands twice in the manifest", listed.name),
            ));
        }
        let Some(member) = archive.next_member()? else {
            let message = format!("the archive has no member for the database {:?}", listed.name);
            return Err(fault(Reason::Truncated, message));
        };
        check_listed(&listed, &member)?;
        let known = Known { engine, name: Some(listed.name), digests: known.digests, ..Known::default() };
        found.push(walk_member(archive, &member, &known)?);
    }
    if let Some(member) = archive.next_member()? {
        let message = format!("{:?} in the archive is not in its manifest", member.name);
        return Err(fault(Reason::CorruptBackup, message));
    }
    Ok(Walked { manifest: true, ..walked(found, engine, engine_version) })
}

fn check_listed(listed: &ListedDatabase, member: &Member) -> Result<()> {
    check_regular(member)?;
    if member.name == listed.filename && member.size == listed.size {
        return Ok(());
    }
    let message = format!(
        "the archive has {:?} of {} bytes where its manifest says {:?} of {}",
        member.name, member.size, listed.filename, listed.size
    );
    Err(fault(Reason::CorruptBackup, message))
}

fn walk_member(
    archive: &mut TarReader<impl Read>,
    member: &Member,
    known: &Known,
) -> Result<(DatabaseEntry, (u64, u64))> {
    let mut content = Peek::new(archive);
    let (entry, _) = walk_entry(&mut content, known)?;
    Ok((entry, (member.offset, member.size)))
}

/// Recognises and reads one dump that is a part of something larger.
pub(super) fn walk_entry<R: Read>(
    content: &mut Peek<R>,
    known: &Known,
) -> Result<(DatabaseEntry, SourceEngine)> {
    let Known { engine, name, .. } = known.clone();
    let head = content.peek(detect::HEAD_BYTES).map_err(read_fault)?.to_vec();
    let format = match detect::content(&head, engine) {
        Content::Dump(format) => format,
        Content::Tar | Content::Unknown => {
            let name = name.as_deref().unwrap_or("?");
            return Err(fault(
                Reason::UnsupportedFormat,
                format!("the dump of {name:?} is of no format that is known"),
            ));
        }
    };
    let found = same_family(engine, detect::engine_of(format, &head));
    let (sha256, bytes, facts) = scan(content, format, known)?;
    Ok((DatabaseEntry { name, format, bytes, sha256, facts }, found))
}

/// DBackup's TAR of SQL Server backups: no manifest, names with the time of the backup.
fn walk_bak_files(archive: &mut TarReader<impl Read>, first: Member) -> Result<Walked> {
    let mut found: Vec<(DatabaseEntry, (u64, u64))> = Vec::new();
    let mut next = Some(first);
    while let Some(member) = next {
        check_regular(&member)?;
        let name = bak_database(&member.name);
        if found.len() >= MAX_DATABASES || found.iter().any(|(other, _)| other.name == name) {
            let message =
                format!("{:?} stands twice in the archive, or it has too many members", member.name);
            return Err(fault(Reason::CorruptBackup, message));
        }
        let known = Known { engine: Some(SourceEngine::SQLServer), name, ..Known::default() };
        found.push(walk_member(archive, &member, &known)?);
        next = archive.next_member()?;
    }
    Ok(walked(found, Some(SourceEngine::SQLServer), None))
}

/// `shop_2026-11-22T…bak` is the database `shop`. A database name may hold such a date itself; the
/// first one that fits ends the name, as DBackup reads it.
fn bak_database(file_name: &str) -> Option<String> {
    let stem = file_name.strip_suffix(".bak")?;
    let is_date = |text: &str| {
        let bytes = text.as_bytes();
        bytes.len() >= 11
            && bytes.iter().take(11).enumerate().all(|(at, byte)| match at {
                0 => *byte == b'_',
                5 | 8 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    let end = stem.char_indices().map(|(at, _)| at).find(|at| stem.get(*at..).is_some_and(is_date));
    Some(stem.get(..end.unwrap_or(stem.len())).unwrap_or(stem).to_owned())
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;

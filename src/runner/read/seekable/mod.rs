//! DBackup's seekable archives: a TAR of parts, each compressed and sealed for itself, with an
//! index as its last member.

mod base;
mod open;
mod part;

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use super::chain::threaded;
use super::walk::{Known, not_the_stated, walk_entry};
use super::{Encryption, Examined, Layout, Opened, Scope};
use crate::reason::Reason;
use crate::runner::codec::Codec;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::index::{DumpLine, Entry, Index};
use crate::runner::format::dbackup::manifest::{self, ArchiveSeal};
use crate::runner::format::dbackup::seal::ArchiveKeys;
use crate::runner::inventory::{DatabaseEntry, Proof, SourceEngine};
use crate::runner::meter::{Meter, Region, Sha256};
use crate::runner::pipe::Peek;
use crate::runner::tar::{Kind, TarReader};

use self::open::{INDEX_NAME, open_archive};
use self::part::{hash_content, with_part};

pub(super) use self::open::head;
pub(super) use self::part::open_part;

/// What the head of a seekable archive says.
pub(super) struct Head {
    engine: Option<SourceEngine>,
    engine_version: Option<String>,
    seal: Option<ArchiveSeal>,
}

/// Index and keys of an opened archive.
struct Archive {
    index: Index,
    keys: Option<ArchiveKeys>,
    encryption: Option<Encryption>,
}

/// A database's part, and the region of the file in which pass 1 saw it.
pub(super) type Place = (Arc<Region>, Entry);

fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Stage::Inspect, reason, message)
}

pub(super) fn examine(opened: &Opened<'_>, head: &Head) -> Result<Examined> {
    let archive = opened.judged(|| open_archive(opened, head))?;
    let wanted = wanted_databases(opened, &archive.index)?;
    let self_proven = |line: &DumpLine| {
        line.sha256.is_some() || archive.index.entries.get(line.entry).is_some_and(|entry| entry.sealed)
    };
    let by_ranges = opened.request.options.scope != Scope::Everything
        && opened.request.options.checksum.is_none()
        && !wanted.is_empty()
        && wanted.iter().all(self_proven);
    let mut examined = if by_ranges {
        examine_ranges(opened, head, archive, &wanted)?
    } else {
        examine_all(opened, head, archive, &wanted)?
    };
    check_stated(opened, &examined)?;
    examined.warnings.sort();
    Ok(examined)
}

/// Holds what the request states of format and compression against what the databases are.
fn check_stated(opened: &Opened<'_>, examined: &Examined) -> Result<()> {
    let options = &opened.request.options;
    if let Some(format) =
        options.format.filter(|format| examined.databases.iter().any(|d| d.format != *format))
    {
        return Err(not_the_stated(format));
    }
    let Layout::Seekable { places, .. } = &examined.layout else { return Ok(()) };
    match options.compression {
        Some(stated) if places.iter().any(|(_, part)| part.codec != stated) => {
            let message = format!("the content is not the {} stream that was stated", stated.name());
            Err(Fault::new(Stage::Decompress, Reason::UnsupportedFormat, message))
        }
        _ => Ok(()),
    }
}

/// The databases that the request is about.
fn wanted_databases(opened: &Opened<'_>, index: &Index) -> Result<Vec<DumpLine>> {
    let Scope::Databases(Some(names)) = &opened.request.options.scope else {
        return Ok(index.databases.clone());
    };
    names
        .iter()
        .map(|name| {
            index.databases.iter().find(|line| line.name == *name).cloned().ok_or_else(|| {
                let message = format!("there is no database {name:?} in {}", opened.describe());
                fault(Reason::DatabaseNotInBackup, message)
            })
        })
        .collect()
}

fn check_dump(line: &DumpLine, entry: &DatabaseEntry) -> Result<()> {
    let hash_differs = line.sha256.is_some_and(|hash| hash != entry.sha256);
    if entry.bytes != line.size || hash_differs {
        let message = format!(
            "the dump of {:?} has {} bytes, the index says {}; or its SHA-256 differs",
            line.name, entry.bytes, line.size
        );
        return Err(fault(Reason::CorruptBackup, message));
    }
    Ok(())
}

/// Reads one part's dump for the inventory.
fn walk_dump(
    stored: impl Read + Send,
    line: &DumpLine,
    part: &Entry,
    (opened, head, archive): (&Opened<'_>, &Head, &Archive),
) -> Result<(DatabaseEntry, SourceEngine)> {
    let how = (archive.keys.as_ref(), opened.request.options.limits);
    with_part(stored, part, how, |content| {
        let (engine, name) = (head.engine, Some(line.name.clone()));
        let known = Known { engine, name, digests: opened.request.options.digests, ..Known::default() };
        let found = walk_entry(&mut Peek::new(content), &known)?;
        check_dump(line, &found.0)?;
        Ok(found)
    })
}

/// Reads only the ranges of the wanted databases; each proves itself by its tag or its hash.
fn examine_ranges(
    opened: &Opened<'_>,
    head: &Head,
    archive: Archive,
    wanted: &[DumpLine],
) -> Result<Examined> {
    let parts: Vec<(&DumpLine, Entry)> =
        wanted.iter().filter_map(|line| Some((line, *archive.index.entries.get(line.entry)?))).collect();
    let total = parts.iter().map(|(_, part)| part.size).sum();
    opened.request.context.progress.begin(Stage::Download, "checking the backup", total);
    let mut found = Vec::new();
    for (line, part) in parts {
        let end = part.offset + part.size;
        if end > opened.stat.size {
            return Err(fault(
                Reason::Truncated,
                format!("{} ends within {:?}", opened.describe(), line.name),
            ));
        }
        let metered = opened.metered(part.offset..end)?;
        let walked = walk_dump(threaded("read", metered.clone()), line, &part, (opened, head, &archive));
        metered.finish()?;
        let (entry, engine) = walked?;
        found.push((entry, engine, (Arc::new(metered.with(Meter::region)), part)));
    }
    let proof = if archive.keys.is_some() { Proof::Tag } else { Proof::Checksum };
    Ok(finish(
        opened,
        head,
        archive,
        Proven { found, stored_sha256: None, proof: Some(proof), warnings: Vec::new() },
    ))
}

struct Proven {
    found: Vec<(DatabaseEntry, SourceEngine, Place)>,
    stored_sha256: Option<Sha256>,
    proof: Option<Proof>,
    warnings: Vec<String>,
}

/// Reads the whole archive member by member.
fn examine_all(opened: &Opened<'_>, head: &Head, archive: Archive, wanted: &[DumpLine]) -> Result<Examined> {
    opened.request.context.progress.begin(Stage::Download, "checking the backup", opened.stat.size);
    let metered = opened.metered(0..opened.stat.size)?;
    let walked = walk_members(opened, (head, &archive), threaded("read", metered.clone()));
    metered.finish()?;
    let region = Arc::new(metered.with(Meter::region));
    opened.check(region.sha256)?;
    let mut walked = walked?;
    let mut warnings = Vec::new();
    if opened.request.options.scope == Scope::Everything {
        for base in &archive.index.bases {
            warnings.extend(base::prove(opened, base)?);
        }
    }
    let mut found = Vec::new();
    for line in wanted {
        let part = archive.index.entries.get(line.entry).copied();
        if let Some((part, (entry, engine))) = part.zip(walked.remove(&line.entry)) {
            found.push((entry, engine, (Arc::clone(&region), part)));
        }
    }
    let hashed = wanted.iter().all(|line| line.sha256.is_some())
        && archive.index.entries.len() == archive.index.file_hashes.len() + archive.index.databases.len();
    let proof = if archive.keys.is_some() {
        Some(Proof::Tag)
    } else {
        (opened.expected().is_some() || hashed).then_some(Proof::Checksum)
    };
    Ok(finish(opened, head, archive, Proven { found, stored_sha256: Some(region.sha256), proof, warnings }))
}

/// Reads all members in order and gives the inventory of each database's part.
fn walk_members(
    opened: &Opened<'_>,
    (head, archive): (&Head, &Archive),
    stream: impl Read + Send,
) -> Result<HashMap<usize, (DatabaseEntry, SourceEngine)>> {
    let index = &archive.index;
    let lines: HashMap<usize, &DumpLine> = index.databases.iter().map(|line| (line.entry, line)).collect();
    let mut tar = TarReader::new(stream);
    let mut entries = index.entries.iter().copied().enumerate().peekable();
    let mut dumps = HashMap::new();
    let mut has_index = false;
    while let Some(member) = tar.next_member()? {
        match entries.peek() {
            Some((at, entry)) if member.offset == entry.offset && member.kind == Kind::File => {
                if member.size != entry.size {
                    let message =
                        format!("{:?} has {} bytes, the index says {}", member.name, member.size, entry.size);
                    return Err(fault(Reason::CorruptBackup, message));
                }
                let (at, entry) = (*at, *entry);
                entries.next();
                if let Some(found) =
                    walk_part(opened, &mut tar, (head, archive), (entry, lines.get(&at).copied()))?
                {
                    dumps.insert(at, found);
                }
            }
            _ if member.name == manifest::NAME || matches!(member.kind, Kind::Symlink | Kind::Folder) => {}
            None if member.name == INDEX_NAME && !has_index => has_index = true,
            _ => {
                let message = format!("{:?} in the archive is not in its index", member.name);
                return Err(fault(Reason::CorruptBackup, message));
            }
        }
    }
    if entries.next().is_some() {
        return Err(fault(Reason::Truncated, "the archive has fewer members than its index says"));
    }
    Ok(dumps)
}

/// Proves one part: a database's dump by its inventory, a file by its hash or its tag.
fn walk_part(
    opened: &Opened<'_>,
    tar: &mut TarReader<impl Read + Send>,
    (head, archive): (&Head, &Archive),
    (entry, line): (Entry, Option<&DumpLine>),
) -> Result<Option<(DatabaseEntry, SourceEngine)>> {
    if let Some(line) = line {
        return walk_dump(tar, line, &entry, (opened, head, archive)).map(Some);
    }
    let hash = with_part(tar, &entry, (archive.keys.as_ref(), opened.request.options.limits), hash_content)?;
    match archive.index.file_hashes.get(&entry.ordinal) {
        Some(expected) if *expected != hash => {
            let message = format!(
                "a file of the archive (entry {}) has another SHA-256 than its index says",
                entry.ordinal
            );
            Err(fault(Reason::CorruptBackup, message))
        }
        _ => Ok(None),
    }
}

fn finish(opened: &Opened<'_>, head: &Head, archive: Archive, proven: Proven) -> Examined {
    let engine = proven.found.first().map(|(_, engine, _)| *engine).or(head.engine);
    let mut databases = Vec::new();
    let mut places = Vec::new();
    for (entry, _, place) in proven.found {
        databases.push(entry);
        places.push(place);
    }
    let stated_version = opened.sidecar.as_ref().and_then(|sidecar| sidecar.engine_version.clone());
    Examined {
        artifact: opened.request.artifact.clone(),
        size: opened.stat.size,
        pin: opened.stat.pin.clone(),
        sidecar: opened.sidecar.clone(),
        stored_sha256: proven.stored_sha256,
        dbackup: true,
        codec: Codec::None,
        // Windows of single parts are not measured: the worst of their codecs.
        window_bytes: places.iter().map(|(_, part)| part.codec.window_bytes(b"")).max().unwrap_or_default(),
        encryption: archive.encryption,
        proof: proven.proof,
        engine,
        engine_version: head.engine_version.clone().or(stated_version),
        decoded: None,
        databases,
        files: Some(archive.index.files),
        warnings: proven.warnings,
        layout: Layout::Seekable { keys: archive.keys, places, limits: opened.request.options.limits },
    }
}

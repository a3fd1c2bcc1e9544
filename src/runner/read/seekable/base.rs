//! The other archives of a chain: an incremental refers to files that lie in them. Its databases
//! never do, so a missing base is a warning and not a failure.

use std::io::{self, Read};

use super::fault;
use super::open::{find_keys, head};
use super::part::{hash_content, with_part};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result};
use crate::runner::format::dbackup::index::Base;
use crate::runner::format::dbackup::seal::ArchiveKeys;
use crate::runner::meter::Sha256;
use crate::runner::read::chain::threaded;
use crate::runner::read::{Opened, Request};
use crate::runner::source::Artifact;

/// Proves the parts of `base` that the archive refers to; gives a warning where it is not there.
pub(super) fn prove(opened: &Opened<'_>, base: &Base) -> Result<Option<String>> {
    let name = &base.archive;
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name == ".." || name == "." {
        return Err(fault(Reason::UnsafeContent, format!("the chain names the archive {name:?}")));
    }
    let artifact = Artifact { store: opened.request.artifact.store.clone(), path: sibling(opened, name) };
    let stat = match artifact.store.stat(&artifact.path) {
        Ok(stat) => stat,
        Err(fault) if fault.reason == Reason::SourceNotFound => {
            let message = format!(
                "{name} is missing: {} files of this backup cannot be restored without it",
                base.files
            );
            return Ok(Some(message));
        }
        Err(fault) => return Err(fault),
    };
    let request = Request { artifact: &artifact, stat: None, ..opened.request };
    let base_opened = Opened { request, stat, sidecar: None };
    let keys = base_keys(&base_opened)?;
    prove_parts(&base_opened, base, keys.as_ref())?;
    Ok(None)
}

/// The path of `name` in the folder of the archive.
fn sibling(opened: &Opened<'_>, name: &str) -> String {
    match opened.request.artifact.path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

fn base_keys(base: &Opened<'_>) -> Result<Option<ArchiveKeys>> {
    let Some(head) = head(base)? else {
        return Err(fault(Reason::CorruptBackup, format!("{} is not a seekable archive", base.describe())));
    };
    let Some(seal) = &head.seal else { return Ok(None) };
    let (start, size) = super::open::find_index(base)?;
    find_keys(base, seal, start..start + size).map(|(keys, _)| Some(keys))
}

/// Reads from the first referred part to the last one and proves each on the way.
fn prove_parts(opened: &Opened<'_>, base: &Base, keys: Option<&ArchiveKeys>) -> Result<()> {
    let mut entries = base.entries.clone();
    entries.sort_by_key(|entry| entry.offset);
    let end = entries.last().map_or(0, |entry| entry.offset + entry.size);
    let Some(first) = entries.first().map(|entry| entry.offset) else { return Ok(()) };
    if end > opened.stat.size {
        return Err(fault(
            Reason::Truncated,
            format!("{} is shorter than the chain says", opened.describe()),
        ));
    }
    let mut stream = threaded("read", opened.open(first..end)?);
    let mut position = first;
    for entry in &entries {
        let gap = entry.offset.checked_sub(position).ok_or_else(|| {
            fault(Reason::CorruptBackup, format!("entries of {} overlap", opened.describe()))
        })?;
        io::copy(&mut stream.by_ref().take(gap), &mut io::sink()).map_err(|error| {
            Fault::from_io(
                error,
                crate::runner::fault::Stage::Download,
                Reason::SourceUnavailable,
                "failed to read",
            )
        })?;
        let limits = opened.request.options.limits;
        let hash = with_part(stream.by_ref().take(entry.size), entry, (keys, limits), hash_content)?;
        check_hash(opened, base.hashes.get(&entry.ordinal), hash, entry.ordinal)?;
        position = entry.offset + entry.size;
    }
    Ok(())
}

fn check_hash(opened: &Opened<'_>, expected: Option<&Sha256>, hash: Sha256, ordinal: u64) -> Result<()> {
    if expected.is_some_and(|expected| *expected != hash) {
        let message =
            format!("entry {ordinal} of {} has another SHA-256 than the chain says", opened.describe());
        return Err(fault(Reason::CorruptBackup, message));
    }
    Ok(())
}

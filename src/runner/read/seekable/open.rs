//! Opening a seekable archive: its manifest, its index, and the key that opens the index.

use std::ops::Range;

use super::part::open_part;
use super::{Archive, Head, fault};
use crate::reason::Reason;
use crate::runner::cipher::AesKey;
use crate::runner::codec::Codec;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::INDEX_SUFFIX;
use crate::runner::format::dbackup::index::{Entry, Index};
use crate::runner::format::dbackup::manifest::{self, ArchiveSeal, Manifest};
use crate::runner::format::dbackup::seal::{ArchiveKeys, INDEX_ORDINAL};
use crate::runner::read::chain::{TagAt, find_key};
use crate::runner::read::{Encryption, Opened};
use crate::runner::tar::{self, BLOCK, Kind, TarReader};

/// The index member's name.
pub(super) const INDEX_NAME: &str = "index";
/// Most bytes that are read to find the first member.
const HEAD_LIMIT_BYTES: u64 = 192 * 1024;
/// Largest stored index.
const INDEX_LIMIT_BYTES: u64 = 512 << 20;
/// How far from the end the index member is looked for where no sidecar tells its size.
const TAIL_LIMIT_BYTES: u64 = 64 << 20;

/// Looks whether the stored file is a seekable archive.
pub(in crate::runner::read) fn head(opened: &Opened<'_>) -> Result<Option<Head>> {
    let stated = opened.sidecar.as_ref().is_some_and(|sidecar| sidecar.archive.is_some());
    let size = opened.stat.size;
    let head = opened.bytes(0..size.min(2 * BLOCK as u64))?;
    let not_one = || {
        fault(
            Reason::CorruptBackup,
            format!("{} is not the seekable archive that its sidecar says", opened.describe()),
        )
    };
    if !tar::is_tar(&head) {
        return if stated { Err(not_one()) } else { Ok(None) };
    }
    // Extension records may stand before the first member.
    let head = opened.bytes(0..size.min(HEAD_LIMIT_BYTES))?;
    let first = match TarReader::new(&head[..]).next_member() {
        Err(fault) if fault.reason == Reason::Truncated && !stated => return Ok(None),
        first => first?,
    };
    let Some(first) =
        first.filter(|member| member.name == manifest::NAME && member.size <= manifest::LIMIT_BYTES)
    else {
        return if stated { Err(not_one()) } else { Ok(None) };
    };
    let end = first.offset + first.size;
    if end > size {
        return Err(fault(Reason::Truncated, format!("{} ends within its manifest", opened.describe())));
    }
    match Manifest::parse(&opened.bytes(first.offset..end)?)? {
        Manifest::Seekable { engine, engine_version, seal } => {
            Ok(Some(Head { engine, engine_version, seal }))
        }
        Manifest::Databases { .. } if stated => Err(not_one()),
        Manifest::Databases { .. } => Ok(None),
    }
}

/// Finds and opens the index; with a seal, the key that opens it is the archive's key.
pub(super) fn open_archive(opened: &Opened<'_>, head: &Head) -> Result<Archive> {
    let stated = opened.sidecar.as_ref().and_then(|sidecar| sidecar.archive.as_ref());
    if stated.is_some_and(|archive| archive.encrypted) && head.seal.is_none() {
        let message =
            format!("the sidecar of {} says that it is encrypted, but it is not", opened.describe());
        return Err(Fault::new(Stage::Decrypt, Reason::NotEncrypted, message));
    }
    opened.check_sealed(head.seal.is_some())?;
    let (start, size) = find_index(opened)?;
    let (keys, encryption) = match &head.seal {
        None => (None, None),
        Some(seal) => {
            let (keys, encryption) = find_keys(opened, seal, start..start + size)?;
            (Some(keys), Some(encryption))
        }
    };
    let part =
        Entry { ordinal: INDEX_ORDINAL, offset: start, size, sealed: keys.is_some(), codec: Codec::Gzip };
    let lines =
        open_part(opened.open(start..start + size)?, &part, keys.as_ref(), opened.request.options.limits)?;
    let index = Index::read(lines)?;
    if keys.is_none() && index.entries.iter().any(|entry| entry.sealed) {
        return Err(fault(
            Reason::CorruptBackup,
            "the index names sealed entries, but the archive is not sealed",
        ));
    }
    if keys.is_some() && index.entries.iter().any(|entry| !entry.sealed) {
        return Err(fault(Reason::CorruptBackup, "the index names plain entries, but the archive is sealed"));
    }
    Ok(Archive { index, keys, encryption })
}

pub(super) fn find_keys(
    opened: &Opened<'_>,
    seal: &ArchiveSeal,
    index: Range<u64>,
) -> Result<(ArchiveKeys, Encryption)> {
    let id = seal.profile_id.as_deref();
    let candidates = opened.request.keys.aes(id);
    if candidates.is_empty() {
        return Err(opened.key_missing());
    }
    let derived: Vec<ArchiveKeys> =
        candidates.iter().map(|(_, key)| ArchiveKeys::derive(key, seal)).collect::<Result<_>>()?;
    let parts: Vec<(&AesKey, [u8; 12])> = derived.iter().map(|keys| keys.of(INDEX_ORDINAL)).collect();
    let Some((_, nonce)) = parts.first() else { return Err(opened.key_missing()) };
    let keys: Vec<&AesKey> = parts.iter().map(|(key, _)| *key).collect();
    let found = find_key(opened, &keys, (nonce, TagAt::Last), index)?;
    match found.and_then(|at| derived.get(at).zip(candidates.get(at))) {
        Some((keys, (candidate, _))) => Ok((keys.clone(), opened.encryption(candidate, "AES-256-GCM", id))),
        None => Err(opened.no_profile_fits(candidates.len())),
    }
}

/// First byte and size of the index member: by the size of its copy beside the archive, else by
/// looking for its header from the end.
pub(super) fn find_index(opened: &Opened<'_>) -> Result<(u64, u64)> {
    let artifact = opened.request.artifact;
    let copy = match artifact.store.stat(&artifact.sibling(INDEX_SUFFIX)) {
        Ok(stat) => Some(stat.size),
        Err(fault) if fault.reason == Reason::SourceNotFound => None,
        Err(fault) => return Err(fault),
    };
    let block = BLOCK as u64;
    let end = opened.stat.size;
    if let Some(size) = copy {
        let tail = size.div_ceil(block) * block + 3 * block;
        if let Some(header) = end.checked_sub(tail)
            && is_index_header(&opened.bytes(header..header + block)?, size)
        {
            return check_index_size(header + block, size);
        }
    }
    search_index(opened)
}

fn check_index_size(start: u64, size: u64) -> Result<(u64, u64)> {
    if size > INDEX_LIMIT_BYTES {
        return Err(fault(Reason::LimitExceeded, format!("the archive's index has {size} bytes")));
    }
    Ok((start, size))
}

fn index_size(header: &[u8]) -> Option<u64> {
    let member = TarReader::new(header).next_member().ok().flatten()?;
    (member.name == INDEX_NAME && member.kind == Kind::File).then_some(member.size)
}

fn is_index_header(header: &[u8], size: u64) -> bool {
    tar::is_tar(header) && index_size(header) == Some(size)
}

fn search_index(opened: &Opened<'_>) -> Result<(u64, u64)> {
    let block = BLOCK as u64;
    let end = opened.stat.size;
    let missing = || fault(Reason::Truncated, format!("{} has no index at its end", opened.describe()));
    if !end.is_multiple_of(block) {
        return Err(missing());
    }
    let mut tail = 64 * 1024;
    loop {
        let start = end.saturating_sub(tail);
        let data = opened.bytes(start..end)?;
        for (at, header) in data.chunks_exact(BLOCK).enumerate().rev() {
            if !tar::is_tar(header) {
                continue;
            }
            let offset = start + (at as u64 + 1) * block;
            if let Some(size) = index_size(header)
                && end.checked_sub(offset).is_some_and(|rest| is_last(size, rest))
            {
                return check_index_size(offset, size);
            }
        }
        if start == 0 || tail >= TAIL_LIMIT_BYTES {
            return Err(missing());
        }
        tail = (tail * 8).min(TAIL_LIMIT_BYTES);
    }
}

/// Whether a member of `size` bytes, padded, and the end mark are the last `rest` bytes. The size is
/// anything that a header can say.
fn is_last(size: u64, rest: u64) -> bool {
    let block = BLOCK as u64;
    size.checked_next_multiple_of(block).and_then(|padded| padded.checked_add(2 * block)) == Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_the_last_one_only_with_its_padding_and_the_end_mark() {
        for (size, rest, last) in [
            (0, 1024, true),
            (1, 1536, true),
            (512, 1536, true),
            (513, 1536, false),
            (u64::MAX, 1024, false),
            (u64::MAX - 1023, 0, false),
            (u64::MAX - 511, 512, false),
        ] {
            assert_eq!(is_last(size, rest), last, "{size} {rest}");
        }
    }
}

//! One part of a seekable archive: below its seal and its compression.

use std::io::{BufReader, Read};

use super::fault;
use crate::reason::Reason;
use crate::runner::cipher::{GcmReader, OnMismatch, TagPlace};
use crate::runner::codec::{Limits, decode};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::index::Entry;
use crate::runner::format::dbackup::seal::ArchiveKeys;
use crate::runner::meter::{Hasher, Sha256};
use crate::runner::pipe::{BUFFER_BYTES, Shared};

type Plain<'a> = Box<dyn Read + Send + 'a>;

fn unseal<'a>(stored: impl Read + Send + 'a, part: &Entry, keys: Option<&ArchiveKeys>) -> Result<Plain<'a>> {
    Ok(match (part.sealed, keys) {
        (false, _) => Box::new(stored),
        (true, Some(keys)) => {
            let (key, nonce) = keys.of(part.ordinal);
            Box::new(GcmReader::new(stored, key, &nonce, TagPlace::Last, OnMismatch::KeyProven))
        }
        (true, None) => {
            return Err(fault(Reason::CorruptBackup, "a sealed entry in an archive without a seal"));
        }
    })
}

fn decompress<'a>(plain: impl Read + Send + 'a, part: &Entry, limits: Limits) -> Result<Plain<'a>> {
    let buffered = BufReader::with_capacity(BUFFER_BYTES, plain);
    decode(part.codec, buffered, limits).map_err(|error| {
        Fault::from_io(error, Stage::Decompress, Reason::InternalError, "failed to start the decoder")
    })
}

/// The decoded content of a part.
pub(in crate::runner::read) fn open_part<'a>(
    stored: impl Read + Send + 'a,
    part: &Entry,
    keys: Option<&ArchiveKeys>,
    limits: Limits,
) -> Result<Plain<'a>> {
    decompress(unseal(stored, part, keys)?, part, limits)
}

/// Hands a part's decoded content to `action`. If that fails, the rest of the part is read all the
/// same: a seal that does not fit is the truer reason.
pub(super) fn with_part<'a, T>(
    stored: impl Read + Send + 'a,
    part: &Entry,
    (keys, limits): (Option<&ArchiveKeys>, Limits),
    action: impl FnOnce(Plain<'a>) -> Result<T>,
) -> Result<T> {
    let sealed = Shared::new(unseal(stored, part, keys)?, Stage::Inspect, Reason::CorruptBackup);
    let outcome = decompress(sealed.clone(), part, limits).and_then(action);
    let verdict = sealed.finish();
    match outcome {
        Err(fault) if fault.stage <= Stage::Decrypt => Err(fault),
        outcome => {
            verdict?;
            outcome
        }
    }
}

/// The SHA-256 of a part's decoded content.
pub(super) fn hash_content(mut content: impl Read) -> Result<Sha256> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = content.read(&mut buffer).map_err(|error| {
            Fault::from_io(error, Stage::Inspect, Reason::CorruptBackup, "failed to read the archive")
        })?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

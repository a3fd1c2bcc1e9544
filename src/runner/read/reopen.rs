//! Pass 2: one database's decoded dump once more, pinned piece by piece to what pass 1 proved.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use super::chain::threaded;
use super::seekable::open_part;
use super::whole::open_codec;
use super::{Examined, Layout};
use crate::reason::Reason;
use crate::runner::cipher::OnMismatch;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::meter::{Hasher, PinnedReader, Region, Sha256};
use crate::runner::pipe::Peek;

impl Examined {
    /// Stored bytes that [`Examined::open_database`] will read for this database.
    pub fn bytes_to_read(&self, index: usize) -> u64 {
        match &self.layout {
            Layout::Whole { region, .. } => region.length,
            Layout::Seekable { places, .. } => places.get(index).map_or(0, |(_, part)| part.size),
        }
    }

    /// The decoded dump of the database at `index` of [`Examined::databases`]. Its end is given only
    /// after its size and SHA-256 were seen to be those of pass 1; where nothing is decoded, every piece
    /// of it was held to pass 1 before.
    pub fn open_database(&self, index: usize, context: &Context) -> Result<Box<dyn Read + Send>> {
        let unknown = || {
            Fault::new(Stage::Download, Reason::InternalError, "there is no such database in the inventory")
        };
        let entry = self.databases.get(index).ok_or_else(unknown)?;
        let dump: Box<dyn Read + Send> = match &self.layout {
            Layout::Whole { region, unseal, places, limits } => {
                let (start, size) = *places.get(index).ok_or_else(unknown)?;
                let range = region.start..region.start + region.length;
                let stored = self.pinned(region, range, context)?;
                let plain = unseal.open(threaded("read", stored), OnMismatch::KeyProven)?;
                let stream: Box<dyn BufRead + Send> = threaded("decrypt", plain);
                Box::new(Part {
                    inner: open_codec(self.codec, Peek::new(stream), *limits)?,
                    skip: start,
                    left: size,
                })
            }
            Layout::Seekable { keys, places, limits } => {
                let (region, part) = places.get(index).ok_or_else(unknown)?;
                let stored = self.pinned(region, part.offset..part.offset + part.size, context)?;
                Box::new(threaded(
                    "decode",
                    open_part(threaded("read", stored), part, keys.as_ref(), *limits)?,
                ))
            }
        };
        let is_proven = match &self.layout {
            Layout::Whole { unseal, .. } => unseal.is_identity(self.codec),
            Layout::Seekable { .. } => false,
        };
        Ok(Box::new(Proven {
            inner: dump,
            hasher: (!is_proven).then(Hasher::default),
            left: entry.bytes,
            expected: entry.sha256,
            whole: is_proven,
        }))
    }

    fn pinned(&self, region: &Region, range: Range<u64>, context: &Context) -> Result<PinnedReader> {
        PinnedReader::open(&self.artifact, &self.pin, (region, range), &context.cancel, &context.progress)
    }
}

/// A part of the decoded stream.
struct Part<R> {
    inner: R,
    skip: u64,
    left: u64,
}

impl<R: Read> Read for Part<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.skip > 0 {
            let skipped = io::copy(&mut self.inner.by_ref().take(self.skip), &mut io::sink())?;
            if skipped < self.skip {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.skip = 0;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(target.len());
        let count = self.inner.read(target.get_mut(..most).unwrap_or_default())?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Gives the end of a dump only after its hash was checked.
struct Proven<R> {
    inner: R,
    hasher: Option<Hasher>,
    left: u64,
    expected: Sha256,
    whole: bool,
}

impl<R: Read> Read for Proven<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(target)?;
        let changed = || {
            let message = "the dump is not the one that was checked before";
            Fault::new(Stage::Download, Reason::SourceChanged, message).into_io()
        };
        if count == 0 {
            if let Some(hasher) = self.hasher.take() {
                self.whole = hasher.finish() == self.expected;
            }
            // The verdict stays: who reads on after a failure gets it again.
            return if self.whole && self.left == 0 { Ok(0) } else { Err(changed()) };
        }
        self.left = self.left.checked_sub(count as u64).ok_or_else(changed)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(target.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

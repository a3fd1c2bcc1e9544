//! Pass 2: one database's decoded dump once more, pinned piece by piece to what pass 1 proved.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use super::chain::threaded;
use super::seekable::open_part;
use super::whole::open_codec;
use super::{Examined, Layout};
use crate::reason::Reason;
use crate::runner::cipher::OnMismatch;
use crate::runner::codec::Codec;
use crate::runner::engine::{Context, Dump, DumpParts};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::meter::{Hasher, PinnedReader, Region, Sha256};
use crate::runner::pipe::Peek;
use crate::runner::source::{Artifact, Pin};

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
    pub fn open_database(&self, index: usize, context: &Context) -> Result<Box<dyn Dump + Send>> {
        self.open_database_for(index, usize::MAX, context)
    }

    /// The same, for so many who read parts of it at the same time, at most.
    pub fn open_database_for(
        &self,
        index: usize,
        readers: usize,
        context: &Context,
    ) -> Result<Box<dyn Dump + Send>> {
        let unknown = || {
            Fault::new(Stage::Download, Reason::InternalError, "there is no such database in the inventory")
        };
        let entry = self.databases.get(index).ok_or_else(unknown)?;
        let dump: Box<dyn Read + Send> = match &self.layout {
            Layout::Whole { region, unseal, places, .. } if unseal.is_identity(self.codec) => {
                let (start, size) = *places.get(index).ok_or_else(unknown)?;
                return Ok(Box::new(Stored::new(self.stored(region, start..start + size, context), readers)));
            }
            Layout::Whole { region, unseal, places, limits } => {
                let (start, size) = *places.get(index).ok_or_else(unknown)?;
                let stored = self.stored(region, 0..region.length, context).open_all()?;
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
                let start = part.offset.saturating_sub(region.start);
                let stored = self.stored(region, start..start + part.size, context);
                if !part.sealed && part.codec == Codec::None {
                    return Ok(Box::new(Stored::new(stored, readers)));
                }
                let stored = threaded("read", stored.open_all()?);
                Box::new(threaded("decode", open_part(stored, part, keys.as_ref(), *limits)?))
            }
        };
        Ok(Box::new(Proven {
            inner: dump,
            hasher: Some(Hasher::default()),
            left: entry.bytes,
            expected: entry.sha256,
            is_whole: false,
        }))
    }

    /// A range of a region, counted from its beginning.
    fn stored(&self, region: &Arc<Region>, range: Range<u64>, context: &Context) -> StoredParts {
        StoredParts {
            artifact: self.artifact.clone(),
            pin: self.pin.clone(),
            region: Arc::clone(region),
            range: region.start + range.start..region.start + range.end,
            context: context.clone(),
            readers: 1,
            worth_bytes: 0,
        }
    }
}

/// A dump that is stored as it is.
struct Stored {
    parts: StoredParts,
    /// Readers of parts, at most.
    limit: usize,
    /// Its reader, once somebody reads the whole.
    whole: Option<Box<dyn BufRead + Send>>,
}

impl Stored {
    const fn new(parts: StoredParts, limit: usize) -> Self {
        Self { parts, limit, whole: None }
    }
}

impl Read for Stored {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let whole = match self.whole.take() {
            Some(whole) => whole,
            None => threaded("read", self.parts.open_all().map_err(Fault::into_io)?),
        };
        self.whole.insert(whole).read(target)
    }
}

impl Dump for Stored {
    fn parts(&self, readers: usize) -> Option<Arc<dyn DumpParts>> {
        let allowed = self.parts.artifact.store.readers()?;
        let parts = || StoredParts { readers, worth_bytes: allowed.worth_bytes, ..self.parts.clone() };
        (readers <= allowed.limit.min(self.limit)).then(|| Arc::new(parts()) as Arc<dyn DumpParts>)
    }
}

impl Dump for Proven {}

/// Reads parts of what is stored as it is. Every piece is held to pass 1 before anything of it is given.
#[derive(Clone)]
pub(super) struct StoredParts {
    pub(super) artifact: Artifact,
    pub(super) pin: Pin,
    pub(super) region: Arc<Region>,
    /// Where the dump lies in the object.
    pub(super) range: Range<u64>,
    pub(super) context: Context,
    /// How many read at the same time, and what is worth one of them.
    pub(super) readers: usize,
    pub(super) worth_bytes: u64,
}

impl StoredParts {
    fn open_all(&self) -> Result<PinnedReader> {
        self.open_range(self.range.clone())
    }

    fn open_range(&self, range: Range<u64>) -> Result<PinnedReader> {
        let Self { artifact, pin, region, context, readers, .. } = self;
        PinnedReader::open((artifact, pin, *readers), (region, range), &context.cancel, &context.progress)
    }
}

impl DumpParts for StoredParts {
    fn worth_bytes(&self) -> u64 {
        self.worth_bytes
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let start = self.range.start.saturating_add(range.start);
        let end = self.range.start.saturating_add(range.end);
        if start > end || end > self.range.end {
            let message = format!("bytes {}..{} are not of the dump", range.start, range.end);
            return Err(Fault::new(Stage::Download, Reason::InternalError, message));
        }
        Ok(Box::new(self.open_range(start..end)?))
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
struct Proven {
    inner: Box<dyn Read + Send>,
    hasher: Option<Hasher>,
    left: u64,
    expected: Sha256,
    is_whole: bool,
}

impl Read for Proven {
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
                self.is_whole = hasher.finish() == self.expected;
            }
            // The verdict stays: who reads on after a failure gets it again.
            return if self.is_whole && self.left == 0 { Ok(0) } else { Err(changed()) };
        }
        self.left = self.left.checked_sub(count as u64).ok_or_else(changed)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(target.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

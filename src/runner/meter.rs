//! Hashes a stored object while it is read, and on the second reading lets pass only what the first
//! one saw.
//!
//! Pass 1 goes through [`Meter`]; pass 2 through [`PinnedReader`], which checks every piece of
//! 4 MiB against pass 1 before anything of it is decrypted or loaded.
//!
//! The whole is hashed by SHA-256, which people and their tools know. The hashes of pieces are seen by nobody,
//! and everything stored is hashed for them twice: BLAKE3 is as hard to deceive and several times as fast.

use std::io::{self, Read};
use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::progress::Progress;
use crate::runner::source::{Artifact, Pin};

/// Bytes per pinned piece; the hashes of 1 TB take 8 MiB of memory.
pub const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

/// The digest of `data` as a whole.
pub fn sha256(data: &[u8]) -> Sha256 {
    to_array(digest(&SHA256, data).as_ref())
}

fn to_array(digest: &[u8]) -> Sha256 {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(digest) {
        *to = *from;
    }
    array
}

/// An incremental SHA-256.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Sha256 {
        to_array(self.0.finish().as_ref())
    }
}

/// The part of a stored object that pass 1 read, and the hashes of its pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte in the object.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// SHA-256 of the whole region.
    pub sha256: Sha256,
    /// Hash of each piece of [`PIECE_BYTES`], the last one shorter.
    pub pieces: Vec<blake3::Hash>,
}

/// Hashes what is read through it.
pub struct Meter<R> {
    inner: R,
    start: u64,
    length: u64,
    whole: Hasher,
    piece: blake3::Hasher,
    piece_left: usize,
    pieces: Vec<blake3::Hash>,
    progress: Progress,
}

impl<R: Read> Meter<R> {
    /// Hashes `inner`, which begins at byte `start` of its object.
    pub fn new(inner: R, start: u64, progress: Progress) -> Self {
        Self {
            inner,
            start,
            length: 0,
            whole: Hasher::default(),
            piece: blake3::Hasher::new(),
            piece_left: PIECE_BYTES,
            pieces: Vec::new(),
            progress,
        }
    }

    fn add(&mut self, mut data: &[u8]) {
        self.length += data.len() as u64;
        self.progress.advance(data.len() as u64);
        self.whole.update(data);
        while !data.is_empty() {
            let (head, rest) = data.split_at(data.len().min(self.piece_left));
            self.piece.update(head);
            self.piece_left -= head.len();
            if self.piece_left == 0 {
                self.pieces.push(self.piece.finalize());
                self.piece.reset();
                self.piece_left = PIECE_BYTES;
            }
            data = rest;
        }
    }

    /// What was read so far.
    pub fn region(&mut self) -> Region {
        let begun = (self.piece_left < PIECE_BYTES).then(|| self.piece.finalize());
        Region {
            start: self.start,
            length: self.length,
            sha256: self.whole.clone().finish(),
            pieces: self.pieces.iter().copied().chain(begun).collect(),
        }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.add(target.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Reads a range of a region again; nothing leaves it that pass 1 did not see.
pub struct PinnedReader {
    inner: Box<dyn Read + Send>,
    pieces: std::vec::IntoIter<blake3::Hash>,
    left_in_region: u64,
    piece: Vec<u8>,
    position: usize,
    left: u64,
    name: String,
    progress: Progress,
}

impl PinnedReader {
    /// Opens `range` (offsets in the object), which must lie in `region`, as one of so many readers of the
    /// object at the same time.
    pub fn open(
        (artifact, pin, readers): (&Artifact, &Pin, usize),
        (region, range): (&Region, Range<u64>),
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<Self> {
        let piece_bytes = PIECE_BYTES as u64;
        let end = region.start + region.length;
        if range.start < region.start || range.end > end || range.start > range.end {
            let message =
                format!("bytes {}..{} of {} were not read before", range.start, range.end, artifact.path);
            return Err(Fault::new(Stage::Download, Reason::InternalError, message));
        }
        let skipped_pieces = (range.start - region.start) / piece_bytes;
        let first = region.start + skipped_pieces * piece_bytes;
        let last = (region.start + (range.end - region.start).div_ceil(piece_bytes) * piece_bytes).min(end);
        let skip = usize::try_from(range.start - first).unwrap_or(PIECE_BYTES);
        let pieces: Vec<_> = region
            .pieces
            .iter()
            .copied()
            .skip(usize::try_from(skipped_pieces).unwrap_or(usize::MAX))
            .take(usize::try_from((last - first).div_ceil(piece_bytes)).unwrap_or(usize::MAX))
            .collect();
        Ok(Self {
            inner: artifact.store.open_shared(&artifact.path, pin, first..last, (readers, cancel))?,
            pieces: pieces.into_iter(),
            left_in_region: last - first,
            piece: Vec::new(),
            position: skip,
            left: range.end - range.start,
            name: artifact.describe(),
            progress: progress.clone(),
        })
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let size = usize::try_from(self.left_in_region).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let skip = self.position.saturating_sub(self.piece.len());
        self.piece.resize(size, 0);
        self.inner.read_exact(&mut self.piece)?;
        self.left_in_region -= size as u64;
        if self.pieces.next() != Some(blake3::hash(&self.piece)) {
            let message = format!("{} is not the object that was checked before", self.name);
            return Err(Fault::new(Stage::Download, Reason::SourceChanged, message).into_io());
        }
        self.position = skip;
        Ok(())
    }
}

impl Read for PinnedReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || target.is_empty() {
            return Ok(0);
        }
        if self.position >= self.piece.len() {
            self.next_piece()?;
        }
        let waiting = self.piece.get(self.position..).unwrap_or_default();
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = waiting.len().min(target.len()).min(most);
        if let (Some(to), Some(from)) = (target.get_mut(..count), waiting.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count;
        self.left -= count as u64;
        self.progress.advance(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runner::source::Folder;
    use crate::runner::source::Store;

    fn artifact(content: &[u8]) -> (tempfile::TempDir, Artifact) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), content).unwrap();
        let store: Arc<dyn Store> = Arc::new(Folder::new(folder.path()));
        (folder, Artifact { store, path: "a".into() })
    }

    fn region_of(artifact: &Artifact, range: Range<u64>) -> (Pin, Region) {
        let pin = artifact.store.stat("a").unwrap().pin;
        let reader = artifact.store.open("a", &pin, range.clone(), &Cancel::never()).unwrap();
        let mut meter = Meter::new(reader, range.start, Progress::default());
        io::copy(&mut meter, &mut io::sink()).unwrap();
        (pin, meter.region())
    }

    #[test]
    fn every_range_of_a_pinned_object_reads_as_it_was() {
        let content: Vec<u8> =
            (0..PIECE_BYTES * 2 + 4321).map(|i| u8::try_from(i / 7 % 256).unwrap()).collect();
        let (_folder, artifact) = artifact(&content);
        let size = content.len() as u64;
        let at = |offset| usize::try_from(offset).unwrap();
        let piece = PIECE_BYTES as u64;
        for region in [0..size, 1000..size - 1000] {
            let (pin, seen) = region_of(&artifact, region.clone());
            assert_eq!(seen.length, region.end - region.start);
            for range in [
                region.clone(),
                region.start..region.start,
                region.start + 1..region.start + 2,
                piece - 1..piece + 1,
                piece..2 * piece,
                2 * piece + 5..region.end,
                5000..2 * piece + 1,
            ] {
                let mut reader = PinnedReader::open(
                    (&artifact, &pin, 1),
                    (&seen, range.clone()),
                    &Cancel::never(),
                    &Progress::default(),
                )
                .unwrap();
                let mut read = Vec::new();
                reader.read_to_end(&mut read).unwrap();
                assert!(read == content[at(range.start)..at(range.end)], "{region:?} {range:?}");
            }
        }
    }

    #[test]
    fn a_changed_byte_stops_the_second_reading_before_its_piece() {
        let mut content = vec![7; PIECE_BYTES + 10];
        let (folder, artifact) = artifact(&content);
        let (pin, region) = region_of(&artifact, 0..content.len() as u64);
        content[PIECE_BYTES + 3] = 8;
        let path = folder.path().join("a");
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &content, 0).unwrap();
        file.set_modified(before).unwrap();
        let all = 0..content.len() as u64;
        let mut reader =
            PinnedReader::open((&artifact, &pin, 1), (&region, all), &Cancel::never(), &Progress::default())
                .unwrap();
        let mut read = Vec::new();
        let error = reader.read_to_end(&mut read).unwrap_err();
        let fault = Fault::from_io(error, Stage::Download, Reason::InternalError, "");
        assert_eq!((fault.reason, read.len()), (Reason::SourceChanged, PIECE_BYTES));
    }
}

//! The text form of age files: whitespace before it is skipped, its lines are bounded.
//!
//! The library's reader collects a line before it looks at it, and a hostile file is one line
//! without an end.

use std::error::Error;
use std::io::{self, BufReader, Read};

use age::armor::ArmoredReader;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::Peek;

/// First bytes of an armored age file.
pub(super) const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// Most whitespace that may stand before it, as in the reference implementation.
pub(super) const WHITESPACE_LIMIT_BYTES: usize = 1024;
/// Longest run of bytes without a line end; a line has 64.
const LINE_LIMIT_BYTES: usize = 1024;

/// A stored age file as the bytes of its binary form.
pub(super) enum Unarmored<R: Read> {
    /// It is in its binary form.
    Binary(Peek<R>),
    /// It is armored.
    Armored(Box<ArmoredReader<BufReader<BoundedLines<Peek<R>>>>>),
}

impl<R: Read> Unarmored<R> {
    /// Undoes the armor that begins after `whitespace` bytes.
    pub(super) fn armored(mut stored: Peek<R>, whitespace: usize) -> Result<Self> {
        let mut skipped = [0; WHITESPACE_LIMIT_BYTES];
        stored.read_exact(skipped.get_mut(..whitespace).unwrap_or_default()).map_err(|error| {
            Fault::from_io(error, Stage::Decrypt, Reason::Truncated, "failed to read the age header")
        })?;
        let bounded = BoundedLines { inner: stored, line: 0 };
        Ok(Self::Armored(Box::new(ArmoredReader::new(bounded))))
    }
}

impl<R: Read> Read for Unarmored<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Binary(reader) => reader.read(target),
            Self::Armored(reader) => reader.read(target).map_err(judge),
        }
    }
}

/// Gives an error of the armor its reason; a fault from before stays as it is.
fn judge(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted
        || error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Fault>)
    {
        return error;
    }
    let message = "the armor of the age file is damaged";
    Fault::new(Stage::Decrypt, Reason::CorruptBackup, message).caused_by(error).into_io()
}

/// Stops a line that does not end.
pub(super) struct BoundedLines<R> {
    inner: R,
    line: usize,
}

impl<R: Read> Read for BoundedLines<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        for part in target.get(..count).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            self.line += part.len();
            if self.line > LINE_LIMIT_BYTES {
                let message = format!("a line of the age armor is longer than {LINE_LIMIT_BYTES} bytes");
                return Err(Fault::new(Stage::Decrypt, Reason::CorruptBackup, message).into_io());
            }
            if part.ends_with(b"\n") {
                self.line = 0;
            }
        }
        Ok(count)
    }
}

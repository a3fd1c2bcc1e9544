//! What a script of `pg_dump` consists of, for who reads it; [`super::split`] finds it.

use std::io::{self, Read};
use std::ops::Range;

use super::copy::Rows;
use super::split::Splitter;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::BUFFER_BYTES;

/// Bytes of a statement that [`Keep::Head`] keeps: more than any name in it needs.
pub const HEAD_BYTES: usize = 4096;
/// Largest statement in bytes: what the server can hold as one value (`MaxAllocSize`).
pub const STATEMENT_LIMIT_BYTES: u64 = 0x3fff_ffff;

/// How much of a statement is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The first [`HEAD_BYTES`].
    Head,
    /// All of it, up to [`STATEMENT_LIMIT_BYTES`].
    Whole,
}

/// A statement of the script.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// Its text from the first word to the semicolon, both included; a part where `cut`.
    pub text: &'a [u8],
    /// Line of its first word, from 1.
    pub line: u64,
    /// Byte of its first word in the script, from 0.
    pub offset: u64,
    /// Bytes of the whole statement.
    pub bytes: u64,
    /// Whether `text` lacks its end.
    pub cut: bool,
    /// Rows that an `INSERT … VALUES` holds.
    pub rows: u64,
    /// Whether it creates a partitioned table, which holds no rows of its own.
    pub partitioned: bool,
}

/// Where COPY data lie in the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyPlace {
    /// Bytes of the rows, without the end marker.
    pub range: Range<u64>,
    /// The first byte behind the end marker.
    pub end: u64,
    /// Lines from the first row to there.
    pub lines: u64,
}

/// Takes what a script consists of, in order. A fault ends the reading.
pub trait Script {
    /// A statement that no COPY data follows.
    fn statement(&mut self, statement: Statement<'_>) -> Result<()>;

    /// `COPY … FROM stdin`, whose data follows.
    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()>;

    /// A piece of COPY data. Pieces are as long as what was fed allows; a row may need several.
    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Where the COPY data were, just before [`Script::copy_end`].
    fn copy_place(&mut self, _place: CopyPlace) -> Result<()> {
        Ok(())
    }

    /// The end of the COPY data, after so many rows.
    fn copy_end(&mut self, rows: u64) -> Result<()>;

    /// What follows is for the database of this name, which stands in the dump's encoding.
    fn connect(&mut self, name: &[u8], line: u64) -> Result<()>;

    /// A `--` comment between statements, dashes included, cut at 256 bytes.
    fn comment(&mut self, _text: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Skips a UTF-8 byte order mark at the beginning, as psql does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByteOrderMark {
    seen: usize,
    over: bool,
}

impl ByteOrderMark {
    /// Bytes to skip at the beginning of this piece.
    pub(super) fn skip(&mut self, piece: &[u8]) -> Result<usize> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let mut skipped = 0;
        while let (false, Some(byte)) = (self.over, piece.get(skipped)) {
            if MARK.get(self.seen) == Some(byte) {
                self.seen += 1;
                skipped += 1;
                self.over = self.seen == MARK.len();
            } else if self.seen == 0 {
                self.over = true;
            } else {
                let what = "the dump begins with a part of a byte order mark";
                return Err(Fault::new(Stage::Inspect, Reason::CorruptBackup, what));
            }
        }
        Ok(skipped)
    }
}

/// Reads a whole script from `input`, as [`Splitter`] splits it.
pub fn read_script(input: &mut dyn Read, keep: Keep, script: &mut dyn Script) -> Result<()> {
    let mut splitter = Splitter::new(keep);
    pump(input, &mut |piece| splitter.feed(piece, script))?;
    splitter.finish(script)
}

/// Feeds all of `input` in pieces.
pub(super) fn pump(input: &mut dyn Read, feed: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => feed(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let what = "failed to read the decoded dump";
                return Err(Fault::from_io(error, Stage::Inspect, Reason::SourceUnavailable, what));
            }
        }
    }
}

//! Reads a dump on its way to the server: from its beginning to its end, or around the blocks of rows that
//! lanes read themselves.

use std::io::{self, Read};
use std::ops::Range;

use crate::runner::engine::postgres::script::pump;
use crate::runner::engine::{Context, Dump, DumpParts};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::RowsBlock;
use crate::runner::pipe::on_thread;

/// Bytes from which on it is worth a thread to read ahead.
const LONG_BYTES: u64 = 8 * 1024 * 1024;

/// Takes a dump in, in pieces of any length.
pub(super) trait Reading {
    /// The next bytes.
    fn feed(&mut self, bytes: &[u8]) -> Result<()>;

    /// At the first byte of a block: who has its rows.
    fn leaves(&mut self, block: &RowsBlock) -> Result<Left>;
}

/// Who has the rows of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Who reads the dump: they come next.
    Not,
    /// Others; what comes next stands behind them.
    ToOthers,
    /// Nobody; what comes next stands behind them.
    Out,
}

/// A dump, and the ways to read it.
pub(super) struct Source<'a> {
    pub(super) dump: &'a mut dyn Dump,
    /// Reads parts of it.
    pub(super) parts: Option<&'a dyn DumpParts>,
    /// The blocks of rows in it, and its bytes.
    pub(super) blocks: &'a [RowsBlock],
    pub(super) bytes: u64,
    pub(super) context: &'a Context,
}

impl Source<'_> {
    /// Reads all of it, or all but the blocks that are left to others.
    pub(super) fn read(self, reading: &mut dyn Reading) -> Result<()> {
        let Some(parts) = self.parts else {
            let mut dump = Told { inner: self.dump, context: self.context };
            return pump(&mut dump, &mut |piece| reading.feed(piece));
        };
        let mut at = 0;
        for block in self.blocks.iter().filter(|block| block.bytes() >= parts.worth_bytes()) {
            read_range(parts, at..block.range.start, self.context, reading)?;
            let left = reading.leaves(block)?;
            at = if left == Left::Not { block.range.start } else { block.end };
            if left == Left::Out {
                self.context.progress.advance(block.end - block.range.start);
            }
        }
        read_range(parts, at..self.bytes, self.context, reading)
    }
}

fn read_range(
    parts: &dyn DumpParts,
    range: Range<u64>,
    context: &Context,
    reading: &mut dyn Reading,
) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let is_long = range.end - range.start >= LONG_BYTES;
    let mut part = parts.open(range)?;
    if is_long {
        part = Box::new(on_thread("read", part));
    }
    pump(&mut Told { inner: &mut part, context }, &mut |piece| reading.feed(piece))
}

/// Tells the progress of a load, and looks whether the run was asked to stop.
pub(super) struct Told<'a, R: ?Sized> {
    pub(super) inner: &'a mut R,
    pub(super) context: &'a Context,
}

impl<R: Read + ?Sized> Read for Told<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.context.cancel.check(Stage::Restore).map_err(Fault::into_io)?;
        let count = self.inner.read(target)?;
        self.context.progress.advance(count as u64);
        Ok(count)
    }
}

//! The custom format: the table of contents, then block for block.

use std::ops::Range;

use super::block::Block;
use super::chunks::BlockForm;
use super::entry::{Entry, Format, Header};
use super::fields::{corrupt, integer};
use super::reader::{Event, named, not_there};
use super::toc::Toc;
use crate::reason::Reason;
use crate::runner::codec::BlockCodec;
use crate::runner::fault::{Fault, Result, Stage};

/// `BLK_DATA`.
const TABLE_BLOCK: u8 = 1;
/// `BLK_BLOBS`.
const OBJECTS_BLOCK: u8 = 3;

/// Stored bytes from which on a block is left out, where such are.
pub(super) const LEFT_BYTES: usize = 4 * 1024 * 1024;

/// Where the machine stands behind the table of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At a block's type and number.
    BlockHead,
    /// At the length of a chunk.
    Length,
    /// In a chunk with so many bytes left.
    Chunk(u64),
    /// At the OID of the next large object.
    ObjectId,
}

/// Reads a custom archive.
#[derive(Debug, Default)]
pub(super) struct CustomReader {
    toc: Toc,
    /// What arrived of a number among the data.
    pending: Vec<u8>,
    at: Option<At>,
    /// Place of the entry whose block is open.
    current: usize,
    block: Option<Block>,
    /// Large compressed blocks of rows are left out.
    leaves: bool,
    /// Stored bytes of a block that may turn out to be one of these.
    waiting: Option<Vec<u8>>,
    /// Bytes of the archive so far, and where the open block begins.
    offset: u64,
    block_begin: u64,
}

impl CustomReader {
    pub(super) const fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Whether large compressed blocks of rows are left out from here on: see [`Event::Left`].
    pub(super) const fn leave_blocks(&mut self, leaves: bool) {
        self.leaves = leaves;
    }

    pub(super) const fn is_leaving(&self) -> bool {
        let is_in_data = matches!(self.at, Some(At::Length | At::Chunk(_)));
        is_in_data && (self.block.is_none() || self.waiting.is_some())
    }

    /// The next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if self.at.is_some() {
            return self.data(bytes, give);
        }
        let behind = self.toc.feed(bytes)?;
        self.offset += (bytes.len() - behind.unwrap_or_default()) as u64;
        let Some(behind) = behind else { return Ok(()) };
        let Some(header) = self.toc.header() else { return Ok(()) };
        if header.format != Format::Custom {
            let what = "the dump is the toc.dat of pg_dump's directory format without its data; pack the \
                        whole directory into a TAR";
            return Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, what));
        }
        self.at = Some(At::BlockHead);
        give(Event::Contents(header, self.toc.entries()))?;
        self.data(bytes.get(bytes.len() - behind..).unwrap_or_default(), give)
    }

    /// Reads blocks.
    fn data(&mut self, bytes: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let mut rest = bytes;
        while let (Some(at), false) = (self.at, rest.is_empty()) {
            if let At::Chunk(left) = at {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (part, behind) = rest.split_at(count);
                self.stored(part, give)?;
                self.offset += count as u64;
                let left = left - count as u64;
                self.at = Some(if left == 0 { At::Length } else { At::Chunk(left) });
                rest = behind;
                continue;
            }
            let wanted = self.number_bytes() + usize::from(at == At::BlockHead);
            let count = (wanted - self.pending.len()).min(rest.len());
            let (part, behind) = rest.split_at(count);
            self.pending.extend_from_slice(part);
            self.offset += count as u64;
            rest = behind;
            if self.pending.len() == wanted {
                let field = std::mem::take(&mut self.pending);
                self.field(at, &field, give)?;
            }
        }
        Ok(())
    }

    /// Takes stored bytes of the open block.
    fn stored(&mut self, bytes: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if let Some(waiting) = &mut self.waiting {
            waiting.extend_from_slice(bytes);
            if waiting.len() < LEFT_BYTES {
                return Ok(());
            }
            let waiting = self.waiting.take().unwrap_or_default();
            if self.leaves {
                self.block = None;
                return Ok(());
            }
            // It has turned out meanwhile that they had better not be left.
            return self.stored(&waiting, give);
        }
        let Some(block) = &mut self.block else { return Ok(()) };
        block.feed(bytes, give).map_err(|fault| named(fault, self.toc.entries().get(self.current)))
    }

    /// Bytes of a number with its sign.
    fn number_bytes(&self) -> usize {
        1 + self.toc.header().map_or(0, |header: &Header| usize::from(header.int_bytes))
    }

    /// Takes a whole field among the data.
    fn field(&mut self, at: At, field: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match at {
            At::BlockHead => self.begin_block(field, give),
            At::Length => match u64::try_from(integer(field)?) {
                Ok(0) => self.end_data(give),
                Ok(length) => {
                    self.at = Some(At::Chunk(length));
                    Ok(())
                }
                Err(_) => Err(corrupt("a piece of data has a negative length")),
            },
            At::ObjectId => self.begin_object(integer(field)?, give),
            At::Chunk(_) => Ok(()),
        }
    }

    fn begin_block(&mut self, field: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let (kind, number) = field.split_first().map_or((0, field), |(kind, number)| (*kind, number));
        let number = integer(number)?;
        let found = u32::try_from(number).ok().and_then(|number| self.toc.find(number));
        let Some((place, _)) = found else {
            return Err(corrupt(format!("it has data for entry {number}, which it does not list")));
        };
        self.toc.meet(place)?;
        let (Some(header), Some(entry)) = (self.toc.header(), self.toc.entries().get(place)) else {
            return Ok(());
        };
        self.current = place;
        match kind {
            TABLE_BLOCK if !entry.is_large_objects() => {
                self.block = Some(Block::of_table(entry, header.codec, self.toc.settings().encoding)?);
                self.at = Some(At::Length);
                self.block_begin = self.offset;
                let may_leave = self.leaves && header.codec == BlockCodec::Zlib;
                self.waiting = (may_leave && !entry.copy_statement.is_empty()).then(Vec::new);
            }
            OBJECTS_BLOCK if entry.is_large_objects() => self.at = Some(At::ObjectId),
            _ => return Err(corrupt(format!("a block of type {kind} is for {}", entry.describe()))),
        }
        give(Event::Begin(entry))
    }

    fn begin_object(&mut self, number: i64, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if number == 0 {
            self.at = Some(At::BlockHead);
            return give(Event::End(0));
        }
        // An OID above the largest signed integer was written as a negative one.
        let oid = u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned));
        let (Some(oid), Some(header)) = (oid, self.toc.header()) else {
            return Err(corrupt(format!("a large object has the number {number}")));
        };
        self.block = Some(Block::of_object(header.codec)?);
        self.at = Some(At::Length);
        give(Event::Object(oid))
    }

    /// Behind the last chunk of a table or of a large object.
    fn end_data(&mut self, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if let Some(waiting) = self.waiting.take() {
            self.stored(&waiting, give)?;
        }
        let entry = self.toc.entries().get(self.current);
        let is_small = self.block.as_ref().is_some_and(Block::is_small);
        let Some(block) = self.block.take() else { return self.end_left(give) };
        let rows = block.finish(give).map_err(|fault| named(fault, entry))?;
        if entry.is_some_and(Entry::is_large_objects) {
            self.at = Some(At::ObjectId);
            return give(Event::ObjectEnd);
        }
        self.at = Some(At::BlockHead);
        if is_small {
            give(Event::Place(&(self.block_begin..self.offset)))?;
        }
        give(Event::End(rows))
    }

    /// Behind the last chunk of a block that was left out.
    fn end_left(&mut self, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        self.at = Some(At::BlockHead);
        let form = self.form().ok_or_else(not_there)?;
        give(Event::Left(&(self.block_begin..self.offset), &form))
    }

    /// How the block of rows is read that has just begun.
    pub(super) fn block_form(&self) -> Option<BlockForm> {
        if self.begins_block() { self.form() } else { None }
    }

    fn form(&self) -> Option<BlockForm> {
        let (header, entry) = (self.toc.header()?, self.toc.entries().get(self.current)?);
        (!entry.copy_statement.is_empty()).then(|| BlockForm {
            entry: entry.describe(),
            int_bytes: header.int_bytes,
            codec: header.codec,
            encoding: self.toc.settings().encoding,
        })
    }

    fn begins_block(&self) -> bool {
        self.at == Some(At::Length)
            && self.block.is_some()
            && self.pending.is_empty()
            && self.block_begin == self.offset
    }

    /// Goes on behind a block of which nothing was fed yet.
    pub(super) fn skip_block(&mut self, range: &Range<u64>) -> Result<()> {
        if !self.begins_block() || self.offset != range.start {
            return Err(not_there());
        }
        self.block = None;
        self.offset = range.end;
        self.at = Some(At::BlockHead);
        Ok(())
    }

    /// The end of the archive. It is whole where every entry that has data had its block: the table of
    /// contents is written before them.
    pub(super) fn finish(&self) -> Result<()> {
        let truncated = |what: String| Err(Fault::new(Stage::Inspect, Reason::Truncated, what));
        match self.at {
            None => Err(self.toc.truncated()),
            Some(At::BlockHead) if self.pending.is_empty() => match self.toc.unmet().next() {
                Some((_, entry)) => {
                    truncated(format!("the archive ends before the data of {}", entry.describe()))
                }
                None => Ok(()),
            },
            Some(At::BlockHead) => truncated("the archive ends inside a block's header".to_owned()),
            Some(At::Length | At::Chunk(_) | At::ObjectId) => {
                let entry = self.toc.entries().get(self.current).map(Entry::describe).unwrap_or_default();
                truncated(format!("the archive ends inside the data of {entry}"))
            }
        }
    }
}

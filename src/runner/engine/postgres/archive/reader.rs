//! Reads an archive, fed in pieces of any length: the table of contents, then block for block.

use std::collections::HashMap;
use std::io::Read;

use super::block::Block;
use super::contents::{self, CONTENTS_LIMIT_BYTES, ENTRY_BYTES, too_large};
use super::entry::{Entry, Header, settings};
use super::fields::{corrupt, integer};
use crate::reason::Reason;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::script::pump;
use crate::runner::engine::postgres::settings::Settings;
use crate::runner::fault::{Fault, Result, Stage};

/// `BLK_DATA`.
const TABLE_BLOCK: u8 = 1;
/// `BLK_BLOBS`.
const OBJECTS_BLOCK: u8 = 3;

/// What an archive consists of, in the order in which it is met.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The table of contents, once, before any data.
    Contents(&'a Header, &'a [Entry]),
    /// The data block of this entry begins.
    Begin(&'a Entry),
    /// Rows for the entry's `COPY` statement, without the end marker.
    Rows(Rows<'a>),
    /// A piece of the entry's SQL (`pg_dump --inserts`), cut anywhere.
    Sql(&'a [u8]),
    /// A large object of this OID begins.
    Object(u32),
    /// A piece of it.
    ObjectBytes(&'a [u8]),
    /// It ends.
    ObjectEnd,
    /// The block ends, after so many rows where it is for a `COPY`.
    End(u64),
}

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

/// Reads an archive; see the module.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    /// What arrived of the header or of an entry, or of a number among the data.
    pending: Vec<u8>,
    header: Option<Header>,
    entries: Vec<Entry>,
    /// Entries that are still to come.
    missing: u64,
    contents_bytes: u64,
    /// By number: place in `entries`.
    numbers: HashMap<u32, usize>,
    /// Which of `entries` had their block.
    met: Vec<bool>,
    settings: Settings,
    at: Option<At>,
    /// Place in `entries` of the one whose block is open.
    current: usize,
    block: Option<Block>,
}

impl ArchiveReader {
    /// Memory that the table of contents takes, in bytes.
    pub const fn contents_bytes(&self) -> u64 {
        self.contents_bytes
    }

    /// The settings that the archive states for its texts.
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if self.at.is_some() {
            return self.data(bytes, give);
        }
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let used = self.contents(&pending)?;
        match &self.header {
            Some(header) if self.missing == 0 => {
                self.settings = settings(&self.entries)?;
                self.met = vec![false; self.entries.len()];
                self.at = Some(At::BlockHead);
                give(Event::Contents(header, &self.entries))?;
                self.data(pending.get(used..).unwrap_or_default(), give)
            }
            _ => {
                self.pending = pending;
                self.pending.drain(..used);
                Ok(())
            }
        }
    }

    /// Reads as much of header and entries as is there; gives back the bytes used.
    fn contents(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        if self.header.is_none() {
            let Some((header, count, length)) = contents::header(bytes)? else { return Ok(0) };
            (self.header, self.missing, used) = (Some(header), count, length);
        }
        let Some(header) = &self.header else { return Ok(used) };
        while self.missing > 0 {
            let rest = bytes.get(used..).unwrap_or_default();
            if self.contents_bytes + rest.len() as u64 > CONTENTS_LIMIT_BYTES {
                return Err(too_large("too many texts"));
            }
            let Some((entry, length)) = contents::entry(rest, header)? else { break };
            used += length;
            self.contents_bytes += length as u64 + ENTRY_BYTES;
            self.missing -= 1;
            if self.numbers.insert(entry.dump_id, self.entries.len()).is_some() {
                return Err(corrupt(format!("two entries have the number {}", entry.dump_id)));
            }
            self.entries.push(entry);
        }
        Ok(used)
    }

    /// Reads blocks.
    fn data(&mut self, bytes: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let mut rest = bytes;
        while let (Some(at), false) = (self.at, rest.is_empty()) {
            if let At::Chunk(left) = at {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (part, behind) = rest.split_at(count);
                if let Some(block) = &mut self.block {
                    let entry = self.entries.get(self.current);
                    block.feed(part, give).map_err(|fault| named(fault, entry))?;
                }
                let left = left - count as u64;
                self.at = Some(if left == 0 { At::Length } else { At::Chunk(left) });
                rest = behind;
                continue;
            }
            let wanted = self.number_bytes() + usize::from(at == At::BlockHead);
            let count = (wanted - self.pending.len()).min(rest.len());
            let (part, behind) = rest.split_at(count);
            self.pending.extend_from_slice(part);
            rest = behind;
            if self.pending.len() == wanted {
                let field = std::mem::take(&mut self.pending);
                self.field(at, &field, give)?;
            }
        }
        Ok(())
    }

    /// Bytes of a number with its sign.
    fn number_bytes(&self) -> usize {
        1 + self.header.as_ref().map_or(0, |header| usize::from(header.int_bytes))
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
        let place = u32::try_from(number).ok().and_then(|number| self.numbers.get(&number).copied());
        let (Some(place), Some(header)) = (place, &self.header) else {
            return Err(corrupt(format!("it has data for entry {number}, which it does not list")));
        };
        let Some(entry) = self.entries.get(place) else { return Ok(()) };
        match self.met.get_mut(place) {
            Some(met) if !*met => *met = true,
            _ => return Err(corrupt(format!("it has data for {} twice", entry.describe()))),
        }
        self.current = place;
        match kind {
            TABLE_BLOCK if !entry.is_large_objects() => {
                self.block = Some(Block::of_table(entry, header.codec, self.settings.encoding)?);
                self.at = Some(At::Length);
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
        let (Some(oid), Some(header)) = (oid, &self.header) else {
            return Err(corrupt(format!("a large object has the number {number}")));
        };
        self.block = Some(Block::of_object(header.codec)?);
        self.at = Some(At::Length);
        give(Event::Object(oid))
    }

    /// Behind the last chunk of a table or of a large object.
    fn end_data(&mut self, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let entry = self.entries.get(self.current);
        let rows = match self.block.take() {
            Some(block) => block.finish().map_err(|fault| named(fault, entry))?,
            None => 0,
        };
        if entry.is_some_and(Entry::is_large_objects) {
            self.at = Some(At::ObjectId);
            return give(Event::ObjectEnd);
        }
        self.at = Some(At::BlockHead);
        give(Event::End(rows))
    }

    /// The end of the archive. It is whole where every entry that has data had its block: the table of
    /// contents is written before them.
    pub fn finish(&mut self) -> Result<()> {
        let truncated = |what: String| Err(Fault::new(Stage::Inspect, Reason::Truncated, what));
        match self.at {
            None if self.header.is_none() => truncated("the archive ends inside its header".to_owned()),
            None => truncated(format!("the archive ends {} entries before its contents do", self.missing)),
            Some(At::BlockHead) if self.pending.is_empty() => {
                let all = self.entries.iter().zip(&self.met);
                match all.filter(|(entry, met)| entry.has_data() && !**met).map(|(entry, _)| entry).next() {
                    Some(entry) => {
                        truncated(format!("the archive ends before the data of {}", entry.describe()))
                    }
                    None => Ok(()),
                }
            }
            Some(At::BlockHead) => truncated("the archive ends inside a block's header".to_owned()),
            Some(At::Length | At::Chunk(_) | At::ObjectId) => {
                let entry = self.entries.get(self.current).map(Entry::describe).unwrap_or_default();
                truncated(format!("the archive ends inside the data of {entry}"))
            }
        }
    }
}

/// The fault with the entry whose data it is about; one of who takes the events stays as it is.
fn named(mut fault: Fault, entry: Option<&Entry>) -> Fault {
    let is_own = matches!(fault.stage, Stage::Decompress | Stage::Inspect);
    if let Some(entry) = entry.filter(|_| is_own) {
        fault.message = format!("{}, in the data of {}", fault.message, entry.describe());
    }
    fault
}

/// Reads a whole archive from `input`.
pub fn read_archive(input: &mut dyn Read, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
    let mut reader = ArchiveReader::default();
    pump(input, &mut |piece| reader.feed(piece, give))?;
    reader.finish()
}

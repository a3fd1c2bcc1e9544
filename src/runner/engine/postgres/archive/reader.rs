//! Reads an archive of any format, fed in pieces of any length.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use super::chunks::BlockForm;
use super::custom::CustomReader;
use super::entry::{Entry, Header};
use super::files::FilesReader;
use crate::reason::Reason;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::script::pump;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::tar;

/// What custom archives begin with.
const MAGIC: &[u8] = b"PGDMP";

/// What an archive consists of, in the order in which it is met.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The table of contents, once, before any data.
    Contents(&'a Header, &'a [Entry]),
    /// The data block of this entry begins. Large objects in files may need several, where files of
    /// tables lie among them.
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
    /// Bytes of the archive that hold the block of rows which ends next, for
    /// [`ArchiveReader::skip_block`]; of custom archives only, and not where decoding it takes much memory.
    Place(&'a Range<u64>),
    /// The block ends, and nothing of it was decoded: it lies in these bytes of the archive. Only after
    /// [`ArchiveReader::leave_blocks`].
    Left(&'a Range<u64>, &'a BlockForm),
    /// The block ends, after so many rows where it is for a `COPY`.
    End(u64),
}

/// The formats.
#[derive(Debug)]
enum Inner {
    Custom(Box<CustomReader>),
    Files(Box<FilesReader>),
}

/// Reads an archive; see the module.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    /// What arrived before the format was known.
    head: Vec<u8>,
    /// A table of contents that an earlier reading found behind data.
    contents: Option<Arc<[u8]>>,
    inner: Option<Inner>,
}

impl ArchiveReader {
    /// Reads once more an archive whose table of contents stands behind data: `contents` is what
    /// [`ArchiveReader::late_contents`] gave.
    pub fn with_contents(contents: Option<Arc<[u8]>>) -> Self {
        Self { contents, ..Self::default() }
    }

    /// Whether large compressed blocks of rows of a custom archive are left out from here on, for
    /// [`BlockForm::prove`].
    pub const fn leave_blocks(&mut self, leaves: bool) {
        if let Some(Inner::Custom(reader)) = &mut self.inner {
            reader.leave_blocks(leaves);
        }
    }

    /// Whether what comes now is of a block that is, or may be, left out.
    pub const fn is_leaving(&self) -> bool {
        match &self.inner {
            Some(Inner::Custom(reader)) => reader.is_leaving(),
            Some(Inner::Files(_)) | None => false,
        }
    }

    /// Memory that the table of contents takes, in bytes.
    pub fn contents_bytes(&self) -> u64 {
        match &self.inner {
            Some(Inner::Custom(reader)) => reader.toc().bytes(),
            Some(Inner::Files(reader)) => reader.contents_bytes(),
            None => 0,
        }
    }

    /// The table of contents, where it stands behind data. Without it in advance no event is given,
    /// because none can be.
    pub fn late_contents(&self) -> Option<Arc<[u8]>> {
        match &self.inner {
            Some(Inner::Files(reader)) => reader.late_contents(),
            Some(Inner::Custom(_)) | None => None,
        }
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match &mut self.inner {
            Some(Inner::Custom(reader)) => reader.feed(bytes, give),
            Some(Inner::Files(reader)) => reader.feed(bytes, give),
            None => {
                self.head.extend_from_slice(bytes);
                self.inner = self.recognise()?;
                if self.inner.is_none() {
                    return Ok(());
                }
                let head = std::mem::take(&mut self.head);
                self.feed(&head, give)
            }
        }
    }

    /// How the block of rows is read that has just begun; `None` where it is none, or not of a custom archive.
    pub fn block(&self) -> Option<BlockForm> {
        match &self.inner {
            Some(Inner::Custom(reader)) => reader.block_form(),
            Some(Inner::Files(_)) | None => None,
        }
    }

    /// Goes on behind a block of which nothing was fed yet; `range` is what [`Event::Place`] told of it in
    /// another reading of the same archive.
    pub fn skip_block(&mut self, range: &Range<u64>) -> Result<()> {
        match &mut self.inner {
            Some(Inner::Custom(reader)) => reader.skip_block(range),
            Some(Inner::Files(_)) | None => Err(not_there()),
        }
    }

    fn recognise(&self) -> Result<Option<Inner>> {
        if self.head.starts_with(MAGIC) {
            Ok(Some(Inner::Custom(Box::default())))
        } else if MAGIC.starts_with(&self.head) || self.head.len() < tar::BLOCK {
            Ok(None)
        } else if tar::is_tar(&self.head) {
            Ok(Some(Inner::Files(Box::new(FilesReader::new(self.contents.clone())))))
        } else {
            Err(no_archive())
        }
    }

    /// The end of the archive: a fault where something is missing.
    pub fn finish(&mut self, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match &mut self.inner {
            Some(Inner::Custom(reader)) => reader.finish(),
            Some(Inner::Files(reader)) => reader.finish(give),
            None if MAGIC.starts_with(&self.head) => {
                let what = "the archive ends inside its header";
                Err(Fault::new(Stage::Inspect, Reason::Truncated, what))
            }
            None => Err(no_archive()),
        }
    }
}

fn no_archive() -> Fault {
    Fault::new(Stage::Inspect, Reason::UnsupportedFormat, "the dump is no archive of pg_dump")
}

/// Fault where a second reading does not find a block.
pub(super) fn not_there() -> Fault {
    let what = "there is no block of rows where the first reading found one";
    Fault::new(Stage::Restore, Reason::InternalError, what)
}

/// Fault where the table of contents stands behind data and nobody reads a second time.
pub fn late_contents() -> Fault {
    let what = "the archive's toc.dat stands behind data; pack it as the first file";
    Fault::new(Stage::Inspect, Reason::UnsupportedFormat, what)
}

/// The fault with the entry whose data it is about; one of who takes the events stays as it is.
pub(super) fn named(fault: Fault, entry: Option<&Entry>) -> Fault {
    match entry {
        Some(entry) => named_as(fault, &entry.describe()),
        None => fault,
    }
}

/// The same, with the entry as messages call it.
pub(super) fn named_as(mut fault: Fault, entry: &str) -> Fault {
    if matches!(fault.stage, Stage::Decompress | Stage::Inspect) {
        fault.message = format!("{}, in the data of {entry}", fault.message);
    }
    fault
}

/// Reads a whole archive from `input`.
pub fn read_archive(input: &mut dyn Read, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
    read_archive_with(None, input, give)
}

/// The same, with what pass 1 found as [`ArchiveReader::late_contents`].
pub fn read_archive_with(
    contents: Option<Arc<[u8]>>,
    input: &mut dyn Read,
    give: &mut dyn FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    let is_known = contents.is_some();
    let mut reader = ArchiveReader::with_contents(contents);
    pump(input, &mut |piece| reader.feed(piece, give))?;
    reader.finish(give)?;
    if !is_known && reader.late_contents().is_some() { Err(late_contents()) } else { Ok(()) }
}

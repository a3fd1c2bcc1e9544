//! The content of one data block: decompressed, and rows told from what ends them.

use super::entry::Entry;
use super::fields::corrupt;
use super::reader::Event;
use crate::runner::codec::{BlockCodec, BlockDecoder};
use crate::runner::engine::postgres::copy::CopyReader;
use crate::runner::engine::postgres::encoding::Encoding;
use crate::runner::fault::Result;

/// What the bytes of a block are.
#[derive(Debug)]
enum Kind {
    /// Rows of COPY, and whether their end marker was there.
    Copy(CopyReader, bool),
    /// Statements, from `--inserts`.
    Sql,
    /// A large object.
    Object,
}

/// Stored bytes that are decoded at once: `pg_dump` stores pieces of 4 KiB, and decoders are slow at the
/// edges of what they are given.
const STORED_BYTES: usize = 64 * 1024;

/// A data block, or one large object of it, while its bytes go by.
#[derive(Debug)]
pub(super) struct Block {
    decoder: BlockDecoder,
    kind: Kind,
    /// Stored bytes that wait for more.
    stored: Vec<u8>,
    collects: bool,
}

impl Block {
    /// The data of `entry`.
    pub(super) fn of_table(entry: &Entry, codec: BlockCodec, encoding: Encoding) -> Result<Self> {
        if entry.copy_statement.is_empty() {
            Self::of(codec, Kind::Sql)
        } else {
            Self::of_rows(codec, encoding)
        }
    }

    /// A large object.
    pub(super) fn of_object(codec: BlockCodec) -> Result<Self> {
        Self::of(codec, Kind::Object)
    }

    /// Rows.
    pub(super) fn of_rows(codec: BlockCodec, encoding: Encoding) -> Result<Self> {
        Self::of(codec, Kind::Copy(CopyReader::new(encoding), false))
    }

    fn of(codec: BlockCodec, kind: Kind) -> Result<Self> {
        let collects = codec != BlockCodec::None;
        Ok(Self { decoder: BlockDecoder::new(codec)?, kind, stored: Vec::new(), collects })
    }

    /// Takes stored bytes.
    pub(super) fn feed(
        &mut self,
        stored: &[u8],
        give: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        if !self.collects {
            return self.decode(stored, give);
        }
        self.stored.extend_from_slice(stored);
        if self.stored.len() >= STORED_BYTES { self.decode_collected(give) } else { Ok(()) }
    }

    fn decode_collected(&mut self, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let mut stored = std::mem::take(&mut self.stored);
        self.decode(&stored, give)?;
        stored.clear();
        self.stored = stored;
        Ok(())
    }

    fn decode(&mut self, stored: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let kind = &mut self.kind;
        self.decoder.feed(stored, &mut |plain| kind.take(plain, give))
    }

    /// The end of the stored bytes: the rows that were in them.
    pub(super) fn finish(mut self, give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<u64> {
        self.decode_collected(give)?;
        self.decoder.finish()?;
        match self.kind {
            Kind::Copy(reader, true) => Ok(reader.rows()),
            Kind::Copy(_, false) => Err(corrupt("the rows of a table end without their end mark")),
            Kind::Sql | Kind::Object => Ok(0),
        }
    }
}

impl Kind {
    fn take(&mut self, plain: &[u8], give: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        match self {
            Self::Sql => give(Event::Sql(plain)),
            Self::Object => give(Event::ObjectBytes(plain)),
            Self::Copy(reader, ended) => {
                let mut used = 0;
                if !*ended {
                    (used, *ended) = reader.take(plain, &mut |rows| give(Event::Rows(rows)))?;
                }
                // pg_dump writes two empty lines behind the marker.
                let rest = plain.get(used..).unwrap_or_default();
                if rest.iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
                    Ok(())
                } else {
                    Err(corrupt("something follows the end mark of a table's rows"))
                }
            }
        }
    }
}

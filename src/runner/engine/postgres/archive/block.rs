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

/// Largest window, as a power of two, of a block that is read beside others: 8 MiB, the most that `pg_dump`
/// asks for without `long`.
const APART_WINDOW_LOG: u32 = 23;

const fn rows(encoding: Encoding) -> Kind {
    Kind::Copy(CopyReader::new(encoding), false)
}

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
        Self::of(codec, if entry.copy_statement.is_empty() { Kind::Sql } else { rows(encoding) })
    }

    /// A large object.
    pub(super) fn of_object(codec: BlockCodec) -> Result<Self> {
        Self::of(codec, Kind::Object)
    }

    /// Rows of a block that [`Block::is_small`] was true of.
    pub(super) fn of_rows_apart(codec: BlockCodec, encoding: Encoding) -> Result<Self> {
        Ok(Self::with(BlockDecoder::with_window(codec, APART_WINDOW_LOG)?, codec, rows(encoding)))
    }

    fn of(codec: BlockCodec, kind: Kind) -> Result<Self> {
        Ok(Self::with(BlockDecoder::new(codec)?, codec, kind))
    }

    fn with(decoder: BlockDecoder, codec: BlockCodec, kind: Kind) -> Self {
        Self { decoder, kind, stored: Vec::new(), collects: codec != BlockCodec::None }
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

    /// Whether it can be decoded beside others without much memory, as is known once all was fed.
    pub(super) const fn is_small(&self) -> bool {
        self.decoder.window_bytes() <= 1 << APART_WINDOW_LOG
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

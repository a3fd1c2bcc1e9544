//! LZ4 frames, fed in pieces (*LZ4 Frame Format Description* 1.6): header, blocks that may refer to the
//! 64 KiB before them, end mark, checksums.

use std::hash::Hasher;

use lz4_flex::block;
use twox_hash::XxHash32;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// How far back a block may refer, in bytes.
const WINDOW_BYTES: usize = 64 * 1024;
/// A block's size with this bit: it is stored as it is.
const STORED: u32 = 1 << 31;
/// Magic, FLG and BD; the header's other fields follow from FLG.
const FIXED_BYTES: usize = 6;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Fixed,
    /// The rest of the header, of this length.
    Header(usize),
    BlockSize,
    /// A block of this length, stored as it is or compressed.
    Block(usize, bool),
    ContentChecksum,
    End,
}

/// Decodes one frame.
#[derive(Debug)]
pub(super) struct Lz4Decoder {
    at: At,
    pending: Vec<u8>,
    flags: u8,
    block_bytes: usize,
    /// The last [`WINDOW_BYTES`] of the output, where blocks may refer to it.
    window: Vec<u8>,
    hash: Option<XxHash32>,
}

impl Default for Lz4Decoder {
    fn default() -> Self {
        Self { at: At::Fixed, pending: Vec::new(), flags: 0, block_bytes: 0, window: Vec::new(), hash: None }
    }
}

fn corrupt(what: &str) -> Fault {
    Fault::new(Stage::Decompress, Reason::CorruptBackup, format!("an LZ4 block is damaged: {what}"))
}

fn xxh32(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Checks the whole header, whose last byte is a checksum of all behind the magic number.
fn header(field: &[u8]) -> Result<At> {
    let descriptor = field.get(MAGIC.len()..field.len() - 1).unwrap_or_default();
    let [_, expected, ..] = xxh32(descriptor).to_le_bytes();
    if field.last() == Some(&expected) {
        Ok(At::BlockSize)
    } else {
        Err(corrupt("its header fails its checksum"))
    }
}

impl Lz4Decoder {
    /// Whether the frame has ended.
    pub(super) fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Takes bytes up to the end of a field; `output` is then what it decodes to. Gives back the bytes
    /// used, 0 only where `input` is empty.
    pub(super) fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize> {
        output.clear();
        let wanted = match self.at {
            At::Fixed => FIXED_BYTES,
            At::Header(length) => length,
            At::BlockSize | At::ContentChecksum => 4,
            At::Block(length, _) => length + if self.has(0x10) { 4 } else { 0 },
            At::End => 0,
        };
        let count = wanted.saturating_sub(self.pending.len()).min(input.len());
        self.pending.extend_from_slice(input.get(..count).unwrap_or_default());
        if self.pending.len() == wanted && self.at != At::End {
            let field = std::mem::take(&mut self.pending);
            self.at = self.field(&field, output)?;
            self.pending = field;
            // The header's two parts are checked as one.
            if !matches!(self.at, At::Header(_)) {
                self.pending.clear();
            }
        }
        Ok(count)
    }

    /// Whether FLG has this bit.
    fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }

    fn field(&mut self, field: &[u8], output: &mut Vec<u8>) -> Result<At> {
        match self.at {
            At::Fixed => self.fixed(field),
            At::Header(_) => header(field),
            At::BlockSize => match number(field) {
                0 if self.has(0x04) => Ok(At::ContentChecksum),
                0 => Ok(At::End),
                size => {
                    let length = usize::try_from(size & !STORED).unwrap_or(usize::MAX);
                    if length > self.block_bytes {
                        return Err(corrupt("a part is longer than its header allows"));
                    }
                    Ok(At::Block(length, size & STORED != 0))
                }
            },
            At::Block(length, stored) => {
                let (data, checksum) = field.split_at(length.min(field.len()));
                if !checksum.is_empty() && number(checksum) != xxh32(data) {
                    return Err(corrupt("a part fails its checksum"));
                }
                self.decode(data, stored, output)?;
                Ok(At::BlockSize)
            }
            At::ContentChecksum => match &self.hash {
                Some(hash) if hash.finish_32() != number(field) => Err(corrupt("it fails its checksum")),
                _ => Ok(At::End),
            },
            At::End => Ok(At::End),
        }
    }

    fn fixed(&mut self, field: &[u8]) -> Result<At> {
        let [magic @ .., flags, block] = field.first_chunk::<FIXED_BYTES>().copied().unwrap_or_default();
        if magic != MAGIC || flags >> 6 != 1 || flags & 0x02 != 0 || block & 0x8F != 0 {
            return Err(corrupt("it has no frame header"));
        }
        self.block_bytes = match block >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(corrupt("its header names no size of parts")),
        };
        if flags & 0x01 != 0 {
            return Err(corrupt("it needs a dictionary"));
        }
        self.flags = flags;
        self.hash = self.has(0x04).then(|| XxHash32::with_seed(0));
        Ok(At::Header(FIXED_BYTES + 1 + if self.has(0x08) { 8 } else { 0 }))
    }

    fn decode(&mut self, data: &[u8], stored: bool, output: &mut Vec<u8>) -> Result<()> {
        if stored {
            output.extend_from_slice(data);
        } else {
            output.resize(self.block_bytes, 0);
            let length = block::decompress_into_with_dict(data, output, &self.window)
                .map_err(|error| corrupt("its content").caused_by(error))?;
            output.truncate(length);
        }
        if let Some(hash) = &mut self.hash {
            hash.write(output);
        }
        // Without this bit a block may refer to those before it.
        if !self.has(0x20) {
            let keep = WINDOW_BYTES.saturating_sub(output.len());
            let surplus = self.window.len().saturating_sub(keep);
            self.window.drain(..surplus);
            let last = output.get(output.len().saturating_sub(WINDOW_BYTES)..).unwrap_or_default();
            self.window.extend_from_slice(last);
        }
        Ok(())
    }
}

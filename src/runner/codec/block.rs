//! Compressed blocks inside a dump, fed in pieces: the decoders of whole streams pull, and a dump's own
//! blocks end where the dump says.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::lz4::Lz4Decoder;
use super::zstd::{WINDOW_LOG_MAX, window_bytes};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Decoded bytes that are handed on at once.
const OUTPUT_BYTES: usize = 128 * 1024;
/// Most decoded bytes of a block.
const BLOCK_LIMIT_BYTES: u64 = 10 << 40;
/// Most decoded bytes per stored byte above 1 GiB: only a block made for it grows so far. zlib cannot.
const RATIO_LIMIT: u64 = 10_000;
/// Decoded bytes below which any ratio is allowed.
const RATIO_FROM_BYTES: u64 = 1 << 30;
/// The first byte of a member of gzip.
const GZIP_BYTE: u8 = 0x1f;
/// Bits of the window of zlib and gzip: the largest, 32 KiB.
const WINDOW_BITS: u8 = 15;

/// Compressions of blocks inside dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockCodec {
    /// Not compressed.
    None,
    /// zlib, RFC 1950: what `pg_dump` calls gzip.
    Zlib,
    /// LZ4 frames.
    Lz4,
    /// zstd frames, RFC 8878, windows up to 128 MiB.
    Zstd,
    /// gzip, RFC 1952, any number of members.
    Gzip,
}

impl BlockCodec {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Zlib => "zlib",
            Self::Lz4 => "LZ4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

enum Inner {
    None,
    /// Of zlib or of one member of gzip.
    Zlib(Decompress),
    Lz4(Box<Lz4Decoder>),
    Zstd(Decoder<'static>),
}

/// Decodes one block.
pub struct BlockDecoder {
    codec: BlockCodec,
    inner: Inner,
    output: Vec<u8>,
    bytes_in: u64,
    bytes_out: u64,
    /// Bytes of the window that the first frame states, where that can be large.
    window: u64,
    /// The compressed stream has ended.
    ended: bool,
}

impl fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDecoder").field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// What a decoder did with its input.
struct Progress {
    used: usize,
    written: usize,
    ended: bool,
}

impl BlockDecoder {
    /// Begins a block.
    pub fn new(codec: BlockCodec) -> Result<Self> {
        Self::with_window(codec, WINDOW_LOG_MAX)
    }

    /// Begins a block whose window is at most 2 to this power; only those of zstd can be large.
    pub fn with_window(codec: BlockCodec, log: u32) -> Result<Self> {
        let inner = match codec {
            BlockCodec::None => Inner::None,
            BlockCodec::Zlib => Inner::Zlib(Decompress::new(true)),
            BlockCodec::Gzip => Inner::Zlib(Decompress::new_gzip(WINDOW_BITS)),
            BlockCodec::Lz4 => Inner::Lz4(Box::default()),
            BlockCodec::Zstd => {
                let decoder = Decoder::new().and_then(|mut decoder| {
                    decoder.set_parameter(DParameter::WindowLogMax(log))?;
                    Ok(decoder)
                });
                let failed = "failed to prepare the zstd decoder";
                Inner::Zstd(decoder.map_err(|error| {
                    Fault::new(Stage::Decompress, Reason::InternalError, failed).caused_by(error)
                })?)
            }
        };
        Ok(Self { codec, inner, output: Vec::new(), bytes_in: 0, bytes_out: 0, window: 0, ended: false })
    }

    /// Bytes of the window that the block states, once some of it was fed.
    pub const fn window_bytes(&self) -> u64 {
        self.window
    }

    /// Decodes the next stored bytes; hands what they decode to on to `give`.
    pub fn feed(&mut self, stored: &[u8], give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if matches!(self.inner, Inner::None) {
            return if stored.is_empty() { Ok(()) } else { give(stored) };
        }
        if self.bytes_in == 0 && self.codec == BlockCodec::Zstd {
            self.window = window_bytes(stored).unwrap_or(u64::MAX);
        }
        self.bytes_in += stored.len() as u64;
        let mut rest = stored;
        loop {
            if self.ended && self.codec == BlockCodec::Gzip && rest.first() == Some(&GZIP_BYTE) {
                self.inner = Inner::Zlib(Decompress::new_gzip(WINDOW_BITS));
                self.ended = false;
            }
            if self.ended {
                return if rest.is_empty() { Ok(()) } else { Err(self.corrupt("goes on behind its end")) };
            }
            let progress = self.step(rest)?;
            rest = rest.get(progress.used..).unwrap_or_default();
            self.ended = progress.ended;
            self.bytes_out += progress.written as u64;
            self.check_growth()?;
            if progress.written > 0 {
                give(self.output.get(..progress.written).unwrap_or_default())?;
            } else if progress.used == 0 && !self.ended {
                return if rest.is_empty() { Ok(()) } else { Err(self.corrupt("is damaged")) };
            }
        }
    }

    /// The end of the stored bytes: a fault where the compressed stream has not ended.
    pub fn finish(self) -> Result<()> {
        if self.ended || matches!(self.inner, Inner::None) {
            return Ok(());
        }
        let what = format!("a {} block ends too early", self.codec.name());
        Err(Fault::new(Stage::Decompress, Reason::Truncated, what))
    }

    fn step(&mut self, input: &[u8]) -> Result<Progress> {
        if self.output.is_empty() {
            self.output = vec![0; OUTPUT_BYTES];
        }
        let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
            let what = format!("a {} block is damaged", self.codec.name());
            Fault::new(Stage::Decompress, Reason::CorruptBackup, what).caused_by(error)
        };
        match &mut self.inner {
            Inner::None => Ok(Progress { used: input.len(), written: 0, ended: false }),
            Inner::Zlib(decoder) => {
                let before = (decoder.total_in(), decoder.total_out());
                let status = decoder
                    .decompress(input, &mut self.output, FlushDecompress::None)
                    .map_err(|error| damaged(error.into()))?;
                let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
                Ok(Progress {
                    used: count(decoder.total_in(), before.0),
                    written: count(decoder.total_out(), before.1),
                    ended: status == Status::StreamEnd,
                })
            }
            Inner::Lz4(decoder) => {
                let used = decoder.step(input, &mut self.output)?;
                Ok(Progress { used, written: self.output.len(), ended: decoder.ended() })
            }
            Inner::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, &mut self.output).map_err(|error| {
                    if error.to_string().contains("too much memory") {
                        let what = "the zstd window of a block is larger than is allowed, 128 MiB at most";
                        return Fault::new(Stage::Decompress, Reason::LimitExceeded, what);
                    }
                    damaged(error.into())
                })?;
                let moved = status.bytes_read + status.bytes_written > 0;
                Ok(Progress {
                    used: status.bytes_read,
                    written: status.bytes_written,
                    ended: moved && status.remaining == 0,
                })
            }
        }
    }

    fn check_growth(&self) -> Result<()> {
        let most = self.bytes_in.saturating_mul(RATIO_LIMIT).max(RATIO_FROM_BYTES);
        if self.bytes_out <= most.min(BLOCK_LIMIT_BYTES) {
            return Ok(());
        }
        let what = format!("a {} block grows more than {RATIO_LIMIT}-fold when decoded", self.codec.name());
        Err(Fault::new(Stage::Decompress, Reason::LimitExceeded, what))
    }

    fn corrupt(&self, what: &str) -> Fault {
        let what = format!("a {} block {what}", self.codec.name());
        Fault::new(Stage::Decompress, Reason::CorruptBackup, what)
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;

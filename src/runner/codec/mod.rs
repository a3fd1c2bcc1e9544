//! Undoing compression: gzip, brotli, zstd or none, one layer; and the compressed blocks inside dumps.
//!
//! Decoders are not integrity checks and their libraries forgive too much; here a stream that ends
//! early, goes on after its end or grows without measure is an error. This is the only module that
//! may use raw decoders.

mod block;
mod brotli;
mod gzip;
mod lz4;
mod zstd;

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};

pub use block::{BlockCodec, BlockDecoder};

use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};

/// A compression that backups have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// Not compressed.
    None,
    /// gzip, RFC 1952, any number of members.
    Gzip,
    /// brotli, RFC 7932, windows up to 16 MiB.
    Brotli,
    /// zstd, RFC 8878, any number of frames, windows up to 128 MiB.
    Zstd,
}

impl Codec {
    /// The codec whose magic number the stream starts with. brotli has none.
    pub fn from_magic(head: &[u8]) -> Option<Self> {
        if head.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// The codec that a file name ends in, after a possible `.enc` or `.age`.
    pub fn from_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let inner = lower.strip_suffix(".enc").or_else(|| lower.strip_suffix(".age")).unwrap_or(&lower);
        match inner.rsplit_once('.')?.1 {
            "gz" | "gzip" => Some(Self::Gzip),
            "br" => Some(Self::Brotli),
            "zst" | "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Bytes of earlier output that a decoder keeps for a stream with this head (18 bytes). zstd
    /// states its window; the first frame's is taken for all.
    pub fn window_bytes(self, head: &[u8]) -> u64 {
        match self {
            Self::None => 0,
            Self::Gzip => 32 << 10,
            Self::Brotli => 16 << 20,
            Self::Zstd => {
                zstd::window_bytes(head).unwrap_or(zstd::WINDOW_BYTES_MAX).min(zstd::WINDOW_BYTES_MAX)
            }
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Gzip => "Gzip",
            Self::Brotli => "Brotli",
            Self::Zstd => "Zstd",
        }
    }
}

/// How far a stream may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most decoded bytes.
    pub output_bytes: u64,
    /// Most decoded bytes per stored byte, looked at above [`Limits::RATIO_FROM_BYTES`].
    pub ratio: u64,
}

impl Limits {
    /// Decoded bytes below which any ratio is allowed: small dumps of empty tables compress well.
    pub const RATIO_FROM_BYTES: u64 = 1 << 30;
}

impl Default for Limits {
    /// 10 TiB, and 1000:1 above 1 GiB.
    fn default() -> Self {
        Self { output_bytes: 10 << 40, ratio: 1000 }
    }
}

/// Decodes `inner`. The reader ends where the compressed stream ends whole and nothing follows it.
pub fn decode<'a, R: BufRead + Send + 'a>(
    codec: Codec,
    inner: R,
    limits: Limits,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let counted = Counted { inner, bytes: 0 };
    Ok(match codec {
        Codec::None => Box::new(Limited::new(Plain(counted), limits)),
        Codec::Gzip => Box::new(Limited::new(gzip::Reader::new(counted), limits)),
        Codec::Brotli => Box::new(Limited::new(brotli::Reader::new(counted), limits)),
        Codec::Zstd => Box::new(Limited::new(zstd::Reader::new(counted)?, limits)),
    })
}

/// A decoder that knows how many stored bytes it has taken.
trait Decoder: Read {
    fn bytes_in(&self) -> u64;
}

/// Counts what a decoder takes.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes += amount as u64;
        self.inner.consume(amount);
    }
}

struct Plain<R>(Counted<R>);

impl<R: BufRead> Read for Plain<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.0.read(target)
    }
}

impl<R: BufRead> Decoder for Plain<R> {
    fn bytes_in(&self) -> u64 {
        self.0.bytes
    }
}

/// Stops a stream that grows over its limits.
struct Limited<D> {
    inner: D,
    limits: Limits,
    bytes_out: u64,
}

impl<D: Decoder> Limited<D> {
    fn new(inner: D, limits: Limits) -> Self {
        Self { inner, limits, bytes_out: 0 }
    }
}

impl<D: Decoder> Read for Limited<D> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.bytes_out += count as u64;
        if self.bytes_out > self.limits.output_bytes {
            let message = format!("the backup decodes to more than {} bytes", self.limits.output_bytes);
            return Err(fault(Reason::LimitExceeded, message));
        }
        let most = self.inner.bytes_in().saturating_mul(self.limits.ratio);
        if self.bytes_out > Limits::RATIO_FROM_BYTES && self.bytes_out > most {
            let message = format!("the backup grows more than {}-fold when decoded", self.limits.ratio);
            return Err(fault(Reason::LimitExceeded, message));
        }
        Ok(count)
    }
}

fn fault(reason: Reason, message: impl Into<String>) -> io::Error {
    Fault::new(Stage::Decompress, reason, message).into_io()
}

/// Gives an error of a decoding library its reason; a fault from before stays as it is.
fn judge(error: io::Error, codec: Codec) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted || Fault::is_in(&error) {
        return error;
    }
    let name = codec.name();
    let fault = if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::new(Stage::Decompress, Reason::Truncated, format!("the {name} stream ends too early"))
    } else {
        Fault::new(Stage::Decompress, Reason::CorruptBackup, format!("the {name} stream is damaged"))
            .caused_by(error)
    };
    fault.into_io()
}

fn trailing_garbage(codec: Codec) -> io::Error {
    fault(Reason::CorruptBackup, format!("something follows the end of the {} stream", codec.name()))
}

fn ends_early(codec: Codec) -> io::Error {
    fault(Reason::Truncated, format!("the {} stream ends too early", codec.name()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compress(codec: Codec, data: &[u8]) -> Vec<u8> {
        match codec {
            Codec::None => data.to_vec(),
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Brotli => {
                let mut encoded = Vec::new();
                let parameters = ::brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
                ::brotli::BrotliCompress(&mut &data[..], &mut encoded, &parameters).unwrap();
                encoded
            }
            Codec::Zstd => ::zstd::encode_all(data, 3).unwrap(),
        }
    }

    fn decoded(codec: Codec, stored: &[u8], limits: Limits) -> Result<Vec<u8>, Reason> {
        let mut plain = Vec::new();
        decode(codec, io::Cursor::new(stored.to_vec()), limits)
            .and_then(|mut reader| reader.read_to_end(&mut plain))
            .map_err(|error| Fault::from_io(error, Stage::Decompress, Reason::InternalError, "").reason)?;
        Ok(plain)
    }

    const COMPRESSED: [Codec; 3] = [Codec::Gzip, Codec::Brotli, Codec::Zstd];

    fn sample() -> Vec<u8> {
        (0..600_000_u32).flat_map(|i| (i * i / 77).to_le_bytes()).collect()
    }

    #[test]
    fn every_codec_gives_back_what_was_compressed() {
        for codec in [Codec::None, Codec::Gzip, Codec::Brotli, Codec::Zstd] {
            for data in [Vec::new(), b"x".to_vec(), sample()] {
                assert!(decoded(codec, &compress(codec, &data), Limits::default()) == Ok(data), "{codec:?}");
            }
        }
    }

    #[test]
    fn several_members_are_one_stream() {
        for codec in [Codec::Gzip, Codec::Zstd] {
            let stored = [compress(codec, b"one "), compress(codec, b""), compress(codec, b"two")].concat();
            assert_eq!(decoded(codec, &stored, Limits::default()), Ok(b"one two".to_vec()), "{codec:?}");
        }
    }

    #[test]
    fn anything_after_the_end_is_an_error() {
        for codec in COMPRESSED {
            for tail in [&b"\0"[..], b"garbage", &[0; 600]] {
                let stored = [compress(codec, &sample()), tail.to_vec()].concat();
                let reason = decoded(codec, &stored, Limits::default()).unwrap_err();
                assert!(
                    matches!(reason, Reason::CorruptBackup | Reason::Truncated),
                    "{codec:?} {tail:?} {reason}"
                );
            }
        }
    }

    #[test]
    fn a_stream_cut_anywhere_is_truncated() {
        for codec in COMPRESSED {
            let stored = compress(codec, &sample()[..20_000]);
            for end in 0..stored.len() {
                assert_eq!(
                    decoded(codec, &stored[..end], Limits::default()),
                    Err(Reason::Truncated),
                    "{codec:?} at {end}"
                );
            }
        }
    }

    #[test]
    fn a_stream_that_grows_without_measure_is_stopped() {
        for codec in [Codec::None, Codec::Gzip, Codec::Brotli, Codec::Zstd] {
            let limits = Limits { output_bytes: 100_000, ratio: 1000 };
            let stored = compress(codec, &vec![0; 200_000]);
            assert_eq!(decoded(codec, &stored, limits), Err(Reason::LimitExceeded), "{codec:?}");
        }
    }

    #[test]
    fn a_zstd_window_over_128_mib_is_refused() {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&sample()).unwrap();
        let stored = encoder.finish().unwrap();
        assert_eq!(decoded(Codec::Zstd, &stored, Limits::default()), Err(Reason::LimitExceeded));
    }

    #[test]
    fn the_window_of_a_zstd_stream_is_read_from_its_head() {
        for (log, size) in [(17, None), (20, None), (27, None), (27, Some(5000_u64))] {
            let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.set_pledged_src_size(size).unwrap();
            encoder.write_all(&sample()[..5000]).unwrap();
            let stored = encoder.finish().unwrap();
            let window = Codec::Zstd.window_bytes(&stored[..18]);
            assert_eq!(window, size.unwrap_or(1 << log), "{log} {size:?}");
        }
        assert_eq!(Codec::Zstd.window_bytes(b""), 128 << 20);
    }

    #[test]
    fn the_name_tells_the_codec_below_the_seal() {
        for (name, codec) in [
            ("a.sql.br.enc", Some(Codec::Brotli)),
            ("a.sql.GZ", Some(Codec::Gzip)),
            ("a.sql.zst.age", Some(Codec::Zstd)),
            ("a.sql.enc", None),
            ("gz", None),
        ] {
            assert_eq!(Codec::from_name(name), codec, "{name}");
        }
    }
}

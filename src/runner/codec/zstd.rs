//! zstd frames (RFC 8878).

use std::io::{self, BufRead, Read};

use super::{Codec, Counted, Decoder, ends_early, fault, judge};
use crate::reason::Reason;

/// Largest window that is allowed, as a power of two: 128 MiB, what `zstd -d` allows too.
const WINDOW_LOG_MAX: u32 = 27;

#[expect(clippy::disallowed_types, reason = "this is the wrapper that the rule points to")]
type Inner<R> = zstd::Decoder<'static, Counted<R>>;

pub(super) struct Reader<R: BufRead> {
    inner: Inner<R>,
    begun: bool,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(inner: Counted<R>) -> io::Result<Self> {
        let mut inner = Inner::with_buffer(inner)?;
        inner.window_log_max(WINDOW_LOG_MAX)?;
        Ok(Self { inner, begun: false })
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            // The library takes an empty file for an empty stream.
            if self.inner.get_mut().fill_buf()?.is_empty() {
                return Err(ends_early(Codec::Zstd));
            }
            self.begun = true;
        }
        self.inner.read(target).map_err(|error| {
            if error.to_string().contains("too much memory") {
                return fault(Reason::LimitExceeded, "the zstd window is larger than 128 MiB");
            }
            judge(error, Codec::Zstd)
        })
    }
}

impl<R: BufRead> Decoder for Reader<R> {
    fn bytes_in(&self) -> u64 {
        self.inner.get_ref().bytes
    }
}

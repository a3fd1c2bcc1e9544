//! zstd frames (RFC 8878).

use std::io::{self, BufRead, Read};

use super::{Codec, Counted, Decoder, ends_early, fault, judge};
use crate::reason::Reason;

/// Largest window that is allowed, as a power of two: 128 MiB, what `zstd -d` allows too.
pub(super) const WINDOW_LOG_MAX: u32 = 27;

/// The same in bytes.
pub(super) const WINDOW_BYTES_MAX: u64 = 1 << WINDOW_LOG_MAX;

/// The window that a frame's header states (RFC 8878, 3.1.1.1); `None` where it is no such header.
pub(super) fn window_bytes(head: &[u8]) -> Option<u64> {
    let descriptor = *head.get(4)?;
    if descriptor & 0x20 == 0 {
        let window = u64::from(*head.get(5)?);
        let base = 1_u64.checked_shl(10 + u32::try_from(window >> 3).ok()?)?;
        return base.checked_add(base / 8 * (window & 7));
    }
    // A single segment: the window is the content, whose size follows the dictionary's id.
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let (size, offset) = *[(1, 0), (2, 256), (4, 0), (8, 0)].get(usize::from(descriptor >> 6))?;
    let field = head.get(5 + dictionary..5 + dictionary + size)?;
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(field).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes).checked_add(offset)
}

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

//! brotli (RFC 7932), on the library's stream function: its reader does not tell what follows the
//! end of the stream.

use std::io::{self, BufRead, Read};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::{Codec, Counted, Decoder, ends_early, fault, trailing_garbage};
use crate::reason::Reason;

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

pub(super) struct Reader<R> {
    inner: Counted<R>,
    // Several KiB: boxed to keep the reader small.
    state: Box<State>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(inner: Counted<R>) -> Self {
        // Strict: no large-window extension, whose windows reach 1 GiB.
        let (bytes, words, codes) = Default::default();
        Self { inner, state: Box::new(BrotliState::new_strict(bytes, words, codes)), ended: false }
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while !target.is_empty() {
            if self.ended {
                return if self.inner.fill_buf()?.is_empty() {
                    Ok(0)
                } else {
                    Err(trailing_garbage(Codec::Brotli))
                };
            }
            let input = self.inner.fill_buf()?;
            let at_end = input.is_empty();
            let (mut available_in, mut taken) = (input.len(), 0);
            let (mut available_out, mut written, mut total) = (target.len(), 0, 0);
            let result = BrotliDecompressStream(
                &mut available_in,
                &mut taken,
                input,
                &mut available_out,
                &mut written,
                target,
                &mut total,
                &mut self.state,
            );
            self.inner.consume(taken);
            match result {
                BrotliResult::ResultFailure => {
                    return Err(fault(Reason::CorruptBackup, "the Brotli stream is damaged"));
                }
                BrotliResult::ResultSuccess => {
                    self.ended = true;
                }
                BrotliResult::NeedsMoreInput if at_end && written == 0 => {
                    return Err(ends_early(Codec::Brotli));
                }
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

impl<R: BufRead> Decoder for Reader<R> {
    fn bytes_in(&self) -> u64 {
        self.inner.bytes
    }
}

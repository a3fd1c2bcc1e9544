//! gzip, member by member (RFC 1952). The multi-member decoder of the library does the same, but
//! cannot tell a cut second member from garbage behind the first.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::{Codec, Counted, Decoder, ends_early, judge, trailing_garbage};

pub(super) struct Reader<R> {
    /// `None` only while a member is exchanged.
    member: Option<GzDecoder<Counted<R>>>,
    between: bool,
    done: bool,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(inner: Counted<R>) -> Self {
        Self { member: Some(GzDecoder::new(inner)), between: false, done: false }
    }

    /// At the end of a member: begins the next one, or sees that there is none.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(mut inner) = self.member.take().map(GzDecoder::into_inner) else { return Ok(()) };
        let first = inner.fill_buf()?.first().copied();
        match first {
            None => self.done = true,
            Some(0x1f) => self.between = false,
            Some(_) => return Err(trailing_garbage(Codec::Gzip)),
        }
        self.member = Some(GzDecoder::new(inner));
        Ok(())
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.done || target.is_empty() {
                return Ok(0);
            }
            if self.between {
                self.next_member()?;
                continue;
            }
            let Some(member) = &mut self.member else { return Err(ends_early(Codec::Gzip)) };
            match member.read(target).map_err(|error| judge(error, Codec::Gzip))? {
                0 => self.between = true,
                count => return Ok(count),
            }
        }
    }
}

impl<R: BufRead> Decoder for Reader<R> {
    fn bytes_in(&self) -> u64 {
        self.member.as_ref().map_or(0, |member| member.get_ref().bytes)
    }
}

//! Takes a TAR apart that is fed in pieces of any length.

use super::header::{BLOCK, Header, Headers, Member, follows_end, padding, truncated};
use crate::runner::fault::Result;

/// What a TAR consists of, in the order in which it is met.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// A member begins.
    Begin(&'a Member),
    /// Bytes of its content.
    Bytes(&'a [u8]),
    /// It has ended.
    End,
}

/// Where the machine stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At a header, or at the first block of the end mark.
    #[default]
    Header,
    /// In an extension record of this kind and length.
    Extension(u8, usize),
    /// In content of which so many bytes are left, with this padding behind it.
    Content(u64, u64),
    /// In padding of which so many bytes are left.
    Padding(u64),
    /// At the second block of the end mark.
    End,
    /// Behind the end mark: zeros only.
    Zeros,
}

/// Takes a TAR apart; see [`Piece`].
#[derive(Debug, Default)]
pub struct TarFeed {
    at: At,
    position: u64,
    /// What arrived of a header or of an extension record.
    pending: Vec<u8>,
    headers: Headers,
}

impl TarFeed {
    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8], give: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let wanted = match self.at {
                At::Header | At::End => (BLOCK - self.pending.len()) as u64,
                At::Extension(_, size) => (size - self.pending.len()) as u64,
                At::Content(left, _) | At::Padding(left) => left,
                At::Zeros => u64::MAX,
            };
            let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = rest.split_at(count);
            rest = behind;
            self.position += count as u64;
            self.take(part, give)?;
        }
        Ok(())
    }

    /// Takes a part that reaches no further than what the machine stands at.
    fn take(&mut self, part: &[u8], give: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        let count = part.len() as u64;
        match self.at {
            At::Content(left, padding) => {
                give(Piece::Bytes(part))?;
                match left - count {
                    0 => self.end_content(padding, give),
                    left => {
                        self.at = At::Content(left, padding);
                        Ok(())
                    }
                }
            }
            At::Padding(left) => {
                self.at = if left == count { At::Header } else { At::Padding(left - count) };
                Ok(())
            }
            At::Zeros => zeros(part),
            At::Header | At::End => {
                self.pending.extend_from_slice(part);
                let Some(block) = self.pending.first_chunk::<BLOCK>().copied() else { return Ok(()) };
                self.pending.clear();
                self.block(&block, give)
            }
            At::Extension(flag, size) => {
                self.pending.extend_from_slice(part);
                if self.pending.len() < size {
                    return Ok(());
                }
                self.extension(flag)
            }
        }
    }

    fn block(&mut self, block: &[u8; BLOCK], give: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        if self.at == At::End {
            self.at = At::Zeros;
            return zeros(block);
        }
        if block.iter().all(|byte| *byte == 0) {
            self.at = At::End;
            return Ok(());
        }
        match self.headers.take(block, self.position - BLOCK as u64)? {
            Header::Extension(flag, size) => {
                self.at = At::Extension(flag, usize::try_from(size).unwrap_or(usize::MAX));
                if size == 0 { self.extension(flag) } else { Ok(()) }
            }
            Header::Member(member) => {
                let padding = padding(self.position, member.size)?;
                self.at = At::Content(member.size, padding);
                give(Piece::Begin(&member))?;
                if member.size == 0 { self.end_content(padding, give) } else { Ok(()) }
            }
        }
    }

    fn extension(&mut self, flag: u8) -> Result<()> {
        let record = std::mem::take(&mut self.pending);
        self.headers.extend(flag, &record)?;
        self.at = behind(padding(self.position, record.len() as u64)?);
        Ok(())
    }

    fn end_content(&mut self, padding: u64, give: &mut dyn FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
        self.at = behind(padding);
        give(Piece::End)
    }

    /// The end of the bytes: a fault where the archive's end mark was not there.
    pub fn finish(&self) -> Result<()> {
        if self.at == At::Zeros { Ok(()) } else { Err(truncated(self.position)) }
    }
}

/// Where the machine stands behind content with this padding.
const fn behind(padding: u64) -> At {
    if padding == 0 { At::Header } else { At::Padding(padding) }
}

fn zeros(part: &[u8]) -> Result<()> {
    if part.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(follows_end()) }
}

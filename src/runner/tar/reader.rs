//! Reads members one after the other from a reader.

use std::io::{self, Read};

use super::header::{BLOCK, Header, Headers, Member, follows_end, padding, truncated};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Reads members one after the other. Between two calls of [`TarReader::next_member`] it reads as
/// the content of the current one.
pub struct TarReader<R> {
    inner: R,
    position: u64,
    left: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads the archive in `inner` from its first byte.
    pub fn new(inner: R) -> Self {
        Self { inner, position: 0, left: 0, padding: 0, ended: false }
    }

    /// The next member; what is left of the current one is skipped. `None` after the end mark, when
    /// nothing but zeros followed it.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut headers = Headers::default();
        loop {
            self.skip_rest()?;
            let Some(block) = self.read_header()? else { return Ok(None) };
            match headers.take(&block, self.position - BLOCK as u64)? {
                Header::Extension(flag, size) => {
                    let record = self.read_extension(size)?;
                    headers.extend(flag, &record)?;
                }
                Header::Member(member) => {
                    self.begin_content(member.size)?;
                    return Ok(Some(member));
                }
            }
        }
    }

    fn begin_content(&mut self, size: u64) -> Result<()> {
        (self.left, self.padding) = (size, padding(self.position, size)?);
        Ok(())
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>> {
        self.begin_content(size)?;
        let mut record = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut record).map_err(|error| self.fault(error))?;
        Ok(record)
    }

    fn fault(&self, error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return truncated(self.position);
        }
        Fault::from_io(error, Stage::Inspect, Reason::CorruptBackup, "failed to read the archive")
    }

    fn skip_rest(&mut self) -> Result<()> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut self.inner.by_ref().take(rest), &mut io::sink()).map_err(|error| {
            Fault::from_io(error, Stage::Inspect, Reason::CorruptBackup, "failed to read the archive")
        })?;
        self.position += skipped;
        if skipped < rest {
            return Err(self.fault(io::ErrorKind::UnexpectedEof.into()));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn read_header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.read_block(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            self.read_end()?;
            return Ok(None);
        }
        Ok(Some(block))
    }

    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<()> {
        self.inner.read_exact(block).map_err(|error| self.fault(error))?;
        self.position += BLOCK as u64;
        Ok(())
    }

    /// After the first zero block: the second one, and then only zeros to the end.
    fn read_end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        self.read_block(&mut block)?;
        loop {
            if block.iter().any(|byte| *byte != 0) {
                return Err(follows_end());
            }
            let count = self.inner.read(&mut block).map_err(|error| self.fault(error))?;
            if count == 0 {
                self.ended = true;
                return Ok(());
            }
            self.position += count as u64;
            if let Some(rest) = block.get_mut(count..) {
                rest.fill(0);
            }
        }
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(target.len());
        let Some(target) = target.get_mut(..most).filter(|target| !target.is_empty()) else {
            return Ok(0);
        };
        let count = self.inner.read(target)?;
        if count == 0 {
            return Err(self.fault(io::ErrorKind::UnexpectedEof.into()).into_io());
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

//! One block of rows of a custom archive, read apart from the others: pieces, each behind its length, up to
//! one of no length.

use std::io::Read;

use super::block::Block;
use super::fields::{corrupt, integer};
use super::reader::{Event, named_as};
use crate::reason::Reason;
use crate::runner::codec::BlockCodec;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::encoding::Encoding;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::BUFFER_BYTES;

/// What has to be known of the archive to read one of its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockForm {
    /// The entry, for messages.
    pub(super) entry: String,
    /// Bytes of an integer, behind its sign byte.
    pub(super) int_bytes: u8,
    pub(super) codec: BlockCodec,
    pub(super) encoding: Encoding,
}

impl BlockForm {
    /// Reads all of the block, which begins with the length of its first piece; how many rows there were.
    pub fn read(&self, stored: &mut dyn Read, give: &mut dyn FnMut(Rows<'_>) -> Result<()>) -> Result<u64> {
        let mut block = Block::of_rows_apart(self.codec, self.encoding)?;
        let mut give = |event: Event<'_>| match event {
            Event::Rows(rows) => give(rows),
            _ => Ok(()),
        };
        let mut number = vec![0; 1 + usize::from(self.int_bytes)];
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.fill(stored, &mut number)?;
            let mut left =
                usize::try_from(integer(&number)?).map_err(|_| self.corrupt("a negative length"))?;
            if left == 0 {
                return block.finish(&mut give);
            }
            while left > 0 {
                let count = left.min(buffer.len());
                let Some(piece) = buffer.get_mut(..count) else { break };
                self.fill(stored, piece)?;
                block.feed(piece, &mut give)?;
                left -= count;
            }
        }
    }

    /// Reads all of the block only to see that it is whole; how many rows there are.
    pub fn prove(&self, stored: &mut dyn Read) -> Result<u64> {
        self.read(stored, &mut |_| Ok(())).map_err(|fault| named_as(fault, &self.entry))
    }

    fn fill(&self, stored: &mut dyn Read, target: &mut [u8]) -> Result<()> {
        stored.read_exact(target).map_err(|error| {
            let what = format!("failed to read the data of {}", self.entry);
            Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, &what)
        })
    }

    fn corrupt(&self, what: &str) -> Fault {
        corrupt(format!("the data of {} have {what}", self.entry))
    }
}

//! The rows of one `COPY` of the dump, on their way to one lane or to several.
//!
//! Rows go in pieces of some hundred KiB, each to the lane that waits for it first: so every lane's
//! part lies in the table in the dump's order, and rows that are neighbours in the dump stay so in
//! all but a few places.

use super::lanes::Lanes;
use super::work::Copy;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::fault::Result;

/// Bytes that are given to a lane at once.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of a table from which on it is worth a second lane.
const SPREAD_BYTES: u64 = 4 * 1024 * 1024;

/// The rows of one `COPY`.
pub(super) struct Spread {
    copy: Copy,
    members: Vec<usize>,
    buffer: Vec<u8>,
    bytes: u64,
    /// The lane that has the beginning of the row that comes.
    pinned: Option<usize>,
}

impl Spread {
    pub(super) const fn new(copy: Copy) -> Self {
        Self { copy, members: Vec::new(), buffer: Vec::new(), bytes: 0, pinned: None }
    }

    /// What was begun, as long as it has taken no rows.
    pub(super) fn untouched(&self) -> Option<&Copy> {
        (self.bytes == 0 && self.buffer.is_empty()).then_some(&self.copy)
    }

    /// What was begun.
    pub(super) fn into_copy(self) -> Copy {
        self.copy
    }

    /// Takes in rows.
    pub(super) fn take(&mut self, lanes: &mut Lanes, rows: Rows<'_>) -> Result<()> {
        self.buffer.extend_from_slice(rows.bytes);
        let whole = rows.ends_row && self.buffer.len() >= PIECE_BYTES / 2;
        // A row that is longer than a piece goes to one lane in several.
        if whole || self.buffer.len() >= 2 * PIECE_BYTES {
            return self.give(lanes, rows.ends_row);
        }
        Ok(())
    }

    fn give(&mut self, lanes: &mut Lanes, ends_row: bool) -> Result<()> {
        let spread = self.copy.spreads && self.bytes >= SPREAD_BYTES;
        let lane = match self.pinned {
            Some(lane) => lane,
            None => lanes.lane_for(&self.copy, &mut self.members, spread)?,
        };
        self.pinned = (!ends_row).then_some(lane);
        self.bytes += self.buffer.len() as u64;
        self.buffer = lanes.give(lane, std::mem::take(&mut self.buffer))?;
        Ok(())
    }

    /// Ends them after so many rows of the dump.
    pub(super) fn end(mut self, lanes: &mut Lanes, rows: u64) -> Result<()> {
        if !self.buffer.is_empty() {
            self.give(lanes, true)?;
        }
        if self.members.is_empty() {
            lanes.add_rows([(self.copy.table, rows)]);
            return Ok(());
        }
        lanes.end(&self.copy, &self.members, rows);
        Ok(())
    }
}

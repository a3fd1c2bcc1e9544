//! Where the large blocks of rows lie in a dump, as pass 1 finds them: what several readers need to have
//! one each.

use std::ops::Range;
use std::sync::Arc;

use super::copy::Rows;
use super::script::CopyPlace;
use super::subject::TableName;
use super::tables::lossy;
use crate::runner::inventory::RowsBlock;

/// Bytes from which on a block is worth a reader of its own: what is read and checked at once.
const BLOCK_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes between two places where a block may be cut, at least.
const CUT_BYTES: u64 = 16 * 1024 * 1024;

/// Collects the blocks of one dump.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    all: Vec<RowsBlock>,
    /// Bytes and rows of the block that goes by, and where it may be cut.
    bytes: u64,
    rows: u64,
    cuts: Vec<(u64, u64)>,
}

impl Blocks {
    /// Takes rows of a block, as they stand in the dump.
    pub(super) fn rows(&mut self, rows: Rows<'_>) {
        self.bytes += rows.bytes.len() as u64;
        self.rows += rows.rows;
        let last = self.cuts.last().map_or(0, |cut| cut.0);
        if rows.ends_row && self.bytes - last >= CUT_BYTES {
            self.cuts.push((self.bytes, self.rows));
        }
    }

    /// Ends a block of a script, whose rows were all taken.
    pub(super) fn end_of_script(&mut self, database: &[u8], table: &TableName, place: CopyPlace) {
        let rows = std::mem::take(&mut self.rows);
        let cuts = std::mem::take(&mut self.cuts);
        self.bytes = 0;
        let CopyPlace { range, end, lines } = place;
        self.add(RowsBlock {
            database: lossy(database),
            table: table.shown(),
            range,
            end,
            rows,
            lines,
            cuts,
        });
    }

    /// Ends a block of an archive, with so many rows. It is compressed as a whole.
    pub(super) fn end_of_archive(
        &mut self,
        database: &[u8],
        table: &TableName,
        (range, rows): (Range<u64>, u64),
    ) {
        let (database, table, end) = (lossy(database), table.shown(), range.end);
        self.add(RowsBlock { database, table, range, end, rows, lines: 0, cuts: Vec::new() });
    }

    fn add(&mut self, block: RowsBlock) {
        if block.bytes() >= BLOCK_BYTES {
            self.all.push(block);
        }
    }

    /// The blocks, in the order of the dump.
    pub(super) fn into_all(mut self) -> Arc<[RowsBlock]> {
        self.all.sort_by_key(|block| block.range.start);
        self.all.into()
    }
}

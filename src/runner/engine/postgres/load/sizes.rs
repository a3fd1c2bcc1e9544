//! How large tables are, by the blocks of their rows in the dump: what weighs the work of a load.

use std::collections::BTreeMap;

use crate::runner::inventory::RowsBlock;

/// Bytes of the large tables of a dump.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    tables: BTreeMap<String, u64>,
    total: u64,
}

impl Sizes {
    /// Of the tables of one database of the dump; `None`: it does not change to any.
    pub(super) fn of(blocks: &[RowsBlock], database: Option<&str>) -> Self {
        let mut sizes = Self::default();
        for block in blocks.iter().filter(|block| database.is_none_or(|name| name == block.database)) {
            let bytes = block.bytes();
            *sizes.tables.entry(block.table.clone()).or_default() += bytes;
            sizes.total += bytes;
        }
        sizes
    }

    /// Bytes of a table; 0 for a small one.
    pub(super) fn of_table(&self, table: &str) -> u64 {
        self.tables.get(table).copied().unwrap_or_default()
    }

    /// Into how many parts the rows of a block are best cut for so many lanes: several where one lane would
    /// still be busy with them when the others have all else done.
    pub(super) fn parts(&self, bytes: u64, lanes: usize) -> usize {
        let lanes_count = u64::try_from(lanes).unwrap_or(u64::MAX);
        let is_long = bytes.saturating_mul(lanes_count) > self.total.saturating_add(self.total / 2);
        if lanes > 1 && is_long { lanes } else { 1 }
    }
}

/// The parts of a block as ranges of bytes and rows, counted from its beginning, at most so many and about
/// equal: cut at some of `cuts`, which are bytes with the rows before them.
pub(super) fn cut(block: &RowsBlock, parts: usize) -> Vec<(std::ops::Range<u64>, u64)> {
    let bytes = block.bytes();
    let wanted = bytes.div_ceil(u64::try_from(parts.max(1)).unwrap_or(u64::MAX));
    let mut found = Vec::new();
    let mut begin = (0, 0);
    for &cut in &block.cuts {
        if cut.0 - begin.0 >= wanted && cut.0 < bytes {
            found.push((begin.0..cut.0, cut.1 - begin.1));
            begin = cut;
        }
    }
    found.push((begin.0..bytes, block.rows - begin.1));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(table: &str, bytes: u64, rows: u64, cuts: &[(u64, u64)]) -> RowsBlock {
        let (database, table, cuts) = ("d".to_owned(), table.to_owned(), cuts.to_vec());
        RowsBlock { database, table, range: 100..100 + bytes, end: 103 + bytes, rows, lines: rows + 1, cuts }
    }

    #[test]
    fn only_a_table_that_would_keep_one_lane_busy_to_the_end_is_cut() {
        let other = RowsBlock { database: "other".to_owned(), ..block("a", 9000, 1, &[]) };
        let blocks = [block("a", 500, 1, &[]), block("b", 300, 1, &[]), block("a", 200, 1, &[]), other];
        let sizes = Sizes::of(&blocks, Some("d"));
        assert_eq!(Sizes::of(&blocks, None).of_table("a"), 9700);
        assert_eq!((sizes.of_table("a"), sizes.of_table("c")), (700, 0));
        for (bytes, lanes, expected) in
            [(700, 1, 1), (700, 2, 1), (800, 2, 2), (700, 4, 4), (300, 4, 1), (300, 8, 8), (u64::MAX, 2, 2)]
        {
            assert_eq!(sizes.parts(bytes, lanes), expected, "{bytes} {lanes}");
        }
    }

    #[test]
    fn parts_are_cut_where_a_row_ends_and_have_all_rows_together() {
        let cuts = [(20, 2), (40, 4), (60, 7), (80, 8)];
        for (parts, expected) in [
            (1, vec![(0..90, 10)]),
            (2, vec![(0..60, 7), (60..90, 3)]),
            (3, vec![(0..40, 4), (40..80, 4), (80..90, 2)]),
            (9, vec![(0..20, 2), (20..40, 2), (40..60, 3), (60..80, 1), (80..90, 2)]),
        ] {
            assert_eq!(cut(&block("a", 90, 10, &cuts), parts), expected, "{parts}");
        }
        assert_eq!(cut(&block("a", 80, 8, &cuts), 9).last(), Some(&(60..80, 1)), "the end is no cut");
        assert_eq!(cut(&block("a", 90, 10, &[]), 4), [(0..90, 10)]);
    }
}

//! Archives of PostgreSQL: the inventory is the same however the bytes are cut.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::engine::Scanner;
use reinstate::runner::engine::postgres::ArchiveScanner;
use reinstate::runner::inventory::DumpFacts;

fn scan(data: &[u8], step: usize) -> Result<DumpFacts, Reason> {
    let mut scanner = Box::new(ArchiveScanner::default());
    for part in data.chunks(step) {
        scanner.feed(part).map_err(support::checked)?;
    }
    scanner.finish().map_err(support::checked)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    assert_eq!(scan(data, usize::from(*first) + 1), scan(data, data.len().max(1)));
});

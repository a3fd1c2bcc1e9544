//! Archives of PostgreSQL, files of pg_dump in a TAR among them: the inventory is the same however the
//! bytes are cut, with a second reading where the table of contents comes late.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::engine::Scanner;
use reinstate::runner::engine::postgres::ArchiveScanner;
use reinstate::runner::inventory::DumpFacts;

fn scan(data: &[u8], step: usize) -> Result<DumpFacts, Reason> {
    let facts = read(ArchiveScanner::default(), data, step)?;
    match facts.late_contents.clone() {
        Some(contents) => read(ArchiveScanner::with_contents(contents), data, step),
        None => Ok(facts),
    }
}

fn read(scanner: ArchiveScanner, data: &[u8], step: usize) -> Result<DumpFacts, Reason> {
    let mut scanner = Box::new(scanner);
    scanner.digest_rows();
    for part in data.chunks(step) {
        scanner.feed(part).map_err(support::checked)?;
    }
    scanner.finish().map_err(support::checked)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    assert_eq!(scan(data, usize::from(*first) + 1), scan(data, data.len().max(1)));
});

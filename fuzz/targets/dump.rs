//! SQLite dumps and database files: the inventory is the same however the bytes are cut.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::engine::Scanner;
use reinstate::runner::engine::sqlite::{DumpScanner, FileScanner};
use reinstate::runner::inventory::DumpFacts;

fn scan(mut scanner: Box<dyn Scanner>, data: &[u8], step: usize) -> Result<DumpFacts, Reason> {
    for part in data.chunks(step) {
        scanner.feed(part).map_err(support::checked)?;
    }
    scanner.finish().map_err(support::checked)
}

fn scanner(file: bool) -> Box<dyn Scanner> {
    if file { Box::new(FileScanner::default()) } else { Box::new(DumpScanner::default()) }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let file = first & 1 == 1;
    let whole = scan(scanner(file), data, data.len().max(1));
    let cut = scan(scanner(file), data, usize::from(first >> 1) + 1);
    assert_eq!(cut, whole);
});

//! Plain dumps of PostgreSQL: the inventory is the same however the bytes are cut, and so is what pass 2
//! would get.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::engine::Scanner;
use reinstate::runner::engine::postgres::ScriptScanner;
use reinstate::runner::engine::postgres::copy::Rows;
use reinstate::runner::engine::postgres::script::{Keep, Script, Statement};
use reinstate::runner::engine::postgres::split::Splitter;
use reinstate::runner::fault::Result;
use reinstate::runner::inventory::DumpFacts;

fn scan(data: &[u8], step: usize) -> std::result::Result<DumpFacts, Reason> {
    let mut scanner = Box::new(ScriptScanner::default());
    scanner.digest_rows();
    for part in data.chunks(step) {
        scanner.feed(part).map_err(support::checked)?;
    }
    scanner.finish().map_err(support::checked)
}

/// All that goes out, in one line of bytes.
#[derive(Default, PartialEq, Eq)]
struct Out(Vec<u8>);

impl Script for Out {
    fn statement(&mut self, found: Statement<'_>) -> Result<()> {
        assert!(!found.cut && found.text.ends_with(b";"));
        self.0.extend_from_slice(found.text);
        Ok(())
    }

    fn copy_begin(&mut self, found: Statement<'_>) -> Result<()> {
        self.statement(found)
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        assert!(!rows.bytes.is_empty() && (!rows.ends_row || rows.bytes.ends_with(b"\n")));
        self.0.extend_from_slice(rows.bytes);
        Ok(())
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.0.extend_from_slice(&rows.to_le_bytes());
        Ok(())
    }

    fn connect(&mut self, name: &[u8], line: u64) -> Result<()> {
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(&line.to_le_bytes());
        Ok(())
    }
}

fn split(data: &[u8], step: usize) -> (Out, std::result::Result<(), Reason>) {
    let (mut out, mut splitter) = (Out::default(), Splitter::new(Keep::Whole));
    let fed = data.chunks(step).try_for_each(|part| splitter.feed(part, &mut out));
    let outcome = fed.and_then(|()| splitter.finish(&mut out)).map_err(support::checked);
    (out, outcome)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let (whole, step) = (data.len().max(1), usize::from(*first) + 1);
    assert_eq!(scan(data, step), scan(data, whole));
    assert!(split(data, step) == split(data, whole));
});

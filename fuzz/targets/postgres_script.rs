//! Plain dumps of PostgreSQL: the inventory is the same however the bytes are cut, and so is what pass 2
//! would get; rows are where they are said to be, and what stands around them is the same without them.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::engine::Scanner;
use reinstate::runner::engine::postgres::ScriptScanner;
use reinstate::runner::engine::postgres::copy::Rows;
use reinstate::runner::engine::postgres::script::{CopyPlace, Keep, Script, Statement};
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

/// All that goes out, in one line of bytes each: rows, and what is none.
#[derive(Clone, Default, PartialEq, Eq)]
struct Out {
    rows: Vec<u8>,
    others: Vec<u8>,
    places: Vec<CopyPlace>,
}

impl Script for Out {
    fn statement(&mut self, found: Statement<'_>) -> Result<()> {
        assert!(!found.cut && found.text.ends_with(b";"));
        self.others.extend_from_slice(found.text);
        self.others.extend_from_slice(&found.line.to_le_bytes());
        Ok(())
    }

    fn copy_begin(&mut self, found: Statement<'_>) -> Result<()> {
        self.statement(found)
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        assert!(!rows.bytes.is_empty() && (!rows.ends_row || rows.bytes.ends_with(b"\n")));
        self.rows.extend_from_slice(rows.bytes);
        Ok(())
    }

    fn copy_place(&mut self, place: CopyPlace) -> Result<()> {
        self.places.push(place);
        Ok(())
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.rows.extend_from_slice(&rows.to_le_bytes());
        Ok(())
    }

    fn connect(&mut self, name: &[u8], line: u64) -> Result<()> {
        self.others.extend_from_slice(name);
        self.others.extend_from_slice(&line.to_le_bytes());
        Ok(())
    }
}

fn split(data: &[u8], step: usize) -> (Out, std::result::Result<(), Reason>) {
    let (mut out, mut splitter) = (Out::default(), Splitter::new(Keep::Whole));
    let fed = data.chunks(step).try_for_each(|part| splitter.feed(part, &mut out));
    let outcome = fed.and_then(|()| splitter.finish(&mut out)).map_err(support::checked);
    (out, outcome)
}

fn at(byte: u64) -> usize {
    usize::try_from(byte).expect("it is in the data")
}

/// Reads around the rows of a script that was read whole.
fn around(data: &[u8], step: usize, whole: &Out) {
    let (mut out, mut splitter, mut begin) = (Out::default(), Splitter::new(Keep::Whole), 0);
    for place in &whole.places {
        let before = &data[begin..at(place.range.start)];
        before.chunks(step).for_each(|part| splitter.feed(part, &mut out).expect("it was read before"));
        splitter.skip_copy(place).expect("the rows begin here");
        begin = at(place.end);
        assert!(data[at(place.range.end)..begin].starts_with(b"\\."));
    }
    splitter.feed(&data[begin..], &mut out).expect("it was read before");
    splitter.finish(&mut out).expect("it was read before");
    assert!(out.others == whole.others && out.rows.is_empty());
    let mut rows = whole.rows.as_slice();
    for place in &whole.places {
        let block = &data[at(place.range.start)..at(place.range.end)];
        rows = rows.strip_prefix(block).expect("they are these bytes").get(8..).expect("their number follows");
    }
    assert!(rows.is_empty());
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let (whole, step) = (data.len().max(1), usize::from(*first) + 1);
    assert_eq!(scan(data, step), scan(data, whole));
    let (out, outcome) = split(data, whole);
    assert!(split(data, step) == (out.clone(), outcome));
    if outcome.is_ok() {
        around(data, step, &out);
    }
});

//! Archives of PostgreSQL, files of pg_dump in a TAR among them: the inventory is the same however the
//! bytes are cut, with a second reading where the table of contents comes late; blocks of rows are where they
//! are said to be, read apart the same as in their place, and what stands around them needs none of them.
#![no_main]

mod support;

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::engine::Scanner;
use reinstate::runner::engine::postgres::ArchiveScanner;
use reinstate::runner::engine::postgres::archive::chunks::BlockForm;
use reinstate::runner::engine::postgres::archive::reader::{ArchiveReader, Event};
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

fn at(byte: u64) -> usize {
    usize::try_from(byte).expect("it is in the data")
}

/// Reads an archive, without the data of `passed`; gives back its blocks of rows with their places.
fn events(data: &[u8], passed: &[Range<u64>]) -> Option<Vec<(Range<u64>, Vec<u8>)>> {
    let (mut reader, mut blocks, mut rows, mut begin) = (ArchiveReader::default(), Vec::new(), Vec::new(), 0);
    let mut take = |event: Event<'_>| {
        match event {
            Event::Begin(_) => rows.clear(),
            Event::Rows(part) => rows.extend_from_slice(part.bytes),
            Event::Place(range) => blocks.push((range.clone(), rows.clone())),
            _ => {}
        }
        Ok(())
    };
    for range in passed {
        reader.feed(&data[begin..at(range.start)], &mut take).ok()?;
        reader.skip_block(range).expect("a block begins here");
        begin = at(range.end);
    }
    reader.feed(&data[begin..], &mut take).map_err(support::checked).ok()?;
    reader.finish(&mut take).map_err(support::checked).ok()?;
    Some(blocks)
}

/// How the block that begins at a byte is read.
fn form(data: &[u8], begin: u64) -> Option<BlockForm> {
    let mut reader = ArchiveReader::default();
    reader.feed(&data[..at(begin)], &mut |_| Ok(())).expect("it was read before");
    reader.block()
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    assert_eq!(scan(data, usize::from(*first) + 1), scan(data, data.len().max(1)));
    let Some(blocks) = events(data, &[]) else { return };
    for (range, rows) in &blocks {
        let Some(form) = form(data, range.start) else { continue };
        let (mut stored, mut found) = (&data[at(range.start)..at(range.end)], Vec::new());
        let count = form.read(&mut stored, &mut |part| {
            found.extend_from_slice(part.bytes);
            Ok(())
        });
        assert!(count.is_ok() && stored.is_empty() && found == *rows);
    }
    let places: Vec<Range<u64>> = blocks.into_iter().map(|(range, _)| range).collect();
    assert_eq!(events(data, &places).map(|left| left.len()), Some(0));
});

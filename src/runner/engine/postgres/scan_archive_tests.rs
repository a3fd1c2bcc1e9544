use std::io::{Cursor, Read};

use super::*;
use crate::runner::codec::BlockCodec;
use crate::runner::engine::postgres::archive::build::{Archive, Data, entry, objects, table};
use crate::runner::engine::postgres::digest::RowHasher;
use crate::runner::inventory::RowsBlock;

fn scan(bytes: &[u8], step: usize) -> Result<DumpFacts> {
    let mut scanner = Box::new(ArchiveScanner::default());
    bytes.chunks(step).try_for_each(|piece| scanner.feed(piece))?;
    scanner.finish()
}

fn sample() -> Archive {
    let mut archive = Archive::new(16, BlockCodec::Zlib);
    let named = |mut entry: Entry, name: &[u8]| {
        entry.tag = name.to_vec();
        entry
    };
    archive.add(named(entry(1, b"TABLE", b"CREATE TABLE public.none ();\n"), b"none"), None);
    archive
        .add(named(entry(2, b"TABLE", b"CREATE TABLE public.p ()\nPARTITION BY RANGE (a);\n"), b"p"), None);
    let rows = b"1\n2\n3\n\\.\n\n\n".to_vec();
    archive.add(table(3, b"copied", b"COPY public.copied (a) FROM stdin;\n"), Some(Data::Table(rows)));
    let inserts =
        b"INSERT INTO public.ins VALUES (1, 'a;b');\nINSERT INTO public.ins VALUES (2), (3);\n\n\n".to_vec();
    archive.add(table(4, b"ins", b""), Some(Data::Table(inserts)));
    archive.add(objects(5), Some(Data::Objects(vec![(1, b"x".to_vec())])));
    archive
}

#[test]
fn the_inventory_of_an_archive_is_taken_however_it_is_cut() {
    let bytes = sample().bytes();
    for step in [1, 10, 1000] {
        let facts = scan(&bytes, step).unwrap();
        let found: Vec<_> =
            facts.tables.iter().flatten().map(|table| (table.name.as_str(), table.rows)).collect();
        assert_eq!(found, [("public.copied", 3), ("public.ins", 3), ("public.none", 0)], "by {step}");
        assert_eq!(
            facts.databases.iter().map(|database| database.name.as_str()).collect::<Vec<_>>(),
            ["shop"]
        );
        assert_eq!((facts.trailer, facts.engine_version.as_deref()), (true, Some("18.4")));
    }
}

#[test]
fn rows_of_an_archive_are_added_up_under_the_name_in_their_copy_statement() {
    let mut archive = sample();
    let rows = b"4\n\\.\n\n\n".to_vec();
    archive.add(table(6, b"leaf", b"COPY public.copied (a) FROM stdin;\n"), Some(Data::Table(rows)));
    let mut hasher = RowHasher::default();
    hasher.feed(b"4\n1\n2\n3\n");
    for step in [1, 10, 1000] {
        let mut scanner = Box::new(ArchiveScanner::default());
        scanner.digest_rows();
        archive.bytes().chunks(step).for_each(|piece| scanner.feed(piece).unwrap());
        let found = scanner.finish().unwrap().digests.unwrap();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.table.as_str(), one.doubt), ("public.copied", None), "by {step}");
        assert_eq!(one.row_sum(), hasher.sum(), "by {step}");
    }
}

#[test]
fn data_that_hold_other_statements_are_refused() {
    for data in
        ["DROP TABLE t;", "COPY t FROM stdin;\n\\.\n", "\\! id\n", "INSERT INTO t VALUES (1); \\connect x\n"]
    {
        let mut archive = Archive::new(16, BlockCodec::None);
        archive.add(table(1, b"t", b""), Some(Data::Table(data.into())));
        assert_eq!(scan(&archive.bytes(), 7).unwrap_err().reason, Reason::UnsafeContent, "{data}");
    }
}

#[test]
fn tables_with_oids_are_a_warning() {
    let mut archive = Archive::new(13, BlockCodec::None);
    archive.add(Entry { with_oids: true, ..entry(1, b"TABLE", b"CREATE TABLE t ();\n") }, None);
    let facts = scan(&archive.bytes(), 100).unwrap();
    assert_eq!(facts.warnings, ["1 tables WITH OIDS, which servers since 12 do not have"]);
}

/// A dump in memory.
struct Stored(Vec<u8>);

impl DumpParts for Stored {
    fn worth_bytes(&self) -> u64 {
        0
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let at = |byte: u64| usize::try_from(byte).unwrap();
        Ok(Box::new(Cursor::new(self.0[at(range.start)..at(range.end)].to_vec())))
    }
}

/// Scans as [`scan`] does, but reads large blocks by themselves; how many bytes they had.
fn scan_leaving(bytes: &[u8], readers: usize) -> (u64, Result<DumpFacts>) {
    let mut scanner = Box::new(ArchiveScanner::default());
    let (magic, rest) = bytes.split_at(8);
    scanner.feed(magic).unwrap();
    scanner.leave(true);
    let fed = rest.chunks(100_000).try_for_each(|piece| scanner.feed(piece));
    let left = scanner.left_bytes();
    let read = fed.and_then(|()| scanner.read_left(&Stored(bytes.to_vec()), readers));
    (left, read.and_then(|()| scanner.finish()))
}

/// Rows of random letters, which are stored in little less than they take.
fn rows(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut rows = Vec::new();
    for _ in 0..count {
        let letters = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b' ' + u8::try_from(state >> 58).unwrap()
        });
        rows.extend(letters.take(1000).map(|letter| if letter == b'\\' { b'x' } else { letter }));
        rows.push(b'\n');
    }
    rows
}

/// Two large tables, and what is not left out: a small one, one of statements, and a large object.
fn large() -> Archive {
    let mut archive = sample();
    for (number, name, count) in [(6, &b"first"[..], 6_000), (7, b"second", 7_000)] {
        let data = [&rows(count)[..], b"\\.\n\n\n"].concat();
        let copy = [b"COPY public.", name, b" (a) FROM stdin;\n"].concat();
        archive.add(table(number, name, &copy), Some(Data::Table(data)));
    }
    let text = String::from_utf8(rows(6_000)).unwrap().replace('\'', "");
    let statements = format!("INSERT INTO public.said VALUES ('{text}');\n\n\n");
    archive.add(table(8, b"said", b""), Some(Data::Table(statements.into_bytes())));
    archive
}

#[test]
fn large_blocks_that_are_read_by_themselves_give_the_same_inventory() {
    let bytes = large().bytes();
    let expected = scan(&bytes, 100_000).unwrap();
    for readers in [1, 2, 5] {
        let (left, found) = scan_leaving(&bytes, readers);
        let blocks: u64 = expected.blocks.iter().map(RowsBlock::bytes).sum();
        assert_eq!((expected.blocks.len(), left), (2, blocks), "{readers} readers");
        assert_eq!(found.unwrap(), expected, "{readers} readers");
    }
}

#[test]
fn what_is_wrong_with_large_blocks_is_told_of_the_first() {
    let bytes = large().bytes();
    let blocks = scan(&bytes, 100_000).unwrap().blocks;
    let at = |byte: u64| usize::try_from(byte).unwrap();
    let changed = |places: &[u64]| {
        let mut bytes = bytes.clone();
        for place in places {
            bytes[at(*place)] ^= 0x10;
        }
        bytes
    };
    let (first, second) = (blocks[0].range.clone(), blocks[1].range.clone());
    let middle = |range: &Range<u64>| range.start + (range.end - range.start) / 2;
    for damaged in [
        changed(&[middle(&first)]),
        changed(&[middle(&second), middle(&first)]),
        // The checksum behind the rows.
        changed(&[second.end - 7]),
        bytes[..at(middle(&second))].to_vec(),
        bytes[..at(second.end)].to_vec(),
    ] {
        let told = |fault: Fault| (fault.reason, fault.message);
        let expected = scan(&damaged, 100_000).map_err(told).unwrap_err();
        for readers in [1, 3] {
            let found = scan_leaving(&damaged, readers).1.map_err(told).unwrap_err();
            assert_eq!(found, expected, "{readers} readers");
        }
    }
}

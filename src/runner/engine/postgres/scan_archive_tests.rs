use super::*;
use crate::runner::codec::BlockCodec;
use crate::runner::engine::postgres::archive::build::{Archive, Data, entry, objects, table};
use crate::runner::engine::postgres::digest::RowHasher;

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

//! What the dump reader accepts, counts and refuses.

use std::fmt::Write as _;
use std::io::{self, Read};

use proptest::prelude::*;

use super::super::read::Statements;
use super::*;

fn scan_in(pieces: usize, text: &[u8]) -> Result<DumpFacts> {
    let mut scanner = Box::new(DumpScanner::default());
    for piece in text.chunks(pieces.max(1)) {
        scanner.feed(piece)?;
    }
    scanner.finish()
}

fn scan(text: &str) -> Result<DumpFacts> {
    scan_in(usize::MAX, text.as_bytes())
}

const WHOLE: &str = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(a, b);\n\
INSERT INTO t VALUES(1,'x;y'),(2,'it''s');\nINSERT INTO \"T\" VALUES(3,replace('a\\nb','\\n',char(10)));\n\
CREATE TABLE IF NOT EXISTS \"e m\"(a);\nDELETE FROM sqlite_sequence;\nINSERT INTO sqlite_sequence VALUES('t',3);\n\
CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; UPDATE t SET a=1; END;\n\
CREATE VIEW v AS SELECT 1 -- why; not\n;\nCOMMIT;\n";

#[test]
fn rows_are_counted_per_table_and_the_end_mark_is_seen() {
    let facts = scan(WHOLE).unwrap();
    let rows: Vec<_> = facts.tables.unwrap().into_iter().map(|table| (table.name, table.rows)).collect();
    assert_eq!(rows, [("e m".into(), 0), ("t".into(), 3)]);
    assert!(facts.trailer);
    assert!(facts.largest_statement > 90, "{}", facts.largest_statement);
}

#[test]
fn every_cut_of_a_dump_is_seen_as_a_cut() {
    for end in 0..WHOLE.len() - 1 {
        let reason = match scan_in(7, &WHOLE.as_bytes()[..end]) {
            Ok(facts) => {
                assert!(!facts.trailer, "cut at {end}");
                assert!(end < 45, "cut at {end} passes without an end mark");
                continue;
            }
            Err(fault) => fault.reason,
        };
        assert_eq!(reason, Reason::Truncated, "cut at {end}");
    }
}

#[test]
fn hostile_and_broken_dumps_end_with_their_reason_and_line() {
    for (text, reason, line) in [
        ("BEGIN TRANSACTION;\n.shell touch /tmp/x\n;", Reason::UnsafeContent, 2),
        ("ATTACH '/tmp/x' AS y;", Reason::UnsafeContent, 1),
        ("\n\nDETACH x;", Reason::UnsafeContent, 3),
        ("SELECT load_extension('x');", Reason::UnsafeContent, 1),
        ("VACUUM INTO '/tmp/x';", Reason::UnsafeContent, 1),
        ("PRAGMA journal_mode=WAL;", Reason::UnsafeContent, 1),
        ("PRAGMA temp_store_directory='/tmp';", Reason::UnsafeContent, 1),
        ("CREATE TABLE t(a);\nINSERT INTO t SELECT 1;", Reason::UnsafeContent, 2),
        ("INSERT INTO t VALUES(readfile('x'));", Reason::UnsafeContent, 1),
        ("INSERT INTO main.t VALUES(1);", Reason::UnsafeContent, 1),
        ("CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END;", Reason::UnsafeContent, 1),
        ("BEGIN;\nCOMMIT;\nCREATE TABLE t(a);", Reason::UnsafeContent, 3),
        ("BEGIN;\nCOMMIT;\nINSERT INTO t VALUES(1);", Reason::UnsafeContent, 3),
        ("BEGIN;\nBEGIN;", Reason::UnsafeContent, 2),
        (
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END;\nINSERT INTO t VALUES(1);",
            Reason::UnsafeContent,
            2,
        ),
        ("BEGIN TRANSACTION;\nROLLBACK; -- due to errors\n", Reason::IncompleteDump, 2),
        ("BEGIN;\nINSERT INTO t VALUES('a\0b');", Reason::CorruptBackup, 2),
        ("\0", Reason::CorruptBackup, 1),
        ("/* x\n*/ -- y\n  EXPLAIN SELECT 1;", Reason::UnsafeContent, 3),
    ] {
        for pieces in [1, 3, usize::MAX] {
            let fault = scan_in(pieces, text.as_bytes()).unwrap_err();
            assert_eq!(fault.reason, reason, "{text}: {fault}");
            assert!(fault.message.contains(&format!("line {line} ")), "{text}: {fault}");
        }
    }
}

#[test]
fn a_name_of_endless_length_is_refused_in_bounded_memory() {
    let mut scanner = DumpScanner::default();
    scanner.feed(b"CREATE TABLE \"").unwrap();
    for _ in 0..64 {
        scanner.feed(&vec![b'x'; 64 * 1024]).unwrap();
    }
    let fault = scanner.feed(b"\" (a);").unwrap_err();
    assert_eq!(fault.reason, Reason::LimitExceeded, "{fault}");
}

#[test]
fn too_many_tables_are_refused() {
    let mut scanner = DumpScanner::default();
    let name = "x".repeat(4000);
    let fault = (0..10_000)
        .find_map(|number| scanner.feed(format!("CREATE TABLE {name}{number}(a);").as_bytes()).err())
        .unwrap();
    assert_eq!(fault.reason, Reason::LimitExceeded, "{fault}");
}

#[test]
fn a_byte_order_mark_at_the_start_is_allowed() {
    assert!(scan(&format!("\u{feff}{WHOLE}")).unwrap().trailer);
    assert_eq!(scan("BEGIN;\u{feff}COMMIT;").unwrap_err().reason, Reason::UnsafeContent);
}

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::sample::select(vec![
        "INSERT INTO t VALUES(",
        "1",
        ",",
        ")",
        ";",
        "'",
        "''",
        "\"",
        "x'00'",
        "CREATE TABLE t(a)",
        "--",
        "\n",
        "/*",
        "*/",
        "BEGIN",
        "COMMIT",
        "END",
        "CREATE TRIGGER t",
        "NULL",
        "replace(",
        "\0",
        "\u{e9}",
        "sqlite_schema",
        "[",
        "]",
    ]);
    prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_answer_however_they_are_cut(
        text in prop_oneof![fragments(), prop::collection::vec(any::<u8>(), 0..200)],
        pieces in 1_usize..9,
    ) {
        let show = |result: Result<DumpFacts>| result.map_err(|fault| (fault.reason, fault.message));
        prop_assert_eq!(show(scan_in(pieces, &text)), show(scan_in(usize::MAX, &text)));
    }

    #[test]
    fn statements_hand_out_exactly_what_was_scanned(cut in 1_usize..40, rows in 0_usize..50) {
        let mut text = String::from("BEGIN TRANSACTION;\nCREATE TABLE t(a);\n");
        for row in 0..rows {
            writeln!(text, "INSERT INTO t VALUES({row},'a;''{row}\n');").unwrap();
        }
        text.push_str("COMMIT;\n");
        let mut reader = Trickle(text.as_bytes(), cut);
        let mut statements = Statements::new(&mut reader);
        let mut seen = Vec::new();
        while statements.advance().unwrap().is_some() {
            seen.extend_from_slice(statements.text());
            seen.push(b'\n');
        }
        prop_assert_eq!(String::from_utf8(seen).unwrap(), text);
    }
}

struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(target.len()).min(self.0.len());
        target[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn comments_between_statements_are_neither_counted_nor_kept() {
    let comment = "x".repeat(3 * 1024 * 1024);
    let text = format!("-- {comment}\n /* {comment} */ CREATE TABLE t(a /* in */); -- {comment}\n/**/;");
    for pieces in [1000, usize::MAX] {
        let facts = scan_in(pieces, text.as_bytes()).unwrap();
        assert_eq!(facts.largest_statement, 27, "in pieces of {pieces}");
    }
    let mut input = text.as_bytes();
    let mut statements = Statements::new(&mut input);
    for expected in ["CREATE TABLE t(a /* in */);", ";"] {
        let found = statements.advance().unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(statements.text()), expected);
        assert_eq!(found.bytes, expected.len() as u64, "{expected}");
    }
    assert!(statements.advance().unwrap().is_none());
}

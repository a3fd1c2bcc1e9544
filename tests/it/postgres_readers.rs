//! The readers of PostgreSQL's dumps against what real servers and clients wrote (tests/fixtures), and
//! against what `pg_restore -l` says of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reinstate::runner::engine::postgres::archive::entry::Entry;
use reinstate::runner::engine::postgres::archive::reader::{Event, read_archive, read_archive_with};
use reinstate::runner::engine::postgres::copy::Rows;
use reinstate::runner::engine::postgres::script::{Keep, Script, Statement, read_script};
use reinstate::runner::engine::{self, Scanner};
use reinstate::runner::fault::Result;
use reinstate::runner::inventory::{DumpFacts, DumpFormat};
use reinstate::runner::read::Options;
use reinstate::runner::tar::is_tar;

use crate::support::{PROFILE_A, PROFILE_B, examine_file, fixtures, ring};

fn dump(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    fixtures().join("postgres")
}

/// Takes the inventory, twice where the contents of an archive come late.
fn scan(bytes: &[u8], step: usize) -> DumpFacts {
    let is_archive = bytes.starts_with(b"PGDMP") || is_tar(bytes);
    let format = if is_archive { DumpFormat::PostgresArchive } else { DumpFormat::PostgresPlain };
    let all = |mut scanner: Box<dyn Scanner>| {
        bytes.chunks(step).for_each(|piece| scanner.feed(piece).unwrap());
        scanner.finish().unwrap()
    };
    let facts = all(engine::scanner(format).unwrap());
    match facts.late_contents.clone() {
        Some(contents) => all(engine::scanner_again(format, contents).unwrap()),
        None => facts,
    }
}

fn rows(facts: &DumpFacts) -> Vec<(String, u64)> {
    facts.tables.iter().flatten().map(|table| (table.name.clone(), table.rows)).collect()
}

/// The tables of schema.sql with their rows.
const TABLES: [(&str, u64); 8] = [
    ("Odd schema; 'x'.tab\"le\nline", 2),
    ("cjk.表", 3),
    ("public.no_columns", 2),
    ("public.notes", 10),
    ("public.part_a", 10),
    ("public.part_b", 10),
    ("public.plain", 306),
    ("public.unlogged", 0),
];

fn expected() -> Vec<(String, u64)> {
    TABLES.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect()
}

#[test]
fn every_form_of_dump_of_one_database_has_the_same_tables_and_rows() {
    for (name, version) in [
        ("15.sql", "15."),
        ("15-inserts.sql", "15."),
        ("15.dump", "15."),
        ("15-z0.dump", "15."),
        ("15-pipe.dump", "15."),
        ("15-inserts.dump", "15."),
        ("15-root.dump", "15."),
        ("16.sql", "16."),
        ("16.dump", "16."),
        ("18.sql", "18."),
        ("18.dump", "18."),
        ("15.tar", "15."),
        ("18.tar", "18."),
        ("18-inserts.tar", "18."),
        ("15-dir-none.tar", "15."),
        ("16-dir.tar", "16."),
        ("18-dir.tar", "18."),
        ("17-lz4.dump", "17."),
        ("17-zstd.dump", "17."),
        ("17-dir-lz4.tar", "17."),
        ("17-dir-zstd.tar", "17."),
    ] {
        let bytes = dump(name);
        for step in [61, 4096, bytes.len()] {
            let facts = scan(&bytes, step);
            assert_eq!(rows(&facts), expected(), "{name} by {step}");
            assert!(facts.trailer, "{name}");
            assert!(facts.engine_version.as_ref().unwrap().starts_with(version), "{name}");
            assert_eq!(facts.warnings, Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn databases_of_a_cluster_are_told_apart() {
    let facts = scan(&dump("15-all.sql"), 1000);
    let databases: BTreeMap<_, _> =
        facts.databases.iter().map(|database| (database.name.as_str(), database.tables.len())).collect();
    let named = [("My-db \"x\" 'y'", 1), ("odd", 8), ("postgres", 0), ("template1", 0)];
    assert_eq!(databases, BTreeMap::from(named));
    assert!(facts.trailer);
    assert_eq!(facts.tables.unwrap().iter().map(|table| table.rows).sum::<u64>(), 343 + 7);
    let created = scan(&dump("15-create.sql"), 1000);
    assert_eq!(rows(&created), [("public.t".to_owned(), 7)]);
    assert_eq!(created.databases[0].name, "My-db \"x\" 'y'");
}

#[test]
fn backslashes_within_characters_end_no_string() {
    for encoding in ["SJIS", "BIG5", "GBK", "UHC", "GB18030"] {
        let bytes = dump(&format!("15-{encoding}.sql"));
        assert!(bytes.contains(&0x5c), "{encoding}");
        for step in 1..100 {
            let facts = scan(&bytes, step);
            let found: Vec<u64> = facts.tables.iter().flatten().map(|table| table.rows).collect();
            assert_eq!((found, facts.trailer), (vec![3], true), "{encoding} by {step}");
        }
    }
}

#[test]
fn contents_are_what_pg_restore_lists() {
    for version in ["15", "16", "18"] {
        let mut listed = String::new();
        let line = |text: &[u8]| String::from_utf8_lossy(text).replace(['\n', '\r'], " ");
        read_archive(&mut &dump(&format!("{version}.dump"))[..], &mut |event| {
            if let Event::Contents(_, entries) = event {
                for entry in entries {
                    let special: [&[u8]; 4] = [b"ENCODING", b"STDSTRINGS", b"SEARCHPATH", b"DATABASE"];
                    // pg_restore lists what it would restore into an existing database.
                    if special.contains(&entry.desc.as_slice()) {
                        continue;
                    }
                    let namespace =
                        if entry.namespace.is_empty() { "-".into() } else { line(&entry.namespace) };
                    listed.push_str(&format!(
                        "{}; {} {} {} {namespace} {} {}\n",
                        entry.dump_id,
                        entry.catalog_oid,
                        entry.oid,
                        line(&entry.desc),
                        line(&entry.tag),
                        line(&entry.owner)
                    ));
                }
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(listed, String::from_utf8(dump(&format!("{version}.list"))).unwrap());
    }
}

#[test]
fn large_objects_come_whole_and_with_their_numbers() {
    let mut expected = BTreeMap::new();
    expected.insert(900_001_u32, b"\x00\xff\x5c\x2e".repeat(3000));
    expected.insert(900_002, Vec::new());
    expected.insert(4_000_000_001, b"big oid".to_vec());
    for name in [
        "15.dump",
        "15-z0.dump",
        "16.dump",
        "18.dump",
        "15.tar",
        "18.tar",
        "15-dir-none.tar",
        "16-dir.tar",
        "18-dir.tar",
        "17-lz4.dump",
        "17-dir-lz4.tar",
        "17-dir-zstd.tar",
    ] {
        let (mut found, mut made) = (BTreeMap::<u32, Vec<u8>>::new(), Vec::new());
        let mut current = 0;
        let bytes = dump(name);
        let contents = scan(&bytes, 1 << 20).late_contents;
        assert_eq!(contents.is_some(), name.contains("dir") && name != "18-dir.tar", "{name}");
        read_archive_with(contents, &mut &bytes[..], &mut |event| {
            match event {
                Event::Contents(_, entries) => {
                    made = entries.iter().filter_map(Entry::large_objects).flatten().collect();
                }
                Event::Object(oid) => {
                    current = oid;
                    found.insert(oid, Vec::new());
                }
                Event::ObjectBytes(bytes) => found.get_mut(&current).unwrap().extend_from_slice(bytes),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(found, expected, "{name}");
        made.sort_unstable();
        assert_eq!(made, expected.keys().copied().collect::<Vec<_>>(), "{name}");
    }
}

/// First words of statements, by how often they occur.
#[derive(Default)]
struct Kinds(BTreeMap<String, u64>);

impl Script for Kinds {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        let text = String::from_utf8_lossy(statement.text).into_owned();
        assert!(text.ends_with(';') && !statement.cut, "{text}");
        let words: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
        *self.0.entry(words.join(" ")).or_default() += 1;
        Ok(())
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        assert!(statement.text.starts_with(b"COPY "));
        *self.0.entry("COPY".to_owned()).or_default() += 1;
        Ok(())
    }

    fn copy_rows(&mut self, _: Rows<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }
}

#[test]
fn statements_of_a_real_dump_are_of_the_kinds_that_were_dumped() {
    for name in ["15.sql", "16.sql", "18.sql"] {
        let mut kinds = Kinds::default();
        read_script(&mut &dump(name)[..], Keep::Whole, &mut kinds).unwrap();
        for (kind, count) in [
            ("CREATE FUNCTION", 3),
            ("CREATE PROCEDURE", 1),
            ("CREATE RULE", 1),
            ("CREATE OPERATOR", 1),
            ("CREATE VIEW", 1),
            ("CREATE TABLE", 8),
            ("CREATE UNLOGGED", 1),
            ("COPY", 8),
            ("REFRESH MATERIALIZED", 1),
            ("COMMENT ON", 3),
        ] {
            assert_eq!(kinds.0.get(kind), Some(&count), "{kind} of {name}: {:?}", kinds.0);
        }
        let known = ["SET", "SELECT", "CREATE", "ALTER", "COPY", "COMMENT", "REFRESH", "BEGIN;", "COMMIT;"];
        for kind in kinds.0.keys() {
            let first = kind.split(' ').next().unwrap();
            assert!(known.contains(&first), "{kind} of {name}");
        }
    }
}

#[test]
fn every_postgresql_backup_of_dbackup_shows_its_tables_and_rows() {
    let folder = fixtures().join("dbackup");
    let all: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let mut seen = 0;
    for case in all.iter().filter(|case| case["sourceType"] == "postgres") {
        let file = case["file"].as_str().unwrap();
        let keys = ring(&[PROFILE_A, PROFILE_B], true);
        let examined = examine_file(&folder, file, &keys, &Options::default()).unwrap();
        for database in &examined.databases {
            let name = database.name.as_deref().unwrap();
            assert_eq!(rows(&database.facts), tables_of(name), "{name} of {file}");
            assert_eq!(database.facts.databases[0].name, name, "{file}");
            assert_eq!(database.facts.engine_version.as_deref(), Some("15.18"), "{file}");
            assert!(database.facts.trailer, "{file}");
            seen += 1;
        }
    }
    assert_eq!(seen, 25);
}

/// What DBackup's sources held, as `pg_restore` 18 writes it.
fn tables_of(database: &str) -> Vec<(String, u64)> {
    let (items, notes) = if database == "harbour_main" { (260, 86) } else { (40, 13) };
    let all = [("public.audit", 0), ("store.item", items), ("store.note", notes)];
    all.map(|(name, rows)| (name.to_owned(), rows)).to_vec()
}

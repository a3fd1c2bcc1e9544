//! `.dump` text: what the `sqlite3` program writes comes back as it was; what it never writes, never.

use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use reinstate::reason::Reason;
use reinstate::runner::inventory::DumpFormat;
use rusqlite::Connection;

use super::harness::{Backup, Bench, content, fixture, make, value};

fn restored(text: &str) -> (Bench, Backup) {
    let (bench, backup) = (Bench::new(), Backup::dump(text));
    bench.restore(&backup).unwrap();
    (bench, backup)
}

#[test]
fn every_feature_of_a_schema_comes_back_from_each_kind_of_dump() {
    let mut all = Vec::new();
    for name in ["features.sql", "features-vacuumed.sql", "features-rowids.sql"] {
        let text = String::from_utf8(fixture(&format!("sqlite/{name}"))).unwrap();
        let (bench, backup) = restored(&text);
        let target = bench.target();
        assert_eq!(value::<i64>(&target, "SELECT count(*) FROM plain"), 4, "{name}");
        assert_eq!(value::<String>(&target, "SELECT b FROM plain WHERE a=1"), "it's\ntwo\nlines\r", "{name}");
        assert!(value::<f64>(&target, "SELECT d FROM plain WHERE a=2").is_infinite(), "{name}");
        assert_eq!(value::<i64>(&target, "SELECT e FROM plain WHERE a=2"), i64::MIN, "{name}");
        assert_eq!(value::<i64>(&target, "SELECT seq FROM sqlite_sequence WHERE name='plain'"), 4, "{name}");
        assert_eq!(value::<i64>(&target, "SELECT b FROM generated WHERE a=5"), 10, "{name}");
        assert_eq!(value::<i64>(&target, "SELECT count(*) FROM v"), 4, "{name}");
        assert_eq!(
            value::<String>(&target, "SELECT title FROM notes WHERE notes MATCH 'fox'"),
            "hello world",
            "{name}"
        );
        assert_eq!(
            value::<String>(&target, "SELECT body FROM old_notes WHERE old_notes MATCH 'run'"),
            "running dogs"
        );
        assert_eq!(value::<i64>(&target, "SELECT id FROM areas WHERE x0 > 5"), 2, "{name}");
        let connection = Connection::open(&target).unwrap();
        connection.execute_batch("PRAGMA foreign_keys=OFF").unwrap();
        for check in [
            "INSERT INTO notes(notes) VALUES('integrity-check')",
            "INSERT INTO old_notes(old_notes) VALUES('integrity-check')",
            "INSERT INTO plain(b) VALUES('fires the trigger')",
            "INSERT INTO notes VALUES('third','still writable')",
            "INSERT INTO areas VALUES(3,1,2,3,4)",
        ] {
            connection.execute(check, []).unwrap_or_else(|error| panic!("{name}: {check}: {error}"));
        }
        assert_eq!(value::<String>(&target, "SELECT rtreecheck('areas')"), "ok", "{name}");
        assert!(
            backup.entry.facts.trailer && backup.entry.facts.tables.as_ref().unwrap().len() > 15,
            "{name}"
        );
        drop(connection);
        all.push(content(&target));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn the_dump_of_python_comes_back_too() {
    let (bench, _) = restored(&String::from_utf8(fixture("sqlite/python-iterdump.sql")).unwrap());
    assert_eq!(value::<String>(&bench.target(), "SELECT b FROM t WHERE a=1"), "x'y\nz");
    assert_eq!(value::<Vec<u8>>(&bench.target(), "SELECT b FROM t WHERE a=2"), [0, 255]);
}

/// What the `sqlite3` program says; `None` where it is not installed.
fn program(path: &Path, command: &str) -> Option<Vec<u8>> {
    let output = Command::new("sqlite3").arg(path).arg(command).stderr(Stdio::inherit()).output().ok()?;
    assert!(output.status.success(), "{command}");
    Some(output.stdout)
}

#[test]
fn a_round_trip_through_the_sqlite3_program_changes_nothing() {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("source.db");
    make(
        &path,
        "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b, c BLOB, d REAL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)
         INSERT INTO t(b,c,d) SELECT CASE i%5 WHEN 0 THEN NULL WHEN 1 THEN 'line' || char(10) || i WHEN 2 THEN i*i
           ELSE 'it''s ünï ' || hex(randomblob(20)) END, randomblob(i%50), (random()/9223372036854775808.0)*i FROM n;
         INSERT INTO t(b) VALUES(replace(hex(zeroblob(200000)),'0','long;''text '));
         CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         INSERT INTO w SELECT 'k' || a, b FROM t WHERE a<300;
         CREATE INDEX i ON t(d) WHERE d > 0; CREATE VIEW v AS SELECT k FROM w;
         CREATE TRIGGER r AFTER DELETE ON t BEGIN DELETE FROM w WHERE v=old.b; END;",
    );
    let Some(dump) = program(&path, ".dump") else {
        println!("skipped: the sqlite3 program is not installed");
        return;
    };
    let bench = Bench::new();
    bench.restore(&Backup::new(DumpFormat::SQLiteDump, dump.clone()).unwrap()).unwrap();
    assert!(program(&bench.target(), ".dump").unwrap() == dump, "the dump of the restored database differs");
    assert_eq!(program(&bench.target(), ".sha3sum"), program(&path, ".sha3sum"));
    assert_eq!(content(&bench.target()), content(&path));
}

#[test]
fn statistics_of_other_versions_are_left_out_and_told() {
    let text = "BEGIN;\nCREATE TABLE t(a);\nANALYZE sqlite_schema;\nINSERT INTO sqlite_stat1 VALUES('t',NULL,'9');\n\
                INSERT INTO sqlite_stat3 VALUES('t','i',1,2,3,4);\nCOMMIT;\n";
    let bench = Bench::new();
    let checks = bench.restore(&Backup::dump(text)).unwrap().verified.checks;
    assert_eq!(checks.iter().filter(|check| check.contains("sqlite_stat3")).count(), 1, "{checks:?}");
    assert_eq!(value::<String>(&bench.target(), "SELECT stat FROM sqlite_stat1"), "9");
}

#[test]
fn text_that_is_not_utf_8_comes_back_byte_by_byte() {
    let bytes =
        b"BEGIN TRANSACTION;\nCREATE TABLE t(a);\nINSERT INTO t VALUES('caf\xe9');\nCOMMIT;\n".to_vec();
    let bench = Bench::new();
    bench.restore(&Backup::new(DumpFormat::SQLiteDump, bytes).unwrap()).unwrap();
    assert_eq!(value::<String>(&bench.target(), "SELECT hex(CAST(a AS BLOB)) FROM t"), "636166E9");
    let bytes = b"BEGIN TRANSACTION;\nCREATE TABLE t(a DEFAULT 'caf\xe9');\nCOMMIT;\n".to_vec();
    let fault = Bench::new().restore(&Backup::new(DumpFormat::SQLiteDump, bytes).unwrap()).unwrap_err();
    assert_eq!(fault.reason, Reason::UnsupportedFormat, "{fault}");
    assert!(fault.message.contains("line 2"), "{fault}");
}

#[test]
fn a_dump_of_nothing_gives_an_empty_database() {
    let (bench, _) = restored("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCOMMIT;\n");
    assert_eq!(value::<i64>(&bench.target(), "SELECT count(*) FROM sqlite_schema"), 0);
    // It is a database file and counts as an empty target.
    let survey = bench.restore(&Backup::dump("BEGIN;\nCREATE TABLE t(a);\nCOMMIT;\n")).unwrap().survey;
    assert_eq!(survey.holds, None);
}

#[test]
fn a_statement_that_sqlite_refuses_ends_the_run_with_its_line_and_leaves_the_target() {
    for (text, line, words) in [
        (
            "BEGIN;\nCREATE TABLE t(a UNIQUE);\nINSERT INTO t VALUES(1);\nINSERT INTO t VALUES(1);\nCOMMIT;",
            4,
            "UNIQUE",
        ),
        ("BEGIN;\nINSERT INTO missing VALUES(1);\nCOMMIT;", 2, "no such table"),
        ("BEGIN;\nCREATE TABLE t(a);\nINSERT INTO t VALUES(1,2);\nCOMMIT;", 3, "1 column"),
        ("BEGIN;\nCREATE TABLE t(a nonsense nonsense (;\nCOMMIT;", 2, "syntax error"),
        ("BEGIN;\nCREATE TABLE t(a);\nCREATE INDEX i ON t(nowhere());\nCOMMIT;", 3, "no such function"),
    ] {
        let bench = Bench::new().existing("CREATE TABLE old(a)");
        let before = std::fs::read(bench.target()).unwrap();
        let fault = bench.restore(&Backup::dump(text)).unwrap_err();
        assert!(fault.full_message().contains(&format!("line {line} ")), "{}", fault.full_message());
        assert!(fault.full_message().contains(words), "{}", fault.full_message());
        assert_eq!(std::fs::read(bench.target()).unwrap(), before);
        assert_eq!(bench.files(), ["app.db"]);
    }
}

#[test]
fn a_dump_that_would_fill_the_volume_is_stopped_at_its_limit() {
    let rows = "INSERT INTO t(a) VALUES(1);\n".repeat(40);
    let text = format!(
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n\
         CREATE TABLE t(a, b DEFAULT (zeroblob(5000000)));\n{rows}COMMIT;\n"
    );
    let bench = Bench::new();
    let backup = Backup::new(DumpFormat::SQLiteDump, text.into()).unwrap();
    assert_eq!(bench.restore(&backup).unwrap_err().reason, Reason::LimitExceeded);
}

#[test]
fn a_hostile_dump_leaves_no_trace() {
    let canary = tempfile::tempdir().unwrap();
    let file = canary.path().join("canary");
    let file = file.display();
    for statement in [
        format!(".shell touch {file}"),
        format!(".output {file}"),
        format!("ATTACH '{file}' AS x;CREATE TABLE x.t(a);"),
        format!("VACUUM INTO '{file}';"),
        format!("INSERT INTO t VALUES(writefile('{file}','x'));"),
        format!("SELECT load_extension('{file}');"),
        format!("CREATE TABLE u(a CHECK(load_extension('{file}')));"),
        format!("CREATE TABLE u(b, a AS (load_extension('{file}')));"),
        format!("PRAGMA temp_store_directory='{file}';"),
        "PRAGMA journal_mode=WAL;".into(),
        "PRAGMA writable_schema=ON;INSERT INTO sqlite_schema VALUES('table','x','x',2,'CREATE TABLE x(a)');"
            .into(),
        "UPDATE sqlite_schema SET sql='x';".into(),
        "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','v','v',0,\
         'CREATE VIRTUAL TABLE v USING csv(filename=''/etc/passwd'')');"
            .into(),
        "CREATE VIRTUAL TABLE v USING dbstat;".into(),
        "CREATE TEMP TABLE x(a);".into(),
        "DROP TABLE t;".into(),
    ] {
        let text = format!("BEGIN TRANSACTION;\nCREATE TABLE t(a);\n{statement}\nCOMMIT;\n");
        let bench = Bench::new();
        let reason = match Backup::new(DumpFormat::SQLiteDump, text.into()) {
            Err(fault) => fault.reason,
            Ok(backup) => bench.restore(&backup).unwrap_err().reason,
        };
        assert_eq!(reason, Reason::UnsafeContent, "{statement}");
        assert_eq!(bench.files(), Vec::<String>::new(), "{statement}");
    }
    assert_eq!(std::fs::read_dir(canary.path()).unwrap().count(), 0);
}

#[test]
fn hostile_virtual_tables_end_with_an_error() {
    let declare = |sql: &str| {
        format!(
            "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','f','f',0,'{sql}');\n"
        )
    };
    for body in [
        declare("CREATE VIRTUAL TABLE f USING fts5(x)") + "INSERT INTO f_data VALUES(1,2,3,4);\n",
        declare("CREATE VIRTUAL TABLE f USING fts5(x, nonsense=1)"),
        "CREATE TABLE 'f_data'(a,b,c,d,e);\nINSERT INTO f_data VALUES(1,2,3,4,5);\n".to_owned()
            + &declare("CREATE VIRTUAL TABLE f USING fts5(x)"),
        declare("CREATE VIRTUAL TABLE f USING fts5(x)") + &declare("CREATE VIRTUAL TABLE f USING fts5(x)"),
        declare("CREATE VIRTUAL TABLE f USING fts5(x)") + "INSERT INTO f_data VALUES(1,X'ffffffff');\n",
    ] {
        let text = format!("BEGIN TRANSACTION;\n{body}COMMIT;\n");
        let bench = Bench::new();
        let fault = bench.restore(&Backup::dump(&text)).unwrap_err();
        let expected = [Reason::RestoreFailed, Reason::CorruptBackup];
        assert!(expected.contains(&fault.reason), "{body}: {}", fault.full_message());
        assert_eq!(bench.files(), Vec::<String>::new());
    }
}

#[test]
fn a_dump_that_changes_between_the_passes_is_not_restored() {
    let mut backup = Backup::dump("BEGIN;\nCREATE TABLE t(a);\nINSERT INTO t VALUES(1);\nCOMMIT;\n");
    backup.bytes = b"BEGIN;\nCREATE TABLE t(a);\nINSERT INTO t VALUES(1),(2);\nCOMMIT;\n".to_vec();
    assert_eq!(Bench::new().restore(&backup).unwrap_err().reason, Reason::VerificationFailed);
    backup.bytes.truncate(40);
    assert_eq!(Bench::new().restore(&backup).unwrap_err().reason, Reason::Truncated);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_makes_the_engine_panic_or_hang(at in 0_usize..8505, bit in 0_u8..8) {
        let mut bytes = fixture("sqlite/features.sql");
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(backup) = Backup::new(DumpFormat::SQLiteDump, bytes) {
            let bench = Bench::new();
            let result = bench.restore(&backup);
            let expected: &[&str] = if result.is_ok() { &["app.db"] } else { &[] };
            prop_assert_eq!(bench.files(), expected);
        }
    }
}

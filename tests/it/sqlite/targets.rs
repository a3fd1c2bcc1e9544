//! Targets of every kind: absent, empty, full, damaged, locked, left unfinished.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::parts::only;
use reinstate::reason::Reason;
use reinstate::runner::engine::sqlite::{LeftoverKind, ReplaceBy, leftovers};
use reinstate::runner::engine::{Action, Engine};
use reinstate::runner::journal::Touched;
use rusqlite::Connection;

use super::harness::{Backup, Bench, content, fixture, make, restore, value};

const OLD: &str = "CREATE TABLE old(a); INSERT INTO old VALUES(1),(2),(3);";
const NEW: &str = "CREATE TABLE new(a); INSERT INTO new VALUES(10),(20);";
const KEPT: &str = "app.db.reinstate-previous-2026-11-23T01:00:00Z";

#[test]
fn a_real_backup_of_dbackup_is_restored_to_an_absent_target_byte_by_byte() {
    let bytes = fixture("dbackup/sqlite-none-plain/sqlite_none_plain_2026-11-23_01-13-52.db");
    let (bench, backup) = (Bench::new(), Backup::file(bytes.clone()));
    assert_eq!(backup.entry.facts.engine_version.as_deref(), Some("3.40.1"));
    let outcome = bench.restore(&backup).unwrap();
    assert_eq!(outcome.survey.action, Action::Create);
    assert_eq!(outcome.previous, None);
    let mut rows: Vec<_> =
        outcome.verified.tables.iter().map(|table| (table.name.as_str(), table.rows)).collect();
    rows.retain(|(name, _)| ["item", "note"].contains(name));
    assert_eq!(rows, [("item", 260), ("note", 65)]);
    assert_eq!(fs::read(bench.target()).unwrap(), bytes);
    assert_eq!(bench.files(), ["app.db"]);
    assert_eq!(bench.context.journal.touched(), Touched::No);
    assert_eq!(fs::metadata(bench.target()).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn an_existing_database_is_replaced_in_place_and_kept_in_every_mode() {
    for (mode, keep, dump) in [
        ("DELETE", true, false),
        ("WAL", true, false),
        ("TRUNCATE", true, true),
        ("PERSIST", false, true),
        ("WAL", false, true),
    ] {
        let mut bench = Bench::new().existing(&format!("PRAGMA journal_mode={mode}; {OLD}"));
        if !keep {
            bench.settings.keep_previous = None;
        }
        fs::set_permissions(bench.target(), fs::Permissions::from_mode(0o604)).unwrap();
        let before = fs::metadata(bench.target()).unwrap();
        let old_content = content(&bench.target());
        let backup = if dump { Backup::dump(&dump_of_new()) } else { Backup::of(NEW) };
        let outcome = bench.restore(&backup).unwrap();
        assert_eq!(outcome.survey.action, Action::Swap, "{mode}");
        let holds = outcome.survey.holds.unwrap();
        assert_eq!((holds.tables, holds.rows_estimate), (Some(1), Some(3)), "{mode}");
        let after = fs::metadata(bench.target()).unwrap();
        assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()), "{mode}");
        assert_eq!(value::<i64>(&bench.target(), "SELECT sum(a) FROM new"), 30, "{mode}");
        assert_eq!(bench.context.journal.touched(), Touched::Yes);
        if keep {
            let kept = bench.folder.path().join(KEPT);
            assert_eq!(outcome.previous.unwrap().name, kept.canonicalize().unwrap().display().to_string());
            assert_eq!(content(&kept), old_content, "{mode}");
            assert_eq!(fs::metadata(&kept).unwrap().mode(), before.mode(), "{mode}");
        } else {
            assert_eq!(outcome.previous, None);
            assert!(!bench.folder.path().join(KEPT).exists());
        }
        assert!(!bench.files().iter().any(|name| name.contains("shadow") || name.contains("lock")), "{mode}");
    }
}

fn dump_of_new() -> String {
    "BEGIN;\nCREATE TABLE new(a);\nINSERT INTO new VALUES(10);\nINSERT INTO new VALUES(20);\nCOMMIT;\n".into()
}

#[test]
fn an_idle_application_sees_the_new_database_with_pages_of_another_size() {
    let bench = Bench::new().existing(&format!("PRAGMA page_size=1024; {OLD}"));
    for page_size in [65536, 512, 4096] {
        bench.restore(&Backup::of(&format!("PRAGMA page_size={page_size}; {NEW}"))).unwrap();
        assert_eq!(value::<i64>(&bench.target(), "PRAGMA page_size"), page_size);
        assert_eq!(value::<i64>(&bench.target(), "SELECT sum(a) FROM new"), 30);
        fs::remove_file(bench.folder.path().join(KEPT)).unwrap();
    }
}

#[test]
fn a_wal_database_with_pages_of_another_size_is_refused_before_the_load_with_the_ways_out() {
    let bench = Bench::new().existing(&format!("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; {OLD}"));
    let mut engine = bench.engine();
    engine.survey().unwrap();
    let fault = engine.preflight(only(&Backup::of(NEW).entry)).unwrap_err();
    assert_eq!(fault.reason, Reason::SwapNotPossible);
    assert!(fault.message.contains("journal_mode=DELETE"), "{fault}");
    drop(engine);
    // Dump text takes the page size of the target.
    bench.restore(&Backup::dump(&dump_of_new())).unwrap();
    assert_eq!(value::<i64>(&bench.target(), "PRAGMA page_size"), 1024);
}

#[test]
fn empty_targets_need_no_confirmation_and_are_not_kept() {
    for sql in
        ["", "CREATE TABLE t(a); DROP TABLE t;", "PRAGMA journal_mode=WAL; CREATE TABLE t(a); DROP TABLE t;"]
    {
        let bench = Bench::new().existing(sql);
        let outcome = bench.restore(&Backup::of(NEW)).unwrap();
        assert_eq!((outcome.survey.holds, outcome.survey.action), (None, Action::Create), "{sql:?}");
        assert_eq!(outcome.previous, None, "{sql:?}");
        assert_eq!(value::<i64>(&bench.target(), "SELECT sum(a) FROM new"), 30, "{sql:?}");
    }
}

#[test]
fn targets_that_change_after_the_survey_are_left_alone() {
    type Change = fn(&Bench);
    let cases: [(&str, Option<&str>, Change); 5] = [
        ("appeared", None, |bench| make(&bench.target(), OLD)),
        ("filled", Some(""), |bench| make(&bench.target(), OLD)),
        ("filled in WAL mode", Some("PRAGMA journal_mode=WAL; CREATE TABLE t(a); DROP TABLE t;"), |bench| {
            make(&bench.target(), OLD);
        }),
        ("gone", Some(OLD), |bench| fs::remove_file(bench.target()).unwrap()),
        ("another file", Some(OLD), |bench| {
            fs::rename(bench.target(), bench.folder.path().join("moved")).unwrap();
            make(&bench.target(), OLD);
        }),
    ];
    for (name, existing, change) in cases {
        let mut bench = Bench::new();
        if let Some(sql) = existing {
            bench = bench.existing(sql);
        }
        let backup = Backup::of(NEW);
        let mut engine = bench.engine();
        engine.survey().unwrap();
        engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
        engine.verify(only(&backup.entry)).unwrap();
        change(&bench);
        let before = fs::read(bench.target()).ok();
        let fault = engine.switch().unwrap_err();
        assert_eq!(fault.reason, Reason::TargetChanged, "{name}: {fault}");
        assert_eq!(bench.context.journal.touched(), Touched::No, "{name}");
        drop(engine);
        assert_eq!(fs::read(bench.target()).ok(), before, "{name}");
        assert!(!bench.files().iter().any(|file| file.contains("reinstate")), "{name}: {:?}", bench.files());
    }
}

#[test]
fn what_lies_there_is_judged_before_anything_is_written() {
    type Place = fn(&Bench);
    let cases: [(&str, Place, Reason); 8] = [
        ("no database", |bench| fs::write(bench.target(), vec![b'x'; 5000]).unwrap(), Reason::TargetCorrupt),
        ("a short file", |bench| fs::write(bench.target(), "x").unwrap(), Reason::TargetCorrupt),
        ("a folder", |bench| fs::create_dir(bench.target()).unwrap(), Reason::InvalidSpec),
        (
            "a link",
            |bench| std::os::unix::fs::symlink("/dev/null", bench.target()).unwrap(),
            Reason::InvalidSpec,
        ),
        (
            "an orphaned log",
            |bench| fs::write(bench.folder.path().join("app.db-wal"), "frames").unwrap(),
            Reason::TargetCorrupt,
        ),
        (
            "an orphaned journal",
            |bench| fs::write(bench.folder.path().join("app.db-journal"), "pages").unwrap(),
            Reason::TargetCorrupt,
        ),
        (
            "a damaged schema",
            |bench| {
                make(&bench.target(), OLD);
                let mut bytes = fs::read(bench.target()).unwrap();
                bytes[100..4096].fill(0xff);
                fs::write(bench.target(), bytes).unwrap();
            },
            Reason::TargetCorrupt,
        ),
        (
            "a lock",
            |bench| {
                let lock = bench.folder.path().join(".app.db.reinstate-lock");
                let file = fs::File::create(lock).unwrap();
                file.lock().unwrap();
                std::mem::forget(file);
            },
            Reason::TargetLocked,
        ),
    ];
    for (name, place, reason) in cases {
        let bench = Bench::new();
        place(&bench);
        let before = bench.files();
        let fault = bench.engine().survey().unwrap_err();
        assert_eq!(fault.reason, reason, "{name}: {}", fault.full_message());
        assert_eq!(bench.files(), before, "{name}");
    }
}

#[test]
fn a_second_run_is_kept_away_until_the_first_one_discards() {
    let bench = Bench::new().existing(OLD);
    let (mut first, mut second) = (bench.engine(), bench.engine());
    first.survey().unwrap();
    first.survey().unwrap();
    assert_eq!(second.survey().unwrap_err().reason, Reason::TargetLocked);
    first.discard();
    second.survey().unwrap();
    drop(second);
    assert_eq!(bench.files(), ["app.db"]);
}

#[test]
fn a_run_whose_lock_was_taken_away_removes_and_writes_nothing() {
    let bench = Bench::new().existing(OLD);
    let backup = Backup::of(NEW);
    let dead = bench.folder.path().join(".app.db.reinstate-other.shadow");
    for loaded in [false, true] {
        let mut engine = bench.engine();
        engine.survey().unwrap();
        if loaded {
            engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
            engine.verify(only(&backup.entry)).unwrap();
        }
        fs::remove_file(bench.folder.path().join(".app.db.reinstate-lock")).unwrap();
        let mut other = bench.engine();
        other.survey().unwrap();
        fs::write(&dead, "the other run's").unwrap();
        let fault = if loaded {
            engine.switch().unwrap_err()
        } else {
            engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap_err()
        };
        assert_eq!(fault.reason, Reason::TargetLocked, "{loaded}: {fault}");
        drop(engine);
        assert!(dead.exists(), "{loaded}");
        assert_eq!(other.survey().unwrap().remove(0).holds.unwrap().tables, Some(1), "{loaded}");
        drop(other);
        assert_eq!(value::<i64>(&bench.target(), "SELECT sum(a) FROM old"), 6, "{loaded}");
        assert_eq!(bench.files(), [".app.db.reinstate-other.shadow", "app.db"], "{loaded}");
    }
    assert_eq!(bench.context.journal.touched(), Touched::No);
}

#[test]
fn shadows_of_dead_runs_are_told_and_removed_and_kept_databases_stay() {
    let bench = Bench::new().existing(OLD);
    let put = |name: &str| fs::write(bench.folder.path().join(name), "x").unwrap();
    put(".app.db.reinstate-dead.shadow");
    put(".app.db.reinstate-dead.shadow-journal");
    put("app.db.reinstate-previous-1");
    put(".other.db.reinstate-dead.shadow");
    let found = leftovers(bench.folder.path(), "app.db").unwrap();
    assert_eq!(found.iter().filter(|(_, left)| left.kind == LeftoverKind::Shadow).count(), 2);
    let outcome = bench.restore(&Backup::of(NEW)).unwrap();
    assert_eq!(outcome.findings.notes.iter().filter(|note| note.contains("a run that died")).count(), 2);
    assert_eq!(
        bench.files(),
        [".other.db.reinstate-dead.shadow", "app.db", "app.db.reinstate-previous-1", KEPT]
    );
}

/// Copies a database with its side files in the middle of a transaction, as a power cut leaves it.
fn crashed(bench: &Bench, mode: &str) {
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("app.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(&format!("PRAGMA journal_mode={mode}; PRAGMA wal_autocheckpoint=0; {OLD}"))
        .unwrap();
    if mode != "WAL" {
        connection
            .execute_batch(
                "PRAGMA cache_size=1; BEGIN; DELETE FROM old; \
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) \
                 INSERT INTO old SELECT zeroblob(500) FROM n;",
            )
            .unwrap();
    }
    for suffix in ["", "-journal", "-wal"] {
        let name = format!("app.db{suffix}");
        if source.path().join(&name).exists() {
            fs::copy(source.path().join(&name), bench.folder.path().join(&name)).unwrap();
        }
    }
}

#[test]
fn what_a_crashed_application_left_is_not_touched_by_the_survey_and_kept_by_the_switch() {
    for (mode, side) in [("DELETE", "app.db-journal"), ("WAL", "app.db-wal")] {
        let bench = Bench::new();
        crashed(&bench, mode);
        assert!(fs::metadata(bench.folder.path().join(side)).unwrap().len() > 0, "{mode}");
        let snapshot = || -> Vec<_> {
            bench.files().iter().map(|name| fs::read(bench.folder.path().join(name)).unwrap()).collect()
        };
        let (files, before) = (bench.files(), snapshot());
        let mut engine = bench.engine();
        let survey = engine.survey().unwrap().remove(0);
        assert_eq!(survey.holds.unwrap().tables, None, "{mode}");
        drop(engine);
        assert_eq!((bench.files(), snapshot()), (files, before), "{mode}: the survey changed something");
        let outcome = bench.restore(&Backup::of(NEW)).unwrap();
        assert!(outcome.findings.notes.iter().any(|note| note.contains("application left")), "{mode}");
        assert_eq!(value::<i64>(&bench.target(), "SELECT sum(a) FROM new"), 30, "{mode}");
        assert_eq!(value::<i64>(&bench.folder.path().join(KEPT), "SELECT sum(a) FROM old"), 6, "{mode}");
    }
}

#[test]
fn a_rename_replaces_the_file_and_keeps_mode_and_previous() {
    for mode in ["DELETE", "WAL"] {
        let mut bench = Bench::new().existing(&format!("PRAGMA journal_mode={mode}; {OLD}"));
        bench.settings.replace_by = ReplaceBy::Rename;
        fs::set_permissions(bench.target(), fs::Permissions::from_mode(0o604)).unwrap();
        let before = fs::metadata(bench.target()).unwrap();
        let backup = Backup::of(NEW);
        bench.restore(&backup).unwrap();
        assert_eq!(fs::read(bench.target()).unwrap(), backup.bytes, "{mode}");
        assert_eq!(fs::metadata(bench.target()).unwrap().mode(), before.mode(), "{mode}");
        let kept = bench.folder.path().join(KEPT);
        assert_eq!(fs::metadata(&kept).unwrap().ino(), before.ino(), "{mode}");
        assert_eq!(value::<i64>(&kept, "SELECT sum(a) FROM old"), 6, "{mode}");
    }
}

#[test]
fn a_rename_is_refused_while_a_log_belongs_to_the_old_file() {
    let mut bench = Bench::new();
    bench.settings.replace_by = ReplaceBy::Rename;
    crashed(&bench, "WAL");
    let fault = bench.restore(&Backup::of(NEW)).unwrap_err();
    assert_eq!(fault.reason, Reason::SwapNotPossible, "{fault}");
    assert_eq!(bench.context.journal.touched(), Touched::No);
}

#[test]
fn a_damaged_backup_file_never_reaches_the_target() {
    let backup = Backup::of(
        "CREATE TABLE t(a); CREATE INDEX i ON t(a);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT i FROM n;",
    );
    let bench = Bench::new().existing(OLD);
    let before = fs::read(bench.target()).unwrap();
    // The hash of pass 1 catches any change between the passes.
    let mut changed = Backup { bytes: backup.bytes.clone(), entry: backup.entry.clone() };
    changed.bytes[5000] ^= 1;
    assert_eq!(bench.restore(&changed).unwrap_err().reason, Reason::SourceChanged);
    // What was damaged when it was backed up is found by SQLite's own check.
    let mut bytes = backup.bytes;
    bytes[8192..8300].fill(0xff);
    let fault = bench.restore(&Backup::file(bytes)).unwrap_err();
    assert_eq!(fault.reason, Reason::CorruptBackup, "{}", fault.full_message());
    assert_eq!(fs::read(bench.target()).unwrap(), before);
    assert_eq!(bench.files(), ["app.db"]);
    assert_eq!(bench.context.journal.touched(), Touched::No);
}

#[test]
fn a_cancelled_run_stops_and_leaves_nothing() {
    let bench = Bench::new().existing(OLD);
    let backup = Backup::of(NEW);
    let mut engine = bench.engine();
    engine.survey().unwrap();
    bench.context.cancel.cancel();
    let fault = engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap_err();
    assert_eq!(fault.reason, Reason::Interrupted);
    assert_eq!(restore(&mut engine, &backup).unwrap_err().reason, Reason::Interrupted);
    assert!(engine.discard().is_empty());
    assert_eq!(bench.files(), ["app.db"]);
}

#[test]
fn steps_out_of_order_are_an_error_and_not_a_write() {
    let bench = Bench::new().existing(OLD);
    let backup = Backup::of(NEW);
    let mut engine = bench.engine();
    assert_eq!(engine.switch().unwrap_err().reason, Reason::InternalError);
    engine.survey().unwrap();
    assert_eq!(engine.switch().unwrap_err().reason, Reason::InternalError);
    assert_eq!(engine.verify(only(&backup.entry)).unwrap_err().reason, Reason::InternalError);
    drop(engine);
    assert_eq!(value::<i64>(&bench.target(), "SELECT sum(a) FROM old"), 6);
}

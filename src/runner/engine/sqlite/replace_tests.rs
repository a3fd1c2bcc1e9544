//! What SQLite must do for the replacement to be safe, shown on SQLite itself.

use std::cell::Cell;
use std::os::unix::fs::FileExt;

use rusqlite::backup::StepResult;
use tempfile::TempDir;

use super::*;
use crate::runner::engine::sqlite::files::{self, Place};
use crate::runner::engine::sqlite::survey::{self, Seen};
use crate::runner::engine::sqlite::{Integrity, ReplaceBy, SqliteTarget};
use crate::runner::engine::{Context, LoadedTable};
use crate::runner::journal::{Journal, Touched};

struct Bench {
    folder: TempDir,
    place: Place,
    seen: Seen,
    settings: SqliteTarget,
    context: Context,
    tables: Vec<LoadedTable>,
}

fn rows(table: &str, count: u32) -> String {
    format!(
        "CREATE TABLE {table}(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{count}) \
         INSERT INTO {table} SELECT randomblob(900) FROM n;"
    )
}

impl Bench {
    fn new(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = files::place(folder.path(), "app.db").unwrap();
        let settings = SqliteTarget {
            root: folder.path().to_owned(),
            path: "app.db".into(),
            name: "app.db".into(),
            replace_by: ReplaceBy::Backup,
            keep_previous: Some("1".into()),
            run_id: "r".into(),
            sessions_timeout: Duration::ZERO,
            version_guard_warn: false,
            integrity: Integrity::Quick,
        };
        let make = |path: &Path, sql: &str| Connection::open(path).unwrap().execute_batch(sql).unwrap();
        make(&place.target(), &format!("PRAGMA journal_mode={mode}; {}", rows("old", 200)));
        make(&place.shadow("r"), &rows("new", 3000));
        let context = Context::default();
        let seen = survey::look(&place, &context).unwrap().0;
        let tables = vec![LoadedTable { name: "new".into(), rows: 3000 }];
        Self { folder, place, seen, settings, context, tables }
    }

    fn job(&self) -> Job<'_> {
        Job {
            place: &self.place,
            seen: &self.seen,
            shadow: self.place.shadow("r"),
            settings: &self.settings,
            context: &self.context,
            tables: &self.tables,
            kept: Cell::default(),
            note: Cell::default(),
        }
    }

    /// Runs `action` with everything that a replacement needs.
    fn with<T>(&self, action: impl FnOnce(&Replacement<'_>, &mut Connection) -> T) -> T {
        let Seen::File(existing) = &self.seen else { panic!("the target exists") };
        let job = self.job();
        let raw = File::open(self.place.target()).unwrap();
        let source = connect::open(&self.place.shadow("r"), Access::Immutable).unwrap();
        let mut destination = connect::open(&self.place.target(), Access::Write).unwrap();
        let replacement = Replacement { job: &job, existing, raw: &raw, source: &source };
        let result = action(&replacement, &mut destination);
        drop(destination);
        result
    }
}

const MODES: [&str; 2] = ["DELETE", "WAL"];

#[test]
fn the_first_step_excludes_writers_and_the_old_content_is_still_there() {
    for mode in MODES {
        let bench = Bench::new(mode);
        bench.with(|replacement, destination| {
            let backup = Backup::new(replacement.source, destination).unwrap();
            assert_eq!(backup.step(0).unwrap(), StepResult::More, "{mode}");
            let writer = Connection::open(bench.place.target()).unwrap();
            writer.busy_timeout(Duration::ZERO).unwrap();
            let error = writer.execute("INSERT INTO old VALUES(1)", []).unwrap_err();
            assert!(connect::is_busy(&error), "{mode}: {error}");
            let reader = replacement.reader(mode == "WAL").unwrap();
            let rows: i64 = reader.query_row("SELECT count(*) FROM old", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 200, "{mode}");
            drop(backup);
            writer.execute("INSERT INTO old VALUES(1)", []).unwrap();
        });
    }
}

#[test]
fn a_quiet_target_is_compared_after_the_switch_and_not_waved_through() {
    for mode in MODES {
        let bench = Bench::new(mode);
        bench.with(|replacement, destination| {
            let version = data_version(destination).unwrap();
            let backup = Backup::new(replacement.source, destination).unwrap();
            assert!(replacement.lock(&backup, &mut 1).unwrap());
            let moment = replacement.look(version).unwrap();
            assert_eq!(moment.wal, mode == "WAL");
            replacement.copy(&backup).unwrap();
            drop(backup);
            assert_eq!(replacement.compare(destination, moment).unwrap(), Compared::Equal, "{mode}");
            let after: i64 = destination.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
            assert_eq!(after, moment.schema_version + 1, "{mode}");
            destination.execute_batch("COMMIT").unwrap();
            let writer = Connection::open(bench.place.target()).unwrap();
            writer.execute("INSERT INTO new VALUES(1)", []).unwrap();
            assert_eq!(replacement.compare(destination, moment).unwrap(), Compared::WrittenSince, "{mode}");
        });
    }
}

#[test]
fn a_write_just_before_the_lock_does_not_end_the_comparison() {
    for mode in MODES {
        let bench = Bench::new(mode);
        bench.with(|replacement, destination| {
            let version = data_version(destination).unwrap();
            let writer = Connection::open(bench.place.target()).unwrap();
            writer.execute("INSERT INTO old VALUES(1)", []).unwrap();
            let backup = Backup::new(replacement.source, destination).unwrap();
            assert!(replacement.lock(&backup, &mut 1).unwrap());
            let moment = replacement.look(version).unwrap();
            replacement.copy(&backup).unwrap();
            drop(backup);
            assert_eq!(replacement.compare(destination, moment).unwrap(), Compared::Equal, "{mode}");
        });
    }
}

#[test]
fn pages_of_another_size_are_compared_and_a_difference_is_found() {
    for (page_size, differs) in [(512, false), (1024, false), (65536, false), (512, true), (65536, true)] {
        let bench = Bench::new("DELETE");
        let shadow = bench.place.shadow("r");
        let sql = format!("PRAGMA page_size={page_size}; VACUUM;");
        Connection::open(&shadow).unwrap().execute_batch(&sql).unwrap();
        bench.with(|replacement, destination| {
            let version = data_version(destination).unwrap();
            let backup = Backup::new(replacement.source, destination).unwrap();
            assert!(replacement.lock(&backup, &mut 1).unwrap());
            let moment = replacement.look(version).unwrap();
            replacement.copy(&backup).unwrap();
            drop(backup);
            if differs {
                File::options().write(true).open(&shadow).unwrap().write_all_at(b"x", 200_000).unwrap();
                let fault = replacement.compare(destination, moment).unwrap_err();
                assert_eq!(fault.reason, Reason::VerificationFailed, "{page_size}");
            } else {
                assert_eq!(replacement.compare(destination, moment).unwrap(), Compared::Equal, "{page_size}");
            }
        });
    }
}

#[test]
fn a_comparison_that_an_application_forestalled_is_told() {
    for mode in MODES {
        for (written, told) in [(false, None), (true, Some(WRITTEN_SINCE))] {
            let bench = Bench::new(mode);
            bench.with(|replacement, destination| {
                let version = data_version(destination).unwrap();
                let backup = Backup::new(replacement.source, destination).unwrap();
                assert!(replacement.lock(&backup, &mut 1).unwrap());
                let moment = replacement.look(version).unwrap();
                replacement.copy(&backup).unwrap();
                drop(backup);
                if written {
                    let writer = Connection::open(bench.place.target()).unwrap();
                    writer.execute("INSERT INTO new VALUES(1)", []).unwrap();
                }
                replacement.conclude(destination, moment).unwrap();
                assert_eq!(replacement.job.note.take(), told, "{mode} {written}");
            });
        }
    }
}

#[test]
fn a_target_that_differs_from_what_was_loaded_is_found() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        if mode == "WAL" {
            bench.tables[0].rows += 1;
        }
        bench.with(|replacement, destination| {
            let version = data_version(destination).unwrap();
            let backup = Backup::new(replacement.source, destination).unwrap();
            assert!(replacement.lock(&backup, &mut 1).unwrap());
            let moment = replacement.look(version).unwrap();
            replacement.copy(&backup).unwrap();
            drop(backup);
            // A byte of the loaded file changes under us: the comparison must see it.
            let shadow = File::options().write(true).open(bench.place.shadow("r")).unwrap();
            shadow.write_all_at(b"x", 50_000).unwrap();
            let fault = replacement.compare(destination, moment).unwrap_err();
            assert_eq!(fault.reason, Reason::VerificationFailed, "{mode}");
        });
    }
}

#[test]
fn a_copy_that_fails_half_way_is_rolled_back_and_says_so() {
    for mode in MODES {
        let bench = Bench::new(mode);
        let fault = bench.with(|replacement, destination| {
            // As a full volume would: the target may not grow to the new size.
            destination.execute_batch("PRAGMA max_page_count=300").unwrap();
            let fault = replacement.run(destination).unwrap_err();
            // It is the engine's `discard` that removes it.
            let kept = bench.folder.path().canonicalize().unwrap().join("app.db.reinstate-previous-1");
            assert!(kept.exists(), "{mode}");
            assert_eq!(replacement.job.kept.take(), Some(kept), "{mode}");
            fault
        });
        assert_eq!(fault.reason, Reason::NoRoom, "{mode}: {}", fault.full_message());
        assert!(fault.message.contains("rolled back"), "{mode}: {fault}");
        assert_eq!(bench.context.journal.touched(), Touched::No, "{mode}");
        let target = Connection::open(bench.place.target()).unwrap();
        let rows: i64 = target.query_row("SELECT count(*) FROM old", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 200, "{mode}");
    }
}

#[test]
fn what_the_journal_cannot_take_is_not_written() {
    for (replace_by, there) in
        [(ReplaceBy::Backup, true), (ReplaceBy::Rename, true), (ReplaceBy::Backup, false)]
    {
        let mut bench = Bench::new("DELETE");
        let target = bench.place.target();
        if !there {
            std::fs::remove_file(&target).unwrap();
            bench.seen = Seen::Absent;
        }
        bench.settings.replace_by = replace_by;
        bench.context.journal = Journal::broken();
        let before = std::fs::read(&target).ok();
        let fault = bench.job().run().unwrap_err();
        assert_eq!(fault.reason, Reason::InternalError, "{replace_by:?}: {}", fault.full_message());
        assert!(std::fs::read(&target).ok() == before, "{replace_by:?} {there}");
        assert_eq!(bench.context.journal.touched(), Touched::No);
    }
}

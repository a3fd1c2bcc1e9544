//! `kill -9` in the switch: after SQLite's own recovery the target is whole-old or whole-new.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use reinstate::runner::engine::sqlite::Sqlite;
use reinstate::runner::engine::{Context, Engine};
use rusqlite::Connection;

use super::harness::{Backup, Bench, make, settings};
use crate::parts::child::{say, start_test, wait_for};
use crate::parts::only;

const ROLE: &str = "REINSTATE_TEST_RESTORE";
/// The test that runs as the child.
const PROCESS: &str = "sqlite::kills::restoring_process";
/// How often the run is killed, for each journal mode.
const KILLS: &str = "REINSTATE_SOAK_KILLS";

fn database(mark: &str, rows: u32) -> String {
    format!(
        "CREATE TABLE mark(name); INSERT INTO mark VALUES('{mark}'); CREATE TABLE data(a INTEGER PRIMARY KEY, b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows})
         INSERT INTO data SELECT i, randomblob(900) FROM n;"
    )
}

#[test]
#[ignore = "runs as the child process of other tests"]
fn restoring_process() {
    let Ok(root) = std::env::var(ROLE) else { return };
    let backup = Backup::file(std::fs::read(Path::new(&root).join("backup")).unwrap());
    let mut settings = settings(Path::new(&root));
    settings.run_id = format!("run-{}", std::process::id());
    settings.keep_previous = Some(settings.run_id.clone());
    let mut engine = Sqlite::new(settings, Context::default());
    engine.survey().unwrap();
    engine.preflight(only(&backup.entry)).unwrap();
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
    engine.verify(only(&backup.entry)).unwrap();
    say("SWITCHING");
    engine.switch().unwrap();
    say("SWITCHED");
}

fn prepare(mode: &str) -> Bench {
    let bench = Bench::new();
    make(&bench.target(), &format!("PRAGMA journal_mode={mode}; {}", database("old", 6000)));
    std::fs::write(bench.folder.path().join("backup"), &Backup::of(&database("new", 9000)).bytes).unwrap();
    bench
}

/// Which database is there, proven whole.
fn whole(target: &Path) -> String {
    let connection = Connection::open(target).unwrap();
    let text = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let (mark, rows) = (text("SELECT name FROM mark"), text("SELECT CAST(count(*) AS TEXT) FROM data"));
    assert!(
        [("old", "6000"), ("new", "9000")].contains(&(mark.as_str(), rows.as_str())),
        "{mark} with {rows} rows"
    );
    mark
}

#[test]
fn a_killed_switch_leaves_the_old_or_the_new_database_whole() {
    let kills: u32 = std::env::var(KILLS).ok().and_then(|count| count.parse().ok()).unwrap_or(6);
    for mode in ["DELETE", "WAL"] {
        let bench = prepare(mode);
        let mut child = start_test(PROCESS, ROLE, bench.folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let from = wait_for(&mut lines, "SWITCHING");
        let span = wait_for(&mut lines, "SWITCHED") - from;
        child.wait().unwrap();
        assert_eq!(whole(&bench.target()), "new");
        let mut ends = Vec::new();
        for number in 0..kills {
            let bench = prepare(mode);
            let mut child = start_test(PROCESS, ROLE, bench.folder.path());
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            wait_for(&mut lines, "SWITCHING");
            let share = (RandomState::new().hash_one(number) % 1000) as u32;
            // Parking would end at once where a channel has left its token.
            std::thread::sleep(span * share / 1000);
            child.kill().unwrap();
            child.wait().unwrap();
            let mark = whole(&bench.target());
            check_previous(&bench, &mark);
            ends.push(mark);
            // A later run cleans up what the dead one left and succeeds.
            bench.restore(&Backup::file(std::fs::read(bench.folder.path().join("backup")).unwrap())).unwrap();
            assert_eq!(whole(&bench.target()), "new");
            let left: Vec<_> = bench.files().into_iter().filter(|name| name.starts_with('.')).collect();
            assert!(left.is_empty(), "{left:?}");
        }
        println!("{mode}: a switch of {span:?}, killed {kills} times: {ends:?}");
    }
}

/// A kept copy has its name only once it is whole; over new data it must be there.
fn check_previous(bench: &Bench, mark: &str) {
    let kept: Vec<_> =
        bench.files().into_iter().filter(|name| name.contains("reinstate-previous-")).collect();
    assert!(mark == "old" || kept.len() == 1, "{mark}: {kept:?}");
    for name in kept {
        assert_eq!(whole(&bench.folder.path().join(name)), "old");
    }
}

#[test]
fn a_killed_load_leaves_the_target_alone() {
    let bench = prepare("DELETE");
    let before = std::fs::read(bench.target()).unwrap();
    let mut child = start_test(PROCESS, ROLE, bench.folder.path());
    std::thread::sleep(Duration::from_millis(20));
    child.kill().unwrap();
    child.wait().unwrap();
    if whole(&bench.target()) == "old" {
        assert!(std::fs::read(bench.target()).unwrap() == before);
    }
}

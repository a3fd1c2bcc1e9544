//! `kill -9` at any moment: what the journal says last is never contradicted by the target.

use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use reinstate::report::{Outcome, TargetModified};
use rusqlite::Connection;

use super::Pod;
use crate::cli::{objects, restore};
use crate::support::{Seeded, count};

/// How often a run is killed, for each kind of target.
const KILLS: &str = "REINSTATE_SOAK_KILLS";

fn database(path: &Path, setup: &str, mark: &str, rows: u32) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "{setup} CREATE TABLE mark(name); INSERT INTO mark VALUES('{mark}'); CREATE TABLE data(a INTEGER PRIMARY KEY, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows})
             INSERT INTO data SELECT i, randomblob(900) FROM n;"
        ))
        .unwrap();
    connection.close().unwrap();
}

/// What an independent reader finds after SQLite's own recovery: proven whole, or absent.
fn found(target: &Path) -> String {
    if !target.exists() {
        return "absent".into();
    }
    let connection = Connection::open(target).unwrap();
    let text = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let rows = text("SELECT CAST(count(*) AS TEXT) FROM data");
    let mark = text("SELECT name FROM mark");
    assert!([("old", "5000"), ("new", "8000")].contains(&(mark.as_str(), rows.as_str())), "{mark} {rows}");
    mark
}

fn prepare(backups: &Path, before: &str) -> Pod {
    let pod = Pod::new(backups);
    let spec = "  overwrite: {confirm: [app.db]}\n  keepPrevious: 0s";
    pod.order(&[&restore("demo", "new.db", spec), &objects()], |order| {
        order.plan.backup.allow_unproven = true;
    });
    match before {
        "absent" => {}
        mode => database(&pod.target(), &format!("PRAGMA journal_mode={mode};"), "old", 5000),
    }
    pod
}

#[test]
fn what_the_journal_says_last_is_never_contradicted_by_the_target() {
    let backups = tempfile::tempdir().unwrap();
    database(&backups.path().join("new.db"), "", "new", 8000);
    for before in ["absent", "DELETE", "WAL"] {
        let pod = prepare(backups.path(), before);
        let old = found(&pod.target());
        let begun = Instant::now();
        pod.run().expect(0, &[]);
        let span = begun.elapsed();
        assert_eq!(found(&pod.target()), "new");
        let mut seeded = Seeded(before.len() as u64);
        let mut ends = Vec::new();
        for _ in 0..count(KILLS, 8) {
            let pod = prepare(backups.path(), before);
            let mut child = pod.start("127.0.0.1:0");
            sleep(span * u32::try_from(seeded.below(1100)).unwrap() / 1000);
            child.kill().unwrap();
            child.wait().unwrap();
            let now = found(&pod.target());
            let last = pod.last().map(|entry| (entry.touched, entry.verdict.map(|verdict| verdict.outcome)));
            let fits = match last {
                None | Some((TargetModified::False, None)) => now == old,
                Some((TargetModified::Unknown, _)) => true,
                Some((TargetModified::True, None)) => now == "new",
                Some((_, Some(outcome))) => outcome == Outcome::Restored && now == "new",
            };
            assert!(fits, "{before}: {last:?}, but the target is {now}");
            ends.push(format!("{last:?} {now}"));
        }
        println!("{before}: a run of {span:?}, killed {} times: {ends:#?}", ends.len());
    }
}

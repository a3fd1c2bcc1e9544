//! `switch: Hold`: what is loaded waits beside the target, and a second run only switches.

use std::path::PathBuf;

use reinstate::plan::{Held, Order, Pinned, Switch, Task};
use reinstate::reason::Reason;
use reinstate::report::{Outcome, RestoreReport, TargetModified};
use rusqlite::Connection;

use super::Pod;
use crate::cli::{BACKUP, CONTENT, backups, keys, objects, restore, sha256, snapshot};

const CONFIRMED: &str = "  overwrite: {confirm: [app.db]}";

fn pod(over_data: bool) -> Pod {
    let pod = Pod::new(&backups());
    if over_data {
        pod.make_old();
    }
    pod
}

/// Gives the pod its next order.
fn next(pod: &Pod, spec: &str, change: impl FnOnce(&mut Order)) {
    std::fs::remove_file(pod.at(reinstate::plan::pod::JOURNAL_FILE)).unwrap_or_default();
    pod.order(&[&restore("demo", BACKUP, spec), &objects(), &keys()], change);
}

/// What an operator hands on of a run that holds.
fn handed_on(verdict: &RestoreReport) -> (Pinned, Held) {
    let (backup, target) = (verdict.backup.clone().unwrap(), verdict.target.clone().unwrap());
    let pinned =
        Pinned { path: backup.path, size: backup.size, etag: backup.etag, version_id: backup.version_id };
    (pinned, Held { shadows: target.held, token: target.plan_token })
}

fn hold(pod: &Pod) -> (Pinned, Held) {
    next(pod, &format!("{CONFIRMED}\n  switch: Hold"), |_| ());
    pod.run().expect(0, &[]);
    assert_eq!(pod.lines(), ["False", "False Held"]);
    handed_on(&pod.verdict())
}

/// An order that only switches; the backups are gone by then, and so are the keys.
fn switch(pod: &Pod, (pinned, held): &(Pinned, Held)) {
    std::fs::remove_file(pod.at("/claims/backups")).unwrap_or_default();
    std::fs::remove_dir_all(pod.at(reinstate::plan::pod::SECRETS_FOLDER)).unwrap_or_default();
    next(pod, CONFIRMED, |order| {
        order.attempt = 1;
        order.pinned = Some(pinned.clone());
        order.held = Some(held.clone());
    });
}

fn held_path(pod: &Pod, held: &Held) -> PathBuf {
    pod.at("/claims/app-data").join(&held.shadows[0])
}

#[test]
fn a_held_load_waits_and_a_second_run_only_switches() {
    for over_data in [false, true] {
        let pod = pod(over_data);
        let before = over_data.then(|| sha256(&pod.target()));
        let held = hold(&pod);
        assert_eq!(pod.target().exists().then(|| sha256(&pod.target())), before);
        assert_eq!(sha256(&held_path(&pod, &held.1)), CONTENT);
        if over_data {
            // Life goes on.
            Connection::open(pod.target()).unwrap().execute("INSERT INTO old VALUES (4)", []).unwrap();
        }
        switch(&pod, &held);
        pod.run().expect(0, &[]);
        let verdict = pod.verdict();
        assert_eq!(verdict.outcome, Outcome::Restored);
        let target = verdict.target.unwrap();
        let row = &target.databases[0];
        assert_eq!((target.held, row.tables, row.rows), (vec![], Some(2), Some(325)));
        assert!(verdict.verification.unwrap().checks[0].contains("SHA-256"));
        let modified = if over_data { TargetModified::True } else { TargetModified::False };
        assert_eq!(verdict.target_modified, modified);
        let left: Vec<_> = pod.files().into_iter().filter(|name| name.starts_with('.')).collect();
        assert_eq!(left, Vec::<String>::new());
        let rows: i64 = Connection::open(pod.target())
            .unwrap()
            .query_row("SELECT count(*) FROM item", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 260);
        if let Some(previous) = &row.previous {
            let sql = "SELECT count(*) FROM old";
            let rows: i64 =
                Connection::open(&previous.name).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 4);
        }
        assert_eq!(row.previous.is_some(), over_data);
    }
}

#[test]
fn another_run_leaves_a_held_load_alone_and_tells_of_it() {
    let pod = pod(true);
    let (_, held) = hold(&pod);
    next(&pod, CONFIRMED, |_| ());
    pod.run().expect(0, &["a load waits in "]);
    assert_eq!(sha256(&held_path(&pod, &held)), CONTENT);
}

#[test]
fn what_is_not_what_was_held_is_not_switched_to() {
    type Change<'a> = &'a dyn Fn(&Pod, &mut (Pinned, Held));
    let cases: [(Change<'_>, i32, Reason); 6] = [
        (&|pod, held| std::fs::remove_file(held_path(pod, &held.1)).unwrap(), 11, Reason::VerificationFailed),
        (
            &|pod, held| {
                let path = held_path(pod, &held.1);
                let mut bytes = std::fs::read(&path).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(path, bytes).unwrap();
            },
            11,
            Reason::VerificationFailed,
        ),
        (&|_, held| held.1.shadows = vec!["app.db".into()], 2, Reason::InvalidSpec),
        (&|_, held| held.1.shadows = vec!["../.app.db.reinstate-1-0.held".into()], 2, Reason::InvalidSpec),
        (&|_, held| held.1.token = "0123456789abcdef".into(), 3, Reason::PlanChanged),
        (
            &|pod, _| {
                std::fs::copy(pod.target(), pod.at("/claims/copy")).unwrap();
                std::fs::rename(pod.at("/claims/copy"), pod.target()).unwrap();
            },
            3,
            Reason::PlanChanged,
        ),
    ];
    for (number, (change, code, reason)) in cases.into_iter().enumerate() {
        let pod = pod(true);
        let mut held = hold(&pod);
        change(&pod, &mut held);
        switch(&pod, &held);
        let before = snapshot(&pod.at("/claims/app-data"));
        pod.run().expect(code, &[]);
        assert_eq!(snapshot(&pod.at("/claims/app-data")), before, "{number}");
        let verdict = pod.verdict();
        assert_eq!(
            (verdict.failure.unwrap().reason, verdict.target_modified),
            (reason, TargetModified::False)
        );
        // What waits is still known by its name.
        assert_eq!(verdict.target.unwrap().held, held.1.shadows, "{number}");
    }
}

#[test]
fn a_changed_plan_that_is_confirmed_lets_the_held_load_through() {
    let pod = pod(true);
    let mut held = hold(&pod);
    std::fs::copy(pod.target(), pod.at("/claims/copy")).unwrap();
    std::fs::rename(pod.at("/claims/copy"), pod.target()).unwrap();
    switch(&pod, &held);
    pod.run().expect(3, &["PlanChanged"]);
    held.1.token = pod.verdict().target.unwrap().plan_token;
    switch(&pod, &held);
    pod.run().expect(0, &[]);
    assert_eq!(pod.verdict().outcome, Outcome::Restored);
}

#[test]
fn an_application_that_holds_the_target_leaves_the_load_for_a_later_try() {
    let pod = pod(true);
    let held = hold(&pod);
    let application = Connection::open(pod.target()).unwrap();
    application.execute_batch("BEGIN IMMEDIATE").unwrap();
    switch(&pod, &held);
    let connect = "1s".parse::<reinstate::plan::Duration>().unwrap();
    next(&pod, CONFIRMED, |order| {
        order.pinned = Some(held.0.clone());
        order.held = Some(held.1.clone());
        order.plan.timeouts.connect = Some(connect);
    });
    pod.run().expect(12, &["TargetBusy"]);
    assert_eq!(sha256(&held_path(&pod, &held.1)), CONTENT);
    drop(application);
    pod.run().expect(0, &[]);
    assert_eq!(pod.verdict().outcome, Outcome::Restored);
}

#[test]
fn discard_removes_what_it_is_told_to_and_what_is_dead_and_nothing_else() {
    let pod = pod(true);
    let (_, kept) = hold(&pod);
    let (pinned, held) = hold(&pod);
    let folder = pod.at("/claims/app-data");
    for name in [
        ".app.db.reinstate-dead.shadow",
        ".app.db.reinstate-dead.part",
        "app.db.reinstate-previous-20200101T000000.000Z-until-20200102T000000Z",
        "app.db.reinstate-previous-20200101T000000.000Z-until-29990102T000000Z",
        "app.db.reinstate-previous-by-hand",
        "other.db",
    ] {
        std::fs::write(folder.join(name), "x").unwrap();
    }
    let old = sha256(&pod.target());
    next(&pod, "", |order| {
        order.task = Task::Discard;
        order.pinned = Some(pinned);
        order.held = Some(held);
    });
    pod.run().expect(0, &["removed "]);
    let verdict = pod.verdict();
    assert_eq!((verdict.outcome, verdict.target_modified), (Outcome::Discarded, TargetModified::False));
    assert_eq!(verdict.warnings.len(), 4);
    let mut expected = vec![
        kept.shadows[0].clone(),
        "app.db".into(),
        "app.db.reinstate-previous-20200101T000000.000Z-until-29990102T000000Z".into(),
        "app.db.reinstate-previous-by-hand".into(),
        "other.db".into(),
    ];
    expected.sort();
    assert_eq!((pod.files(), sha256(&pod.target())), (expected, old));
}

#[test]
fn a_revert_puts_the_previous_database_back_and_keeps_what_it_replaces() {
    let pod = pod(true);
    next(&pod, CONFIRMED, |_| ());
    pod.run().expect(0, &[]);
    let previous = pod.verdict().target.unwrap().databases[0].previous.clone().unwrap().name;
    let revert = |spec: &str, previous: &str| {
        next(&pod, spec, |order| {
            order.task = Task::Revert { previous: previous.to_owned() };
            order.plan.switch = Switch::Auto;
        });
        pod.run()
    };
    let before = snapshot(&pod.at("/claims/app-data"));
    revert("", &previous).expect(3, &["ConfirmationRequired"]);
    revert(CONFIRMED, "app.db").expect(2, &["InvalidSpec"]);
    revert(CONFIRMED, "app.db.reinstate-previous-nothing").expect(11, &["TargetNotFound"]);
    assert_eq!(snapshot(&pod.at("/claims/app-data")), before);
    revert(CONFIRMED, &previous).expect(0, &[]);
    assert_eq!(pod.lines(), ["False", "Unknown", "True", "True Restored"]);
    let count = |path: &str, table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        Connection::open(path).unwrap().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(pod.target().to_str().unwrap(), "old"), 3);
    let replaced = pod.verdict().target.unwrap().databases[0].previous.clone().unwrap().name;
    assert_eq!((count(&replaced, "item"), count(&previous, "old")), (260, 3));
}

#[test]
fn a_retry_reads_only_the_backup_that_was_looked_at_first() {
    let backups = tempfile::tempdir().unwrap();
    let from = crate::cli::backups().join("sqlite-none-plain");
    for name in crate::cli::names(&from) {
        std::fs::copy(from.join(&name), backups.path().join(&name)).unwrap();
    }
    let pod = Pod::new(backups.path());
    let name = "sqlite_none_plain_2026-11-23_01-13-52.db";
    let order = |pinned: Option<Pinned>| {
        next(&pod, "  mode: Plan", |order| {
            order.plan.backup.selector =
                reinstate::plan::Selector::Latest(reinstate::plan::Latest::default());
            order.pinned = pinned;
        });
        pod.run()
    };
    order(None).expect(0, &[]);
    let seen = pod.verdict().backup.unwrap();
    let pinned = Pinned { path: seen.path, size: seen.size, etag: seen.etag, version_id: seen.version_id };
    assert_eq!(pinned.path, name);
    order(Some(pinned.clone())).expect(0, &[]);
    for changed in [
        Pinned { size: 1, ..pinned.clone() },
        Pinned { etag: Some("another".into()), ..pinned.clone() },
        Pinned { version_id: Some("v".into()), ..pinned.clone() },
    ] {
        order(Some(changed)).expect(12, &["SourceChanged", "an earlier attempt"]);
    }
    // Written anew with the same bytes it is another one all the same.
    let bytes = std::fs::read(backups.path().join(name)).unwrap();
    std::fs::write(backups.path().join(name), bytes).unwrap();
    order(Some(pinned)).expect(12, &["SourceChanged"]);
}

#[test]
fn queries_of_the_manifest_decide_before_the_switch() {
    for (sql, code) in [("select count(*) > 200 from item", 0), ("select count(*) > 999 from item", 11)] {
        let pod = pod(true);
        let spec = format!("{CONFIRMED}\n  verification: {{queries: [{{database: app.db, sql: {sql:?}}}]}}");
        next(&pod, &spec, |_| ());
        let old = sha256(&pod.target());
        pod.run().expect(code, &[]);
        let verdict = pod.verdict();
        if code == 0 {
            assert_eq!(verdict.verification.unwrap().queries, 1);
            continue;
        }
        let failure = verdict.failure.unwrap();
        assert_eq!(failure.reason, Reason::VerificationFailed);
        assert_eq!(failure.message, "query 1 of the manifest did not answer true (1), but 0");
        assert_eq!((sha256(&pod.target()), pod.files()), (old, vec!["app.db".to_owned()]));
    }
}

#[test]
fn a_plan_that_only_looks_does_not_switch() {
    let pod = pod(true);
    let (pinned, held) = hold(&pod);
    let before = snapshot(&pod.at("/claims/app-data"));
    next(&pod, "  mode: Plan", |order| {
        order.pinned = Some(pinned);
        order.held = Some(held);
    });
    pod.run().expect(2, &["InvalidSpec"]);
    assert_eq!(snapshot(&pod.at("/claims/app-data")), before);
}

//! Targets that have subscriptions: what a run before has made goes with them, what somebody uses is in the way.

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::PostgresTarget;
use reinstate::runner::engine::{Context, Engine};

use super::restores::{Backup, Target, access, databases, fresh, refused, restore, settings};
use super::subscriptions::{MADE, forget, source, told, wanted};
use crate::parts::only;
use crate::parts::postgres::{CREATOR, PASSWORD, SUPERUSER, postgres};

#[test]
fn a_restore_over_its_own_result_works_every_night() {
    for major in [10, 16, 18] {
        let server = postgres(major);
        let source = source(server);
        let backup = Backup::new(server.dump(18, &source, &["--format=custom"]));
        for (number, (is_direct, keeps)) in
            [(false, false), (false, true), (true, false)].into_iter().enumerate()
        {
            let target = fresh(&format!("nightly_{major}_{number}"));
            for night in 0..3 {
                let mut run = wanted(server, SUPERUSER, &target);
                run.run_id = format!("0000000{night}");
                run.is_direct = is_direct;
                run.keep_until = keeps.then(|| format!("2099-01-0{}T00:00:00Z", night + 1).parse().unwrap());
                let done = restore(run, &backup)
                    .unwrap_or_else(|fault| panic!("{major} {number} {night}: {}", fault.full_message()));
                assert_eq!(server.sql(&target, MADE), "Odd s|f|\nnews|f|", "{major} {number} {night}");
                assert_eq!(done.previous.is_some(), keeps && night > 0);
                let fate = if keeps { "stay with" } else { "are dropped with" };
                let expected = format!("2 disabled subscriptions, which {fate} the replaced database");
                assert_eq!(told(&done).contains(&expected), night > 0, "{}", told(&done));
            }
            let kept = if keeps { 2 } else { 0 };
            assert_eq!(databases(server, &target).len(), 1 + kept, "{:?}", databases(server, &target));
            // What is kept goes when its time is over, with its subscriptions.
            let mut engine = Target::new(wanted(server, SUPERUSER, &target), Context::default());
            engine.survey().unwrap();
            let removed = engine.drop_expired("2100-01-01T00:00:00Z".parse().unwrap());
            assert_eq!(removed.len(), kept, "{removed:?}");
            engine.discard();
            assert_eq!(databases(server, &target), [target.as_str()]);
        }
        forget(server, &source);
    }
}

#[test]
fn subscriptions_of_the_target_are_in_the_way_unless_nothing_hangs_on_them() {
    let server = postgres(15);
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    let make = |target: &str, slot: &str| {
        server.sql("postgres", &format!("create database {target} owner {SUPERUSER}"));
        let sql = format!(
            "create table old (a int); create subscription s connection 'host=publisher.invalid' publication p \
             with (connect = false, slot_name = {slot})"
        );
        server.sql(target, &sql);
    };
    for (number, (slot, is_direct, keeps, expected)) in [
        ("none", false, false, None),
        ("none", false, true, None),
        ("none", true, false, None),
        ("'x'", false, true, None),
        ("'x'", false, false, Some((Reason::SwapNotPossible, "SET (slot_name = NONE)"))),
        ("'x'", true, false, Some((Reason::TargetBusy, "SET (slot_name = NONE)"))),
    ]
    .into_iter()
    .enumerate()
    {
        let target = fresh(&format!("in_the_way_{number}"));
        make(&target, slot);
        let mut run = settings(server, SUPERUSER, &target);
        run.is_direct = is_direct;
        if !keeps {
            run.keep_until = None;
        }
        let what = format!("{slot} direct {is_direct} keeps {keeps}");
        match (restore(run, &backup), expected) {
            (Ok(done), None) => {
                assert!(told(&done).contains("1 disabled subscription,"), "{what}: {}", told(&done));
            }
            (Err(fault), Some((reason, part))) => {
                assert_eq!(fault.reason, reason, "{what}: {}", fault.message);
                assert!(fault.message.contains(part), "{what}: {}", fault.message);
                assert_eq!(server.sql(&target, "select count(*) from old"), "0", "{what}");
            }
            (Ok(_), Some(_)) => panic!("{what}: it is restored"),
            (Err(fault), None) => panic!("{what}: {}", fault.full_message()),
        }
        for database in databases(server, &target) {
            let there = server.sql(&database, MADE);
            if !there.is_empty() {
                server.sql(&database, "alter subscription s set (slot_name = none); drop subscription s");
            }
        }
    }
    // Its worker tries to reach the publisher, and is always there.
    let target = fresh("in_the_way_enabled");
    make(&target, "'x'");
    server.sql(&target, "alter subscription s enable");
    let fault = refused(settings(server, SUPERUSER, &target), &backup);
    assert_eq!(fault.reason, Reason::SwapNotPossible);
    assert!(fault.message.contains("1 enabled subscription"), "{}", fault.message);
    server.sql(&target, "alter subscription s disable");
    server.sql(&target, "alter subscription s set (slot_name = none); drop subscription s");
}

#[test]
fn a_login_that_may_not_drop_the_targets_subscriptions_is_told_before_the_first_write() {
    let server = postgres(15);
    let target = fresh("foreign_subscription");
    server.sql("postgres", &format!("create database {target} owner {CREATOR}"));
    server.sql(
        &target,
        "create table old (a int); \
         create subscription s connection 'host=h' publication p with (connect = false, slot_name = none)",
    );
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    for is_direct in [false, true] {
        let mut run = settings(server, CREATOR, &target);
        (run.keep_until, run.is_direct) = (None, is_direct);
        let fault = refused(run, &backup);
        assert!(fault.message.contains("1 subscription that creator may not drop"), "{}", fault.message);
    }
    let done = restore(settings(server, CREATOR, &target), &backup).unwrap();
    assert!(done.notes.join("\n").contains("which stay with the replaced database"), "{:?}", done.notes);
    let previous = done.previous.unwrap().name;
    server.sql(&previous, "drop subscription s");
}

#[test]
fn what_is_put_back_has_no_subscriptions_of_its_own_and_replaces_one_that_has() {
    let server = postgres(16);
    let source = source(server);
    let backup = Backup::new(server.dump(16, &source, &[]));
    forget(server, &source);
    let target = fresh("put_back");
    let nightly = |number: u32| PostgresTarget {
        run_id: format!("0000000{number}"),
        keep_until: Some("2099-01-01T00:00:00Z".parse().unwrap()),
        ..wanted(server, SUPERUSER, &target)
    };
    restore(nightly(0), &backup).unwrap();
    let previous = restore(nightly(1), &backup).unwrap().previous.unwrap().name;
    assert_eq!(server.sql(&previous, MADE), "Odd s|f|\nnews|f|");

    let run = PostgresTarget { keep_until: None, ..nightly(2) };
    let mut engine = Target::new(run, Context::default());
    engine.survey().unwrap();
    let entry = engine.examine_previous(0, &previous).unwrap();
    engine.preflight(only(&entry)).unwrap();
    engine.load_previous(&previous, only(&entry)).unwrap();
    engine.verify(only(&entry)).unwrap();
    engine.switch().unwrap();
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(databases(server, &target), [target.clone(), previous.clone()]);
    assert_eq!(
        (server.sql(&target, MADE).as_str(), server.sql(&target, "select count(*) from t").as_str()),
        ("", "2")
    );
    assert_eq!(server.sql(&previous, MADE), "Odd s|f|\nnews|f|");
}

#[test]
fn a_privileged_login_drops_databases_and_the_other_one_its_subscriptions() {
    for major in [16, 18] {
        let server = postgres(major);
        let source = source(server);
        let backup = Backup::new(server.dump(18, &source, &["--format=custom"]));
        forget(server, &source);
        let login = fresh(&format!("unprivileged_{major}"));
        server.sql(
            "postgres",
            &format!(
                "create role {login} login password '{PASSWORD}'; grant pg_create_subscription to {login}"
            ),
        );
        let target = fresh(&format!("privileged_{major}"));
        for is_direct in [false, false, true] {
            let run = PostgresTarget {
                privileged: Some(access(SUPERUSER)),
                is_direct,
                ..wanted(server, &login, &target)
            };
            restore(run, &backup).unwrap_or_else(|fault| panic!("{major}: {}", fault.full_message()));
            assert_eq!(server.sql(&target, MADE), "Odd s|f|\nnews|f|", "{major}");
            let owners = "select distinct pg_get_userbyid(subowner) from pg_subscription s \
                          join pg_database d on d.oid = subdbid where datname = current_database()";
            assert_eq!(server.sql(&target, owners), login);
            assert_eq!(databases(server, &target), [target.as_str()]);
        }
    }
}

#[test]
fn a_target_that_holds_nothing_but_a_subscription_is_kept_as_one_that_holds_data() {
    let server = postgres(15);
    let target = fresh("subscribed_only");
    server.sql("postgres", &format!("create database {target} owner {SUPERUSER}"));
    let sql = "create subscription s connection 'host=publisher.invalid' publication p with (connect = false, slot_name = none)";
    server.sql(&target, sql);
    let mut engine = Target::new(settings(server, SUPERUSER, &target), Context::default());
    assert!(engine.survey().unwrap().iter().all(|survey| survey.holds.is_some()));
    engine.discard();
    let done =
        restore(settings(server, SUPERUSER, &target), &Backup::script("CREATE TABLE new (a integer);\n"))
            .unwrap();
    let previous = done.previous.unwrap();
    assert_eq!(server.sql(&previous.name, MADE), "s|f|");
    server.sql(&previous.name, "drop subscription s");
}

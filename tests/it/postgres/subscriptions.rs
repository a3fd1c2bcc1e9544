//! Subscriptions of dumps: left out, or made last of all, disabled and without their slots.

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::statement::Part;
use reinstate::runner::engine::postgres::{Parts, PostgresTarget};
use reinstate::runner::engine::{Context, Engine};
use reinstate::runner::fault::Result;
use reinstate::runner::journal::Touched;

use super::restores::{Backup, Done, Target, databases, fresh, refused, restore, settings, steps};
use crate::parts::postgres::{CREATOR, PASSWORD, Postgres, SUPERUSER, postgres};
use crate::parts::{only, wait_until};

/// Stands where passwords of publishers do.
pub(super) const CANARY: &str = "canary-of-the-publisher";
/// Name, enabled or not, slot; of one database.
pub(super) const MADE: &str = "select subname, subenabled, subslotname from pg_subscription s join pg_database d on d.oid = subdbid \
                    where datname = current_database() order by 1";

pub(super) fn wanted(server: &Postgres, user: &str, target: &str) -> PostgresTarget {
    let mut parts = Parts::default();
    parts.left_out.remove(&Part::Subscriptions);
    PostgresTarget { parts, keep_until: None, ..settings(server, user, target) }
}

/// Options of the newest servers, so far as this one knows them.
fn options(major: u16) -> &'static str {
    match major {
        ..16 => "synchronous_commit = 'local'",
        16 => {
            "binary = true, streaming = parallel, two_phase = on, disable_on_error = true, run_as_owner = true, origin = none"
        }
        _ => "binary = true, streaming = off, two_phase = on, origin = none, failover = true",
    }
}

/// A database with two subscriptions: one with a slot, one without.
pub(super) fn source(server: &Postgres) -> String {
    let database = server.database();
    let connection = format!("host=publisher.invalid dbname=x user=u password=''{CANARY}''");
    server.sql(
        &database,
        &format!(
            "create table t (a int primary key); insert into t values (1), (2);
             create subscription news connection '{connection}' publication p, \"Odd \"\"p\"
                 with (connect = false, slot_name = 'its_slot', {});
             create subscription \"Odd s\" connection '{connection}' publication p with (connect = false, slot_name = none);
             comment on subscription news is 'told it''s'",
            options(server.major)
        ),
    );
    database
}

/// Lets the server drop a database of a test, whose subscriptions have a slot that no publisher has.
pub(super) fn forget(server: &Postgres, database: &str) {
    for name in ["news", "\"Odd s\""] {
        server.sql(
            database,
            &format!("alter subscription {name} set (slot_name = none); drop subscription {name}"),
        );
    }
}

pub(super) fn told(done: &Done) -> String {
    [done.notes.as_slice(), &done.verified.checks].concat().join("\n")
}

#[test]
fn subscriptions_are_left_out_by_default_and_made_idle_where_they_are_wanted() {
    for (major, client) in [(10, 15), (12, 18), (15, 15), (16, 16), (18, 18)] {
        let server = postgres(major);
        let source = source(server);
        for form in ["plain", "custom"] {
            let backup = Backup::new(server.dump(client, &source, &[&format!("--format={form}")]));
            assert_eq!(backup.entry.facts.outside.subscriptions, 2, "{major} {form}");
            let target = fresh(&format!("subs_{major}_{form}"));
            let mut by_default = settings(server, SUPERUSER, &target);
            by_default.keep_until = None;
            let done = restore(by_default, &backup).unwrap();
            assert!(
                told(&done).contains("1 statement subscription news …: this run leaves it out"),
                "{}",
                told(&done)
            );
            assert_eq!(server.sql(&target, MADE), "", "{major} {form}");

            let done = restore(wanted(server, SUPERUSER, &target), &backup)
                .unwrap_or_else(|fault| panic!("{major} {form}: {}", fault.full_message()));
            assert_eq!(server.sql(&target, MADE), "Odd s|f|\nnews|f|", "{major} {form}");
            let notes = done.notes.join("\n");
            for part in [
                format!(
                    "subscription news of {target} is made disabled and without its slot (in the backup: its_slot)"
                ),
                format!(
                    "subscription \"Odd s\" of {target} is made disabled and without its slot (in the backup: none)"
                ),
                "subscriptions belong to postgres; to take one up".to_owned(),
            ] {
                assert!(notes.contains(&part), "{part}: {notes}");
            }
            assert!(!told(&done).contains(CANARY));
            let all = "select subname, subconninfo, subpublications, subsynccommit, obj_description(s.oid, 'pg_subscription') \
                       from pg_subscription s join pg_database d on d.oid = subdbid where datname = current_database() order by 1";
            assert_eq!(server.sql(&target, all), server.sql(&source, all), "{major} {form}");
            // All options are those of the original, but for the slot.
            let options = |database: &str| {
                let text = server.canonical(database);
                let lines = text.lines().filter(|line| line.contains("SUBSCRIPTION")).map(str::to_owned);
                lines.collect::<Vec<_>>().join("\n").replace("slot_name = 'its_slot'", "slot_name = NONE")
            };
            assert_eq!(options(&target), options(&source), "{major} {form}");
        }
        forget(server, &source);
    }
}

#[test]
fn who_may_make_databases_needs_one_more_right_and_is_told_so_before_the_first_write() {
    let backup = |server: &Postgres| {
        let source = source(server);
        let backup = Backup::new(server.dump(18, &source, &[]));
        forget(server, &source);
        backup
    };
    for (major, expected) in
        [(15, "before PostgreSQL 16 superusers alone may"), (18, "it is no member of pg_create_subscription")]
    {
        let server = postgres(major);
        let backup = backup(server);
        let target = fresh(&format!("no_right_{major}"));
        let fault = refused(wanted(server, CREATOR, &target), &backup);
        assert_eq!(fault.reason, Reason::PermissionDenied, "{major}: {}", fault.message);
        assert!(
            fault.message.contains(expected) && fault.message.contains("subscriptions: Skip"),
            "{}",
            fault.message
        );
        assert!(databases(server, &target).is_empty(), "nothing was made");
        restore(settings(server, CREATOR, &target), &backup).unwrap();
    }
    for major in [16, 18] {
        let server = postgres(major);
        let backup = backup(server);
        let login = fresh(&format!("subscriber_{major}"));
        server.sql(
            "postgres",
            &format!("create role {login} login createdb password '{PASSWORD}'; grant pg_create_subscription to {login}"),
        );
        let target = fresh(&format!("right_{major}"));
        for night in 0..2 {
            restore(wanted(server, &login, &target), &backup)
                .unwrap_or_else(|fault| panic!("{major} {night}: {}", fault.full_message()));
            assert_eq!(server.sql(&target, MADE), "Odd s|f|\nnews|f|", "{major}");
        }
        assert_eq!(databases(server, &target), [target.as_str()]);

        // An empty database of an administrator, in place.
        let placed = fresh(&format!("placed_{major}"));
        let plain = fresh(&format!("placed_by_{major}"));
        server.sql(
            "postgres",
            &format!("create role {plain} login password '{PASSWORD}'; grant pg_create_subscription to {plain}; create database {placed}"),
        );
        server.sql(&placed, &format!("grant create on schema public to {plain}"));
        let fault = refused(wanted(server, &plain, &placed), &backup);
        assert_eq!(fault.reason, Reason::PermissionDenied, "{}", fault.message);
        assert!(
            fault.message.contains(&format!("it lacks CREATE on the database {placed}")),
            "{}",
            fault.message
        );
        server.sql(&placed, &format!("grant create on database {placed} to {plain}"));
        restore(wanted(server, &plain, &placed), &backup)
            .unwrap_or_else(|fault| panic!("{}", fault.full_message()));
        assert_eq!(server.sql(&placed, MADE), "Odd s|f|\nnews|f|", "{major}");
        // And over its own result, emptied first.
        let mut again = wanted(server, &plain, &placed);
        again.is_direct = true;
        restore(again, &backup).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
        assert_eq!(server.sql(&placed, MADE), "Odd s|f|\nnews|f|", "{major}");

        // No superuser subscribes without a password.
        let script = Backup::script(
            "CREATE TABLE t (a int);\nCREATE SUBSCRIPTION s CONNECTION 'host=h' PUBLICATION p WITH (connect = false, slot_name = 's');\n",
        );
        let fault = refused(wanted(server, &login, &target), &script);
        assert!(
            fault.message.contains("(SQLSTATE 2F003: who is no superuser needs a password"),
            "{}",
            fault.message
        );
        assert_eq!(databases(server, &target), [target.as_str()]);
    }
}

/// All steps up to the switch.
fn verified(engine: &mut Target, backup: &Backup) -> Result<()> {
    engine.survey()?;
    engine.preflight(only(&backup.entry))?;
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice())?;
    engine.verify(only(&backup.entry)).map(drop)
}

#[test]
fn they_are_made_after_hooks_and_a_run_that_fails_leaves_none() {
    let server = postgres(16);
    let source = source(server);
    let backup = Backup::new(server.dump(16, &source, &[]));
    forget(server, &source);
    let target = fresh("failing");
    let shadow = format!("{target}.reinstate-shadow-0a1b2c3d");
    let none = "select count(*) from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())";

    let mut engine = Target::new(wanted(server, SUPERUSER, &target), Context::default());
    verified(&mut engine, &backup).unwrap();
    assert_eq!(server.sql(&shadow, none), "0", "not before the hooks");
    engine.hook(0, "SELECT 1/0").unwrap_err();
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(databases(server, &target), Vec::<String>::new());

    // Somebody takes the target's name before the switch: what was made is dropped again.
    let mut engine = Target::new(wanted(server, SUPERUSER, &target), Context::default());
    verified(&mut engine, &backup).unwrap();
    server.sql("postgres", &format!("create database {target}"));
    assert_eq!(engine.switch().unwrap_err().reason, Reason::TargetChanged);
    assert_eq!(server.sql(&shadow, none), "2");
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(databases(server, &target), [target.as_str()]);

    // A load of a dead run, whose subscriptions are there.
    let mut engine = Target::new(wanted(server, SUPERUSER, &target), Context::default());
    verified(&mut engine, &backup).unwrap();
    server.sql(
        &shadow,
        "create subscription s connection 'host=h' publication p with (connect = false, slot_name = none)",
    );
    drop(engine);
    let mut engine = Target::new(wanted(server, SUPERUSER, &target), Context::default());
    wait_until("the lock of the dead run is free", || engine.survey().is_ok());
    assert_eq!(engine.clear(&[], "2026-01-01T00:00:00Z".parse().unwrap()).unwrap(), [shadow.as_str()]);
    engine.discard();

    // One that somebody has given a slot stays, and the database with it.
    let mut engine = Target::new(wanted(server, SUPERUSER, &target), Context::default());
    verified(&mut engine, &backup).unwrap();
    server.sql(
        &shadow,
        "create subscription s connection 'host=h' publication p with (connect = false, slot_name = 'x')",
    );
    let left = engine.discard();
    assert!(left.len() == 1 && left[0].starts_with(&shadow), "{left:?}");
    assert!(left[0].contains("subscription"), "{left:?}");
    server.sql(&shadow, "alter subscription s set (slot_name = none); drop subscription s");
    server.sql("postgres", &format!("drop database \"{shadow}\"; drop database {target}"));
}

#[test]
fn a_held_load_has_its_subscriptions_and_is_taken_up_or_dropped_with_them() {
    let server = postgres(18);
    let source = source(server);
    let backup = Backup::new(server.dump(18, &source, &["--format=custom"]));
    forget(server, &source);
    for is_wanted in [true, false] {
        let target = fresh(&format!("held_{is_wanted}"));
        let mut run = wanted(server, SUPERUSER, &target);
        run.holds = true;
        let mut engine = Target::new(run.clone(), Context::default());
        verified(&mut engine, &backup).unwrap();
        let held = engine.hold().unwrap().remove(0);
        assert!(engine.switch_notes().join("\n").contains("subscription news of"), "told when it is held");
        assert_eq!(engine.discard(), Vec::<String>::new());
        assert_eq!(server.sql(&held, MADE), "Odd s|f|\nnews|f|");

        run.run_id = "0b0b0b0b".to_owned();
        let mut engine = Target::new(run, Context::default());
        engine.survey().unwrap();
        if is_wanted {
            engine.take_up(0, &held).unwrap();
            engine.switch().unwrap();
            assert_eq!(server.sql(&target, MADE), "Odd s|f|\nnews|f|");
        } else {
            assert_eq!(
                engine.clear(std::slice::from_ref(&held), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap(),
                [held]
            );
        }
        assert_eq!(engine.discard(), Vec::<String>::new());
        assert_eq!(databases(server, &target).len(), usize::from(is_wanted));
    }
}

#[test]
fn a_connection_string_is_never_shown() {
    let server = postgres(18);
    for (number, connection) in [
        format!("'host=''unterminated password={CANARY}'"),
        format!("'{CANARY}'"),
        format!("'{CANARY}=x'"),
        format!("'host=h port={CANARY}'"),
        format!("'postgresql://u:{CANARY}@h:99999999/x?{CANARY}=1'"),
    ]
    .into_iter()
    .enumerate()
    {
        let backup = Backup::script(&format!(
            "CREATE TABLE t (a int);\nCREATE SUBSCRIPTION s CONNECTION {connection} PUBLICATION p \
             WITH (connect = false, slot_name = 's');\n"
        ));
        let target = fresh(&format!("canary_{number}"));
        let context = Context::default();
        let mut engine = Target::new(wanted(server, SUPERUSER, &target), context.clone());
        let result = steps(&mut engine, &backup);
        let shown = format!("{engine:?}");
        assert!(!shown.contains(CANARY), "{shown}");
        assert_eq!(engine.discard(), Vec::<String>::new());
        if let Err(fault) = result {
            assert_eq!(fault.reason, Reason::RestoreFailed, "{connection}");
            assert!(
                fault.message.contains("line 3 of the dump: the server refused the subscription s"),
                "{}",
                fault.message
            );
            let all = format!("{fault:?} {}", fault.full_message());
            assert!(!all.contains("canary") && !all.contains("publisher"), "{all}");
            assert_eq!((context.journal.touched(), databases(server, &target)), (Touched::No, Vec::new()));
        } else {
            assert_eq!(number, 3, "{connection}: a port is looked at when it is used");
        }
    }
}

#[test]
fn a_subscription_of_a_form_that_no_dump_tool_writes_is_refused() {
    let server = postgres(18);
    for options in ["connect = false, unheard_of = true", "enabled = true", "connect = false, binary = (1)"] {
        let text = format!(
            "CREATE TABLE t (a int);\nCREATE SUBSCRIPTION s CONNECTION 'password={CANARY}' PUBLICATION p WITH ({options});\n"
        );
        let target = fresh("odd_form");
        for all_statements in [false, true] {
            let run = PostgresTarget { all_statements, ..wanted(server, SUPERUSER, &target) };
            let fault = refused(run, &Backup::script(&text));
            assert_eq!(fault.reason, Reason::UnsafeContent, "{options}: {}", fault.message);
            assert!(!format!("{fault:?}").contains(CANARY), "{options}");
        }
    }
}

#[test]
fn event_triggers_of_the_dump_see_no_subscription() {
    for major in [12, 18] {
        let server = postgres(major);
        let source = source(server);
        server.sql(
            &source,
            "create table log (a text); create function watch() returns event_trigger language plpgsql as
                 'begin insert into public.log values (current_query()); end';
             create event trigger watch on ddl_command_start execute procedure watch()",
        );
        let backup = Backup::new(server.dump(18, &source, &["--format=custom"]));
        let target = fresh(&format!("unwatched_{major}"));
        for _ in 0..2 {
            restore(wanted(server, SUPERUSER, &target), &backup)
                .unwrap_or_else(|fault| panic!("{major}: {}", fault.full_message()));
            assert_eq!(server.sql(&target, "select count(*) from log"), "0", "{major}");
            assert_eq!(server.sql(&target, MADE), "Odd s|f|\nnews|f|");
        }
        forget(server, &source);
    }
}

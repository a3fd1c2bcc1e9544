//! `strategy: Direct`: what the target holds goes before the load, and only when all else is known to fit.

use std::time::Duration;

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::PostgresTarget;
use reinstate::runner::engine::{Action, Context, Engine, Incoming};
use reinstate::runner::journal::Touched;

use super::restores::{
    Backup, Done, Target, databases, difference, fresh, restore, session_in, settings, source, steps,
};
use crate::parts::only;
use crate::parts::postgres::{CREATOR, PLAIN, Postgres, canonical_text, postgres};

fn direct(server: &Postgres, user: &str, database: &str) -> PostgresTarget {
    let mut settings = settings(server, user, database);
    settings.is_direct = true;
    settings.sessions_timeout = Duration::from_millis(300);
    settings
}

/// A target of `owner` with data of its own.
fn target(server: &Postgres, test: &str, owner: &str) -> String {
    let name = fresh(&format!("direct_{test}"));
    server.sql("postgres", &format!("create database {name} owner {owner}"));
    server.sql(&name, &format!("set role {owner}; create table old as select 1 as a"));
    name
}

/// A run that fails: why, whether the target was touched, and that nothing of the run is left.
fn failing(settings: PostgresTarget, backup: &Backup) -> (Reason, String, Touched) {
    let context = Context::default();
    let mut engine = Target::new(settings, context.clone());
    let fault = steps(&mut engine, backup).err().expect("it fails");
    assert_eq!(engine.discard(), Vec::<String>::new());
    (fault.reason, fault.full_message(), context.journal.touched())
}

#[test]
fn the_old_database_is_dropped_before_the_load_and_the_new_one_has_what_belonged_to_it() {
    let server = postgres(15);
    let name = target(server, "direct", CREATOR);
    server.sql(
        "postgres",
        &format!(
            "comment on database {name} is 'ours'; alter database {name} connection limit 7; \
             alter database {name} set work_mem to '5MB'; revoke all on database {name} from public"
        ),
    );
    let Done { action, notes, previous, touched, .. } =
        restore(direct(server, CREATOR, &name), &Backup::script("CREATE TABLE new (a integer);\n")).unwrap();
    assert_eq!((action, previous, touched), (Action::Replace, None, Touched::Yes));
    assert!(notes.iter().any(|note| note.contains("is dropped before the load")), "{notes:?}");
    assert_eq!(databases(server, &name), [name.as_str()]);
    let kept = format!(
        "select shobj_description(oid, 'pg_database') || datconnlimit || \
                (select setconfig[1] from pg_db_role_setting where setdatabase = d.oid) || \
                has_database_privilege('{PLAIN}', oid, 'CONNECT') from pg_database d where datname = '{name}'"
    );
    assert_eq!(server.sql("postgres", &kept), "ours7work_mem=5MBfalse");
    assert_eq!(
        server.sql(&name, "select to_regclass('old') is null and to_regclass('new') is not null"),
        "t"
    );
}

#[test]
fn a_load_that_fails_has_cost_the_old_data_and_says_so() {
    let server = postgres(15);
    let name = target(server, "failed", CREATOR);
    let backup = Backup::script("CREATE TABLE new (a no_such_type);\n");
    let (reason, message, touched) = failing(direct(server, CREATOR, &name), &backup);
    assert_eq!((reason, touched), (Reason::RestoreFailed, Touched::Yes), "{message}");
    assert_eq!(databases(server, &name), Vec::<String>::new());
}

#[test]
fn a_target_that_is_in_use_or_cannot_be_replaced_keeps_its_data() {
    let server = postgres(15);
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    let used = target(server, "used", CREATOR);
    let other = session_in(server, CREATOR, &used);
    let (reason, message, touched) = failing(direct(server, CREATOR, &used), &backup);
    assert_eq!((reason, touched), (Reason::TargetBusy, Touched::No), "{message}");
    assert_eq!(
        (databases(server, &used), server.sql(&used, "select a from old")),
        (vec![used.clone()], "1".into())
    );
    let mut ending = direct(server, CREATOR, &used);
    ending.ends_sessions = true;
    restore(ending, &backup).unwrap();
    drop(other);

    let slotted = target(server, "slotted", CREATOR);
    server.sql(&slotted, "select pg_create_physical_replication_slot('unrelated')");
    restore(direct(server, CREATOR, &slotted), &backup).unwrap();
    server.sql("postgres", "select pg_drop_replication_slot('unrelated')");

    let foreign = target(server, "foreign", PLAIN);
    let (reason, message, touched) = failing(direct(server, CREATOR, &foreign), &backup);
    assert_eq!((reason, touched), (Reason::PermissionDenied, Touched::No), "{message}");
    assert_eq!(server.sql(&foreign, "select a from old"), "1");
}

/// Objects of every kind that a login may make in its own database.
const EVERYTHING: &str = "
    create schema shop; create table shop.t (a serial primary key, b text); insert into shop.t (b) values ('x');
    create table parent (a integer) partition by list (a); create table part partition of parent for values in (1);
    create type colour as enum ('red'); create domain short as text check (length(value) < 9);
    create type pair as (a integer, b colour); create view looking as select * from shop.t;
    create materialized view kept as select * from shop.t; create sequence counter;
    create function twice(integer) returns integer language sql as 'select 2 * $1';
    create procedure nothing() language sql as 'select 1';
    create aggregate total(integer) (sfunc = int4pl, stype = integer);
    create operator === (leftarg = integer, rightarg = integer, function = int4eq);
    create collation plain (locale = 'C'); create text search configuration words (copy = simple);
    create statistics joint on a, b from shop.t; select lo_from_bytea(0, 'abc'); select lo_from_bytea(0, 'def');
    create conversion shout for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
    create table numbered (id bigint generated always as identity); create type span as range (subtype = float8);
    create table spans (a span, b span[], c colour[]);";

#[test]
fn where_no_database_can_be_made_all_that_the_old_one_holds_is_dropped_in_one_transaction() {
    let server = postgres(15);
    let source = source(server);
    let text = |name: &str| canonical_text(&String::from_utf8_lossy(&server.dump(15, name, &["--no-owner"])));
    let expected = text(&source);
    let backup = Backup::new(server.dump(15, &source, &[]));
    let name = target(server, "emptied", PLAIN);
    server.sql(&name, &format!("set role {PLAIN}; {EVERYTHING}"));
    let done = restore(direct(server, PLAIN, &name), &backup);
    let Done { action, notes, touched, .. } = done.unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert_eq!((action, touched), (Action::Replace, Touched::Yes));
    assert!(notes.iter().any(|note| note.contains("are dropped before the load")), "{notes:?}");
    let found = text(&name);
    assert!(found == expected, "{}", difference(&expected, &found));
}

#[test]
fn what_others_own_in_the_target_is_named_and_nothing_is_dropped() {
    let server = postgres(15);
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    for (sql, words, when) in [
        (
            "alter schema public owner to postgres; create table theirs (a integer)",
            "table public.theirs of postgres",
            "before",
        ),
        ("create schema theirs", "schema theirs of postgres", "before"),
        // Its owner is not known beforehand.
        (
            "alter schema public owner to postgres; create text search configuration theirs (copy = simple)",
            "theirs",
            "then",
        ),
    ] {
        let name = target(server, &format!("shared_{}", sql.len()), PLAIN);
        server.sql(&name, sql);
        let (reason, message, touched) = failing(direct(server, PLAIN, &name), &backup);
        assert_eq!((reason, touched), (Reason::PermissionDenied, Touched::No), "{when}: {message}");
        assert!(message.contains(words), "{message}");
        assert_eq!(server.sql(&name, "select a from old"), "1", "{sql}");
    }
}

#[test]
fn what_was_dropped_before_stays_told_where_the_next_target_cannot_be() {
    let server = postgres(15);
    let names = ["gone", "used"].map(|name| target(server, &format!("two_{name}"), CREATOR));
    let other = session_in(server, CREATOR, &names[1]);
    let context = Context::default();
    let mut engine = Target::of_several(&direct(server, CREATOR, ""), &names, context.clone());
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    engine.survey().unwrap();
    let incoming = [0, 1].map(|target| Incoming { target, entry: &backup.entry });
    let fault = engine.load(&incoming, &mut backup.bytes.as_slice()).unwrap_err();
    assert_eq!(fault.reason, Reason::TargetBusy, "{}", fault.full_message());
    assert_eq!(context.journal.touched(), Touched::Yes);
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(databases(server, &names[0]), Vec::<String>::new());
    assert_eq!(server.sql(&names[1], "select a from old"), "1");
    drop(other);
}

#[test]
fn a_verified_load_is_kept_where_the_old_data_are_gone_and_the_switch_fails() {
    let server = postgres(15);
    let name = target(server, "kept", CREATOR);
    let mut engine = Target::new(direct(server, CREATOR, &name), Context::default());
    let backup = Backup::script("CREATE TABLE new (a integer);\nCOPY new (a) FROM stdin;\n7\n\\.\n");
    engine.survey().unwrap();
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
    engine.verify(only(&backup.entry)).unwrap();
    server.sql("postgres", &format!("create database {name}"));
    assert_eq!(engine.switch().unwrap_err().reason, Reason::TargetChanged);
    let left = engine.discard();
    let held = format!("{name}.reinstate-held-0a1b2c3d-kept");
    assert!(left.len() == 1 && left[0].starts_with(&held), "{left:?}");
    assert_eq!(server.sql(&held, "select a from new"), "7");
}

#[test]
fn extensions_stay_with_their_schemas_where_a_database_is_emptied() {
    let server = postgres(15);
    let name = target(server, "extended", PLAIN);
    server.sql(
        &name,
        &format!(
            "create schema tools authorization {PLAIN}; create extension hstore schema tools;
                  set role {PLAIN}; create table tools.mixed (a tools.hstore)"
        ),
    );
    let backup = Backup::script(
        "CREATE SCHEMA tools;\nCREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA tools;\n\
         CREATE TABLE public.new (a tools.hstore);\n",
    );
    restore(direct(server, PLAIN, &name), &backup).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    let left = "select string_agg(relname, ',') from pg_class where relkind = 'r' and oid > 16383";
    assert_eq!(server.sql(&name, left), "new");
}

#[test]
fn who_uses_an_object_of_a_database_that_is_to_be_emptied_keeps_it() {
    let server = postgres(15);
    let name = target(server, "locked", PLAIN);
    let mut other = session_in(server, PLAIN, &name);
    other.run(b"BEGIN").unwrap();
    other.run(b"SELECT a FROM old").unwrap();
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    let (reason, message, touched) = failing(direct(server, PLAIN, &name), &backup);
    assert_eq!((reason, touched), (Reason::TargetBusy, Touched::No), "{message}");
    other.run(b"COMMIT").unwrap();
    let mut ending = direct(server, PLAIN, &name);
    ending.ends_sessions = true;
    restore(ending, &backup).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert!(other.run(b"SELECT 1").is_err());
}

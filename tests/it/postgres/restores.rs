//! Restores into real servers: what arrives equals what was dumped, the old data serves until then, and
//! what a login may not do is said before anything is written.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
pub(super) use reinstate::runner::engine::postgres::Postgres as Target;
use reinstate::runner::engine::postgres::wire::{Connection, Endpoint, Login, Timeouts, Tls, TlsMode};
use reinstate::runner::engine::postgres::{Access, Parts, PostgresTarget};
use reinstate::runner::engine::{Action, Context, Engine, Previous, Verified, scanner};
use reinstate::runner::fault::{Fault, Result};
use reinstate::runner::inventory::{DatabaseEntry, DumpFormat};
use reinstate::runner::journal::Touched;
use reinstate::secret::Secret;

use crate::parts::only;
use crate::parts::postgres::{
    CREATOR, PASSWORD, PLAIN, Postgres, SUPERUSER, canonical_text, own_postgres, postgres,
};

/// A dump with its inventory.
pub(super) struct Backup {
    pub(super) bytes: Vec<u8>,
    pub(super) entry: DatabaseEntry,
}

impl Backup {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self::read(bytes, false)
    }

    /// The same with the digests of its tables' rows.
    pub(super) fn with_digests(bytes: Vec<u8>) -> Self {
        Self::read(bytes, true)
    }

    fn read(bytes: Vec<u8>, digests: bool) -> Self {
        let format =
            if bytes.starts_with(b"PGDMP") { DumpFormat::PostgresArchive } else { DumpFormat::PostgresPlain };
        let mut reader = scanner(format).unwrap();
        if digests {
            reader.digest_rows();
        }
        for piece in bytes.chunks(1000) {
            reader.feed(piece).unwrap();
        }
        let facts = reader.finish().unwrap();
        let sha256 = digest(&SHA256, &bytes).as_ref().try_into().unwrap();
        let entry = DatabaseEntry { name: None, format, bytes: bytes.len() as u64, sha256, facts };
        Self { bytes, entry }
    }

    pub(super) fn script(sql: &str) -> Self {
        Self::new(format!("-- Dumped from database version 15.1\n{sql}").into_bytes())
    }

    pub(super) fn fixture(name: &str) -> Self {
        Self::new(std::fs::read(crate::support::fixtures().join("postgres").join(name)).unwrap())
    }
}

pub(super) fn access(user: &str) -> Access {
    Access { user: user.to_owned(), password: Secret::new(PASSWORD.to_owned()) }
}

pub(super) fn settings(server: &Postgres, user: &str, database: &str) -> PostgresTarget {
    settings_at(server.port, server.ca.clone(), user, database)
}

pub(super) fn settings_at(port: u16, ca: Option<Vec<u8>>, user: &str, database: &str) -> PostgresTarget {
    let mode = if ca.is_some() { TlsMode::VerifyFull } else { TlsMode::Disable };
    let tls = Tls { mode, ca_pem: ca, client: None };
    let endpoint = Endpoint { host: "localhost".to_owned(), port, tls, timeouts: Timeouts::default() };
    PostgresTarget {
        endpoint,
        maintenance_database: "postgres".to_owned(),
        login: access(user),
        privileged: None,
        allows_superuser: user == SUPERUSER,
        all_statements: false,
        database: database.to_owned(),
        expect_identity: None,
        keep_until: Some("2099-01-01T00:00:00Z".parse().unwrap()),
        run_id: "0a1b2c3d".to_owned(),
        ends_sessions: false,
        is_direct: false,
        holds: false,
        // A psql of the test may still be ending.
        sessions_timeout: Duration::from_secs(20),
        version_guard_warn: false,
        counts_rows: true,
        analyzes: true,
        lanes: 2,
        has_hooks: false,
        parts: Parts::default(),
        statement_timeout: None,
    }
}

/// Somebody else's session in a database.
pub(super) fn session_in(server: &Postgres, user: &str, database: &str) -> Connection {
    let Access { user, password } = access(user);
    let login = Login { user, password, database: database.to_owned(), options: Vec::new() };
    Connection::open(&settings(server, PLAIN, database).endpoint, &login, &Cancel::never()).unwrap()
}

/// What a whole run has to tell.
pub(super) struct Done {
    pub(super) action: Action,
    pub(super) notes: Vec<String>,
    pub(super) verified: Verified,
    pub(super) previous: Option<Previous>,
    pub(super) touched: Touched,
}

/// All steps of a run, as `run` calls them; what it made is removed whatever happens.
pub(super) fn restore(settings: PostgresTarget, backup: &Backup) -> Result<Done> {
    let context = Context::default();
    let mut engine = Target::new(settings, context.clone());
    let done = steps(&mut engine, backup);
    assert_eq!(engine.discard(), Vec::<String>::new());
    done.map(|done| Done { touched: context.journal.touched(), ..done })
}

pub(super) fn steps(engine: &mut Target, backup: &Backup) -> Result<Done> {
    let action = engine.survey()?.remove(0).action;
    let mut notes = engine.preflight(only(&backup.entry))?.notes;
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice())?;
    let verified = engine.verify(only(&backup.entry))?;
    let previous = engine.switch()?.remove(0);
    notes.extend(engine.switch_notes());
    Ok(Done { action, notes, verified, previous, touched: Touched::No })
}

pub(super) fn refused(settings: PostgresTarget, backup: &Backup) -> Fault {
    restore(settings, backup).err().expect("it is refused")
}

/// Databases whose names begin so.
pub(super) fn databases(server: &Postgres, start: &str) -> Vec<String> {
    let sql = format!("select datname from pg_database where strpos(datname, '{start}') = 1 order by 1");
    server.sql("postgres", &sql).lines().map(str::to_owned).collect()
}

/// A name that no other test uses, in a server that all share.
pub(super) fn fresh(test: &str) -> String {
    format!("{test}_{}", std::process::id())
}

/// The source of the fixtures, made anew on a server.
pub(super) fn source(server: &Postgres) -> String {
    let database = server.database();
    let schema = std::fs::read_to_string(crate::support::fixtures().join("postgres/schema.sql")).unwrap();
    server.sql(&database, &schema);
    database
}

#[test]
fn what_arrives_is_what_was_dumped_in_every_form_that_pg_dump_writes() {
    let server = postgres(15);
    let source = source(server);
    let expected = server.canonical(&source);
    for (number, (client, arguments)) in [
        (15, &[][..]),
        (16, &[]),
        (18, &[]),
        (15, &["--inserts"]),
        (15, &["--format=custom"]),
        (18, &["--format=custom"]),
        (15, &["--format=custom", "--compress=0"]),
        (15, &["--format=custom", "--inserts"]),
        (15, &["--format=custom", "--load-via-partition-root"]),
        (15, &["--create"]),
    ]
    .into_iter()
    .enumerate()
    {
        let backup = Backup::new(server.dump(client, &source, arguments));
        let target = fresh(&format!("equal{number}"));
        let done = restore(settings(server, SUPERUSER, &target), &backup)
            .unwrap_or_else(|fault| panic!("{client} {arguments:?}: {}", fault.full_message()));
        assert_eq!((done.action, done.touched), (Action::Create, Touched::No), "{client} {arguments:?}");
        assert!(!done.verified.tables.is_empty());
        let found = server.canonical(&target);
        assert!(found == expected, "{client} {arguments:?}\n{}", difference(&expected, &found));
    }
}

/// Lines that stand in one text only.
pub(super) fn difference(expected: &str, found: &str) -> String {
    let lines = |from: &str, other: &str, mark: char| {
        let only = from.lines().filter(|line| !other.contains(line)).take(20);
        only.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    lines(expected, found, '-') + &lines(found, expected, '+')
}

#[test]
fn a_dump_of_every_version_goes_into_its_own_and_newer_servers() {
    for (fixture, majors) in [
        ("15.sql", &[15, 16, 18][..]),
        ("15.dump", &[15, 16, 18]),
        ("16.dump", &[16, 18]),
        ("18.dump", &[18]),
    ] {
        let backup = Backup::fixture(fixture);
        for major in majors {
            let server = postgres(*major);
            let target = fresh(&format!("newer_{}", fixture.replace('.', "_")));
            let done = restore(settings(server, SUPERUSER, &target), &backup)
                .unwrap_or_else(|fault| panic!("{fixture} into {major}: {}", fault.full_message()));
            let expected: u64 = backup.entry.facts.tables.iter().flatten().map(|table| table.rows).sum();
            assert!(done.verified.tables.iter().map(|table| table.rows).sum::<u64>() >= expected);
        }
    }
    let fault = refused(settings(postgres(15), SUPERUSER, &fresh("older")), &Backup::fixture("18.dump"));
    assert_eq!(fault.reason, Reason::VersionTooNew);
    assert!(fault.message.contains("newer than server (15."), "{}", fault.message);
}

#[test]
fn the_oldest_servers_take_their_own_dumps_and_those_of_older_ones() {
    let schema = "create schema shop;
        create table shop.item (id int generated always as identity primary key, name text not null, price numeric(9,2));
        insert into shop.item (name, price) select 'item ' || g, g from generate_series(1, 100) g;
        create table shop.sold (item int, at date) partition by range (at);
        create table shop.part_of (item int references shop.item);
        create table shop.sold_20 partition of shop.sold for values from ('2020-01-01') to ('2021-01-01');
        insert into shop.sold_20 select g, '2020-02-03' from generate_series(1, 30) g;
        create index on shop.item (lower(name));
        create view shop.dear as select * from shop.item where price > 50;
        create materialized view shop.total as select sum(price) from shop.item;
        create function shop.touch() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger touch before update on shop.item for each row execute procedure shop.touch();
        create extension hstore; create table shop.tags (item int, tags hstore);
        insert into shop.tags values (1, 'a=>1'); comment on table shop.item is 'what is sold';
        select lo_from_bytea(700001, '\\x00ff');";
    for (from, to) in [(10, 10), (10, 12), (12, 12), (12, 15)] {
        let (source_server, server) = (postgres(from), postgres(to));
        let source = source_server.database();
        source_server.sql(&source, schema);
        for format in ["--format=custom", "--format=plain"] {
            let backup = Backup::new(source_server.dump(15, &source, &[format]));
            let target = fresh(&format!("old_{from}_{to}_{}", &format[9..]));
            // Twice: into nothing, then over what is there.
            for action in [Action::Create, Action::Swap] {
                let done = restore(settings(server, SUPERUSER, &target), &backup)
                    .unwrap_or_else(|fault| panic!("{from} into {to}, {format}: {}", fault.full_message()));
                assert_eq!(done.action, action, "{from} into {to}, {format}");
                let rows: u64 = done.verified.tables.iter().map(|table| table.rows).sum();
                assert_eq!(rows, 131, "{from} into {to}, {format}: {:?}", done.verified.tables);
            }
            assert_eq!(server.sql(&target, "select sum from shop.total"), "5050.00");
            if from == to {
                assert_eq!(
                    canonical_text(&String::from_utf8_lossy(&server.dump(15, &target, &[]))),
                    canonical_text(&String::from_utf8_lossy(&server.dump(15, &source, &[]))),
                    "{from} into {to}, {format}"
                );
            }
        }
    }
}

#[test]
fn existing_data_serve_until_the_switch_and_are_kept_beside_it() {
    let server = postgres(15);
    let target = fresh("swapped");
    server.sql("postgres", &format!("create database {target} owner {CREATOR}"));
    server.sql(
        &target,
        &format!("create table old(a int); insert into old values (1); alter table old owner to {CREATOR}"),
    );
    server.sql(
        "postgres",
        &format!(
            "alter database {target} set work_mem = '7MB'; alter database {target} set search_path = a, \"B c\"; \
             comment on database {target} is 'it''s ours'; revoke connect on database {target} from public; \
             grant connect on database {target} to {PLAIN}; alter database {target} connection limit 17"
        ),
    );
    let backup =
        Backup::script("CREATE TABLE public.new (a integer);\nCOPY public.new (a) FROM stdin;\n1\n2\n\\.\n");
    let done = restore(settings(server, CREATOR, &target), &backup).unwrap();
    assert_eq!((done.action, done.touched), (Action::Swap, Touched::Yes));
    let notes: Vec<&String> =
        done.notes.iter().filter(|note| !note.contains("sessions and is replaced")).collect();
    assert!(notes.is_empty(), "{notes:?}");
    let previous = done.previous.unwrap().name;
    assert_eq!(previous, format!("{target}.reinstate-previous-20990101T000000Z"));
    assert_eq!(databases(server, &target), [target.clone(), previous.clone()]);
    assert_eq!(server.sql(&target, "select sum(a) from public.new"), "3");
    assert_eq!(server.sql(&previous, "select count(*) from public.old"), "1");
    let particulars = format!(
        "select datconnlimit, shobj_description(oid, 'pg_database'), datacl from pg_database where datname = '{target}'"
    );
    let particulars = server.sql("postgres", &particulars);
    assert!(particulars.starts_with("17|it's ours|"), "{particulars}");
    assert!(
        particulars.contains(&format!("{PLAIN}=c/{CREATOR}")) && !particulars.contains("{=Tc"),
        "{particulars}"
    );
    assert_eq!(server.sql(&target, "show work_mem; show search_path"), "7MB\na, \"B c\"");

    // And back, as a copy inside the server; what it replaces is not kept.
    let mut back = settings(server, CREATOR, &target);
    back.keep_until = None;
    let mut engine = Target::new(back, Context::default());
    engine.survey().unwrap();
    let entry = engine.examine_previous(0, &previous).unwrap();
    engine.load_previous(&previous, only(&entry)).unwrap();
    engine.verify(only(&entry)).unwrap();
    assert_eq!(engine.switch().unwrap(), [None]);
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(server.sql(&target, "select count(*) from public.old"), "1");
    assert_eq!(databases(server, &target), [target.clone(), previous.clone()]);
    // Its time is not over, then it is.
    let mut engine = Target::new(settings(server, CREATOR, &target), Context::default());
    assert_eq!(engine.clear(&[], "2098-12-31T00:00:00Z".parse().unwrap()).unwrap(), Vec::<String>::new());
    assert_eq!(engine.clear(&[], "2099-01-02T00:00:00Z".parse().unwrap()).unwrap(), [previous]);
    assert_eq!(databases(server, &target), [target]);
}

#[test]
fn a_replaced_database_keeps_its_encoding_and_its_locale_where_the_dump_states_none() {
    let server = postgres(15);
    let target = fresh("german");
    server.sql(
        "postgres",
        &format!(
            "create database {target} owner {CREATOR} template template0 locale_provider icu icu_locale 'de-DE' \
             lc_collate 'C' lc_ctype 'C'"
        ),
    );
    server.sql(&target, "create table old(a int)");
    let shape = format!(
        "select pg_encoding_to_char(encoding), datlocprovider, daticulocale, datcollate from pg_database \
         where datname = '{target}'"
    );
    let before = server.sql("postgres", &shape);
    restore(settings(server, CREATOR, &target), &Backup::script("CREATE TABLE public.new (a integer);\n"))
        .unwrap();
    assert_eq!(server.sql("postgres", &shape), before);
    assert!(before.starts_with("UTF8|i|de"), "{before}");
}

#[test]
fn a_load_that_fails_leaves_the_old_data_and_nothing_beside_them() {
    let server = postgres(15);
    let target = fresh("failing");
    server.sql("postgres", &format!("create database {target} owner {CREATOR}"));
    server.sql(&target, "create table old(a int)");
    for (sql, reason, says) in [
        (
            "CREATE TABLE t (a integer);\nCOPY t (a) FROM stdin;\n1\nx\n\\.\n",
            Reason::RestoreFailed,
            "line 3 of the dump: the server refused rows of t",
        ),
        (
            "CREATE TABLE t (a integer);\nCREATE TABLE t (b integer);\n",
            Reason::RestoreFailed,
            "line 3 of the dump: the server refused CREATE TABLE t (b integer)",
        ),
        ("COPY t FROM PROGRAM 'id';\n", Reason::UnsafeContent, "line 2 of the dump"),
        ("DO $$ BEGIN END $$;\n", Reason::UnsafeContent, "line 2 of the dump: DO"),
        (
            "BEGIN;\nCREATE TABLE public.t (a integer);\n",
            Reason::CorruptBackup,
            "begins a transaction that it does not end",
        ),
    ] {
        let fault = refused(settings(server, CREATOR, &target), &Backup::script(sql));
        assert_eq!(fault.reason, reason, "{}", fault.full_message());
        assert!(fault.message.contains(says), "{}", fault.full_message());
        assert_eq!(databases(server, &target), [target.as_str()], "{sql}");
        assert_eq!(server.sql(&target, "select count(*) from old"), "0");
    }
}

#[test]
fn what_was_empty_and_is_no_longer_is_neither_loaded_into_nor_dropped() {
    let server = postgres(15);
    let backup = Backup::script("CREATE TABLE public.new (a integer);\n");
    for (test, user) in [("filled", CREATOR), ("filledinplace", PLAIN)] {
        let target = fresh(test);
        server.sql("postgres", &format!("create database {target} owner {user}"));
        let context = Context::default();
        let mut engine = Target::new(settings(server, user, &target), context.clone());
        assert_eq!(engine.survey().unwrap().remove(0).action, Action::Create);
        if user == CREATOR {
            engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
            engine.verify(only(&backup.entry)).unwrap();
        }
        server.sql(&target, "create table public.precious as select 1 as a");
        let result = if user == CREATOR {
            engine.switch().map(drop)
        } else {
            engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice())
        };
        let fault = result.unwrap_err();
        assert_eq!(fault.reason, Reason::TargetChanged, "{}", fault.full_message());
        assert_eq!(engine.discard(), Vec::<String>::new());
        assert_eq!(context.journal.touched(), Touched::No);
        assert_eq!(databases(server, &target), [target.as_str()]);
        assert_eq!(server.sql(&target, "select a from public.precious"), "1");
    }
}

#[test]
fn large_objects_partitions_and_policies_arrive_whatever_the_dump_sets() {
    let server = postgres(15);
    let source = server.database();
    server.sql("postgres", &format!("alter database {source} set standard_conforming_strings = off"));
    server.sql(
        &source,
        &format!(
            "select lo_from_bytea(700001, '%PDF-1.7 text'::bytea);
             create table public.p (k int, v text) partition by hash (k);
             create table public.p0 partition of public.p for values with (modulus 2, remainder 0);
             create table public.p1 partition of public.p for values with (modulus 2, remainder 1);
             insert into public.p select g, 'x' from generate_series(1, 50) g;
             create table public.secret (owner text); insert into public.secret values ('a'), ('b');
             alter table public.secret enable row level security, force row level security;
             create policy mine on public.secret using (owner = current_user);
             grant select on all tables in schema public to {CREATOR}"
        ),
    );
    for (number, arguments) in [
        &[][..],
        &["--format=custom"],
        &["--load-via-partition-root"],
        &["--format=custom", "--load-via-partition-root"],
    ]
    .into_iter()
    .enumerate()
    {
        let backup = Backup::new(server.dump(15, &source, arguments));
        let target = fresh(&format!("parts{number}"));
        let done = restore(settings(server, CREATOR, &target), &backup)
            .unwrap_or_else(|fault| panic!("{arguments:?}: {}", fault.full_message()));
        let rows: u64 = done.verified.tables.iter().map(|table| table.rows).sum();
        assert_eq!(rows, 52, "{arguments:?}: {:?}", done.verified.tables);
        assert_eq!(server.sql(&target, "select convert_from(lo_get(700001), 'UTF8')"), "%PDF-1.7 text");
        assert_eq!(server.sql(&target, "select count(*) from public.secret"), "2");
    }
}

#[test]
fn operators_that_a_target_brings_take_no_part_in_our_questions() {
    let server = postgres(15);
    let target = fresh("trapped");
    server.sql("postgres", &format!("create database {target} owner {CREATOR}"));
    server.sql(
        &target,
        "create function public.trap(name, name) returns boolean language plpgsql as
             $$ begin raise exception 'the trap was called'; end $$;
         create operator public.!~ (leftarg = name, rightarg = name, function = public.trap)",
    );
    let backup = Backup::script("CREATE TABLE public.new (a integer);\n");
    let done = restore(settings(server, CREATOR, &target), &backup).unwrap();
    assert_eq!(done.action, Action::Swap);
}

#[test]
fn sessions_of_others_end_the_run_or_are_ended() {
    let server = postgres(15);
    let target = fresh("busy");
    server.sql("postgres", &format!("create database {target} owner {CREATOR}"));
    server.sql(&target, "create table old(a int)");
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    let other = session_in(server, SUPERUSER, &target);
    let mut hasty = settings(server, CREATOR, &target);
    hasty.sessions_timeout = Duration::from_millis(300);
    let fault = refused(hasty, &backup);
    assert_eq!(fault.reason, Reason::TargetBusy, "{}", fault.full_message());
    assert_eq!(databases(server, &target), [target.as_str()]);
    // The creator may end sessions of its own role only.
    let mut ending = settings(server, CREATOR, &target);
    (ending.ends_sessions, ending.privileged) = (true, Some(access(SUPERUSER)));
    let done = restore(ending, &backup).unwrap();
    assert!(done.notes.iter().any(|note| note.contains("they are ended then")), "{:?}", done.notes);
    assert_eq!(server.sql(&target, "select count(*) from new"), "0");
    drop(other);
}

#[test]
fn a_login_that_may_not_create_databases_loads_an_empty_one_in_place_and_no_other() {
    let server = postgres(15);
    let target = fresh("inplace");
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    let fault = refused(settings(server, PLAIN, &target), &backup);
    assert_eq!(fault.reason, Reason::PermissionDenied, "{}", fault.full_message());
    assert!(fault.message.contains("lacks CREATEDB"), "{}", fault.message);
    server.sql("postgres", &format!("create database {target} owner {PLAIN}"));
    let done = restore(settings(server, PLAIN, &target), &backup).unwrap();
    assert_eq!((done.action, done.touched), (Action::Create, Touched::Yes));
    assert!(done.notes.iter().any(|note| note.contains("loaded in place")), "{:?}", done.notes);
    // Now it holds something, and cannot be replaced without another database.
    let fault = refused(settings(server, PLAIN, &target), &backup);
    assert_eq!(fault.reason, Reason::PermissionDenied, "{}", fault.full_message());
    let mut privileged = settings(server, PLAIN, &target);
    privileged.privileged = Some(access(SUPERUSER));
    let done = restore(privileged, &backup).unwrap();
    assert_eq!(done.action, Action::Swap);
    assert_eq!(server.sql(&target, "select tableowner from pg_tables where tablename = 'new'"), PLAIN);
}

#[test]
fn extensions_that_are_missing_or_closed_are_told_before_anything_is_made() {
    let server = postgres(15);
    let target = fresh("extended");
    let empty = fresh("emptyextended");
    server.sql("postgres", &format!("create database {empty} owner {PLAIN}"));
    for (user, database, extension, says) in [
        (CREATOR, &target, "no_such_extension", "that the server does not have: no_such_extension"),
        (PLAIN, &empty, "pageinspect", "only a superuser may create, which plain is not: pageinspect"),
    ] {
        let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension} WITH SCHEMA public;\n");
        let fault = refused(settings(server, user, database), &Backup::script(&sql));
        assert_eq!(fault.reason, Reason::ExtensionNotAvailable, "{}", fault.full_message());
        assert!(fault.message.contains(says), "{}", fault.message);
        assert_eq!(databases(server, &target), Vec::<String>::new());
    }
    // Beside the target it is tried, since a provider's server may let the login.
    let backup = Backup::script("CREATE EXTENSION IF NOT EXISTS pageinspect WITH SCHEMA public;\n");
    let mut engine = Target::new(settings(server, CREATOR, &target), Context::default());
    engine.survey().unwrap();
    let notes = engine.preflight(only(&backup.entry)).unwrap().notes;
    assert!(notes[0].contains("only a superuser may create"), "{notes:?}");
    drop(engine);
    assert_eq!(refused(settings(server, CREATOR, &target), &backup).reason, Reason::PermissionDenied);
    // Trusted ones the owner may create; others an administrator can prepare.
    let trusted = Backup::script("CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n");
    restore(settings(server, CREATOR, &target), &trusted).unwrap();
    let prepared = fresh("prepared");
    server.sql("postgres", &format!("create database {prepared} owner {PLAIN}"));
    server.sql(&prepared, "create extension pageinspect");
    let closed = Backup::script("CREATE EXTENSION IF NOT EXISTS pageinspect WITH SCHEMA public;\n");
    let done = restore(settings(server, PLAIN, &prepared), &closed).unwrap();
    assert_eq!(done.action, Action::Create);
}

#[test]
fn hooks_change_what_was_loaded_before_anybody_sees_it() {
    let server = postgres(15);
    let target = fresh("masked");
    let backup = Backup::script(
        "CREATE TABLE public.person (name text);\nCOPY public.person (name) FROM stdin;\nAda\nGrace\n\\.\n",
    );
    let mut engine = Target::new(settings(server, CREATOR, &target), Context::default());
    engine.survey().unwrap();
    engine.preflight(only(&backup.entry)).unwrap();
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
    engine.verify(only(&backup.entry)).unwrap();
    let masking = "UPDATE person SET name = 'Person; ' || length(name);\n-- the rest\nDELETE FROM person WHERE name LIKE '%3' -- and no semicolon";
    assert_eq!(engine.hook(0, masking).unwrap(), 2);
    for (sql, says) in [
        ("SELECT 1;\nSELECT nothing FROM person;", "line 2: the statement was refused"),
        ("SELECT 'open", "line 1"),
        ("BEGIN; DELETE FROM person;", "a transaction that it does not end"),
        ("\\connect postgres", "line 1"),
        ("COPY person FROM stdin;\n", "line 1: COPY from the script is not possible"),
    ] {
        let fault = engine.hook(0, sql).unwrap_err();
        assert_eq!(fault.reason, Reason::HookFailed, "{sql}: {}", fault.full_message());
        assert!(fault.message.contains(says) && !fault.message.contains("dump"), "{}", fault.full_message());
    }
    engine.switch().unwrap();
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(server.sql(&target, "select name from person"), "Person; 5");
    // In place everybody would see the rows before.
    let place = fresh("maskedinplace");
    server.sql("postgres", &format!("create database {place} owner {PLAIN}"));
    // Nor can it wait for a person.
    for (has_hooks, holds) in [(true, false), (false, true)] {
        let run = PostgresTarget { has_hooks, holds, ..settings(server, PLAIN, &place) };
        let fault = refused(run, &backup);
        assert_eq!(fault.reason, Reason::SwapNotPossible, "{}", fault.full_message());
    }
}

#[test]
fn a_superuser_does_not_load_unless_that_is_allowed() {
    let server = postgres(15);
    let mut strong = settings(server, SUPERUSER, &fresh("strong"));
    strong.allows_superuser = false;
    let fault = refused(strong, &Backup::script("CREATE TABLE new (a integer);\n"));
    assert_eq!(fault.reason, Reason::SuperuserRefused, "{}", fault.full_message());
}

#[test]
fn one_database_of_a_cluster_goes_alone_and_with_its_own_locale() {
    let server = postgres(15);
    let cluster = Backup::fixture("15-all.sql");
    for (from, tables) in [("odd", None), ("My-db \"x\" 'y'", Some("public.t"))] {
        let target = fresh("alone");
        let entry = cluster.entry.of_database(from).unwrap();
        let backup = Backup { bytes: cluster.bytes.clone(), entry };
        let done = restore(settings(server, SUPERUSER, &target), &backup)
            .unwrap_or_else(|fault| panic!("{from}: {}", fault.full_message()));
        let expected = backup.entry.facts.tables.as_ref().unwrap();
        assert_eq!(done.verified.tables.len(), expected.len(), "{from}");
        assert!(tables.is_none_or(|name| expected.iter().any(|table| table.name == name)), "{expected:?}");
        let locale = format!("select datcollate from pg_database where datname = '{target}'");
        assert_eq!(server.sql("postgres", &locale), "C.UTF-8");
        server.sql("postgres", &format!("drop database {target}"));
    }
    assert!(cluster.entry.of_database("no such").is_none());
}

#[test]
fn what_no_dump_tool_writes_is_sent_where_all_statements_are() {
    let server = postgres(15);
    let target = fresh("all");
    let backup = Backup::script(
        "CREATE FUNCTION public.root(double precision) RETURNS double precision LANGUAGE internal AS 'dsqrt';\n\
         DO $$ BEGIN CREATE VIEW public.made AS SELECT public.root(9) AS a; END $$;\n",
    );
    let mut settings = settings(server, SUPERUSER, &target);
    assert_eq!(refused(settings.clone(), &backup).reason, Reason::UnsafeContent);
    settings.all_statements = true;
    restore(settings, &backup).unwrap();
    assert_eq!(server.sql(&target, "select a from made"), "3");
}

#[test]
fn a_script_of_several_databases_is_refused_before_anything_is_made() {
    let server = postgres(15);
    let target = fresh("several");
    let backup = Backup::fixture("15-all.sql");
    let mut engine = Target::new(settings(server, SUPERUSER, &target), Context::default());
    engine.survey().unwrap();
    let fault = engine.preflight(only(&backup.entry)).unwrap_err();
    assert_eq!(fault.reason, Reason::NotSupported);
    assert!(fault.message.contains("several databases (template1"), "{}", fault.message);
    assert_eq!(databases(server, &target), Vec::<String>::new());
}

#[test]
fn another_server_and_a_run_on_the_same_target_are_refused() {
    let server = postgres(15);
    let target = fresh("locked");
    let mut other = settings(server, CREATOR, &target);
    other.expect_identity = Some("1".to_owned());
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    assert_eq!(refused(other, &backup).reason, Reason::IdentityMismatch);
    let mut first = Target::new(settings(server, CREATOR, &target), Context::default());
    let identity = first.survey().unwrap().remove(0).server_identity.unwrap();
    assert_eq!(refused(settings(server, CREATOR, &target), &backup).reason, Reason::TargetLocked);
    drop(first);
    let mut same = settings(server, CREATOR, &target);
    same.expect_identity = Some(identity);
    restore(same, &backup).unwrap();
}

#[test]
fn a_load_that_is_held_is_switched_to_by_its_name_only_as_it_was_verified() {
    let server = postgres(15);
    let target = fresh("held");
    let backup =
        Backup::script("CREATE TABLE public.new (a integer);\nCOPY public.new (a) FROM stdin;\n1\n\\.\n");
    let held_by = |run: &str| {
        let mut settings = settings(server, CREATOR, &target);
        settings.run_id = run.to_owned();
        let mut engine = Target::new(settings, Context::default());
        engine.survey().unwrap();
        engine.preflight(only(&backup.entry)).unwrap();
        engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
        engine.verify(only(&backup.entry)).unwrap();
        engine.query(0, "SELECT count(*) = 1 FROM new").unwrap();
        for (sql, says) in [
            ("SELECT false", "but false"),
            ("SELECT a FROM new", "no boolean"),
            ("DELETE FROM new", "read-only transaction"),
            ("SELECT true; SELECT true", "could not be run"),
        ] {
            let fault = engine.query(0, sql).unwrap_err();
            assert_eq!(fault.reason, Reason::VerificationFailed);
            assert!(fault.full_message().contains(says), "{sql}: {}", fault.full_message());
        }
        let held = engine.hold().unwrap().remove(0);
        assert_eq!(engine.discard(), Vec::<String>::new());
        held
    };
    let changed = held_by("00000001");
    server.sql(&changed, "insert into new values (2)");
    let mut engine = Target::new(settings(server, CREATOR, &target), Context::default());
    engine.survey().unwrap();
    assert_eq!(engine.take_up(0, &changed).unwrap_err().reason, Reason::VerificationFailed);
    assert_eq!(engine.take_up(0, "postgres").unwrap_err().reason, Reason::InvalidSpec);
    drop(engine);
    let held = held_by("00000002");
    let mut engine = Target::new(settings(server, CREATOR, &target), Context::default());
    engine.survey().unwrap();
    engine.take_up(0, &held).unwrap();
    engine.switch().unwrap();
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(databases(server, &target), [target.clone(), changed.clone()]);
    let mut engine = Target::new(settings(server, CREATOR, &target), Context::default());
    let now = "2026-11-29T00:00:00Z".parse().unwrap();
    assert_eq!(engine.clear(std::slice::from_ref(&changed), now).unwrap(), [changed]);
    assert_eq!(databases(server, &target), [target.as_str()]);
}

#[test]
fn objects_that_are_gone_before_they_were_counted_are_missed() {
    let server = postgres(15);
    let source = source(server);
    let backup = Backup::new(server.dump(15, &source, &[]));
    let target = fresh("missed");
    for (sql, missing) in [
        ("drop function public.dollar(text)", "functions in the backup"),
        (
            "do $$ begin execute (select 'drop view ' || oid::regclass || ' cascade' from pg_class \
          where relkind = 'v' and oid > 16383 limit 1); end $$",
            "view",
        ),
    ] {
        let mut engine = Target::new(settings(server, SUPERUSER, &target), Context::default());
        engine.survey().unwrap();
        engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
        server.sql(&format!("{target}.reinstate-shadow-0a1b2c3d"), sql);
        let fault = engine.verify(only(&backup.entry)).unwrap_err();
        assert_eq!(fault.reason, Reason::VerificationFailed);
        assert!(fault.message.contains(missing), "{}", fault.message);
        assert_eq!(engine.discard(), Vec::<String>::new());
    }
    let done = restore(settings(server, SUPERUSER, &target), &backup).unwrap();
    let told = done.verified.checks.iter().find(|check| check.ends_with("are there, as in the backup"));
    assert!(told.is_some_and(|told| told.contains("functions")), "{:?}", done.verified.checks);
}

#[test]
fn the_new_database_lies_in_the_tablespace_of_the_one_that_it_replaces_where_the_login_may_make_it_there() {
    let server = own_postgres(15, &[]);
    let folder = server.folder_for("space");
    server.sql("postgres", &format!("create tablespace fast location '{}'", folder.display()));
    let backup = Backup::script("CREATE TABLE new (a integer);\n");
    let place = "select spcname from pg_database d join pg_tablespace t on t.oid = dattablespace where datname = 'placed'";
    server.sql("postgres", &format!("create database placed owner {CREATOR} tablespace fast"));
    for (granted, expected) in [(true, "fast"), (false, "pg_default")] {
        let verb = if granted {
            "grant create on tablespace fast to"
        } else {
            "revoke create on tablespace fast from"
        };
        server.sql("postgres", &format!("{verb} {CREATOR}"));
        server.sql("placed", "create table old (a integer)");
        let mut run = settings(&server, CREATOR, "placed");
        run.run_id = format!("run{granted}");
        run.keep_until = None;
        let done = restore(run, &backup).unwrap();
        assert_eq!(server.sql("postgres", place), expected);
        assert_eq!(
            done.notes.iter().any(|note| note.contains("tablespace fast")),
            !granted,
            "{:?}",
            done.notes
        );
    }
}

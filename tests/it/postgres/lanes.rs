//! Loading over several connections: all arrives as over one, in order where the order is of use, and what
//! fails on one of them ends the load.

use std::fmt::Write as _;
use std::time::Duration;

use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::engine::{Context, Engine};

use super::restores::{Backup, Done, databases, difference, fresh, refused, restore, settings};
use crate::parts::postgres::{CREATOR, PASSWORD, Postgres, SUPERUSER, postgres};
use crate::parts::wait_until;

/// Several tables: one that is worth several connections, with keys, indexes and foreign keys that share
/// tables, and functions in indexes.
fn large(server: &Postgres) -> String {
    let source = server.database();
    server.sql(
        &source,
        "create function public.second(v int) returns int language sql immutable as 'select v / 2';
         create table public.big (id int primary key, v int, note text);
         insert into public.big select g, g % 977, repeat('x', 60) || g from generate_series(1, 160000) g;
         create table public.ranged (at int, note text); insert into public.ranged select id, note from public.big;
         create index on public.ranged using brin (at);
         create table public.sorted (at int primary key, note text); insert into public.sorted select id, note from public.big;
         alter table public.sorted cluster on sorted_pkey;
         create table public.other (id int primary key references public.big, big int references public.big,
                                    more int references public.big);
         insert into public.other select g, g, g from generate_series(1, 2000) g;
         alter table public.big add column other int references public.other;
         create index on public.big (v); create index on public.big (public.second(v)); create unique index on public.big (note);
         comment on index public.big_v_idx is 'by v'; alter table public.big replica identity using index big_pkey;
         alter table public.other add constraint twice exclude using btree (big with =);
         create table public.counted (id serial primary key); insert into public.counted default values;
         create table public.wide (a text); insert into public.wide select repeat('w', 3000000) from generate_series(1, 3);
         select lo_from_bytea(700001, '\\x00ff')",
    );
    source
}

fn with_lanes(server: &Postgres, target: &str, lanes: usize, backup: &Backup) -> Done {
    let mut settings = settings(server, CREATOR, target);
    settings.lanes = lanes;
    restore(settings, backup).unwrap_or_else(|fault| panic!("{lanes} lanes: {}", fault.full_message()))
}

#[test]
fn any_number_of_connections_brings_the_same_and_keeps_the_order_where_it_is_of_use() {
    let server = postgres(15);
    let source = large(server);
    let expected = server.canonical(&source);
    for (number, arguments) in
        [&["--no-owner"][..], &["--no-owner", "--format=custom"], &["--no-owner", "--inserts"]]
            .into_iter()
            .enumerate()
    {
        let backup = Backup::new(server.dump(15, &source, arguments));
        for lanes in [1, 2, 5] {
            let target = fresh(&format!("lanes{number}_{lanes}"));
            with_lanes(server, &target, lanes, &backup);
            let found = server.canonical(&target).replace(CREATOR, SUPERUSER);
            assert!(found == expected, "{arguments:?}, {lanes} lanes\n{}", difference(&expected, &found));
            if arguments.contains(&"--inserts") {
                continue;
            }
            let writers = |table: &str| {
                server.sql(&target, &format!("select count(distinct xmin::text) from public.{table}"))
            };
            assert_eq!(writers("big") == "1", lanes == 1, "{arguments:?}, {lanes} lanes: {}", writers("big"));
            assert_eq!((writers("ranged").as_str(), writers("sorted").as_str()), ("1", "1"), "{arguments:?}");
            server.sql("postgres", &format!("drop database {target}"));
        }
    }
}

#[test]
fn a_row_that_is_refused_on_one_of_several_connections_ends_the_load() {
    let server = postgres(15);
    let target = fresh("refusing");
    let mut sql = "CREATE TABLE public.t (a integer, b text);\nCOPY public.t (a, b) FROM stdin;\n".to_owned();
    for row in 0..200_000 {
        let number = if row == 150_000 { "x".to_owned() } else { row.to_string() };
        writeln!(sql, "{number}\tsome text that makes the rows longer than they need to be").unwrap();
    }
    sql.push_str("\\.\n");
    for lanes in [1, 3] {
        let mut settings = settings(server, CREATOR, &target);
        settings.lanes = lanes;
        let fault = refused(settings, &Backup::script(&sql));
        let message = fault.full_message();
        assert_eq!(fault.reason, Reason::RestoreFailed, "{message}");
        assert!(message.contains("line 3 of the dump: the server refused rows of public.t"), "{message}");
        assert!(message.contains("invalid input syntax for type integer"), "{message}");
        assert!(databases(server, &target).is_empty());
    }
}

#[test]
fn a_server_that_gives_fewer_connections_gets_a_load_over_those() {
    let server = postgres(15);
    let source = large(server);
    let backup = Backup::new(server.dump(15, &source, &["--no-owner"]));
    let target = fresh("few");
    // One holds the lock, one is for what goes in order, and two are left.
    server
        .sql("postgres", &format!("create role few login createdb connection limit 4 password '{PASSWORD}'"));
    let mut few = settings(server, "few", &target);
    few.lanes = 6;
    restore(few, &backup).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert_eq!(server.sql(&target, "select count(distinct xmin::text) from public.big"), "2");
    server.sql("postgres", "alter role few connection limit 2");
    let fault = refused(settings(server, "few", &target), &backup);
    assert_eq!(fault.reason, Reason::TargetUnavailable, "{}", fault.full_message());
}

/// A dump whose index takes as long as it is let.
const SLOW: &str = "CREATE FUNCTION public.slow(v integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS \
                    $$begin perform pg_sleep(60); return v; end$$;\n\
                    CREATE TABLE public.t (a integer);\nCREATE TABLE public.u (a integer);\n\
                    COPY public.t (a) FROM stdin;\n1\n\\.\n\
                    CREATE INDEX t_slow ON public.t USING btree (public.slow(a));\n\
                    CREATE INDEX u_a ON public.u USING btree (a);\n";

#[test]
fn a_connection_that_is_lost_or_a_run_that_is_stopped_ends_all_of_them() {
    let server = postgres(15);
    let backup = Backup::script(SLOW);
    for (stops, reason) in [(false, Reason::TargetUnavailable), (true, Reason::Interrupted)] {
        let target = fresh(&format!("ending_{stops}"));
        let building = format!(
            "from pg_stat_activity where query like 'CREATE INDEX t_slow%' and datname like '{target}%'"
        );
        let cancel = Cancel::default();
        let context = Context { cancel: cancel.clone(), ..Context::default() };
        let fault = std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let mut engine = super::restores::Target::new(settings(server, CREATOR, &target), context);
                let result = super::restores::steps(&mut engine, &backup);
                assert_eq!(engine.discard(), Vec::<String>::new());
                result.err().expect("it is ended")
            });
            wait_until("the index is being built", || {
                server.sql("postgres", &format!("select count(*) {building}")) == "1"
            });
            if stops {
                cancel.cancel();
            } else {
                server.sql("postgres", &format!("select pg_terminate_backend(pid) {building}"));
            }
            run.join().unwrap()
        });
        assert_eq!(fault.reason, reason, "{}", fault.full_message());
        assert!(databases(server, &target).is_empty());
        let left = format!("select count(*) {building}");
        assert_eq!(server.sql("postgres", &left), "0");
    }
}

#[test]
fn a_statement_that_fails_on_its_way_with_others_is_the_one_that_is_told_of() {
    let server = postgres(15);
    let target = fresh("onitsway");
    let mut sql = String::new();
    for number in 0..300 {
        let kind = if number == 217 { "nosuchtype" } else { "integer" };
        writeln!(sql, "CREATE TABLE public.t{number} (a {kind});").unwrap();
    }
    let fault = refused(settings(server, CREATOR, &target), &Backup::script(&sql));
    let message = fault.full_message();
    assert!(
        message.contains("line 219 of the dump: the server refused CREATE TABLE public.t217"),
        "{message}"
    );
    // And one of those that are built side by side.
    let sql = "CREATE TABLE public.t (a integer);\nCOPY public.t (a) FROM stdin;\n1\n1\n\\.\n\
               CREATE INDEX i ON public.t USING btree (a);\nALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (a);\n";
    let fault = refused(settings(server, CREATOR, &target), &Backup::script(sql));
    let message = fault.full_message();
    assert!(
        message.contains("line 8 of the dump: the server refused ALTER TABLE ONLY public.t ADD"),
        "{message}"
    );
    assert!(message.contains("could not create unique index"), "{message}");
    assert!(databases(server, &target).is_empty());
}

#[test]
fn statements_that_the_run_limits_in_time_end_it() {
    let server = postgres(15);
    let target = fresh("limited");
    let mut hasty = settings(server, CREATOR, &target);
    hasty.statement_timeout = Some(Duration::from_millis(300));
    let fault = refused(hasty, &Backup::script(SLOW));
    assert!(fault.full_message().contains("statement timeout"), "{}", fault.full_message());
}

/// Rows for `COPY public.t (a, b)` that are worth several connections.
pub(super) fn many_rows(count: usize) -> String {
    (0..count)
        .map(|row| format!("{row}\tsome text that makes the rows longer than they need to be\n"))
        .collect()
}

#[test]
fn what_needs_the_rows_of_other_tables_finds_them() {
    let server = postgres(15);
    let rows = many_rows(150_000);
    // A check that looks into another table, as psql has filled it by then; and a view that is filled between.
    let sql = format!(
        "CREATE TABLE public.t (a integer, b text);\n\
         CREATE FUNCTION public.in_t(v integer) RETURNS boolean LANGUAGE sql AS \
         $$select exists (select from public.t where a = v)$$;\n\
         CREATE TABLE public.u (x integer, CONSTRAINT known CHECK (public.in_t(x)));\n\
         CREATE MATERIALIZED VIEW public.v AS SELECT count(*) AS n FROM public.t WITH NO DATA;\n\
         COPY public.t (a, b) FROM stdin;\n{rows}\\.\n\
         COPY public.u (x) FROM stdin;\n149999\n\\.\n\
         BEGIN;\nREFRESH MATERIALIZED VIEW public.v;\nCOMMIT;\n"
    );
    let backup = Backup::script(&sql);
    for lanes in [2, 4] {
        let target = fresh(&format!("asking{lanes}"));
        with_lanes(server, &target, lanes, &backup);
        assert_eq!(server.sql(&target, "select x, n from public.u, public.v"), "149999|150000");
    }
}

#[test]
fn what_a_dump_does_in_its_own_transaction_or_session_stays_there() {
    let server = postgres(15);
    let rows = many_rows(80_000);
    let known = format!(
        "CREATE TABLE public.t (a integer, b text);\nCREATE SEQUENCE public.s;\n\
         BEGIN;\nSELECT pg_catalog.setval('public.s', 7, true);\nCOPY public.t (a, b) FROM stdin;\n{rows}\\.\nCOMMIT;\n\
         ALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (a);\n"
    );
    let target = fresh("transaction");
    with_lanes(server, &target, 3, &Backup::script(&known));
    assert_eq!(
        server.sql(&target, "select count(*), (select last_value from public.s) from public.t"),
        "80000|7"
    );
    // What no dump tool writes, where all is sent.
    let all = format!(
        "CREATE TABLE public.d (at date);\nCREATE TABLE public.t (a integer, b text);\nSET datestyle = 'SQL, DMY';\n\
         COPY public.d (at) FROM stdin;\n03/04/2024\n\\.\n\
         BEGIN TRANSACTION;\nTRUNCATE public.t;\nCOPY public.t (a, b) FROM stdin;\n{rows}\\.\nCOMMIT;\n"
    );
    let target = fresh("strange");
    let mut settings = settings(server, CREATOR, &target);
    (settings.lanes, settings.all_statements) = (3, true);
    restore(settings, &Backup::script(&all)).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert_eq!(server.sql(&target, "select to_char(at, 'YYYY-MM-DD') from public.d"), "2024-04-03");
    assert_eq!(server.sql(&target, "select count(*) from public.t"), "80000");
}

#[test]
fn limits_that_a_role_has_do_not_end_a_load() {
    let server = postgres(18);
    server.sql(
        "postgres",
        &format!(
            "create role hurried login createdb password '{PASSWORD}';
             alter role hurried set idle_session_timeout = '1s'; alter role hurried set transaction_timeout = '1s';
             alter role hurried set idle_in_transaction_session_timeout = '1s'"
        ),
    );
    let mut sql = "CREATE TABLE public.t (a integer, b text);\nCOPY public.t (a, b) FROM stdin;\n".to_owned();
    sql.push_str(&many_rows(200_000));
    sql.push_str("\\.\nALTER TABLE ONLY public.t ADD CONSTRAINT k PRIMARY KEY (a);\n");
    let target = fresh("hurried");
    restore(settings(server, "hurried", &target), &Backup::script(&sql))
        .unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert_eq!(server.sql(&target, "select count(*) from public.t"), "200000");
}

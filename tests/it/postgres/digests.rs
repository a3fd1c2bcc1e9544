//! Content that is compared by digest: equal rows are found equal in every form of a dump, a changed,
//! lost or doubled one is found, and what cannot be compared is said by name.

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::PostgresTarget;
use reinstate::runner::engine::{Context, Engine};
use reinstate::runner::fault::{Fault, Result};

use crate::parts::only;
use crate::parts::postgres::{CREATOR, Postgres, SUPERUSER, own_postgres, postgres};

use super::fidelity;
use super::restores::{Backup, Target, databases, fresh, restore, settings};

/// What is said of the content.
fn told(checks: &[String]) -> Vec<&str> {
    checks.iter().filter(|check| check.contains("by digest")).map(String::as_str).collect()
}

/// Restores, and gives back what is said of the content.
fn checked(server: &Postgres, user: &str, backup: &Backup, what: &str) -> Vec<String> {
    let target = fresh(&format!("digest_{what}"));
    let done = restore(settings(server, user, &target), backup)
        .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
    told(&done.verified.checks).into_iter().map(str::to_owned).collect()
}

/// Loads, lets another session change what was loaded, and compares.
fn verified_after(
    server: &Postgres,
    backup: &Backup,
    what: &str,
    change: &str,
) -> Result<Vec<String>, Fault> {
    let target = fresh(&format!("digest_{what}"));
    // The digests alone are to find it.
    let settings = PostgresTarget { counts_rows: false, ..settings(server, SUPERUSER, &target) };
    let mut engine = Target::new(settings, Context::default());
    engine.survey()?;
    engine.preflight(only(&backup.entry))?;
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice())?;
    let loaded = databases(server, &target);
    assert_eq!(loaded.len(), 1, "{loaded:?}");
    server.sql(&loaded[0], change);
    let verified = engine.verify(only(&backup.entry));
    assert_eq!(engine.discard(), Vec::<String>::new());
    verified.map(|verified| told(&verified.checks).into_iter().map(str::to_owned).collect())
}

#[test]
fn a_database_of_everything_is_found_equal_in_every_form_of_its_dump() {
    for major in [15, 18] {
        let server = postgres(major);
        let source = fidelity::source(server, true);
        // Moments are dumped in the zone of who dumps.
        server.sql("postgres", &format!("alter database {source} set timezone = 'Asia/Kolkata'"));
        let tables = server.sql(
            &source,
            "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' \
             and nspname !~ '^pg_' and nspname <> 'information_schema'",
        );
        for (number, (client, arguments)) in [
            (18, &[][..]),
            (18, &["--format=custom"]),
            (major, &["--format=custom", "--quote-all-identifiers"]),
            (18, &["--clean", "--if-exists", "--no-publications", "--no-owner"]),
        ]
        .into_iter()
        .enumerate()
        {
            let backup = Backup::with_digests(server.dump(client, &source, arguments));
            let said = checked(server, SUPERUSER, &backup, &format!("all_{major}_{number}"));
            if arguments.contains(&"--quote-all-identifiers") {
                // Then they are quoted in the rows, too.
                let names = "types.names_of (names of objects, which each search path writes in another way)";
                assert_eq!(said[1..], [format!("1 table not comparable by digest: {names}")], "{major}");
            } else {
                let all = format!("content of {tables} tables equal by digest");
                assert_eq!(said, [all], "{major} {arguments:?}");
            }
        }
    }
}

/// Tables of every sort that is read back in its own way.
const SOURCE: &str = "
    create table item (id int primary key, name text, at timestamptz, bytes bytea, twice int generated always as (id * 2) stored);
    insert into item (id, name, at, bytes) select g, 'item ' || g || E'\\n\\t\\\\', '2026-07-01'::timestamptz + g * interval '1 hour',
        decode(md5(g::text), 'hex') from generate_series(1, 1000) g;
    insert into item values (0, null, '-infinity', null);
    create table sold (item int, at date) partition by hash (item);
    create table sold_0 partition of sold for values with (modulus 2, remainder 0);
    create table sold_1 partition of sold for values with (modulus 2, remainder 1);
    insert into sold select g % 100, '2026-01-01'::date + g % 365 from generate_series(1, 500) g;
    create table twins (a int, b text);
    insert into twins values (1, 'x'), (1, 'x'), (1, 'x'), (2, 'y');
    create table parent (a int); create table child (b int) inherits (parent);
    insert into parent values (1); insert into child values (2, 3);
    create table nothing (); insert into nothing default values;
    create table void (a int);";

#[test]
fn changed_lost_and_doubled_rows_are_found_where_the_counts_are_right() {
    let server = postgres(15);
    let source = server.database();
    server.sql(&source, SOURCE);
    let plain = Backup::with_digests(server.dump(15, &source, &[]));
    let archive = Backup::with_digests(server.dump(18, &source, &["--format=custom"]));
    let rooted = &["--format=custom", "--load-via-partition-root"];
    let rooted = Backup::with_digests(server.dump(18, &source, rooted));
    for (number, backup) in [&plain, &archive, &rooted].into_iter().enumerate() {
        let unchanged = verified_after(server, backup, &format!("same_{number}"), "select 1").unwrap();
        let tables = if number == 2 { 7 } else { 8 };
        assert_eq!(unchanged, [format!("content of {tables} tables equal by digest")], "{number}");
        for (at, (change, table)) in [
            ("update item set name = 'Item 7' where id = 7", "public.item"),
            ("update item set at = at + interval '1 microsecond' where id = 7", "public.item"),
            ("update item set bytes = '' where id = 0", "public.item"),
            ("update item set name = '' where id = 0", "public.item"),
            ("update twins set (a, b) = (2, 'y') where ctid = '(0,1)'", "public.twins"),
            ("update sold_1 set at = at + 1 where ctid = (select min(ctid) from sold_1)", "public.sold"),
            ("update only parent set a = 2; update child set a = 1", "public.parent"),
            ("alter table item drop twice; update item set id = -1 where id = 0", "public.item"),
        ]
        .into_iter()
        .enumerate()
        {
            let fault = verified_after(server, backup, &format!("other_{number}_{at}"), change).unwrap_err();
            assert_eq!(fault.reason, Reason::VerificationFailed, "{change}: {}", fault.full_message());
            assert!(
                fault.message.starts_with("the digests of rows differ: ") && fault.message.contains(table),
                "{change}: {}",
                fault.message
            );
        }
    }
    let change = "update twins set (a, b) = (2, 'y') where ctid = '(0,1)'";
    let message = verified_after(server, &plain, "said", change).unwrap_err().message;
    let parts = regex::Regex::new(
        "^the digests of rows differ: public.twins: ([0-9a-f]{8}) of 4 rows in the backup, ([0-9a-f]{8}) of 4 rows in the database$",
    );
    let parts = parts.unwrap();
    let found = parts.captures(&message).unwrap_or_else(|| panic!("{message}"));
    assert_ne!(found[1], found[2]);
}

#[test]
fn what_two_servers_write_in_different_ways_is_said_by_name() {
    let (old, server) = (postgres(10), postgres(15));
    let source = old.database();
    old.sql(
        &source,
        "create table plain (a int, b numeric); insert into plain values (1, 0.1);
         create table round (a float8); insert into round values (0.5), (3);
         create table odd (a float8); insert into odd values (0.1);
         create domain price as float4; create type pair as (name text, price price);
         create table inside (a pair[]); insert into inside values (array[row('x', 0.1)::pair]);
         create table place (a point); insert into place values ('(0.1,0.2)');
         create table \"Odd name\" (a int, b float8); insert into \"Odd name\" values (1, 0.7);",
    );
    let backup = Backup::with_digests(old.dump(15, &source, &["--format=custom"]));
    let floats = "floating point numbers, written in another way since PostgreSQL 12";
    let expected = [
        // Numbers that both write alike are compared all the same.
        "content of 2 tables equal by digest".to_owned(),
        format!(
            "4 tables not comparable by digest: public.Odd name ({floats}); public.inside ({floats}); \
             public.odd ({floats}); public.place ({floats})"
        ),
    ];
    assert_eq!(checked(server, SUPERUSER, &backup, "floats"), expected);
    // Of those, too, the number is held to.
    let fault = verified_after(server, &backup, "fewer_floats", "delete from odd").unwrap_err();
    assert!(
        fault.message.contains("public.odd: ") && fault.message.contains("of 0 rows"),
        "{}",
        fault.message
    );
    // Others are held to their content, and the old server writes its own dumps as it did.
    let fault = verified_after(server, &backup, "beside_floats", "update plain set b = 0.2").unwrap_err();
    assert!(fault.message.contains("public.plain: ") && !fault.message.contains("odd"), "{}", fault.message);
    assert_eq!(checked(old, SUPERUSER, &backup, "floats_home"), ["content of 6 tables equal by digest"]);

    let source = server.database();
    server.sql(&source, "create table a (x int); insert into a values (1); create table b (x int)");
    let backup = Backup::with_digests(server.dump(15, &source, &["--inserts"]));
    let said = [
        "content of 0 tables equal by digest",
        "1 table not comparable by digest: public.a (INSERT statements)",
    ];
    assert_eq!(checked(server, SUPERUSER, &backup, "inserts"), said);
    for (rows, said) in [
        (
            "1\\\n2\n",
            "1 table not comparable by digest: public.t (its rows are not written as COPY TO writes them)",
        ),
        (
            "1\r\n2\r\n",
            "1 table not comparable by digest: public.t (its rows are not written as COPY TO writes them)",
        ),
    ] {
        let script = format!("CREATE TABLE public.t (a text);\nCOPY public.t (a) FROM stdin;\n{rows}\\.\n");
        let backup =
            Backup::with_digests(format!("-- Dumped from database version 15.1\n{script}").into_bytes());
        assert_eq!(checked(server, SUPERUSER, &backup, "by_hand")[1..], [said], "{rows:?}");
    }
}

#[test]
fn content_is_compared_in_the_encoding_of_the_dump_and_under_other_settings_of_the_server() {
    let server = own_postgres(
        15,
        &["bytea_output = escape", "datestyle = 'SQL, DMY'", "intervalstyle = sql_standard"],
    );
    let source = server.database();
    server.sql(
        &source,
        "create table words (word text, \"žluť\" interval, bytes bytea, at timestamp);
         insert into words values ('Größe', '1 day 2 hours', '\\x00ff41', '2026-02-01 03:04:05'), ('čaj', '-1 month', '\\x', 'now')",
    );
    for encoding in ["UTF8", "LATIN2", "EUC_JP", "SJIS"] {
        let arguments = [format!("--encoding={encoding}"), "--format=custom".to_owned()];
        if encoding == "EUC_JP" {
            server.sql(&source, "update words set word = '漢字' where word <> '漢字'; alter table words rename \"žluť\" to \"表\"");
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let backup = Backup::with_digests(server.dump(15, &source, &arguments));
        assert_eq!(backup.entry.facts.client_encoding.as_deref(), Some(encoding));
        let said = checked(&server, SUPERUSER, &backup, &format!("in_{encoding}"));
        assert_eq!(said, ["content of 1 table equal by digest"], "{encoding}");
    }
}

#[test]
fn tables_are_known_again_whose_names_the_dump_has_in_another_encoding() {
    let server = postgres(15);
    let source = server.database();
    server.sql(
        &source,
        "create schema \"č\"; create table \"č\".\"žluť\" (a int); insert into \"č\".\"žluť\" values (1), (2);
         create table plain (a int); insert into plain values (3)",
    );
    for (number, format) in ["--format=plain", "--format=custom", "--inserts"].into_iter().enumerate() {
        let backup = Backup::with_digests(server.dump(15, &source, &["--encoding=LATIN2", format]));
        let target = fresh(&format!("spelled_{number}"));
        let done = restore(settings(server, SUPERUSER, &target), &backup)
            .unwrap_or_else(|fault| panic!("{format}: {}", fault.full_message()));
        let found: Vec<_> = done.verified.tables.iter().map(|it| (it.name.as_str(), it.rows)).collect();
        assert_eq!(found, [("public.plain", 1), ("č.žluť", 2)], "{format}");
        let equal = if format == "--inserts" { 0 } else { 2 };
        let said = format!("content of {equal} tables equal by digest");
        assert_eq!(told(&done.verified.checks)[0], said, "{format}");
        let fault =
            verified_after(server, &backup, &format!("respelled_{number}"), "delete from \"č\".\"žluť\"");
        let fault = fault.err().filter(|_| equal > 0);
        assert_eq!(fault.map(|it| it.message.contains("č.žluť: ")), (equal > 0).then_some(true), "{format}");
    }
}

#[test]
fn rows_that_a_policy_hides_from_their_owner_are_said() {
    let server = postgres(15);
    let source = server.database();
    server.sql("postgres", &format!("alter database {source} owner to {CREATOR}"));
    server.sql(
        &source,
        &format!(
            "set session authorization {CREATOR}; create schema s; create table s.open (a int); create table s.hidden (a int);
             insert into s.open values (1); insert into s.hidden values (1);
             alter table s.hidden enable row level security; alter table s.hidden force row level security"
        ),
    );
    let backup = Backup::with_digests(server.dump(15, &source, &[]));
    let said = [
        "content of 1 table equal by digest",
        "1 table not comparable by digest: s.hidden (its policies bind the owner too, or the owner may not read it)",
    ];
    assert_eq!(checked(server, CREATOR, &backup, "policies"), said);
}

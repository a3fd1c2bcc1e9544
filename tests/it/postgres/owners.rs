//! Owners and rights of dumps: as they were, under other names, left out, or refused before anything is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::statement::Part;
use reinstate::runner::engine::postgres::{Parts, PostgresTarget};

use super::fidelity;
use super::restores::{Backup, databases, difference, fresh, refused, restore, settings};
use crate::parts::postgres::{CREATOR, PASSWORD, PLAIN, Postgres, SUPERUSER, own_postgres, postgres};

/// Roles of one test, whose names no other has: roles are the server's, not a database's.
pub(super) struct Cast {
    own: String,
    other: String,
    reader: String,
    odd: String,
}

impl Cast {
    pub(super) fn new(server: &Postgres, test: &str) -> Self {
        let name = |part: &str| fresh(&format!("{test}_{part}"));
        let odd = format!("Odd \"{}\" TO x", fresh(test));
        let cast = Self { own: name("own"), other: name("other"), reader: name("reader"), odd };
        for role in [&cast.own, &cast.other, &cast.reader, &cast.odd] {
            server.sql("postgres", &format!("create role {}", quoted(role)));
        }
        cast
    }
}

fn quoted(role: &str) -> String {
    format!("\"{}\"", role.replace('"', "\"\""))
}

/// A database in which every kind of object has an owner, and rights are of every form.
pub(super) fn source(server: &Postgres, cast: &Cast) -> String {
    let database = server.database();
    let Cast { own, other, reader, odd } = cast;
    let odd = quoted(odd);
    server.sql(
        &database,
        &format!(
            "create schema shop authorization {own}; create schema \"Odd s\" authorization {odd};
             grant usage, create on schema shop to {other}; grant usage on schema shop to {reader};
             set role {own};
             create table shop.item (id serial primary key, name text not null, cost numeric);
             insert into shop.item (name, cost) select 'TO {own}; ' || g, g from generate_series(1, 50) g;
             create table shop.sold (id int generated always as identity, item int references shop.item)
                 partition by range (id);
             create table shop.sold_1 partition of shop.sold for values from (0) to (1000);
             create view shop.names as select name from shop.item;
             create materialized view shop.total as select sum(cost) from shop.item;
             create type shop.mood as enum ('good', 'bad'); create type shop.pair as (a int, b text);
             create domain shop.price as numeric check (value > 0);
             create type shop.span as range (subtype = float8);
             create function shop.secret(a int, out b text) security definer language sql as 'select ''x''::text';
             revoke all on function shop.secret(int) from public;
             grant execute on function shop.secret(int) to {reader};
             create procedure shop.nothing() language sql as 'select 1';
             create function shop.later(int, int) returns int language sql immutable as 'select $1 + $2';
             create aggregate shop.sum_of(int) (sfunc = shop.later, stype = int);
             create operator shop.%% (leftarg = int, rightarg = int, procedure = shop.later);
             create collation shop.german from \"C\";
             create conversion shop.conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
             create text search dictionary shop.words (template = simple);
             create text search configuration shop.search (copy = simple);
             create statistics shop.both on name, cost from shop.item;
             create sequence shop.numbers;
             grant select (name), update (cost) on shop.item to {reader};
             grant select on shop.item to {other} with grant option;
             grant insert on shop.item to public;
             grant usage on type shop.mood to {odd}; revoke usage on domain shop.price from public;
             grant usage on sequence shop.numbers to {reader};
             alter default privileges in schema shop grant select on tables to {reader};
             alter default privileges revoke execute on functions from public;
             alter table shop.item enable row level security;
             create policy mine on shop.item to {own}, {odd} using (name <> 'TO {own}');
             create policy theirs on shop.item as restrictive for select using (true);
             comment on table shop.item is 'OWNER TO {own}';
             set role {other}; grant select on shop.item to {odd};
             create table shop.of_other (a int); insert into shop.of_other values (7);
             reset role;
             set role {odd}; create table \"Odd s\".\"odd TO t\" (a int); reset role;
             select lo_from_bytea(800001, '\\x00ff'); alter large object 800001 owner to {own};
             grant select on large object 800001 to {reader};
             create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;
             grant usage on foreign data wrapper nothing to {own};
             alter server nowhere owner to {own}; grant usage on foreign server nowhere to {other};
             create user mapping for {other} server nowhere options (user 'u', password 'hidden');
             create user mapping for public server nowhere;
             create publication news for table shop.item; alter publication news owner to {own};
             create function public.watch() returns event_trigger language plpgsql as 'begin end';
             create event trigger watch on ddl_command_end execute procedure public.watch();
             alter event trigger watch disable;"
        ),
    );
    database
}

/// Everything of the backup.
pub(super) fn everything() -> Parts {
    Parts { left_out: BTreeSet::from([Part::Subscriptions, Part::SecurityLabels]), ..Parts::default() }
}

pub(super) fn with(server: &Postgres, user: &str, target: &str, parts: Parts) -> PostgresTarget {
    PostgresTarget { parts, ..settings(server, user, target) }
}

#[test]
fn owners_and_rights_arrive_as_they_were() {
    for (major, client) in [(15, 15), (15, 18), (18, 18), (12, 15)] {
        let server = postgres(major);
        let cast = Cast::new(server, &format!("faithful{major}{client}"));
        let source = source(server, &cast);
        let expected = server.canonical(&source);
        assert!(
            expected.contains(&format!("OWNER TO {};", cast.own)) && expected.contains("SET SESSION AUTH")
        );
        for form in ["plain", "custom"] {
            let backup = Backup::new(server.dump(client, &source, &[&format!("--format={form}")]));
            let target = fresh(&format!("faithful_{major}_{client}_{form}"));
            let done = restore(with(server, SUPERUSER, &target, everything()), &backup)
                .unwrap_or_else(|fault| panic!("{major} {client} {form}: {}", fault.full_message()));
            let found = server.canonical(&target);
            assert!(found == expected, "{major} {client} {form}\n{}", difference(&expected, &found));
            let told = done.verified.checks.join("\n");
            assert!(!told.contains("owner") && !told.contains("rights"), "{told}");
        }
    }
}

#[test]
fn a_database_of_everything_keeps_its_owners_and_rights() {
    for major in [15, 18] {
        let server = postgres(major);
        let source = fidelity::source(server, true);
        let expected = server.canonical(&source);
        assert!(
            expected.contains(&format!("OWNER TO {CREATOR};")) && expected.contains("OWNER TO postgres;")
        );
        for form in ["plain", "custom"] {
            let backup = Backup::new(server.dump(major, &source, &[&format!("--format={form}")]));
            let target = fresh(&format!("all_owned_{major}_{form}"));
            restore(with(server, SUPERUSER, &target, everything()), &backup)
                .unwrap_or_else(|fault| panic!("{major} {form}: {}", fault.full_message()));
            let found = server.canonical(&target);
            assert!(found == expected, "{major} {form}\n{}", difference(&expected, &found));
        }
    }
}

#[test]
fn roles_have_the_names_that_the_map_gives_them() {
    let server = postgres(16);
    let (cast, there) = (Cast::new(server, "mapped"), Cast::new(server, "there"));
    let source = source(server, &cast);
    let pairs = [(&cast.own, &there.own), (&cast.other, &there.odd), (&cast.odd, &there.other)];
    let map: BTreeMap<Vec<u8>, Vec<u8>> =
        pairs.iter().map(|(from, to)| (from.as_bytes().to_vec(), to.as_bytes().to_vec())).collect();
    let sql = "select relname, pg_get_userbyid(relowner), relacl::text from pg_class \
               join pg_namespace n on n.oid = relnamespace where nspname in ('shop', 'Odd s') \
               union all select polname, array(select pg_get_userbyid(o) from unnest(polroles) o)::text, '' \
               from pg_policy where polname = 'mine' \
               union all select srvname || ' ' || usename, '', '' from pg_user_mappings order by 1";
    for form in ["plain", "custom"] {
        let backup = Backup::new(server.dump(16, &source, &[&format!("--format={form}")]));
        let target = fresh(&format!("mapped_{form}"));
        let parts = Parts { map: map.clone(), ..everything() };
        restore(with(server, SUPERUSER, &target, parts), &backup)
            .unwrap_or_else(|fault| panic!("{form}: {}", fault.full_message()));
        // In lists the server puts quotes around names, and around those.
        let plain = |text: &str| text.replace(['"', '\\'], "");
        let numbered = |database: &str, roles: [&String; 3]| {
            let text = plain(&server.sql(database, sql));
            let numbers = roles.iter().enumerate();
            numbers.fold(text, |text, (number, role)| text.replace(&plain(role), &format!("<{number}>")))
        };
        let expected = numbered(&source, pairs.map(|(from, _)| from));
        let found = numbered(&target, pairs.map(|(_, to)| to));
        assert_eq!(found, expected, "{form}");
        assert!(found.contains("<0>") && found.contains("<1>") && found.contains("<2>"), "{found}");
        let name = format!("TO {}; 1", cast.own);
        assert_eq!(server.sql(&target, "select name from shop.item where id = 1"), name, "data stay");
    }
}

/// A dump with roles that no server has.
fn of_nobody() -> String {
    "CREATE TABLE public.t (a integer);\nALTER TABLE public.t OWNER TO nobody_owner;\n\
     COPY public.t (a) FROM stdin;\n1\n\\.\n\
     CREATE POLICY p ON public.t TO nobody_reader, plain USING (true);\n\
     CREATE POLICY q ON public.t TO nobody_reader USING (true);\n\
     GRANT SELECT ON TABLE public.t TO nobody_reader;\nGRANT SELECT ON TABLE public.t TO plain;\n\
     SET SESSION AUTHORIZATION nobody_grantor;\nGRANT INSERT ON TABLE public.t TO plain;\nRESET SESSION AUTHORIZATION;\n\
     ALTER DEFAULT PRIVILEGES FOR ROLE nobody_maker GRANT SELECT ON TABLES TO plain;\n"
        .to_owned()
}

#[test]
fn a_role_that_the_server_does_not_have_ends_the_run_before_it_writes() {
    let server = postgres(15);
    let backup = Backup::script(&of_nobody());
    for (left_out, names) in [
        (
            vec![],
            "nobody_grantor (grants rights), nobody_maker (default rights), nobody_owner (owner), nobody_reader (has rights, policy)",
        ),
        (
            vec![Part::Owners],
            "nobody_grantor (grants rights), nobody_maker (default rights), nobody_reader (has rights, policy)",
        ),
        (vec![Part::Grants], "nobody_owner (owner), nobody_reader (policy)"),
        (vec![Part::Grants, Part::Owners], "nobody_reader (policy)"),
    ] {
        let target = fresh("nobody");
        let parts = Parts { left_out: left_out.iter().copied().collect(), ..Parts::default() };
        let fault = refused(with(server, CREATOR, &target, parts), &backup);
        assert_eq!(fault.reason, Reason::RoleMissing, "{left_out:?}");
        let expected = format!("the backup names roles that the server does not have: {names}");
        assert_eq!(fault.message, expected, "{left_out:?}");
        assert!(databases(server, &target).is_empty(), "nothing was made");
    }
    let parts = Parts {
        map: BTreeMap::from([(b"nobody_reader".to_vec(), b"nobody_either".to_vec())]),
        ..Parts::default()
    };
    let fault = refused(with(server, CREATOR, &fresh("nobody"), parts), &backup);
    assert!(
        fault.message.ends_with("nobody_either, which stands for nobody_reader (policy)"),
        "{}",
        fault.message
    );
}

#[test]
fn what_names_a_missing_role_is_left_out_where_that_is_wanted() {
    let server = postgres(15);
    let target = fresh("skipped");
    let parts = Parts { skips_missing: true, ..everything() };
    let backup = Backup::script(&of_nobody());
    let done = restore(with(server, CREATOR, &target, parts), &backup)
        .unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    let sql = "select relname, pg_get_userbyid(relowner), relacl from pg_class where relname = 't'";
    let acl = format!("t|{CREATOR}|{{{CREATOR}=arwdDxt/{CREATOR},{PLAIN}=r/{CREATOR}}}");
    assert_eq!(server.sql(&target, sql), acl);
    let policies =
        server.sql(&target, "select polname, polroles = array['plain'::regrole::oid] from pg_policy");
    assert_eq!(policies, "p|t");
    let notes = done.notes.join("\n");
    assert!(notes.contains("left out: nobody_grantor (grants rights), nobody_maker"), "{notes}");
    let told = done.verified.checks.join("\n");
    for part in
        ["1 statement owner of", "2 statements rights on", "1 statement default rights", "CREATE POLICY"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// A login that is a member of two roles, which own what is in a database: the login, the roles, the database.
pub(super) struct Member {
    pub(super) login: String,
    own: String,
    second: String,
    pub(super) source: String,
}

impl Member {
    pub(super) fn new(server: &Postgres, test: &str, rights: &str) -> Self {
        let name = |part: &str| fresh(&format!("{part}_{test}_{}", server.major));
        let (own, second, login) = (name("team"), name("team_second"), name("member"));
        server.sql(
            "postgres",
            &format!(
                "create role {own}; create role {second}; create role {login} login {rights} password '{PASSWORD}';
                 grant {own}, {second} to {login}"
            ),
        );
        let source = server.database();
        server.sql(
            &source,
            &format!(
                "create schema s authorization {own}; set role {own};
                 create table s.t (a int primary key, b int references s.t);
                 insert into s.t select g, g from generate_series(1, 100) g; create index on s.t ((a + 1));
                 create materialized view s.m as select count(*) from s.t; grant select on s.t to {PLAIN};
                 create table s.closed (a int); insert into s.closed values (1), (2);
                 revoke all on s.m, s.closed from {own}; alter table s.t enable row level security;
                 grant usage, create on schema s to {second}; grant select on s.t to {second} with grant option;
                 set role {second}; create table s.u (a int); grant select on s.t to {CREATOR}"
            ),
        );
        Self { login, own, second, source }
    }
}

#[test]
fn a_login_gives_away_to_roles_that_it_is_a_member_of_and_to_no_others() {
    for major in [12, 15, 18] {
        let server = postgres(major);
        let Member { login, own, second, source } = Member::new(server, "gives", "createdb");
        let client = if major == 12 { 15 } else { major };
        let expected = server.canonical(&source);
        for form in ["plain", "custom"] {
            let backup = Backup::new(server.dump(client, &source, &[&format!("--format={form}")]));
            let target = fresh(&format!("member_{major}_{form}"));
            let done = restore(with(server, &login, &target, everything()), &backup)
                .unwrap_or_else(|fault| panic!("{major} {form}: {}", fault.full_message()));
            let told = done.verified.checks.join("\n");
            assert!(told.contains("rows of 1 table taken from the load"), "{told}");
            assert!(done.verified.tables.iter().any(|table| table.name == "s.closed" && table.rows == 2));
            let found = server.canonical(&target);
            assert!(found == expected, "{major} {form}\n{}", difference(&expected, &found));

            let target = fresh(&format!("stranger_{major}_{form}"));
            let fault = refused(with(server, CREATOR, &target, everything()), &backup);
            assert_eq!(fault.reason, Reason::PermissionDenied, "{major} {form}");
            let expected = format!(
                "{CREATOR} may not become roles that own objects or grant rights in the backup: {own} (owner"
            );
            assert!(fault.message.starts_with(&expected), "{}", fault.message);
            let second_one = format!("{second} (owner, grants rights, ");
            assert!(fault.message.contains(&second_one), "{}", fault.message);
            assert!(databases(server, &target).is_empty(), "nothing was made");

            // The same login, once the owners are mapped to it.
            let to_login = |role: &String| (role.clone().into_bytes(), CREATOR.as_bytes().to_vec());
            let map = BTreeMap::from([&own, &second].map(to_login));
            restore(with(server, CREATOR, &target, Parts { map, ..everything() }), &backup)
                .unwrap_or_else(|fault| panic!("{major} {form}: {}", fault.full_message()));
            let owner = "select distinct pg_get_userbyid(relowner) from pg_class join pg_namespace n on \
                         n.oid = relnamespace where nspname = 's'";
            assert_eq!(server.sql(&target, owner), CREATOR);
        }
    }
}

#[test]
fn a_member_without_the_right_to_become_the_owner_is_refused() {
    let server = postgres(16);
    let (own, login) = (fresh("closed"), fresh("closed_member"));
    server.sql(
        "postgres",
        &format!(
            "create role {own}; create role {login} login createdb password '{PASSWORD}';
             grant {own} to {login} with set false, inherit true"
        ),
    );
    let backup =
        Backup::script(&format!("CREATE TABLE public.t (a int);\nALTER TABLE public.t OWNER TO {own};\n"));
    let fault = refused(with(server, &login, &fresh("closed_target"), everything()), &backup);
    assert_eq!(fault.reason, Reason::PermissionDenied, "{}", fault.message);
    server.sql("postgres", &format!("grant {own} to {login} with set true, inherit false"));
    let fault = refused(with(server, &login, &fresh("closed_target"), everything()), &backup);
    assert_eq!(fault.reason, Reason::PermissionDenied, "{}", fault.message);
}

#[test]
fn rights_alone_are_granted_on_what_belongs_to_the_login() {
    let server = postgres(15);
    let cast = Cast::new(server, "rights");
    let source = source(server, &cast);
    for form in ["plain", "custom"] {
        let backup = Backup::new(server.dump(15, &source, &[&format!("--format={form}")]));
        let target = fresh(&format!("rights_{form}"));
        let mut parts = everything();
        parts.left_out.insert(Part::Owners);
        let done = restore(with(server, SUPERUSER, &target, parts), &backup)
            .unwrap_or_else(|fault| panic!("{form}: {}", fault.full_message()));
        let told = done.verified.checks.join("\n");
        let expected = format!("everything belongs to {SUPERUSER}; owners in the backup are left out");
        assert!(told.contains(&expected), "{told}");
        let sql = "select distinct pg_get_userbyid(relowner) from pg_class where oid >= 16384";
        assert_eq!(server.sql(&target, sql), SUPERUSER, "{form}");
        let Cast { other, reader, odd, .. } = &cast;
        for (role, right) in [(other, "select with grant option"), (odd, "select"), (reader, "update(cost)")]
        {
            let role = role.replace('\'', "''");
            let sql = match right.strip_suffix("(cost)") {
                Some(right) => format!("has_column_privilege('{role}', 'shop.item', 'cost', '{right}')"),
                None => format!("has_table_privilege('{role}', 'shop.item', '{right}')"),
            };
            assert_eq!(server.sql(&target, &format!("select {sql}")), "t", "{form} {role} {right}");
        }
        let secret = format!("select has_function_privilege('{PLAIN}', 'shop.secret(int)', 'execute')");
        assert_eq!(server.sql(&target, &secret), "f", "{form}");
    }
}

#[test]
fn owners_of_a_dump_that_acts_as_them_are_refused_and_can_be_left_out() {
    let server = postgres(15);
    let own = fresh("acting");
    let source = server.database();
    server.sql(
        &source,
        &format!(
            "create role {own}; create schema s authorization {own}; set role {own}; create table s.t (a int)"
        ),
    );
    let backup = Backup::new(server.dump(15, &source, &["--use-set-session-authorization"]));
    let target = fresh("acted");
    let fault = refused(with(server, SUPERUSER, &target, everything()), &backup);
    assert_eq!(fault.reason, Reason::NotSupported);
    assert!(fault.message.contains("--use-set-session-authorization"), "{}", fault.message);
    restore(settings(server, SUPERUSER, &target), &backup).unwrap();
    let sql = "select pg_get_userbyid(relowner) from pg_class where relname = 't'";
    assert_eq!(server.sql(&target, sql), SUPERUSER);
}

#[test]
fn a_role_with_letters_of_another_encoding_is_found() {
    let server = postgres(15);
    let own = format!("m\u{fc}ller_{}", std::process::id());
    let source = server.database();
    server.sql(
        &source,
        &format!("create role \"{own}\"; create table t (a int); alter table t owner to \"{own}\""),
    );
    for form in ["plain", "custom"] {
        let backup =
            Backup::new(server.dump(15, &source, &["--encoding=LATIN1", &format!("--format={form}")]));
        let target = fresh(&format!("latin_{form}"));
        restore(with(server, SUPERUSER, &target, everything()), &backup)
            .unwrap_or_else(|fault| panic!("{form}: {}", fault.full_message()));
        let sql = "select pg_get_userbyid(relowner) from pg_class where relname = 't'";
        assert_eq!(server.sql(&target, sql), own, "{form}");
        let map = BTreeMap::from([(own.clone().into_bytes(), b"plain".to_vec())]);
        let fault = refused(with(server, SUPERUSER, &target, Parts { map, ..everything() }), &backup);
        assert_eq!(fault.reason, Reason::UnsupportedEncoding, "{form}: {}", fault.message);
    }
}

#[test]
fn a_role_that_the_maintenance_database_has_no_letters_for_is_told_as_that() {
    // Of its own: a dump in LATIN1 needs letters for all roles of its server.
    let server = &own_postgres(15, &[]);
    let own = format!("\u{440}\u{43e}\u{43b}\u{44c}_{}", std::process::id());
    let source = server.database();
    server.sql(
        &source,
        &format!("create role \"{own}\"; create table t (a int); alter table t owner to \"{own}\""),
    );
    let latin = fresh("latin_maintenance");
    server
        .sql("postgres", &format!("create database {latin} encoding 'LATIN1' locale 'C' template template0"));
    for form in ["plain", "custom"] {
        let backup = Backup::new(server.dump(15, &source, &[&format!("--format={form}")]));
        let target = fresh(&format!("no_letters_{form}"));
        let mut settings = with(server, SUPERUSER, &target, everything());
        settings.maintenance_database.clone_from(&latin);
        let fault = refused(settings, &backup);
        assert_eq!(fault.reason, Reason::UnsupportedEncoding, "{form}: {}", fault.full_message());
        assert!(fault.message.contains("maintenanceDatabase"), "{form}: {}", fault.message);
        assert!(databases(server, &target).is_empty());
    }
}

#[test]
fn names_without_a_schema_mean_what_they_meant_in_their_place() {
    let server = postgres(15);
    let (one, two) = (fresh("path_one"), fresh("path_two"));
    server.sql("postgres", &format!("create role {one}; create role {two}"));
    // As clients before 10.3 write.
    let part = |schema: &str, role: &str| {
        format!(
            "CREATE SCHEMA {schema};\nSET search_path = {schema}, pg_catalog;\nCREATE TABLE t (a int);\n\
             ALTER TABLE t OWNER TO {role};\nGRANT SELECT ON TABLE t TO {PLAIN};\n"
        )
    };
    let backup = Backup::script(&(part("a", &one) + &part("b", &two)));
    let target = fresh("paths");
    restore(with(server, SUPERUSER, &target, everything()), &backup)
        .unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    let sql = "select relnamespace::regnamespace || ' ' || pg_get_userbyid(relowner) || ' ' || \
               has_table_privilege('plain', oid, 'select') from pg_class where relname = 't' order by 1";
    assert_eq!(server.sql(&target, sql), format!("a {one} true\nb {two} true"));
}

#[test]
fn more_owners_than_are_kept_are_refused_unless_they_are_left_out() {
    let server = postgres(15);
    let mut backup = Backup::script("CREATE TABLE public.t (a int);\nALTER TABLE public.t OWNER TO plain;\n");
    assert!((200..400).contains(&backup.entry.facts.outside.owner_bytes), "{:?}", backup.entry.facts.outside);
    backup.entry.facts.outside.owner_bytes = (64 << 20) + 1;
    let target = fresh("kept");
    let fault = refused(with(server, SUPERUSER, &target, everything()), &backup);
    assert_eq!(fault.reason, Reason::LimitExceeded, "{}", fault.message);
    assert!(databases(server, &target).is_empty(), "nothing was made");
    restore(settings(server, SUPERUSER, &target), &backup).unwrap();
}

#[test]
fn a_table_without_rows_that_cannot_be_counted_is_not_missing() {
    let server = postgres(15);
    let backup = Backup::script(
        "CREATE TABLE public.t (a int);\nALTER TABLE ONLY public.t FORCE ROW LEVEL SECURITY;\n\
         ALTER TABLE public.t ENABLE ROW LEVEL SECURITY;\n",
    );
    let done = restore(settings(server, CREATOR, &fresh("hidden")), &backup)
        .unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert!(done.verified.tables.iter().any(|table| table.name == "public.t" && table.rows == 0));
}

#[test]
fn who_may_make_objects_as_the_owner_of_the_source_alone_gets_its_tables_all_the_same() {
    let server = postgres(15);
    let (owner, login) = (fresh("app"), fresh("member"));
    server.sql(
        "postgres",
        &format!(
            "create role {owner}; create role {login} login createdb password '{PASSWORD}'; grant {owner} to {login}"
        ),
    );
    let source = server.database();
    server.sql("postgres", &format!("alter database {source} owner to {owner}"));
    server.sql(
        &source,
        &format!(
            "set role {owner}; create table public.t (id bigint generated always as identity, a text);
             insert into public.t (a) values ('x'); create schema closed; create table closed.c (a int);
             reset role; alter schema closed owner to postgres; revoke all on schema closed from {owner};
             alter schema closed owner to {login}"
        ),
    );
    let expected = server.canonical(&source);
    let target = fresh("public_owner");
    for left_out in [vec![Part::Grants], vec![]] {
        let backup = Backup::new(server.dump(15, &source, &[]));
        let mut parts = everything();
        parts.left_out.extend(left_out.iter().copied());
        let mut run = with(server, &login, &target, parts);
        run.run_id = format!("run{}", left_out.len());
        run.keep_until = None;
        restore(run, &backup).unwrap_or_else(|fault| panic!("{left_out:?}: {}", fault.full_message()));
    }
    let found = server.canonical(&target);
    assert!(found == expected, "{}", difference(&expected, &found));
}

#[test]
fn event_triggers_of_the_dump_see_nothing_of_the_restore() {
    let server = postgres(15);
    let owner = fresh("watched");
    server.sql("postgres", &format!("create role {owner}"));
    let source = server.database();
    server.sql(
        &source,
        &format!(
            "create table public.log (a text);
             create function public.watch() returns event_trigger language plpgsql as
                 'begin insert into public.log values (tg_tag); end';
             create table public.t (a int); alter table public.t owner to {owner};
             grant select on public.t to public; create materialized view public.v as select a from public.t;
             create event trigger watch on ddl_command_end execute procedure public.watch();
             comment on event trigger watch is 'last'; truncate public.log"
        ),
    );
    let expected = server.canonical(&source);
    for form in ["plain", "custom"] {
        for parts in [Parts::default(), everything()] {
            let is_all = parts.has(Part::Owners);
            let backup = Backup::new(server.dump(15, &source, &[&format!("--format={form}")]));
            let target = fresh(&format!("watching_{form}_{is_all}"));
            restore(with(server, SUPERUSER, &target, parts), &backup)
                .unwrap_or_else(|fault| panic!("{form} {is_all}: {}", fault.full_message()));
            assert_eq!(server.sql(&target, "select count(*) from public.log"), "0", "{form} {is_all}");
            assert_eq!(server.sql(&target, "select count(*) from pg_event_trigger"), "1");
            let found = server.canonical(&target);
            assert!(!is_all || found == expected, "{form}\n{}", difference(&expected, &found));
        }
    }
}

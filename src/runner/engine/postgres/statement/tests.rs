//! Statements of real dumps and hostile ones.

use proptest::prelude::*;

use super::case_tests::{OTHER, REAL};
use super::lexer::{Lexer, Token};
use super::*;
use crate::runner::engine::postgres::names::shown;

/// Cuts a script into statements as psql does; rows of COPY and meta-commands are left out.
fn statements(script: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut rest = script;
    while let Some(length) = statement(rest) {
        let (text, behind) = rest.split_at(length);
        rest = behind;
        if is_meta_command(text) {
            continue;
        }
        all.push(text);
        let mut words = Tokens::new(text, true);
        if words.words("COPY") {
            let end = rest.windows(4).position(|four| four == b"\n\\.\n").expect("rows have an end");
            rest = &rest[end + 4..];
        }
    }
    all
}

fn is_meta_command(text: &[u8]) -> bool {
    Lexer::new(text, true).next() == Token::Punct(b'\\')
}

/// Length of the first statement with its semicolon, or of the first line if it is a meta-command.
fn statement(script: &[u8]) -> Option<usize> {
    let mut lexer = Lexer::new(script, true);
    let (mut depth, mut blocks, mut first) = (0_usize, 0_usize, true);
    let mut before = Token::End;
    loop {
        let token = lexer.next();
        match token {
            Token::End | Token::Broken => return None,
            Token::Punct(b'\\') if first => {
                let at = script.len() - lexer.rest().len();
                return Some(at + script[at..].iter().position(|byte| *byte == b'\n')? + 1);
            }
            Token::Punct(b'(') => depth += 1,
            Token::Punct(b')') => depth -= 1,
            Token::Word(word) if word == b"ATOMIC" && before == Token::Word(b"BEGIN") => blocks += 1,
            Token::Word(word) if word == b"CASE" && blocks > 0 => blocks += 1,
            Token::Word(word) if word == b"END" && blocks > 0 => blocks -= 1,
            Token::Punct(b';') if depth == 0 && blocks == 0 => {
                return Some(script.len() - lexer.rest().len());
            }
            _ => {}
        }
        (before, first) = (token, false);
    }
}

/// A decision in one line.
fn brief(judged: &Judged) -> String {
    match judged {
        Judged::Send(step) => brief_step(step),
        Judged::Skip { what, .. } => format!("skip {what}"),
        Judged::Database(fact) => match fact {
            DatabaseFact::Create(facts) => format!("create database {}", brief_facts(facts)),
            DatabaseFact::Owner { database, role } => format!("{} is {}'s", shown(database), shown(role)),
            DatabaseFact::ConnectionLimit { database, limit } => format!("{} takes {limit}", shown(database)),
        },
        Judged::Empty => "empty".to_owned(),
        Judged::Unsafe(why) => format!("unsafe {why}"),
    }
}

fn brief_facts(facts: &CreateDatabase) -> String {
    let mut all = vec![shown(&facts.name)];
    for (name, value) in [
        ("template", &facts.template),
        ("owner", &facts.owner),
        ("encoding", &facts.encoding),
        ("provider", &facts.locale_provider),
        ("locale", &facts.locale),
        ("collate", &facts.lc_collate),
        ("ctype", &facts.lc_ctype),
        ("icu", &facts.icu_locale),
        ("rules", &facts.icu_rules),
        ("builtin", &facts.builtin_locale),
        ("version", &facts.collation_version),
        ("tablespace", &facts.tablespace),
    ] {
        all.extend(value.as_ref().map(|value| format!("{name}={}", String::from_utf8_lossy(value))));
    }
    all.extend(facts.connection_limit.map(|limit| format!("limit={limit}")));
    all.join(" ")
}

fn names(all: &[Vec<u8>]) -> String {
    all.iter().map(|name| shown(name)).collect::<Vec<_>>().join(",")
}

fn named(object: Object, name: Option<&Name>) -> String {
    let object = format!("{object:?}");
    match name {
        Some(name) => format!("{object} {name}"),
        None => object,
    }
}

fn roles_of(roles: &[Role]) -> String {
    let named = roles.iter().filter(|role| role.is_name());
    names(&named.map(|role| role.name.clone()).collect::<Vec<_>>())
}

fn brief_step(step: &Step) -> String {
    match step {
        Step::Setting { name, values } => format!("set {name} [{}]", names(values)),
        Step::Begin => "begin".to_owned(),
        Step::Other => "other".to_owned(),
        Step::Commit => "commit".to_owned(),
        Step::Create { object, name } => format!("create {}", named(*object, name.as_ref())),
        Step::Alter { object, name } => format!("alter {}", named(*object, name.as_ref())),
        Step::Routine { name, languages, untrusted } => {
            format!("routine {name} {}{}", languages.join("/"), if *untrusted { " untrusted" } else { "" })
        }
        Step::Extension { name, schema, version } => {
            let part = |part: &Option<Vec<u8>>| part.as_deref().map_or_else(String::new, shown);
            format!("extension {} {} {}", shown(name), part(schema), part(version)).trim_end().to_owned()
        }
        Step::Table(table) => {
            let mut all = vec![format!("table {}", table.name)];
            all.extend(table.unlogged.then(|| "unlogged".to_owned()));
            all.extend(table.partitioned.then(|| "partitioned".to_owned()));
            all.extend(table.partition_of.as_ref().map(|parent| format!("of={parent}")));
            all.extend(table.inherits.iter().map(|parent| format!("from={parent}")));
            all.join(" ")
        }
        Step::ForeignTable { table, server } => format!("foreign table {table} at {}", shown(server)),
        Step::AttachPartition { table, partition } => format!("attach {partition} to {table}"),
        Step::AttachIndex { index, part } => format!("attach index {part} to {index}"),
        Step::AlterTable { table, change } => format!("{change:?} of {table}"),
        Step::CopyFrom { table, columns, freeze, oids } => {
            let more = [(*freeze, " freeze"), (*oids, " oids")];
            let more: String = more.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            format!("copy {table} [{}]{more}", names(columns))
        }
        Step::Insert { table } => format!("insert {table}"),
        Step::SequenceValue { sequence } => format!("setval {sequence}"),
        Step::LargeObject(step) => format!("large object {step:?}"),
        Step::RelationStatistics { relation } => format!("statistics of {relation}"),
        Step::Index { name, table, plain, .. } => {
            format!("index {} of {table}{}", shown(name), if *plain { " plain" } else { "" })
        }
        Step::Key { name, table, kind } => format!("{kind:?} {} of {table}", shown(name)),
        Step::ForeignKey { name, table, references } => {
            format!("foreign key {} of {table} to {references}", shown(name))
        }
        Step::Trigger { table } => format!("trigger of {table}"),
        Step::Rule { table } => format!("rule of {table}"),
        Step::Refresh { view } => format!("refresh {view}"),
        Step::Subscription { name } => format!("subscription {}", shown(name)),
        Step::Comment { object } => format!("comment on {object:?}"),
        Step::SecurityLabel { object } => format!("label on {object:?}"),
        Step::Policy { .. }
        | Step::UserMapping { .. }
        | Step::OwnedSchema { .. }
        | Step::Owner { .. }
        | Step::Grant { .. }
        | Step::DefaultPrivileges { .. }
        | Step::Grantor { .. } => brief_roles(step),
    }
}

fn brief_roles(step: &Step) -> String {
    match step {
        Step::Policy { table, roles } => format!("policy of {table} for [{}]", roles_of(roles)),
        Step::UserMapping { role, server } => {
            format!("mapping of {} at {}", shown(&role.name), shown(server))
        }
        Step::Owner { object, name, role } => {
            format!("owner of {} is {}", named(*object, name.as_ref()), shown(&role.name))
        }
        Step::OwnedSchema { name, role } => format!("schema {} of {}", shown(name), shown(&role.name)),
        Step::Grant { object, roles } => format!("rights on {object:?} for [{}]", roles_of(roles)),
        Step::DefaultPrivileges { makers, roles } => {
            let all: Vec<Role> = makers.iter().chain(roles).cloned().collect();
            format!("default rights for [{}]", roles_of(&all))
        }
        Step::Grantor { role: Some(role) } => format!("grantor {}", shown(&role.name)),
        Step::Grantor { role: None } => "grantor is the owner".to_owned(),
        other => panic!("{other:?} names no roles"),
    }
}

fn judged(text: &str) -> String {
    brief(&judge(text.as_bytes(), &Options::new(18)))
}

#[test]
fn statements_of_dumps_are_known() {
    for (text, expected) in REAL.iter().chain(OTHER) {
        assert_eq!(judged(text), *expected, "{text}");
        assert_eq!(judged(&format!("{};", text.trim_end_matches(';'))), *expected, "{text};");
    }
}

#[test]
fn no_statement_of_a_dump_is_refused() {
    for (dump, count) in [("pg_dump-15", 397), ("pg_dump-18", 448), ("pg_dumpall-18", 446)] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/postgres/statements");
        let script = std::fs::read(format!("{folder}/{dump}.sql")).unwrap();
        let all = statements(&script);
        assert_eq!(all.len(), count, "{dump}");
        for text in all {
            let judged = judge(text, &Options::new(18));
            assert!(!matches!(judged, Judged::Unsafe(_)), "{}: {judged:?}", String::from_utf8_lossy(text));
        }
    }
}

#[test]
fn what_no_dump_tool_writes_is_refused() {
    for text in HOSTILE {
        let told = judged(text);
        assert!(told.starts_with("unsafe "), "{text}: {told}");
        assert!(!told.contains("canary"), "{text}: {told}");
        assert!(told.len() < 300, "{told}");
    }
}

/// What must never be sent. The word `canary` stands where data is.
const HOSTILE: &[&str] = &[
    // Programs, files and code of the server's process.
    "GRANT SELECT ON TABLE public.t, pg_catalog.pg_authid TO canary",
    "GRANT EXECUTE ON FUNCTION public.f(), pg_catalog.pg_read_file(text) TO canary",
    "COPY t FROM PROGRAM 'canary'",
    "COPY t (a) FROM PROGRAM 'canary'",
    "COPY t FROM '/canary'",
    "COPY t TO '/canary'",
    "COPY t TO stdout",
    "COPY t TO PROGRAM 'canary'",
    "COPY (SELECT 'canary') TO PROGRAM 'canary'",
    "COPY t FROM stdin WITH (FORMAT binary)",
    "COPY t FROM stdin WHERE canary()",
    "COPY BINARY t FROM stdin",
    "COPY t FROM stdin; SELECT 1",
    "DO $$BEGIN PERFORM canary(); END$$",
    "DO LANGUAGE plpython3u $$canary$$",
    "LOAD 'canary'",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE c AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer AS 'canary', 'f' LANGUAGE C STRICT",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE 'c' AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE \"c\" AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE U&'\\0063' AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE/**/internal AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE plpython3u AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE plperlu AS 'canary'",
    "CREATE FUNCTION f(language sql) RETURNS language LANGUAGE c AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer SET x TO begin LANGUAGE c AS 'canary'",
    "CREATE FUNCTION f() RETURNS begin LANGUAGE c AS 'canary'",
    "CREATE FUNCTION f() RETURNS integer SET x TO language, sql LANGUAGE c AS 'canary'",
    "CREATE PROCEDURE f() LANGUAGE c AS 'canary'",
    "CREATE FOREIGN TABLE t (a text) SERVER f OPTIONS (program 'canary')",
    "CREATE FOREIGN TABLE t (a text) SERVER f OPTIONS (format 'csv', \"program\" 'canary')",
    "CREATE FOREIGN TABLE t (a text) SERVER f OPTIONS (U&\"program\" 'canary')",
    "CREATE FOREIGN TABLE t (a text) SERVER f OPTIONS (program E'canary')",
    "\\! canary",
    "\\copy t from 'canary'",
    // The server, other databases, sessions.
    "SET session_replication_role = replica",
    "SET dynamic_library_path = 'canary'",
    "SET LOCAL search_path = canary",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET TRANSACTION SNAPSHOT 'canary'",
    "SET search_path FROM CURRENT",
    "SET client_encoding = 'UTF8' 'canary'",
    "SET TIME ZONE 'canary'",
    "SET work_mem = '1TB'",
    "RESET ALL",
    "RESET search_path",
    "DISCARD ALL",
    "IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public",
    "CREATE SUBSCRIPTION s CONNECTION 'host=canary' PUBLICATION p",
    "CREATE SUBSCRIPTION s CONNECTION 'host=canary' PUBLICATION p WITH (connect = true)",
    "CREATE SUBSCRIPTION s CONNECTION 'host=canary' PUBLICATION p WITH (enabled = true)",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (slot_name = 'connect = false')",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false, canary = true)",
    "ALTER SUBSCRIPTION s ENABLE",
    "ALTER SUBSCRIPTION s CONNECTION 'host=canary'",
    "CREATE USER canary",
    "CREATE GROUP canary",
    "ALTER USER x PASSWORD 'canary'",
    "DROP OWNED BY x",
    "REASSIGN OWNED BY x TO y",
    "CREATE DATABASE x WITH STRATEGY = file_copy",
    "CREATE DATABASE x WITH TEMPLATE = template0 OID = 5",
    "ALTER DATABASE shop CONNECTION LIMIT = many",
    // Functions.
    "SELECT 1",
    "SELECT canary()",
    "SELECT pg_catalog.pg_read_file('canary')",
    "SELECT pg_catalog.lo_import('canary')",
    "SELECT pg_catalog.lo_export(1, 'canary')",
    "SELECT pg_catalog.set_config('session_preload_libraries', 'canary', false)",
    "SELECT pg_catalog.set_config('search_path', 'canary', false)",
    "SELECT pg_catalog.set_config('search_path', '', false) FROM t",
    "SELECT set_config('search_path', '', false)",
    "SELECT pg_catalog.setval('s', 1, true), canary()",
    "SELECT pg_catalog.setval('s', canary(), true)",
    "SELECT pg_catalog.setval('s', 1, (SELECT canary()))",
    "SELECT pg_catalog.setval('s' || canary(), 1, true)",
    "SELECT pg_catalog.setval('pg_catalog.s', 1, true)",
    "SELECT pg_catalog.setval('a.b.c', 1, true)",
    "SELECT public.setval('s', 1, true)",
    "SELECT pg_catalog.lowrite(0, pg_read_binary_file('canary'))",
    "SELECT pg_catalog.lowrite(1, '\\x00')",
    "SELECT pg_catalog.lowrite(0, '\\x00' || canary())",
    "SELECT pg_catalog.lo_open(canary(), 131072)",
    "SELECT pg_catalog.lo_open(pg_catalog.canary('1'), 131072)",
    "SELECT pg_catalog.lo_create('99999999999')",
    "SELECT pg_catalog.lo_create(1) INTO t",
    "SELECT pg_catalog.binary_upgrade_set_next_pg_type_oid('1'::pg_catalog.oid)",
    "SELECT * FROM pg_catalog.pg_ls_dir('canary')",
    "SELECT * FROM pg_catalog.setval('s', 1, true)",
    "SELECT pg_catalog.pg_restore_relation_stats('schemaname', 'a', 'relname', 'b')",
    "SELECT * FROM pg_catalog.pg_restore_relation_stats('schemaname', 'a', 'relname', canary())",
    "SELECT * FROM pg_catalog.pg_restore_relation_stats('schemaname', 'a', 'relname', 'b', 'x', '1'::canary)",
    "SELECT * FROM pg_catalog.pg_restore_relation_stats('schemaname', 'pg_catalog', 'relname', 'pg_class')",
    "SELECT * FROM pg_catalog.pg_restore_relation_stats('schemaname', 'a', 'relname', 'b'), canary()",
    "SELECT 1 INTO t",
    "WITH x AS (DELETE FROM t RETURNING *) SELECT 1",
    "VALUES (canary())",
    "TABLE pg_authid",
    "CALL canary()",
    "EXECUTE canary",
    "PREPARE x AS SELECT canary()",
    "EXPLAIN ANALYZE SELECT canary()",
    "(SELECT canary())",
    // Rows.
    "INSERT INTO t SELECT canary()",
    "INSERT INTO t VALUES (canary())",
    "INSERT INTO t VALUES (1, (SELECT canary()))",
    "INSERT INTO t VALUES ('a'::canary)",
    "INSERT INTO t VALUES ('a' || 'b')",
    "INSERT INTO t VALUES (1) RETURNING canary()",
    "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = canary()",
    "INSERT INTO t AS x VALUES (1)",
    "INSERT INTO t VALUES (1), (2",
    "INSERT INTO t VALUES (current_user)",
    "INSERT INTO t (a[canary()]) VALUES (1)",
    "INSERT INTO pg_catalog.pg_proc VALUES (1)",
    "INSERT INTO pg_authid VALUES (1)",
    "INSERT INTO information_schema.sql_features VALUES (1)",
    "COPY pg_catalog.pg_authid FROM stdin",
    "COPY pg_authid (rolname) FROM stdin",
    "COPY \"pg_catalog\".pg_authid FROM stdin",
    "COPY PG_CATALOG.pg_authid FROM stdin",
    "COPY U&\"pg_catalog\".pg_authid FROM stdin",
    "COPY shop.public.t FROM stdin",
    "UPDATE t SET a = 1",
    "UPDATE pg_catalog.pg_database SET datallowconn = false",
    "UPDATE pg_catalog.pg_class SET relfrozenxid = '1'",
    "DELETE FROM t",
    "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE t",
    "TRUNCATE pg_catalog.pg_largeobject",
    // Objects in another form.
    "CREATE TABLE t AS SELECT canary()",
    "CREATE TABLE t (a) AS SELECT canary()",
    "CREATE TABLE t (a) WITH (fillfactor = 70) AS EXECUTE canary",
    "CREATE TEMP TABLE t (a integer)",
    "CREATE TABLE IF NOT EXISTS t (a integer)",
    "CREATE TABLE pg_catalog.t (a integer)",
    "CREATE TABLE pg_temp.t (a integer)",
    "CREATE TABLE a.b.c (a integer)",
    "CREATE TABLE t",
    "CREATE SCHEMA s CREATE TABLE t (a integer)",
    "CREATE SCHEMA AUTHORIZATION x",
    "CREATE SCHEMA s AUTHORIZATION x CREATE TABLE canary ()",
    "CREATE SCHEMA s AUTHORIZATION 'canary'",
    "CREATE SCHEMA s AUTHORIZATION",
    "CREATE SCHEMA pg_canary AUTHORIZATION x",
    "CREATE SCHEMA pg_canary",
    "CREATE SEQUENCE IF NOT EXISTS pg_catalog.s",
    "CREATE FUNCTION pg_catalog.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE TRIGGER t BEFORE INSERT ON t EXECUTE FUNCTION f()",
    "CREATE OPERATOR pg_catalog.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = f)",
    "CREATE OPERATOR FAMILY pg_catalog.f USING btree",
    "CREATE VIEW pg_catalog.v AS SELECT 1",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE MATERIALIZED VIEW v AS SELECT canary()",
    "CREATE MATERIALIZED VIEW v AS SELECT canary() WITH DATA",
    "CREATE MATERIALIZED VIEW v AS SELECT 'WITH NO DATA'",
    "CREATE MATERIALIZED VIEW v AS (SELECT 1 WITH NO DATA)",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
    "REFRESH MATERIALIZED VIEW pg_catalog.v",
    "CREATE INDEX CONCURRENTLY i ON t USING btree (a)",
    "CREATE INDEX CONCURRENTLY ON t USING btree (a)",
    "CREATE INDEX ON t (a)",
    "CREATE INDEX i ON pg_catalog.pg_class USING btree (oid)",
    "CREATE EXTENSION x CASCADE",
    "CREATE EXTENSION x FROM unpackaged",
    "ALTER EXTENSION x ADD FUNCTION f()",
    "ALTER EXTENSION x UPDATE",
    "ALTER TABLE t ADD COLUMN a integer DEFAULT canary()",
    "ALTER TABLE t DROP COLUMN a",
    "ALTER TABLE t RENAME TO canary",
    "ALTER TABLE t SET SCHEMA pg_catalog",
    "ALTER TABLE t INHERIT x",
    "ALTER TABLE t ALTER COLUMN a TYPE text USING canary()",
    "ALTER TABLE t CLUSTER ON i, DROP COLUMN a",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (true), OWNER TO canary",
    "ALTER TABLE t DISABLE TRIGGER USER, DROP COLUMN a",
    "ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b",
    "ALTER TABLE pg_catalog.pg_class ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE pg_class ALTER COLUMN oid SET STATISTICS 1",
    "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES pg_catalog.pg_class(oid)",
    "ALTER FUNCTION f() SET search_path = canary",
    "ALTER FUNCTION f() RENAME TO canary",
    "ALTER INDEX i SET TABLESPACE canary",
    "ALTER SEQUENCE s RESTART",
    "ALTER TYPE t ADD VALUE 'canary'",
    "ALTER VIEW v RENAME TO canary",
    "ALTER TYPE t OWNER TO a SET SCHEMA canary",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO canary",
    "ALTER SERVER s OPTIONS (SET host 'canary')",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
    "COMMENT ON TABLE t",
    "SECURITY INVOKER",
    // Transactions and maintenance.
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "COMMIT AND CHAIN",
    "COMMIT PREPARED 'canary'",
    "START TRANSACTION",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT x",
    "PREPARE TRANSACTION 'canary'",
    "LOCK TABLE t",
    "VACUUM",
    "ANALYZE",
    "CLUSTER t",
    "REINDEX DATABASE shop",
    "CHECKPOINT",
    "LISTEN canary",
    "NOTIFY canary, 'canary'",
    "DECLARE c CURSOR FOR SELECT canary()",
    // Broken text.
    "COPY t FROM stdin 'canary",
    "CREATE TABLE t (a integer DEFAULT 'canary)",
    "CREATE TABLE t (a integer /* canary)",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS $a$ canary $b$",
    "GRANT ALL ON TABLE t TO \"canary",
    "'canary'",
    "\0",
    "\u{feff}SELECT 1",
    "ＳＥＬＥＣＴ 1",
];

#[test]
fn code_of_the_servers_process_is_refused_unless_it_is_allowed() {
    let options = Options { all: true, ..Options::new(18) };
    for (text, expected) in [
        ("CREATE FUNCTION f() RETURNS integer LANGUAGE c AS 'x'", "routine f c untrusted"),
        ("CREATE FUNCTION f() RETURNS integer LANGUAGE PLPYTHON3U AS 'x'", "routine f plpython3u untrusted"),
        ("CREATE FOREIGN TABLE t (a text) SERVER f OPTIONS (program 'x')", "foreign table t at f"),
    ] {
        let refused = judged(text);
        assert!(refused.contains("statements: All"), "{refused}");
        assert_eq!(brief(&judge(text.as_bytes(), &options)), expected);
    }
}

#[test]
fn what_no_dump_tool_writes_is_sent_only_where_all_is() {
    let options = Options { all: true, ..Options::new(18) };
    let all = |text: &str| brief(&judge(text.as_bytes(), &options));
    for text in
        ["DO $$ BEGIN END $$", "UPDATE t SET a = 1", "COPY t FROM PROGRAM 'x'", "CREATE TABLE t AS SELECT 1"]
    {
        assert!(judged(text).starts_with("unsafe "), "{text}");
        assert_eq!(all(text), "other", "{text}");
    }
    // What cannot be read is no statement, and what lies outside of the database stays there.
    assert!(all("DO $$ BEGIN").starts_with("unsafe "));
    assert_eq!(all("CREATE ROLE x SUPERUSER"), "skip ROLE x");
    assert_eq!(all("DROP TABLE t"), "skip DROP TABLE t");
    // Nor does it act on another server.
    let subscribe = "CREATE SUBSCRIPTION s CONNECTION 'canary' PUBLICATION p";
    assert!(all(subscribe).starts_with("unsafe CREATE SUBSCRIPTION"), "{}", all(subscribe));
    let without = Options { skip: BTreeSet::from([Part::Subscriptions]), ..options.clone() };
    assert_eq!(brief(&judge(subscribe.as_bytes(), &without)), "skip subscription s");
}

#[test]
fn parts_are_left_out_as_asked_with_all_that_is_on_them() {
    for (part, text) in [
        (Part::Comments, "COMMENT ON TABLE t IS 'x'"),
        (Part::Owners, "ALTER TABLE t OWNER TO x"),
        (Part::Owners, "ALTER FUNCTION f(integer) OWNER TO x"),
        (Part::Grants, "GRANT ALL ON TABLE t TO x"),
        (Part::Grants, "REVOKE ALL ON TABLE t FROM x"),
        (Part::Grants, "ALTER DEFAULT PRIVILEGES FOR ROLE x GRANT ALL ON TABLES TO y"),
        (Part::SecurityLabels, "SECURITY LABEL FOR x ON TABLE t IS 'x'"),
        (Part::Publications, "CREATE PUBLICATION p FOR ALL TABLES"),
        (Part::Publications, "ALTER PUBLICATION p ADD TABLE ONLY t"),
        (Part::Publications, "ALTER PUBLICATION p OWNER TO x"),
        (Part::Publications, "COMMENT ON PUBLICATION p IS 'x'"),
        (Part::Publications, "SECURITY LABEL FOR x ON PUBLICATION p IS 'x'"),
        (Part::Subscriptions, "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)"),
        (Part::Subscriptions, "ALTER SUBSCRIPTION s OWNER TO x"),
        (Part::Subscriptions, "COMMENT ON SUBSCRIPTION s IS 'x'"),
        (Part::Tablespaces, "SET default_tablespace = fast"),
        (Part::TableAccessMethods, "SET default_table_access_method = heap"),
        (Part::TableAccessMethods, "ALTER TABLE t SET ACCESS METHOD heap"),
    ] {
        let with = Options { skip: BTreeSet::new(), ..Options::new(18) };
        let without = Options { skip: BTreeSet::from([part]), ..Options::new(18) };
        assert!(matches!(judge(text.as_bytes(), &with), Judged::Send(_)), "{text}");
        assert!(matches!(judge(text.as_bytes(), &without), Judged::Skip { .. }), "{part:?}: {text}");
    }
}

#[test]
fn what_an_older_server_does_not_know_is_left_out() {
    for (server, text, sent) in [
        (11, "SET default_table_access_method = heap", false),
        (12, "SET default_table_access_method = heap", true),
        (17, "SELECT * FROM pg_catalog.pg_restore_relation_stats('schemaname', 'a', 'relname', 'b')", false),
        (18, "SELECT * FROM pg_catalog.pg_restore_relation_stats('schemaname', 'a', 'relname', 'b')", true),
        (10, "SET row_security = off", true),
    ] {
        let judged = judge(text.as_bytes(), &Options::new(server));
        assert_eq!(matches!(judged, Judged::Send(_)), sent, "{server}: {text}");
        assert!(sent || matches!(judged, Judged::Skip { .. }), "{server}: {text}");
    }
}

#[test]
fn strings_are_read_as_the_session_reads_them() {
    let text = br"INSERT INTO t VALUES ('a\'', canary()) --')";
    let with = |conforming| Options { standard_conforming_strings: conforming, ..Options::new(18) };
    assert!(matches!(judge(text, &with(true)), Judged::Send(_)));
    assert!(matches!(judge(text, &with(false)), Judged::Unsafe(_)));
    assert!(matches!(judge(br"INSERT INTO t VALUES ('a\', 1)", &with(true)), Judged::Send(_)));
    assert!(matches!(judge(br"INSERT INTO t VALUES ('a\', 1)", &with(false)), Judged::Unsafe(_)));
    assert!(matches!(
        judge(br"INSERT INTO t VALUES ('a\', canary()) --', 1)", &with(false)),
        Judged::Send(_)
    ));
}

#[test]
fn roles_and_superusers_that_a_statement_needs_are_known() {
    for (text, roles, superuser) in [
        ("ALTER TABLE t OWNER TO admin", "admin", false),
        ("GRANT ALL ON TABLE t TO a, \"B\", PUBLIC", r#"a,"B""#, false),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE a REVOKE ALL ON TABLES FROM PUBLIC", "a", false),
        ("CREATE USER MAPPING FOR a SERVER s", "a", false),
        ("CREATE USER MAPPING FOR public SERVER s", "", false),
        ("CREATE POLICY p ON t TO a USING (true)", "a", false),
        ("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()", "", true),
        ("CREATE OPERATOR CLASS c FOR TYPE integer USING btree AS STORAGE integer", "", true),
        ("ALTER OPERATOR FAMILY f USING btree ADD OPERATOR 1 =(integer,integer)", "", true),
        ("ALTER TABLE t DISABLE TRIGGER ALL", "", true),
        ("ALTER TABLE t DISABLE TRIGGER x", "", false),
        ("CREATE TABLE t (a integer)", "", false),
    ] {
        let Judged::Send(step) = judge(text.as_bytes(), &Options::new(18)) else { panic!("{text}") };
        let named: Vec<Vec<u8>> = step.roles().into_iter().map(|role| role.name.clone()).collect();
        assert_eq!(names(&named), roles, "{text}");
        assert_eq!(step.needs_superuser().is_some(), superuser, "{text}");
    }
}

#[test]
fn a_refusal_names_the_kind_why_and_what_to_do() {
    for (text, expected) in [
        (
            "COPY t FROM PROGRAM 'secret'",
            "COPY: dump tools copy from standard input alone, so no file or program is touched; \
             find out where the dump comes from",
        ),
        ("DO $$secret$$", "DO: no dump tool writes it; find out where the dump comes from"),
        (
            "CREATE TABLE t ('secret",
            "CREATE TABLE: a quote or comment in it is not closed, or it holds a NUL byte; take the backup again",
        ),
        (
            "'secret'",
            "it begins like no statement: no dump tool writes it; find out where the dump comes from",
        ),
    ] {
        assert_eq!(judge(text.as_bytes(), &Options::new(18)), Judged::Unsafe(expected.to_owned()), "{text}");
    }
}

#[test]
fn a_long_statement_is_judged_in_linear_time() {
    let many = 300_000;
    for text in [
        format!("INSERT INTO t VALUES {}(1)", "(1, 'a'),".repeat(many)),
        format!("CREATE TABLE t ({}", "(".repeat(many)),
        format!("CREATE TABLE t (a integer) {}", "INHERITS ".repeat(many)),
        format!("CREATE FUNCTION f() {}", "LANGUAGE ".repeat(many)),
        format!("CREATE MATERIALIZED VIEW v AS SELECT 1 {}x", "WITH NO DATA ".repeat(many)),
        format!("CREATE INDEX i ON t USING btree ({}a)", "a,".repeat(many)),
        format!("GRANT ALL {} TO x", "ON TABLE t ".repeat(many)),
        format!("{}COMMIT", "/**/".repeat(many)),
    ] {
        judge(text.as_bytes(), &Options::new(18));
    }
}

/// The same statement with blanks and comments before and between its tokens, and words in another
/// case.
fn disguised(text: &str) -> Vec<u8> {
    let mut lexer = Lexer::new(text.as_bytes(), true);
    let mut all = b"-- a 'comment\n/* and /* another */ */\t".to_vec();
    let mut before = text.len();
    loop {
        let token = lexer.next();
        let rest = lexer.rest().len();
        let piece = &text.as_bytes()[text.len() - before..text.len() - rest];
        match token {
            Token::End => return all,
            Token::Broken => {
                all.extend(&text.as_bytes()[text.len() - before..]);
                return all;
            }
            Token::Word(_) => all.extend(piece.to_ascii_uppercase()),
            Token::Punct(_) => all.extend(piece),
            _ => all.extend([piece, b" /* ' */\n"].concat()),
        }
        before = rest;
    }
}

#[test]
fn case_comments_and_blanks_change_nothing() {
    for (text, expected) in REAL.iter().chain(OTHER) {
        let text = disguised(text);
        let told = brief(&judge(&text, &Options::new(18)));
        assert_eq!(told, *expected, "{}", String::from_utf8_lossy(&text));
    }
    for text in HOSTILE {
        let text = disguised(text);
        let judged = judge(&text, &Options::new(18));
        assert!(!matches!(judged, Judged::Send(_)), "{}: {judged:?}", String::from_utf8_lossy(&text));
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(text in proptest::collection::vec(any::<u8>(), 0..200), conforming: bool) {
        let options = Options { standard_conforming_strings: conforming, ..Options::new(18) };
        judge(&text, &options);
    }

    #[test]
    fn a_damaged_statement_gets_an_answer(
        index in 0..REAL.len(),
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..4),
        cut: bool,
    ) {
        let mut text = REAL[index].0.as_bytes().to_vec();
        let at = at.index(text.len() + 1);
        let end = if cut { text.len() } else { at };
        text.splice(at..end, bytes);
        judge(&text, &Options::new(18));
    }

    #[test]
    fn any_words_of_statements_are_sent_only_in_a_known_form(
        words in proptest::collection::vec(prop::sample::select(WORDS), 1..12),
    ) {
        let text = words.join(" ");
        let judged = judge(text.as_bytes(), &Options::new(18));
        let known = ["CREATE", "ALTER", "SET", "COPY t FROM stdin", "GRANT", "REVOKE", "COMMENT", "BEGIN", "COMMIT"];
        if matches!(judged, Judged::Send(_)) {
            // A comment before it is none of it.
            let text = words.iter().skip_while(|word| **word == "--\n").copied().collect::<Vec<_>>().join(" ");
            prop_assert!(known.iter().any(|start| text.starts_with(start)), "{}", text);
            prop_assert!(!text.contains("PROGRAM"), "{}", text);
        }
    }
}

const WORDS: &[&str] = &[
    "CREATE",
    "ALTER",
    "COPY",
    "t",
    "FROM",
    "stdin",
    "PROGRAM",
    "'x'",
    "TABLE",
    "(",
    ")",
    "a",
    ",",
    "GRANT",
    "ON",
    "TO",
    "REVOKE",
    "COMMENT",
    "IS",
    "BEGIN",
    "COMMIT",
    "SET",
    "=",
    "OWNER",
    "SELECT",
    "AS",
    "DO",
    "$$x$$",
    ";",
    "FUNCTION",
    "LANGUAGE",
    "sql",
    "c",
    "INDEX",
    "USING",
    "btree",
    "DROP",
    "pg_catalog",
    ".",
    "setval",
    "1",
    "--\n",
];

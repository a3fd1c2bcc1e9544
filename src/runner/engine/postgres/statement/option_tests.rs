//! What options make of a statement, and what a refusal says.

use super::tests::{brief, judged, names};
use super::*;

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

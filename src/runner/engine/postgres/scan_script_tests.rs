use super::*;
use crate::runner::engine::postgres::digest::RowHasher;
use crate::runner::inventory::{Outside, RoleUse, TableDigest, TableRows};

fn scan(script: &[u8], step: usize) -> Result<DumpFacts> {
    let mut scanner = Box::new(ScriptScanner::default());
    script.chunks(step).try_for_each(|piece| scanner.feed(piece))?;
    scanner.finish()
}

fn tables(of: &[TableRows]) -> Vec<(&str, u64)> {
    of.iter().map(|table| (table.name.as_str(), table.rows)).collect()
}

fn digests(script: &[u8], step: usize) -> DumpFacts {
    let mut scanner = Box::new(ScriptScanner::default());
    scanner.digest_rows();
    script.chunks(step).for_each(|piece| scanner.feed(piece).unwrap());
    scanner.finish().unwrap()
}

#[test]
fn rows_are_added_up_by_table_however_a_dump_is_cut() {
    let script = "SET client_encoding = 'LATIN1';\nSET search_path = s, pg_catalog;\n\
        COPY t (a, \"B c\") FROM stdin;\n1\tx\n2\ty\n\\.\nCOPY t (a, \"B c\") FROM stdin;\n3\tz\n\\.\n\
        COPY other (a) FROM stdin;\n1\n\\.\nCOPY other (b) FROM stdin;\n1\n\\.\n\
        COPY bare FROM stdin;\n\\.\nCOPY odd (a) FROM stdin;\n1\\\n2\n\\.\nINSERT INTO i VALUES (1);\n";
    let mut hasher = RowHasher::default();
    hasher.feed(b"3\tz\n1\tx\n2\ty\n");
    for step in [1, 3, 50, script.len()] {
        let facts = digests(script.as_bytes(), step);
        assert_eq!(facts.client_encoding.as_deref(), Some("LATIN1"));
        let found = facts.digests.unwrap();
        let short: Vec<_> = found.iter().map(|it| (it.table.as_str(), it.rows, it.doubt.is_some())).collect();
        let expected = [("s.bare", 0, false), ("s.odd", 1, true), ("s.other", 2, true), ("s.t", 3, false)];
        assert_eq!(short, expected, "by {step}");
        assert_eq!(found[3].row_sum(), hasher.sum(), "by {step}");
        assert_eq!(found[3].relation, b"\"s\".\"t\"");
        assert_eq!(found[3].columns, [b"\"a\"".to_vec(), b"\"B c\"".to_vec()]);
        assert_eq!(found[3].encoding, b"LATIN1");
        assert!(found[0].columns.is_empty());
    }
    assert_eq!(scan(script.as_bytes(), 7).unwrap().digests, None, "nobody asked for them");
}

#[test]
fn a_list_of_columns_that_is_too_long_is_told() {
    let columns: Vec<String> = (0..1000).map(|column| format!("column_{column}")).collect();
    let script = format!("COPY public.wide ({}) FROM stdin;\n\\.\n", columns.join(", "));
    let found = digests(script.as_bytes(), 100).digests.unwrap();
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.table.as_str(), one.doubt), ("public.wide", Some("its COPY statement is too long")));
}

#[test]
fn digests_belong_to_their_database() {
    let block = "COPY public.t (a) FROM stdin;\n1\n\\.\n";
    let tables = |digests: &Option<Vec<TableDigest>>| {
        digests.iter().flatten().map(|digest| digest.table.clone()).collect::<Vec<_>>()
    };
    let two = digests(format!("\\connect one\n{block}\\connect two\nx;\n").as_bytes(), 9);
    assert_eq!(two.digests, Some(Vec::new()));
    assert_eq!(tables(&two.databases[0].digests), ["public.t"]);
    assert_eq!(two.databases[1].digests, Some(Vec::new()));
    let one = digests(format!("\\connect one\n{block}").as_bytes(), 9);
    assert_eq!(tables(&one.digests), ["public.t"]);
}

const ONE: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x1\n\n-- Dumped from database version 15.18 (Debian)\n\
    -- Dumped by pg_dump version 18.4\n\nSET standard_conforming_strings = on;\n\
    CREATE TABLE public.t (a int);\nCREATE TABLE public.p (a int)\nPARTITION BY RANGE (a);\n\
    CREATE TABLE public.none (a int);\n\
    COPY public.t (a) FROM stdin;\n1\n2\n\\.\n\nINSERT INTO public.\"T u\" VALUES (1), (2);\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x1\n\n";

#[test]
fn the_inventory_of_a_dump_is_taken_however_it_is_cut() {
    for step in [1, 2, 7, 100, ONE.len()] {
        let facts = scan(ONE.as_bytes(), step).unwrap();
        let found = facts.tables.unwrap();
        assert_eq!(tables(&found), [("public.T u", 2), ("public.none", 0), ("public.t", 2)], "by {step}");
        assert_eq!((facts.trailer, facts.engine_version.as_deref()), (true, Some("15.18")));
        assert_eq!(facts.largest_statement, 53);
        assert!(facts.databases.is_empty());
    }
}

#[test]
fn the_end_mark_counts_only_where_nothing_follows_and_nothing_is_quoted() {
    let end = "--\n-- PostgreSQL database dump complete\n--\n";
    let cluster = "--\n-- PostgreSQL database cluster dump\n--\n";
    let cluster_end = "--\n-- PostgreSQL database cluster dump complete\n--\n";
    for (script, ended) in [
        (format!("a;\n{end}"), true),
        (format!("a;\n{end}b;\n"), false),
        (format!("a '\n{end}';\n"), false),
        (format!("a $$\n{end}$$;\n"), false),
        (format!("a;\nCOPY t FROM stdin;\n{end}\\.\n"), false),
        (format!("{cluster}a;\n{end}"), false),
        (format!("{cluster}a;\n{end}b;\n{cluster_end}"), true),
        ("a;\n-- PostgreSQL database dump completed\n".to_owned(), false),
        (format!("{end}a;\n"), false),
    ] {
        assert_eq!(scan(script.as_bytes(), 3).unwrap().trailer, ended, "{script}");
    }
}

#[test]
fn databases_are_told_apart_and_old_dumps_set_their_schema() {
    let script = "SET search_path = shop, pg_catalog;\nCREATE TABLE x (a int);\n\\connect one\n\
        CREATE TABLE t (a int);\nSET search_path = s, pg_catalog;\nCOPY t (a) FROM stdin;\n1\n\\.\n\
        \\connect \"Two\"\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\n";
    let facts = scan(script.as_bytes(), 5).unwrap();
    let all = facts.tables.unwrap();
    assert_eq!(tables(&all), [("shop.x", 0), ("one.t", 0), ("one.s.t", 1), ("Two.public.t", 2)]);
    let databases: Vec<_> =
        facts.databases.iter().map(|database| (database.name.as_str(), tables(&database.tables))).collect();
    assert_eq!(databases, [("one", vec![("t", 0), ("s.t", 1)]), ("Two", vec![("public.t", 2)])]);
}

#[test]
fn what_is_no_whole_dump_is_an_error() {
    for (script, reason) in [
        ("", Reason::Truncated),
        ("-- nothing\n", Reason::Truncated),
        ("COPY \"t FROM stdin;\n", Reason::Truncated),
        ("COPY 1 FROM stdin;\n\\.\n", Reason::UnsafeContent),
    ] {
        assert_eq!(scan(script.as_bytes(), 1).unwrap_err().reason, reason, "{script}");
    }
}

#[test]
fn what_a_database_names_beside_itself_is_its_own() {
    let script = "CREATE ROLE a;\nGRANT a TO b;\n\\connect one\n\nSET client_encoding = 'LATIN1';\n\
                  ALTER TABLE t OWNER TO a;\n\\connect two\n\nSET client_encoding = 'UTF8';\n\
                  GRANT SELECT ON TABLE t TO b;\nSET default_tablespace = fast;\n";
    let facts = scan(script.as_bytes(), 7).unwrap();
    let (a, b) = ((b"a".to_vec(), RoleUse::Owner), (b"b".to_vec(), RoleUse::Grantee));
    let roles = |outside: &Outside| outside.roles.iter().cloned().collect::<Vec<_>>();
    let [one, two] = facts.databases.as_slice() else { panic!("{:?}", facts.databases) };
    assert_eq!((roles(&one.outside), one.outside.encoding.as_slice()), (vec![a.clone()], &b"LATIN1"[..]));
    assert_eq!((roles(&two.outside), two.outside.encoding.as_slice()), (vec![b.clone()], &b"UTF8"[..]));
    assert!(one.outside.tablespaces.is_empty() && two.outside.tablespaces.contains(&b"fast"[..]));
    assert_eq!(roles(&facts.outside), [a, b], "of all");
}

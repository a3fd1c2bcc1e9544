//! What an entry's owner is the owner of.
//!
//! An archive states owners beside the statements of its entries, so the statement that gives an object
//! away is made here, out of the one that drops it: both name an object in the same way.

use super::entry::Entry;
use crate::runner::engine::postgres::names::quote_ident;

/// Kinds of entries whose objects have an owner of their own, which can be changed.
const OWNED: [&[u8]; 23] = [
    b"AGGREGATE",
    b"COLLATION",
    b"CONVERSION",
    b"DOMAIN",
    b"EVENT TRIGGER",
    b"FOREIGN DATA WRAPPER",
    b"FOREIGN TABLE",
    b"FUNCTION",
    b"MATERIALIZED VIEW",
    b"OPERATOR",
    b"OPERATOR CLASS",
    b"OPERATOR FAMILY",
    b"PROCEDURAL LANGUAGE",
    b"PROCEDURE",
    b"PUBLICATION",
    b"SEQUENCE",
    b"SERVER",
    b"STATISTICS",
    b"TABLE",
    b"TEXT SEARCH CONFIGURATION",
    b"TEXT SEARCH DICTIONARY",
    b"TYPE",
    b"VIEW",
];
/// The schema `public` is never dropped, and can be given away all the same.
const SCHEMA: &[u8] = b"SCHEMA";

/// The objects of an entry that belong to its owner, as a statement names them, such as `TABLE public.t`.
pub fn owned(entry: &Entry) -> Vec<Vec<u8>> {
    if entry.owner.is_empty() {
        return Vec::new();
    }
    if let Some(oids) = entry.large_objects() {
        return oids.into_iter().map(|oid| format!("LARGE OBJECT {oid}").into_bytes()).collect();
    }
    if entry.desc == SCHEMA {
        return vec![[b"SCHEMA ".as_slice(), &quote_ident(&entry.tag)].concat()];
    }
    let dropped = entry.drop_statement.trim_ascii().strip_prefix(b"DROP ");
    let Some(object) = dropped.filter(|_| OWNED.contains(&entry.desc.as_slice())) else { return Vec::new() };
    vec![object.strip_suffix(b";").unwrap_or(object).to_vec()]
}

/// Whether it is the schema `public`, which every database has.
pub fn is_public(entry: &Entry) -> bool {
    entry.desc == SCHEMA && entry.tag == b"public"
}

/// The statement that gives an object of an entry to its owner.
pub fn give(entry: &Entry, object: &[u8]) -> Vec<u8> {
    [b"ALTER ".as_slice(), object, b" OWNER TO ", &quote_ident(&entry.owner)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::engine::postgres::archive::build;

    #[test]
    fn an_object_is_given_away_by_the_name_that_it_is_dropped_by() {
        for (desc, tag, drop, expected) in [
            ("TABLE", "t", "DROP TABLE public.\"a;b\";\n", "ALTER TABLE public.\"a;b\" OWNER TO \"o\"\"x\""),
            (
                "FUNCTION",
                "f(integer)",
                "DROP FUNCTION s.f(a integer);\n",
                "ALTER FUNCTION s.f(a integer) OWNER TO \"o\"\"x\"",
            ),
            (
                "OPERATOR CLASS",
                "c",
                "DROP OPERATOR CLASS s.c USING btree;\n",
                "ALTER OPERATOR CLASS s.c USING btree OWNER TO \"o\"\"x\"",
            ),
            ("SCHEMA", "Odd s", "DROP SCHEMA \"Odd s\";\n", "ALTER SCHEMA \"Odd s\" OWNER TO \"o\"\"x\""),
            (
                "SCHEMA",
                "public",
                "-- *not* dropping schema, since initdb creates it\n",
                "ALTER SCHEMA \"public\" OWNER TO \"o\"\"x\"",
            ),
            (
                "BLOB",
                "17",
                "SELECT pg_catalog.lo_unlink('17');\n",
                "ALTER LARGE OBJECT 17 OWNER TO \"o\"\"x\"",
            ),
            // An identity's sequence goes with its table, and these have no owner of their own.
            ("SEQUENCE", "t_id_seq", "", ""),
            ("INDEX", "i", "DROP INDEX s.i;\n", ""),
            ("TRIGGER", "t x", "DROP TRIGGER x ON s.t;\n", ""),
            ("EXTENSION", "hstore", "DROP EXTENSION hstore;\n", ""),
            ("CONSTRAINT", "t k", "ALTER TABLE ONLY s.t DROP CONSTRAINT k;\n", ""),
        ] {
            let entry = Entry {
                tag: tag.into(),
                drop_statement: drop.into(),
                owner: b"o\"x".to_vec(),
                ..build::entry(1, desc.as_bytes(), b"")
            };
            let given: Vec<Vec<u8>> = owned(&entry).iter().map(|object| give(&entry, object)).collect();
            assert_eq!(String::from_utf8_lossy(&given.concat()), expected, "{desc} {tag}");
            assert!(owned(&Entry { owner: Vec::new(), ..entry }).is_empty(), "nobody owns {desc} {tag}");
        }
        let objects = Entry { owner: b"o".to_vec(), ..build::entry(1, b"BLOB METADATA", b"1\n25\n") };
        assert_eq!(owned(&objects), [b"LARGE OBJECT 1".to_vec(), b"LARGE OBJECT 25".to_vec()]);
    }
}

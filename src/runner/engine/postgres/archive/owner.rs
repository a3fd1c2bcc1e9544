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

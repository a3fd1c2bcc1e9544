//! Names and constants of SQL as PostgreSQL reads and writes them.
//!
//! Names are bytes in the encoding of the dump that they stand in, of which only bytes below 0x80
//! are known to be ASCII; so they can be sent back under the same `client_encoding` unchanged.

use std::fmt;

/// The name of an object, with its schema where one is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The schema; `None` where the search path decides.
    pub schema: Option<Vec<u8>>,
    /// The name, without quotes.
    pub name: Vec<u8>,
}

impl Name {
    /// A name without a schema.
    pub fn bare(name: impl Into<Vec<u8>>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// A name in a schema.
    pub fn qualified(schema: impl Into<Vec<u8>>, name: impl Into<Vec<u8>>) -> Self {
        Self { schema: Some(schema.into()), name: name.into() }
    }

    /// The name for use in a statement, every part in quotes.
    pub fn to_sql(&self) -> Vec<u8> {
        let mut sql = Vec::new();
        if let Some(schema) = &self.schema {
            sql.extend(quote_ident(schema));
            sql.push(b'.');
        }
        sql.extend(quote_ident(&self.name));
        sql
    }

    /// Whether the name is one of the server's own: in a system schema, or without a schema and
    /// of the form of a catalog, which every search path finds first.
    pub fn is_system(&self) -> bool {
        match &self.schema {
            Some(schema) => is_system_schema(schema),
            None => self.name.starts_with(b"pg_"),
        }
    }
}

impl fmt::Display for Name {
    /// For people: parts in quotes only where they are no simple words, bytes that are no UTF-8 and
    /// control characters replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", shown(schema))?;
        }
        f.write_str(&shown(&self.name))
    }
}

/// A name for people, in quotes unless it is a simple word.
pub fn shown(name: &[u8]) -> String {
    let simple = !name.is_empty()
        && !name.starts_with(b"$")
        && !name.first().is_some_and(u8::is_ascii_digit)
        && name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
    let sql = if simple { name.to_vec() } else { quote_ident(name) };
    String::from_utf8_lossy(&sql)
        .chars()
        .map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

/// Whether a schema is the server's own. Names that begin with `pg_` are reserved for it
/// (PostgreSQL manual, 5.10.5).
pub fn is_system_schema(schema: &[u8]) -> bool {
    schema.starts_with(b"pg_") || schema == b"information_schema"
}

/// A name in double quotes, for use in a statement: never folded, never a keyword.
pub fn quote_ident(name: &[u8]) -> Vec<u8> {
    enclosed(name, b'"', b"")
}

/// Text as a string constant that means the same under both values of
/// `standard_conforming_strings`: with a backslash in it, it is written as `E'…'`.
pub fn quote_literal(text: &[u8]) -> Vec<u8> {
    if text.contains(&b'\\') {
        let mut sql = vec![b'E'];
        sql.extend(enclosed(text, b'\'', b"\\"));
        return sql;
    }
    enclosed(text, b'\'', b"")
}

/// A name of ours in double quotes; see [`quote_ident`].
pub fn ident(name: &str) -> String {
    String::from_utf8_lossy(&quote_ident(name.as_bytes())).into_owned()
}

/// Text of ours as a string constant; see [`quote_literal`].
pub fn literal(text: &str) -> String {
    String::from_utf8_lossy(&quote_literal(text.as_bytes())).into_owned()
}

/// `text` between quotes; the quote and the bytes of `doubled` inside are written twice.
fn enclosed(text: &[u8], quote: u8, doubled: &[u8]) -> Vec<u8> {
    let mut sql = Vec::with_capacity(text.len() + 2);
    sql.push(quote);
    for byte in text {
        if *byte == quote || doubled.contains(byte) {
            sql.push(*byte);
        }
        sql.push(*byte);
    }
    sql.push(quote);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_text_are_quoted_so_that_they_mean_themselves() {
        for (text, ident, literal) in [
            ("a", r#""a""#, "'a'"),
            ("select", r#""select""#, "'select'"),
            (r#"a"b"#, r#""a""b""#, r#"'a"b'"#),
            ("it's", r#""it's""#, "'it''s'"),
            (r"a\b'", r#""a\b'""#, r"E'a\\b'''"),
            ("", r#""""#, "''"),
            ("naïve\n", "\"naïve\n\"", "'naïve\n'"),
        ] {
            assert_eq!(quote_ident(text.as_bytes()), ident.as_bytes(), "{text}");
            assert_eq!(quote_literal(text.as_bytes()), literal.as_bytes(), "{text}");
        }
    }

    #[test]
    fn a_name_is_shown_as_people_write_it_and_sent_in_quotes() {
        for (name, people, sql) in [
            (Name::bare("orders"), "orders", r#""orders""#),
            (Name::qualified("public", "orders"), "public.orders", r#""public"."orders""#),
            (Name::qualified("Shop", "a b"), r#""Shop"."a b""#, r#""Shop"."a b""#),
            (Name::bare("1st"), r#""1st""#, r#""1st""#),
            (Name::bare("a\u{1b}b"), "\"a\u{fffd}b\"", "\"a\u{1b}b\""),
        ] {
            assert_eq!(name.to_string(), people);
            assert_eq!(name.to_sql(), sql.as_bytes());
        }
        assert_eq!(Name::bare(&b"caf\xe9"[..]).to_string(), "\"caf\u{fffd}\"");
    }

    #[test]
    fn the_servers_own_names_are_known() {
        for (name, expected) in [
            (Name::qualified("pg_catalog", "x"), true),
            (Name::qualified("information_schema", "x"), true),
            (Name::qualified("pg_toast", "x"), true),
            (Name::qualified("public", "pg_stat"), false),
            (Name::bare("pg_authid"), true),
            (Name::bare("orders"), false),
            (Name::qualified("PG_CATALOG", "x"), false),
        ] {
            assert_eq!(name.is_system(), expected, "{name}");
        }
    }
}

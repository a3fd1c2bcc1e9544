//! Which tables' rows two servers may write in different ways, by the types of their columns.

use std::collections::{BTreeMap, BTreeSet};

use super::names::quote_ident;
use super::preflight::series;
use super::server::{Session, major_of};
use crate::runner::fault::Result;
use crate::runner::inventory::TableDigest;

/// Release series since which floating point numbers are written as short as they can be read back
/// (PostgreSQL 12, *Release Notes*, E.23.2).
const SHORT_FLOATS_SINCE: u32 = 12;
/// Release series since which `"char"` writes bytes above 0x7F as octal numbers (PostgreSQL 16, *Release
/// Notes*).
const OCTAL_CHARS_SINCE: u32 = 16;
/// Release series with multiranges.
const MULTIRANGES_SINCE: u32 = 14;

/// Kinds of types whose text depends on more than the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Of floating point numbers.
    Float,
    /// `money`: depends on `lc_monetary`, which `pg_dump` leaves as it finds it.
    Money,
    /// `regclass` and its like: depend on the search path, which older `pg_dump` leaves.
    Reference,
    /// `"char"`.
    Char,
    /// `bytea`: depends on `bytea_output`, which `pg_dump` leaves.
    Bytes,
    /// A base type of an extension or of the dump.
    Foreign,
}

/// A table of the loaded database.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) is_partitioned: bool,
    pub(super) is_foreign: bool,
    /// A policy hides rows from this login, or it may not read them.
    pub(super) is_guarded: bool,
    /// Size on disk.
    pub(super) bytes: u64,
    /// Columns with a type of a kind, quoted.
    kinds: BTreeSet<(Kind, Vec<u8>)>,
}

impl Table {
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.kinds.iter().any(|(other, _)| *other == kind)
    }
}

/// All tables of the loaded database, and between which servers they went.
#[derive(Debug)]
pub(super) struct Doubts {
    tables: BTreeMap<String, Table>,
    from: Option<u32>,
    to: u32,
    /// Encoding of the loaded database.
    encoding: String,
}

impl Doubts {
    /// Asks the server for its tables; `version` is that of the dump's server.
    pub(super) fn ask(session: &mut Session, version: Option<&str>) -> Result<Self> {
        let to = session.connection.parameter("server_version").map_or(0, major_of);
        let mut tables = BTreeMap::new();
        for row in session.rows("list the tables to compare", TABLES, &[])? {
            let text = |index: usize| row.text(index).unwrap_or_default();
            let table = Table {
                is_partitioned: text(2) == "p",
                is_foreign: text(2) == "f",
                is_guarded: text(3) == "t",
                bytes: text(4).parse().unwrap_or_default(),
                kinds: BTreeSet::new(),
            };
            tables.insert(format!("{}.{}", text(0), text(1)), table);
        }
        for row in session.rows("look at the types of columns", &types(to), &[])? {
            let text = |index: usize| row.text(index).unwrap_or_default();
            let kind = match text(3) {
                "float" => Kind::Float,
                "money" => Kind::Money,
                "reference" => Kind::Reference,
                "char" => Kind::Char,
                "bytes" => Kind::Bytes,
                _ => Kind::Foreign,
            };
            if let Some(table) = tables.get_mut(&format!("{}.{}", text(0), text(1))) {
                table.kinds.insert((kind, quote_ident(text(2).as_bytes())));
            }
        }
        let encoding = session.row("ask for the encoding of the database", "SHOW server_encoding", &[])?;
        let encoding = encoding.text(0).unwrap_or_default().to_owned();
        Ok(Self { tables, from: version.and_then(series), to, encoding })
    }

    /// A table by the name that the dump has for it; one without a schema is in that of a new session.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name).or_else(|| self.tables.get(&format!("public.{name}")))
    }

    /// Why the same rows may have another text here.
    pub(super) fn of(&self, digest: &TableDigest, table: &Table) -> Option<&'static str> {
        if self.converts(&digest.encoding) {
            return Some("letters, of which the conversion to the database's encoding knows two forms");
        }
        let is_dumped = |column: &Vec<u8>| digest.columns.is_empty() || digest.columns.contains(column);
        let dumped = table.kinds.iter().filter(|(_, column)| is_dumped(column));
        dumped.into_iter().find_map(|(kind, _)| match kind {
            Kind::Float => self
                .crosses(SHORT_FLOATS_SINCE)
                .then_some("floating point numbers, written in another way since PostgreSQL 12"),
            Kind::Foreign => {
                self.crosses(SHORT_FLOATS_SINCE).then_some("types of extensions, across PostgreSQL 12")
            }
            Kind::Char => self
                .crosses(OCTAL_CHARS_SINCE)
                .then_some("\"char\", written in another way since PostgreSQL 16"),
            Kind::Money => Some("money, which each locale writes in another way"),
            Kind::Reference => Some("names of objects, which each search path writes in another way"),
            Kind::Bytes => None,
        })
    }

    /// Whether text goes through a conversion that is not one to one: between encodings of several bytes a
    /// letter may have two codes.
    fn converts(&self, encoding: &[u8]) -> bool {
        let name = String::from_utf8_lossy(encoding).to_ascii_uppercase().replace(['-', '_', ' '], "");
        let own = self.encoding.replace(['-', '_', ' '], "");
        ["EUC", "SJIS", "SHIFTJIS", "BIG5", "GB", "JOHAB", "UHC", "MULE"]
            .iter()
            .any(|it| name.starts_with(it))
            && name != own
    }

    /// Whether only one of the two servers is of this release series or newer; also where it is not known.
    fn crosses(&self, since: u32) -> bool {
        self.from.is_none_or(|from| (from < since) != (self.to < since))
    }
}

/// Schema, name, kind, whether rows are hidden, bytes.
const TABLES: &str = "
SELECT nspname, relname, relkind,
       pg_catalog.row_security_active(c.oid) OR NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                                                     AND pg_catalog.has_table_privilege(c.oid, 'SELECT')),
       CASE relkind WHEN 'r' THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'f') AND relpersistence <> 't'
  AND nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name";

/// Schema, table, column and kind of the columns with such a type in them: itself, below a domain, in an
/// array, a range or a composite type.
fn types(major: u32) -> String {
    let of_range =
        if major >= MULTIRANGES_SINCE { "t.oid IN (rngtypid, rngmultitypid)" } else { "t.oid = rngtypid" };
    format!(
        "
WITH RECURSIVE part(relation, col, type) AS (
    SELECT attrelid, attname, atttypid FROM pg_catalog.pg_attribute
    JOIN pg_catalog.pg_class c ON c.oid = attrelid JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND attnum > 0 AND NOT attisdropped
      AND nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name
  UNION
    SELECT relation, col, inner_type FROM part JOIN pg_catalog.pg_type t ON t.oid = type
    CROSS JOIN LATERAL (
        SELECT typbasetype WHERE typtype = 'd'
        UNION ALL SELECT typelem WHERE typelem <> 0 AND typlen = -1
        UNION ALL SELECT rngsubtype FROM pg_catalog.pg_range WHERE {of_range}
        UNION ALL SELECT atttypid FROM pg_catalog.pg_attribute
                  WHERE typtype = 'c' AND attrelid = typrelid AND attnum > 0 AND NOT attisdropped
    ) AS further(inner_type)
), known AS (
    SELECT relation, col, CASE
        WHEN tn.nspname <> 'pg_catalog'::pg_catalog.name THEN CASE WHEN typtype = 'b' AND typelem = 0 THEN 'other' END
        WHEN typname IN ('float4', 'float8', 'point', 'lseg', 'path', 'box', 'polygon', 'line', 'circle') THEN 'float'
        WHEN typname = 'money' THEN 'money'
        WHEN typname::pg_catalog.text ~ '^reg' THEN 'reference'
        WHEN typname = 'char' THEN 'char'
        WHEN typname = 'bytea' THEN 'bytes'
    END AS kind
    FROM part JOIN pg_catalog.pg_type t ON t.oid = type JOIN pg_catalog.pg_namespace tn ON tn.oid = typnamespace
)
SELECT DISTINCT nspname, relname, col, kind FROM known
JOIN pg_catalog.pg_class c ON c.oid = relation JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE kind IS NOT NULL"
    )
}

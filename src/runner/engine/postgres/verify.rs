//! Compares what was loaded with what pass 1 counted in the dump.

use std::collections::{BTreeMap, HashMap};

use super::census;
use super::content;
use super::load::{Counts, Loaded};
use super::names::ident;
use super::server::{PostgresTarget, Session, Who};
use super::spelled::Spelled;
use super::wire::Row;
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::cancel::Cancel;
use crate::runner::engine::{Context, LoadedTable, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, TableRows};

/// Tables that are counted by one question, so that many small ones far away take no longer than they must.
const GROUP: usize = 64;
/// Bytes of a table from which on it is counted by itself.
const SMALL_BYTES: u64 = 8 * 1024 * 1024;
/// Differences that a message names.
const SHOWN: usize = 5;

/// Counts the loaded database and compares it with the dump.
pub(super) fn verify(
    settings: &PostgresTarget,
    database: &str,
    incoming: &DatabaseEntry,
    loaded: &Loaded,
    context: &Context,
) -> Result<Verified> {
    let by_load: Vec<LoadedTable> =
        loaded.rows.iter().map(|(name, rows)| LoadedTable { name: name.clone(), rows: *rows }).collect();
    let mut session = settings.session(Who::Restorer, database, Stage::Verify, &context.cancel)?;
    let spelled = Spelled::ask(&mut session, &incoming.facts)?;
    let (incoming, by_load) = (loaded.jobs.expected(incoming), spelled.tables(by_load));
    let incoming = &*spelled.entry(&incoming);
    let expected = incoming.facts.tables.as_deref().unwrap_or_default();
    let roots = roots(&mut session)?;
    // Of a table without rows the load says nothing.
    let with_rows: Vec<TableRows> = expected.iter().filter(|table| table.rows > 0).cloned().collect();
    compare(&with_rows, &Found::new(&by_load, roots.clone()), &loaded.grown, "the server took in")?;
    let mut checks = loaded.notes.clone();
    let (tables, bytes) = if settings.counts_rows {
        let Counted { mut tables, uncounted, bytes } = count(&mut session, &loaded.counts, &context.cancel)?;
        let counted_tables = counted(tables.len() as u64, "table");
        checks.insert(0, format!("rows of {counted_tables} counted in the database"));
        if !uncounted.is_empty() {
            checks.push(format!(
                "rows of {} taken from the load: their policies bind the owner too, or the owner may not read them",
                counted(uncounted.len() as u64, "table")
            ));
            // Of a table without rows the load may say nothing.
            let by_name: HashMap<&str, u64> =
                by_load.iter().map(|table| (table.name.as_str(), table.rows)).collect();
            tables.extend(uncounted.into_iter().map(|name| {
                let rows = by_name.get(name.as_str()).copied().unwrap_or_default();
                LoadedTable { name, rows }
            }));
        }
        compare(expected, &Found::new(&tables, roots.clone()), &loaded.grown, "the database holds")?;
        (tables, bytes)
    } else {
        let counted_tables = counted(by_load.len() as u64, "table");
        checks.insert(0, format!("rows of {counted_tables} as the server took them in"));
        (by_load, size(&mut session)?)
    };
    checks.extend(census::check(&mut session, &loaded.census)?);
    check_objects(&mut session, &mut checks)?;
    checks.extend(content::check(&mut session, (settings, database), incoming, (loaded, &roots), context)?);
    Ok(Verified { tables, bytes, checks })
}

/// A table that the dump has rows for must be there with as many. `grown` are tables of extensions,
/// which come with rows of their own.
fn compare(expected: &[TableRows], found: &Found, grown: &[String], who: &str) -> Result<()> {
    let wrong: Vec<String> = found
        .folded(expected)
        .iter()
        .filter_map(|(name, rows)| match found.rows(name) {
            Some(found) if found == *rows => None,
            Some(found) if found > *rows && grown.contains(name) => None,
            Some(found) => Some(format!("{name}: {rows} in the backup, {who} {found}")),
            None => Some(format!("{name}: {rows} in the backup, and the table is missing")),
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(SHOWN);
    let mut message =
        format!("rows differ: {}", wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; "));
    if more > 0 {
        message = format!("{message}; and {more} more");
    }
    Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message))
}

/// What was counted, by table; partitions also as their root.
#[derive(Default)]
struct Found {
    rows: HashMap<String, u64>,
    /// The root of every partition.
    roots: HashMap<String, String>,
}

impl Found {
    fn new(tables: &[LoadedTable], roots: HashMap<String, String>) -> Self {
        let mut rows: HashMap<String, u64> = HashMap::new();
        for table in tables {
            *rows.entry(table.name.clone()).or_default() += table.rows;
            if let Some(root) = roots.get(&table.name) {
                *rows.entry(root.clone()).or_default() += table.rows;
            }
        }
        Self { rows, roots }
    }

    /// A dump that names no schema fills the one that a new session finds.
    fn rows(&self, name: &str) -> Option<u64> {
        self.rows.get(name).or_else(|| self.rows.get(&format!("public.{name}"))).copied()
    }

    /// What the dump has, partitions as their root: rows that are loaded through the root may come to
    /// lie in others than those that the dump names.
    fn folded(&self, expected: &[TableRows]) -> BTreeMap<String, u64> {
        let mut folded = BTreeMap::new();
        for table in expected {
            let name = self.roots.get(&table.name).unwrap_or(&table.name);
            *folded.entry(name.clone()).or_default() += table.rows;
        }
        folded
    }
}

/// The topmost table of every partition that holds rows here.
fn roots(session: &mut Session) -> Result<HashMap<String, String>> {
    let sql = "WITH RECURSIVE up AS ( \
                 SELECT c.oid AS leaf, i.inhparent AS root FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid \
                 WHERE c.relispartition AND c.relkind = 'r' \
                 UNION ALL \
                 SELECT up.leaf, i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.root) \
               SELECT ln.nspname, l.relname, rn.nspname, r.relname FROM up \
               JOIN pg_catalog.pg_class l ON l.oid = up.leaf JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace \
               JOIN pg_catalog.pg_class r ON r.oid = up.root JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
               WHERE NOT r.relispartition";
    let rows = session.rows("list the partitions", sql, &[])?;
    let name = |row: &Row, index: usize| {
        format!("{}.{}", row.text(index).unwrap_or_default(), row.text(index + 1).unwrap_or_default())
    };
    Ok(rows.iter().map(|row| (name(row, 0), name(row, 2))).collect())
}

/// What is in a database.
pub(super) struct Counted {
    /// Tables with their rows, sorted by name. A partitioned table has none but those of its partitions.
    pub(super) tables: Vec<LoadedTable>,
    /// Tables whose rows a policy hides from this login, or that it may not read.
    pub(super) uncounted: Vec<String>,
    /// Bytes of the database.
    pub(super) bytes: u64,
}

/// All tables of users with their rows, sorted by name; and the bytes of the database. Those of `known` were
/// counted before, and nothing was written to them since.
pub(super) fn count(session: &mut Session, known: &Counts, cancel: &Cancel) -> Result<Counted> {
    let sql = "SELECT nspname, relname, \
                      pg_catalog.row_security_active(c.oid) \
                      OR NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
                      OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
                      pg_catalog.pg_relation_size(c.oid) FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
               WHERE relkind = 'r' AND relpersistence <> 't' \
                 AND nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name \
               ORDER BY 1, 2";
    let listed = session.rows("list the loaded tables", sql, &[])?;
    let (mut tables, mut uncounted) = (Vec::with_capacity(listed.len()), Vec::new());
    let mut small: Vec<(&str, &str)> = Vec::new();
    for row in &listed {
        cancel.check(Stage::Verify)?;
        let text = |index: usize| row.text(index).unwrap_or_default();
        let table = (text(0), text(1));
        // A policy that also binds the owner, or rights that the backup takes from it: the server would not
        // count all rows for this login.
        if text(2) == "t" {
            uncounted.push(format!("{}.{}", table.0, table.1));
        } else if let Some(rows) = known.get(&(table.0.to_owned(), table.1.to_owned())) {
            tables.push(LoadedTable { name: format!("{}.{}", table.0, table.1), rows: *rows });
        } else if text(3).parse::<u64>().is_ok_and(|bytes| bytes < SMALL_BYTES) {
            small.push(table);
            if small.len() == GROUP {
                tables.extend(count_tables(session, &std::mem::take(&mut small))?);
            }
        } else {
            tables.extend(count_tables(session, &[table])?);
        }
    }
    tables.extend(count_tables(session, &small)?);
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Counted { tables, uncounted, bytes: size(session)? })
}

/// The rows of some tables, by one question.
fn count_tables(session: &mut Session, tables: &[(&str, &str)]) -> Result<Vec<LoadedTable>> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let name = |(schema, table): &(&str, &str)| format!("{}.{}", ident(schema), ident(table));
    let what = match tables {
        [one] => format!("count the rows of {}", name(one)),
        several => format!("count the rows of {} tables", several.len()),
    };
    // By itself a large one is counted by several processes of the server.
    let sql = match tables {
        [one] => format!("SELECT count(*) FROM ONLY {}", name(one)),
        several => {
            let each = several.iter().map(|table| format!("(SELECT count(*) FROM ONLY {})", name(table)));
            format!("SELECT {}", each.collect::<Vec<_>>().join(", "))
        }
    };
    let row = session.row(&what, &sql, &[])?;
    let counted = tables.iter().enumerate().map(|(index, (schema, table))| LoadedTable {
        name: format!("{schema}.{table}"),
        rows: row.text(index).and_then(|text| text.parse().ok()).unwrap_or_default(),
    });
    Ok(counted.collect())
}

fn size(session: &mut Session) -> Result<u64> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    let row = session.row("ask for the size of the loaded database", sql, &[])?;
    Ok(row.text(0).and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Indexes and constraints that the server itself holds for unfinished.
fn check_objects(session: &mut Session, checks: &mut Vec<String>) -> Result<()> {
    let sql = "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = indexrelid \
               WHERE NOT indisvalid AND c.relkind = 'i' LIMIT 5";
    let rows = session.rows("look for unfinished indexes", sql, &[])?;
    if !rows.is_empty() {
        let names: Vec<&str> = rows.iter().filter_map(|row| row.text(0)).collect();
        let message = format!("indexes are not valid: {}", names.join(", "));
        return Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message));
    }
    checks.push("every index is valid".to_owned());
    Ok(())
}

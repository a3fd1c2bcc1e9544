//! Compares the rows that were loaded with those of the dump by what they add up to ([`super::digest`]):
//! the server writes every table as `COPY TO` did for `pg_dump`, with the settings that `pg_dump` has.
//!
//! Where the two servers may write the same rows in different ways, only equality proves something: a
//! difference is then said by name, and is none of the restore.

use std::collections::{BTreeMap, HashMap};

use super::digest::RowSum;
use super::doubts::{Doubts, Kind, Table};
use super::load::Loaded;
use super::reading::{Reading, read_all};
use super::server::{PostgresTarget, Session};
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, TableDigest};

/// Differences, or tables that were not compared, that a text names.
const SHOWN: usize = 10;

/// Why a table is not compared whose name the server gives back in another form.
const NOT_FOUND: &str = "its name is not found in UTF-8";

/// Tables by the reason for which they are not compared.
type LeftOut = BTreeMap<String, &'static str>;

/// Compares the content of the tables of `database`, where the dump's was added up. Gives back what to say
/// of it. `session` is one into it, `roots` the root of every partition.
pub(super) fn check(
    session: &mut Session,
    (settings, database): (&PostgresTarget, &str),
    incoming: &DatabaseEntry,
    (loaded, roots): (&Loaded, &HashMap<String, String>),
    context: &Context,
) -> Result<Vec<String>> {
    let Some(digests) = &incoming.facts.digests else { return Ok(Vec::new()) };
    let digests = folded(digests, roots);
    let doubts = Doubts::ask(session, incoming.facts.engine_version.as_deref())?;
    let mut left_out = without_digest(incoming, &digests, roots);
    let mut readings = Vec::new();
    for digest in digests.into_values() {
        let table = doubts.table(&digest.table);
        let why = left_out.get(&digest.table).copied().or_else(|| unreadable(&digest, table, loaded));
        match (why, table) {
            (None, Some(table)) => readings.push(reading(digest, table, &doubts)),
            (why, _) => {
                left_out.insert(digest.table, why.unwrap_or(NOT_FOUND));
            }
        }
    }
    readings.sort_by_key(|reading| std::cmp::Reverse(reading.bytes));
    let read = read_all(settings, database, readings, context)?;
    let (equal, different): (Vec<_>, Vec<_>) = read.into_iter().partition(|it| it.found == it.expected);
    // Their number is the same however they are written.
    let is_doubtful = |it: &Reading| it.doubt.is_some() && it.found.rows == it.expected.rows;
    let (doubtful, wrong): (Vec<_>, Vec<_>) = different.into_iter().partition(is_doubtful);
    refuse(&wrong)?;
    left_out.extend(doubtful.into_iter().map(|it| (it.table, it.doubt.unwrap_or_default())));
    let mut checks = vec![format!("content of {} equal by digest", counted(equal.len() as u64, "table"))];
    checks.extend(told(&left_out));
    Ok(checks)
}

/// By table, partitions with their root where rows were dumped for it: they may come to lie in any.
fn folded(digests: &[TableDigest], roots: &HashMap<String, String>) -> BTreeMap<String, TableDigest> {
    let is_there = |name: &String| digests.iter().any(|digest| digest.table == *name);
    let root = |digest: &TableDigest| roots.get(&digest.table).filter(|root| is_there(root)).cloned();
    let mut folded: BTreeMap<String, TableDigest> =
        digests.iter().filter(|it| root(it).is_none()).map(|it| (it.table.clone(), it.clone())).collect();
    for digest in digests {
        if let Some(known) = root(digest).and_then(|root| folded.get_mut(&root)) {
            known.join(digest);
        }
    }
    folded
}

/// Tables with rows that did not come by `COPY`, or not all.
fn without_digest(
    incoming: &DatabaseEntry,
    digests: &BTreeMap<String, TableDigest>,
    roots: &HashMap<String, String>,
) -> LeftOut {
    let mut rows: BTreeMap<&String, u64> = BTreeMap::new();
    for table in incoming.facts.tables.iter().flatten().filter(|table| table.rows > 0) {
        let root = roots.get(&table.name).filter(|root| digests.contains_key(*root));
        *rows.entry(root.unwrap_or(&table.name)).or_default() += table.rows;
    }
    let is_all = |(name, rows): &(&String, u64)| digests.get(*name).is_some_and(|it| it.rows == *rows);
    rows.into_iter().filter(|it| !is_all(it)).map(|(name, _)| (name.clone(), "INSERT statements")).collect()
}

/// Why the rows of a table cannot be read as those of the dump were.
fn unreadable(digest: &TableDigest, table: Option<&Table>, loaded: &Loaded) -> Option<&'static str> {
    let Some(table) = table else { return Some(NOT_FOUND) };
    if loaded.grown.contains(&digest.table) {
        return Some("its extension brings rows, too");
    }
    if table.is_guarded {
        return Some("its policies bind the owner too, or the owner may not read it");
    }
    if table.is_foreign {
        return Some("its rows lie at another server");
    }
    (table.is_partitioned && digest.columns.is_empty()).then_some("its COPY statement names no columns")
}

/// How the rows of a table are asked for.
fn reading(digest: TableDigest, table: &Table, doubts: &Doubts) -> Reading {
    let columns = digest.columns.join(&b", "[..]);
    let relation = digest.relation.as_slice();
    let statement = if table.is_partitioned {
        [b"COPY (SELECT ", columns.as_slice(), b" FROM ", relation, b") TO STDOUT"].concat()
    } else if columns.is_empty() {
        [b"COPY ", relation, b" TO STDOUT"].concat()
    } else {
        [b"COPY ", relation, b" (", columns.as_slice(), b") TO STDOUT"].concat()
    };
    Reading {
        expected: digest.row_sum(),
        doubt: digest.doubt.or_else(|| doubts.of(&digest, table)),
        table: digest.table,
        statement,
        encoding: digest.encoding,
        has_bytes: table.has(Kind::Bytes),
        bytes: table.bytes,
        found: RowSum::default(),
    }
}

/// A fault where rows differ that should not.
fn refuse(readings: &[Reading]) -> Result<()> {
    let wrong = readings.iter().map(|reading| {
        let sum = |sum: RowSum| format!("{} of {}", sum.short(), counted(sum.rows, "row"));
        let (backup, database) = (sum(reading.expected), sum(reading.found));
        format!("{}: {backup} in the backup, {database} in the database", reading.table)
    });
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let message = format!("the digests of rows differ: {}", shown(&wrong));
    Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message))
}

/// What is said of the tables that were not compared.
fn told(left_out: &LeftOut) -> Option<String> {
    if left_out.is_empty() {
        return None;
    }
    for (table, why) in left_out {
        tracing::info!(table, why, "not compared by digest");
    }
    let names: Vec<String> = left_out.iter().map(|(table, why)| format!("{table} ({why})")).collect();
    Some(format!("{} not comparable by digest: {}", counted(names.len() as u64, "table"), shown(&names)))
}

fn shown(all: &[String]) -> String {
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

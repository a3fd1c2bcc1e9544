//! Looks at the loaded database before it may replace anything: SQLite's own check of every page,
//! the rows of every table, and for dump text the comparison with the rows of the backup.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::Integrity;
use super::connect::{self, Access, quote};
use super::files;
use crate::reason::Reason;
use crate::runner::engine::{Context, LoadedTable, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, TableRows};

/// Problems of one check that are looked at.
const PROBLEMS: u32 = 20;
/// What SQLite says of rows that break a rule of their table, in an otherwise sound file. Backups
/// hold such rows as the source did.
const RULES: [&str; 4] =
    ["NULL value in ", "CHECK constraint failed in ", "NUMERIC value in ", "TEXT value in "];

fn fault(reason: Reason, what: &str, error: &rusqlite::Error) -> Fault {
    let reason = if connect::is_corrupt(error) { Reason::CorruptBackup } else { reason };
    connect::fault(Stage::Verify, reason, what, error)
}

/// Checks the database at `shadow`.
pub(super) fn verify(
    shadow: &Path,
    integrity: Integrity,
    incoming: &DatabaseEntry,
    context: &Context,
) -> Result<Verified> {
    let open =
        |error: &rusqlite::Error| fault(Reason::CorruptBackup, "failed to open the loaded database", error);
    let mut connection = connect::open(shadow, Access::Immutable).map_err(|error| open(&error))?;
    connect::heed(&mut connection, &context.cancel).map_err(|error| open(&error))?;
    // Constraints may call functions of the application; they are not the file's soundness.
    connection.execute_batch("PRAGMA ignore_check_constraints=ON;").map_err(|error| open(&error))?;
    let mut checks = vec![check_pages(&connection, integrity)?];
    context.cancel.check(Stage::Verify)?;
    let tables = count_rows(&connection)?;
    if let Some(expected) = &incoming.facts.tables {
        compare(expected, &tables)?;
        checks.push(format!("rows of {} tables equal the backup", expected.len()));
    } else {
        checks.push("the written file equals the backup byte for byte".into());
    }
    checks.push(foreign_keys(&connection, context)?);
    let bytes = files::size(shadow)
        .map_err(|error| files::fault(Stage::Verify, "failed to look at the loaded database", error))?;
    Ok(Verified { tables, bytes, checks })
}

/// Counts the rows of a database that was verified before.
pub(super) fn count(loaded: &Path, context: &Context) -> Result<Vec<LoadedTable>> {
    let open = |error: &rusqlite::Error| {
        fault(Reason::VerificationFailed, "failed to open the loaded database", error)
    };
    let mut connection = connect::open(loaded, Access::Immutable).map_err(|error| open(&error))?;
    connect::heed(&mut connection, &context.cancel).map_err(|error| open(&error))?;
    count_rows(&connection)
}

/// What one problem line of `quick_check` or `integrity_check` means.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// The file is damaged.
    Damage,
    /// A row breaks a rule of its table.
    Rule,
}

fn judge(line: &str) -> Problem {
    let strict = line.starts_with("non-") && line.contains(" value in ");
    if strict || RULES.iter().any(|rule| line.starts_with(rule)) { Problem::Rule } else { Problem::Damage }
}

fn check_pages(connection: &Connection, integrity: Integrity) -> Result<String> {
    let pragma = match integrity {
        Integrity::Quick => "quick_check",
        Integrity::Full => "integrity_check",
    };
    match run_check(connection, &format!("PRAGMA {pragma}({PROBLEMS})")) {
        Ok(lines) => conclude(pragma, &lines),
        Err(error) if is_foreign(&error) => check_each(connection, pragma),
        Err(error) => Err(fault(Reason::CorruptBackup, &format!("failed to run {pragma}"), &error)),
    }
}

/// Whether a check could not run because the schema needs something of its application.
fn is_foreign(error: &rusqlite::Error) -> bool {
    let words = connect::words(error);
    ["no such function", "no such collation", "no such module", "unknown tokenizer", "unsafe use of"]
        .iter()
        .any(|start| words.contains(start))
}

fn run_check(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let lines = statement.query_map([], |row| row.get(0))?;
    lines.collect()
}

fn conclude(pragma: &str, lines: &[String]) -> Result<String> {
    let problems: Vec<&String> = lines.iter().filter(|line| *line != "ok").collect();
    if let Some(damage) = problems.iter().find(|line| judge(line) == Problem::Damage) {
        let damage = damage.lines().take(2).collect::<Vec<_>>().join("; ");
        let message =
            format!("{pragma} of the loaded database failed, so the source was damaged already: {damage}");
        return Err(Fault::new(Stage::Verify, Reason::CorruptBackup, message));
    }
    Ok(match problems.first() {
        None => pragma.to_owned(),
        Some(first) => {
            format!("{pragma}, with rows that break a rule of their table, as in the backup ({first})")
        }
    })
}

/// Checks table by table and leaves out those that only their application can check.
fn check_each(connection: &Connection, pragma: &str) -> Result<String> {
    let mut lines = Vec::new();
    let mut left_out = 0_u32;
    for table in table_names(connection)? {
        match run_check(connection, &format!("PRAGMA {pragma}({})", quote(&table))) {
            Ok(found) => lines.extend(found),
            Err(error) if is_foreign(&error) => left_out += 1,
            Err(error) => {
                return Err(fault(Reason::CorruptBackup, &format!("failed to run {pragma}"), &error));
            }
        }
    }
    let done = conclude(pragma, &lines)?;
    Ok(format!("{done}, except {left_out} tables that need functions or collations of their application"))
}

/// Tables with rows of their own: no views, no virtual tables, none of SQLite's.
pub(super) fn table_names(connection: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type='table' AND rootpage>0 \
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let names = || -> rusqlite::Result<Vec<String>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    names()
        .map_err(|error| fault(Reason::CorruptBackup, "failed to read the loaded database's schema", &error))
}

fn count_rows(connection: &Connection) -> Result<Vec<LoadedTable>> {
    let mut tables = Vec::new();
    for name in table_names(connection)? {
        // NOT INDEXED: an index on a collation of the application could not be read.
        let sql = format!("SELECT count(*) FROM {} NOT INDEXED", quote(&name));
        match connection.query_row(&sql, [], |row| row.get::<_, i64>(0)) {
            Ok(rows) => tables.push(LoadedTable { name, rows: rows.unsigned_abs() }),
            // Its rows lie in the order of a collation that only the application knows.
            Err(error) if is_foreign(&error) => {}
            Err(error) => {
                return Err(fault(Reason::VerificationFailed, "failed to count the rows of a table", &error));
            }
        }
    }
    Ok(tables)
}

/// Compares the rows of a dump with those of the loaded database, in both directions.
fn compare(expected: &[TableRows], loaded: &[LoadedTable]) -> Result<()> {
    let wrong = |message: String| Fault::new(Stage::Verify, Reason::VerificationFailed, message);
    let by_name: BTreeMap<String, u64> =
        loaded.iter().map(|table| (table.name.to_ascii_lowercase(), table.rows)).collect();
    let mut surplus: BTreeMap<&str, u64> =
        by_name.iter().filter(|(_, rows)| **rows > 0).map(|(name, rows)| (name.as_str(), *rows)).collect();
    for table in expected {
        let name = table.name.to_ascii_lowercase();
        surplus.remove(name.as_str());
        match by_name.get(&name) {
            Some(rows) if *rows == table.rows => {}
            Some(rows) => {
                let message =
                    format!("the table {:?} holds {rows} rows, the backup {}", table.name, table.rows);
                return Err(wrong(message));
            }
            None => return Err(wrong(format!("the table {:?} of the backup was not loaded", table.name))),
        }
    }
    surplus.first_key_value().map_or(Ok(()), |(name, rows)| {
        Err(wrong(format!("the table {name:?} holds {rows} rows, the backup has none")))
    })
}

/// Counts rows that refer to nothing. The source may have held them too, so they are told, not judged.
fn foreign_keys(connection: &Connection, context: &Context) -> Result<String> {
    let count: rusqlite::Result<i64> =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0));
    context.cancel.check(Stage::Verify)?;
    Ok(match count {
        Ok(0) => "foreign_key_check".into(),
        Ok(count) => {
            format!("foreign_key_check: {count} rows refer to rows that are not there, as in the backup")
        }
        Err(_) => "foreign_key_check could not run on this schema".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_in_both_directions() {
        let rows = |list: &[(&str, u64)]| -> Vec<TableRows> {
            list.iter().map(|(name, rows)| TableRows { name: (*name).into(), rows: *rows }).collect()
        };
        let loaded = |list: &[(&str, u64)]| -> Vec<LoadedTable> {
            list.iter().map(|(name, rows)| LoadedTable { name: (*name).into(), rows: *rows }).collect()
        };
        for (expected, found, fits) in [
            (vec![("a", 1)], vec![("A", 1)], true),
            (vec![("a", 1)], vec![("a", 2)], false),
            (vec![("a", 0)], vec![], false),
            (vec![], vec![("a", 1)], false),
            (vec![], vec![("a", 0)], true),
        ] {
            assert_eq!(compare(&rows(&expected), &loaded(&found)).is_ok(), fits, "{expected:?} {found:?}");
        }
    }

    #[test]
    fn broken_rules_are_told_apart_from_damage() {
        for (line, expected) in [
            ("NULL value in t.a", Problem::Rule),
            ("CHECK constraint failed in t", Problem::Rule),
            ("non-INT value in t.a", Problem::Rule),
            ("row 1 surplus from index i", Problem::Damage),
            (
                "*** in database main ***\nTree 2 page 2: btreeInitPage() returns error code 11",
                Problem::Damage,
            ),
            ("wrong # of entries in index i", Problem::Damage),
            ("non-unique entry in index i", Problem::Damage),
        ] {
            assert_eq!(judge(line), expected, "{line}");
        }
    }
}

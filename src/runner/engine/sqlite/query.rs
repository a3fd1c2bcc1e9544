//! Queries of the manifest on the loaded database: one statement that only reads and answers with a
//! single 1.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::ValueRef;

use super::authorize::is_known_function;
use super::connect::{self, Access};
use crate::reason::Reason;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};

/// Functions that read many rows, beside those that read their arguments only.
const AGGREGATES: &[&str] = &[
    "avg",
    "count",
    "group_concat",
    "median",
    "string_agg",
    "sum",
    "total",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Runs `sql` in the database at `shadow`; a fault unless it answers 1.
pub(super) fn ask(shadow: &Path, sql: &str, context: &Context) -> Result<()> {
    let failed = |error: &rusqlite::Error| {
        let fault = connect::fault(Stage::Verify, Reason::VerificationFailed, "could not be run", error);
        // It is the manifest's own, so nothing hostile of the backup.
        let reason = if fault.reason == Reason::UnsafeContent { Reason::InvalidSpec } else { fault.reason };
        connect::by_flag(Fault { reason, ..fault }, &context.cancel)
    };
    let mut connection = connect::open(shadow, Access::Immutable).map_err(|error| failed(&error))?;
    connect::heed(&mut connection, &context.cancel).map_err(|error| failed(&error))?;
    connection
        .authorizer(Some(|context: AuthContext<'_>| authorize(&context)))
        .map_err(|error| failed(&error))?;
    match answer(&connection, sql).map_err(|error| failed(&error))? {
        None => Ok(()),
        Some(what) => {
            let message = format!("did not answer true (1), but {what}");
            Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message))
        }
    }
}

/// `None` for a single 1; else what came, without the data itself.
fn answer(connection: &Connection, sql: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    if columns != 1 {
        return Ok(Some(format!("{columns} columns")));
    }
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(Some("no row".into())) };
    let first = match row.get_ref(0)? {
        ValueRef::Integer(1) => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Null => Some("NULL".into()),
        ValueRef::Real(_) => Some("a number that is no integer".into()),
        ValueRef::Text(_) => Some("a text".into()),
        ValueRef::Blob(_) => Some("a blob".into()),
    };
    if rows.next()?.is_some() {
        return Ok(Some("more than one row".into()));
    }
    Ok(first)
}

/// The file is opened to be read only; this keeps a query inside the database as well.
fn authorize(context: &AuthContext<'_>) -> Authorization {
    let allowed = match &context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { .. } => context.database_name.is_none_or(|name| name == "main"),
        AuthAction::Function { function_name } => {
            is_known_function(function_name)
                || AGGREGATES.iter().any(|known| known.eq_ignore_ascii_case(function_name))
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_only_reads_and_answers_with_a_single_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES(1),(2),('x');")
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        for (sql, expected) in [
            ("SELECT count(*) > 2 FROM t", Ok(())),
            ("select count(*) > 2 from t;", Ok(())),
            (
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9) SELECT max(i)=9 FROM n",
                Ok(()),
            ),
            ("SELECT EXISTS(SELECT 1 FROM t WHERE lower(a)='x')", Ok(())),
            ("SELECT count(*) FROM t", Err((Reason::VerificationFailed, "did not answer true (1), but 3"))),
            ("SELECT 0", Err((Reason::VerificationFailed, "but 0"))),
            ("SELECT 'secret'", Err((Reason::VerificationFailed, "but a text"))),
            ("SELECT NULL", Err((Reason::VerificationFailed, "but NULL"))),
            ("SELECT 1 WHERE 0", Err((Reason::VerificationFailed, "but no row"))),
            ("SELECT 1 FROM t", Err((Reason::VerificationFailed, "but more than one row"))),
            ("SELECT 1, 1", Err((Reason::VerificationFailed, "but 2 columns"))),
            ("SELECT 1 FROM nowhere", Err((Reason::VerificationFailed, "no such table"))),
            ("SELECT 1; SELECT 1", Err((Reason::VerificationFailed, "more than one statement"))),
            ("", Err((Reason::VerificationFailed, "but 0 columns"))),
            ("DELETE FROM t", Err((Reason::InvalidSpec, "could not be run"))),
            ("PRAGMA user_version", Err((Reason::InvalidSpec, "could not be run"))),
            ("ATTACH ':memory:' AS x", Err((Reason::InvalidSpec, "could not be run"))),
            ("SELECT load_extension('x')", Err((Reason::InvalidSpec, "could not be run"))),
        ] {
            let result =
                ask(&path, sql, &Context::default()).map_err(|fault| (fault.reason, fault.full_message()));
            match (&result, &expected) {
                (Ok(()), Ok(())) => {}
                (Err((reason, text)), Err((wanted, says))) if reason == wanted && text.contains(says) => {}
                _ => panic!("{sql}: {result:?}, not {expected:?}"),
            }
            assert!(!format!("{result:?}").contains("secret"));
        }
        assert!(std::fs::read(&path).unwrap() == before);
    }
}

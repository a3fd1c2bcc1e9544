//! Large tables' statistics, and the count of their rows, while the last keys are built.
//!
//! The end of a load is often that of one table, whose indexes and foreign keys exclude each other. Other
//! connections have nothing to do then but what would come behind it. What cannot be done ahead is done, or
//! found to be at fault, when it would have been.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::Lanes;
use super::place::Place;
use super::session::{Door, Settings};
use super::sizes::Sizes;
use super::turn::Hold;
use super::work::{Job, Statement, Task};
use crate::reason::Reason;
use crate::runner::engine::postgres::names::ident;
use crate::runner::engine::postgres::server::Session;
use crate::runner::engine::postgres::wire::WireError;
use crate::runner::fault::Result;

/// A table of the server: its schema and its name.
pub(in crate::runner::engine::postgres) type TableKey = (String, String);

/// Tables that are counted, by their rows.
pub(in crate::runner::engine::postgres) type Counts = BTreeMap<TableKey, u64>;

/// What was done ahead.
#[derive(Default)]
pub(super) struct Ahead {
    pub(super) counts: Counts,
    pub(super) analysed: BTreeSet<TableKey>,
}

/// What is done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    Count,
    Analyze,
}

/// Tables of this login that have nothing below them; whether a policy hides rows of them from it. Nothing of it
/// waits for a table that somebody holds.
const TABLES: &str = "
SELECT nspname, relname, pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND NOT relhassubclass
  AND nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name
  AND pg_catalog.pg_has_role(relowner, 'USAGE')";

/// What the session of the dump is given for it, and only for it.
const SETTINGS: [&str; 3] = [
    "SET LOCAL search_path = pg_catalog",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL client_min_messages = error",
];

/// Lets lanes analyse and count large tables beside what they are doing. No rows may be on their way.
pub(super) fn begin(
    session: &mut Session,
    lanes: &mut Lanes,
    sizes: &Sizes,
    (door, settings, analyzes): (&Door, &Settings, bool),
) -> Result<()> {
    // In a database that others may be using, rows are counted as late as can be.
    let counts = door.settings.counts_rows && door.database != door.settings.database;
    let mut tables = Vec::new();
    for row in list(session)? {
        let (Some(schema), Some(table)) = (row.text(0), row.text(1)) else { continue };
        let name = format!("{schema}.{table}");
        let bytes = sizes.of_table(&name);
        // The dump's own encoding is that of the session: other names would be read as others.
        if bytes > 0 && name.is_ascii() {
            let is_seen = row.text(2) == Some("f");
            tables.push((bytes, name, (schema.to_owned(), table.to_owned()), is_seen));
        }
    }
    tables.sort_by(|one, other| other.cmp(one));
    for (_, name, key, is_seen) in tables {
        let sql = format!("{}.{}", ident(&key.0), ident(&key.1));
        let mut give = |text: String, aside, hold| {
            let (text, place) = (text.into_bytes(), Place::Entry("the end of the load".to_owned()));
            let statement = Statement { text, place, settings: settings.clone(), what: name.clone() };
            let job = Job::Aside(statement, aside, key.clone());
            lanes.run(Task { job, holds: vec![(name.clone(), hold)], weight: 0 })
        };
        if counts && is_seen {
            give(format!("SELECT pg_catalog.count(*) FROM ONLY {sql}"), Aside::Count, Hold::Read)?;
        }
        if analyzes {
            give(format!("ANALYZE {sql}"), Aside::Analyze, Hold::Study)?;
        }
    }
    Ok(())
}

fn list(session: &mut Session) -> Result<Vec<crate::runner::engine::postgres::wire::Row>> {
    let what = "look at large tables";
    session.run(what, "BEGIN", Reason::RestoreFailed)?;
    for sql in SETTINGS {
        session.run(what, sql, Reason::RestoreFailed)?;
    }
    let rows = session.rows("list the large tables", TABLES, &[])?;
    session.run(what, "COMMIT", Reason::RestoreFailed)?;
    Ok(rows)
}

/// Does it, in a transaction of its own; the rows that were counted, 0 where none are. `None`: the server refused.
pub(super) fn run(session: &mut Session, text: &[u8]) -> std::result::Result<Option<u64>, WireError> {
    let done = transaction(session, text);
    match done {
        Err(error) if error.sqlstate().is_some() && !session.connection.is_closed() => {
            session.try_run("ROLLBACK")?;
            Ok(None)
        }
        done => done.map(Some),
    }
}

fn transaction(session: &mut Session, text: &[u8]) -> std::result::Result<u64, WireError> {
    session.try_run("BEGIN")?;
    for sql in SETTINGS {
        session.try_run(sql)?;
    }
    let rows = session.connection.ask(&String::from_utf8_lossy(text), &[])?;
    session.try_run("COMMIT")?;
    Ok(rows.first().and_then(|row| row.text(0)?.parse().ok()).unwrap_or_default())
}

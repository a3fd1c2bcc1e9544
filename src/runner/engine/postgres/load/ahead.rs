//! Large tables' statistics, and the count of their rows, while the last keys are built.
//!
//! The end of a load is often that of one table, whose indexes and foreign keys exclude each other. Other
//! connections have nothing to do then but what would come behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::Lanes;
use super::place::Place;
use super::session::{Door, Settings};
use super::turn::Hold;
use super::work::{Job, Statement, Task};
use crate::reason::Reason;
use crate::runner::engine::postgres::names::ident;
use crate::runner::engine::postgres::server::Session;
use crate::runner::fault::Result;

/// A table of the server: its schema and its name.
pub(in crate::runner::engine::postgres) type TableKey = (String, String);

/// Tables that are counted, by their rows.
pub(in crate::runner::engine::postgres) type Counts = BTreeMap<TableKey, u64>;

/// Large tables of this login that have nothing below them, the largest first; whether a policy hides rows of
/// them from it.
const TABLES: &str = "
SELECT nspname, relname, pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND NOT relhassubclass
  AND nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name
  AND pg_catalog.pg_has_role(relowner, 'USAGE') AND pg_catalog.pg_relation_size(c.oid) >= 8388608
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC LIMIT 128";

/// Lets lanes analyse and count large tables beside what they are doing. No rows may be on their way. The
/// statements of the dump may still go on with its `settings`, so these are left as they are. Gives back the
/// tables that are analysed.
pub(super) fn begin(
    session: &mut Session,
    lanes: &mut Lanes,
    (door, settings): (&Door, &Settings),
) -> Result<BTreeSet<TableKey>> {
    let rows = {
        session.run("look at large tables", "BEGIN", Reason::RestoreFailed)?;
        let own = "SET LOCAL search_path = pg_catalog";
        session.run("look at the server's own names only", own, Reason::RestoreFailed)?;
        let rows = session.rows("list the large tables", TABLES, &[])?;
        session.run("look at large tables", "COMMIT", Reason::RestoreFailed)?;
        rows
    };
    let mut analysed = BTreeSet::new();
    for row in &rows {
        let (Some(schema), Some(table)) = (row.text(0), row.text(1)) else { continue };
        // The dump's own encoding is that of the session: other names would be read as others.
        if !schema.is_ascii() || !table.is_ascii() {
            continue;
        }
        let (key, name) = ((schema.to_owned(), table.to_owned()), format!("{schema}.{table}"));
        let sql = format!("{}.{}", ident(schema), ident(table));
        let statement = |text: String, what: &str| Statement {
            text: text.into_bytes(),
            place: Place::Entry(what.to_owned()),
            settings: settings.clone(),
            what: name.clone(),
        };
        if door.settings.counts_rows && row.text(2) == Some("f") {
            let text = format!("SELECT pg_catalog.count(*) FROM ONLY {sql}");
            let job = Job::Count(statement(text, "the count of rows"), key.clone());
            lanes.run(Task { job, holds: vec![(name.clone(), Hold::Read)], weight: 0 })?;
        }
        if door.settings.analyzes {
            let job = Job::Statement(statement(format!("ANALYZE {sql}"), "ANALYZE"));
            lanes.run(Task { job, holds: vec![(name.clone(), Hold::Study)], weight: 0 })?;
            analysed.insert(key);
        }
    }
    Ok(analysed)
}

//! Collects the planner's statistics, over all lanes.
//!
//! Table by table, because a bare `ANALYZE` also goes through tables with a part at another server, and
//! would log in there.

use std::collections::BTreeSet;

use super::ahead::TableKey;
use super::lanes::Lanes;
use super::place::Place;
use super::session::{Door, Settings};
use super::work::{Job, Statement, Task};
use crate::runner::engine::postgres::server::Session;
use crate::runner::engine::postgres::wire::Row;
use crate::runner::fault::Result;

/// Tables of one statement, at most; the larger ones have their own.
const GROUP: usize = 64;
/// Pages of a table from which on it is a large one.
const LARGE_PAGES: u64 = 1024;
/// The first release series that takes several tables in one statement.
const SEVERAL_SINCE: u32 = 11;

/// Tables of this login with rows, the largest first, quoted; and their pages. Neither foreign tables nor
/// what has one below it.
const TABLES: &str = "
WITH RECURSIVE afar AS (
    SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'
    UNION
    SELECT inhparent FROM pg_catalog.pg_inherits JOIN afar ON inhrelid = afar.oid
)
SELECT pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(relname),
       pg_catalog.pg_relation_size(c.oid) / 8192, nspname, relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm', 'p') AND relpersistence <> 't' AND c.oid NOT IN (SELECT oid FROM afar)
  AND nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name
  AND pg_catalog.pg_has_role(relowner, 'USAGE')
ORDER BY 2 DESC, 1";

/// What every lane sets for it: the names are the server's, and it warns of what it leaves out.
const SETTINGS: [(&str, &str); 3] = [
    ("", "RESET ALL"),
    ("search_path", "SET search_path = pg_catalog"),
    ("client_min_messages", "SET client_min_messages = error"),
];

/// Collects the statistics of what was loaded, but for tables whose are there. `session` is without the dump's
/// settings.
pub(super) fn analyze(
    session: &mut Session,
    lanes: &mut Lanes,
    door: &Door,
    analysed: &BTreeSet<TableKey>,
) -> Result<()> {
    let mut rows = session.rows("list the tables to analyse", TABLES, &[])?;
    let text = |row: &Row, index: usize| row.text(index).unwrap_or_default().to_owned();
    rows.retain(|row| !analysed.contains(&(text(row, 2), text(row, 3))));
    let own = SETTINGS.iter().map(|(name, sql)| (*name, (*sql).to_owned()));
    let all = own.chain(door.without_limits());
    let settings = all.fold(Settings::default(), |all, (name, sql)| all.with(name, sql.as_bytes()));
    let place = Place::Entry("ANALYZE".to_owned());
    for group in groups(&rows, if door.major >= SEVERAL_SINCE { GROUP } else { 1 }) {
        let what = match group.as_slice() {
            [one] => (*one).to_owned(),
            several => format!("{} tables", several.len()),
        };
        let text = format!("ANALYZE {}", group.join(", ")).into_bytes();
        let job = Job::Statement(Statement { text, place: place.clone(), settings: settings.clone(), what });
        lanes.run(Task { job, holds: Vec::new(), weight: 0 })?;
    }
    lanes.settle()
}

/// Tables of one statement each.
fn groups(rows: &[Row], most: usize) -> Vec<Vec<&str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut room = 0;
    for row in rows {
        let Some(table) = row.text(0) else { continue };
        let large =
            row.text(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() >= LARGE_PAGES;
        if let Some(group) = groups.last_mut().filter(|_| room > 0 && !large) {
            group.push(table);
            room -= 1;
        } else {
            groups.push(vec![table]);
            room = if large { 0 } else { most - 1 };
        }
    }
    groups
}

//! The tables of a dump with their rows, as pass 1 counts them.

use std::collections::BTreeMap;

use super::subject::TableName;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseTables, TableRows};

/// Bytes of all names of tables and databases of a dump together.
const NAMES_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Rows by database and table.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Of what comes before the first change of the database.
    first: BTreeMap<TableName, u64>,
    /// In the order in which the dump changes to them.
    databases: Vec<(Vec<u8>, BTreeMap<TableName, u64>)>,
    /// Which of `databases` is the present one.
    current: Option<usize>,
    names_bytes: usize,
}

impl Tables {
    /// What follows belongs to the database of this name.
    pub(super) fn connect(&mut self, name: &[u8]) -> Result<()> {
        self.current = self.databases.iter().position(|(known, _)| known == name);
        if self.current.is_none() {
            self.current = Some(self.databases.len());
            self.databases.push((name.to_vec(), BTreeMap::new()));
            self.names_bytes += name.len() + 64;
        }
        self.check()
    }

    /// Adds rows to a table, which may be new.
    pub(super) fn add(&mut self, name: &TableName, rows: u64) -> Result<()> {
        let tables = match self.current.and_then(|at| self.databases.get_mut(at)) {
            Some((_, tables)) => tables,
            None => &mut self.first,
        };
        if let Some(known) = tables.get_mut(name) {
            *known = known.saturating_add(rows);
            return Ok(());
        }
        tables.insert(name.clone(), rows);
        self.names_bytes += name.table.len() + name.schema.as_ref().map_or(0, Vec::len) + 64;
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.names_bytes <= NAMES_LIMIT_BYTES {
            return Ok(());
        }
        let what = format!("the dump names more tables than {NAMES_LIMIT_BYTES} bytes can list");
        Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, what))
    }

    /// All tables, `schema.table`, behind `database.` where the dump is of several databases; and the
    /// databases that it changes to.
    pub(super) fn into_facts(self) -> (Vec<TableRows>, Vec<DatabaseTables>) {
        let databases: Vec<DatabaseTables> = self
            .databases
            .into_iter()
            .map(|(name, tables)| DatabaseTables {
                name: lossy(&name),
                tables: listed(tables),
                create_statement: None,
            })
            .collect();
        let mut all = listed(self.first);
        let several = databases.len() > 1 || !all.is_empty();
        for database in &databases {
            all.extend(database.tables.iter().map(|table| TableRows {
                name: if several { format!("{}.{}", database.name, table.name) } else { table.name.clone() },
                rows: table.rows,
            }));
        }
        (all, databases)
    }
}

fn listed(tables: BTreeMap<TableName, u64>) -> Vec<TableRows> {
    tables
        .into_iter()
        .map(|(name, rows)| TableRows { name: name.shown(), rows })
        .collect()
}

impl TableName {
    /// `schema.table`, or `table` where the dump names no schema.
    pub(super) fn shown(&self) -> String {
        let table = lossy(&self.table);
        self.schema.as_ref().map_or_else(|| table.clone(), |schema| format!("{}.{table}", lossy(schema)))
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The version in `15.18 (Debian 15.18-0+deb12u1)`.
pub(super) fn version(text: &str) -> Option<String> {
    let version: String = text.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!version.is_empty()).then_some(version)
}

//! The tables of a dump with their rows, as pass 1 counts them.

use std::collections::{BTreeMap, BTreeSet};

use super::outside;
use super::subject::TableName;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseTables, Outside, TableDigest, TableRows};

/// Bytes of all names of tables and databases of a dump together.
const NAMES_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// What is counted of one database.
#[derive(Clone, Debug, Default)]
struct Part {
    name: Vec<u8>,
    tables: BTreeMap<TableName, u64>,
    extensions: BTreeSet<Vec<u8>>,
    outside: Outside,
    digests: BTreeMap<TableName, TableDigest>,
}

/// Rows by database and table.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Of what comes before the first change of the database.
    first: Part,
    /// In the order in which the dump changes to them.
    databases: Vec<Part>,
    /// Which of `databases` is the present one.
    current: Option<usize>,
    /// Tables whose rows are of use in the order of the dump alone.
    in_order: BTreeSet<TableName>,
    /// Whether rows are added up.
    digests: bool,
    names_bytes: usize,
}

/// What was counted in all.
pub(super) struct Counts {
    /// All tables, `schema.table`, behind `database.` where the dump is of several databases.
    pub(super) tables: Vec<TableRows>,
    /// The databases that the dump changes to.
    pub(super) databases: Vec<DatabaseTables>,
    /// Extensions of all of them.
    pub(super) extensions: Vec<String>,
    /// What all of them name beside themselves.
    pub(super) outside: Outside,
    /// Tables whose rows are of use in the order of the dump alone.
    pub(super) in_order: Vec<String>,
    /// What rows add up to, of all of them, where that was asked for.
    pub(super) digests: Option<Vec<TableDigest>>,
}

impl Tables {
    /// What follows belongs to the database of this name.
    pub(super) fn connect(&mut self, name: &[u8]) -> Result<()> {
        // Those of a database that comes back count again, which is on the safe side.
        self.names_bytes += outside::size(&self.part().outside);
        self.current = self.databases.iter().position(|part| part.name == name);
        if self.current.is_none() {
            self.current = Some(self.databases.len());
            self.databases.push(Part { name: name.to_vec(), ..Part::default() });
            self.names_bytes += name.len() + 64;
        }
        self.check()
    }

    /// The name of the present database; empty before the first change to one.
    pub(super) fn database(&self) -> &[u8] {
        self.current.and_then(|at| self.databases.get(at)).map_or(&[], |part| &part.name)
    }

    fn part(&mut self) -> &mut Part {
        match self.current.and_then(|at| self.databases.get_mut(at)) {
            Some(part) => part,
            None => &mut self.first,
        }
    }

    /// Adds rows to a table, which may be new.
    pub(super) fn add(&mut self, name: &TableName, rows: u64) -> Result<()> {
        let tables = &mut self.part().tables;
        if let Some(known) = tables.get_mut(name) {
            *known = known.saturating_add(rows);
            return Ok(());
        }
        tables.insert(name.clone(), rows);
        self.names_bytes += name.table.len() + name.schema.as_ref().map_or(0, Vec::len) + 64;
        self.check()
    }

    /// From here on rows are added up, too.
    pub(super) const fn with_digests(&mut self) {
        self.digests = true;
    }

    /// Adds what the rows of one block of `COPY` data add up to. A table may have several blocks.
    pub(super) fn add_digest(&mut self, name: &TableName, block: TableDigest) -> Result<()> {
        let digests = &mut self.part().digests;
        if let Some(known) = digests.get_mut(name) {
            known.join(&block);
            return Ok(());
        }
        let bytes =
            block.relation.len() + block.columns.iter().map(|column| column.len() + 24).sum::<usize>();
        digests.insert(name.clone(), block);
        self.names_bytes += name.table.len() + bytes + 160;
        self.check()
    }

    /// Notes an extension that the present database needs.
    pub(super) fn extension(&mut self, name: &[u8]) -> Result<()> {
        self.part().extensions.insert(name.to_vec());
        self.names_bytes += name.len() + 64;
        self.check()
    }

    /// What the present database names beside itself.
    pub(super) fn outside(&mut self) -> &mut Outside {
        &mut self.part().outside
    }

    /// Notes a table whose rows are of use in the order of the dump alone.
    pub(super) fn keep_order(&mut self, name: TableName) -> Result<()> {
        self.names_bytes += name.table.len() + name.schema.as_ref().map_or(0, Vec::len) + 64;
        self.in_order.insert(name);
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.names_bytes <= NAMES_LIMIT_BYTES {
            return Ok(());
        }
        let what = format!("the dump names more tables than {NAMES_LIMIT_BYTES} bytes can list");
        Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, what))
    }

    /// What was counted.
    pub(super) fn into_counts(self) -> Counts {
        let all = self.databases.iter().chain([&self.first]).flat_map(|part| &part.extensions);
        let extensions = all.collect::<BTreeSet<_>>().into_iter().map(|name| lossy(name)).collect();
        let mut outside = self.first.outside;
        self.databases.iter().for_each(|part| outside::add(&mut outside, &part.outside));
        let added_up = |digests: BTreeMap<TableName, TableDigest>| {
            self.digests.then(|| digests.into_values().collect::<Vec<_>>())
        };
        let databases: Vec<DatabaseTables> = self
            .databases
            .into_iter()
            .map(|part| DatabaseTables {
                name: lossy(&part.name),
                tables: listed(part.tables),
                create_statement: None,
                extensions: part.extensions.iter().map(|name| lossy(name)).collect(),
                outside: part.outside,
                digests: added_up(part.digests),
            })
            .collect();
        let digests = match databases.as_slice() {
            [one] if self.first.tables.is_empty() => one.digests.clone(),
            _ => added_up(self.first.digests),
        };
        let mut tables = listed(self.first.tables);
        let several = databases.len() > 1 || !tables.is_empty();
        for database in &databases {
            tables.extend(database.tables.iter().map(|table| TableRows {
                name: if several { format!("{}.{}", database.name, table.name) } else { table.name.clone() },
                rows: table.rows,
            }));
        }
        Counts {
            tables,
            databases,
            extensions,
            outside,
            in_order: self.in_order.iter().map(TableName::shown).collect(),
            digests,
        }
    }
}

fn listed(tables: BTreeMap<TableName, u64>) -> Vec<TableRows> {
    tables.into_iter().map(|(name, rows)| TableRows { name: name.shown(), rows }).collect()
}

impl TableName {
    /// `schema.table`, or `table` where the dump names no schema.
    pub(super) fn shown(&self) -> String {
        let table = lossy(&self.table);
        self.schema.as_ref().map_or_else(|| table.clone(), |schema| format!("{}.{table}", lossy(schema)))
    }
}

pub(super) fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The version in `15.18 (Debian 15.18-0+deb12u1)`.
pub(super) fn version(text: &str) -> Option<String> {
    let version: String = text.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!version.is_empty()).then_some(version)
}

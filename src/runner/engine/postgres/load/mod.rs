//! Loads a dump into an empty database, as the login that restores and owns what it makes.
//!
//! ```text
//! script ─┐                  ┌─► series: statements in the dump's order, one session
//!         ├─► sender ─ turn ─┤
//! archive ┘     │            └─► lanes: rows, indexes, foreign keys, several sessions
//!             gate: judges each statement
//! ```

mod analyze;
mod archive;
mod board;
mod finish;
mod gate;
mod indexing;
mod lane;
mod lanes;
mod place;
mod roles;
mod schemas;
mod script;
mod sender;
mod series;
mod session;
mod spread;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

pub(super) use self::session::is_turned_away;

use self::sender::Sender;
use self::session::Door;
use crate::runner::engine::Context;
use crate::runner::engine::postgres::census::Census;
use crate::runner::engine::postgres::server::PostgresTarget;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat, Outside};

/// How a dump is loaded.
struct LoadOptions<'a> {
    /// Connections that take in rows and build indexes, at most.
    lanes: usize,
    /// Tables whose rows stay in the dump's order.
    in_order: BTreeSet<String>,
    /// What the dump names beside its database.
    outside: &'a Outside,
}

/// What a load has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Rows that the server took in, by table.
    pub(super) rows: BTreeMap<String, u64>,
    /// Tables of extensions, which come with rows of their own.
    pub(super) grown: Vec<String>,
    /// What was made.
    pub(super) census: Census,
    /// What was left out, and what the server made of it.
    pub(super) notes: Vec<String>,
}

impl Loaded {
    /// Takes in what another part of the same dump has loaded into the same database.
    fn add(&mut self, other: Self) {
        for (table, rows) in other.rows {
            *self.rows.entry(table).or_default() += rows;
        }
        self.grown.extend(other.grown);
        self.census.add_all(&other.census);
        self.notes.extend(other.notes);
    }

    /// A copy that the server has made of a database with these tables.
    pub(super) fn copied(incoming: &DatabaseEntry) -> Self {
        let tables = incoming.facts.tables.iter().flatten();
        Self { rows: tables.map(|table| (table.name.clone(), table.rows)).collect(), ..Self::default() }
    }
}

/// One of the databases of a dump, and where it goes.
pub(super) struct Part<'a> {
    pub(super) settings: &'a PostgresTarget,
    /// The empty database that is loaded.
    pub(super) database: String,
    pub(super) incoming: &'a DatabaseEntry,
}

impl Part<'_> {
    /// What the dump calls it, where it changes between databases.
    fn name(&self) -> Option<&str> {
        self.incoming.facts.databases.first().map(|database| database.name.as_str())
    }

    fn open(&self, major: u32, context: &Context) -> Result<Sender> {
        let in_order = self.incoming.facts.in_order.iter().cloned().collect();
        let outside = &self.incoming.facts.outside;
        let options = LoadOptions { lanes: self.settings.lanes, in_order, outside };
        let (settings, database) = (self.settings.clone(), self.database.clone());
        Sender::open(Door { major, settings, database, context: context.clone() }, &options)
    }
}

/// Loads `parts` of `dump` into a server of the release series `major`; what it tells of each.
pub(super) fn load(
    major: u32,
    parts: &[Part<'_>],
    dump: &mut dyn Read,
    context: &Context,
) -> Result<Vec<Loaded>> {
    let mut dump = Told { inner: dump, context };
    match parts {
        [part] if part.incoming.format == DumpFormat::PostgresArchive => {
            let mut sender = part.open(major, context)?;
            archive::load(&mut sender, part.incoming, &mut dump)?;
            Ok(vec![sender.finish()?])
        }
        parts => script::load(parts, &|part: &Part<'_>| part.open(major, context), &mut dump),
    }
}

/// Tells the progress of a load, and looks whether the run was asked to stop.
struct Told<'a> {
    inner: &'a mut dyn Read,
    context: &'a Context,
}

impl Read for Told<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.context.cancel.check(Stage::Restore).map_err(Fault::into_io)?;
        let count = self.inner.read(target)?;
        self.context.progress.advance(count as u64);
        Ok(count)
    }
}

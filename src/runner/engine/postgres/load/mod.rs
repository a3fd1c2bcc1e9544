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
mod lane;
mod lanes;
mod place;
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
use crate::runner::engine::postgres::server::PostgresTarget;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat};

/// How a dump is loaded.
struct LoadOptions {
    /// Connections that take in rows and build indexes, at most.
    lanes: usize,
    /// Tables whose rows stay in the dump's order.
    in_order: BTreeSet<String>,
}

/// What a load has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Rows that the server took in, by table.
    pub(super) rows: BTreeMap<String, u64>,
    /// Tables of extensions, which come with rows of their own.
    pub(super) grown: Vec<String>,
    /// What was left out, and what the server made of it.
    pub(super) notes: Vec<String>,
}

impl Loaded {
    /// A copy that the server has made of a database with these tables.
    pub(super) fn copied(incoming: &DatabaseEntry) -> Self {
        let tables = incoming.facts.tables.iter().flatten();
        Self { rows: tables.map(|table| (table.name.clone(), table.rows)).collect(), ..Self::default() }
    }
}

/// Loads `dump` into `database` of a server of the release series `major`.
pub(super) fn load(
    settings: &PostgresTarget,
    major: u32,
    database: &str,
    (incoming, dump): (&DatabaseEntry, &mut dyn Read),
    context: &Context,
) -> Result<Loaded> {
    let in_order = incoming.facts.in_order.iter().cloned().collect();
    let options = LoadOptions { lanes: settings.lanes, in_order };
    let (settings, database) = (settings.clone(), database.to_owned());
    let mut sender = Sender::open(Door { major, settings, database, context: context.clone() }, &options)?;
    let mut dump = Told { inner: dump, context };
    if incoming.format == DumpFormat::PostgresArchive {
        archive::load(&mut sender, incoming, &mut dump)?;
    } else {
        let wanted = incoming.facts.databases.first().map(|database| database.name.as_str());
        script::load(&mut sender, wanted, &mut dump)?;
    }
    sender.finish()
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

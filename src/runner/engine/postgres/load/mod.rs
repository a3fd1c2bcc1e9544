//! Loads a dump into an empty database: statements one by one, rows through `COPY`, as the login that
//! restores and owns what it makes.

mod archive;
mod script;
mod sender;

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat};

pub(super) use sender::Sender;

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

/// Loads `dump` through a sender.
pub(super) fn load(
    mut sender: Sender<'_>,
    incoming: &DatabaseEntry,
    dump: &mut dyn Read,
    context: &Context,
) -> Result<Loaded> {
    let mut dump = Told { inner: dump, context };
    match incoming.format {
        DumpFormat::PostgresArchive => archive::load(&mut sender, incoming, &mut dump)?,
        _ => script::load(&mut sender, &mut dump)?,
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

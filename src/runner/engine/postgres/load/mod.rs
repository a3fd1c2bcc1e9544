//! Loads a dump into an empty database, as the login that restores and owns what it makes.
//!
//! ```text
//! script ─┐                  ┌─► series: statements in the dump's order, one session
//!         ├─► sender ─ turn ─┤
//! archive ┘     │            └─► lanes: rows, indexes, foreign keys, several sessions
//!             gate: judges each statement
//! ```
//!
//! Of a dump that is stored as it is, lanes read large tables themselves: the sender goes around their rows.

mod ahead;
mod analyze;
mod archive;
mod around;
mod board;
mod finish;
mod gate;
mod indexing;
mod lane;
mod lanes;
mod last;
mod place;
mod queue;
mod roles;
mod rows;
mod schemas;
mod script;
mod sender;
mod series;
mod session;
mod sizes;
mod spread;
mod turn;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

pub(super) use self::ahead::Counts;
pub(super) use self::session::is_turned_away;

use self::around::Source;
use self::sender::Sender;
use self::session::Door;
use self::sizes::Sizes;
use crate::runner::engine::postgres::census::Census;
use crate::runner::engine::postgres::jobs::Jobs;
use crate::runner::engine::postgres::server::PostgresTarget;
use crate::runner::engine::postgres::subscriptions::Waiting;
use crate::runner::engine::{Context, Dump, DumpParts};
use crate::runner::fault::Result;
use crate::runner::inventory::{DatabaseEntry, DumpFormat, Outside};

/// How a dump is loaded.
struct LoadOptions<'a> {
    /// Connections that take in rows and build indexes, at most.
    lanes: usize,
    /// Tables whose rows stay in the dump's order.
    in_order: BTreeSet<String>,
    /// What the dump names beside its database.
    outside: &'a Outside,
    /// How lanes read large blocks of rows themselves; `None`: the dump can only be read from its beginning, so
    /// rows are given to them.
    parts: Option<Arc<dyn DumpParts>>,
    /// The tables by size.
    sizes: Arc<Sizes>,
    /// What waits for the end of the run.
    waiting: Waiting,
    /// What becomes of scheduled jobs.
    jobs: &'a Jobs,
}

/// What a load has to tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Loaded {
    /// Rows that the server took in, by table.
    pub(super) rows: BTreeMap<String, u64>,
    /// Tables whose rows were counted in the database when all were in.
    pub(super) counts: Counts,
    /// Tables of extensions, which come with rows of their own.
    pub(super) grown: Vec<String>,
    /// What was made.
    pub(super) census: Census,
    /// What was left out, and what the server made of it.
    pub(super) notes: Vec<String>,
    /// What is made when all else is done, and was not.
    pub(super) subscriptions: Waiting,
    /// What has become of scheduled jobs.
    pub(super) jobs: Jobs,
}

impl Loaded {
    /// Takes in what another part of the same dump has loaded into the same database.
    fn add(&mut self, other: Self) -> Result<()> {
        for (table, rows) in other.rows {
            *self.rows.entry(table).or_default() += rows;
        }
        // Rows may have come to these since.
        self.counts = other.counts;
        self.grown.extend(other.grown);
        self.census.add_all(&other.census);
        self.notes.extend(other.notes);
        self.jobs = other.jobs;
        self.subscriptions.add(other.subscriptions)
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
    /// Bytes of what waits in the run for its end.
    pub(super) waiting: Arc<AtomicUsize>,
    /// What becomes of its scheduled jobs.
    pub(super) jobs: Jobs,
}

impl Part<'_> {
    /// What the dump calls it, where it changes between databases.
    fn name(&self) -> Option<&str> {
        self.incoming.facts.databases.first().map(|database| database.name.as_str())
    }

    fn open(&self, major: u32, parts: Option<Arc<dyn DumpParts>>, context: &Context) -> Result<Sender> {
        let in_order = self.incoming.facts.in_order.iter().cloned().collect();
        let outside = &self.incoming.facts.outside;
        let sizes = Arc::new(Sizes::of(&self.incoming.facts.blocks, self.name()));
        let waiting = Waiting::of_run(Arc::clone(&self.waiting));
        let (lanes, jobs) = (self.settings.lanes, &self.jobs);
        let options = LoadOptions { lanes, in_order, outside, parts, sizes, waiting, jobs };
        let (settings, database) = (self.settings.clone(), self.database.clone());
        Sender::open(Door { major, settings, database, context: context.clone() }, &options)
    }
}

/// Loads `parts` of `dump` into a server of the release series `major`; what it tells of each.
pub(super) fn load(
    major: u32,
    parts: &[Part<'_>],
    dump: &mut dyn Dump,
    context: &Context,
) -> Result<Vec<Loaded>> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let blocks = Arc::clone(&first.incoming.facts.blocks);
    let lanes = first.settings.lanes.max(1);
    // One more reads what lies between the blocks.
    let apart = if blocks.is_empty() { None } else { dump.parts(lanes + 1) };
    let bytes = first.incoming.bytes;
    let source = Source { dump, parts: apart.as_deref(), blocks: &blocks, bytes, context };
    let open = |part: &Part<'_>| part.open(major, apart.clone(), context);
    match parts {
        [part] if part.incoming.format == DumpFormat::PostgresArchive => {
            let mut sender = open(part)?;
            archive::load(&mut sender, part.incoming, source)?;
            Ok(vec![sender.finish()?])
        }
        parts => script::load(parts, &open, source),
    }
}

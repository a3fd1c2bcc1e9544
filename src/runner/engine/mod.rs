//! Engines: what is done with a decoded dump, one folder per database system, each of the same
//! outline: preflight, read, load, verify, switch, discard.
//!
//! An engine gets decoded, proven bytes and a target. It knows nothing of storage, keys or formats
//! around the dump, and reads no clock.

pub mod postgres;
pub mod sqlite;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runner::cancel::Cancel;
use crate::runner::fault::Result;
use crate::runner::inventory::{DatabaseEntry, DumpFacts, DumpFormat};
use crate::runner::journal::Journal;
use crate::runner::progress::Progress;

/// Takes the inventory of one dump while its bytes go by in pass 1.
///
/// The bytes are not yet proven: a scanner only reads, in bounded memory, and never panics.
pub trait Scanner: Send {
    /// The next bytes.
    fn feed(&mut self, bytes: &[u8]) -> Result<()>;
    /// Also adds up the rows of each table, for [`DumpFacts::digests`]; asked for before the first bytes.
    /// Without effect where rows are compared in another way.
    fn digest_rows(&mut self) {}
    /// How blocks of rows are left out, where the format has any that can be read by themselves.
    fn leaving(&mut self) -> Option<&mut dyn Leaving> {
        None
    }
    /// The end of the dump.
    fn finish(self: Box<Self>) -> Result<DumpFacts>;
}

/// Leaves large blocks of rows of a dump undecoded, for several to read them once more.
pub trait Leaving {
    /// Whether those that begin from here on are left out.
    fn leave(&mut self, leaves: bool);
    /// Whether what comes now is left out, as far as it is known.
    fn is_leaving(&self) -> bool;
    /// Bytes of the dump that were left out.
    fn left_bytes(&self) -> u64;
    /// Reads what was left out, by at most so many at the same time; asked for after the last bytes.
    fn read_left(&mut self, parts: &dyn DumpParts, readers: usize) -> Result<()>;
}

/// The scanner for dumps of `format`; `None` where only hash and size are taken.
pub fn scanner(format: DumpFormat) -> Option<Box<dyn Scanner>> {
    match format {
        DumpFormat::SQLiteFile => Some(Box::new(sqlite::FileScanner::default())),
        DumpFormat::SQLiteDump => Some(Box::new(sqlite::DumpScanner::default())),
        DumpFormat::PostgresPlain => Some(Box::new(postgres::ScriptScanner::default())),
        DumpFormat::PostgresArchive => Some(Box::new(postgres::ArchiveScanner::default())),
        DumpFormat::MySQLDump
        | DumpFormat::Mydumper
        | DumpFormat::MongoArchive
        | DumpFormat::SQLServerBak
        | DumpFormat::RedisRdb
        | DumpFormat::FirebirdBackup
        | DumpFormat::Bacpac => None,
    }
}

/// The scanner for another reading of a dump whose first one told `contents` as
/// [`DumpFacts::late_contents`].
pub fn scanner_again(format: DumpFormat, contents: Arc<[u8]>) -> Option<Box<dyn Scanner>> {
    match format {
        DumpFormat::PostgresArchive => Some(Box::new(postgres::ArchiveScanner::with_contents(contents))),
        _ => scanner(format),
    }
}

/// What an existing target holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holds {
    /// Number of user tables; `None` where it could not be read.
    pub tables: Option<u64>,
    /// Rows, exact or estimated.
    pub rows_estimate: Option<u64>,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What will be done to one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It is not there, or empty, and will be made.
    Create,
    /// It holds data, which is dropped before the load.
    Replace,
    /// It holds data, which serves until the load is verified.
    Swap,
}

/// Room at the target, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Needed for the load beside the old data, and for the kept copy.
    pub needed: u64,
    /// Free, as the server or the file system says.
    pub free: u64,
}

/// The quick preflight's view of one target.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The exact name that a confirmation must carry.
    pub target: String,
    /// What it holds; `None` for an absent or empty target.
    pub holds: Option<Holds>,
    /// The engine's version at the target.
    pub version: Option<String>,
    /// What will be done.
    pub action: Action,
    /// What identifies the target for a person's decision: it stays the same while applications go on
    /// writing, and on every node; another value is `PlanChanged`.
    pub plan_identity: String,
    /// What the target's server calls itself, where it has such a thing.
    pub server_identity: Option<String>,
}

/// What the full preflight found beside obstacles (those are faults).
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Room, where it can be asked.
    pub space: Option<Space>,
    /// Things a person should know before the start.
    pub notes: Vec<String>,
}

/// Rows in one loaded table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedTable {
    /// The table's name.
    pub name: String,
    /// Rows counted in the loaded database.
    pub rows: u64,
}

/// What was counted in the loaded database.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Tables with their rows.
    pub tables: Vec<LoadedTable>,
    /// Bytes of the loaded database.
    pub bytes: u64,
    /// What was checked, one phrase each, for the report.
    pub checks: Vec<String>,
}

/// The previous data that was kept at the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its name (for SQLite: its path).
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// What every engine is handed: the ways to stop, to tell and to record.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Looked at between steps and in long ones.
    pub cancel: Cancel,
    /// Where progress is told.
    pub progress: Progress,
    /// Where the first write is recorded.
    pub journal: Journal,
}

/// One database of a dump, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Which of the targets, in the order of their surveys.
    pub target: usize,
    /// What pass 1 has learned of it.
    pub entry: &'a DatabaseEntry,
}

/// A decoded dump: read once from its beginning to its end or, where it is stored as it is, in parts that
/// several read at the same time.
pub trait Dump: Read {
    /// How parts of it are read, by as many `readers` at once; `None`: from its beginning only. Who reads
    /// parts does not read the whole.
    fn parts(&self, _readers: usize) -> Option<Arc<dyn DumpParts>> {
        None
    }
}

impl Dump for &[u8] {}
impl Dump for File {}

/// Reads parts of a dump.
pub trait DumpParts: Send + Sync {
    /// Bytes in a row from which on it is worth it to read them apart.
    fn worth_bytes(&self) -> u64;

    /// The bytes of `range`, counted from the beginning of the dump: those that pass 1 has seen there, or a
    /// fault.
    fn open(&self, range: Range<u64>) -> Result<Box<dyn Read + Send>>;
}

/// The targets of a run and what is done to them, in this order. Engines of single files have one;
/// those of servers may have several, which are loaded one after the other and switched together.
/// Targets are named by their index in the order of [`Engine::survey`]. Every method may be the last
/// one called; [`Engine::discard`] is then called before the engine is dropped.
pub trait Engine: Send {
    /// Sets the targets of a run whose manifest names none, by their names in the backup.
    fn aim(&mut self, names: &[String]) -> Result<()>;

    /// Quick preflight, before the backup is read: reachability, rights, what the targets hold.
    /// Writes nothing.
    fn survey(&mut self) -> Result<Vec<Survey>>;

    /// Removes kept previous data whose time is over at `now`, so that its room counts; gives back
    /// what was removed. Called only when the backup is known good and the targets' locks are held.
    fn drop_expired(&mut self, now: Timestamp) -> Vec<String>;

    /// Full preflight with the inventory: version guard, room, owner. Writes nothing.
    fn preflight(&mut self, incoming: Incoming<'_>) -> Result<Findings>;

    /// Loads what a decoded dump holds for some of the targets, beside them: the old data stays as it is, unless
    /// the plan has it dropped first. What is loaded in place is told to the journal before.
    fn load(&mut self, incoming: &[Incoming<'_>], dump: &mut dyn Dump) -> Result<()>;

    /// Compares what was loaded with the inventory.
    fn verify(&mut self, incoming: Incoming<'_>) -> Result<Verified>;

    /// Runs one statement that only reads in the database loaded for a target; a fault unless it answers
    /// true. The fault's message goes on from "query 1 of the manifest".
    fn query(&mut self, target: usize, sql: &str) -> Result<()>;

    /// Runs statements of the manifest in the database loaded for a target, after it was verified; gives
    /// back how many. The fault's message goes on from "hook 1 of the manifest".
    fn hook(&mut self, target: usize, sql: &str) -> Result<u64>;

    /// Leaves the verified loads beside the targets under names that no other run removes; gives back
    /// the names, in which digests of the loads stand.
    fn hold(&mut self) -> Result<Vec<String>>;

    /// Takes up what [`Engine::hold`] of an earlier run has left for a target, if it is still what was
    /// verified, and counts it. It stays as it is until the switch is done.
    fn take_up(&mut self, target: usize, held: &str) -> Result<Verified>;

    /// Looks at a kept previous database of a target, which may then be loaded like a backup.
    fn examine_previous(&mut self, target: usize, name: &str) -> Result<DatabaseEntry>;

    /// Loads a kept previous database, which stays as it is.
    fn load_previous(&mut self, name: &str, incoming: Incoming<'_>) -> Result<()>;

    /// Removes what dead runs left beside the targets, the loads `held`, and kept previous data whose
    /// time is over at `now`; gives back what was removed.
    fn clear(&mut self, held: &[String], now: Timestamp) -> Result<Vec<String>>;

    /// Puts the loaded databases in the place of the old ones, all or none, but for those that were loaded in
    /// place; tells the journal first. Gives back what was kept of each target.
    fn switch(&mut self) -> Result<Vec<Option<Previous>>>;

    /// What a person should know of the switch or [`Engine::hold`] that just was; empty before it.
    fn switch_notes(&mut self) -> Vec<String>;

    /// Removes what the run left beside the targets; gives back what could not be removed.
    fn discard(&mut self) -> Vec<String>;
}

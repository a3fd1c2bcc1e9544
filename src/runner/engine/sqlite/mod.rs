//! SQLite 3: database files and `.dump` text, restored into a file of a volume.
//!
//! The backup is loaded into a new file beside the target ([`load`]), checked there ([`verify`]), and
//! only then put in place ([`switch`]): an absent target by a rename that never replaces, an existing
//! one through SQLite's backup API in one transaction, so that an application that holds it open
//! sees the old database or the new one. A sibling file is the lock.

mod authorize;
mod budget;
mod compare;
mod connect;
mod discard;
mod files;
mod grammar;
mod held;
mod insert;
mod lexer;
mod load;
mod preflight;
mod query;
mod read;
mod replace;
mod scan_dump;
mod scan_file;
mod survey;
mod switch;
mod values;
mod verify;
mod vtab;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::reason::Reason;
use crate::runner::engine::{
    Context, Dump, Engine, Findings, Incoming, LoadedTable, Previous, Survey, Verified,
};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat};

use files::{Lock, Place};
use preflight::Content;
use survey::Seen;

pub use discard::{Leftover, LeftoverKind, leftover, leftovers, previous_label};
pub use scan_dump::DumpScanner;
pub use scan_file::FileScanner;

/// How an existing database is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplaceBy {
    /// By SQLite's backup API, in one transaction on the existing file. Applications may hold it
    /// open; mode, owner and hard links stay.
    #[default]
    Backup,
    /// By renaming the new file over the old. An application that holds the old file open goes on
    /// reading and writing that one, and what it writes is lost: only for targets that nobody uses.
    Rename,
}

/// How much of the loaded database SQLite checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integrity {
    /// `PRAGMA quick_check`: every page, but indexes are not compared with their tables.
    #[default]
    Quick,
    /// `PRAGMA integrity_check`: indexes too.
    Full,
}

/// What to restore to, and how.
#[derive(Clone, Debug)]
pub struct SqliteTarget {
    /// The volume's folder.
    pub root: PathBuf,
    /// The database's path below `root`.
    pub path: String,
    /// The exact name that a confirmation carries.
    pub name: String,
    /// How an existing database is replaced.
    pub replace_by: ReplaceBy,
    /// Label in the name of the kept previous database, such as a timestamp; `None`: it is not kept.
    pub keep_previous: Option<String>,
    /// Goes into the names of this run's own files.
    pub run_id: String,
    /// How long to wait for applications that hold locks.
    pub sessions_timeout: Duration,
    /// A newer file format is a note, not a refusal.
    pub version_guard_warn: bool,
    /// How much is checked.
    pub integrity: Integrity,
}

/// A restore to one SQLite database.
#[derive(Debug)]
pub struct Sqlite {
    settings: SqliteTarget,
    context: Context,
    place: Option<Place>,
    lock: Option<Lock>,
    seen: Option<Seen>,
    notes: Vec<String>,
    /// Files that this run made and has to remove.
    made: Vec<PathBuf>,
    /// The load of an earlier run that this one switches to.
    taken: Option<PathBuf>,
    /// The old database that a failed switch had already kept.
    kept: Option<PathBuf>,
    switch_note: Option<&'static str>,
    /// What the load has to tell, once it is done.
    loaded: Option<Vec<String>>,
    verified: Option<Vec<LoadedTable>>,
}

impl Sqlite {
    /// Prepares a restore; nothing is looked at yet.
    pub fn new(settings: SqliteTarget, context: Context) -> Self {
        Self {
            settings,
            context,
            place: None,
            lock: None,
            seen: None,
            notes: Vec::new(),
            made: Vec::new(),
            taken: None,
            kept: None,
            switch_note: None,
            loaded: None,
            verified: None,
        }
    }

    fn surveyed(&self) -> Result<(&Place, &Seen)> {
        match (&self.place, &self.seen, &self.lock) {
            (Some(place), Some(seen), Some(_)) => Ok((place, seen)),
            _ => Err(out_of_order("the target was not surveyed")),
        }
    }

    /// Where the target is, with its lock held, whether it was looked at or not.
    fn locked(&mut self) -> Result<&Place> {
        if self.lock.is_none() {
            let place = files::place(&self.settings.root, &self.settings.path)?;
            self.lock = Some(survey::take_lock(&place)?);
            self.place = Some(place);
        }
        self.place.as_ref().ok_or_else(|| out_of_order("the target was not found"))
    }

    /// The loaded database.
    fn shadow(&self) -> Result<PathBuf> {
        let (place, _) = self.surveyed()?;
        Ok(self.taken.clone().unwrap_or_else(|| place.shadow(&self.settings.run_id)))
    }

    /// Before what the lock alone makes safe: whether it is still this run's.
    fn recheck_lock(&self, stage: Stage) -> Result<()> {
        let Some(lock) = &self.lock else { return Err(out_of_order("the target was not locked")) };
        match lock.is_held() {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = format!("the lock of {} was taken from this run", self.settings.name);
                Err(Fault::new(stage, Reason::TargetLocked, message))
            }
            Err(error) => Err(files::fault(stage, "failed to look at the target's lock", error)),
        }
    }
}

fn out_of_order(what: &str) -> Fault {
    Fault::new(Stage::Restore, Reason::InternalError, format!("{what} before the next step"))
}

impl Engine for Sqlite {
    fn aim(&mut self, _: &[String]) -> Result<()> {
        // The connection names the file.
        Ok(())
    }

    fn survey(&mut self) -> Result<Vec<Survey>> {
        let place = files::place(&self.settings.root, &self.settings.path)?;
        files::check_names(&place, &self.settings.run_id, self.settings.keep_previous.as_deref())?;
        survey::check_rights(&place)?;
        // The old lock goes first, or a second survey of this run would exclude itself.
        self.lock = None;
        self.lock = Some(survey::take_lock(&place)?);
        let (seen, notes) = survey::look(&place, &self.context)?;
        let survey = seen.survey(&self.settings.name);
        self.notes = notes;
        self.place = Some(place);
        self.seen = Some(seen);
        Ok(vec![survey])
    }

    fn drop_expired(&mut self, now: Timestamp) -> Vec<String> {
        match self.surveyed() {
            Ok((place, _)) if self.recheck_lock(Stage::Preflight).is_ok() => {
                discard::remove_expired(place, now)
            }
            _ => Vec::new(),
        }
    }

    fn preflight(&mut self, incoming: Incoming<'_>) -> Result<Findings> {
        let (place, seen) = self.surveyed()?;
        let mut findings = preflight::check(&self.settings, place, seen, Content::Backup(incoming.entry))?;
        findings.notes.splice(0..0, self.notes.iter().cloned());
        Ok(findings)
    }

    fn load(&mut self, incoming: &[Incoming<'_>], dump: &mut dyn Dump) -> Result<()> {
        let [Incoming { entry: incoming, .. }] = incoming else {
            return Err(out_of_order("a file takes one database, which was not chosen"));
        };
        let (place, seen) = self.surveyed()?;
        let shadow = place.shadow(&self.settings.run_id);
        let page_size = seen.page_size();
        let what = format!("loading {}", self.settings.name);
        self.recheck_lock(Stage::Restore)?;
        discard::remove_dead(place);
        self.made.push(shadow.clone());
        self.context.progress.begin(Stage::Restore, what, incoming.bytes);
        let mut dump = load::Told::new(dump, &self.context);
        let notes = match incoming.format {
            DumpFormat::SQLiteFile => load::database_file(&shadow, incoming, &mut dump).map(|()| Vec::new()),
            DumpFormat::SQLiteDump => load::dump_text(&shadow, page_size, incoming, &self.context, &mut dump),
            _ => Err(preflight::wrong_engine(incoming.format)),
        };
        self.loaded = Some(notes.map_err(|fault| connect::by_flag(fault, &self.context.cancel))?);
        Ok(())
    }

    fn verify(&mut self, incoming: Incoming<'_>) -> Result<Verified> {
        let (place, _) = self.surveyed()?;
        let Some(notes) = self.loaded.clone() else {
            return Err(out_of_order("nothing was loaded"));
        };
        let shadow = place.shadow(&self.settings.run_id);
        let mut verified = verify::verify(&shadow, self.settings.integrity, incoming.entry, &self.context)
            .map_err(|fault| connect::by_flag(fault, &self.context.cancel))?;
        verified.checks.extend(notes);
        self.verified = Some(verified.tables.clone());
        Ok(verified)
    }

    fn query(&mut self, _: usize, sql: &str) -> Result<()> {
        if self.verified.is_none() {
            return Err(out_of_order("the loaded database was not verified"));
        }
        query::ask(&self.shadow()?, sql, &self.context)
    }

    fn hook(&mut self, _: usize, _: &str) -> Result<u64> {
        let message = "SQL before the switch is not possible for SQLite yet";
        Err(Fault::new(Stage::Verify, Reason::NotSupported, message))
    }

    fn hold(&mut self) -> Result<Vec<String>> {
        if self.verified.is_none() || self.taken.is_some() {
            return Err(out_of_order("the loaded database was not verified"));
        }
        self.recheck_lock(Stage::Switch)?;
        let (place, _) = self.surveyed()?;
        held::keep(place, &self.settings.run_id, &self.context).map(|held| vec![held])
    }

    fn take_up(&mut self, _: usize, held: &str) -> Result<Verified> {
        let (place, seen) = self.surveyed()?;
        let (path, entry) = held::find(place, held, &self.context)?;
        preflight::check(&self.settings, place, seen, Content::Loaded(&entry))?;
        let tables = verify::count(&path, &self.context)
            .map_err(|fault| connect::by_flag(fault, &self.context.cancel))?;
        let checks = vec!["the held load equals, by its SHA-256, what was verified".to_owned()];
        self.taken = Some(path);
        self.verified = Some(tables.clone());
        Ok(Verified { tables, bytes: entry.bytes, checks })
    }

    fn examine_previous(&mut self, _: usize, name: &str) -> Result<DatabaseEntry> {
        held::previous(self.surveyed()?.0, name, &self.context)
    }

    fn load_previous(&mut self, name: &str, incoming: Incoming<'_>) -> Result<()> {
        let mut previous = held::open_previous(self.surveyed()?.0, name)?;
        self.load(&[incoming], &mut previous)
    }

    fn clear(&mut self, held: &[String], now: Timestamp) -> Result<Vec<String>> {
        let place = self.locked()?;
        let mut removed = discard::remove_dead(place);
        removed.extend(discard::remove_expired(place, now));
        for held in held {
            removed.extend(held::remove(place, held)?);
        }
        Ok(removed)
    }

    fn switch(&mut self) -> Result<Vec<Option<Previous>>> {
        let shadow = self.shadow()?;
        let part = self.surveyed()?.0.part(&self.settings.run_id);
        self.recheck_lock(Stage::Switch)?;
        self.made.push(part);
        let (place, seen) = self.surveyed()?;
        let Some(tables) = self.verified.as_deref() else {
            return Err(out_of_order("the loaded database was not verified"));
        };
        let (settings, context) = (&self.settings, &self.context);
        let (kept, note) = (Cell::default(), Cell::default());
        let job = switch::Job { place, seen, shadow, settings, context, tables, kept, note };
        let result = job.run();
        let (kept, note) = (job.kept.into_inner(), job.note.into_inner());
        self.kept = kept.filter(|_| result.is_err());
        self.switch_note = note;
        if result.is_ok() {
            // A load of an earlier run goes once it is in place; a failed switch leaves it.
            self.made.extend(self.taken.take());
        }
        result.map(|previous| vec![previous])
    }

    fn switch_notes(&mut self) -> Vec<String> {
        self.switch_note.take().map(str::to_owned).into_iter().collect()
    }

    fn discard(&mut self) -> Vec<String> {
        let mut left = discard::remove_own(&mut self.made);
        left.extend(discard::remove_kept(&mut self.kept, self.context.journal.touched()));
        self.loaded = None;
        self.verified = None;
        self.lock = None;
        left
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.discard();
    }
}

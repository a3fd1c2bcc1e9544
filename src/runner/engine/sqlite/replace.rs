//! Replaces an existing database through SQLite's backup API, in one transaction.
//!
//! `backup_step(0)` takes the lock that excludes every writer. While it is held the old content is
//! copied away and made durable; only then are pages written. So every write that an application was
//! told is done lies in the kept copy, and every later one meets the new database or an error.
//!
//! INVARIANT: the raw handle of the target is opened before any SQLite connection to it and closed
//! after the last: closing any handle of a file drops this process's POSIX locks on it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::compare::{change_counter, equal_pages, equal_rows};
use super::connect::{self, Access};
use super::files;
use super::preflight::page_size_message;
use super::scan_file::Header;
use super::survey::{Existing, objects, read_header};
use super::switch::{Job, dress, fault, io_fault};
use crate::reason::Reason;
use crate::runner::engine::Previous;
use crate::runner::fault::{Fault, Result, Stage};

/// How long SQLite waits for a lock before the run looks around.
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// How long a reader waits for applications after the switch.
const AFTER_WAIT: Duration = Duration::from_secs(5);
/// Pages that are copied between two messages of progress.
const PAGES_PER_STEP: i32 = 1024;
/// Bytes that are copied between two looks at the cancel flag.
const COPY_BYTES: u64 = 64 * 1024 * 1024;

/// What is told where applications were faster than the comparison.
const WRITTEN_SINCE: &str =
    "an application used the database right after the switch, so its content was not compared once more";

/// What a new database is compared by after the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    /// It equals the loaded one.
    Equal,
    /// Applications wrote at once, so that only they can say what must be there.
    WrittenSince,
}

/// How an attempt ended.
enum Attempt {
    /// An application was in the way; another attempt may succeed.
    Busy,
    /// The target is replaced; the previous database, where it was kept.
    Done(Option<Previous>),
}

/// What shows after the commit that nobody else wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quiet {
    /// The file's change counter, which each commit under a rollback journal makes grow by one.
    ChangeCounter(u32),
    /// `PRAGMA data_version` of our connection, which every write of another one changes. It is read
    /// before the lock is taken, so a change may also lie before the replacement.
    DataVersion(i64),
}

/// What is known of the target at the moment its lock was taken.
#[derive(Clone, Copy, Debug)]
struct Moment {
    quiet: Quiet,
    /// Grows by one with the replacement.
    schema_version: i64,
    wal: bool,
}

fn sql(reason: Reason, what: &str, path: &Path, error: &rusqlite::Error) -> Fault {
    let reason = if connect::is_corrupt(error) { Reason::TargetCorrupt } else { reason };
    connect::fault(Stage::Switch, reason, &format!("failed to {what} {}", path.display()), error)
}

/// Replaces the content of the existing target by that of the shadow.
pub(super) fn through_backup(job: &Job<'_>, existing: &Existing) -> Result<Option<Previous>> {
    let target = job.target();
    let raw = match File::open(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(job.changed("was removed")),
        result => result.map_err(|error| io_fault("open", &target, error))?,
    };
    job.check_identity(existing)?;
    let open = |error: &rusqlite::Error| sql(Reason::RestoreFailed, "open", &target, error);
    let source = connect::open(&job.shadow(), Access::Immutable).map_err(|error| open(&error))?;
    let mut destination = connect::open(&target, Access::Write).map_err(|error| open(&error))?;
    destination.busy_timeout(BUSY_WAIT).map_err(|error| open(&error))?;
    // The commit is the unlink of the rollback journal; only EXTRA makes that durable too.
    destination.execute_batch("PRAGMA synchronous=EXTRA;").map_err(|error| open(&error))?;
    let replacement = Replacement { job, existing, raw: &raw, source: &source };
    let result = replacement.run(&mut destination);
    // Every connection goes before the raw handle does.
    drop(destination);
    drop(source);
    drop(raw);
    result
}

struct Replacement<'a> {
    job: &'a Job<'a>,
    existing: &'a Existing,
    raw: &'a File,
    source: &'a Connection,
}

impl Replacement<'_> {
    fn run(&self, destination: &mut Connection) -> Result<Option<Previous>> {
        let wait = self.job.settings.sessions_timeout.as_millis() / BUSY_WAIT.as_millis();
        let mut attempts = u64::try_from(wait).unwrap_or(u64::MAX).saturating_add(1);
        while attempts > 0 {
            if let Attempt::Done(previous) = self.attempt(destination, &mut attempts)? {
                return Ok(previous);
            }
            attempts = attempts.saturating_sub(1);
        }
        let seconds = self.job.settings.sessions_timeout.as_secs();
        let message =
            format!("applications did not let go of {} within {seconds} s", self.job.target().display());
        Err(fault(Reason::TargetBusy, message))
    }

    /// One attempt with a backup of its own.
    fn attempt(&self, destination: &mut Connection, attempts: &mut u64) -> Result<Attempt> {
        let target = self.job.target();
        let data_version = match data_version(destination) {
            Err(error) if connect::is_busy(&error) => {
                self.job.context.cancel.check(Stage::Switch)?;
                return Ok(Attempt::Busy);
            }
            result => result.map_err(|error| sql(Reason::RestoreFailed, "read", &target, &error))?,
        };
        let backup = Backup::new(self.source, destination)
            .map_err(|error| sql(Reason::RestoreFailed, "begin the replacement of", &target, &error))?;
        if !self.lock(&backup, attempts)? {
            return Ok(Attempt::Busy);
        }
        let moment = self.look(data_version)?;
        let previous = self.keep(moment.wal)?;
        self.job.context.cancel.check(Stage::Switch)?;
        // All of it becomes visible at the commit, or nothing does.
        self.job.context.journal.risk(Stage::Switch)?;
        let copied = self.copy(&backup);
        drop(backup);
        if let Err(error) = copied {
            return Err(self.after_failure(&error, moment, previous.as_ref()));
        }
        self.job.context.journal.done();
        self.conclude(destination, moment).map_err(|mut fault| {
            name_kept(&mut fault, previous.as_ref());
            fault
        })?;
        Ok(Attempt::Done(previous))
    }

    /// After the commit: makes it durable and looks at what is there.
    fn conclude(&self, destination: &Connection, moment: Moment) -> Result<()> {
        // SAFETY OF RESTORE: the shadow goes once this is done, so the names must be on disk before.
        let folder = &self.job.place.folder;
        files::sync_folder(folder).map_err(|error| io_fault("sync", folder, error))?;
        if self.compare(destination, moment)? == Compared::WrittenSince {
            self.job.note.set(Some(WRITTEN_SINCE));
        }
        Ok(())
    }

    /// Takes the lock that excludes writers; false where this backup can get it no more.
    fn lock(&self, backup: &Backup<'_, '_>, attempts: &mut u64) -> Result<bool> {
        loop {
            self.job.context.cancel.check(Stage::Switch)?;
            match backup.step(0) {
                Ok(StepResult::More) => return Ok(true),
                Ok(StepResult::Busy | StepResult::Locked) => {
                    *attempts = attempts.saturating_sub(1);
                    if *attempts == 0 {
                        return Ok(false);
                    }
                }
                Ok(_) => return Err(fault(Reason::InternalError, "the loaded database has no pages")),
                Err(error) if connect::is_busy(&error) => return Ok(false),
                Err(error) => return Err(self.lock_fault(&error)),
            }
        }
    }

    fn lock_fault(&self, error: &rusqlite::Error) -> Fault {
        let size = |file: &File| -> Option<Header> { Header::parse(&read_header(file).ok()??).ok() };
        let old = size(self.raw);
        let new = File::open(self.job.shadow()).ok().as_ref().and_then(size);
        if let (Some(old), Some(new)) = (old, new)
            && old.wal
            && old.page_size != new.page_size
        {
            let message = page_size_message(&self.job.settings.name, old.page_size, new.page_size);
            return fault(Reason::SwapNotPossible, message);
        }
        sql(Reason::RestoreFailed, "lock", &self.job.target(), error)
    }

    /// Looks at the old database while its lock is held by the backup.
    fn look(&self, data_version: i64) -> Result<Moment> {
        let target = self.job.target();
        self.job.check_identity(self.existing)?;
        let header = read_header(self.raw).map_err(|error| io_fault("read", &target, error))?;
        let wal = header.is_some_and(|header| header.get(19) == Some(&2));
        let quiet = if wal {
            Quiet::DataVersion(data_version)
        } else {
            Quiet::ChangeCounter(change_counter(header.as_ref()).wrapping_add(1))
        };
        let read = || -> rusqlite::Result<(u64, i64)> {
            let reader = self.reader(wal)?;
            Ok((objects(&reader)?, reader.query_row("PRAGMA schema_version", [], |row| row.get(0))?))
        };
        let (objects, schema_version) =
            read().map_err(|error| sql(Reason::RestoreFailed, "read", &target, &error))?;
        if self.existing.holds.is_none() && objects > 0 {
            return Err(self.job.changed("was empty and was filled"));
        }
        Ok(Moment { quiet, schema_version, wal })
    }

    /// A second connection to the target under the lock. Under a rollback journal the lock keeps
    /// readers out too, and with them every change, so the file can be read without locks.
    fn reader(&self, wal: bool) -> rusqlite::Result<Connection> {
        connect::open(&self.job.target(), if wal { Access::Read } else { Access::Immutable })
    }

    /// Copies the old content away and makes the copy durable.
    fn keep(&self, wal: bool) -> Result<Option<Previous>> {
        let job = self.job;
        let Some(label) = job.settings.keep_previous.as_deref().filter(|_| self.existing.holds.is_some())
        else {
            return Ok(None);
        };
        let (part, kept) = (job.place.part(&job.settings.run_id), job.place.previous(label));
        job.context.progress.begin(Stage::Switch, "keeping the previous database", self.existing.bytes);
        let file = files::create_new(&part).map_err(|error| io_fault("create", &part, error))?;
        if wal {
            self.keep_by_backup(&part)?;
        } else {
            self.keep_by_copy(&file, &part)?;
        }
        drop(file);
        dress(&part, self.existing.mode, Some(self.existing.owner))
            .map_err(|error| io_fault("sync", &part, error))?;
        files::rename_no_replace(&part, &kept).map_err(|error| io_fault("name", &kept, error))?;
        job.kept.set(Some(kept.clone()));
        let folder = &job.place.folder;
        files::sync_folder(folder).map_err(|error| io_fault("sync", folder, error))?;
        let bytes = files::size(&kept).map_err(|error| io_fault("look at", &kept, error))?;
        Ok(Some(Previous { name: kept.display().to_string(), bytes }))
    }

    fn keep_by_copy(&self, mut to: &File, part: &Path) -> Result<()> {
        let mut from = self.raw;
        loop {
            self.job.context.cancel.check(Stage::Switch)?;
            let copied = io::copy(&mut Read::by_ref(&mut from).take(COPY_BYTES), &mut to)
                .map_err(|error| io_fault("copy the previous database to", part, error))?;
            self.job.context.progress.advance(copied);
            if copied == 0 {
                return Ok(());
            }
        }
    }

    fn keep_by_backup(&self, part: &Path) -> Result<()> {
        let failed = |error: &rusqlite::Error| {
            sql(Reason::RestoreFailed, "copy the previous database to", part, error)
        };
        let reader = self.reader(true).map_err(|error| failed(&error))?;
        let mut kept = connect::open(part, Access::Write).map_err(|error| failed(&error))?;
        // Nobody else knows the file yet; it is synced before it gets its name.
        kept.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
            .map_err(|error| failed(&error))?;
        let backup = Backup::new(&reader, &mut kept).map_err(|error| failed(&error))?;
        loop {
            self.job.context.cancel.check(Stage::Switch)?;
            match backup.step(PAGES_PER_STEP).map_err(|error| failed(&error))? {
                StepResult::Done => return Ok(()),
                StepResult::More => self.job.context.progress.advance(self.step_bytes()),
                _ => {
                    return Err(fault(
                        Reason::TargetBusy,
                        "the previous database could not be read to keep it",
                    ));
                }
            }
        }
    }

    fn step_bytes(&self) -> u64 {
        let page = self.existing.header.as_ref().map_or(4096, |header| u64::from(header.page_size));
        page * u64::from(PAGES_PER_STEP.unsigned_abs())
    }

    /// Copies all pages and commits. From here on nothing stops it but an error.
    fn copy(&self, backup: &Backup<'_, '_>) -> rusqlite::Result<()> {
        let progress = &self.job.context.progress;
        progress.begin(Stage::Switch, "replacing the database", files::size(&self.job.shadow()).unwrap_or(0));
        loop {
            match backup.step(PAGES_PER_STEP)? {
                StepResult::Done => return Ok(()),
                StepResult::More => progress.advance(self.step_bytes()),
                // The lock is held and the source is private: nobody can be in the way.
                _ => {
                    return Err(rusqlite::Error::SqliteFailure(
                        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                        None,
                    ));
                }
            }
        }
    }

    /// Judges a failed copy: SQLite rolls it back as a whole, which shows in the schema's version.
    /// Ours alone would have made it grow, and nobody makes it smaller.
    fn after_failure(&self, error: &rusqlite::Error, moment: Moment, previous: Option<&Previous>) -> Fault {
        let target = self.job.target();
        let now = || -> rusqlite::Result<i64> {
            let connection = connect::open(&target, Access::Write)?;
            connection.busy_timeout(AFTER_WAIT)?;
            connection.query_row("PRAGMA schema_version", [], |row| row.get(0))
        };
        let rolled_back = now().is_ok_and(|version| version == moment.schema_version);
        let mut fault = sql(Reason::RestoreFailed, "replace", &target, error);
        if rolled_back {
            self.job.context.journal.untouch();
            fault.message.push_str("; it was rolled back and the old database is whole");
        } else {
            self.job.context.journal.doubt();
            fault.message.push_str("; whether the old or the new database is there could not be found out");
            name_kept(&mut fault, previous);
        }
        fault
    }

    /// Compares the target after the commit with what was loaded; a difference counts unless others
    /// wrote since.
    fn compare(&self, destination: &Connection, moment: Moment) -> Result<Compared> {
        let target = self.job.target();
        let failed = |error: &rusqlite::Error| sql(Reason::VerificationFailed, "read back", &target, error);
        let begin = || -> rusqlite::Result<bool> {
            destination.busy_timeout(AFTER_WAIT)?;
            destination.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
            match moment.quiet {
                Quiet::DataVersion(before) => Ok(data_version(destination)? == before),
                // The transaction just begun keeps writers from the header.
                Quiet::ChangeCounter(ours) => {
                    Ok(read_header(self.raw).is_ok_and(|header| change_counter(header.as_ref()) == ours))
                }
            }
        };
        let quiet = match begin() {
            // An application is at work on the new database already.
            Err(error) if connect::is_busy(&error) => return Ok(Compared::WrittenSince),
            result => result.map_err(|error| failed(&error))?,
        };
        let equal = if moment.wal {
            equal_rows(destination, self.job.tables).map_err(|error| failed(&error))?
        } else {
            let shadow = self.job.shadow();
            let loaded = File::open(&shadow).map_err(|error| io_fault("open", &shadow, error))?;
            equal_pages(self.raw, &loaded).map_err(|error| io_fault("read back", &target, error))?
        };
        if !equal && !quiet {
            return Ok(Compared::WrittenSince);
        }
        if !equal {
            let message = format!("{} does not equal what was loaded after the switch", target.display());
            return Err(fault(Reason::VerificationFailed, message));
        }
        Ok(Compared::Equal)
    }
}

/// Says in a fault where the old database is.
pub(super) fn name_kept(fault: &mut Fault, previous: Option<&Previous>) {
    if let Some(previous) = previous {
        fault.message.push_str("; the old database is kept as ");
        fault.message.push_str(&previous.name);
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;

//! Puts the verified database in the target's place: an absent target by a rename that never
//! replaces, an existing one through the backup API ([`super::replace`]) or, if asked for, by rename.

use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::connect::{self, Access};
use super::files::{self, Place};
use super::preflight::refuse_open_files;
use super::replace;
use super::survey::{Existing, Seen, read_header, refuse_orphans};
use super::{ReplaceBy, SqliteTarget};
use crate::reason::Reason;
use crate::runner::engine::{Context, LoadedTable, Previous};
use crate::runner::fault::{Fault, Result, Stage};

/// Everything the switch works with.
pub(super) struct Job<'a> {
    pub(super) place: &'a Place,
    pub(super) seen: &'a Seen,
    /// The loaded database.
    pub(super) shadow: PathBuf,
    pub(super) settings: &'a SqliteTarget,
    pub(super) context: &'a Context,
    /// What was counted in the loaded database.
    pub(super) tables: &'a [LoadedTable],
    /// The kept old database, from the moment it has its name.
    pub(super) kept: Cell<Option<PathBuf>>,
    /// What a person should know of the switch.
    pub(super) note: Cell<Option<&'static str>>,
}

pub(super) fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Stage::Switch, reason, message)
}

pub(super) fn io_fault(what: &str, path: &Path, error: io::Error) -> Fault {
    files::fault(Stage::Switch, &format!("failed to {what} {}", path.display()), error)
}

impl Job<'_> {
    /// Switches; gives back the previous database where one was kept.
    pub(super) fn run(&self) -> Result<Option<Previous>> {
        self.context.cancel.check(Stage::Switch)?;
        match (self.seen, self.settings.replace_by) {
            (Seen::Absent, _) => self.create().map(|()| None),
            (Seen::File(existing), ReplaceBy::Backup) => {
                let previous = replace::through_backup(self, existing)?;
                // The target is whole without it; a shadow that stays is told by `discard`.
                let _ = files::remove(&self.shadow());
                Ok(previous)
            }
            (Seen::File(existing), ReplaceBy::Rename) => self.rename(existing),
        }
    }

    pub(super) fn target(&self) -> PathBuf {
        self.place.target()
    }

    pub(super) fn shadow(&self) -> PathBuf {
        self.shadow.clone()
    }

    pub(super) fn changed(&self, what: &str) -> Fault {
        fault(Reason::TargetChanged, format!("{} {what} since it was looked at", self.target().display()))
    }

    /// Whether the file under the target's name is still the one that was surveyed.
    pub(super) fn check_identity(&self, existing: &Existing) -> Result<()> {
        let target = self.target();
        let found = files::look(&target).map_err(|error| io_fault("look at", &target, error))?;
        match found {
            None => Err(self.changed("was removed")),
            Some(found) if found.ino() != existing.inode || found.dev() != existing.device => {
                Err(self.changed("was replaced by another file"))
            }
            Some(_) => Ok(()),
        }
    }

    /// One atomic move makes the target, so nothing that existed is touched.
    fn create(&self) -> Result<()> {
        let (target, shadow) = (self.target(), self.shadow());
        let folder = &self.place.folder;
        refuse_orphans(self.place, &["-journal", "-wal"])?;
        let folder_mode = fs::metadata(folder).map_err(|error| io_fault("look at", folder, error))?.mode();
        let mode = files::new_file_mode(folder_mode);
        dress(&shadow, mode, None).map_err(|error| io_fault("set the mode of", &shadow, error))?;
        let journal = &self.context.journal;
        journal.risk(Stage::Switch)?;
        if let Err(error) = files::rename_no_replace(&shadow, &target) {
            if error.kind() == io::ErrorKind::AlreadyExists {
                journal.untouch();
                return Err(self.changed("was created"));
            }
            if files::identity(&target).is_ok() {
                journal.untouch();
            }
            return Err(io_fault("create", &target, error));
        }
        // Where this fails the new database is there, and a failed run must not say that nothing is.
        files::sync_folder(folder)
            .map_err(|error| io_fault("make durable what was created in", folder, error))?;
        journal.created();
        Ok(())
    }

    /// Renames over the old file. Its handle in applications stays on the old database.
    fn rename(&self, existing: &Existing) -> Result<Option<Previous>> {
        let (target, shadow) = (self.target(), self.shadow());
        let folder = &self.place.folder;
        let raw = File::open(&target).map_err(|error| io_fault("open", &target, error))?;
        self.check_identity(existing)?;
        let header = read_header(&raw).map_err(|error| io_fault("read", &target, error))?;
        let wal = header.is_some_and(|header| header.get(19) == Some(&2));
        refuse_open_files(self.place, wal, Stage::Switch)?;
        // No transaction of an application may be under way; a WAL database has no side files here,
        // so nobody uses it, and opening it would make some.
        let held = if wal { None } else { Some(self.hold(&target)?) };
        dress(&shadow, existing.mode, Some(existing.owner))
            .map_err(|error| io_fault("set mode and owner of", &shadow, error))?;
        let previous = match &self.settings.keep_previous {
            Some(label) if existing.holds.is_some() => Some(self.link_previous(label, existing)?),
            _ => None,
        };
        self.context.journal.risk(Stage::Switch)?;
        if let Err(error) = files::rename_over(&shadow, &target) {
            match files::identity(&target) {
                Ok(Some(found)) if found == (existing.device, existing.inode) => {
                    self.context.journal.untouch();
                }
                _ => self.context.journal.doubt(),
            }
            let mut fault = io_fault("replace", &target, error);
            replace::name_kept(&mut fault, previous.as_ref());
            return Err(fault);
        }
        self.context.journal.done();
        let synced = files::sync_folder(folder).map_err(|error| io_fault("sync", folder, error));
        drop(held);
        drop(raw);
        synced.map(|()| previous)
    }

    fn hold(&self, target: &Path) -> Result<rusqlite::Connection> {
        let attempt = || -> rusqlite::Result<rusqlite::Connection> {
            let connection = connect::open(target, Access::Write)?;
            connection.busy_timeout(self.settings.sessions_timeout)?;
            connection.execute_batch("BEGIN EXCLUSIVE")?;
            Ok(connection)
        };
        attempt().map_err(|error| {
            let usual = if connect::is_busy(&error) { Reason::TargetBusy } else { Reason::TargetCorrupt };
            connect::fault(Stage::Switch, usual, &format!("failed to lock {}", target.display()), &error)
        })
    }

    fn link_previous(&self, label: &str, existing: &Existing) -> Result<Previous> {
        let (target, kept) = (self.target(), self.place.previous(label));
        fs::hard_link(&target, &kept)
            .map_err(|error| io_fault("keep the previous database as", &kept, error))?;
        self.kept.set(Some(kept.clone()));
        Ok(Previous { name: kept.display().to_string(), bytes: existing.bytes })
    }
}

/// Gives a file its mode and, as far as this process may, its owner, and makes it durable.
pub(super) fn dress(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    if let Some((user, group)) = owner {
        // Told as a note before the start where it is not possible.
        let _ = fchown(&file, Some(user), Some(group));
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

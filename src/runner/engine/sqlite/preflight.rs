//! The full preflight: does this backup fit this target? Version guard, page size, rights, room.
//! Decided from what was surveyed and what pass 1 learned; nothing is written.

use super::files::{self, Place};
use super::survey::{Existing, Seen};
use super::{ReplaceBy, SqliteTarget};
use crate::reason::Reason;
use crate::runner::engine::{Findings, Space};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat};

fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Stage::Preflight, reason, message)
}

/// The fault for a dump of another engine.
pub(super) fn wrong_engine(format: DumpFormat) -> Fault {
    fault(Reason::EngineMismatch, format!("the backup is a {format:?}, the target a SQLite database"))
}

/// What is to be put in the target's place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// A backup that is still to be loaded.
    Backup(&'a DatabaseEntry),
    /// What an earlier run has loaded beside the target.
    Loaded(&'a DatabaseEntry),
}

/// Checks everything that can be known before the load, or before the switch to what is loaded.
pub(super) fn check(
    settings: &SqliteTarget,
    place: &Place,
    seen: &Seen,
    incoming: Content<'_>,
) -> Result<Findings> {
    let mut notes = Vec::new();
    let (incoming, loaded) = match incoming {
        Content::Backup(entry) => (entry, 0),
        Content::Loaded(entry) => (entry, entry.bytes),
    };
    match incoming.format {
        DumpFormat::SQLiteFile => {}
        DumpFormat::SQLiteDump => notes.push(
            "dump text carries no user_version, application_id or text encoding: they start anew".to_owned(),
        ),
        other => return Err(wrong_engine(other)),
    }
    guard_version(settings, incoming, &mut notes)?;
    if let Seen::File(existing) = seen {
        check_existing(settings, place, existing, incoming)?;
        notes.extend(owner_note(settings, existing, rustix::process::geteuid().as_raw()));
        if existing.links > 1 && settings.replace_by == ReplaceBy::Rename {
            notes.push(format!("{} has other hard links; they keep the old database", settings.name));
        }
    }
    let space = Space { needed: needed(settings, seen, incoming).saturating_sub(loaded), free: free(place)? };
    if space.free < space.needed {
        let message = format!(
            "the folder {} has {} bytes free; the restore needs {}",
            place.folder.display(),
            space.free,
            space.needed
        );
        return Err(fault(Reason::NoRoom, message));
    }
    Ok(Findings { space: Some(space), notes })
}

fn guard_version(settings: &SqliteTarget, incoming: &DatabaseEntry, notes: &mut Vec<String>) -> Result<()> {
    let Some(newer) = &incoming.facts.newer_format else { return Ok(()) };
    let message = format!("the backup is of SQLite {newer}");
    if settings.version_guard_warn {
        notes.push(message);
        return Ok(());
    }
    Err(fault(Reason::VersionTooNew, message))
}

fn check_existing(
    settings: &SqliteTarget,
    place: &Place,
    existing: &Existing,
    incoming: &DatabaseEntry,
) -> Result<()> {
    let wal = existing.header.as_ref().is_some_and(|header| header.wal);
    match settings.replace_by {
        ReplaceBy::Backup => {
            let sizes = existing.header.as_ref().map(|header| header.page_size).zip(incoming.facts.page_size);
            match sizes {
                Some((old, new)) if wal && old != new && incoming.format == DumpFormat::SQLiteFile => {
                    Err(fault(Reason::SwapNotPossible, page_size_message(&settings.name, old, new)))
                }
                _ => Ok(()),
            }
        }
        ReplaceBy::Rename => refuse_open_files(place, wal, Stage::Preflight),
    }
}

/// Why a WAL database cannot take pages of another size, and the ways out.
pub(super) fn page_size_message(name: &str, old: u32, new: u32) -> String {
    format!(
        "{name} is in WAL mode with pages of {old} bytes and the backup has pages of {new}: SQLite cannot change \
         that in one transaction. Either run `PRAGMA journal_mode=DELETE` on {name} first, or restore to another \
         path, or stop all applications and replace it by rename"
    )
}

/// A rename must not separate a database from the side files that belong to it.
pub(super) fn refuse_open_files(place: &Place, wal: bool, stage: Stage) -> Result<()> {
    let suffixes = if wal { &["-journal", "-wal", "-shm"][..] } else { &["-journal", "-wal"][..] };
    for suffix in suffixes {
        let side = place.side(suffix);
        let bytes = files::size(&side)
            .map_err(|error| files::fault(stage, &format!("failed to look at {}", side.display()), error))?;
        if bytes > 0 {
            let message = format!(
                "{} is there, so an application uses the database or left it unfinished; a rename would lose it. \
                 Stop all applications and open the database once with SQLite, or replace it by the backup API",
                side.display()
            );
            return Err(Fault::new(stage, Reason::SwapNotPossible, message));
        }
    }
    Ok(())
}

/// What a person should know of mode and owner; through the backup API the file stays the same one.
fn owner_note(settings: &SqliteTarget, existing: &Existing, process: u32) -> Option<String> {
    let (owner, group) = existing.owner;
    if process == 0 || owner == process {
        return None;
    }
    let name = &settings.name;
    match settings.replace_by {
        ReplaceBy::Rename => Some(format!(
            "{name} belongs to user {owner} and group {group}; a new file of user {process} would take its place"
        )),
        ReplaceBy::Backup if settings.keep_previous.is_some() => Some(format!(
            "{name} stays with user {owner}; the kept previous database will belong to user {process}"
        )),
        ReplaceBy::Backup => None,
    }
}

fn free(place: &Place) -> Result<u64> {
    files::free_bytes(&place.folder).map_err(|error| {
        let what = format!("failed to ask for the free room in {}", place.folder.display());
        files::fault(Stage::Preflight, &what, error)
    })
}

/// Bytes that the restore takes at its peak, beside what is there: the shadow, and over an existing
/// database its kept copy, SQLite's rollback journal of it, and its growth. The size of a dump's
/// database is estimated by the size of its text.
fn needed(settings: &SqliteTarget, seen: &Seen, incoming: &DatabaseEntry) -> u64 {
    let new = incoming.bytes;
    let old = match seen {
        Seen::File(existing) => existing.bytes,
        Seen::Absent => 0,
    };
    match (seen, settings.replace_by) {
        (Seen::Absent, _) | (Seen::File(_), ReplaceBy::Rename) => new,
        (Seen::File(existing), ReplaceBy::Backup) => {
            let kept = if settings.keep_previous.is_some() { old } else { 0 };
            let wal = existing.header.as_ref().is_some_and(|header| header.wal);
            // A write-ahead log takes the new pages first, a rollback journal the old ones.
            let journal = if wal { new } else { old };
            let growth = new.saturating_sub(old);
            [kept, journal, growth].iter().fold(new, |sum, part| sum.saturating_add(*part))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runner::engine::sqlite::Integrity;
    use crate::runner::inventory::DumpFacts;

    fn settings(replace_by: ReplaceBy, keep: bool) -> SqliteTarget {
        SqliteTarget {
            root: "/data".into(),
            path: "app.db".into(),
            name: "app.db".into(),
            replace_by,
            keep_previous: keep.then(|| "1".into()),
            run_id: "run".into(),
            sessions_timeout: Duration::ZERO,
            version_guard_warn: false,
            integrity: Integrity::Quick,
        }
    }

    fn incoming(bytes: u64) -> DatabaseEntry {
        DatabaseEntry {
            name: None,
            format: DumpFormat::SQLiteFile,
            bytes,
            sha256: [0; 32],
            facts: DumpFacts::default(),
        }
    }

    #[test]
    fn room_is_needed_for_shadow_kept_copy_journal_and_growth() {
        let old = Seen::File(Existing::for_test(1000));
        for (seen, by, keep, new, expected) in [
            (&Seen::Absent, ReplaceBy::Backup, true, 300, 300),
            (&old, ReplaceBy::Backup, true, 300, 300 + 1000 + 1000),
            (&old, ReplaceBy::Backup, false, 300, 300 + 1000),
            (&old, ReplaceBy::Backup, true, 1500, 1500 + 1000 + 1000 + 500),
            (&old, ReplaceBy::Rename, true, 1500, 1500),
        ] {
            assert_eq!(needed(&settings(by, keep), seen, &incoming(new)), expected, "{by:?} {keep} {new}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_unless_a_warning_is_enough() {
        let mut entry = incoming(1);
        entry.facts.newer_format = Some("file format 3".into());
        let mut strict = settings(ReplaceBy::Backup, true);
        let mut notes = Vec::new();
        assert_eq!(guard_version(&strict, &entry, &mut notes).unwrap_err().reason, Reason::VersionTooNew);
        strict.version_guard_warn = true;
        guard_version(&strict, &entry, &mut notes).unwrap();
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn a_foreign_owner_is_told_where_it_would_not_be_kept() {
        let existing = Existing::for_test(1);
        for (by, keep, process, told) in [
            (ReplaceBy::Rename, true, 5, true),
            (ReplaceBy::Rename, true, 0, false),
            (ReplaceBy::Rename, true, 1000, false),
            (ReplaceBy::Backup, true, 5, true),
            (ReplaceBy::Backup, false, 5, false),
        ] {
            let note = owner_note(&settings(by, keep), &existing, process);
            assert_eq!(note.is_some(), told, "{by:?} {keep} {process}: {note:?}");
        }
    }
}

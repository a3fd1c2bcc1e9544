//! Files that runs leave beside a target: how to know them by name, and their removal.
//!
//! Only files of our own naming are ever removed, and of other runs only their shadows, while this
//! run holds the target's lock, so that no run is alive behind them. A held load waits for a person
//! and goes only by its name. Kept previous databases go when
//! the time in their name is over.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::files::{self, Place, SIDE_SUFFIXES, with_suffix};
use crate::runner::journal::Touched;

/// What a file beside a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftoverKind {
    /// What a run loaded and did not put in place, or a part of it; of no use once the run is dead.
    Shadow,
    /// What a run loaded and verified, and left for a person to switch to.
    Held,
    /// A database that a run replaced and kept.
    Previous,
}

/// A file beside a target that a run made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// The run's id for a shadow, that and a digest for a held load, the label for a previous database.
    pub label: String,
}

/// Whether `file` is a leftover of a run on the target `target` in the same folder, by its name.
pub fn leftover(target: &str, file: &str) -> Option<Leftover> {
    let found = |kind, label: &str| (!label.is_empty()).then(|| Leftover { kind, label: label.to_owned() });
    if let Some(label) = file.strip_prefix(target).and_then(|rest| rest.strip_prefix(".reinstate-previous-"))
    {
        return found(LeftoverKind::Previous, label);
    }
    let rest = file.strip_prefix('.')?.strip_prefix(target)?.strip_prefix(".reinstate-")?;
    if let Some(label) = rest.strip_suffix(".held") {
        return found(LeftoverKind::Held, label);
    }
    let rest = SIDE_SUFFIXES.iter().find_map(|suffix| rest.strip_suffix(suffix)).unwrap_or(rest);
    let run = rest.strip_suffix(".shadow").or_else(|| rest.strip_suffix(".part"))?;
    found(LeftoverKind::Shadow, run)
}

/// All leftovers of runs on the target `path` below `root`, with their paths, sorted.
pub fn leftovers(
    root: &std::path::Path,
    path: &str,
) -> crate::runner::fault::Result<Vec<(PathBuf, Leftover)>> {
    Ok(list(&files::place(root, path)?))
}

fn list(place: &Place) -> Vec<(PathBuf, Leftover)> {
    let target = place.name.to_string_lossy();
    let known = |name: &OsStr| leftover(&target, &name.to_string_lossy());
    // A folder that cannot be listed has no leftovers that could be told.
    let Ok(entries) = fs::read_dir(&place.folder) else { return Vec::new() };
    let mut all: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| known(&entry.file_name()).map(|leftover| (entry.path(), leftover)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// What a person should know of leftovers before the start.
pub(super) fn notes(place: &Place) -> Vec<String> {
    let note = |(path, leftover): (PathBuf, Leftover)| {
        let bytes = files::size(&path).unwrap_or(0);
        let name = files::show(path.file_name().unwrap_or_default());
        match leftover.kind {
            LeftoverKind::Shadow => {
                format!("a run that died left {name} ({bytes} bytes); it will be removed")
            }
            LeftoverKind::Held => format!("a load waits in {name} ({bytes} bytes) to be switched to"),
            LeftoverKind::Previous => format!("a previous database is kept in {name} ({bytes} bytes)"),
        }
    };
    list(place).into_iter().map(note).collect()
}

/// Removes the shadows of dead runs; the caller holds the target's lock. Gives back those that went;
/// one that cannot be removed is told again by the next survey.
pub(super) fn remove_dead(place: &Place) -> Vec<String> {
    let all = list(place).into_iter().filter(|(_, found)| found.kind == LeftoverKind::Shadow);
    all.filter(|(path, _)| files::remove(path).is_ok()).map(|(path, _)| path.display().to_string()).collect()
}

/// Between the time of the switch and the time of expiry in the label of a kept database.
const UNTIL: &str = "-until-";
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// The label of a database that is replaced at `now` and kept until `until`.
pub fn previous_label(now: Timestamp, until: Timestamp) -> String {
    // To the millisecond: two runs may replace the same target within a second.
    format!("{}{UNTIL}{}", now.strftime("%Y%m%dT%H%M%S.%3fZ"), until.strftime(STAMP))
}

/// Whether a kept database of this label may go at `now`. A label of another form never does.
fn is_expired(label: &str, now: Timestamp) -> bool {
    let until = label.split_once(UNTIL).map(|(_, until)| until);
    let until = until.and_then(|text| civil::DateTime::strptime(STAMP, text).ok());
    until.and_then(|time| TimeZone::UTC.to_timestamp(time).ok()).is_some_and(|until| until < now)
}

/// Removes kept databases whose time is over at `now`; the caller holds the target's lock.
pub(super) fn remove_expired(place: &Place, now: Timestamp) -> Vec<String> {
    let expired = |(_, found): &(PathBuf, Leftover)| {
        found.kind == LeftoverKind::Previous && is_expired(&found.label, now)
    };
    let all = list(place).into_iter().filter(expired);
    all.filter(|(path, _)| files::remove(path).is_ok()).map(|(path, _)| path.display().to_string()).collect()
}

/// Removes the copy that a failed switch kept of a target that was not touched; gives it back where
/// it stays.
pub(super) fn remove_kept(kept: &mut Option<PathBuf>, touched: Touched) -> Option<String> {
    // SAFETY OF RESTORE: beside a target that may be changed it is the only old database.
    if touched == Touched::No && kept.as_ref().is_none_or(|path| files::remove(path).is_ok()) {
        *kept = None;
    }
    kept.as_ref().map(|path| path.display().to_string())
}

/// Removes this run's own files and SQLite's beside them; gives back those that stay.
pub(super) fn remove_own(made: &mut Vec<PathBuf>) -> Vec<String> {
    let mut left = Vec::new();
    made.retain(|path| {
        let all = SIDE_SUFFIXES.iter().map(|suffix| with_suffix(path, suffix)).chain([path.clone()]);
        let stays: Vec<PathBuf> = all.filter(|path| files::remove(path).is_err()).collect();
        left.extend(stays.iter().map(|path| path.display().to_string()));
        !stays.is_empty()
    });
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_known_by_their_exact_names() {
        let shadow = |run: &str| Some(Leftover { kind: LeftoverKind::Shadow, label: run.into() });
        let previous = |label: &str| Some(Leftover { kind: LeftoverKind::Previous, label: label.into() });
        for (file, expected) in [
            (".app.db.reinstate-r1.shadow", shadow("r1")),
            (".app.db.reinstate-r1.shadow-journal", shadow("r1")),
            (".app.db.reinstate-r1.part", shadow("r1")),
            ("app.db.reinstate-previous-2026-11-23T01:00:00Z", previous("2026-11-23T01:00:00Z")),
            (
                ".app.db.reinstate-r1-0f.held",
                Some(Leftover { kind: LeftoverKind::Held, label: "r1-0f".into() }),
            ),
            (".app.db.reinstate-lock", None),
            (".app.db.reinstate-.shadow", None),
            (".app.db2.reinstate-r1.shadow", None),
            ("app.db", None),
            ("app.db-wal", None),
            ("other.app.db.reinstate-previous-1", None),
        ] {
            assert_eq!(leftover("app.db", file), expected, "{file}");
        }
    }

    #[test]
    fn a_kept_database_goes_with_a_failed_switch_only_where_the_target_is_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db.reinstate-previous-1");
        fs::write(&path, "old").unwrap();
        let mut kept = Some(path.clone());
        for touched in [Touched::Yes, Touched::Unknown] {
            assert_eq!(remove_kept(&mut kept, touched), Some(path.display().to_string()), "{touched:?}");
            assert!(path.exists(), "{touched:?}");
        }
        assert_eq!(remove_kept(&mut kept, Touched::No), None);
        assert!(!path.exists() && kept.is_none());
        // What cannot be removed is told.
        fs::create_dir(&path).unwrap();
        kept = Some(path.clone());
        assert_eq!(remove_kept(&mut kept, Touched::No), Some(path.display().to_string()));
    }

    #[test]
    fn a_kept_database_goes_only_after_the_time_in_its_own_name() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let label = previous_label(at("2026-11-23T04:00:00Z"), at("2026-11-24T04:00:00Z"));
        assert_eq!(label, "20261123T040000.000Z-until-20261124T040000Z");
        for (label, now, expired) in [
            (label.as_str(), "2026-11-24T04:00:00Z", false),
            (label.as_str(), "2026-11-24T04:00:01Z", true),
            ("20261123T040000Z", "2099-01-01T00:00:00Z", false),
            ("x-until-yesterday", "2099-01-01T00:00:00Z", false),
            ("-until-20261124T040000Z.bak", "2099-01-01T00:00:00Z", false),
        ] {
            assert_eq!(is_expired(label, at(now)), expired, "{label} at {now}");
        }
    }
}

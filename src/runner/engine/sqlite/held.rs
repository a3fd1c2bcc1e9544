//! Loads that outlive their run: one is left for a person to switch to, and a kept previous database
//! is loaded like a backup.
//!
//! The name of a held load carries a digest of its content, and the name comes back from outside the
//! volume. So what is switched to is what was verified, however long it waited.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context as Sha256, SHA256};

use super::discard::{LeftoverKind, leftover};
use super::files::{self, DIGEST_DIGITS, Place};
use super::scan_file::FileScanner;
use crate::reason::Reason;
use crate::runner::engine::{Context, Scanner};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat};
use crate::runner::pipe::BUFFER_BYTES;

/// Gives the verified shadow of run `run_id` a name that no other run removes.
pub(super) fn keep(place: &Place, run_id: &str, context: &Context) -> Result<String> {
    let shadow = place.shadow(run_id);
    let failed = |error| files::fault(Stage::Switch, &format!("failed to hold {}", shadow.display()), error);
    let file = files::open_regular(&shadow).map_err(failed)?;
    let entry = examine(&file, Stage::Switch, "holding what was loaded", context)?;
    file.sync_all().map_err(failed)?;
    let held = place.held(run_id, &digest(&entry));
    files::rename_no_replace(&shadow, &held).map_err(failed)?;
    files::sync_folder(&place.folder).map_err(failed)?;
    Ok(held.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// The held load `name`, if it is still what was verified.
pub(super) fn find(place: &Place, name: &str, context: &Context) -> Result<(PathBuf, DatabaseEntry)> {
    let path = sibling(place, name, LeftoverKind::Held)?;
    let gone = |error| {
        let message = format!("what was held as {name} cannot be read any more");
        Fault::new(Stage::Verify, Reason::VerificationFailed, message).caused_by(error)
    };
    let file = files::open_regular(&path).map_err(gone)?;
    let entry = examine(&file, Stage::Verify, "checking what was held", context)?;
    let expected = name.strip_suffix(".held").and_then(|name| name.rsplit_once('-'));
    if expected.is_none_or(|(_, expected)| expected != digest(&entry)) {
        let message = format!("{name} is not what was verified when it was held");
        return Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message));
    }
    Ok((path, entry))
}

/// Removes the held load `name`; gives back its path where it was there.
pub(super) fn remove(place: &Place, name: &str) -> Result<Option<String>> {
    let path = sibling(place, name, LeftoverKind::Held)?;
    let failed = |error| files::fault(Stage::CleanUp, &format!("failed to remove {}", path.display()), error);
    let there = files::look(&path).map_err(failed)?.is_some();
    files::remove(&path).map_err(failed)?;
    Ok(there.then(|| path.display().to_string()))
}

/// The kept previous database `name`, opened and looked at.
pub(super) fn previous(place: &Place, name: &str, context: &Context) -> Result<DatabaseEntry> {
    examine(&open_previous(place, name)?, Stage::Inspect, "reading the kept database", context)
}

/// Opens the kept previous database `name`; its path is as good as its name.
pub(super) fn open_previous(place: &Place, name: &str) -> Result<File> {
    let name = Path::new(name).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let path = sibling(place, name, LeftoverKind::Previous)?;
    files::open_regular(&path).map_err(|error| {
        let what = format!("failed to open the kept database {}", path.display());
        files::fault(Stage::Inspect, &what, error)
    })
}

/// A file of our naming beside the target; a name can lead nowhere else.
fn sibling(place: &Place, name: &str, kind: LeftoverKind) -> Result<PathBuf> {
    let known = leftover(&place.name.to_string_lossy(), name).is_some_and(|found| found.kind == kind);
    if !known || name.contains(['/', '\0']) {
        let message = format!("{name:?} is not the name of a {kind:?} of {}", files::show(&place.name));
        return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
    }
    Ok(place.folder.join(name))
}

/// The inventory of a database file that lies beside the target.
fn examine(mut file: &File, stage: Stage, what: &str, context: &Context) -> Result<DatabaseEntry> {
    let failed = |error| files::fault(stage, &format!("{what} failed"), error);
    let size = file.metadata().map_err(failed)?.len();
    context.progress.begin(stage, what, size);
    let (mut hash, mut scanner) = (Sha256::new(&SHA256), FileScanner::default());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        context.cancel.check(stage)?;
        let count = file.read(&mut buffer).map_err(failed)?;
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        hash.update(part);
        scanner.feed(part)?;
        bytes += count as u64;
        context.progress.advance(count as u64);
    }
    let facts = Box::new(scanner).finish()?;
    let sha256 = hash.finish().as_ref().try_into().unwrap_or_default();
    Ok(DatabaseEntry { name: None, format: DumpFormat::SQLiteFile, bytes, sha256, facts })
}

fn digest(entry: &DatabaseEntry) -> String {
    hex::encode(entry.sha256).chars().take(DIGEST_DIGITS).collect()
}

//! What backups a destination holds: stored objects paired with their `.meta.json` sidecars.
//!
//! The listing is the truth about what is stored, a sidecar about what was backed up. Nothing here
//! stops at a broken sidecar: it is one row that says what is wrong with it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::sidecar::{LIMIT_BYTES, Sidecar};
use crate::runner::format::dbackup::{INDEX_SUFFIX, SIDECAR_SUFFIX};
use crate::runner::source::{ListedObject, Store};

/// Most objects of one listing.
pub const LIMIT_OBJECTS: usize = 200_000;
/// Sidecars that are read at the same time.
const READERS: usize = 16;
/// Sidecars that may fail in a row because of the storage; the rest is then not tried any more.
const FAILURES_IN_ROW: usize = READERS;
/// Bytes of all sidecars of one listing: 200 000 of the usual size.
const TOTAL_LIMIT_BYTES: u64 = 256 << 20;
/// DBackup's backups of its own configuration, in the root of a destination.
const OWN_BACKUPS: &str = "config-backups/";

/// What is known from beside a backup.
#[derive(Debug)]
pub enum Beside {
    /// There is no sidecar.
    Nothing,
    /// The sidecar, read.
    Sidecar(Box<Sidecar>),
    /// There is a sidecar and it cannot be used.
    Unreadable(Fault),
}

/// One backup of a destination.
#[derive(Debug)]
pub struct Entry {
    /// Path below the destination's root.
    pub path: String,
    /// Stored bytes; `None`: there is a sidecar, but no data.
    pub size: Option<u64>,
    /// Last modification of the data.
    pub modified: Option<Timestamp>,
    /// What its sidecar says.
    pub beside: Beside,
}

impl Entry {
    /// The sidecar, where it could be read.
    pub fn sidecar(&self) -> Option<&Sidecar> {
        match &self.beside {
            Beside::Sidecar(sidecar) => Some(sidecar),
            Beside::Nothing | Beside::Unreadable(_) => None,
        }
    }

    /// When the backup was made, as its sidecar says.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.sidecar().and_then(|sidecar| sidecar.timestamp)
    }
}

/// The backups whose path starts with `prefix`, newest first by what their sidecars say.
pub fn backups(store: &dyn Store, prefix: &str) -> Result<Vec<Entry>> {
    let rows = pair(store.list(prefix, LIMIT_OBJECTS)?);
    let read = read_sidecars(store, &rows);
    let mut entries: Vec<Entry> = rows
        .into_iter()
        .zip(read)
        .map(|(row, beside)| Entry { path: row.path, size: row.size, modified: row.modified, beside })
        .collect();
    sort(&mut entries);
    Ok(entries)
}

/// Newest first; what has no sidecar's timestamp comes last, by its modification.
fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        (b.timestamp(), b.modified).cmp(&(a.timestamp(), a.modified)).then_with(|| a.path.cmp(&b.path))
    });
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    path: String,
    size: Option<u64>,
    modified: Option<Timestamp>,
    has_sidecar: bool,
}

/// Which objects are backups, and which of them have a sidecar.
fn pair(objects: Vec<ListedObject>) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let empty = |path: &str| Row { path: path.to_owned(), size: None, modified: None, has_sidecar: false };
    for object in objects {
        if object.path.starts_with(OWN_BACKUPS) {
            continue;
        }
        if let Some(path) = object.path.strip_suffix(SIDECAR_SUFFIX) {
            rows.entry(path.to_owned()).or_insert_with(|| empty(path)).has_sidecar = true;
        } else if !object.path.ends_with(INDEX_SUFFIX) {
            let row = rows.entry(object.path.clone()).or_insert_with(|| empty(&object.path));
            row.size = Some(object.size);
            row.modified = object.modified;
        }
    }
    rows.into_values().collect()
}

/// What is beside each row, in the order of the rows.
fn read_sidecars(store: &dyn Store, rows: &[Row]) -> Vec<Beside> {
    let next = AtomicUsize::new(0);
    let reading = Reading { store, bytes: AtomicU64::new(0), failures: AtomicUsize::new(0) };
    let found = Mutex::new(Vec::with_capacity(rows.len()));
    thread::scope(|scope| {
        for _ in 0..READERS.min(rows.len()) {
            scope.spawn(|| {
                while let Some((index, row)) = take(&next, rows) {
                    let beside = if row.has_sidecar { reading.read(&row.path) } else { Beside::Nothing };
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((index, beside));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, beside)| beside).collect()
}

fn take<'a>(next: &AtomicUsize, rows: &'a [Row]) -> Option<(usize, &'a Row)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    rows.get(index).map(|row| (index, row))
}

/// What the readers of sidecars share.
struct Reading<'a> {
    store: &'a dyn Store,
    bytes: AtomicU64,
    failures: AtomicUsize,
}

impl Reading<'_> {
    fn read(&self, path: &str) -> Beside {
        if self.failures.load(Ordering::Relaxed) >= FAILURES_IN_ROW {
            let message = format!("the sidecar of {path} was not asked for: the storage stopped answering");
            return Beside::Unreadable(Fault::new(Stage::Download, Reason::SourceUnavailable, message));
        }
        match self.try_read(path) {
            Ok(beside) => {
                self.failures.store(0, Ordering::Relaxed);
                beside
            }
            Err(fault) => {
                if fault.reason == Reason::SourceUnavailable {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                }
                Beside::Unreadable(fault)
            }
        }
    }

    fn try_read(&self, path: &str) -> Result<Beside> {
        // A sidecar that vanished since the listing is none.
        let Some(content) = self.store.read_small(&format!("{path}{SIDECAR_SUFFIX}"), LIMIT_BYTES)? else {
            return Ok(Beside::Nothing);
        };
        let length = content.len() as u64;
        if self.bytes.fetch_add(length, Ordering::Relaxed).saturating_add(length) > TOTAL_LIMIT_BYTES {
            let message = format!("the sidecars together have more than {TOTAL_LIMIT_BYTES} bytes");
            return Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, message));
        }
        Ok(Beside::Sidecar(Box::new(Sidecar::parse(&content)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::ops::Range;

    use super::*;
    use crate::runner::cancel::Cancel;
    use crate::runner::source::{Folder, ObjectStat, Pin};

    fn folder_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let folder = Folder::new(root.path());
        (root, folder)
    }

    #[test]
    fn every_backup_is_one_row_whatever_lies_beside_it() {
        let made_at = |day: u8| format!(r#"{{"version":1,"timestamp":"2026-11-{day:02}T00:00:00Z"}}"#);
        let (old, new) = (made_at(1), made_at(2));
        let (_root, folder) = folder_with(&[
            ("shop/old.sql", "data"),
            ("shop/old.sql.meta.json", &old),
            ("shop/new.tar", "more data"),
            ("shop/new.tar.meta.json", &new),
            ("shop/new.tar.index", "index"),
            ("shop/lost.sql.meta.json", &new),
            ("shop/broken.sql", "x"),
            ("shop/broken.sql.meta.json", "{"),
            ("shop/huge.sql", "x"),
            ("shop/huge.sql.meta.json", &" ".repeat(1 + usize::try_from(LIMIT_BYTES).unwrap())),
            ("plain.sql", "xyz"),
            ("config-backups/config_backup.json.gz", "x"),
            ("config-backups/config_backup.json.gz.meta.json", "x"),
        ]);
        let entries = backups(&folder, "").unwrap();
        let known: Vec<_> = entries.iter().take(3).map(|entry| (entry.path.as_str(), entry.size)).collect();
        assert_eq!(known, [("shop/new.tar", Some(9)), ("shop/lost.sql", None), ("shop/old.sql", Some(4))]);
        let mut rest: Vec<_> = entries
            .iter()
            .skip(3)
            .map(|entry| match &entry.beside {
                Beside::Unreadable(fault) => (entry.path.as_str(), Some(fault.reason)),
                Beside::Nothing => (entry.path.as_str(), None),
                Beside::Sidecar(sidecar) => panic!("{}: {sidecar:?}", entry.path),
            })
            .collect();
        rest.sort_unstable_by_key(|(path, _)| *path);
        assert_eq!(
            rest,
            [
                ("plain.sql", None),
                ("shop/broken.sql", Some(Reason::CorruptBackup)),
                ("shop/huge.sql", Some(Reason::LimitExceeded)),
            ]
        );
    }

    /// A storage that lists and then stops answering.
    struct Dying {
        asked: AtomicUsize,
    }

    impl Store for Dying {
        fn describe(&self) -> String {
            "dying".to_owned()
        }

        fn stat(&self, path: &str) -> Result<ObjectStat> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Err(Fault::new(Stage::Download, Reason::SourceUnavailable, format!("no answer for {path}")))
        }

        fn open(&self, _: &str, _: &Pin, _: Range<u64>, _: &Cancel) -> Result<Box<dyn Read + Send>> {
            unreachable!("nothing was looked at")
        }

        fn list(&self, _: &str, _: usize) -> Result<Vec<ListedObject>> {
            let row = |index: usize| ListedObject {
                path: format!("{index}.sql.meta.json"),
                size: 1,
                modified: None,
            };
            Ok((0..1_000).map(row).collect())
        }
    }

    #[test]
    fn a_storage_that_stops_answering_is_not_asked_a_thousand_times() {
        let store = Dying { asked: AtomicUsize::new(0) };
        let entries = backups(&store, "").unwrap();
        assert_eq!(entries.len(), 1_000);
        assert!(entries.iter().all(
            |entry| matches!(&entry.beside, Beside::Unreadable(fault) if fault.reason == Reason::SourceUnavailable)
        ));
        let asked = store.asked.load(Ordering::Relaxed);
        assert!(asked < 2 * READERS, "{asked}");
    }
}

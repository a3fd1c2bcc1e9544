//! The target of a restore, seen from its own side: by the kernel's log of its folder, by the counters
//! that SQLite keeps in the file, and by a reader that knows nothing of Reinstate.
//!
//! A write into an absent target is a file that gets its name: the kernel tells each one. A write over a
//! database is one transaction of SQLite's backup API. SQLite makes the `schema_version` of the target
//! grow by one with it, and under a rollback journal also the change counter in the file's header, with
//! it and with every other transaction. A transaction that was rolled back leaves both as they were. So
//! the two together count writes, and nothing of ours does.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// Rows of the database that is replaced.
const OLD_ROWS: u32 = 500;
/// Bytes of one row.
const ROW_BYTES: u32 = 3500;

/// A database with a name of its own in it, in the journal mode that `setup` sets.
pub(crate) fn make(path: &Path, setup: &str, mark: &str, rows: u32) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "{setup} CREATE TABLE mark(name); INSERT INTO mark VALUES('{mark}'); CREATE TABLE data(a INTEGER PRIMARY KEY, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows})
             INSERT INTO data SELECT i, randomblob({ROW_BYTES}) FROM n;"
        ))
        .unwrap();
    connection.close().unwrap();
}

/// What is at the target before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Absent,
    /// A database with a rollback journal.
    Rollback,
    /// A database with a write-ahead log.
    Wal,
}

/// A database as SQLite reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) mark: String,
    /// Of all rows.
    digest: String,
    schema_version: i64,
    /// Of the file's header.
    change_counter: u32,
}

impl Content {
    /// Reads all of it after SQLite's own recovery; one that is not whole fails the test.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        if !path.exists() {
            return None;
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        let text = |sql: &str| -> String { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(text("PRAGMA integrity_check"), "ok", "{}", path.display());
        let mark = text("SELECT name FROM mark");
        let schema_version = connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
        let mut digest = Context::new(&SHA256);
        let mut statement = connection.prepare("SELECT a, b FROM data ORDER BY a").unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            digest.update(&row.get::<_, i64>(0).unwrap().to_le_bytes());
            digest.update(row.get_ref(1).unwrap().as_blob().unwrap());
        }
        drop(rows);
        drop(statement);
        connection.close().unwrap();
        let header = std::fs::read(path).unwrap();
        let change_counter = u32::from_be_bytes(header[24..28].try_into().unwrap());
        let digest = hex::encode(digest.finish());
        Some(Self { mark, digest, schema_version, change_counter })
    }

    /// Whether both hold the same rows.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        (&self.mark, &self.digest) == (&other.mark, &other.digest)
    }
}

/// The kernel's log of a folder.
pub(crate) struct FolderLog(OwnedFd);

impl FolderLog {
    pub(crate) fn of(folder: &Path) -> Self {
        let log = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        inotify::add_watch(&log, folder, flags).unwrap();
        Self(log)
    }

    /// What happened since the last call: names of files that came to be, and that went.
    pub(crate) fn news(&self) -> Vec<(String, bool)> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(&self.0, &mut buffer);
        let mut news = Vec::new();
        while let Ok(event) = reader.next() {
            assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "the kernel's log is not whole");
            let Some(name) = event.file_name() else { continue };
            let came = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            news.push((name.to_str().unwrap().to_owned(), came));
        }
        news
    }
}

/// One target in a volume.
pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) start: Start,
    /// The database that was there.
    pub(crate) old: Option<Content>,
    new: Content,
}

/// What was found after a run.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// How often the target was written.
    pub(crate) writes: i64,
    /// Kept copies of the old database.
    pub(crate) kept: usize,
    pub(crate) content: Option<Content>,
}

impl Target {
    /// Puts what `start` says at `path`. `new` is what the backup holds.
    pub(crate) fn prepare(path: PathBuf, start: Start, new: &Content) -> Self {
        match start {
            Start::Absent => {}
            Start::Rollback => make(&path, "", "old", OLD_ROWS),
            Start::Wal => make(&path, "PRAGMA journal_mode=WAL;", "old", OLD_ROWS),
        }
        let old = Content::read(&path);
        Self { path, start, old, new: new.clone() }
    }

    /// Whether it holds the backup's database, and not the old one.
    pub(crate) fn is_new(&self, found: &Found) -> bool {
        found.content.as_ref().is_some_and(|content| content.equals(&self.new))
    }

    /// Looks at the target. `news` is the kernel's log since it was prepared. What can never be fails
    /// here: a target that is neither the old nor the new database, or whose counters say otherwise.
    pub(crate) fn look(&self, news: &[(String, bool)]) -> Found {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        let content = Content::read(&self.path);
        let count = |came| news.iter().filter(|it| it.0 == name && it.1 == came).count();
        let (made, gone) = (count(true), count(false));
        assert_eq!(gone, 0, "the target never goes: {news:?}");
        assert!(made == 0 || self.start == Start::Absent, "the file of a database stays: {news:?}");
        // What a new file brings along is the backup's count, else it is that of the old database.
        let base = self.old.as_ref().unwrap_or(&self.new);
        let replaced = content.as_ref().map_or(0, |content| content.schema_version - base.schema_version);
        let writes = i64::try_from(made).unwrap() + replaced;
        if let Some(content) = content.as_ref().filter(|_| self.start != Start::Wal) {
            let committed = i64::from(content.change_counter) - i64::from(base.change_counter);
            assert_eq!(committed, replaced, "SQLite counts another transaction");
        }
        let found = Found { writes, kept: self.kept(name), content };
        let is_old = match (&found.content, &self.old) {
            (Some(content), Some(old)) => content.equals(old),
            (content, old) => content.is_none() && old.is_none(),
        };
        assert_eq!((is_old, self.is_new(&found)), (writes == 0, writes > 0), "{found:?}");
        found
    }

    /// Kept copies of the old database; each is whole.
    fn kept(&self, name: &str) -> usize {
        let prefix = format!("{name}.reinstate-previous-");
        let files = self.path.parent().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().path());
        let kept = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix));
        kept.filter(|path| {
            !path.to_str().unwrap().ends_with("-wal") && !path.to_str().unwrap().ends_with("-shm")
        })
        .map(|path| {
            let (copy, old) = (Content::read(&path).unwrap(), self.old.as_ref().unwrap());
            assert!(copy.equals(old), "{} is not the old database", path.display());
        })
        .count()
    }
}

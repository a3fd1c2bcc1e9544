//! What the tests of the SQLite engine share: a target, a backup, one whole restore.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::parts::only;
use aws_lc_rs::digest::{SHA256, digest};
use reinstate::runner::engine::sqlite::{Integrity, ReplaceBy, Sqlite, SqliteTarget};
use reinstate::runner::engine::{Context, Engine, Findings, Previous, Survey, Verified, scanner};
use reinstate::runner::fault::Result;
use reinstate::runner::inventory::{DatabaseEntry, DumpFormat};
use rusqlite::Connection;

/// A folder with a target path in it.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) settings: SqliteTarget,
    pub(super) context: Context,
}

/// What a whole restore gave.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) survey: Survey,
    pub(super) findings: Findings,
    pub(super) verified: Verified,
    pub(super) previous: Option<Previous>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        Self { folder, settings, context: Context::default() }
    }

    pub(super) fn target(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// Makes the target with `sql`.
    pub(super) fn existing(self, sql: &str) -> Self {
        make(&self.target(), sql);
        self
    }

    pub(super) fn engine(&self) -> Sqlite {
        Sqlite::new(self.settings.clone(), self.context.clone())
    }

    pub(super) fn restore(&self, backup: &Backup) -> Result<Outcome> {
        let mut engine = self.engine();
        let outcome = restore(&mut engine, backup);
        assert_eq!(engine.discard(), Vec::<String>::new());
        outcome
    }

    /// Names of all files in the folder, sorted.
    pub(super) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(super) fn settings(root: &Path) -> SqliteTarget {
    SqliteTarget {
        root: root.to_owned(),
        path: "app.db".into(),
        name: "app.db".into(),
        replace_by: ReplaceBy::Backup,
        keep_previous: Some("2026-11-23T01:00:00Z".into()),
        run_id: "run-1".into(),
        sessions_timeout: Duration::from_secs(20),
        version_guard_warn: false,
        integrity: Integrity::Full,
    }
}

/// All steps of a run in their order.
pub(super) fn restore(engine: &mut Sqlite, backup: &Backup) -> Result<Outcome> {
    let survey = engine.survey()?.remove(0);
    let findings = engine.preflight(only(&backup.entry))?;
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice())?;
    let verified = engine.verify(only(&backup.entry))?;
    let previous = engine.switch()?.remove(0);
    Ok(Outcome { survey, findings, verified, previous })
}

/// A decoded dump with its inventory.
pub(super) struct Backup {
    pub(super) bytes: Vec<u8>,
    pub(super) entry: DatabaseEntry,
}

impl Backup {
    pub(super) fn new(format: DumpFormat, bytes: Vec<u8>) -> Result<Self> {
        let mut reader = scanner(format).unwrap();
        for piece in bytes.chunks(1000) {
            reader.feed(piece)?;
        }
        let facts = reader.finish()?;
        let sha256 = digest(&SHA256, &bytes).as_ref().try_into().unwrap();
        let entry = DatabaseEntry { name: None, format, bytes: bytes.len() as u64, sha256, facts };
        Ok(Self { bytes, entry })
    }

    pub(super) fn dump(text: &str) -> Self {
        Self::new(DumpFormat::SQLiteDump, text.into()).unwrap()
    }

    pub(super) fn file(bytes: Vec<u8>) -> Self {
        Self::new(DumpFormat::SQLiteFile, bytes).unwrap()
    }

    /// The database file that `sql` makes.
    pub(super) fn of(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source.db");
        make(&path, sql);
        Self::file(std::fs::read(path).unwrap())
    }
}

pub(super) fn make(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
}

/// One value of a database.
pub(super) fn value<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Every object and every row of a database, in an order of its own, as text.
pub(super) fn content(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut all = rows(&connection, "SELECT type, name, tbl_name, sql FROM sqlite_schema");
    for table in names(&connection) {
        let quoted = table.replace('"', "\"\"");
        let of_table = rows(&connection, &format!("SELECT * FROM \"{quoted}\""));
        all.extend(of_table.into_iter().map(|row| format!("{table}: {row}")));
    }
    all.sort();
    all
}

fn names(connection: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_stat4'";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(std::result::Result::unwrap).collect()
}

fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    statement
        .query_map([], |row| {
            let values: Vec<String> =
                (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
            Ok(values.join("|"))
        })
        .unwrap()
        .map(std::result::Result::unwrap)
        .collect()
}

pub(super) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

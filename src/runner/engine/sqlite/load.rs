//! Loads a decoded backup into a new file beside the target, never into the target.
//!
//! A database file is written and read back before SQLite opens it. Dump text is run statement by
//! statement into a fresh database, under an authorizer, in one transaction.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use aws_lc_rs::digest::{Context as Sha256, SHA256};
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, params_from_iter};

use super::authorize::authorize;
use super::budget;
use super::connect::{self, Access, quote};
use super::files;
use super::grammar::{Statement, is_reserved};
use super::read::{Found, STATEMENT_LIMIT_BYTES, Statements, read_fault};
use super::values;
use super::vtab::VirtualTable;
use crate::reason::Reason;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DatabaseEntry;
use crate::runner::pipe::BUFFER_BYTES;

/// Least limit for one value, so that small dumps may still hold computed columns.
const LEAST_LENGTH_LIMIT: i32 = 16 * 1024 * 1024;
/// Where tables wait that must make room for a virtual table's own.
const ASIDE: &str = "reinstate_aside";
/// Settings of the private file: nothing but this process reads it before it is synced.
const PRIVATE: &str = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE; \
                       PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON; PRAGMA cache_size=-16384;";

/// A dump's reader that tells progress and heeds a cancel.
pub(super) struct Told<'a> {
    inner: &'a mut dyn Read,
    context: &'a Context,
}

impl<'a> Told<'a> {
    pub(super) fn new(inner: &'a mut dyn Read, context: &'a Context) -> Self {
        Self { inner, context }
    }
}

impl Read for Told<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.context.cancel.check(Stage::Restore).map_err(Fault::into_io)?;
        let count = self.inner.read(target)?;
        self.context.progress.advance(count as u64);
        Ok(count)
    }
}

fn file_fault(path: &Path, error: io::Error) -> Fault {
    files::fault(Stage::Restore, &format!("failed to write {}", path.display()), error)
}

/// Writes a database file and proves by its hash that it is the one of pass 1.
pub(super) fn database_file(shadow: &Path, incoming: &DatabaseEntry, dump: &mut dyn Read) -> Result<()> {
    let mut file = files::create_new(shadow).map_err(|error| file_fault(shadow, error))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hash = Sha256::new(&SHA256);
    let mut bytes = 0_u64;
    loop {
        let count = match dump.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(read_fault)?,
        };
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        bytes += count as u64;
        if bytes > incoming.bytes {
            return Err(changed());
        }
        hash.update(part);
        file.write_all(part).map_err(|error| file_fault(shadow, error))?;
    }
    if bytes != incoming.bytes || hash.finish().as_ref() != incoming.sha256 {
        return Err(changed());
    }
    file.sync_all().map_err(|error| file_fault(shadow, error))?;
    if hash_file(&mut file).map_err(|error| file_fault(shadow, error))? != incoming.sha256 {
        let message = format!("what was written to {} reads back differently", shadow.display());
        return Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message));
    }
    Ok(())
}

fn changed() -> Fault {
    let message = "the second reading of the backup gave other bytes than the first";
    Fault::new(Stage::Restore, Reason::SourceChanged, message)
}

fn hash_file(file: &mut File) -> io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new(&SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    hash.finish().as_ref().try_into().map_err(io::Error::other)
}

/// Runs the statements of a dump into a new database of `page_size` bytes per page.
/// Gives back what a person should know.
pub(super) fn dump_text(
    shadow: &Path,
    page_size: Option<u32>,
    incoming: &DatabaseEntry,
    context: &Context,
    dump: &mut dyn Read,
) -> Result<Vec<String>> {
    let file = files::create_new(shadow).map_err(|error| file_fault(shadow, error))?;
    let setup = |error: &rusqlite::Error| sql_fault("failed to prepare the new database", error);
    let mut connection = connect::open(shadow, Access::Write).map_err(|error| setup(&error))?;
    prepare(&mut connection, shadow, page_size, incoming).map_err(|error| setup(&error))?;
    let limit = limit_growth(&connection, shadow, incoming).map_err(|error| setup(&error))?;
    connect::heed(&mut connection, &context.cancel).map_err(|error| setup(&error))?;
    let mut loader = Loader { connection, shadows: BTreeSet::new(), skipped: BTreeSet::new() };
    loader.guard(true)?;
    let mut statements = Statements::new(dump);
    while let Some(found) = statements.advance()? {
        loader.run(&found, statements.text()).map_err(|fault| budget::judge(fault, limit, shadow))?;
    }
    context.cancel.check(Stage::Restore)?;
    let notes = loader.finish().map_err(|fault| budget::judge(fault, limit, shadow))?;
    file.sync_all().map_err(|error| file_fault(shadow, error))?;
    Ok(notes)
}

/// Keeps the database of a hostile dump from filling the volume; gives the limit in bytes.
fn limit_growth(connection: &Connection, shadow: &Path, incoming: &DatabaseEntry) -> rusqlite::Result<u64> {
    let folder = shadow.parent().unwrap_or_else(|| Path::new("."));
    let limit = budget::bytes(incoming.bytes, files::free_bytes(folder).unwrap_or(u64::MAX));
    let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = budget::pages(limit, page_size);
    connection.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()))?;
    Ok(limit)
}

fn sql_fault(what: &str, error: &rusqlite::Error) -> Fault {
    connect::fault(Stage::Restore, Reason::RestoreFailed, what, error)
}

fn prepare(
    connection: &mut Connection,
    shadow: &Path,
    page_size: Option<u32>,
    incoming: &DatabaseEntry,
) -> rusqlite::Result<()> {
    if let Some(size) = page_size {
        connection.execute_batch(&format!("PRAGMA page_size={size};"))?;
    }
    connection.execute_batch(PRIVATE)?;
    // Sorting for an index may need more than memory should hold; what it writes is deleted at once,
    // and lies on the target's own volume. Elsewhere the backup's plain text must not go.
    let store = match shadow.parent().and_then(Path::to_str) {
        Some(folder) => {
            let folder = folder.replace('\'', "''");
            format!("PRAGMA temp_store_directory='{folder}'; PRAGMA temp_store=FILE;")
        }
        None => "PRAGMA temp_store=MEMORY;".to_owned(),
    };
    connection.execute_batch(&store)?;
    let largest =
        i32::try_from(incoming.facts.largest_statement.min(STATEMENT_LIMIT_BYTES)).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, largest.max(LEAST_LENGTH_LIMIT))?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // Writes the first page, so that even a dump of nothing gives a database.
    connection.execute_batch("BEGIN; PRAGMA user_version=1; PRAGMA user_version=0;")
}

struct Loader {
    connection: Connection,
    /// Tables that virtual tables have already made, in lower case.
    shadows: BTreeSet<Vec<u8>>,
    /// Statistics tables of other versions of SQLite, which were left out.
    skipped: BTreeSet<String>,
}

impl Loader {
    /// Asks the authorizer for each statement, or stops asking for statements of our own.
    fn guard(&mut self, on: bool) -> Result<()> {
        let hook = on.then_some(|context: AuthContext<'_>| -> Authorization { authorize(&context) });
        self.connection.authorizer(hook).map_err(|error| sql_fault("failed to set the authorizer", &error))
    }

    fn run(&mut self, found: &Found, text: &[u8]) -> Result<()> {
        let line = found.line;
        match &found.statement {
            // The load's own transaction and settings stand for these.
            Statement::Pragma | Statement::Begin | Statement::Commit | Statement::Empty => Ok(()),
            Statement::Rollback => Err(line_fault(line, Reason::IncompleteDump, "is a ROLLBACK")),
            Statement::Table(name) if self.shadows.contains(&name.to_ascii_lowercase()) => Ok(()),
            Statement::Table(_) | Statement::Other(..) | Statement::Analyze => self.execute(text, line),
            Statement::CreateSequence => self.ensure_sequence(),
            Statement::ClearSequence => {
                if self.has_table("sqlite_sequence")? {
                    self.execute(text, line)
                } else {
                    Ok(())
                }
            }
            Statement::Insert(table, _) => self.insert(table, text, line),
            Statement::VirtualTable(table) => self.virtual_table(table, line),
        }
    }

    fn execute(&self, text: &[u8], line: u64) -> Result<()> {
        let sql = std::str::from_utf8(text)
            .map_err(|_| line_fault(line, Reason::UnsupportedFormat, "holds text that is not UTF-8"))?;
        self.connection
            .prepare(sql)
            .and_then(|mut statement| statement.execute([]))
            .map_err(|error| line_error(line, &error))?;
        Ok(())
    }

    fn insert(&mut self, table: &[u8], text: &[u8], line: u64) -> Result<()> {
        if is_reserved(table) {
            let name = String::from_utf8_lossy(table).to_ascii_lowercase();
            if name == "sqlite_sequence" {
                self.ensure_sequence()?;
            } else if !self.has_table(&name)? {
                self.skipped.insert(name);
                return Ok(());
            }
        }
        let Some(insert) = values::parse(text) else {
            return self.execute(text, line);
        };
        let head = insert.head;
        for row in insert {
            let marks = vec!["?"; row.len()].join(",");
            self.connection
                .prepare_cached(&format!("{head}({marks})"))
                .and_then(|mut statement| statement.execute(params_from_iter(row)))
                .map_err(|error| line_error(line, &error))?;
        }
        Ok(())
    }

    fn has_table(&self, name: &str) -> Result<bool> {
        self.connection
            .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type='table' AND lower(name)=lower(?1)")
            .and_then(|mut statement| statement.exists([name]))
            .map_err(|error| sql_fault("failed to read the new database's schema", &error))
    }

    /// Runs statements of our own, which the authorizer would deny the dump.
    fn own(&mut self, sql: &str, line: u64) -> Result<()> {
        self.guard(false)?;
        let result = self.connection.execute_batch(sql).map_err(|error| line_error(line, &error));
        self.guard(true)?;
        result
    }

    /// SQLite makes `sqlite_sequence` with the first AUTOINCREMENT table, and only so.
    fn ensure_sequence(&mut self) -> Result<()> {
        if self.has_table("sqlite_sequence")? {
            return Ok(());
        }
        let sql = format!("CREATE TABLE {ASIDE}(a INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE {ASIDE};");
        self.own(&sql, 0)
    }

    /// Creates a virtual table and empties the tables it made, which the dump fills.
    ///
    /// In the dump of a vacuumed database those tables come first: they are moved aside, and their
    /// rows into the new ones.
    fn virtual_table(&mut self, table: &VirtualTable, line: u64) -> Result<()> {
        let mut moved = Vec::new();
        for (at, suffix) in table.shadows.iter().enumerate() {
            let name = format!("{}{suffix}", table.name);
            if self.has_table(&name)? {
                let aside = format!("{ASIDE}_{at}");
                self.own(&format!("ALTER TABLE {} RENAME TO {aside};", quote(&name)), line)?;
                moved.push((name, aside));
            }
        }
        self.execute(table.sql.as_bytes(), line)?;
        for suffix in table.shadows {
            let name = format!("{}{suffix}", table.name);
            if self.has_table(&name)? {
                self.own(&format!("DELETE FROM {};", quote(&name)), line)?;
                self.shadows.insert(name.to_ascii_lowercase().into_bytes());
            }
        }
        for (name, aside) in moved {
            let name_sql = quote(&name);
            let back = if self.has_table(&name)? {
                format!("INSERT INTO {name_sql} SELECT * FROM {aside}; DROP TABLE {aside};")
            } else {
                format!("ALTER TABLE {aside} RENAME TO {name_sql};")
            };
            self.own(&back, line)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<String>> {
        self.guard(false)?;
        let ended = self.connection.execute_batch("COMMIT; PRAGMA temp_store_directory='';");
        ended.map_err(|error| sql_fault("failed to commit the load", &error))?;
        let closed = self.connection.close();
        closed.map_err(|(_, error)| sql_fault("failed to close the new database", &error))?;
        let note = |name| {
            format!("{name} of another version of SQLite was left out: it only helps the query planner")
        };
        Ok(self.skipped.into_iter().map(note).collect())
    }
}

fn line_error(line: u64, error: &rusqlite::Error) -> Fault {
    sql_fault(&format!("failed to run the statement in line {line} of the dump"), error)
}

fn line_fault(line: u64, reason: Reason, what: &str) -> Fault {
    Fault::new(Stage::Restore, reason, format!("the statement in line {line} of the dump {what}"))
}

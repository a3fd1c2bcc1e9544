//! The quick look at the target: its rights, its lock, what it holds. Nothing of it is written, not
//! even by SQLite's own recovery, which is left to the switch.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::ffi::{SQLITE_READONLY_CANTINIT, SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK};
use rusqlite::{Connection, Error, ErrorCode};

use super::connect::{self, Access, quote};
use super::files::{self, Lock, Place};
use super::scan_file::{HEADER_BYTES, Header};
use super::verify::table_names;
use crate::reason::Reason;
use crate::runner::engine::{Action, Context, Holds, Survey};
use crate::runner::fault::{Fault, Result, Stage};

/// Steps of SQLite's virtual machine that counting the old rows may take, some seconds; beyond it
/// the planner's statistics are asked, or nothing is said.
const COUNT_BUDGET_STEPS: u64 = 100_000_000;
const STEPS_PER_LOOK: i32 = 10_000;

/// The target as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing is there.
    Absent,
    /// A file is there.
    File(Existing),
}

/// An existing target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Existing {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) bytes: u64,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) links: u64,
    /// The header; `None` for a file of 0 bytes, which is an empty database.
    pub(super) header: Option<Header>,
    /// What it holds; `None` where it holds no object of any kind.
    pub(super) holds: Option<Holds>,
}

impl Seen {
    /// Bytes per page of the existing database, which the new one should share.
    pub(super) fn page_size(&self) -> Option<u32> {
        match self {
            Self::File(Existing { header: Some(header), .. }) => Some(header.page_size),
            Self::File(_) | Self::Absent => None,
        }
    }

    pub(super) fn survey(&self, name: &str) -> Survey {
        let (holds, plan_identity) = match self {
            Self::Absent => (None, "absent".to_owned()),
            Self::File(file) => (file.holds.clone(), file.plan_identity()),
        };
        Survey {
            target: name.to_owned(),
            action: if holds.is_some() { Action::Swap } else { Action::Create },
            holds,
            version: Some(rusqlite::version().to_owned()),
            plan_identity,
            server_identity: None,
        }
    }
}

impl Existing {
    /// A person decides on the database of this name, not on its rows of that moment: a live one gets
    /// new rows all the time. Another file under the name is another database. The device's number is
    /// left out: each node and each mount has its own for the same volume.
    fn plan_identity(&self) -> String {
        format!("file {}", self.inode)
    }
}

fn corrupt(message: String) -> Fault {
    Fault::new(Stage::Preflight, Reason::TargetCorrupt, message)
}

/// Whether this process may write where it has to.
pub(super) fn check_rights(place: &Place) -> Result<()> {
    let denied = |what: String, error| files::fault(Stage::Preflight, &what, error);
    let folder = &place.folder;
    files::may_write(folder, true).map_err(|error| {
        denied(format!("this process may not create files in {}", folder.display()), error)
    })?;
    let target = place.target();
    match files::look(&target) {
        Ok(Some(_)) => files::may_write(&target, false)
            .map_err(|error| denied(format!("this process may not write {}", target.display()), error)),
        Ok(None) => Ok(()),
        Err(error) => Err(denied(format!("failed to look at {}", target.display()), error)),
    }
}

/// Takes the target's lock for this run.
pub(super) fn take_lock(place: &Place) -> Result<Lock> {
    let path = place.lock();
    let lock = Lock::take(&path).map_err(|error| {
        files::fault(Stage::Preflight, &format!("failed to lock {}", path.display()), error)
    })?;
    lock.ok_or_else(|| {
        let message = format!("another restore holds the lock {}", path.display());
        Fault::new(Stage::Preflight, Reason::TargetLocked, message)
    })
}

/// Looks at the target; gives notes for people too.
pub(super) fn look(place: &Place, context: &Context) -> Result<(Seen, Vec<String>)> {
    let target = place.target();
    let failed =
        |error| files::fault(Stage::Preflight, &format!("failed to look at {}", target.display()), error);
    let mut notes = super::discard::notes(place);
    let Some(metadata) = files::look(&target).map_err(failed)? else {
        refuse_orphans(place, &["-journal", "-wal"])?;
        return Ok((Seen::Absent, notes));
    };
    if !metadata.is_file() {
        let message = format!("{} is no regular file (links are not followed)", target.display());
        return Err(Fault::new(Stage::Preflight, Reason::InvalidSpec, message));
    }
    let header = match read_header(&File::open(&target).map_err(failed)?).map_err(failed)? {
        None if metadata.len() > 0 => {
            let message =
                format!("{} has only {} bytes and is no database", target.display(), metadata.len());
            return Err(corrupt(message));
        }
        None => {
            refuse_orphans(place, &["-wal"])?;
            None
        }
        Some(header) => {
            let parsed = Header::parse(&header);
            Some(parsed.map_err(|what| corrupt(format!("the existing file {} {what}", target.display())))?)
        }
    };
    let mut existing = Existing {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        links: metadata.nlink(),
        holds: None,
        header,
    };
    if let Some(header) = &existing.header {
        existing.holds = look_inside(place, header.wal, context, &mut notes)?;
    }
    Ok((Seen::File(existing), notes))
}

/// The first bytes of a database file; `None` where it has fewer.
pub(super) fn read_header(file: &File) -> io::Result<Option<[u8; HEADER_BYTES]>> {
    let mut header = [0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(Some(header)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Side files without their database: SQLite would play them into whatever file takes its name.
pub(super) fn refuse_orphans(place: &Place, suffixes: &[&str]) -> Result<()> {
    for suffix in suffixes {
        let side = place.side(suffix);
        let bytes = files::size(&side).map_err(|error| {
            files::fault(Stage::Preflight, &format!("failed to look at {}", side.display()), error)
        })?;
        if bytes > 0 {
            let message = format!(
                "{} ({bytes} bytes) lies there without its database; SQLite would play it into the new one",
                side.display()
            );
            return Err(corrupt(message));
        }
    }
    Ok(())
}

fn look_inside(
    place: &Place,
    wal: bool,
    context: &Context,
    notes: &mut Vec<String>,
) -> Result<Option<Holds>> {
    let target = place.target();
    let failed =
        |error| files::fault(Stage::Preflight, &format!("failed to look at {}", target.display()), error);
    let wal_bytes = if wal { files::size(&place.side("-wal")).map_err(failed)? } else { 0 };
    let open_log = wal_bytes > 0 && files::look(&place.side("-shm")).map_err(failed)?.is_some();
    // Reading a WAL database makes side files unless they are there; without them nobody uses it.
    let access = if wal && !open_log { Access::Immutable } else { Access::Read };
    let bytes = files::size(&target).map_err(failed)? + wal_bytes;
    let unknown = Holds { tables: None, rows_estimate: None, bytes };
    if wal_bytes > 0 && !open_log {
        notes.push(format!(
            "{} has a write-ahead log that an application left; SQLite recovers it at the switch, until then its content is not counted",
            target.display()
        ));
        return Ok(Some(unknown));
    }
    let inside = connect::open(&target, access).and_then(|mut connection| count(&mut connection, context));
    match inside {
        Ok((0, ..)) => Ok(None),
        Ok((_, tables, rows)) => Ok(Some(Holds { tables: Some(tables), rows_estimate: rows, bytes })),
        Err(error) if needs_recovery(&error) => {
            notes.push(format!(
                "{} has a transaction that an application left unfinished; SQLite rolls it back at the switch, until then its content is not counted",
                target.display()
            ));
            Ok(Some(unknown))
        }
        Err(error) if connect::is_busy(&error) => {
            notes.push(format!(
                "{} is locked by an application, so its content was not counted",
                target.display()
            ));
            Ok(Some(unknown))
        }
        Err(error) => {
            context.cancel.check(Stage::Preflight)?;
            let what = format!("failed to read the existing database {}", target.display());
            Err(connect::fault(Stage::Preflight, Reason::TargetCorrupt, &what, &error))
        }
    }
}

fn needs_recovery(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else { return false };
    [SQLITE_READONLY_ROLLBACK, SQLITE_READONLY_RECOVERY, SQLITE_READONLY_CANTINIT]
        .contains(&failure.extended_code)
        || failure.code == ErrorCode::CannotOpen
}

/// Objects of any kind, tables, and rows as far as they can be counted or estimated.
fn count(connection: &mut Connection, context: &Context) -> rusqlite::Result<(u64, u64, Option<u64>)> {
    let objects = objects(connection)?;
    let names = names(connection)?;
    let spent = Arc::new(AtomicU64::new(0));
    let (cancel, meter) = (context.cancel.clone(), Arc::clone(&spent));
    let step = u64::from(STEPS_PER_LOOK.unsigned_abs());
    connection.progress_handler(
        STEPS_PER_LOOK,
        Some(move || cancel.is_cancelled() || meter.fetch_add(step, Ordering::Relaxed) > COUNT_BUDGET_STEPS),
    )?;
    let mut rows = Some(0_u64);
    for name in &names {
        let counted = count_or_estimate(connection, name);
        rows = rows.zip(counted).map(|(sum, more)| sum.saturating_add(more));
    }
    Ok((objects, names.len() as u64, rows))
}

fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    // The fault would name the loaded database; here only SQLite's own error counts.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(table_names(connection).unwrap_or_default())
}

fn count_or_estimate(connection: &Connection, name: &str) -> Option<u64> {
    let exact = connection
        .query_row(&format!("SELECT count(*) FROM {}", quote(name)), [], |row| row.get::<_, i64>(0));
    if let Ok(rows) = exact {
        return Some(rows.unsigned_abs());
    }
    // The first number of `stat` is the rows of the table when ANALYZE ran.
    let sql = "SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE lower(tbl)=lower(?1)";
    let estimate: Option<i64> = connection.query_row(sql, [name], |row| row.get(0)).ok()?;
    estimate.map(i64::unsigned_abs)
}

/// Objects of any kind that an application made.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

#[cfg(test)]
impl Existing {
    /// A target of `bytes` in rollback-journal mode, owned by user 1000.
    pub(super) fn for_test(bytes: u64) -> Self {
        Self {
            device: 1,
            inode: 2,
            bytes,
            mode: 0o640,
            owner: (1000, 1000),
            links: 1,
            header: None,
            holds: Some(Holds { tables: Some(1), rows_estimate: None, bytes }),
        }
    }
}

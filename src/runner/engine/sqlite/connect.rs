//! Connections with settings that fit content nobody vouches for, and SQLite's errors as faults.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Stage};

/// Steps of SQLite's virtual machine between two looks at the cancel flag.
const STEPS_PER_LOOK: i32 = 10_000;
/// Settings that read nothing of the file. Nothing in the schema may call functions with side effects; cells are checked when pages are read.
const WARY: &str = "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;";

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To read a file that nobody changes: no locks, no side files looked at or made.
    Immutable,
    /// To read beside applications.
    Read,
    /// To write; the file must be there.
    Write,
}

/// Opens the database at `path`, which holds no symbolic link.
pub(super) fn open(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let rights = match access {
        Access::Immutable | Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let flags = rights
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(uri(path, access), flags)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.execute_batch(WARY)?;
    Ok(connection)
}

/// Ends long statements of this connection when the run is cancelled.
pub(super) fn heed(connection: &mut Connection, cancel: &Cancel) -> rusqlite::Result<()> {
    let cancel = cancel.clone();
    connection.progress_handler(STEPS_PER_LOOK, Some(move || cancel.is_cancelled()))
}

fn uri(path: &Path, access: Access) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str(match access {
        Access::Immutable => "?immutable=1",
        // A log's index is only looked at: making or mending one is a write.
        Access::Read => "?readonly_shm=1",
        Access::Write => "",
    });
    uri
}

/// A name as SQL, whatever is in it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// SQLite's own words, without the statement, which may hold data.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) | Error::SqlInputError { msg: message, .. } => message.clone(),
        Error::MultipleStatement => "more than one statement where one was read".into(),
        other => other.to_string(),
    }
}

/// SQLite's code of an error, where it has one.
pub(super) fn code(error: &Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// Whether another connection is in the way.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(code(error), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the authorizer denied the statement; for functions SQLite has no code of its own.
pub(super) fn is_denied(error: &Error) -> bool {
    code(error) == Some(ErrorCode::AuthorizationForStatementDenied)
        || words(error).starts_with("not authorized")
}

/// Whether the file is damaged or no database.
pub(super) fn is_corrupt(error: &Error) -> bool {
    matches!(code(error), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The fault for an error of SQLite; `usual` is the reason where its code says nothing better.
pub(super) fn fault(stage: Stage, usual: Reason, what: &str, error: &Error) -> Fault {
    let words = words(error);
    let reason = match code(error) {
        _ if is_denied(error) => Reason::UnsafeContent,
        Some(ErrorCode::DiskFull) => Reason::NoRoom,
        Some(ErrorCode::OperationInterrupted) => Reason::Interrupted,
        Some(ErrorCode::TooBig) => Reason::LimitExceeded,
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Reason::PermissionDenied,
        _ => usual,
    };
    Fault::new(stage, reason, what).caused_by(words)
}

/// The fault of a statement that the run's own flag ended, by what set the flag: it may be the deadline.
pub(super) fn by_flag(fault: Fault, cancel: &Cancel) -> Fault {
    if fault.reason != Reason::Interrupted {
        return fault;
    }
    cancel.check(fault.stage).err().unwrap_or(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_open_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b?mode=rw#x%41'\".db");
        std::fs::write(&path, "").unwrap();
        let connection = open(&path, Access::Write).unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        drop(connection);
        assert!(std::fs::metadata(&path).unwrap().len() > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let reader = open(&path, Access::Immutable).unwrap();
        assert!(reader.execute_batch("CREATE TABLE u(a)").is_err());
    }

    #[test]
    fn an_ended_statement_is_told_by_what_ended_it() {
        for (set, expected) in
            [(Cancel::cancel as fn(&Cancel), Reason::Interrupted), (Cancel::expire, Reason::DeadlineExceeded)]
        {
            let cancel = Cancel::never();
            let mut connection = Connection::open_in_memory().unwrap();
            heed(&mut connection, &cancel).unwrap();
            set(&cancel);
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n";
            let error = connection.query_row(sql, [], |_| Ok(())).unwrap_err();
            let fault = fault(Stage::Verify, Reason::CorruptBackup, "failed to count", &error);
            assert_eq!(by_flag(fault, &cancel).reason, expected);
            let other = Fault::new(Stage::Verify, Reason::CorruptBackup, "failed to count");
            assert_eq!(by_flag(other, &cancel).reason, Reason::CorruptBackup);
        }
    }

    #[test]
    fn an_error_shows_no_data_of_the_statement() {
        let connection = Connection::open_in_memory().unwrap();
        let error = connection.prepare("INSERT INTO t VALUES('secret')").unwrap_err();
        let fault = fault(Stage::Restore, Reason::RestoreFailed, "failed to run line 1", &error);
        assert_eq!(fault.full_message(), "failed to run line 1: no such table: t");
    }
}

//! Queries of the manifest on the loaded database: one statement that only reads and answers with a
//! single true.

use super::server::{PostgresTarget, Session};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// Runs `sql` in `database`; a fault unless it answers true.
pub(super) fn ask(settings: &PostgresTarget, database: &str, sql: &str, cancel: &Cancel) -> Result<()> {
    let mut session = settings.guest_session(database, Stage::Verify, cancel)?;
    // The server itself holds the query to reading.
    session.run("begin to read", "BEGIN READ ONLY", Reason::VerificationFailed)?;
    match answer(&mut session, sql)? {
        None => Ok(()),
        Some(what) => {
            let message = format!("did not answer true, but {what}");
            Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message))
        }
    }
}

/// `None` for a single true; else what came, without the data itself.
fn answer(session: &mut Session, sql: &str) -> Result<Option<String>> {
    let rows = session.connection.ask(sql, &[]).map_err(|error| {
        // What the server says of it is said of the manifest's own statement.
        if error.server().is_some() {
            Fault::new(Stage::Verify, Reason::VerificationFailed, "could not be run").caused_by(error)
        } else {
            error.fault(Stage::Verify, Reason::TargetUnavailable, "could not be run")
        }
    })?;
    let [row] = rows.as_slice() else { return Ok(Some(format!("{} rows", rows.len()))) };
    if row.columns() != 1 {
        return Ok(Some(format!("{} columns", row.columns())));
    }
    Ok(match row.text(0) {
        Some("t") => None,
        Some("f") => Some("false".to_owned()),
        None => Some("NULL".to_owned()),
        Some(_) => Some("a value that is no boolean".to_owned()),
    })
}

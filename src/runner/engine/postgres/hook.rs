//! SQL of the manifest that changes the loaded database before it is put in place, such as masking.

use super::copy::Rows;
use super::script::{Keep, Script, Statement, read_script};
use super::server::{PostgresTarget, Session};
use super::wire::Transaction;
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// Runs the statements of `sql` one by one in `database`, as the login that restores; gives back how many.
pub(super) fn run(settings: &PostgresTarget, database: &str, sql: &str, cancel: &Cancel) -> Result<u64> {
    let mut session = settings.guest_session(database, Stage::Verify, cancel)?;
    let timeout = settings.statement_timeout.map_or(0, |time| time.as_millis());
    let limit = format!("SET statement_timeout = {timeout}");
    session.run("set the timeout of statements", &limit, Reason::HookFailed)?;
    // The last statement may lack its semicolon.
    let text = format!("{sql}\n;");
    let mut hook = Hook { session, statements: 0 };
    read_script(&mut text.as_bytes(), Keep::Whole, &mut hook).map_err(|fault| {
        // What the reader says, it says of a dump.
        let message = fault.message.replace(" of the dump", "").replace("the dump ", "it ");
        Fault { stage: Stage::Verify, message, reason: of_hook(fault.reason), source: fault.source }
    })?;
    if hook.session.connection.transaction() != Transaction::Idle {
        let message = "it begins a transaction that it does not end, so nothing of it would stay";
        return Err(Fault::new(Stage::Verify, Reason::HookFailed, message));
    }
    Ok(hook.statements)
}

/// Faults of reading are faults of the manifest's text; those of the connection stay.
const fn of_hook(reason: Reason) -> Reason {
    match reason {
        Reason::UnsafeContent | Reason::Truncated | Reason::CorruptBackup | Reason::LimitExceeded => {
            Reason::HookFailed
        }
        other => other,
    }
}

struct Hook {
    session: Session,
    statements: u64,
}

fn no_rows(line: u64) -> Fault {
    Fault::new(
        Stage::Verify,
        Reason::HookFailed,
        format!("line {line}: COPY from the script is not possible"),
    )
}

impl Script for Hook {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        let ran = self.session.connection.run(statement.text);
        ran.map_err(|error| {
            let what = format!("line {}: the statement was refused", statement.line);
            error.fault(Stage::Verify, Reason::HookFailed, &what)
        })?;
        self.statements += 1;
        Ok(())
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        Err(no_rows(statement.line))
    }

    fn copy_rows(&mut self, _: Rows<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: &[u8], line: u64) -> Result<()> {
        let message = format!("line {line}: a hook cannot change the database");
        Err(Fault::new(Stage::Verify, Reason::HookFailed, message))
    }
}

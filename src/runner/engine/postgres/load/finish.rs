//! The end of a load: statistics, and what there is to tell.

use super::Loaded;
use super::gate::Gate;
use super::lanes::Done;
use super::session::Door;
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::engine::postgres::server::{PostgresTarget, Session};
use crate::runner::engine::postgres::statement::Part;
use crate::runner::engine::postgres::wire::{Notices, Transaction};
use crate::runner::fault::{Fault, Result, Stage};

/// Ends the dump's settings on the session of what went in order; gives back what the server had to say.
pub(super) fn end_settings(session: &mut Session, door: &Door) -> Result<Notices> {
    if session.connection.transaction() != Transaction::Idle {
        let message = "the dump begins a transaction that it does not end, so nothing of it would stay";
        return Err(Fault::new(Stage::Restore, Reason::CorruptBackup, message));
    }
    session.run("end the dump's settings", "RESET ALL", Reason::RestoreFailed)?;
    for (_, sql) in door.without_limits() {
        session.run("go on without limits of a role", &sql, Reason::RestoreFailed)?;
    }
    let own = "SET search_path = pg_catalog";
    session.run("look at the server's own names only", own, Reason::RestoreFailed)?;
    Ok(session.connection.take_notices())
}

/// What there is to tell, and what has come of the lanes' work.
pub(super) fn finish(
    mut session: Session,
    settings: &PostgresTarget,
    gate: &Gate,
    Done { rows, notices }: Done,
) -> Result<Loaded> {
    let grown = tables_of_extensions(&mut session)?;
    let mut notes = gate.notes();
    // An archive states owners beside its statements, so nothing of them is met and counted.
    let user = &settings.login.user;
    let told = match (settings.parts.has(Part::Owners), settings.parts.has(Part::Grants)) {
        (false, false) => {
            Some(format!("everything belongs to {user}; owners and rights in the backup are left out"))
        }
        (false, true) => Some(format!("everything belongs to {user}; owners in the backup are left out")),
        (true, false) => Some("rights in the backup are left out".to_owned()),
        (true, true) => None,
    };
    notes.splice(0..0, told);
    if let Some(first) = notices.first.first() {
        let count = counted(notices.count, "warning");
        notes.push(format!("the server gave {count}, the first: {}", first.message));
    }
    let (census, jobs) = (gate.census.clone(), gate.jobs.clone());
    Ok(Loaded { rows, grown, census, notes, jobs, ..Loaded::default() })
}

/// Tables of extensions, which come with rows of their own.
fn tables_of_extensions(session: &mut Session) -> Result<Vec<String>> {
    let sql = "SELECT nspname, relname FROM pg_catalog.pg_depend \
               JOIN pg_catalog.pg_class c ON c.oid = objid \
               JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
               WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype = 'e' AND relkind = 'r'";
    let rows = session.rows("list the tables of extensions", sql, &[])?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| format!("{}.{}", text(row.text(0)), text(row.text(1)))).collect())
}

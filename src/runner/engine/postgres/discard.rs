//! Databases that runs leave beside a target, and their removal.
//!
//! Only databases of our own naming are ever dropped, and of other runs only their shadows, while this
//! run holds the target's lock, so that no run is alive behind them. A held load waits for a person
//! and goes only by its name. Kept previous databases go when the time in their name is over.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::beside::Beside;
use super::names::ident;
use super::server::{PostgresTarget, Server, Session, Who};
use super::subscriptions::let_go;
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// The first release series whose `DROP DATABASE` ends the sessions in it.
const FORCE_SINCE: u32 = 13;
/// `insufficient_privilege`.
const NO_RIGHT: &str = "42501";

/// Drops the shadows of dead runs; the caller holds the target's lock. Gives back those that went; one
/// that cannot be dropped is met again by the next run.
pub(super) fn drop_dead(settings: &PostgresTarget, server: &mut Server) -> Vec<String> {
    drop_all(settings, server, |beside| matches!(beside, Beside::Shadow(_)))
}

/// Drops kept databases whose time is over at `now`; the caller holds the target's lock.
pub(super) fn drop_expired(settings: &PostgresTarget, server: &mut Server, now: Timestamp) -> Vec<String> {
    drop_all(settings, server, |beside| matches!(beside, Beside::Previous(until) if *until < now))
}

fn drop_all(
    settings: &PostgresTarget,
    server: &mut Server,
    is_wanted: impl Fn(&Beside) -> bool,
) -> Vec<String> {
    let mut names = beside(settings, server).unwrap_or_default();
    names.retain(|name| Beside::of(&settings.database, name).as_ref().is_some_and(&is_wanted));
    // Never by force: somebody in it is a run that is alive after all.
    names.retain(|name| {
        let sql = format!("DROP DATABASE IF EXISTS {}", ident(name));
        let session = server.session.at(Stage::CleanUp);
        let is_free = |session: &mut Session| sessions_in(session, name).is_ok_and(|all| all.is_empty());
        session.try_run(&sql).is_ok()
            || (is_free(session) && let_go(settings, session, name).is_ok() && session.try_run(&sql).is_ok())
    });
    names
}

/// All databases of our naming beside the target.
fn beside(settings: &PostgresTarget, server: &mut Server) -> Result<Vec<String>> {
    let rows =
        server.session.rows("list the databases", "SELECT datname FROM pg_catalog.pg_database", &[])?;
    let names = rows.iter().filter_map(|row| row.text(0).map(str::to_owned));
    let mut names: Vec<String> =
        names.filter(|name| Beside::of(&settings.database, name).is_some()).collect();
    names.sort();
    Ok(names)
}

/// Drops the held load of this name, which must be of one of the targets.
pub(super) fn drop_held(
    targets: &[&PostgresTarget],
    server: &mut Server,
    held: &str,
) -> Result<Option<String>> {
    let is_its =
        |settings: &&&PostgresTarget| matches!(Beside::of(&settings.database, held), Some(Beside::Held(_)));
    let Some(settings) = targets.iter().find(is_its) else {
        let names: Vec<&str> = targets.iter().map(|settings| settings.database.as_str()).collect();
        let message = format!("{held} is not the name of a held load of {}", names.join(", "));
        return Err(Fault::new(Stage::CleanUp, Reason::InvalidSpec, message));
    };
    if !beside(settings, server)?.iter().any(|name| name == held) {
        return Ok(None);
    }
    drop_database(settings, &mut server.session, server.facts.major(), held)?;
    Ok(Some(held.to_owned()))
}

/// Drops what this run has made, but for the loads in `kept`, which get the name beside them; gives back
/// what is left. Works on after a cancel, and over a new session where the run's own was lost.
pub(super) fn drop_made(
    settings: &PostgresTarget,
    server: Option<&mut Server>,
    made: Vec<String>,
    kept: &BTreeMap<String, String>,
) -> Vec<String> {
    let Some(server) = server.filter(|_| !made.is_empty()) else { return made };
    let major = server.facts.major();
    let (stage, never) = (Stage::CleanUp, Cancel::never());
    let mut session = settings.session(Who::Administrator, &settings.maintenance_database, stage, &never);
    let left = made.into_iter().filter_map(|name| {
        let done = match (&mut session, kept.get(&name)) {
            (Ok(session), None) => drop_database(settings, session, major, &name).map(|()| None),
            (Ok(session), Some(other)) => keep_load(session, &name, other).map(Some),
            (Err(fault), _) => Err(fault.restated()),
        };
        done.unwrap_or_else(|fault| Some(format!("{name}: {}", fault.full_message())))
    });
    left.collect()
}

/// Renames a load so that no other run drops it; gives back what a person should know.
fn keep_load(session: &mut Session, name: &str, other: &str) -> Result<String> {
    let sql = format!("ALTER DATABASE {} RENAME TO {}", ident(name), ident(other));
    session.at(Stage::CleanUp).run(&format!("rename database {name}"), &sql, Reason::TargetBusy)?;
    Ok(format!(
        "{other}: what was loaded and verified, while what it was to replace is dropped; rename it to put it in place"
    ))
}

/// Drops a database with the sessions that are in it.
pub(super) fn drop_database(
    settings: &PostgresTarget,
    session: &mut Session,
    major: u32,
    name: &str,
) -> Result<()> {
    let session = session.at(Stage::CleanUp);
    // One that stays keeps the database: the server says so.
    let _ = let_go(settings, session, name);
    let sql = format!("DROP DATABASE IF EXISTS {}", ident(name));
    let what = format!("drop database {name}");
    if major >= FORCE_SINCE {
        match session.try_run(&format!("{sql} WITH (FORCE)")) {
            // By force a login ends what it has a right to, and autovacuum is nobody's. Without force the
            // server ends that itself.
            Err(error) if error.sqlstate() == Some(NO_RIGHT) => {}
            done => {
                return done.map_err(|error| {
                    error.fault(Stage::CleanUp, Reason::PermissionDenied, &format!("failed to {what}"))
                });
            }
        }
    }
    end_sessions(session, name)?;
    session.run(&what, &sql, Reason::PermissionDenied)
}

/// The sessions of others in a database, by their processes. Who may not read statistics is not told what
/// kind of process each is.
pub(super) fn sessions_in(session: &mut Session, name: &str) -> Result<Vec<String>> {
    let sql = "SELECT pid FROM pg_catalog.pg_stat_activity WHERE datname = $1::pg_catalog.name \
               AND coalesce(backend_type, 'client backend') = 'client backend' \
               AND pid <> pg_catalog.pg_backend_pid()";
    let rows = session.rows(&format!("list the sessions in {name}"), sql, &[name])?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

/// Ends the sessions of others in a database. One that may not be ended is no error here: what needs the
/// database to be free says so.
pub(super) fn end_sessions(session: &mut Session, name: &str) -> Result<()> {
    for process in sessions_in(session, name)? {
        let ended = session.connection.ask("SELECT pg_catalog.pg_terminate_backend($1)", &[Some(&process)]);
        if let Err(error) = ended
            && session.connection.is_closed()
        {
            let what = format!("failed to end the sessions in {name}");
            return Err(error.fault(Stage::Switch, Reason::TargetUnavailable, &what));
        }
    }
    Ok(())
}

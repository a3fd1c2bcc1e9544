//! Sessions that a dump is sent through.

use std::sync::Arc;

use super::place::{Place, failed};
use super::series::BATCH_STATEMENTS;
use crate::reason::Reason;
use crate::runner::engine::Context;
use crate::runner::engine::postgres::server::{PostgresTarget, Session};
use crate::runner::fault::{Fault, Result, Stage};

/// The first release series whose limit of time is that of each statement, and not of all that are sent at
/// once.
const LIMIT_OF_EACH_SINCE: u32 = 11;
/// Limits of time that a role or a database may have set, with the first release series that has them. Sessions
/// of a load are idle for as long as others work.
const LIMITS: [(&str, u32); 2] = [("idle_session_timeout", 14), ("transaction_timeout", 17)];

/// What is needed to open one more session into the database that is loaded.
#[derive(Clone)]
pub(super) struct Door {
    /// Release series of the server.
    pub(super) major: u32,
    pub(super) settings: PostgresTarget,
    pub(super) database: String,
    pub(super) context: Context,
}

impl Door {
    /// Opens a session for statements of the dump.
    pub(super) fn open(&self) -> Result<Session> {
        let cancel = &self.context.cancel;
        let mut session = self.settings.guest_session(&self.database, Stage::Restore, cancel)?;
        let timeout = self.settings.statement_timeout.map_or(0, |time| time.as_millis());
        for (what, sql) in [
            // A database that is not whole is dropped, so a crash may lose the end of it.
            ("load without waiting for the disk", "SET synchronous_commit = off".to_owned()),
            ("set the timeout of statements", format!("SET statement_timeout = {timeout}")),
            ("load without idle limits", "SET idle_in_transaction_session_timeout = 0".to_owned()),
            ("load without checks of bodies", "SET check_function_bodies = off".to_owned()),
            ("hear of warnings only", "SET client_min_messages = warning".to_owned()),
        ] {
            session.run(what, &sql, Reason::RestoreFailed)?;
        }
        for (_, sql) in self.without_limits() {
            session.run("load without limits of a role", &sql, Reason::RestoreFailed)?;
        }
        Ok(session)
    }

    /// Statements that switch the server's own limits off, by the name of the setting; `RESET ALL` brings the
    /// limits back.
    pub(super) fn without_limits(&self) -> impl Iterator<Item = (&'static str, String)> {
        let major = self.major;
        let known = LIMITS.into_iter().filter(move |(_, since)| major >= *since);
        known.map(|(name, _)| (name, format!("SET {name} = 0")))
    }

    /// Statements that are sent before their answers are waited for.
    pub(super) const fn batch(&self) -> usize {
        let each = self.major < LIMIT_OF_EACH_SINCE && self.settings.statement_timeout.is_some();
        if each { 1 } else { BATCH_STATEMENTS }
    }
}

/// The settings that the dump has made so far, each with the statement that makes it. Every session
/// that runs a statement of the dump needs those that stood before it.
#[derive(Clone, Default)]
pub(super) struct Settings(Arc<Vec<(&'static str, Vec<u8>)>>);

impl Settings {
    /// The same with one more.
    pub(super) fn with(&self, name: &'static str, statement: &[u8]) -> Self {
        let others = self.0.iter().filter(|(known, _)| *known != name).cloned();
        Self(Arc::new(others.chain([(name, statement.to_vec())]).collect()))
    }

    /// The statement that made a setting.
    pub(super) fn of(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, statement)| statement.as_slice())
    }

    /// Whether both are one.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Brings a session from the settings `from` to these.
    pub(super) fn adopt(&self, session: &mut Session, from: &mut Self, place: &Place) -> Result<()> {
        if self.is(from) {
            return Ok(());
        }
        let refused = |error| failed(error, place, "the dump's settings");
        for setting in self.0.iter().filter(|setting| !from.0.contains(setting)) {
            session.connection.send(&setting.1).map_err(refused)?;
        }
        session.connection.settle().map_err(|failure| refused(failure.error))?;
        *from = self.clone();
        Ok(())
    }
}

/// Whether the server has no connection left for this one (`too_many_connections`, which limits of roles
/// and databases give, too).
pub(in crate::runner::engine::postgres) fn is_turned_away(fault: &Fault) -> bool {
    use crate::runner::engine::postgres::wire::WireError;
    let error = fault.source.as_ref().and_then(|source| source.downcast_ref::<WireError>());
    error.is_some_and(|error| error.sqlstate() == Some("53300"))
}

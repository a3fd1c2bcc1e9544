//! The transaction of a switch: all databases are renamed in it, or none.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::discard::{end_sessions, sessions_in};
use super::names::ident;
use super::server::{PostgresTarget, Server, Session, Who};
use super::wire::WireError;
use crate::reason::Reason;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::journal::Attempt;

/// Time between two tries while others are in one of the databases.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// `object_in_use`: somebody is in a database that is to be renamed.
const OBJECT_IN_USE: &str = "55006";

/// The old database: what it is, and what it is called afterwards.
pub(super) struct Aside {
    pub(super) oid: String,
    pub(super) name: String,
}

/// The renames for one target.
pub(super) struct Rename<'a> {
    pub(super) target: &'a str,
    pub(super) shadow: &'a str,
    /// The object id of the loaded database: under the target's name it says that the switch is done.
    pub(super) shadow_oid: String,
    /// `None`: there is no old database.
    pub(super) aside: Option<Aside>,
}

/// The renames of one switch: at least one.
pub(super) struct Renames<'a> {
    pub(super) all: &'a [Rename<'a>],
    pub(super) settings: &'a PostgresTarget,
}

/// Why a try did not rename.
enum Failure {
    /// The server or the connection says so.
    Wire(WireError),
    /// This name means another database than it did.
    Changed(String),
    /// Sessions of others could not be ended.
    Ending(Fault),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl Renames<'_> {
    /// Renames, once nobody is in the way any more; tells the journal.
    pub(super) fn carry_out(&self, server: &mut Server, context: &Context) -> Result<()> {
        let begun = Instant::now();
        let mut helper = self.helper(context)?;
        loop {
            context.cancel.check(Stage::Switch)?;
            let is_late = begun.elapsed() >= self.settings.sessions_timeout;
            // A rename waits for sessions in its database and keeps new ones out meanwhile, so it is not tried
            // while there are any; in the end it is, and says what is in the way.
            if !is_late && helper.is_none() && self.is_busy(server.session.at(Stage::Switch))? {
                sleep(TRY_EVERY);
                continue;
            }
            let attempt = context.journal.attempt(Stage::Switch)?;
            let failure = match self.rename(&mut server.session, helper.as_mut()) {
                Ok(()) => {
                    attempt.done();
                    return Ok(());
                }
                Err(failure) => failure,
            };
            // An error may come behind the answer to COMMIT; only a session that goes on has rolled back.
            if server.session.connection.is_closed() {
                return self.resolve(server, attempt, failure);
            }
            attempt.undone();
            match failure {
                Failure::Wire(error) if error.sqlstate() == Some(OBJECT_IN_USE) && !is_late => {
                    sleep(TRY_EVERY);
                }
                failure => return Err(self.refused(failure)),
            }
        }
    }

    /// The session that ends those of others, where that is wanted: the one that renames cannot, since what
    /// it may not end would end its transaction.
    fn helper(&self, context: &Context) -> Result<Option<Session>> {
        let is_wanted = self.settings.ends_sessions && self.all.iter().any(|rename| rename.aside.is_some());
        let open = || {
            let database = &self.settings.maintenance_database;
            self.settings.session(Who::Administrator, database, Stage::Switch, &context.cancel)
        };
        is_wanted.then(open).transpose()
    }

    /// Whether somebody is in one of the old databases.
    fn is_busy(&self, session: &mut Session) -> Result<bool> {
        for rename in self.all.iter().filter(|rename| rename.aside.is_some()) {
            if !sessions_in(session, rename.target)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One transaction; rolled back where the server refuses a part of it or a name is not what it was.
    fn rename(
        &self,
        session: &mut Session,
        mut helper: Option<&mut Session>,
    ) -> std::result::Result<(), Failure> {
        session.try_run("BEGIN")?;
        let mut all = self.all.iter();
        let renamed = all.try_for_each(|rename| {
            if let (Some(helper), Some(_)) = (helper.as_deref_mut(), &rename.aside) {
                end_sessions(helper, rename.target).map_err(Failure::Ending)?;
            }
            rename.rename_both(session)
        });
        let end = if renamed.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = session.try_run(end);
        renamed?;
        Ok(ended?)
    }

    fn refused(&self, failure: Failure) -> Fault {
        let targets: Vec<&str> = self.all.iter().map(|rename| rename.target).collect();
        let what = format!("failed to put what was loaded in the place of {}", targets.join(", "));
        match failure {
            Failure::Changed(target) => {
                let message = format!("{target} was replaced by somebody else in the midst of the switch");
                Fault::new(Stage::Switch, Reason::TargetChanged, message)
            }
            Failure::Wire(error) if error.sqlstate() == Some(OBJECT_IN_USE) => {
                error.fault(Stage::Switch, Reason::TargetBusy, &what)
            }
            Failure::Wire(error) => error.fault(Stage::Switch, Reason::PermissionDenied, &what),
            Failure::Ending(fault) => fault,
        }
    }

    /// The answer was lost: what a target is now says whether the switch is done, once the lost
    /// session has ended and with it its locks.
    fn resolve(&self, server: &mut Server, attempt: Attempt<'_>, failure: Failure) -> Result<()> {
        let lost = match failure {
            Failure::Wire(error) => {
                error.fault(Stage::Switch, Reason::TargetUnavailable, "the connection was lost in the switch")
            }
            Failure::Changed(_) | Failure::Ending(_) => self.refused(failure),
        };
        let Some(rename) = self.all.first() else { return Err(lost) };
        let found = server.reconnect(self.settings).and_then(|()| {
            let sql = "SELECT oid FROM pg_catalog.pg_database WHERE datname = $1::pg_catalog.name";
            server.session.rows("look at what the target is now", sql, &[rename.target])
        });
        let Ok(rows) = found else {
            attempt.in_doubt();
            return Err(lost);
        };
        if rows.first().and_then(|row| row.text(0)) == Some(rename.shadow_oid.as_str()) {
            attempt.done();
            return Ok(());
        }
        attempt.undone();
        Err(lost)
    }
}

impl Rename<'_> {
    fn rename_both(&self, session: &mut Session) -> std::result::Result<(), Failure> {
        let rename = |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", ident(from), ident(to));
        if let Some(aside) = &self.aside {
            session.try_run(&rename(self.target, &aside.name))?;
        }
        session.try_run(&rename(self.shadow, self.target))?;
        let is = |session: &mut Session, name: &str, oid: &str| {
            let sql = "SELECT oid FROM pg_catalog.pg_database WHERE datname = $1::pg_catalog.name";
            let rows = session.connection.ask(sql, &[Some(name)])?;
            Ok::<bool, WireError>(rows.first().and_then(|row| row.text(0)) == Some(oid))
        };
        let mut same = is(session, self.target, &self.shadow_oid)?;
        if let Some(aside) = &self.aside {
            same &= is(session, &aside.name, &aside.oid)?;
        }
        if same { Ok(()) } else { Err(Failure::Changed(self.target.to_owned())) }
    }
}

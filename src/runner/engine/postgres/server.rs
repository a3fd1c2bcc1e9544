//! Sessions on the server: who logs in where, what the server is, and the lock of the target.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::parts::Parts;
use super::wire::{Connection, Endpoint, Login, Row, WireError};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};
use crate::secret::Secret;

/// A login of the server.
#[derive(Clone, Debug)]
pub struct Access {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Secret<String>,
}

/// What to restore to, and how.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own, of a manifest")]
pub struct PostgresTarget {
    /// Where the server is, and how it is verified.
    pub endpoint: Endpoint,
    /// Database to be in while others are created, renamed and dropped.
    pub maintenance_database: String,
    /// The login that restores and then owns what was restored.
    pub login: Access,
    /// The login that creates, renames and drops databases; `None`: the same.
    pub privileged: Option<Access>,
    /// `login` may be a superuser.
    pub allows_superuser: bool,
    /// Statements that no dump tool writes, and code that runs with the rights of the server's process, are
    /// sent too.
    pub all_statements: bool,
    /// The target, which is the exact name that a confirmation carries.
    pub database: String,
    /// The `system_identifier` that the server must have.
    pub expect_identity: Option<String>,
    /// Until when the replaced database is kept; `None`: it is dropped.
    pub keep_until: Option<jiff::Timestamp>,
    /// Goes into the names of this run's own databases.
    pub run_id: String,
    /// Sessions of others are ended at the switch.
    pub ends_sessions: bool,
    /// What a target holds is dropped before the load, not replaced after it.
    pub is_direct: bool,
    /// The switch waits for a person.
    pub holds: bool,
    /// How long the switch waits for sessions of others.
    pub sessions_timeout: Duration,
    /// A newer release series is a note, not a refusal.
    pub version_guard_warn: bool,
    /// Rows are counted in the loaded database; else what the load reported is taken.
    pub counts_rows: bool,
    /// The planner's statistics are collected before the switch.
    pub analyzes: bool,
    /// Connections that load side by side, at most; beside them are one for what goes in order, and one
    /// that holds the lock.
    pub lanes: usize,
    /// SQL of the manifest changes what was loaded, which nobody may see before.
    pub has_hooks: bool,
    /// Which optional parts of a dump are restored, and under which roles.
    pub parts: Parts,
    /// Longest time of a single statement.
    pub statement_timeout: Option<Duration>,
}

/// Settings of every session, whatever a role or a database has: a run has its own limits.
const SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("client_min_messages", "warning"),
];

/// Those of sessions for our own questions. Rows that a policy hides are an error there.
const OWN_SETTINGS: &[(&str, &str)] = &[("search_path", "pg_catalog"), ("row_security", "off")];

/// How long the server may take to see that a session has ended.
const END_WAIT: &str = "2s";
/// `lock_not_available`, and `deadlock_detected` by runs that have targets in common.
const HELD: [&str; 2] = ["55P03", "40P01"];
/// How long a lost session may take to end.
const LOCK_WAIT: &str = "60s";

/// The first release series that tells the right to become a role from the membership.
const SET_SINCE: u32 = 16;

/// The first release series that ends idle sessions.
const IDLE_TIMEOUT_SINCE: u32 = 14;

/// Which login a session is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The one that restores.
    Restorer,
    /// The one that creates, renames and drops databases.
    Administrator,
}

impl PostgresTarget {
    fn access(&self, who: Who) -> &Access {
        match who {
            Who::Restorer => &self.login,
            Who::Administrator => self.privileged.as_ref().unwrap_or(&self.login),
        }
    }

    /// The role that creates, renames and drops databases.
    pub(super) fn administrator(&self) -> &str {
        &self.access(Who::Administrator).user
    }

    /// The server, for messages.
    pub(super) fn server_name(&self) -> String {
        format!("{}:{}", self.endpoint.host, self.endpoint.port)
    }

    /// Opens a session for questions and commands of our own. Nothing that a role or a database sets, and
    /// no function or operator outside the server's own schema, takes part in them.
    pub(super) fn session(&self, who: Who, database: &str, stage: Stage, cancel: &Cancel) -> Result<Session> {
        self.open(&self.login_to(who, database, OWN_SETTINGS), stage, cancel)
    }

    /// Opens a session as the login that restores, for statements of the dump or the manifest.
    pub(super) fn guest_session(&self, database: &str, stage: Stage, cancel: &Cancel) -> Result<Session> {
        self.open(&self.login_to(Who::Restorer, database, &[]), stage, cancel)
    }

    fn login_to(&self, who: Who, database: &str, further: &[(&str, &str)]) -> Login {
        let access = self.access(who);
        let settings = SETTINGS.iter().chain(further);
        Login {
            user: access.user.clone(),
            password: access.password.clone(),
            database: database.to_owned(),
            options: settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn open(&self, login: &Login, stage: Stage, cancel: &Cancel) -> Result<Session> {
        let what = format!(
            "failed to log in to {} as {}, database {}",
            self.server_name(),
            login.user,
            login.database
        );
        let connection = Connection::open(&self.endpoint, login, cancel)
            .map_err(|error| error.fault(stage, Reason::TargetUnavailable, &what))?;
        Ok(Session { connection, stage })
    }
}

/// A session, and the stage that its failures belong to.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    stage: Stage,
}

impl Session {
    /// The same session for the steps of another stage.
    pub(super) fn at(&mut self, stage: Stage) -> &mut Self {
        self.stage = stage;
        self
    }

    /// Asks for a few rows.
    pub(super) fn rows(&mut self, what: &str, sql: &str, parameters: &[&str]) -> Result<Vec<Row>> {
        let stage = self.stage;
        let parameters: Vec<Option<&str>> = parameters.iter().copied().map(Some).collect();
        self.connection
            .ask(sql, &parameters)
            .map_err(|error| error.fault(stage, Reason::TargetUnavailable, &format!("failed to {what}")))
    }

    /// Asks for one row.
    pub(super) fn row(&mut self, what: &str, sql: &str, parameters: &[&str]) -> Result<Row> {
        let first = self.rows(what, sql, parameters)?.into_iter().next();
        first.ok_or_else(|| {
            Fault::new(self.stage, Reason::InternalError, format!("failed to {what}: no answer"))
        })
    }

    /// Runs a statement of our own; `otherwise` is the reason of a refusal that has none of its own.
    pub(super) fn run(&mut self, what: &str, sql: &str, otherwise: Reason) -> Result<()> {
        let stage = self.stage;
        self.try_run(sql).map_err(|error| error.fault(stage, otherwise, &format!("failed to {what}")))
    }

    /// The same with the server's own error.
    pub(super) fn try_run(&mut self, sql: &str) -> std::result::Result<(), WireError> {
        self.connection.run(sql.as_bytes()).map(drop)
    }
}

/// What the server is, and what the administrator may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a right of its own")]
pub(super) struct ServerFacts {
    /// Such as `15.18`.
    pub(super) version: String,
    /// `server_version_num`, such as 150018.
    pub(super) number: u32,
    /// `system_identifier` of its data directory.
    pub(super) identity: String,
    /// The administrator is a superuser.
    pub(super) is_superuser: bool,
    /// The administrator may create databases.
    pub(super) may_create: bool,
    /// The login that restores is a superuser, or may become one, or use the server's files or programs.
    pub(super) restores_as_superuser: bool,
    /// The administrator may make the restorer the owner of a database.
    pub(super) may_give: bool,
}

impl ServerFacts {
    /// The release series, such as 15.
    pub(super) fn major(&self) -> u32 {
        self.number / 10_000
    }
}

/// The session in the maintenance database that holds the locks of the targets.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) session: Session,
    pub(super) facts: ServerFacts,
    /// Of the locks that it holds.
    keys: Vec<i64>,
}

impl Server {
    /// Logs in and looks at the server.
    pub(super) fn open(settings: &PostgresTarget, cancel: &Cancel) -> Result<Self> {
        let stage = Stage::Preflight;
        let mut session =
            settings.session(Who::Administrator, &settings.maintenance_database, stage, cancel)?;
        refuse_pooler(&mut session, settings)?;
        let facts = facts(&mut session, settings)?;
        if let Some(expected) = settings.expect_identity.as_ref().filter(|it| **it != facts.identity) {
            let message = format!(
                "{} is the server {}, and expectIdentity names {expected}",
                settings.server_name(),
                facts.identity
            );
            return Err(Fault::new(stage, Reason::IdentityMismatch, message));
        }
        if facts.major() >= IDLE_TIMEOUT_SINCE {
            // This session holds the lock and says nothing for as long as the load takes.
            let sql = "SET idle_session_timeout = 0";
            session.run("hold a session without limits", sql, Reason::TargetUnavailable)?;
        }
        Ok(Self { session, facts, keys: Vec::new() })
    }

    /// Takes the lock of a target. That of a run which has just ended is waited for.
    pub(super) fn lock(&mut self, database: &str) -> Result<()> {
        let key = lock_key(database);
        let limit = format!("SET lock_timeout = '{END_WAIT}'");
        self.session.run("limit the wait", &limit, Reason::TargetUnavailable)?;
        let sql = "SELECT pg_catalog.pg_advisory_lock($1)";
        let taken = self.session.rows("lock the target", sql, &[&key.to_string()]);
        taken.map_err(|fault| {
            let error = fault.source.as_ref().and_then(|source| source.downcast_ref::<WireError>());
            if !error.and_then(WireError::sqlstate).is_some_and(|state| HELD.contains(&state)) {
                return fault;
            }
            let message = format!("another run works on {database}");
            Fault::new(Stage::Preflight, Reason::TargetLocked, message)
        })?;
        self.session.run("wait without limit", "SET lock_timeout = 0", Reason::TargetUnavailable)?;
        self.keys.push(key);
        Ok(())
    }

    /// Takes a new session where the old one was lost, and waits for its locks: the old session has then
    /// ended, whatever it was doing.
    pub(super) fn reconnect(&mut self, settings: &PostgresTarget) -> Result<()> {
        let (stage, never) = (Stage::Switch, Cancel::never());
        let mut session =
            settings.session(Who::Administrator, &settings.maintenance_database, stage, &never)?;
        session.run(
            "limit the wait",
            &format!("SET lock_timeout = '{LOCK_WAIT}'"),
            Reason::TargetUnavailable,
        )?;
        let sql = "SELECT pg_catalog.pg_advisory_lock($1)";
        for key in &self.keys {
            session.rows("wait for the lost session to end", sql, &[&key.to_string()])?;
        }
        session.run("wait without limit", "SET lock_timeout = 0", Reason::TargetUnavailable)?;
        self.session = session;
        Ok(())
    }

    /// Before what the locks alone make safe: whether they are still this run's.
    pub(super) fn check_locks(&mut self, stage: Stage) -> Result<()> {
        // A session that is gone has lost its locks with it, and cannot answer.
        let sql = "SELECT (classid::pg_catalog.int8 << 32) | objid::pg_catalog.int8 FROM pg_catalog.pg_locks \
                   WHERE locktype = 'advisory' AND granted AND pid = pg_catalog.pg_backend_pid()";
        let held = self.session.at(stage).rows("look at the locks of the targets", sql, &[])?;
        let held: Vec<i64> =
            held.iter().filter_map(|row| row.text(0).and_then(|text| text.parse().ok())).collect();
        if self.keys.iter().all(|key| held.contains(key)) {
            return Ok(());
        }
        let message = "the lock of a target was taken from this run";
        Err(Fault::new(stage, Reason::TargetLocked, message))
    }
}

/// Behind a pooler the statements of one session may end up in several, and no lock would hold.
fn refuse_pooler(session: &mut Session, settings: &PostgresTarget) -> Result<()> {
    let told = session.connection.process();
    let row = session.row("ask who serves this session", "SELECT pg_catalog.pg_backend_pid()", &[])?;
    if row.text(0).and_then(|text| text.parse().ok()) == Some(told) {
        return Ok(());
    }
    let message = format!("{} is a connection pooler, not the server itself", settings.server_name());
    Err(Fault::new(Stage::Preflight, Reason::PoolerNotSupported, message))
}

fn facts(session: &mut Session, settings: &PostgresTarget) -> Result<ServerFacts> {
    // Who may give a database away must be able to become its owner: SET, where that is told apart.
    let give = if session.connection.parameter("server_version").is_some_and(|it| major_of(it) >= SET_SINCE) {
        "SET"
    } else {
        "MEMBER"
    };
    let sql = format!(
        "SELECT pg_catalog.current_setting('server_version'), \
                pg_catalog.current_setting('server_version_num'), \
                (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
                rolsuper, rolsuper OR rolcreatedb, \
                rolsuper OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = $1::pg_catalog.name \
                                    AND pg_catalog.pg_has_role(pg_roles.oid, r.oid, '{give}')), \
                EXISTS (SELECT FROM pg_catalog.pg_roles own, pg_catalog.pg_roles strong \
                        WHERE own.rolname = $1::pg_catalog.name \
                          AND (strong.rolsuper OR strong.rolname IN ('pg_execute_server_program', \
                               'pg_write_server_files', 'pg_read_server_files')) \
                          AND pg_catalog.pg_has_role(own.oid, strong.oid, 'MEMBER') \
                          AND (own.rolsuper OR strong.oid <> own.oid)) \
         FROM pg_catalog.pg_roles WHERE rolname = current_user"
    );
    let row = session.row("ask what the server is", &sql, &[&settings.login.user])?;
    let text = |index: usize| row.text(index).unwrap_or_default().to_owned();
    let number = text(1).parse().unwrap_or_default();
    Ok(ServerFacts {
        // Debian adds its package's version in parentheses.
        version: text(0).split(' ').next().unwrap_or_default().to_owned(),
        number,
        identity: text(2),
        is_superuser: text(3) == "t",
        may_create: text(4) == "t",
        may_give: text(5) == "t",
        restores_as_superuser: text(6) == "t",
    })
}

/// The release series of a version as a server tells it.
pub(super) fn major_of(version: &str) -> u32 {
    version.split(|c: char| !c.is_ascii_digit()).next().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The key of the target's advisory lock: the same for every run on it, whoever starts it.
fn lock_key(database: &str) -> i64 {
    let digest = digest(&SHA256, format!("reinstate target {database}").as_bytes());
    let mut key = [0; 8];
    for (to, from) in key.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    i64::from_be_bytes(key)
}

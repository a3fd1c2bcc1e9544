//! Resolving the target: the connection, its guards, and the mapping as its engine needs it.

use super::resolve::Resolver;
use super::{DatabaseMapping, EngineSettings, SqliteTarget, TargetPlan};
use crate::api::connection::{Restores, Sqlite};
use crate::api::restore::spec::{ObjectWindow, Sessions, Statements};
use crate::api::restore::{Format, Target};
use crate::api::{DatabaseRestoreSpec, Engine};
use crate::reason::Reason;

impl Resolver<'_> {
    pub(super) fn target(&mut self, target: &Target, spec: &DatabaseRestoreSpec) -> Option<TargetPlan> {
        let name = &target.connection_ref.name;
        let found = self.find(&self.objects.connections, name, "spec.target.connectionRef.name")?;
        let connection = &found.spec;
        if connection.restores == Restores::Forbidden {
            let message = format!("DatabaseConnection {name} has restores: Forbidden");
            self.problem(Reason::RestoresForbidden, "spec.target.connectionRef.name", message);
        }
        let Some(sqlite) = connection.sqlite.as_ref().filter(|_| connection.engine == Engine::SQLite) else {
            self.refuse_engine(name, connection.engine);
            return None;
        };
        self.check_path(&format!("DatabaseConnection/{name}: spec.sqlite.path"), &sqlite.path);
        if connection.expect_identity.is_some() {
            let field = format!("DatabaseConnection/{name}: spec.expectIdentity");
            self.problem(Reason::NotSupported, field, "a SQLite file has no identity of its own");
        }
        self.check_sqlite(spec);
        let (databases, path) = self.sqlite_mapping(target, sqlite)?;
        self.check_queries(spec, &path);
        let id = |id: Option<i64>| id.and_then(|id| u32::try_from(id).ok());
        Some(TargetPlan {
            connection: name.clone(),
            settings: EngineSettings::Sqlite(SqliteTarget {
                claim_name: sqlite.claim_name.clone(),
                path,
                run_as_user: id(sqlite.run_as_user),
                run_as_group: id(sqlite.run_as_group),
                replace_by: sqlite.replace_by,
            }),
            databases,
        })
    }

    fn refuse_engine(&mut self, name: &str, engine: Engine) {
        let field = format!("DatabaseConnection/{name}: spec.engine");
        match engine {
            Engine::SQLite => {
                let field = format!("DatabaseConnection/{name}: spec.sqlite");
                self.problem(Reason::InvalidSpec, field, "engine SQLite needs sqlite");
            }
            Engine::PostgreSQL | Engine::MySQL | Engine::MariaDB | Engine::MongoDB | Engine::SQLServer => {
                let message = format!("this version restores to SQLite only, not to {} yet", engine.name());
                self.problem(Reason::NotSupported, field, message);
            }
        }
    }

    /// The mapping of a SQLite target: one file, so one row at most.
    fn sqlite_mapping(&mut self, target: &Target, sqlite: &Sqlite) -> Option<(Vec<DatabaseMapping>, String)> {
        match target.databases.as_deref().unwrap_or_default() {
            [] => Some((Vec::new(), sqlite.path.clone())),
            [one] => {
                let to = one.to.clone().unwrap_or_else(|| sqlite.path.clone());
                self.check_path("spec.target.databases[0].to", &to);
                if to.is_empty() || to.ends_with('/') {
                    let field = "spec.target.databases[0].to";
                    self.problem(Reason::InvalidSpec, field, "must be the path of a file");
                }
                Some((vec![DatabaseMapping { from: one.from.clone(), to: to.clone() }], to))
            }
            [_, _, ..] => {
                let message = "a SQLite file takes one database: keep one row, and make another \
                    DatabaseRestore for each of the others";
                self.problem(Reason::NotSupported, "spec.target.databases", message);
                None
            }
        }
    }

    /// A SQLite file is one database: every query is for that one.
    fn check_queries(&mut self, spec: &DatabaseRestoreSpec, path: &str) {
        for (index, query) in spec.verification.queries.iter().enumerate() {
            if query.database != path {
                let field = format!("spec.verification.queries[{index}].database");
                self.problem(Reason::InvalidSpec, field, format!("must be the target, {path}"));
            }
        }
    }

    /// What makes no sense for a file.
    fn check_sqlite(&mut self, spec: &DatabaseRestoreSpec) {
        if spec.sessions == Sessions::Terminate {
            let message = "SQLite has no sessions that could be ended; stop the applications instead";
            self.problem(Reason::NotSupported, "spec.sessions", message);
        }
        if spec.swap.object_window == ObjectWindow::Allow {
            let message = "is for MySQL and MariaDB only; SQLite switches in one transaction";
            self.problem(Reason::NotSupported, "spec.swap.objectWindow", message);
        }
        if spec.statements == Statements::All {
            let message = "SQLite dumps are read statement by statement; only Known is possible";
            self.problem(Reason::NotSupported, "spec.statements", message);
        }
        match spec.backup.format {
            Format::Auto | Format::DBackup | Format::SQLiteFile | Format::SQLiteDump => {}
            Format::PostgresPlain
            | Format::PostgresArchive
            | Format::MySQLDump
            | Format::Mydumper
            | Format::MongoArchive
            | Format::SQLServerBak => {
                let message = "is not a format of SQLite, which the target is";
                self.problem(Reason::EngineMismatch, "spec.backup.format", message);
            }
        }
    }
}

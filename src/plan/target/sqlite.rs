//! A SQLite target: one file of a volume.

use crate::api::connection::Sqlite;
use crate::api::restore::spec::{Content, Sessions, Statements};
use crate::api::restore::{Format, Target};
use crate::api::{DatabaseConnectionSpec, DatabaseRestoreSpec};
use crate::plan::resolve::Resolver;
use crate::plan::{DatabaseMapping, EngineSettings, SqliteTarget};
use crate::reason::Reason;

impl Resolver<'_> {
    pub(super) fn sqlite(
        &mut self,
        name: &str,
        connection: &DatabaseConnectionSpec,
        target: &Target,
        spec: &DatabaseRestoreSpec,
    ) -> Option<(EngineSettings, Vec<DatabaseMapping>)> {
        let Some(sqlite) = &connection.sqlite else {
            let field = format!("DatabaseConnection/{name}: spec.sqlite");
            self.problem(Reason::InvalidSpec, field, "engine SQLite needs sqlite");
            return None;
        };
        self.check_path(&format!("DatabaseConnection/{name}: spec.sqlite.path"), &sqlite.path);
        if connection.expect_identity.is_some() {
            let field = format!("DatabaseConnection/{name}: spec.expectIdentity");
            self.problem(Reason::NotSupported, field, "a SQLite file has no identity of its own");
        }
        self.check_sqlite(spec);
        for (given, field) in [(target.roles.is_some(), "roles"), (target.objects.is_some(), "objects")] {
            if given {
                let message = "is for PostgreSQL only: a SQLite file has neither owners nor rights";
                self.problem(Reason::NotSupported, format!("spec.target.{field}"), message);
            }
        }
        let (databases, path) = self.sqlite_mapping(target, sqlite)?;
        self.check_queries(spec, &[path.as_str()]);
        if spec.hooks.as_ref().is_some_and(|hooks| !hooks.before_switch.is_empty()) {
            let message = "SQL before the switch is not possible for SQLite yet";
            self.problem(Reason::NotSupported, "spec.hooks.beforeSwitch", message);
        }
        if spec.verification.content == Content::Digest {
            let message =
                "is for PostgreSQL; a SQLite file is compared whole, and of a dump the rows are counted";
            self.problem(Reason::InvalidSpec, "spec.verification.content", message);
        }
        let id = |id: Option<i64>| id.and_then(|id| u32::try_from(id).ok());
        let settings = SqliteTarget {
            claim_name: sqlite.claim_name.clone(),
            path,
            run_as_user: id(sqlite.run_as_user),
            run_as_group: id(sqlite.run_as_group),
            replace_by: sqlite.replace_by,
        };
        Some((EngineSettings::Sqlite(settings), databases))
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

    /// What makes no sense for a file.
    fn check_sqlite(&mut self, spec: &DatabaseRestoreSpec) {
        if spec.sessions == Sessions::Terminate {
            let message = "SQLite has no sessions that could be ended; stop the applications instead";
            self.problem(Reason::NotSupported, "spec.sessions", message);
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

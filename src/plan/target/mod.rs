//! Resolving the target: the connection, its guards, and the mapping as its engine needs it.

mod server;
mod sqlite;

use super::TargetPlan;
use super::resolve::Resolver;
use crate::api::connection::Restores;
use crate::api::restore::Target;
use crate::api::restore::spec::{ObjectWindow, Sql};
use crate::api::{DatabaseConnectionSpec, DatabaseRestoreSpec, Engine};
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
        if spec.swap.object_window == ObjectWindow::Allow {
            let message = "is for MySQL and MariaDB only; the other engines switch in one transaction";
            self.problem(Reason::NotSupported, "spec.swap.objectWindow", message);
        }
        let (settings, databases) = match connection.engine {
            Engine::SQLite => self.sqlite(name, connection, target, spec)?,
            Engine::PostgreSQL => self.postgres(name, connection, target, spec)?,
            Engine::MySQL | Engine::MariaDB | Engine::MongoDB | Engine::SQLServer => {
                let field = format!("DatabaseConnection/{name}: spec.engine");
                let engine = connection.engine.name();
                let message = format!("this version restores to PostgreSQL and SQLite, not to {engine} yet");
                self.problem(Reason::NotSupported, field, message);
                return None;
            }
        };
        Some(TargetPlan { connection: name.clone(), settings, databases })
    }

    /// SQL of the manifest that changes what was loaded: the connection must allow it.
    fn check_hooks(
        &mut self,
        (name, connection): (&str, &DatabaseConnectionSpec),
        spec: &DatabaseRestoreSpec,
        databases: &[&str],
    ) {
        let hooks = spec.hooks.as_ref().map_or(&[][..], |hooks| &hooks.before_switch);
        if !hooks.is_empty() && !connection.allow_hooks {
            let message = format!("DatabaseConnection {name} does not have allowHooks: true");
            self.problem(Reason::HooksForbidden, "spec.hooks.beforeSwitch", message);
        }
        self.check_databases("spec.hooks.beforeSwitch", hooks, databases);
    }

    /// Every query is for one of the targets.
    fn check_queries(&mut self, spec: &DatabaseRestoreSpec, databases: &[&str]) {
        self.check_databases("spec.verification.queries", &spec.verification.queries, databases);
    }

    /// Without a mapping the targets are known by the backup alone, and the runner checks.
    fn check_databases(&mut self, field: &str, all: &[Sql], databases: &[&str]) {
        for (index, sql) in all.iter().enumerate() {
            if !databases.is_empty() && !databases.contains(&sql.database.as_str()) {
                let field = format!("{field}[{index}].database");
                let message = format!("{} is not the target, {}", sql.database, databases.join(" or "));
                self.problem(Reason::InvalidSpec, field, message);
            }
        }
    }
}

//! A target on a database server: where it is, how it is verified, who logs in.

use crate::api::connection::{Credentials, TlsMode};
use crate::api::restore::spec::{Strategy, Switch};
use crate::api::restore::{Format, Target, target as api};
use crate::api::{DatabaseConnectionSpec, DatabaseRestoreSpec};
use crate::plan::resolve::{Resolver, secret_key};
use crate::plan::{
    DATABASES_LIMIT, DatabaseMapping, EngineSettings, Login, ObjectParts, Roles, ServerTarget, ServerTls,
};
use crate::reason::Reason;

/// Port of PostgreSQL.
const POSTGRES_PORT: u16 = 5432;
/// Longest name of a database (`NAMEDATALEN` - 1).
const POSTGRES_NAME_BYTES: usize = 63;
/// Database that every PostgreSQL server has, as `initdb` makes it.
const POSTGRES_MAINTENANCE: &str = "postgres";

impl Resolver<'_> {
    pub(super) fn postgres(
        &mut self,
        name: &str,
        connection: &DatabaseConnectionSpec,
        target: &Target,
        spec: &DatabaseRestoreSpec,
    ) -> Option<(EngineSettings, Vec<DatabaseMapping>)> {
        self.check_postgres(spec);
        self.check_roles(target);
        let server = self.server(name, connection, POSTGRES_PORT, POSTGRES_MAINTENANCE);
        let rows = self.rows(target)?;
        let names: Vec<&str> = rows.iter().map(|row| row.to.as_str()).collect();
        self.check_queries(spec, &names);
        self.check_hooks((name, connection), spec, &names);
        let mut server = server?;
        server.roles = target.roles.clone().unwrap_or_default();
        server.objects = target.objects.clone().unwrap_or_default();
        self.check_postgres_names(&rows, &server);
        Some((EngineSettings::Postgres(Box::new(server)), rows))
    }

    /// Databases that this run may replace.
    fn check_postgres_names(&mut self, rows: &[DatabaseMapping], server: &ServerTarget) {
        for (index, DatabaseMapping { to, .. }) in rows.iter().enumerate() {
            let field = format!("spec.target.databases[{index}].to");
            if to.len() > POSTGRES_NAME_BYTES {
                let message = format!("PostgreSQL takes names of up to {POSTGRES_NAME_BYTES} bytes");
                self.problem(Reason::InvalidSpec, &field, message);
            }
            if server.keeps(to) {
                let message = format!(
                    "{to} is the server's own, or its maintenance database, and cannot be restored to"
                );
                self.problem(Reason::InvalidSpec, &field, message);
            }
            if rows.iter().take(index).any(|other| other.to == *to) {
                let message = format!("{to} is the target of another row too");
                self.problem(Reason::InvalidSpec, &field, message);
            }
        }
    }

    /// Names of roles are of a length that a server takes: counted in bytes, not in letters as by the schema.
    fn check_roles(&mut self, target: &Target) {
        let map = target.roles.as_ref().map_or(&[][..], |roles| &roles.map);
        for (index, row) in map.iter().enumerate() {
            for (name, value) in [("from", &row.from), ("to", &row.to)] {
                if value.len() > POSTGRES_NAME_BYTES {
                    let message = format!("PostgreSQL takes names of up to {POSTGRES_NAME_BYTES} bytes");
                    let field = format!("spec.target.roles.map[{index}].{name}");
                    self.problem(Reason::InvalidSpec, field, message);
                }
            }
        }
    }

    fn check_postgres(&mut self, spec: &DatabaseRestoreSpec) {
        match spec.backup.format {
            Format::Auto | Format::DBackup | Format::PostgresPlain | Format::PostgresArchive => {}
            Format::MySQLDump
            | Format::Mydumper
            | Format::MongoArchive
            | Format::SQLiteFile
            | Format::SQLiteDump
            | Format::SQLServerBak => {
                let message = "is not a format of PostgreSQL, which the target is";
                self.problem(Reason::EngineMismatch, "spec.backup.format", message);
            }
        }
        if spec.strategy == Strategy::Direct && spec.switch == Switch::Hold {
            let message =
                "strategy Direct drops the old data first, so there is nothing to hold the switch for";
            self.problem(Reason::InvalidSpec, "spec.switch", message);
        }
    }

    /// The mapping, with each name in the target; empty: all databases of the backup.
    fn rows(&mut self, target: &Target) -> Option<Vec<DatabaseMapping>> {
        let rows = target.databases.as_deref().unwrap_or_default();
        if rows.len() > DATABASES_LIMIT {
            let message = format!(
                "one run restores up to {DATABASES_LIMIT} databases: make another DatabaseRestore for the others"
            );
            self.problem(Reason::NotSupported, "spec.target.databases", message);
            return None;
        }
        let row = |row: &api::DatabaseMapping| DatabaseMapping {
            from: row.from.clone(),
            to: row.to.clone().unwrap_or_else(|| row.from.clone()),
        };
        Some(rows.iter().map(row).collect())
    }

    fn server(
        &mut self,
        name: &str,
        connection: &DatabaseConnectionSpec,
        port: u16,
        maintenance_database: &str,
    ) -> Option<ServerTarget> {
        let field = |field: &str| format!("DatabaseConnection/{name}: spec.{field}");
        if connection.host.is_none() {
            self.problem(Reason::InvalidSpec, field("host"), "a server needs host");
        }
        if connection.credentials.is_none() {
            self.problem(Reason::InvalidSpec, field("credentials"), "the login that restores is missing");
        }
        let given = connection.port.map(u16::try_from).transpose();
        if given.is_err() {
            self.problem(Reason::InvalidSpec, field("port"), "must be from 1 to 65535");
        }
        let tls = connection.tls.clone().unwrap_or_default();
        if tls.mode == TlsMode::Disable
            && (tls.ca_secret_key_ref.is_some() || tls.client_certificate_secret_name.is_some())
        {
            let message = "mode Disable uses no certificates: remove them, or choose another mode";
            self.problem(Reason::InvalidSpec, field("tls"), message);
        }
        Some(ServerTarget {
            // An address of IP version 6 may be written as in a URL.
            host: connection.host.as_ref()?.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: given.ok()?.unwrap_or(port),
            maintenance_database: connection
                .maintenance_database
                .clone()
                .unwrap_or_else(|| maintenance_database.to_owned()),
            credentials: login(connection.credentials.as_ref()?),
            privileged_credentials: connection.privileged_credentials.as_ref().map(login),
            allow_superuser: connection.allow_superuser,
            tls: ServerTls {
                mode: tls.mode,
                ca: tls.ca_secret_key_ref.as_ref().map(secret_key),
                client_certificate: tls.client_certificate_secret_name,
            },
            expect_identity: connection.expect_identity.clone(),
            roles: Roles::default(),
            objects: ObjectParts::default(),
        })
    }
}

fn login(credentials: &Credentials) -> Login {
    Login {
        username: secret_key(&credentials.username_secret_key_ref),
        password: secret_key(&credentials.password_secret_key_ref),
    }
}

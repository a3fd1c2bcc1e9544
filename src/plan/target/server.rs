//! A target on a database server: where it is, how it is verified, who logs in.

use crate::api::connection::{Credentials, TlsMode};
use crate::api::restore::spec::Strategy;
use crate::api::restore::{Format, Target};
use crate::api::{DatabaseConnectionSpec, DatabaseRestoreSpec};
use crate::plan::resolve::{Resolver, secret_key};
use crate::plan::{DatabaseMapping, EngineSettings, Login, ObjectParts, Roles, ServerTarget, ServerTls};
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
        let row = self.one_row(target)?;
        self.check_queries(spec, &row.to);
        self.check_hooks((name, connection), spec, &row.to);
        let mut server = server?;
        server.roles = target.roles.clone().unwrap_or_default();
        server.objects = target.objects.clone().unwrap_or_default();
        self.check_postgres_name(&row.to, &server.maintenance_database);
        Some((EngineSettings::Postgres(Box::new(server)), vec![row]))
    }

    /// A database that this run may replace.
    fn check_postgres_name(&mut self, to: &str, maintenance_database: &str) {
        let field = "spec.target.databases[0].to";
        if to.len() > POSTGRES_NAME_BYTES {
            let message = format!("PostgreSQL takes names of up to {POSTGRES_NAME_BYTES} bytes");
            self.problem(Reason::InvalidSpec, field, message);
        }
        if ["template0", "template1"].contains(&to) || to == maintenance_database {
            let message =
                format!("{to} is the server's own, or its maintenance database, and cannot be restored to");
            self.problem(Reason::InvalidSpec, field, message);
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
        if spec.strategy == Strategy::Direct {
            let message =
                "PostgreSQL is always loaded beside the target and switched by renaming; use Auto or Swap";
            self.problem(Reason::NotSupported, "spec.strategy", message);
        }
    }

    /// The mapping of a run that restores one database of a server. The target must be known before the
    /// backup is read, so it is named.
    fn one_row(&mut self, target: &Target) -> Option<DatabaseMapping> {
        let (reason, message) = match target.databases.as_deref().unwrap_or_default() {
            [one] => {
                let to = one.to.clone().unwrap_or_else(|| one.from.clone());
                return Some(DatabaseMapping { from: one.from.clone(), to });
            }
            [] => (Reason::InvalidSpec, "name the database: databases: [{from: NAME, to: NAME}]"),
            [_, _, ..] => (
                Reason::NotSupported,
                "one run restores one database in this version: keep one row, and make another \
                 DatabaseRestore for each of the others",
            ),
        };
        self.problem(reason, "spec.target.databases", message);
        None
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

//! Opens the target that a plan names.

use std::time::Duration;

use jiff::Timestamp;

use super::open::{Mounts, keep_until, mount, read, read_text, run_id};
use crate::plan::{
    EngineSettings, Kept, Login, MissingRoles, Owners, Privileges, ReplaceBy, RestorePlan, Rows, SecretKey,
    SecretReader, ServerTarget, Sessions, SqliteTarget, Statements, Statistics, Strategy, Switch, TlsMode,
    VersionGuard,
};
use crate::runner::engine::postgres::statement::Part;
use crate::runner::engine::postgres::{self, Postgres, wire};
use crate::runner::engine::sqlite::{self, Sqlite};
use crate::runner::engine::{Context, Engine};
use crate::runner::fault::Result;

/// How long the switch waits for applications that are in the way, where the plan does not say.
const SESSIONS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may say nothing before it is asked whether it works, where the plan does not say.
const SILENCE: Duration = Duration::from_mins(5);
/// Lanes of a load, at most, where the plan does not say.
const LANES_LIMIT: usize = 8;
/// Keys of a Secret of type `kubernetes.io/tls`.
const TLS_CERTIFICATE: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";

/// Opens the target, where the plan has one. `now` names this run's files.
pub fn open(
    plan: &RestorePlan,
    secrets: &dyn SecretReader,
    mounts: &Mounts,
    now: Timestamp,
    context: &Context,
) -> Result<Option<Box<dyn Engine>>> {
    let Some(target) = &plan.target else { return Ok(None) };
    match &target.settings {
        EngineSettings::Sqlite(sqlite) => {
            let settings = sqlite_settings(plan, sqlite, mounts, now)?;
            Ok(Some(Box::new(Sqlite::new(settings, context.clone()))))
        }
        EngineSettings::Postgres(server) => {
            let settings = postgres_settings(plan, server, secrets, now)?;
            let names: Vec<String> = target.databases.iter().map(|row| row.to.clone()).collect();
            Ok(Some(Box::new(Postgres::of_several(&settings, &names, context.clone()))))
        }
    }
}

fn sqlite_settings(
    plan: &RestorePlan,
    target: &SqliteTarget,
    mounts: &Mounts,
    now: Timestamp,
) -> Result<sqlite::SqliteTarget> {
    let until = keep_until(plan, now);
    Ok(sqlite::SqliteTarget {
        root: mount(mounts, &target.claim_name)?.clone(),
        path: target.path.clone(),
        name: target.path.clone(),
        replace_by: match target.replace_by {
            ReplaceBy::Backup => sqlite::ReplaceBy::Backup,
            ReplaceBy::Rename => sqlite::ReplaceBy::Rename,
        },
        keep_previous: until.map(|until| sqlite::previous_label(now, until)),
        run_id: run_id(plan, now),
        sessions_timeout: plan.timeouts.connect.map_or(SESSIONS_TIMEOUT, crate::plan::Duration::get),
        version_guard_warn: plan.version_guard == VersionGuard::Warn,
        integrity: sqlite::Integrity::Full,
    })
}

/// Where the target is for people, of this machine or this pod.
pub fn place(plan: &RestorePlan, mounts: &Mounts) -> Option<String> {
    match &plan.target.as_ref()?.settings {
        EngineSettings::Sqlite(sqlite) => {
            Some(mounts.get(&sqlite.claim_name)?.join(&sqlite.path).display().to_string())
        }
        EngineSettings::Postgres(server) => Some(format!("{}:{}", server.host, server.port)),
    }
}

fn postgres_settings(
    plan: &RestorePlan,
    server: &ServerTarget,
    secrets: &dyn SecretReader,
    now: Timestamp,
) -> Result<postgres::PostgresTarget> {
    Ok(postgres::PostgresTarget {
        endpoint: endpoint(plan, server, secrets)?,
        maintenance_database: server.maintenance_database.clone(),
        login: access(&server.credentials, secrets)?,
        privileged: server.privileged_credentials.as_ref().map(|login| access(login, secrets)).transpose()?,
        allows_superuser: server.allow_superuser,
        all_statements: plan.statements == Statements::All,
        database: String::new(),
        expect_identity: server.expect_identity.clone(),
        keep_until: keep_until(plan, now),
        run_id: run_id(plan, now),
        ends_sessions: plan.sessions == Sessions::Terminate,
        is_direct: plan.strategy == Strategy::Direct,
        holds: plan.switch == Switch::Hold,
        sessions_timeout: SESSIONS_TIMEOUT,
        version_guard_warn: plan.version_guard == VersionGuard::Warn,
        counts_rows: plan.rows == Rows::Exact,
        analyzes: plan.statistics == Statistics::Analyze,
        lanes: plan.parallelism.and_then(|lanes| usize::try_from(lanes).ok()).unwrap_or_else(default_lanes),
        has_hooks: !plan.hooks.is_empty(),
        parts: parts(server),
        statement_timeout: plan.timeouts.statement.map(crate::plan::Duration::get),
    })
}

/// The optional parts of a dump that are wanted.
fn parts(server: &ServerTarget) -> postgres::Parts {
    let (roles, objects) = (&server.roles, &server.objects);
    let map = roles.map.iter().map(|row| (row.from.clone().into_bytes(), row.to.clone().into_bytes()));
    let wanted = [
        (roles.owners == Owners::Backup, Part::Owners),
        (roles.privileges == Privileges::Backup, Part::Grants),
        (objects.comments == Kept::Backup, Part::Comments),
        (objects.publications == Kept::Backup, Part::Publications),
        (objects.subscriptions == Kept::Backup, Part::Subscriptions),
        (objects.security_labels == Kept::Backup, Part::SecurityLabels),
        (objects.tablespaces == Kept::Backup, Part::Tablespaces),
    ];
    postgres::Parts {
        left_out: wanted.into_iter().filter_map(|(wanted, part)| (!wanted).then_some(part)).collect(),
        skips_missing: roles.missing == MissingRoles::Skip,
        map: map.collect(),
    }
}

/// One lane for each core: what they feed is the server, which has its own.
fn default_lanes() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(LANES_LIMIT)
}

fn access(login: &Login, secrets: &dyn SecretReader) -> Result<postgres::Access> {
    let user = read_text(secrets, &login.username)?.expose().clone();
    Ok(postgres::Access { user, password: read_text(secrets, &login.password)? })
}

fn endpoint(plan: &RestorePlan, server: &ServerTarget, secrets: &dyn SecretReader) -> Result<wire::Endpoint> {
    let ca = server.tls.ca.as_ref().map(|key| read(secrets, key)).transpose()?;
    let client = server.tls.client_certificate.as_ref().map(|secret| {
        let key = |key: &str| SecretKey { secret: secret.clone(), key: key.to_owned() };
        Ok(wire::ClientCertificate {
            certificate_pem: read(secrets, &key(TLS_CERTIFICATE))?.expose().clone(),
            key_pem: read(secrets, &key(TLS_KEY))?,
        })
    });
    let tls = wire::Tls {
        mode: match server.tls.mode {
            TlsMode::VerifyFull => wire::TlsMode::VerifyFull,
            TlsMode::VerifyCa => wire::TlsMode::VerifyCa,
            TlsMode::Require => wire::TlsMode::Require,
            TlsMode::Disable => wire::TlsMode::Disable,
        },
        ca_pem: ca.map(|pem| pem.expose().clone()),
        client: client.transpose()?,
    };
    let silence = plan.timeouts.stall.map_or(SILENCE, crate::plan::Duration::get);
    let mut timeouts = wire::Timeouts { silence: Some(silence), ..wire::Timeouts::default() };
    if let Some(connect) = plan.timeouts.connect {
        timeouts.open = connect.get();
    }
    Ok(wire::Endpoint { host: server.host.clone(), port: server.port, tls, timeouts })
}

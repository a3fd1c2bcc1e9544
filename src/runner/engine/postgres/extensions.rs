//! Whether the server has the extensions that a backup needs, and the login may create them.

use super::names::{literal, shown};
use super::server::{PostgresTarget, Server, Who};
use super::survey::Seen;
use super::wire::WireError;
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// The first release series in which some extensions may be created by the owner of a database.
const TRUSTED_SINCE: u32 = 13;

/// Extensions that a message names.
const SHOWN: usize = 10;

/// Refuses what would fail in the midst of the load; gives back what a person should know.
pub(super) fn check(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    needed: &[String],
) -> Result<Option<String>> {
    let there = there(settings, seen)?;
    let needed: Vec<String> = needed.iter().filter(|name| !there.contains(name)).cloned().collect();
    if needed.is_empty() {
        return Ok(None);
    }
    // What `CREATE EXTENSION` takes where no version is named, as `pg_dump` does not.
    let trusted = if server.facts.major() >= TRUSTED_SINCE { "v.trusted" } else { "false" };
    let names = needed.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT a.name, NOT v.superuser OR {trusted} \
                OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1::pg_catalog.name AND rolsuper) \
         FROM pg_catalog.pg_available_extensions a \
         JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version \
         WHERE a.name = ANY (ARRAY[{names}]::pg_catalog.name[])"
    );
    let rows = match server.session.connection.ask(&sql, &[Some(&settings.login.user)]) {
        Ok(rows) => rows,
        // One control file that the server cannot read is enough.
        Err(WireError::Server(error)) if !error.is_fatal() => {
            let why = error.message;
            return Ok(Some(format!("the server could not tell which extensions it has: {why}")));
        }
        Err(error) => {
            let what = "failed to look for the backup's extensions";
            return Err(error.fault(Stage::Preflight, Reason::TargetUnavailable, what));
        }
    };
    let of = |name: &str| rows.iter().find(|row| row.text(0) == Some(name));
    let list = |which: &dyn Fn(&str) -> bool| {
        let which = needed.iter().filter(|name| which(name));
        which.take(SHOWN).map(|name| shown(name.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    let absent = list(&|name| of(name).is_none());
    let closed = list(&|name| of(name).is_some_and(|row| row.text(1) != Some("t")));
    let user = &settings.login.user;
    let message = match (absent.is_empty(), closed.is_empty()) {
        (true, true) => return Ok(None),
        (false, _) => format!("the backup needs extensions that the server does not have: {absent}"),
        (true, false) => {
            let message = format!(
                "the backup needs extensions that only a superuser may create, which {user} is not: {closed}"
            );
            // Servers of providers let some roles create them all the same; beside the target it can be tried.
            if !seen.is_in_place() {
                return Ok(Some(message));
            }
            message
        }
    };
    Err(Fault::new(Stage::Preflight, Reason::ExtensionNotAvailable, message))
}

/// Extensions that the database to load has already: that of every new one, and what an administrator has
/// prepared.
fn there(settings: &PostgresTarget, seen: &Seen) -> Result<Vec<String>> {
    if !seen.is_in_place() {
        return Ok(vec!["plpgsql".to_owned()]);
    }
    let (database, never) = (settings.database.as_str(), Cancel::never());
    let mut session = settings.session(Who::Restorer, database, Stage::Preflight, &never)?;
    let rows =
        session.rows("list the target's extensions", "SELECT extname FROM pg_catalog.pg_extension", &[])?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
}

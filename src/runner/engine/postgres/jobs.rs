//! The scheduled jobs of the extension `pg_cron`, which run by themselves.
//!
//! A server takes `pg_cron` in one database alone, that of its setting `cron.database_name`: there its worker
//! reads the jobs, and everywhere else `CREATE EXTENSION` fails. So the extension and all that belongs to it are
//! left out and told; in that very database, too, where its jobs would run beside the load, on tables that are
//! not whole. Jobs of an original do not run from its copy.
//! Source: `pg_cron.sql` and `src/pg_cron.c` of `github.com/citusdata/pg_cron`.

use std::borrow::Cow;

use super::names::{Name, shown};
use super::server::Server;
use super::statement::{Object, Step, named};
use super::wire::WireError;
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::fault::{Result, Stage};
use crate::runner::inventory::DatabaseEntry;

const EXTENSION: &str = "pg_cron";
const SCHEMA: &[u8] = b"cron";
/// Its tables and sequences.
const RELATIONS: [&[u8]; 4] = [b"job", b"job_run_details", b"jobid_seq", b"runid_seq"];
/// Its functions.
const ROUTINES: [&[u8]; 5] =
    [b"alter_job", b"job_cache_invalidate", b"schedule", b"schedule_in_database", b"unschedule"];
/// The table of the jobs, and that of what became of their runs, as the inventory names them.
const JOBS: &str = "cron.job";
const RUNS: &str = "cron.job_run_details";
/// `insufficient_privilege`.
const NO_RIGHT: &str = "42501";

/// Why statements are left out.
const ELSEWHERE: &str = "it works only in the database that the server's cron.database_name names";

/// What becomes of `pg_cron` and its jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Jobs {
    /// The dump does not need it.
    #[default]
    None,
    /// They are left out.
    LeftOut(Setting),
}

/// The server's `cron.database_name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// The database.
    Is(String),
    /// The server has not loaded `pg_cron`.
    Unset,
    /// The server does not show it to this login: with `pg_cron` loaded only to superusers and who may read all
    /// settings.
    Hidden,
}

impl Setting {
    /// Why a load is without `pg_cron`.
    fn why(&self) -> String {
        let only = |database: &str| {
            format!("the server takes it only in {database}, and its jobs run there at once")
        };
        match self {
            Self::Is(database) => only(&format!("the database {}", shown(database.as_bytes()))),
            Self::Hidden => only(&self.database()),
            Self::Unset => "the server has not loaded it (shared_preload_libraries)".to_owned(),
        }
    }

    /// The database that has it.
    fn database(&self) -> String {
        match self {
            Self::Is(database) => shown(database.as_bytes()),
            Self::Unset | Self::Hidden => "the database of cron.database_name".to_owned(),
        }
    }
}

fn needs(extensions: &[String]) -> bool {
    extensions.iter().any(|name| name == EXTENSION)
}

/// Decides it; asks the server where the dump needs `pg_cron`.
pub(super) fn ask(server: &mut Server, incoming: &DatabaseEntry, stage: Stage) -> Result<Jobs> {
    if !needs(&incoming.facts.extensions) {
        return Ok(Jobs::None);
    }
    Ok(Jobs::LeftOut(setting(server, stage)?))
}

fn setting(server: &mut Server, stage: Stage) -> Result<Setting> {
    let sql = "SELECT pg_catalog.current_setting('cron.database_name', true)";
    match server.session.connection.ask(sql, &[]) {
        Ok(rows) => {
            let name = rows.first().and_then(|row| row.text(0)).filter(|name| !name.is_empty());
            Ok(name.map_or(Setting::Unset, |name| Setting::Is(name.to_owned())))
        }
        Err(error @ WireError::Server(_)) if error.sqlstate() == Some(NO_RIGHT) => Ok(Setting::Hidden),
        Err(error) => {
            let what = "failed to ask for the database of pg_cron";
            Err(error.fault(stage, Reason::TargetUnavailable, what))
        }
    }
}

impl Jobs {
    /// Why a statement is left out, if it is: one about the extension, or about what belongs to it. Names without
    /// a schema are in `schema`.
    pub(super) fn leaves_out(
        &self,
        step: &Step,
        text: &[u8],
        (schema, conforming): (Option<&[u8]>, bool),
    ) -> Option<&'static str> {
        if *self == Self::None {
            return None;
        }
        let (object, name) = subject(step, text, conforming)?;
        belongs(object, &name, schema).then_some(ELSEWHERE)
    }

    /// What a person should know.
    pub(super) fn note(&self, incoming: &DatabaseEntry) -> Option<String> {
        let tables = incoming.facts.tables.iter().flatten();
        let number = tables.filter(|table| table.name == JOBS).map(|table| table.rows).sum();
        let jobs = counted(number, "job");
        match self {
            Self::None => None,
            Self::LeftOut(setting) => Some(format!(
                "left out, the extension pg_cron with {jobs}: {}; to have jobs run here, after the switch run \
                 CREATE EXTENSION pg_cron in {}, and there cron.schedule_in_database for each",
                setting.why(),
                setting.database()
            )),
        }
    }

    /// The extensions that the server must have.
    pub(super) fn needed<'e>(&self, all: &'e [String]) -> Cow<'e, [String]> {
        match self {
            Self::LeftOut(_) => all.iter().filter(|name| *name != EXTENSION).cloned().collect(),
            Self::None => Cow::Borrowed(all),
        }
    }

    /// The inventory of what is loaded.
    pub(super) fn expected<'e>(&self, incoming: &'e DatabaseEntry) -> Cow<'e, DatabaseEntry> {
        match self {
            Self::LeftOut(_) => {
                let mut entry = incoming.clone();
                let stays = |name: &str| name != JOBS && name != RUNS;
                entry.facts.tables.iter_mut().for_each(|all| all.retain(|table| stays(&table.name)));
                entry.facts.digests.iter_mut().for_each(|all| all.retain(|digest| stays(&digest.table)));
                Cow::Owned(entry)
            }
            Self::None => Cow::Borrowed(incoming),
        }
    }
}

/// The object that a statement is about; of what is a part of a table, the table.
fn subject(step: &Step, text: &[u8], conforming: bool) -> Option<(Object, Name)> {
    match step {
        Step::Extension { name, .. } => Some((Object::Extension, Name::bare(name.clone()))),
        Step::Comment { .. }
        | Step::SecurityLabel { .. }
        | Step::Grant { .. }
        | Step::DefaultPrivileges { .. } => named(text, conforming),
        Step::Owner { object, name: Some(name), .. } | Step::Alter { object, name: Some(name) } => {
            Some((*object, name.clone()))
        }
        Step::CopyFrom { table, .. }
        | Step::Insert { table }
        | Step::AlterTable { table, .. }
        | Step::Index { table, .. }
        | Step::Key { table, .. }
        | Step::ForeignKey { table, .. }
        | Step::Trigger { table }
        | Step::Rule { table }
        | Step::Policy { table, .. }
        | Step::SequenceValue { sequence: table }
        | Step::RelationStatistics { relation: table } => Some((Object::Table, table.clone())),
        _ => None,
    }
}

/// Whether an object is the extension, or one that its script makes.
fn belongs(object: Object, name: &Name, schema: Option<&[u8]>) -> bool {
    match object {
        Object::Extension => name.name == EXTENSION.as_bytes(),
        Object::Schema => name.name == SCHEMA,
        _ if name.schema.as_deref().or(schema) != Some(SCHEMA) => false,
        Object::Function | Object::Procedure => ROUTINES.contains(&name.name.as_slice()),
        _ => RELATIONS.contains(&name.name.as_slice()),
    }
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;

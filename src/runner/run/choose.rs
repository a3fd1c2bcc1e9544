//! Which databases of the backup go into which targets.

use std::collections::BTreeSet;

use super::Run;
use super::told::{no_database, not_held};
use crate::plan::{DATABASES_LIMIT, DatabaseMapping, EngineSettings, TargetPlan};
use crate::reason::Reason;
use crate::runner::engine::Incoming;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, SourceEngine};
use crate::runner::read::{Examined, read_sidecar};
use crate::runner::source::Artifact;

/// Longest name of a database of PostgreSQL in bytes (`NAMEDATALEN` - 1).
const NAME_BYTES: usize = 63;

/// What goes into one target, in the order of the targets.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// The dump that it is in: its index in [`Examined::databases`].
    pub(super) dump: usize,
    /// What pass 1 has learned of it.
    pub(super) entry: DatabaseEntry,
    /// The dump is of other databases too.
    pub(super) is_part: bool,
}

impl Chosen {
    pub(super) const fn incoming(&self, target: usize) -> Incoming<'_> {
        Incoming { target, entry: &self.entry }
    }
}

impl Run<'_, '_> {
    /// Whether the targets are known before the backup is read: by the manifest, by the connection, or
    /// where all databases are wanted by the backup's sidecar.
    pub(super) fn knows_targets(&mut self, artifact: &Artifact) -> Result<bool> {
        let Some(target) = &self.plan.target else { return Ok(false) };
        let EngineSettings::Postgres(_) = &target.settings else { return Ok(true) };
        if !self.mapping.is_empty() {
            return Ok(true);
        }
        let named = read_sidecar(artifact).ok().flatten().map(|sidecar| sidecar.databases);
        let named: Vec<DatabaseMapping> = named
            .unwrap_or_default()
            .iter()
            .filter(|name| !is_servers(target, name))
            .map(|name| own_name(name))
            .collect();
        if named.is_empty() || named.len() > DATABASES_LIMIT {
            return Ok(false);
        }
        self.aim(named)?;
        Ok(true)
    }

    /// Sets the mapping of a run whose manifest has none.
    fn aim(&mut self, mapping: Vec<DatabaseMapping>) -> Result<()> {
        let names: Vec<String> = mapping.iter().map(|row| row.to.clone()).collect();
        check_names(&names)?;
        if let Some(other) =
            self.plan.queries.iter().chain(&self.plan.hooks).find(|sql| !names.contains(&sql.database))
        {
            let message = format!(
                "SQL of the manifest is for {}, and the backup is of {}",
                other.database,
                names.join(", ")
            );
            return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
        }
        self.mapping = mapping;
        self.engine()?.aim(&names)
    }

    /// The databases of the backup that go into the targets, and the dumps that they are in.
    pub(super) fn choose_databases(&mut self, examined: &Examined) -> Result<Vec<Chosen>> {
        let Some(target) = &self.plan.target else { return Err(no_database()) };
        check_engine(target, examined)?;
        if matches!(target.settings, EngineSettings::Sqlite(_)) && self.mapping.is_empty() {
            return only(examined);
        }
        if target.databases.is_empty() {
            self.choose_all(target, examined)?;
        }
        let chosen = self.mapping.iter().map(|row| find(examined, &row.from)).collect::<Result<Vec<_>>>()?;
        let nameless = chosen.iter().filter(|it| it.entry.name.is_none()).count();
        if nameless > 1 || (nameless == 1 && chosen.len() > 1) {
            let message = format!(
                "the backup does not name its database, and the mapping names {}; keep the row that is meant",
                chosen.len()
            );
            return Err(Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, message));
        }
        Ok(chosen)
    }

    /// All databases of the backup under their own names, but those that every server has for itself.
    fn choose_all(&mut self, target: &TargetPlan, examined: &Examined) -> Result<()> {
        let mut names: Vec<String> = Vec::new();
        for name in names_of(examined)? {
            if is_servers(target, &name) {
                self.report.warnings.push(format!("left out, database {name}: it is the server's own"));
            } else {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(no_database());
        }
        if names.len() > DATABASES_LIMIT {
            let message = format!(
                "the backup holds {} databases, and one run restores up to {DATABASES_LIMIT}; name them in target.databases of several",
                names.len()
            );
            return Err(Fault::new(Stage::Inspect, Reason::NotSupported, message));
        }
        if self.mapping.is_empty() {
            return self.aim(names.iter().map(|name| own_name(name)).collect());
        }
        let known: BTreeSet<&str> = self.mapping.iter().map(|row| row.from.as_str()).collect();
        let Some(other) = names.iter().find(|name| !known.contains(name.as_str())) else { return Ok(()) };
        let message = format!(
            "the backup holds the database {other}, which its sidecar does not name; name the databases in target.databases"
        );
        Err(Fault::new(Stage::Inspect, Reason::InvalidSpec, message))
    }
}

/// Names that come from a backup must be such that a server can have.
fn check_names(names: &[String]) -> Result<()> {
    let mut seen = BTreeSet::new();
    let unfit =
        names.iter().find(|name| !(1..=NAME_BYTES).contains(&name.len()) || !seen.insert(name.as_str()));
    let Some(other) = unfit else { return Ok(()) };
    let message = format!(
        "the backup names a database {other:?}, which is empty, too long or named twice; name the databases in target.databases"
    );
    Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message))
}

fn own_name(name: &str) -> DatabaseMapping {
    DatabaseMapping { from: name.to_owned(), to: name.to_owned() }
}

/// Whether a database of this name is not for runs to replace.
fn is_servers(target: &TargetPlan, name: &str) -> bool {
    match &target.settings {
        EngineSettings::Sqlite(_) => false,
        EngineSettings::Postgres(server) => server.keeps(name),
    }
}

/// The names of all databases in the backup.
fn names_of(examined: &Examined) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in &examined.databases {
        match (entry.facts.databases.as_slice(), &entry.name) {
            (several @ [_, _, ..], _) => names.extend(several.iter().map(|it| it.name.clone())),
            (_, Some(name)) => names.push(name.clone()),
            (_, None) => {
                let message = "the backup does not name its database; name it in target.databases";
                return Err(Fault::new(Stage::Inspect, Reason::InvalidSpec, message));
            }
        }
    }
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(names),
        Some(twice) => {
            let message = format!("the backup holds two databases that are called {twice}");
            Err(Fault::new(Stage::Inspect, Reason::NotSupported, message))
        }
    }
}

/// The backup's only database.
fn only(examined: &Examined) -> Result<Vec<Chosen>> {
    match examined.databases.as_slice() {
        [entry] => Ok(vec![Chosen { dump: 0, entry: entry.clone(), is_part: false }]),
        several => {
            let message =
                format!("the backup holds {} databases; name one in target.databases", several.len());
            Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message))
        }
    }
}

/// The database of this name.
fn find(examined: &Examined, name: &str) -> Result<Chosen> {
    let not_held = || not_held(name, examined);
    let holds = |entry: &DatabaseEntry| match entry.facts.databases.as_slice() {
        several @ [_, _, ..] => several.iter().any(|it| it.name == name),
        // A single dump may not say its own name; the mapping's word is then taken.
        _ => entry.name.as_ref().is_none_or(|own| own == name),
    };
    let dump = examined.databases.iter().position(holds).ok_or_else(not_held)?;
    let entry = examined.databases.get(dump).ok_or_else(no_database)?;
    if entry.facts.databases.len() <= 1 {
        return Ok(Chosen { dump, entry: entry.clone(), is_part: false });
    }
    let twice = entry.facts.databases.iter().filter(|it| it.name == name).count() > 1;
    if twice {
        let message = format!("the backup holds two databases whose names both read {name} as text");
        return Err(Fault::new(Stage::Inspect, Reason::NotSupported, message));
    }
    Ok(Chosen { dump, entry: entry.of_database(name).ok_or_else(not_held)?, is_part: true })
}

fn check_engine(target: &TargetPlan, examined: &Examined) -> Result<()> {
    let engine = target.engine().name();
    let found = examined.engine.map(|found| format!("{found:?}")).unwrap_or_default();
    let (reason, message) = match examined.engine {
        Some(
            other @ (SourceEngine::Redis
            | SourceEngine::Valkey
            | SourceEngine::Firebird
            | SourceEngine::AzureSQL),
        ) => (Reason::UnsupportedFormat, format!("is a backup of {other:?}, which cannot be restored")),
        _ if found != engine => {
            (Reason::EngineMismatch, format!("is a backup of {found}, the target is {engine}"))
        }
        _ => return Ok(()),
    };
    Err(Fault::new(Stage::Inspect, reason, format!("{} {message}", examined.artifact.describe())))
}

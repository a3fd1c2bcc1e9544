//! One of the databases that a run restores to, and what the run knows of it.

use super::beside::Beside;
use super::carry::Carried;
use super::load::Loaded;
use super::server::PostgresTarget;
use super::survey::Seen;
use super::{out_of_order, verify};
use crate::runner::engine::{Context, LoadedTable, Verified};
use crate::runner::fault::Result;
use crate::runner::inventory::DatabaseEntry;

/// A target database.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) settings: PostgresTarget,
    pub(super) seen: Option<Seen>,
    /// What the target had that was dropped before the load.
    pub(super) carried: Option<Carried>,
    /// The load of an earlier run that this one switches to.
    pub(super) taken: Option<String>,
    pub(super) loaded: Option<Loaded>,
    pub(super) verified: Option<Vec<LoadedTable>>,
}

impl Target {
    pub(super) fn new(settings: PostgresTarget) -> Self {
        Self { settings, seen: None, carried: None, taken: None, loaded: None, verified: None }
    }

    pub(super) fn seen(&self) -> Result<&Seen> {
        self.seen.as_ref().ok_or_else(|| out_of_order("the target was not surveyed"))
    }

    /// The database that is loaded.
    pub(super) fn shadow(&self) -> String {
        let PostgresTarget { database, run_id, .. } = &self.settings;
        match (&self.taken, &self.seen) {
            (Some(taken), _) => taken.clone(),
            (None, Some(seen)) if seen.is_in_place() => database.clone(),
            (None, _) => Beside::Shadow(run_id.clone()).name(database),
        }
    }

    /// The database that was loaded and verified.
    pub(super) fn verified(&self) -> Result<String> {
        match &self.verified {
            Some(_) => Ok(self.shadow()),
            None => Err(out_of_order("the loaded database was not verified")),
        }
    }

    /// What was loaded and verified, where the old database is dropped already: it is all that there is. Its
    /// name, and one under which no other run drops it.
    pub(super) fn worth_keeping(&self) -> Option<(String, String)> {
        self.carried.as_ref().and(self.verified.as_ref())?;
        let PostgresTarget { database, run_id, .. } = &self.settings;
        Some((self.shadow(), Beside::Held(format!("{run_id}-kept")).name(database)))
    }

    /// Counts what was loaded.
    pub(super) fn verify(&mut self, incoming: &DatabaseEntry, context: &Context) -> Result<Verified> {
        let Some(loaded) = &self.loaded else { return Err(out_of_order("nothing was loaded")) };
        let verified = verify::verify(&self.settings, &self.shadow(), incoming, loaded, context)?;
        self.verified = Some(verified.tables.clone());
        Ok(verified)
    }
}

//! The backup of a run: which one it is, whether it is good, and which database of it goes into the
//! target.

use std::sync::Arc;

use super::options::options;
use super::told::{check_pinned, no_database, not_held};
use super::{Run, Source, backup_report};
use crate::plan::{Format, Pinned, Selector};
use crate::reason::Reason;
use crate::report::BackupReport;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, SourceEngine};
use crate::runner::read::{Examined, Request, examine, read_sidecar};
use crate::runner::select;
use crate::runner::source::{Artifact, ObjectStat};

impl Run<'_, '_> {
    fn source(&self) -> Result<&Source> {
        let missing = || Fault::new(Stage::Resolve, Reason::InternalError, "the run has no source");
        self.parts.source.as_ref().ok_or_else(missing)
    }

    /// Finds the backup. One that an earlier attempt has looked at must still be the same.
    pub(super) fn resolve(&mut self) -> Result<Artifact> {
        let store = Arc::clone(&self.source()?.store);
        let path = match (&self.parts.errand.pinned, &self.plan.backup.selector) {
            (Some(pinned), _) => pinned.path.clone(),
            (None, Selector::Path(path)) => path.clone(),
            (None, Selector::Latest(wanted)) => {
                let chosen = select::latest(store.as_ref(), wanted, self.parts.now)?;
                self.report.warnings.extend(chosen.warnings);
                chosen.path
            }
        };
        let artifact = Artifact { store, path };
        let stat = artifact.store.stat(&artifact.path)?;
        if let Some(pinned) = &self.parts.errand.pinned {
            check_pinned(pinned, &pin(&artifact, &stat), &artifact)?;
        }
        // Known this early so that a refusal can name what would be restored.
        self.report.backup = Some(BackupReport {
            path: artifact.path.clone(),
            storage: artifact.store.describe(),
            size: stat.size,
            etag: Some(stat.pin.etag()),
            version_id: stat.pin.version().map(str::to_owned),
            sha256: None,
            proof: None,
            // Of the sidecar; whether it is true, pass 1 will tell.
            timestamp: read_sidecar(&artifact).ok().flatten().and_then(|sidecar| sidecar.timestamp),
            format: None,
            compression: None,
            encryption: None,
            profile: None,
            discovered: false,
            engine: None,
            engine_version: None,
        });
        self.stat = Some(stat);
        Ok(artifact)
    }

    /// The backup that was resolved, as the next attempt would be bound to it.
    pub(super) fn pinned(&self, artifact: &Artifact) -> Option<Pinned> {
        self.stat.as_ref().map(|stat| pin(artifact, stat))
    }

    /// Pass 1.
    pub(super) fn examine(&mut self, artifact: &Artifact) -> Result<Examined> {
        let options = options(self.plan)?;
        let context = self.parts.context.clone();
        let (stat, keys) = (self.stat.as_ref(), &self.source()?.keys);
        let examined = examine(Request { artifact, stat, keys, options: &options, context: &context })?;
        if self.plan.backup.format == Format::DBackup && !examined.dbackup {
            let message = format!("{} is not a backup made by DBackup", artifact.describe());
            return Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, message));
        }
        self.report.warnings.extend(examined.warnings.iter().cloned());
        self.report.backup = Some(backup_report(&examined));
        Ok(examined)
    }

    /// The one database of the backup that goes into the target, and the dump that it is in.
    pub(super) fn choose_database(&mut self, examined: &Examined) -> Result<(usize, DatabaseEntry)> {
        let Some(target) = &self.plan.target else { return Err(no_database()) };
        let engine = target.engine().name();
        let found = examined.engine.map(|found| format!("{found:?}")).unwrap_or_default();
        if let Some(
            other @ (SourceEngine::Redis
            | SourceEngine::Valkey
            | SourceEngine::Firebird
            | SourceEngine::AzureSQL),
        ) = examined.engine
        {
            let message = format!(
                "{} is a backup of {other:?}, which cannot be restored",
                examined.artifact.describe()
            );
            return Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, message));
        }
        if found != engine {
            let message =
                format!("{} is a backup of {found}, the target is {engine}", examined.artifact.describe());
            return Err(Fault::new(Stage::Inspect, Reason::EngineMismatch, message));
        }
        let index = match target.databases.first() {
            None if examined.databases.len() == 1 => 0,
            None => {
                let message = format!(
                    "the backup holds {} databases; name one in target.databases",
                    examined.databases.len()
                );
                return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
            }
            // A single dump may not say its own name; the mapping's word is then taken.
            Some(row) => examined
                .databases
                .iter()
                .position(|entry| entry.name.as_ref().is_none_or(|name| *name == row.from))
                .ok_or_else(|| not_held(&row.from, examined))?,
        };
        let mut entry = examined.databases.get(index).ok_or_else(no_database)?.clone();
        if entry.facts.databases.len() > 1
            && let Some(row) = target.databases.first()
        {
            entry = entry.of_database(&row.from).ok_or_else(|| not_held(&row.from, examined))?;
        }
        if let Some(row) = self.report_row() {
            row.from.clone_from(&entry.name);
            row.bytes = Some(entry.bytes);
        }
        Ok((index, entry))
    }
}

fn pin(artifact: &Artifact, stat: &ObjectStat) -> Pinned {
    Pinned {
        path: artifact.path.clone(),
        size: stat.size,
        etag: Some(stat.pin.etag()),
        version_id: stat.pin.version().map(str::to_owned),
    }
}

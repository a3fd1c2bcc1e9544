//! The backup of a run: which one it is, and whether it is good.

use std::sync::Arc;

use super::options::options;
use super::told::check_pinned;
use super::{Run, Source, backup_report};
use crate::plan::{Format, Pinned, Selector};
use crate::reason::Reason;
use crate::report::BackupReport;
use crate::runner::fault::{Fault, Result, Stage};
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
}

fn pin(artifact: &Artifact, stat: &ObjectStat) -> Pinned {
    Pinned {
        path: artifact.path.clone(),
        size: stat.size,
        etag: Some(stat.pin.etag()),
        version_id: stat.pin.version().map(str::to_owned),
    }
}

//! What is done with a target apart from a restore: the switch of what was held, the way back to a
//! kept previous database, and clearing away what runs left.

use super::Run;
use super::told::{failure, no_database};
use crate::plan::{Held, Pinned};
use crate::reason::Reason;
use crate::report::Outcome;
use crate::runner::engine::Incoming;
use crate::runner::fault::{Fault, Result, Stage};

impl Run<'_, '_> {
    /// Switches to what an earlier run has loaded and verified. The backup is not read again; it need
    /// not even be there.
    pub(super) fn switch_held(&mut self, held: &Held) -> Result<Outcome> {
        let mut backup = self.parts.errand.pinned.clone();
        if backup.is_none() {
            let artifact = self.step(Stage::Resolve, "Resolve", Self::resolve)?;
            backup = self.pinned(&artifact);
        }
        self.step(Stage::Preflight, "Quick preflight", |run| run.survey(backup.as_ref()))?;
        let Some(target) = &mut self.report.target else { return Err(no_database()) };
        target.held.clone_from(&held.shadows);
        if target.databases.len() != held.shadows.len() {
            let message = "what is held is not as many databases as the mapping names";
            return Err(Fault::new(Stage::Preflight, Reason::InvalidSpec, message));
        }
        let confirmed = self.plan.overwrite.confirmed_plan.as_ref();
        if target.plan_token != held.token && confirmed != Some(&target.plan_token) {
            target.confirmation_required = true;
            let message = format!(
                "{} is not what it was when {} was loaded for it, so putting that in its place is asked about once more",
                target.summary,
                held.shadows.join(", ")
            );
            self.report.failure = Some(failure(&Fault::new(Stage::Preflight, Reason::PlanChanged, message)));
            return Ok(Outcome::AwaitingConfirmation);
        }
        self.drop_expired()?;
        self.step(Stage::Verify, "Verify", |run| {
            for (index, shadow) in held.shadows.iter().enumerate() {
                let verified = run.engine()?.take_up(index, shadow)?;
                run.record_verified(index, &[], verified);
            }
            Ok(())
        })?;
        self.step(Stage::Switch, "Switch", Self::switch)?;
        if let Some(target) = &mut self.report.target {
            target.held.clear();
        }
        Ok(Outcome::Restored)
    }

    /// Puts a kept previous database back: a restore whose backup is that file. What is there now is
    /// replaced and kept like anything else.
    pub(super) fn revert(&mut self, previous: &str) -> Result<Outcome> {
        let source = Pinned { path: previous.to_owned(), size: 0, etag: None, version_id: None };
        let surveys = self.step(Stage::Preflight, "Quick preflight", |run| run.survey(Some(&source)))?;
        if surveys.len() != 1 {
            let message = "one database is put back at a time, and the plan names several";
            return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
        }
        if !self.is_agreed(&surveys, previous)? {
            return Ok(Outcome::AwaitingConfirmation);
        }
        let entry =
            self.step(Stage::Inspect, "Check previous", |run| run.engine()?.examine_previous(0, previous))?;
        let incoming = Incoming { target: 0, entry: &entry };
        self.step(Stage::Preflight, "Preflight", |run| {
            // Kept copies whose time is over stay: it may be this one.
            let findings = run.engine()?.preflight(incoming)?;
            run.record_findings(findings);
            Ok(())
        })?;
        self.step(Stage::Restore, "Restore", |run| run.engine()?.load_previous(previous, incoming))?;
        self.step(Stage::Verify, "Verify", |run| {
            // The queries of the manifest are about the backup.
            let verified = run.engine()?.verify(incoming)?;
            run.record_verified(0, &[], verified);
            Ok(())
        })?;
        self.step(Stage::Switch, "Switch", Self::switch)?;
        Ok(Outcome::Restored)
    }

    /// Removes what runs left beside the target.
    pub(super) fn discard(&mut self, held: Option<&Held>) -> Result<Outcome> {
        let held = held.map_or(&[][..], |held| &held.shadows);
        let now = self.parts.now;
        let removed = self.step(Stage::CleanUp, "Discard", |run| run.engine()?.clear(held, now))?;
        self.report.warnings.extend(removed.into_iter().map(|name| format!("removed {name}")));
        Ok(Outcome::Discarded)
    }
}

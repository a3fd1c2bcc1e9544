//! What is done with a target apart from a restore: the switch of what was held, the way back to a
//! kept previous database, and clearing away what runs left.

use super::Run;
use super::told::{failure, no_database};
use crate::plan::{Held, Pinned};
use crate::reason::Reason;
use crate::report::Outcome;
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
        target.held = Some(held.shadow.clone());
        let confirmed = self.plan.overwrite.confirmed_plan.as_ref();
        if target.plan_token != held.token && confirmed != Some(&target.plan_token) {
            target.confirmation_required = true;
            let message = format!(
                "{} is not what it was when {} was loaded for it, so putting that in its place is asked about once more",
                target.summary, held.shadow
            );
            self.report.failure = Some(failure(&Fault::new(Stage::Preflight, Reason::PlanChanged, message)));
            return Ok(Outcome::AwaitingConfirmation);
        }
        self.drop_expired()?;
        self.step(Stage::Verify, "Verify", |run| {
            let verified = run.engine()?.take_up(&held.shadow)?;
            run.record_verified(&[], verified);
            Ok(())
        })?;
        self.step(Stage::Switch, "Switch", Self::switch)?;
        if let Some(target) = &mut self.report.target {
            target.held = None;
        }
        Ok(Outcome::Restored)
    }

    /// Puts a kept previous database back: a restore whose backup is that file. What is there now is
    /// replaced and kept like anything else.
    pub(super) fn revert(&mut self, previous: &str) -> Result<Outcome> {
        let source = Pinned { path: previous.to_owned(), size: 0, etag: None, version_id: None };
        let survey = self.step(Stage::Preflight, "Quick preflight", |run| run.survey(Some(&source)))?;
        if !self.is_agreed(&survey, previous.to_owned())? {
            return Ok(Outcome::AwaitingConfirmation);
        }
        let entry =
            self.step(Stage::Inspect, "Check previous", |run| run.engine()?.examine_previous(previous))?;
        self.step(Stage::Preflight, "Preflight", |run| {
            // Kept copies whose time is over stay: it may be this one.
            let findings = run.engine()?.preflight(&entry)?;
            run.record_findings(findings);
            Ok(())
        })?;
        self.step(Stage::Restore, "Restore", |run| run.engine()?.load_previous(previous, &entry))?;
        self.step(Stage::Verify, "Verify", |run| {
            // The queries of the manifest are about the backup.
            let verified = run.engine()?.verify(&entry)?;
            run.record_verified(&[], verified);
            Ok(())
        })?;
        self.step(Stage::Switch, "Switch", Self::switch)?;
        Ok(Outcome::Restored)
    }

    /// Removes what runs left beside the target.
    pub(super) fn discard(&mut self, held: Option<&Held>) -> Result<Outcome> {
        let held = held.map(|held| held.shadow.as_str());
        let now = self.parts.now;
        let removed = self.step(Stage::CleanUp, "Discard", |run| run.engine()?.clear(held, now))?;
        self.report.warnings.extend(removed.into_iter().map(|name| format!("removed {name}")));
        Ok(Outcome::Discarded)
    }
}

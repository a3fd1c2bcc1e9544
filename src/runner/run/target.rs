//! The target of a run: what it holds, whether that may be replaced, and everything that is done
//! there.

use std::collections::HashMap;

use super::consent::{self, Consent};
use super::told::{failure, of_hook, plan_token, unanswered};
use super::{Question, Run, open};
use crate::plan::{Mode, Pinned};
use crate::reason::Reason;
use crate::report::{
    DatabaseReport, HoldsReport, PreviousReport, SpaceReport, TableReport, TargetReport, VerificationReport,
    counted,
};
use crate::runner::engine::{Action, Context, Findings, Survey, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, TableRows};
use crate::runner::progress::Progress;
use crate::runner::read::Examined;

impl Run<'_, '_> {
    /// The quick preflight; `backup` is what would be restored.
    pub(super) fn survey(&mut self, backup: Option<&Pinned>) -> Result<Survey> {
        let survey = self.engine()?.survey()?;
        let Some(target) = &self.plan.target else { return Ok(survey) };
        self.report.target = Some(TargetReport {
            summary: format!("{}/{}", target.connection, survey.target),
            engine: target.engine().name().to_owned(),
            version: survey.version.clone(),
            identity: survey.server_identity.clone(),
            place: survey.target.clone(),
            plan_token: plan_token(backup, &survey, &self.plan.references),
            strategy: match survey.action {
                Action::Swap => "Swap".to_owned(),
                Action::Create | Action::Replace => "Direct".to_owned(),
            },
            confirmation_required: false,
            space: None,
            databases: vec![DatabaseReport {
                from: target.databases.first().map(|row| row.from.clone()),
                to: survey.target.clone(),
                action: format!("{:?}", survey.action),
                holds: survey.holds.as_ref().map(HoldsReport::from),
                tables: None,
                rows: None,
                bytes: None,
                previous: None,
            }],
            held: None,
        });
        Ok(survey)
    }

    /// Whether the target's data may be replaced. Mode Plan only notes what would be asked.
    pub(super) fn is_agreed(&mut self, survey: &Survey, backup: String) -> Result<bool> {
        let token = self.report.target.as_ref().map_or("", |target| target.plan_token.as_str());
        let consent = consent::decide(&self.plan.overwrite, survey, token, self.parts.now);
        let planning = self.plan.mode == Mode::Plan;
        match consent {
            Consent::NotNeeded | Consent::Given => Ok(true),
            Consent::Refused(message) => Err(Fault::new(Stage::Preflight, Reason::TargetNotEmpty, message)),
            Consent::Needed(reason, message) => {
                if let Some(target) = &mut self.report.target {
                    target.confirmation_required = true;
                }
                let question = Question {
                    target: survey.target.clone(),
                    message: message.clone(),
                    backup,
                    made: self.report.backup.as_ref().and_then(|backup| backup.timestamp),
                };
                if planning || (self.parts.ask)(&question) {
                    return Ok(true);
                }
                self.parts.context.cancel.check(Stage::Preflight)?;
                self.report.failure = Some(failure(&Fault::new(Stage::Preflight, reason, message)));
                Ok(false)
            }
        }
    }

    pub(super) fn report_row(&mut self) -> Option<&mut DatabaseReport> {
        self.report.target.as_mut().and_then(|target| target.databases.first_mut())
    }

    /// The full preflight, with the inventory.
    pub(super) fn preflight(&mut self, entry: &DatabaseEntry) -> Result<()> {
        // Kept copies go only when all else fits, and for want of room only if it is the one obstacle.
        let findings = match self.engine()?.preflight(entry) {
            Err(fault) if fault.reason == Reason::NoRoom && self.drop_expired()? => {
                self.engine()?.preflight(entry)?
            }
            result => result?,
        };
        self.drop_expired()?;
        self.record_findings(findings);
        self.report.warnings.extend(entry.facts.warnings.iter().cloned());
        Ok(())
    }

    /// What the full preflight has found, for the report.
    pub(super) fn record_findings(&mut self, findings: Findings) {
        self.report.warnings.extend(findings.notes);
        if let Some(target) = &mut self.report.target {
            target.space = findings.space.map(|space| SpaceReport { needed: space.needed, free: space.free });
        }
    }

    /// Removes kept copies whose time is over; whether there were any. Only a real run does.
    pub(super) fn drop_expired(&mut self) -> Result<bool> {
        if self.plan.mode != Mode::Restore {
            return Ok(false);
        }
        let now = self.parts.now;
        let removed = self.engine()?.drop_expired(now);
        let any = !removed.is_empty();
        let told = removed.into_iter().map(|name| format!("removed {name}, whose time was over"));
        self.report.warnings.extend(told);
        Ok(any)
    }

    /// Pass 2.
    pub(super) fn load(&mut self, examined: &Examined, index: usize, entry: &DatabaseEntry) -> Result<()> {
        // The engine tells the progress of a load; counting what is read for it would count twice.
        let context = Context { progress: Progress::default(), ..self.parts.context.clone() };
        let mut dump = examined.open_database(index, &context)?;
        self.engine()?.load(entry, &mut *dump)
    }

    /// Compares what was loaded with the backup, asks what the manifest wants to have asked, and runs its
    /// hooks.
    pub(super) fn verify(&mut self, entry: &DatabaseEntry) -> Result<()> {
        let mut verified = self.engine()?.verify(entry)?;
        for (number, query) in self.plan.queries.iter().enumerate() {
            self.engine()?.query(&query.sql).map_err(|fault| unanswered(number + 1, fault))?;
        }
        let queries = self.plan.queries.len() as u64;
        if queries > 0 {
            verified.checks.push(format!("{} answered true", counted(queries, "query")));
        }
        for (number, sql) in self.plan.hooks.iter().enumerate() {
            let run = self.engine()?.hook(sql).map_err(|fault| of_hook(number + 1, fault))?;
            verified.checks.push(format!(
                "hook {} run after that: {}",
                number + 1,
                counted(run, "statement")
            ));
        }
        self.record_verified(entry.facts.tables.as_deref().unwrap_or_default(), verified);
        if let Some(verification) = &mut self.report.verification {
            verification.queries = queries;
        }
        Ok(())
    }

    /// What was counted, for the report, beside the rows that the backup states.
    pub(super) fn record_verified(&mut self, in_backup: &[TableRows], verified: Verified) {
        let counted: HashMap<&str, u64> =
            in_backup.iter().map(|table| (table.name.as_str(), table.rows)).collect();
        let expected = |table: &str| counted.get(table).copied();
        if let Some(row) = self.report_row() {
            row.tables = Some(verified.tables.len() as u64);
            row.rows = Some(verified.tables.iter().map(|table| table.rows).sum());
            row.bytes = Some(verified.bytes);
        }
        let tables = verified
            .tables
            .into_iter()
            .map(|table| TableReport { expected: expected(&table.name), name: table.name, rows: table.rows })
            .collect();
        self.report.verification = Some(VerificationReport { tables, checks: verified.checks, queries: 0 });
    }

    /// Leaves what was loaded for the run that switches.
    pub(super) fn hold(&mut self) -> Result<()> {
        let held = self.engine()?.hold()?;
        if let Some(target) = &mut self.report.target {
            target.held = Some(held);
        }
        Ok(())
    }

    /// Puts the loaded database in the target's place.
    pub(super) fn switch(&mut self) -> Result<()> {
        let until = open::keep_until(self.plan, self.parts.now);
        let previous = self.engine()?.switch()?;
        let notes = self.engine()?.switch_notes();
        self.report.warnings.extend(notes);
        if let Some(row) = self.report_row() {
            row.previous =
                previous.map(|previous| PreviousReport { name: previous.name, until, bytes: previous.bytes });
        }
        Ok(())
    }
}

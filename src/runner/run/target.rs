//! The targets of a run: what they hold, whether that may be replaced, and everything that is done
//! there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::choose::Chosen;
use super::consent::{self, Consent};
use super::told::{failure, of_hook, plan_token, unanswered};
use super::{Question, Run, memory, open};
use crate::plan::{Mode, Pinned};
use crate::reason::Reason;
use crate::report::{
    DatabaseReport, HoldsReport, PreviousReport, SpaceReport, TableReport, TargetReport, counted,
};
use crate::runner::engine::{Action, Context, Findings, Incoming, Previous, Space, Survey, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::TableRows;
use crate::runner::progress::Progress;
use crate::runner::read::Examined;
use crate::runner::source::Artifact;

impl Run<'_, '_> {
    /// The quick preflight, and whether data of the targets may be replaced.
    pub(super) fn agree(&mut self, artifact: &Artifact) -> Result<bool> {
        let pinned = self.pinned(artifact);
        let surveys = self.step(Stage::Preflight, "Quick preflight", |run| run.survey(pinned.as_ref()))?;
        self.is_agreed(&surveys, &artifact.describe())
    }

    /// The quick preflight; `backup` is what would be restored.
    pub(super) fn survey(&mut self, backup: Option<&Pinned>) -> Result<Vec<Survey>> {
        let surveys = self.engine()?.survey()?;
        let (Some(target), Some(first)) = (&self.plan.target, surveys.first()) else { return Ok(surveys) };
        let others = match surveys.len() {
            ..=1 => String::new(),
            several => format!(" +{}", several - 1),
        };
        let is_swap = surveys.iter().any(|survey| survey.action == Action::Swap);
        self.report.target = Some(TargetReport {
            summary: format!("{}/{}{others}", target.connection, first.target),
            engine: target.engine().name().to_owned(),
            version: first.version.clone(),
            identity: first.server_identity.clone(),
            place: first.target.clone(),
            plan_token: plan_token(backup, &surveys, &self.plan.references),
            strategy: if is_swap { "Swap" } else { "Direct" }.to_owned(),
            confirmation_required: false,
            space: None,
            databases: surveys
                .iter()
                .enumerate()
                .map(|(index, survey)| self.planned(index, survey))
                .collect(),
            held: Vec::new(),
        });
        Ok(surveys)
    }

    fn planned(&self, index: usize, survey: &Survey) -> DatabaseReport {
        DatabaseReport {
            from: self.mapping.get(index).map(|row| row.from.clone()),
            to: survey.target.clone(),
            action: format!("{:?}", survey.action),
            holds: survey.holds.as_ref().map(HoldsReport::from),
            tables: None,
            rows: None,
            bytes: None,
            previous: None,
        }
    }

    /// Whether the data of the targets may be replaced. Mode Plan only notes what would be asked.
    pub(super) fn is_agreed(&mut self, surveys: &[Survey], backup: &str) -> Result<bool> {
        let token = self.report.target.as_ref().map_or("", |target| target.plan_token.as_str());
        let decide = |survey| (survey, consent::decide(&self.plan.overwrite, survey, token, self.parts.now));
        let decided: Vec<(&Survey, Consent)> = surveys.iter().map(decide).collect();
        let mut unanswered: Vec<(Reason, String)> = Vec::new();
        for (survey, consent) in decided {
            match consent {
                Consent::NotNeeded | Consent::Given => {}
                Consent::Refused(message) => {
                    return Err(Fault::new(Stage::Preflight, Reason::TargetNotEmpty, message));
                }
                Consent::Needed(reason, message) => {
                    // Where one answer is missing the others need not be given.
                    if !unanswered.is_empty() || !self.may_replace(survey, &message, backup)? {
                        unanswered.push((reason, message));
                    }
                }
            }
        }
        let Some((reason, _)) = unanswered.first() else { return Ok(true) };
        let messages: Vec<&str> = unanswered.iter().map(|(_, message)| message.as_str()).collect();
        let fault = Fault::new(Stage::Preflight, *reason, messages.join("; "));
        self.report.failure = Some(failure(&fault));
        Ok(false)
    }

    /// Asks a person about one target.
    fn may_replace(&mut self, survey: &Survey, message: &str, backup: &str) -> Result<bool> {
        if let Some(target) = &mut self.report.target {
            target.confirmation_required = true;
        }
        let question = Question {
            target: survey.target.clone(),
            message: message.to_owned(),
            backup: backup.to_owned(),
            made: self.report.backup.as_ref().and_then(|backup| backup.timestamp),
        };
        if self.plan.mode == Mode::Plan || (self.parts.ask)(&question) {
            return Ok(true);
        }
        self.parts.context.cancel.check(Stage::Preflight)?;
        Ok(false)
    }

    pub(super) fn report_row(&mut self, target: usize) -> Option<&mut DatabaseReport> {
        self.report.target.as_mut().and_then(|report| report.databases.get_mut(target))
    }

    /// What goes into the targets, for the report.
    pub(super) fn record_chosen(&mut self, chosen: &[Chosen]) {
        for (index, chosen) in chosen.iter().enumerate() {
            if let Some(row) = self.report_row(index) {
                row.from.clone_from(&chosen.entry.name);
                // Those of a whole script say nothing of one database in it.
                row.bytes = Some(chosen.entry.bytes).filter(|_| !chosen.is_part);
            }
        }
    }

    /// The full preflight, with the inventory.
    pub(super) fn preflight(&mut self, chosen: &[Chosen]) -> Result<()> {
        // Kept copies go only when all else fits, and for want of room only if it is the one obstacle.
        let findings = match self.check_all(chosen) {
            Err(fault) if fault.reason == Reason::NoRoom && self.drop_expired()? => self.check_all(chosen)?,
            result => result?,
        };
        self.drop_expired()?;
        self.record_findings(findings);
        // Several databases of one dump have its warnings in common.
        let warnings: BTreeSet<&String> = chosen.iter().flat_map(|it| &it.entry.facts.warnings).collect();
        self.report.warnings.extend(warnings.into_iter().cloned());
        Ok(())
    }

    fn check_all(&mut self, chosen: &[Chosen]) -> Result<Findings> {
        let mut all = Findings::default();
        for (index, chosen) in chosen.iter().enumerate() {
            let found = self.engine()?.preflight(chosen.incoming(index))?;
            all.space = match (all.space, found.space) {
                (Some(all), Some(one)) => Some(Space { needed: all.needed + one.needed, free: one.free }),
                (all, one) => all.or(one),
            };
            all.notes
                .extend(found.notes.into_iter().filter(|note| !all.notes.contains(note)).collect::<Vec<_>>());
        }
        Ok(all)
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

    /// Pass 2: each dump is read once, whatever of it is wanted.
    pub(super) fn load(&mut self, examined: &Examined, chosen: &[Chosen]) -> Result<()> {
        // The engine tells the progress of a load; counting what is read for it would count twice.
        let context = Context { progress: Progress::default(), ..self.parts.context.clone() };
        let mut dumps: BTreeMap<usize, Vec<Incoming<'_>>> = BTreeMap::new();
        for (index, chosen) in chosen.iter().enumerate() {
            dumps.entry(chosen.dump).or_default().push(chosen.incoming(index));
        }
        for (dump, incoming) in dumps {
            let Some(first) = incoming.first() else { continue };
            let readers = memory::readers(examined, first.entry, self.plan);
            let mut dump = examined.open_database_for(dump, readers, &context)?;
            self.engine()?.load(&incoming, &mut *dump)?;
        }
        Ok(())
    }

    /// Compares what was loaded with the backup, asks what the manifest wants to have asked, and runs its
    /// hooks.
    pub(super) fn verify(&mut self, chosen: &[Chosen]) -> Result<()> {
        for (index, chosen) in chosen.iter().enumerate() {
            let verified = self.engine()?.verify(chosen.incoming(index))?;
            self.record_verified(index, chosen.entry.facts.tables.as_deref().unwrap_or_default(), verified);
        }
        self.query()?;
        self.run_hooks()
    }

    fn query(&mut self) -> Result<()> {
        for (number, query) in self.plan.queries.iter().enumerate() {
            let target = self.target_of(&query.database)?;
            self.engine()?.query(target, &query.sql).map_err(|fault| unanswered(number + 1, fault))?;
        }
        let queries = self.plan.queries.len() as u64;
        if let Some(verification) = self.report.verification.as_mut().filter(|_| queries > 0) {
            verification.queries = queries;
            verification.checks.push(format!("{} answered true", counted(queries, "query")));
        }
        Ok(())
    }

    fn run_hooks(&mut self) -> Result<()> {
        for (number, hook) in self.plan.hooks.iter().enumerate() {
            let target = self.target_of(&hook.database)?;
            let run = self.engine()?.hook(target, &hook.sql).map_err(|fault| of_hook(number + 1, fault))?;
            let done = format!("hook {} run after that: {}", number + 1, counted(run, "statement"));
            if let Some(verification) = &mut self.report.verification {
                verification.checks.push(done);
            }
        }
        Ok(())
    }

    /// Which of the targets has this name.
    fn target_of(&self, database: &str) -> Result<usize> {
        let rows = self.report.target.iter().flat_map(|target| &target.databases);
        rows.enumerate().find(|(_, row)| row.to == database).map(|(index, _)| index).ok_or_else(|| {
            let message = format!("SQL of the manifest is for {database}, which is none of the targets");
            Fault::new(Stage::Verify, Reason::InvalidSpec, message)
        })
    }

    /// What was counted, for the report, beside the rows that the backup states.
    pub(super) fn record_verified(&mut self, target: usize, in_backup: &[TableRows], verified: Verified) {
        let counted: HashMap<&str, u64> =
            in_backup.iter().map(|table| (table.name.as_str(), table.rows)).collect();
        let is_several = self.report.target.as_ref().is_some_and(|target| target.databases.len() > 1);
        let mut database = String::new();
        if let Some(row) = self.report_row(target) {
            row.tables = Some(verified.tables.len() as u64);
            row.rows = Some(verified.tables.iter().map(|table| table.rows).sum());
            row.bytes = Some(verified.bytes);
            database.clone_from(&row.to);
        }
        let report = self.report.verification.get_or_insert_default();
        report.tables.extend(verified.tables.into_iter().map(|table| TableReport {
            database: database.clone(),
            expected: counted.get(table.name.as_str()).copied(),
            name: table.name,
            rows: table.rows,
        }));
        let told = |check: String| if is_several { format!("{database}: {check}") } else { check };
        report.checks.extend(verified.checks.into_iter().map(told));
    }

    /// Leaves what was loaded for the run that switches.
    pub(super) fn hold(&mut self) -> Result<()> {
        let held = self.engine()?.hold()?;
        let notes = self.engine()?.switch_notes();
        self.report.warnings.extend(notes);
        if let Some(target) = &mut self.report.target {
            target.held = held;
        }
        Ok(())
    }

    /// Puts the loaded databases in the places of the targets.
    pub(super) fn switch(&mut self) -> Result<()> {
        let until = open::keep_until(self.plan, self.parts.now);
        let kept = self.engine()?.switch()?;
        let notes = self.engine()?.switch_notes();
        self.report.warnings.extend(notes);
        for (index, previous) in kept.into_iter().enumerate() {
            if let Some(row) = self.report_row(index) {
                row.previous = previous.map(|Previous { name, bytes }| PreviousReport { name, until, bytes });
            }
        }
        Ok(())
    }
}

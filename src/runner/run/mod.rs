//! One run from plan to report: quick preflight, pass 1, full preflight, load, verify, switch.
//!
//! The order is the promise: nothing is written before the backup is known good and the target fit,
//! and the old data serves until the new is verified. A failure at any step still gives a report
//! with all that was learned, and what was made beside the target is removed.

pub mod consent;
mod memory;
pub mod open;
mod options;
mod told;
mod watchdog;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::plan::{Format, Mode, RestorePlan, Selector};
use crate::reason::Reason;
use crate::report::{
    BackupReport, DatabaseReport, HoldsReport, Outcome, PreviousReport, RestoreReport, SpaceReport,
    StageReport, TableReport, TargetReport, VerificationReport,
};
use crate::runner::engine::{Context, Engine, Survey, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, SourceEngine};
use crate::runner::keys::KeyRing;
use crate::runner::progress::Progress;
use crate::runner::read::{Examined, Request, examine, read_sidecar};
use crate::runner::select;
use crate::runner::source::{Artifact, ObjectStat, Store};

use self::consent::Consent;
use self::options::options;
pub use self::told::{backup_report, failure};
use self::told::{no_database, not_held, plan_token};
use self::watchdog::Watchdog;

/// What a person is asked before data is replaced.
#[derive(Clone, Debug)]
pub struct Question {
    /// The exact name that has to be typed.
    pub target: String,
    /// What it holds, and why the manifest is not enough.
    pub message: String,
    /// The backup that would replace it.
    pub backup: String,
    /// When that was made, as its sidecar says.
    pub made: Option<Timestamp>,
}

/// Everything that a run works with.
pub struct Parts<'a> {
    /// The storage destination.
    pub store: Arc<dyn Store>,
    /// The keys at hand.
    pub keys: KeyRing,
    /// The target; `None` for mode Verify.
    pub engine: Option<Box<dyn Engine>>,
    /// Asks a person; without one, `|_| false`.
    pub ask: &'a mut dyn FnMut(&Question) -> bool,
    /// The time of the start.
    pub now: Timestamp,
    /// Cancel, progress, journal.
    pub context: Context,
}

/// Carries out `plan`. All that can fail is in the report.
pub fn run(plan: &RestorePlan, parts: Parts<'_>) -> RestoreReport {
    let watchdog = Watchdog::start(&parts.context, plan.timeouts.run.get());
    let mut run = Run::new(plan, parts);
    let result = run.carry_out();
    drop(watchdog);
    run.finish(result)
}

struct Run<'a, 'p> {
    plan: &'a RestorePlan,
    parts: Parts<'p>,
    begun: Instant,
    /// The backup as it was looked at first: what is shown, confirmed and read is this one object.
    stat: Option<ObjectStat>,
    report: RestoreReport,
}

impl<'a, 'p> Run<'a, 'p> {
    fn new(plan: &'a RestorePlan, parts: Parts<'p>) -> Self {
        let report = RestoreReport::begun(&plan.namespace, &plan.name, parts.now);
        Self { plan, parts, begun: Instant::now(), stat: None, report }
    }

    /// Times a step; the time counts when the step fails, too.
    fn step<T>(
        &mut self,
        stage: Stage,
        name: &str,
        action: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.parts.context.cancel.check(stage)?;
        self.parts.context.progress.begin(stage, name.to_lowercase(), 0);
        tracing::info!(stage = stage.name(), "begin: {name}");
        let clock = Instant::now();
        let result = action(self);
        let bytes = Some(self.parts.context.progress.snapshot().done).filter(|bytes| *bytes > 0);
        let (begin, seconds) = ((clock - self.begun).as_secs_f64(), clock.elapsed().as_secs_f64());
        tracing::info!(stage = stage.name(), seconds, bytes, good = result.is_ok(), "end: {name}");
        self.report.stages.push(StageReport { name: name.into(), begin, seconds, bytes });
        result
    }

    fn carry_out(&mut self) -> Result<Outcome> {
        let artifact = self.step(Stage::Resolve, "Resolve", Self::resolve)?;
        let survey = if self.parts.engine.is_some() {
            Some(self.step(Stage::Preflight, "Quick preflight", |run| run.survey(&artifact))?)
        } else {
            None
        };
        if let Some(survey) = &survey
            && !self.is_agreed(survey, &artifact)?
        {
            return Ok(Outcome::AwaitingConfirmation);
        }
        let examined = self.step(Stage::Download, "Check backup", |run| run.examine(&artifact))?;
        if survey.is_none() {
            return Ok(Outcome::Verified);
        }
        let index = self.choose_database(&examined)?;
        let Some(entry) = examined.databases.get(index) else { return Err(no_database()) };
        self.step(Stage::Preflight, "Preflight", |run| run.preflight(&examined, entry))?;
        if self.plan.mode == Mode::Plan {
            return Ok(Outcome::Planned);
        }
        self.step(Stage::Restore, "Restore", |run| run.load(&examined, index))?;
        let verified = self.step(Stage::Verify, "Verify", |run| run.engine()?.verify(entry))?;
        self.record_verified(entry, verified);
        self.step(Stage::Switch, "Switch", Self::switch)?;
        Ok(Outcome::Restored)
    }

    fn engine(&mut self) -> Result<&mut Box<dyn Engine>> {
        let missing = || Fault::new(Stage::Resolve, Reason::InternalError, "the plan has no target");
        self.parts.engine.as_mut().ok_or_else(missing)
    }

    fn resolve(&mut self) -> Result<Artifact> {
        let path = match &self.plan.backup.selector {
            Selector::Path(path) => path.clone(),
            Selector::Latest(wanted) => {
                let chosen = select::latest(self.parts.store.as_ref(), wanted, self.parts.now)?;
                self.report.warnings.extend(chosen.warnings);
                chosen.path
            }
        };
        let artifact = Artifact { store: Arc::clone(&self.parts.store), path };
        // Known this early so that a refusal can name what would be restored.
        let stat = artifact.store.stat(&artifact.path)?;
        self.report.backup = Some(BackupReport {
            path: artifact.path.clone(),
            storage: artifact.store.describe(),
            size: stat.size,
            etag: stat.pin.etag().map(str::to_owned),
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

    fn survey(&mut self, artifact: &Artifact) -> Result<Survey> {
        let survey = self.engine()?.survey()?;
        let Some(target) = &self.plan.target else { return Ok(survey) };
        self.report.target = Some(TargetReport {
            summary: format!("{}/{}", target.connection, survey.target),
            engine: target.engine().name().to_owned(),
            version: survey.version.clone(),
            place: survey.target.clone(),
            plan_token: plan_token(artifact, self.stat.as_ref(), &survey, &self.plan.references),
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
        });
        Ok(survey)
    }

    /// Whether the target's data may be replaced. Mode Plan only notes what would be asked.
    fn is_agreed(&mut self, survey: &Survey, artifact: &Artifact) -> Result<bool> {
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
                    backup: artifact.describe(),
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

    fn examine(&mut self, artifact: &Artifact) -> Result<Examined> {
        let options = options(self.plan)?;
        let context = self.parts.context.clone();
        let (stat, keys) = (self.stat.as_ref(), &self.parts.keys);
        let examined = examine(Request { artifact, stat, keys, options: &options, context: &context })?;
        if self.plan.backup.format == Format::DBackup && !examined.dbackup {
            let message = format!("{} is not a backup made by DBackup", artifact.describe());
            return Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, message));
        }
        self.report.warnings.extend(examined.warnings.iter().cloned());
        self.report.backup = Some(backup_report(&examined));
        Ok(examined)
    }

    /// The one database of the backup that goes into the target.
    fn choose_database(&mut self, examined: &Examined) -> Result<usize> {
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
        if let Some((entry, row)) = examined.databases.get(index).zip(self.report_row()) {
            row.from.clone_from(&entry.name);
            row.bytes = Some(entry.bytes);
        }
        Ok(index)
    }

    fn report_row(&mut self) -> Option<&mut DatabaseReport> {
        self.report.target.as_mut().and_then(|target| target.databases.first_mut())
    }

    fn preflight(&mut self, examined: &Examined, entry: &DatabaseEntry) -> Result<()> {
        memory::check(examined, entry)?;
        // Kept copies go only when all else fits, and for want of room only if it is the one obstacle.
        let findings = match self.engine()?.preflight(entry) {
            Err(fault) if fault.reason == Reason::NoRoom && self.drop_expired()? => {
                self.engine()?.preflight(entry)?
            }
            result => result?,
        };
        self.drop_expired()?;
        self.report.warnings.extend(findings.notes);
        self.report.warnings.extend(entry.facts.warnings.iter().cloned());
        if let Some(target) = &mut self.report.target {
            target.space = findings.space.map(|space| SpaceReport { needed: space.needed, free: space.free });
        }
        Ok(())
    }

    /// Removes kept copies whose time is over; whether there were any. Only a real run does.
    fn drop_expired(&mut self) -> Result<bool> {
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

    fn load(&mut self, examined: &Examined, index: usize) -> Result<()> {
        let Some(entry) = examined.databases.get(index) else { return Err(no_database()) };
        // The engine tells the progress of a load; counting what is read for it would count twice.
        let context = Context { progress: Progress::default(), ..self.parts.context.clone() };
        let mut dump = examined.open_database(index, &context)?;
        self.engine()?.load(entry, &mut *dump)
    }

    fn record_verified(&mut self, entry: &DatabaseEntry, verified: Verified) {
        let counted: HashMap<&str, u64> =
            entry.facts.tables.iter().flatten().map(|table| (table.name.as_str(), table.rows)).collect();
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
        self.report.verification = Some(VerificationReport { tables, checks: verified.checks });
    }

    fn switch(&mut self) -> Result<()> {
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

    fn finish(mut self, result: Result<Outcome>) -> RestoreReport {
        if let Some(engine) = &mut self.parts.engine {
            self.report.leftovers = engine.discard();
        }
        self.report.seconds = self.begun.elapsed().as_secs_f64();
        self.report.target_modified = self.parts.context.journal.touched().into();
        match result {
            Ok(outcome) => self.report.outcome = outcome,
            Err(fault) => self.report.failure = Some(failure(&fault)),
        }
        self.report
    }
}

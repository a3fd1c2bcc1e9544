//! One run from plan to report: quick preflight, pass 1, full preflight, load, verify, switch.
//!
//! The order is the promise: nothing is written before the backup is known good and the target fit,
//! and the old data serves until the new is verified. A failure at any step still gives a report
//! with all that was learned, and what was made beside the target is removed.

mod backup;
mod choose;
pub mod consent;
pub mod engine;
mod errands;
mod memory;
pub mod open;
mod options;
mod target;
mod told;
mod watchdog;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::plan::{DatabaseMapping, Held, Mode, Pinned, RestorePlan, Switch, Task};
use crate::reason::Reason;
use crate::report::{Outcome, RestoreReport, StageReport};
use crate::runner::engine::{Context, Engine};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::keys::KeyRing;
use crate::runner::source::{ObjectStat, Store};

pub use self::told::{backup_report, failure};
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

/// Where backups come from.
pub struct Source {
    /// The storage destination.
    pub store: Arc<dyn Store>,
    /// The keys at hand.
    pub keys: KeyRing,
}

/// What is to be done with a plan, and what earlier attempts bind it to.
#[derive(Clone, Debug, Default)]
pub struct Errand {
    /// What is to be done.
    pub task: Task,
    /// The backup that an earlier attempt has looked at.
    pub pinned: Option<Pinned>,
    /// What an earlier attempt has loaded and verified.
    pub held: Option<Held>,
}

impl Errand {
    /// Whether the backup itself is looked at.
    pub const fn needs_source(&self) -> bool {
        match &self.task {
            Task::Restore => self.held.is_none() || self.pinned.is_none(),
            Task::Discard | Task::Revert { .. } => false,
        }
    }
}

/// Everything that a run works with.
pub struct Parts<'a> {
    /// Where the backup comes from; `None` where the errand does not need it.
    pub source: Option<Source>,
    /// The target; `None` for mode Verify.
    pub engine: Option<Box<dyn Engine>>,
    /// Asks a person; without one, `|_| false`.
    pub ask: &'a mut dyn FnMut(&Question) -> bool,
    /// The time of the start.
    pub now: Timestamp,
    /// What is to be done.
    pub errand: Errand,
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
    /// Which databases go where; the manifest's, or once they are known all of the backup.
    mapping: Vec<DatabaseMapping>,
    report: RestoreReport,
}

impl<'a, 'p> Run<'a, 'p> {
    fn new(plan: &'a RestorePlan, parts: Parts<'p>) -> Self {
        let report = RestoreReport::begun(&plan.namespace, &plan.name, parts.now);
        let mapping = plan.target.as_ref().map(|target| target.databases.clone()).unwrap_or_default();
        Self { plan, parts, begun: Instant::now(), stat: None, mapping, report }
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
        let Errand { task, held, .. } = self.parts.errand.clone();
        if self.plan.mode != Mode::Restore && task == Task::Restore && held.is_some() {
            let message = "a plan of mode Plan or Verify only looks; it has no switch";
            return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
        }
        match (task, held) {
            (Task::Restore, None) => self.restore(),
            (Task::Restore, Some(held)) => self.switch_held(&held),
            (Task::Discard, held) => self.discard(held.as_ref()),
            (Task::Revert { previous }, _) => self.revert(&previous),
        }
    }

    fn restore(&mut self) -> Result<Outcome> {
        let artifact = self.step(Stage::Resolve, "Resolve", Self::resolve)?;
        // A refusal must not wait for all of the backup, where the targets are known before it is read.
        let is_early = self.parts.engine.is_some() && self.knows_targets(&artifact)?;
        if is_early && !self.agree(&artifact)? {
            return Ok(Outcome::AwaitingConfirmation);
        }
        let examined = self.step(Stage::Download, "Check backup", |run| run.examine(&artifact))?;
        if self.parts.engine.is_none() {
            return Ok(Outcome::Verified);
        }
        let chosen = self.choose_databases(&examined)?;
        if !is_early && !self.agree(&artifact)? {
            return Ok(Outcome::AwaitingConfirmation);
        }
        self.record_chosen(&chosen);
        self.step(Stage::Preflight, "Preflight", |run| {
            chosen.iter().try_for_each(|it| memory::check(&examined, &it.entry, run.plan))?;
            run.preflight(&chosen)
        })?;
        if self.plan.mode == Mode::Plan {
            return Ok(Outcome::Planned);
        }
        self.step(Stage::Restore, "Restore", |run| run.load(&examined, &chosen))?;
        self.step(Stage::Verify, "Verify", |run| run.verify(&chosen))?;
        if self.plan.switch == Switch::Hold {
            self.step(Stage::Switch, "Hold", Self::hold)?;
            return Ok(Outcome::Held);
        }
        self.step(Stage::Switch, "Switch", Self::switch)?;
        Ok(Outcome::Restored)
    }

    fn engine(&mut self) -> Result<&mut Box<dyn Engine>> {
        let missing = || Fault::new(Stage::Resolve, Reason::InternalError, "the plan has no target");
        self.parts.engine.as_mut().ok_or_else(missing)
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

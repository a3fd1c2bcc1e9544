//! The runner in its pod: the order comes in as a file, Secrets and volumes as folders; the journal,
//! the progress and the log go out.
//!
//! Whatever happens ends in one verdict in the journal, a panic too. Nothing that only shows (log,
//! progress) can fail the run or hold it up.

mod order;
mod secrets;
mod serve;
mod tell;

use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::{EngineSettings, Order, RestorePlan, Storage, pod};
use crate::reason::Reason;
use crate::report::RestoreReport;
use crate::runner::cancel::Cancel;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::journal::{Journal, JournalFile};
use crate::runner::keyring;
use crate::runner::run::open::{self, Mounts};
use crate::runner::run::{self, Errand, Parts, Source, engine};

pub use secrets::FolderSecrets;

use order::Unreadable;

/// How often the verdict's line is tried, a second apart: without it the run has no end that is known.
const VERDICT_ATTEMPTS: u32 = 10;
const VERDICT_PAUSE: Duration = Duration::from_secs(1);
/// What to do about an order that cannot be read: nobody writes one by hand.
const ORDER_HINT: &str = "Operator and runner have to be of one version: check the runner's image that the operator is set to. \
     The order is the annotation reinstate.dev/order of the pod.";

/// What surrounds the runner.
#[derive(Debug)]
pub struct Pod {
    /// The folder that stands for `/`.
    pub root: PathBuf,
    /// Where the progress is served.
    pub listen: SocketAddr,
    /// The time of the start.
    pub now: Timestamp,
    /// Set by the signals that end a pod.
    pub cancel: Cancel,
}

impl Pod {
    /// Where a path of the pod is.
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// Carries out the order; gives back the verdict that stands in the journal.
pub fn carry_out(pod: &Pod) -> RestoreReport {
    match order::read(&pod.at(pod::ORDER_FILE)) {
        Ok(order) => {
            let Order { uid, attempt, plan: RestorePlan { namespace, name, .. }, .. } = &order;
            let span = tracing::info_span!("run", namespace, restore = name, uid, attempt);
            span.in_scope(|| obey(pod, &order, &span))
        }
        Err(unreadable) => refuse(pod, &unreadable),
    }
}

fn obey(pod: &Pod, order: &Order, span: &tracing::Span) -> RestoreReport {
    let begun = || RestoreReport::begun(&order.plan.namespace, &order.plan.name, pod.now);
    let journal = match begin_journal(pod, &order.uid, order.attempt) {
        Ok(journal) => journal,
        Err(fault) => return tell::verdict(failed(begun(), &fault)),
    };
    let context = Context { cancel: pod.cancel.clone(), journal: journal.clone(), ..Context::default() };
    let _serving = serve::start(pod.listen, &order.nonce, &context.progress);
    let _telling = tell::start(&context.progress, span);
    let report = guarded(&journal, begun(), || start(pod, order, &context));
    let report = tell::verdict(report);
    conclude(&journal, &report);
    report
}

/// Runs `action`; where it gives no report or panics, `begun` tells why.
fn guarded(
    journal: &Journal,
    begun: RestoreReport,
    action: impl FnOnce() -> Result<RestoreReport>,
) -> RestoreReport {
    let fault = match catch_unwind(AssertUnwindSafe(action)) {
        Ok(Ok(report)) => return report,
        Ok(Err(fault)) => fault,
        Err(panic) => panicked(panic.as_ref()),
    };
    let mut report = failed(begun, &fault);
    report.target_modified = journal.touched().into();
    report
}

fn begin_journal(pod: &Pod, uid: &str, attempt: u32) -> Result<Journal> {
    let path = pod.at(pod::JOURNAL_FILE);
    JournalFile::open(&path, uid, attempt).and_then(Journal::begin).map_err(|error| {
        let message = format!("failed to begin the journal {}; nothing was done", path.display());
        Fault::new(Stage::Resolve, Reason::InternalError, message).caused_by(error)
    })
}

fn start(pod: &Pod, order: &Order, context: &Context) -> Result<RestoreReport> {
    let plan = &order.plan;
    let secrets = FolderSecrets::new(pod.at(pod::SECRETS_FOLDER));
    let mounts = mounts(plan, &pod.at(pod::CLAIMS_FOLDER))?;
    let Order { task, pinned, held, .. } = order.clone();
    let errand = Errand { task, pinned, held };
    let source = if errand.needs_source() {
        let keys = keyring::from_plan(&plan.keys, plan.backup.profile.as_deref(), &secrets)?;
        Some(Source { store: open::store(plan, &secrets, &mounts)?, keys })
    } else {
        None
    };
    let engine = engine::open(plan, &secrets, &mounts, pod.now, context)?;
    let context = context.clone();
    let parts = Parts { source, engine, ask: &mut |_| false, now: pod.now, errand, context };
    let mut report = run::run(plan, parts);
    if let (Some(target), Some(place)) = (&mut report.target, engine::place(plan, &mounts)) {
        target.place = place;
    }
    Ok(report)
}

/// The folders of the claims that a plan names.
fn mounts(plan: &RestorePlan, folder: &Path) -> Result<Mounts> {
    let source = match &plan.backup.storage {
        Storage::Volume(volume) => Some(&volume.claim_name),
        Storage::S3(_) => None,
    };
    let target = plan.target.as_ref().and_then(|target| match &target.settings {
        EngineSettings::Sqlite(sqlite) => Some(&sqlite.claim_name),
        EngineSettings::Postgres(_) => None,
    });
    let claims = source.into_iter().chain(target);
    claims
        .map(|claim| {
            if !secrets::is_plain(claim) {
                let message = format!("{claim:?} cannot be the name of a volume claim");
                return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
            }
            Ok((claim.clone(), folder.join(claim)))
        })
        .collect()
}

/// The verdict on an order that cannot be read.
fn refuse(pod: &Pod, unreadable: &Unreadable) -> RestoreReport {
    let mut report = failed(RestoreReport::begun("", "", pod.now), &unreadable.fault);
    if let Some(failure) = &mut report.failure {
        ORDER_HINT.clone_into(&mut failure.hint);
    }
    let report = tell::verdict(report);
    match begin_journal(pod, &unreadable.uid, unreadable.attempt) {
        Ok(journal) => conclude(&journal, &report),
        Err(fault) => tracing::error!("{}", fault.full_message()),
    }
    report
}

fn failed(mut report: RestoreReport, fault: &Fault) -> RestoreReport {
    report.failure = Some(run::failure(fault));
    report
}

fn panicked(panic: &(dyn Any + Send)) -> Fault {
    let words =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let fault = Fault::new(Stage::Resolve, Reason::InternalError, "the runner panicked");
    match words {
        Some(words) => fault.caused_by(words),
        None => fault,
    }
}

fn conclude(journal: &Journal, report: &RestoreReport) {
    for _ in 0..VERDICT_ATTEMPTS {
        match journal.conclude(report.clone()) {
            Ok(()) => return,
            Err(error) => tracing::error!("failed to write the verdict into the journal: {error}"),
        }
        thread::sleep(VERDICT_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::TargetModified;

    #[test]
    fn a_panic_is_a_verdict_that_knows_what_the_journal_knows() {
        let begun = || RestoreReport::begun("ns", "name", Timestamp::UNIX_EPOCH);
        for (touched, expected) in [(false, TargetModified::False), (true, TargetModified::Unknown)] {
            let journal = Journal::default();
            let report = guarded(&journal, begun(), || {
                if touched {
                    journal.risk(Stage::Switch)?;
                }
                panic!("index {} is out of bounds", 7)
            });
            let failure = report.failure.unwrap();
            assert_eq!((report.target_modified, failure.reason), (expected, Reason::InternalError));
            assert_eq!(failure.engine_error.as_deref(), Some("index 7 is out of bounds"));
        }
    }

    #[test]
    fn a_claim_is_a_folder_below_the_claims_and_nowhere_else() {
        for (claim, fits) in [("app-data", true), ("../etc", false), ("a/b", false), ("", false)] {
            assert_eq!(secrets::is_plain(claim), fits, "{claim:?}");
        }
    }
}

//! What the log says: how far the run is, now and then, and its verdict.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::report::{Outcome, RestoreReport};
use crate::runner::progress::Progress;

/// Time between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Tells the progress until it is dropped.
pub(super) struct Telling {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to tell. Where no thread can be had, nothing is told.
pub(super) fn start(progress: &Progress, span: &tracing::Span) -> Telling {
    let (stop, stopped) = channel::<()>();
    let (progress, span) = (progress.clone(), span.clone());
    let tell = move || {
        while stopped.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
            span.in_scope(|| line(&progress));
        }
    };
    Telling { stop: Some(stop), thread: thread::Builder::new().name("telling".into()).spawn(tell).ok() }
}

impl Drop for Telling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What tells must not fail the run.
            let _ = thread.join();
        }
    }
}

fn line(progress: &Progress) {
    let now = progress.snapshot();
    let stage = now.stage.name();
    let percent = now.done.min(now.total).saturating_mul(100).checked_div(now.total);
    let total = Some(now.total).filter(|total| *total > 0);
    tracing::info!(stage, done = now.done, total, percent, "{}", now.what);
}

/// Logs how the run ended.
pub(super) fn verdict(report: RestoreReport) -> RestoreReport {
    let (outcome, modified) = (report.outcome, report.target_modified);
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    match &report.failure {
        None => tracing::info!(?outcome, target_modified = ?modified, seconds = report.seconds, "ended"),
        Some(failure) => {
            let engine_error = failure.engine_error.as_deref().unwrap_or_default();
            let (stage, reason, hint) = (&failure.stage, failure.reason.name(), &failure.hint);
            if outcome == Outcome::AwaitingConfirmation {
                tracing::warn!(?outcome, stage, reason, hint, "{}", failure.message);
            } else {
                tracing::error!(?outcome, target_modified = ?modified, stage, reason, engine_error, hint, "{}", failure.message);
            }
        }
    }
    report
}

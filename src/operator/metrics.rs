//! The numbers that the operator tells about its runs and about itself, as OpenMetrics text.
//!
//! `docs/metrics.md` explains each of them. Labels have few values each: no name of a restore, of a
//! backup or of a database is one.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::report::TargetModified;

/// Media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the durations of stages, in seconds: a small file to a terabyte.
const STAGE_SECONDS: [f64; 14] =
    [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0];
/// Upper bounds of the durations of reconciles, in seconds: a look at caches to a slow API server.
const RECONCILE_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum End {
    /// `Complete=True`.
    Complete,
    /// `Failed=True`.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    engine: String,
    result: End,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EngineLabels {
    engine: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    namespace: String,
    connection: String,
}

/// All metrics. Every method may be called from any thread.
pub struct Metrics {
    registry: Registry,
    runs: Family<RunLabels, Counter>,
    stage_duration: Family<StageLabels, Histogram, fn() -> Histogram>,
    bytes: Family<StageLabels, Counter>,
    running: Gauge,
    waiting: Gauge,
    stuck: Gauge,
    last_success: Family<ConnectionLabels, Gauge<i64, AtomicI64>>,
    target_modified_failures: Family<EngineLabels, Counter>,
    reconcile_duration: Histogram,
    reconcile_errors: Counter<u64, AtomicU64>,
    leader: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("reinstate"),
            runs: Family::default(),
            stage_duration: Family::new_with_constructor(|| Histogram::new(STAGE_SECONDS)),
            bytes: Family::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            stuck: Gauge::default(),
            last_success: Family::default(),
            target_modified_failures: Family::default(),
            reconcile_duration: Histogram::new(RECONCILE_SECONDS),
            reconcile_errors: Counter::default(),
            leader: Gauge::default(),
        };
        metrics.register_runs();
        metrics.register_operator();
        metrics
    }

    fn register_runs(&mut self) {
        let all = &mut self.registry;
        all.register("runs", "Runs that ended", self.runs.clone());
        all.register_with_unit(
            "stage_duration",
            "Time that a stage of a run took",
            Unit::Seconds,
            self.stage_duration.clone(),
        );
        all.register("bytes", "Bytes that went through a stage of ended runs", self.bytes.clone());
        all.register("running", "Runs whose Job is there now", self.running.clone());
        all.register("waiting", "Runs that wait for their turn", self.waiting.clone());
        all.register(
            "stuck",
            "Runs that wait for a person, or that the cluster keeps from starting",
            self.stuck.clone(),
        );
        all.register_with_unit(
            "last_success_timestamp",
            "When the last restore to this connection succeeded",
            Unit::Seconds,
            self.last_success.clone(),
        );
        all.register(
            "target_modified_failures",
            "Failed runs that changed an existing target, or may have changed it",
            self.target_modified_failures.clone(),
        );
    }

    fn register_operator(&mut self) {
        let all = &mut self.registry;
        all.register_with_unit(
            "reconcile_duration",
            "Time of one pass over one object",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        all.register(
            "reconcile_errors",
            "Passes that failed and are tried again",
            self.reconcile_errors.clone(),
        );
        all.register("leader", "Whether this replica acts", self.leader.clone());
        all.register(
            "build",
            "The version of the operator",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// A run ended. `reason` is that of the condition. A failed run counts as one that changed the
    /// target unless it is known that it did not.
    pub fn run_ended(&self, engine: &str, result: End, reason: &str, modified: TargetModified) {
        let labels = RunLabels { engine: engine.to_owned(), result, reason: reason.to_owned() };
        self.runs.get_or_create(&labels).inc();
        if result == End::Failed && modified != TargetModified::False {
            self.target_modified_failures.get_or_create(&EngineLabels { engine: engine.to_owned() }).inc();
        }
    }

    /// A stage of a run ended, after so many seconds, with so many bytes through it.
    pub fn stage(&self, stage: &str, seconds: f64, bytes: u64) {
        let labels = StageLabels { stage: stage.to_owned() };
        self.stage_duration.get_or_create(&labels).observe(seconds);
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }

    /// So many runs have a Job.
    pub fn running(&self, runs: usize) {
        set(&self.running, runs);
    }

    /// So many runs wait for their turn.
    pub fn waiting(&self, runs: usize) {
        set(&self.waiting, runs);
    }

    /// So many runs wait for a person, or are kept from starting by the cluster.
    pub fn stuck(&self, runs: usize) {
        set(&self.stuck, runs);
    }

    /// A restore to the connection succeeded at this time. An earlier time changes nothing, so old
    /// statuses can be told in any order.
    pub fn last_success(&self, namespace: &str, connection: &str, at: Timestamp) {
        let labels = ConnectionLabels { namespace: namespace.to_owned(), connection: connection.to_owned() };
        self.last_success.get_or_create(&labels).inner().fetch_max(at.as_second(), Ordering::Relaxed);
    }

    /// One pass over one object took so many seconds.
    pub fn reconciled(&self, seconds: f64) {
        self.reconcile_duration.observe(seconds);
    }

    /// One pass over one object failed.
    pub fn failed(&self) {
        self.reconcile_errors.inc();
    }

    /// Whether this replica acts.
    pub fn leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// The text that is served.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

fn set(gauge: &Gauge, runs: usize) {
    gauge.set(i64::try_from(runs).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Metrics {
        let metrics = Metrics::new();
        metrics.run_ended("SQLite", End::Complete, "Restored", TargetModified::True);
        metrics.run_ended("SQLite", End::Complete, "Restored", TargetModified::True);
        metrics.run_ended("SQLite", End::Failed, "Tampered", TargetModified::False);
        metrics.run_ended("SQLite", End::Failed, "RestoreFailed", TargetModified::True);
        metrics.run_ended("SQLite", End::Failed, "RunnerLost", TargetModified::Unknown);
        metrics.stage("Restore", 3.5, 4096);
        metrics.stage("Restore", 700.0, 4);
        metrics.running(2);
        metrics.waiting(3);
        metrics.stuck(1);
        for second in [100, 300, 200] {
            metrics.last_success("shop", "staging", Timestamp::from_second(second).unwrap());
        }
        metrics.reconciled(0.002);
        metrics.failed();
        metrics.leader(true);
        metrics
    }

    #[test]
    fn what_was_told_stands_in_the_text() {
        let page = filled().encode().unwrap();
        let lines: Vec<&str> = page.lines().collect();
        for expected in [
            r#"reinstate_runs_total{engine="SQLite",result="Complete",reason="Restored"} 2"#,
            r#"reinstate_runs_total{engine="SQLite",result="Failed",reason="Tampered"} 1"#,
            r#"reinstate_target_modified_failures_total{engine="SQLite"} 2"#,
            r#"reinstate_stage_duration_seconds_bucket{le="5.0",stage="Restore"} 1"#,
            r#"reinstate_stage_duration_seconds_sum{stage="Restore"} 703.5"#,
            r#"reinstate_stage_duration_seconds_count{stage="Restore"} 2"#,
            r#"reinstate_bytes_total{stage="Restore"} 4100"#,
            "reinstate_running 2",
            "reinstate_waiting 3",
            "reinstate_stuck 1",
            r#"reinstate_last_success_timestamp_seconds{namespace="shop",connection="staging"} 300"#,
            r#"reinstate_reconcile_duration_seconds_bucket{le="0.005"} 1"#,
            "reinstate_reconcile_errors_total 1",
            "reinstate_leader 1",
            concat!(r#"reinstate_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(lines.contains(&expected), "lacks {expected}\n{page}");
        }
        assert_eq!(lines.last(), Some(&"# EOF"));
    }

    #[test]
    fn a_fresh_operator_shows_its_gauges_at_zero() {
        let page = Metrics::default().encode().unwrap();
        for name in ["running", "waiting", "stuck", "reconcile_errors_total", "leader"] {
            assert!(page.lines().any(|line| line == format!("reinstate_{name} 0")), "{name}\n{page}");
        }
    }
}

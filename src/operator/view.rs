//! What was observed of one `DatabaseRestore` and what belongs to it: the input of every decision.
//!
//! Plain facts, read by [`super::observe`], with no API type but those of time.

use jiff::Timestamp;

use crate::report::ProgressReport;

/// Everything that is known beside the object itself.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Its place in the queue of its server.
    pub place: Place,
    /// An earlier object of this name has run, so a confirmation in the manifest does not count.
    pub recreated: bool,
    /// Runs of others that are under way.
    pub load: Load,
    /// The Job of the newest attempt.
    pub job: Job,
    /// The pods of the newest attempt.
    pub pods: Vec<Pod>,
    /// Warnings of the cluster about the newest attempt's Job and pods, newest first.
    pub troubles: Vec<Warning>,
    /// What the runner tells, for showing.
    pub progress: Progress,
}

/// A place in the queue of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// No server is touched: mode Verify, or references that cannot be resolved.
    #[default]
    NotNeeded,
    /// It is this run's.
    Held,
    /// There is one.
    Free,
    /// All are taken, or somebody waits for longer.
    Taken {
        /// Who is ahead, as `namespace/name`.
        by: String,
    },
}

/// Runs of others that are under way, and how many may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// In all watched namespaces.
    pub all: usize,
    /// In this namespace.
    pub here: usize,
    /// Limit of all; 0: none.
    pub limit_all: usize,
    /// Limit of this namespace; 0: none.
    pub limit_here: usize,
}

impl Load {
    /// Whether one more run may start.
    pub const fn is_full(self) -> bool {
        (self.limit_all > 0 && self.all >= self.limit_all)
            || (self.limit_here > 0 && self.here >= self.limit_here)
    }
}

/// The Job of the newest attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Job {
    /// There is no attempt, or its Job was not looked for.
    #[default]
    Unknown,
    /// It is not there; the API server itself was asked.
    Missing,
    /// There is one of this name that belongs to something else.
    Foreign,
    /// It is there.
    There(JobFacts),
}

/// Facts of a Job.
#[expect(clippy::struct_excessive_bools, reason = "they are facts that do not depend on each other")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// Its uid.
    pub uid: String,
    /// `spec.suspend`.
    pub suspended: bool,
    /// The Job controller has seen that it is suspended, so it makes no pod any more.
    pub is_idle: bool,
    /// When the Job controller began.
    pub start_time: Option<Timestamp>,
    /// It ended badly: reason and message.
    pub failed: Option<Warning>,
    /// It ended well.
    pub complete: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// `spec.ttlSecondsAfterFinished`.
    pub ttl_seconds: Option<i32>,
}

impl JobFacts {
    /// Whether the Job controller has ended it.
    pub const fn is_finished(&self) -> bool {
        self.complete || self.failed.is_some()
    }
}

/// One pod of the newest attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// It carries the finalizer that keeps it until its journal was read.
    pub is_kept: bool,
    /// Its phase is `Succeeded` or `Failed`.
    pub is_terminal: bool,
    /// Since when it is being deleted.
    pub deleting: Option<Timestamp>,
    /// The runner's container.
    pub container: Container,
    /// The scheduler's words, where no node takes it.
    pub unschedulable: Option<String>,
    /// Why the cluster takes it away (`DisruptionTarget`, `Evicted`): reason and message.
    pub disruption: Option<Warning>,
    /// Its node reports it as not ready although the container runs: the node does not answer.
    pub is_unreachable: bool,
    /// Where its progress can be asked for; `None` where it must not be.
    pub address: Option<String>,
    /// Memory limit of the container, as written.
    pub memory_limit: Option<String>,
}

/// The state of the runner's container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// It was never started; why, where the kubelet says.
    #[default]
    Created,
    /// It cannot be started: the kubelet's reason and message.
    Waiting(Warning),
    /// It runs.
    Running,
    /// It ended.
    Ended {
        /// Exit code; 128 + signal.
        code: i32,
        /// The kubelet's reason, such as `OOMKilled`.
        reason: String,
        /// The termination message: the journal.
        journal: String,
    },
}

impl Pod {
    /// Whether its container was ever started.
    pub const fn has_started(&self) -> bool {
        matches!(self.container, Container::Running | Container::Ended { .. })
    }

    /// Whether nothing of it runs any more.
    pub const fn is_over(&self) -> bool {
        self.is_terminal && !matches!(self.container, Container::Running)
    }
}

/// A reason and a message of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warning {
    /// CamelCase.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// What a runner tells of its progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It could not be reached.
    Silent,
    /// Its answer.
    Told(ProgressReport),
}

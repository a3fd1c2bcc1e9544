//! What a run tells while it goes: the stage, and bytes done of bytes to do.
//!
//! The runner writes; a command line or an HTTP endpoint reads. Nothing is decided from it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::runner::fault::Stage;

/// A point in time of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The step.
    pub stage: Stage,
    /// What it works on, for people, such as `pass 1 of 2` or a database.
    pub what: String,
    /// Bytes of this step done.
    pub done: u64,
    /// Bytes of this step in all; 0 where it is not known.
    pub total: u64,
    /// Grows with every new step, so that a reader sees that one ended and another began.
    pub step: u64,
}

#[derive(Debug)]
struct Current {
    stage: Stage,
    what: String,
    step: u64,
}

#[derive(Debug)]
struct Shared {
    current: Mutex<Current>,
    done: AtomicU64,
    total: AtomicU64,
}

/// The shared handle; cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Shared>);

impl Default for Progress {
    fn default() -> Self {
        let current = Current { stage: Stage::Resolve, what: String::new(), step: 0 };
        Self(Arc::new(Shared {
            current: Mutex::new(current),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }))
    }
}

impl Progress {
    /// Begins a step of `total` bytes (0: not known).
    pub fn begin(&self, stage: Stage, what: impl Into<String>, total: u64) {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Current { stage, what: what.into(), step: current.step + 1 };
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// Adds to the bytes done.
    pub fn advance(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Where the run is now.
    pub fn snapshot(&self) -> Snapshot {
        let current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            stage: current.stage,
            what: current.what.clone(),
            done: self.0.done.load(Ordering::Relaxed),
            total: self.0.total.load(Ordering::Relaxed),
            step: current.step,
        }
    }
}

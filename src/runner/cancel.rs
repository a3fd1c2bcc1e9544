//! The one way to stop a run: a flag that every reader looks at between two buffers.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const EXPIRED: u8 = 2;

/// A shared flag; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicU8>);

impl Cancel {
    /// A flag that nobody sets.
    pub fn never() -> Self {
        Self::default()
    }

    /// Asks the run to stop at the next safe place.
    pub fn cancel(&self) {
        self.set(STOPPED);
    }

    /// Says that the run's time is over, which stops it the same way.
    pub fn expire(&self) {
        self.set(EXPIRED);
    }

    fn set(&self, state: u8) {
        // The first cause is the one to tell.
        let _ = self.0.compare_exchange(RUNNING, state, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) != RUNNING
    }

    /// `Interrupted` (or `DeadlineExceeded`) if the run was asked to stop.
    pub fn check(&self, stage: Stage) -> Result<()> {
        match self.0.load(Ordering::SeqCst) {
            RUNNING => Ok(()),
            EXPIRED => {
                Err(Fault::new(stage, Reason::DeadlineExceeded, "the run took longer than its timeout"))
            }
            _ => Err(Fault::new(stage, Reason::Interrupted, "the run was asked to stop")),
        }
    }

    /// A reader that fails with `Interrupted` once the flag is set.
    pub fn guard<R>(&self, inner: R) -> Cancellable<R> {
        Cancellable { inner, cancel: self.clone() }
    }
}

/// See [`Cancel::guard`].
pub struct Cancellable<R> {
    inner: R,
    cancel: Cancel,
}

impl<R: Read> Read for Cancellable<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.cancel.check(Stage::Download).map_err(Fault::into_io)?;
        self.inner.read(target)
    }
}

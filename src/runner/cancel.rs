//! The one way to stop a run: a flag that every reader looks at between two buffers.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// A shared flag; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that nobody sets.
    pub fn never() -> Self {
        Self::default()
    }

    /// Asks the run to stop at the next safe place.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// `Interrupted` if the run was asked to stop.
    pub fn check(&self, stage: Stage) -> Result<()> {
        if self.is_cancelled() {
            return Err(Fault::new(stage, Reason::Interrupted, "the run was asked to stop"));
        }
        Ok(())
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

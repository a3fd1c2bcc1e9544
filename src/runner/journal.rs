//! Which side of the first write a run is on.
//!
//! Every engine calls [`Journal::touch`] before its first write to a target that existed, and only
//! then writes. The report's `touched` comes from here and from nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// Whether an existing target was changed by this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Touched {
    /// Nothing of an existing target was changed.
    #[serde(rename = "False")]
    No,
    /// The target was changed.
    #[serde(rename = "True")]
    Yes,
    /// The target may have been changed: an answer was lost.
    Unknown,
}

const NO: u8 = 0;
const YES: u8 = 1;
const UNKNOWN: u8 = 2;

/// The shared record; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<AtomicU8>);

impl Journal {
    /// Must be called before the first write to an existing target.
    pub fn touch(&self) {
        self.0.store(YES, Ordering::SeqCst);
    }

    /// The write in question was rolled back as a whole: the target is as it was.
    pub fn untouch(&self) {
        self.0.store(NO, Ordering::SeqCst);
    }

    /// The answer to the deciding write was lost.
    pub fn doubt(&self) {
        self.0.store(UNKNOWN, Ordering::SeqCst);
    }

    /// The state now.
    pub fn touched(&self) -> Touched {
        match self.0.load(Ordering::SeqCst) {
            NO => Touched::No,
            YES => Touched::Yes,
            _ => Touched::Unknown,
        }
    }
}

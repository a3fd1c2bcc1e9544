//! The runner's one error: what failed, in which stage, for which stable reason.
//!
//! A [`Fault`] travels inside `io::Error` through readers and is taken out at the end, so decoders
//! from libraries need not know it.

use std::error::Error;
use std::io;

use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// The steps of a run, in the order in which data goes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Reading the request: manifests, references, secrets.
    Resolve,
    /// Reading the stored object.
    Download,
    /// Opening the encryption.
    Decrypt,
    /// Undoing the compression.
    Decompress,
    /// Reading what is inside: archive, index, dump.
    Inspect,
    /// Checking the target against the backup.
    Preflight,
    /// Loading.
    Restore,
    /// Comparing what was loaded with the backup.
    Verify,
    /// Putting the loaded data in the place of the old.
    Switch,
    /// Removing what is no longer needed.
    CleanUp,
}

impl Stage {
    /// The name as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "Resolve",
            Self::Download => "Download",
            Self::Decrypt => "Decrypt",
            Self::Decompress => "Decompress",
            Self::Inspect => "Inspect",
            Self::Preflight => "Preflight",
            Self::Restore => "Restore",
            Self::Verify => "Verify",
            Self::Switch => "Switch",
            Self::CleanUp => "CleanUp",
        }
    }
}

/// A failed run, or a failed part of it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Where it failed.
    pub stage: Stage,
    /// The stable reason.
    pub reason: Reason,
    /// What failed, on what; no secret, no trailing period.
    pub message: String,
    /// The error underneath, in its own words (a database's, the network's).
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault without an underlying error.
    pub fn new(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self { stage, reason, message: message.into(), source: None }
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same fault once more, with its causes folded into the message.
    #[must_use]
    pub fn restated(&self) -> Self {
        Self::new(self.stage, self.reason, self.full_message())
    }

    /// Packs the fault for the way through `Read`.
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// Whether an `io::Error` carries a fault of an earlier stage.
    pub fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Self>)
    }

    /// Takes a fault out of an `io::Error`; an error without one becomes `reason` in `stage`.
    pub fn from_io(error: io::Error, stage: Stage, reason: Reason, what: &str) -> Self {
        match error.downcast::<Self>() {
            Ok(fault) => fault,
            Err(error) => Self::new(stage, reason, what).caused_by(error),
        }
    }

    /// Message and causes in one line, for people.
    pub fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut next = self.source.as_deref().map(|error| error as &dyn Error);
        while let Some(error) = next {
            let part = error.to_string();
            if !part.is_empty() && !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            next = error.source();
        }
        text
    }
}

/// Result of the runner's functions.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

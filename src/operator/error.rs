//! What can fail in a pass over one restore, and how soon it is tried again.

use std::time::Duration;

/// Soon: somebody else wrote first, and the watch brings the newer object at once.
const SOON: Duration = Duration::from_millis(200);
/// Later: the API server did not answer, or refused.
const LATER: Duration = Duration::from_secs(5);

/// A failed pass. The next one begins from what is there then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object could not be read.
    #[error("failed to read {kind} {name}")]
    Read {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something could not be written.
    #[error("failed to {action} {name}")]
    Write {
        /// What was to be done.
        action: &'static str,
        /// To what.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The object is no longer the one that was looked at.
    #[error("{name} was changed by somebody else")]
    Conflict {
        /// Its name.
        name: String,
    },
    /// What is to be created is larger than the API server takes.
    #[error("the order of {name} has {bytes} bytes, over the limit of {limit}")]
    OrderTooLarge {
        /// The restore.
        name: String,
        /// Bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Result of the operator's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failed read.
    pub fn read(kind: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Read { kind, name, source: Box::new(source) }
    }

    /// A failed write; one that lost against another write is a conflict.
    pub fn write(action: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Self {
        let name = name.to_owned();
        move |source| match &source {
            kube::Error::Api(status)
                if matches!(status.code, 404 | 409 | 422)
                    && is_precondition(status.code, &status.message) =>
            {
                Self::Conflict { name }
            }
            _ => Self::Write { action, name, source: Box::new(source) },
        }
    }

    /// Time until the next pass.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Conflict { .. } => SOON,
            Self::Read { .. } | Self::Write { .. } | Self::OrderTooLarge { .. } => LATER,
        }
    }
}

/// Whether the API server refused because the object changed or went meanwhile.
fn is_precondition(code: u16, message: &str) -> bool {
    match code {
        404 | 409 => true,
        // A JSON patch whose `test` does not hold, or a uid that is another one by now.
        _ => {
            message.contains("testing value")
                || message.contains("test failed")
                || message.contains("uid")
                || message.contains("the server rejected our request due to an error in our request")
        }
    }
}

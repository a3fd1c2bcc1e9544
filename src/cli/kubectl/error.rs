//! What can go wrong on the way to the API server, in words for a person at night.

use std::error::Error as StdError;

use kube::config::KubeconfigError;

use crate::cli::exit::ExitCode;
use crate::cli::output::{self, clean};

/// A command that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flags make no sense together, or the API server refused the object that they make.
    #[error("{0}")]
    Usage(String),
    /// What is asked for is not possible as things are.
    #[error("{message}")]
    Refused {
        /// What is in the way.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The kubeconfig could not be used.
    #[error("failed to read the kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// The API server did not do what it was asked for.
    #[error("failed to {action}")]
    Request {
        /// What it was asked for.
        action: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Result of the verbs.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into() }
    }

    /// A failed request.
    pub fn request(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Request { action, source: Box::new(source) }
    }

    /// Whether somebody else has written first.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether the API server answered, and how.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Usage(_) | Self::Refused { .. } | Self::Kubeconfig(_) => None,
        }
    }

    /// Prints it; gives back the exit code.
    pub fn tell(&self) -> ExitCode {
        output::note(&format!("error: {}", self.words()));
        if let Some(hint) = self.hint() {
            output::note(&format!("hint: {hint}"));
        }
        self.exit_code()
    }

    /// The message and its causes in one line.
    pub fn words(&self) -> String {
        let mut text = clean(&self.to_string());
        let cause = match self {
            Self::Usage(_) | Self::Refused { .. } => None,
            Self::Kubeconfig(source) => Some(chain(source.as_ref())),
            Self::Request { source, .. } => Some(match source.as_ref() {
                kube::Error::Api(status) => status.message.clone(),
                other => chain(other),
            }),
        };
        if let Some(cause) = cause {
            text = format!("{text}: {}", clean(&cause));
        }
        text
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { hint, .. } => Some(hint.clone()).filter(|hint| !hint.is_empty()),
            Self::Kubeconfig(_) => Some("Check KUBECONFIG, --kubeconfig and --context.".to_owned()),
            Self::Request { source, .. } if is_not_installed(source) => Some(
                "This cluster does not know the kinds of reinstate.dev: install the chart first, or check --context."
                    .to_owned(),
            ),
            Self::Request { .. } if self.code() == Some(403) => Some(
                "You act with your own rights here: the roles reinstate-view and reinstate-edit of the chart hold what is needed."
                    .to_owned(),
            ),
            Self::Request { .. } if self.code().is_none() => {
                Some("Check that the cluster can be reached: kubectl get namespaces.".to_owned())
            }
            Self::Request { .. } | Self::Usage(_) => None,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match (self, self.code()) {
            (Self::Usage(_), _) | (_, Some(400 | 422)) => ExitCode::Usage,
            (Self::Request { .. }, None | Some(408 | 409 | 429 | 500..)) => ExitCode::UntouchedRetryable,
            (Self::Refused { .. } | Self::Kubeconfig(_) | Self::Request { .. }, _) => ExitCode::Untouched,
        }
    }
}

/// Whether the API server does not know the kind at all.
fn is_not_installed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if status.code == 404 && status.message.contains("could not find the requested resource"))
}

/// An error with its causes, each said once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> Error {
        let status = Status { code, message: message.into(), ..Status::default() };
        Error::request("create it")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn each_refusal_of_the_api_server_has_its_exit_code_and_a_hint() {
        let gone = "the server could not find the requested resource";
        for (error, code, hint) in [
            (api(422, "spec.target: Required"), ExitCode::Usage, None),
            (api(403, "forbidden"), ExitCode::Untouched, Some("your own rights")),
            (api(404, gone), ExitCode::Untouched, Some("install the chart")),
            (api(404, "databaserestores \"x\" not found"), ExitCode::Untouched, None),
            (api(409, "conflict"), ExitCode::UntouchedRetryable, None),
            (api(503, "unavailable"), ExitCode::UntouchedRetryable, None),
            (Error::Usage("no".into()), ExitCode::Usage, None),
            (Error::refused("no", "do this"), ExitCode::Untouched, Some("do this")),
        ] {
            assert_eq!(error.exit_code(), code, "{error:?}");
            let told = error.hint();
            assert_eq!(told.is_some(), hint.is_some(), "{error:?}: {told:?}");
            assert!(told.unwrap_or_default().contains(hint.unwrap_or_default()), "{error:?}");
        }
        assert_eq!(api(403, "no\u{1b}[2J").words(), "failed to create it: no\u{fffd}[2J");
    }
}

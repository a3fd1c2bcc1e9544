//! What a failed request to the storage means: the stable reason, whether to ask again, what to do.
//!
//! [`Trouble`] is what was observed, [`judge`] decides on it and knows nothing of the SDK. Text of
//! the server is shortened and stripped of control characters before it goes into a message.

use std::error::Error;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};

/// Longest text of a server that goes into a message, in characters.
const DETAIL_CHARS: usize = 300;

/// What went wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server answered with an error.
    Answer { status: u16, code: Option<String>, region: Option<String> },
    /// No answer, or no more bytes, for too long.
    TimedOut,
    /// The host name is not known.
    NoSuchHost,
    /// The connection was refused, reset or cut.
    Connection,
    /// The server's certificate is not trusted.
    Certificate,
    /// The server does not speak the TLS that is spoken here.
    Handshake,
    /// No credentials were found.
    NoCredentials,
    /// The place that gives out credentials did not answer.
    CredentialsUnavailable,
    /// The request could not be built: bucket, key or region cannot be.
    Unbuildable,
    /// The object is not the one that was looked at first.
    Changed(&'static str),
    /// The answer is not one that an S3 server gives.
    Broken(&'static str),
}

/// A failed request: what happened, and in whose words.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    pub(super) detail: String,
}

/// What follows from a [`Trouble`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) reason: Reason,
    /// The same request may succeed in a moment.
    pub(super) again: bool,
    pub(super) advice: String,
}

impl Failure {
    pub(super) fn new(trouble: Trouble) -> Self {
        Self { trouble, detail: String::new() }
    }

    /// Reads the SDK's error.
    pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let (Some(response), Some(service)) = (error.raw_response(), error.as_service_error()) {
            let trouble = Trouble::Answer {
                status: response.status().as_u16(),
                code: service.code().map(tame),
                region: response.headers().get("x-amz-bucket-region").map(tame),
            };
            let code = service.code().map_or_else(|| format!("HTTP {}", response.status().as_u16()), tame);
            let detail =
                service.message().map_or_else(|| code.clone(), |text| format!("{code}: {}", tame(text)));
            return Self { trouble, detail };
        }
        let trouble = match error {
            SdkError::ConstructionFailure(_) => trouble_in(error).unwrap_or(Trouble::Unbuildable),
            SdkError::TimeoutError(_) => Trouble::TimedOut,
            SdkError::ResponseError(response) => answer_or_broken(response.raw().status().as_u16()),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Trouble::TimedOut,
            _ => trouble_in(error).unwrap_or(Trouble::Connection),
        };
        Self { trouble, detail: innermost(error) }
    }

    /// Reads the error of a body that broke off.
    pub(super) fn from_body(error: &(dyn Error + 'static)) -> Self {
        let trouble = trouble_in(error).unwrap_or(Trouble::Connection);
        Self { trouble, detail: innermost(error) }
    }

    /// The fault for people: what was tried, on what, and what to do.
    pub(super) fn into_fault(self, tried: &str, attempts: u32) -> Fault {
        let Verdict { reason, again, advice } = judge(&self.trouble);
        let often = if again && attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() };
        let fault = Fault::new(Stage::Download, reason, format!("failed to {tried}{often}: {advice}"));
        if self.detail.is_empty() { fault } else { fault.caused_by(self.detail) }
    }
}

/// Decides what a trouble means.
pub(super) fn judge(trouble: &Trouble) -> Verdict {
    let (reason, again, advice) = match trouble {
        Trouble::Answer { status, code, region } => {
            return judge_answer(*status, code.as_deref(), region.as_deref());
        }
        Trouble::TimedOut => (Reason::SourceUnavailable, true, "no bytes came for too long"),
        Trouble::NoSuchHost => (
            Reason::SourceUnavailable,
            true,
            "the host name is not known; check the endpoint, and set forcePathStyle where buckets have no host names of their own",
        ),
        Trouble::Connection => {
            (Reason::SourceUnavailable, true, "the connection was refused or broke off; check the endpoint")
        }
        Trouble::Certificate => (
            Reason::SourceTLSFailed,
            false,
            "the certificate of the endpoint is not trusted; give its CA, and check the host name",
        ),
        Trouble::Handshake => (
            Reason::SourceTLSFailed,
            false,
            "the endpoint does not speak TLS as it should; check the port, and https against http",
        ),
        Trouble::NoCredentials => (
            Reason::SourceAccessDenied,
            false,
            "no credentials were found; give keys, or what AWS's default chain looks for",
        ),
        Trouble::CredentialsUnavailable => {
            (Reason::SourceUnavailable, true, "the provider of the credentials did not give any")
        }
        Trouble::Unbuildable => {
            (Reason::InvalidSpec, false, "no request can be made of this bucket, key, region and endpoint")
        }
        Trouble::Changed(what) => (Reason::SourceChanged, false, *what),
        Trouble::Broken(what) => (Reason::SourceUnavailable, true, *what),
    };
    Verdict { reason, again, advice: advice.to_owned() }
}

fn judge_answer(status: u16, code: Option<&str>, region: Option<&str>) -> Verdict {
    let known = code.and_then(judge_code).or_else(|| judge_status(status));
    let (reason, again, advice) = known.unwrap_or((
        Reason::SourceUnavailable,
        false,
        "the storage gave an answer that is not understood",
    ));
    let advice = match region.filter(|_| reason == Reason::InvalidSpec) {
        Some(region) => format!("the bucket is in the region {region}: set `region`"),
        None => advice.to_owned(),
    };
    Verdict { reason, again, advice }
}

type Row = (Reason, bool, &'static str);

const ELSEWHERE: Row = (
    Reason::InvalidSpec,
    false,
    "the bucket is in another region or at another endpoint; set `region`, `endpoint` or `forcePathStyle`",
);
const BUSY: Row = (Reason::SourceUnavailable, true, "the storage is overloaded or has an error of its own");
const DENIED: Row = (
    Reason::SourceAccessDenied,
    false,
    "the credentials may not do this (a missing object answers the same where listing is not allowed)",
);
const SHORTER: Row =
    (Reason::SourceChanged, false, "the object is shorter than it was when it was looked at");
const REPLACED: Row = (Reason::SourceChanged, false, "the object was replaced since it was looked at");

fn judge_code(code: &str) -> Option<Row> {
    Some(match code {
        "NoSuchBucket" => (Reason::SourceNotFound, false, "there is no such bucket"),
        "NoSuchKey" | "NoSuchVersion" => (Reason::SourceNotFound, false, "there is no such object"),
        "InvalidAccessKeyId" => (Reason::SourceAccessDenied, false, "the access key id is not known there"),
        "SignatureDoesNotMatch" => {
            (Reason::SourceAccessDenied, false, "the secret access key does not belong to the access key id")
        }
        "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" => {
            (Reason::SourceAccessDenied, false, "the session token is expired or not valid")
        }
        "RequestTimeTooSkewed" => (
            Reason::SourceAccessDenied,
            false,
            "the clocks of this machine and of the storage differ too much; correct the wrong one",
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => DENIED,
        code if code.starts_with("KMS.") => {
            (Reason::SourceAccessDenied, false, "the storage may not use the KMS key of this object for us")
        }
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "IllegalLocationConstraintException" => ELSEWHERE,
        "InvalidObjectState" => (
            Reason::SourceUnavailable,
            false,
            "the object is archived; restore it in the storage first, which can take hours",
        ),
        "PreconditionFailed" => REPLACED,
        "InvalidRange" => SHORTER,
        "InvalidBucketName" | "InvalidURI" | "KeyTooLongError" => {
            (Reason::InvalidSpec, false, "the storage refuses this bucket name or key")
        }
        "SlowDown"
        | "SlowDownRead"
        | "RequestTimeout"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "RequestThrottled" => BUSY,
        _ => return None,
    })
}

fn judge_status(status: u16) -> Option<Row> {
    Some(match status {
        300..=399 => ELSEWHERE,
        400 => (
            Reason::InvalidSpec,
            false,
            "the storage refuses the request; check `region`, `endpoint` (https or http) and `forcePathStyle`",
        ),
        401 | 403 => DENIED,
        404 | 410 => (Reason::SourceNotFound, false, "there is no such bucket or object"),
        412 => REPLACED,
        416 => SHORTER,
        501 => (Reason::SourceUnavailable, false, "the storage cannot do what is needed"),
        408 | 429 | 500..=599 => BUSY,
        _ => return None,
    })
}

fn answer_or_broken(status: u16) -> Trouble {
    if (200..300).contains(&status) {
        Trouble::Broken("the storage gave an answer that is not understood")
    } else {
        Trouble::Answer { status, code: None, region: None }
    }
}

/// Looks for the cause in the whole chain, inside `io::Error`s too.
fn trouble_in(error: &(dyn Error + 'static)) -> Option<Trouble> {
    chain(error).find_map(|part| {
        if let Some(tls) = part.downcast_ref::<rustls::Error>() {
            return trouble_in_tls(tls);
        }
        if let Some(credentials) = part.downcast_ref::<CredentialsError>() {
            return Some(match credentials {
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                    Trouble::NoCredentials
                }
                _ => Trouble::CredentialsUnavailable,
            });
        }
        // The connector has no public type for it.
        (part.to_string() == "dns error").then_some(Trouble::NoSuchHost)
    })
}

fn trouble_in_tls(error: &rustls::Error) -> Option<Trouble> {
    match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType => Some(Trouble::Certificate),
        rustls::Error::AlertReceived(_)
        | rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::PeerMisbehaved(_) => Some(Trouble::Handshake),
        _ => None,
    }
}

/// The error and everything below it; `io::Error::source` would skip what it holds.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&part| match part.downcast_ref::<io::Error>() {
        Some(held) => held.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => part.source(),
    })
    .take(32)
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(|part| tame(&part.to_string())).unwrap_or_default()
}

/// Text of a server, fit for a message: one line, bounded, nothing that a terminal obeys.
pub(super) fn tame(text: &str) -> String {
    let clean: String = text.chars().filter(|letter| !letter.is_control()).take(DETAIL_CHARS).collect();
    clean.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: Option<&str>) -> Trouble {
        Trouble::Answer { status, code: code.map(str::to_owned), region: None }
    }

    #[test]
    fn every_answer_has_its_reason_and_says_whether_to_ask_again() {
        for (status, code, reason, again, says) in [
            (404, Some("NoSuchKey"), Reason::SourceNotFound, false, "object"),
            (404, Some("NoSuchBucket"), Reason::SourceNotFound, false, "bucket"),
            (404, None, Reason::SourceNotFound, false, "bucket or object"),
            (403, Some("InvalidAccessKeyId"), Reason::SourceAccessDenied, false, "access key id"),
            (403, Some("SignatureDoesNotMatch"), Reason::SourceAccessDenied, false, "secret access key"),
            (403, Some("RequestTimeTooSkewed"), Reason::SourceAccessDenied, false, "clock"),
            (400, Some("ExpiredToken"), Reason::SourceAccessDenied, false, "token"),
            (403, None, Reason::SourceAccessDenied, false, "may not"),
            (400, Some("KMS.DisabledException"), Reason::SourceAccessDenied, false, "KMS"),
            (301, Some("PermanentRedirect"), Reason::InvalidSpec, false, "forcePathStyle"),
            (307, None, Reason::InvalidSpec, false, "region"),
            (400, Some("AuthorizationHeaderMalformed"), Reason::InvalidSpec, false, "region"),
            (400, None, Reason::InvalidSpec, false, "region"),
            (403, Some("InvalidObjectState"), Reason::SourceUnavailable, false, "archived"),
            (412, Some("PreconditionFailed"), Reason::SourceChanged, false, "replaced"),
            (412, None, Reason::SourceChanged, false, "replaced"),
            (416, Some("InvalidRange"), Reason::SourceChanged, false, "shorter"),
            (503, Some("SlowDown"), Reason::SourceUnavailable, true, "overloaded"),
            (500, None, Reason::SourceUnavailable, true, "overloaded"),
            (400, Some("RequestTimeout"), Reason::SourceUnavailable, true, "overloaded"),
            (501, Some("NotImplemented"), Reason::SourceUnavailable, false, "cannot"),
            (418, Some("Teapot"), Reason::SourceUnavailable, false, "not understood"),
        ] {
            let verdict = judge(&answer(status, code));
            assert_eq!((verdict.reason, verdict.again), (reason, again), "{status} {code:?}");
            assert!(verdict.advice.contains(says), "{status} {code:?}: {}", verdict.advice);
        }
    }

    #[test]
    fn the_region_that_the_server_names_is_in_the_message() {
        let trouble = Trouble::Answer { status: 301, code: None, region: Some("eu-west-1".into()) };
        let fault = Failure::new(trouble).into_fault("read s3://b/k", 1);
        assert_eq!(
            fault.message,
            "failed to read s3://b/k: the bucket is in the region eu-west-1: set `region`"
        );
    }

    #[test]
    fn the_cause_is_found_inside_of_io_errors() {
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, unknown));
        let failure = Failure::from_body(&nested);
        assert_eq!(failure.trouble, Trouble::Certificate);
        assert!(failure.detail.contains("UnknownIssuer"), "{}", failure.detail);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(Failure::from_body(&reset).trouble, Trouble::Connection);
    }

    #[test]
    fn text_of_a_server_cannot_steer_a_terminal_or_flood_a_message() {
        assert_eq!(tame("a\u{1b}[2Jb\r\nc."), "a[2Jbc");
        assert_eq!(tame(&"x".repeat(100_000)).len(), DETAIL_CHARS);
    }
}

//! What can go wrong between this client and a server, and the stable reason of each.
//!
//! Text of a server is cut, cleared of what a terminal obeys, and never holds the password.

use std::fmt;
use std::io;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};

/// Longest text of one field of a server's message that is kept, in characters.
const TEXT_CHARS: usize = 1000;

/// An error of the connection or of the server.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The server answered with an error. After `ERROR` the connection can be used on, after `FATAL`
    /// it is closed.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// The host name has no address.
    #[error("the host name {host:?} is not known: {words}")]
    NoSuchHost {
        /// The name.
        host: String,
        /// What the system's resolver says.
        words: String,
    },
    /// No connection could be made.
    #[error("no connection to {server}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// The network's own error.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Lost(String),
    /// The server took too long; says with what.
    #[error("the server did not answer in time: {0}")]
    TimedOut(&'static str),
    /// TLS could not be agreed on, or the server's certificate is not trusted.
    #[error("{0}")]
    Tls(String),
    /// The login cannot be done here.
    #[error("{0}")]
    Login(String),
    /// The server does not keep to the protocol, or is none of PostgreSQL.
    #[error("the server does not keep to PostgreSQL's protocol: {0}")]
    Protocol(String),
    /// An answer is larger than the limit that is named.
    #[error("the answer is over the limit: {0}")]
    TooLarge(String),
    /// The run was asked to stop, or its time is over.
    #[error("{message}")]
    Stopped {
        /// `Interrupted` or `DeadlineExceeded`.
        reason: Reason,
        /// What says so.
        message: String,
    },
    /// What was asked for cannot be sent.
    #[error("{0}")]
    Request(String),
    /// A setting of the connection cannot be used.
    #[error("{0}")]
    Setting(String),
    /// An earlier error has closed the connection.
    #[error("the connection is closed")]
    Closed,
}

/// A batch of statements that failed, and at which.
#[derive(Debug, thiserror::Error)]
#[error("statement {} of the batch failed", .statement + 1)]
pub struct Failed {
    /// Index of the statement that failed, from 0; where the connection broke, the first whose answer
    /// is not known. Those before it succeeded, those behind it did not run. All of a batch is one
    /// transaction, so without a `BEGIN` of its own nothing of it stays.
    pub statement: usize,
    /// What went wrong.
    #[source]
    pub error: WireError,
}

impl From<Failed> for WireError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// An error or notice in the server's own words. Texts are cut at 1000 characters.
///
/// Source: PostgreSQL's manual, "Error and Notice Message Fields".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE` and so on, in English.
    pub severity: String,
    /// SQLSTATE, five characters.
    pub code: String,
    /// The message.
    pub message: String,
    /// More of it; may hold data of rows, so it is not part of a fault's text for SQLSTATE 22 and 23.
    pub detail: String,
    /// What the server suggests.
    pub hint: String,
    /// Where in the statement, in characters from 1; 0: not told.
    pub position: u32,
    /// The call stack; for COPY with the line and the data in it.
    pub context: String,
    /// Schema, table, column, data type and constraint, where the error is about one.
    pub object: Vec<String>,
}

/// A message body without the texts that follow each other up to a zero byte.
fn fields(mut body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (kind, rest) = body.split_first().filter(|(kind, _)| **kind != 0)?;
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let (text, behind) = rest.split_at_checked(end)?;
        body = behind.split_first().map_or(&[][..], |(_, behind)| behind);
        Some((*kind, text))
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    text.windows(part.len()).position(|window| window == part)
}

impl ServerError {
    /// Reads the body of an `ErrorResponse` or `NoticeResponse`, which may have been cut. Text that is
    /// not UTF-8 (the session's encoding may be another) is shown as far as it is ASCII.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for (kind, text) in fields(body) {
            let text = tame(text);
            match kind {
                // The severity in the server's language stands before the one in English.
                b'S' if error.severity.is_empty() => error.severity = text,
                b'V' => error.severity = text,
                b'C' => error.code = text.chars().take(5).collect(),
                b'M' => error.message = text,
                b'D' => error.detail = text,
                b'H' => error.hint = text,
                b'P' => error.position = text.parse().unwrap_or(0),
                b'W' => error.context = text,
                b's' | b't' | b'c' | b'd' | b'n' if error.object.len() < 5 => error.object.push(text),
                _ => {}
            }
        }
        error
    }

    /// Whether the server closes the connection after it.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    /// The same of a server that knows `secret`, which is taken out first.
    pub(super) fn parse_without(body: &[u8], secret: &[u8]) -> Self {
        let mut shown = Vec::with_capacity(body.len());
        let mut rest = body;
        while let Some(at) = find(rest, secret) {
            let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            shown.extend_from_slice(before);
            shown.extend_from_slice(b"[redacted]");
            rest = behind.get(secret.len()..).unwrap_or_default();
        }
        shown.extend_from_slice(rest);
        Self::parse(&shown)
    }

    /// Where a COPY stopped, without the data that the server shows beside it.
    fn copy_line(&self) -> Option<&str> {
        let place = self.context.strip_prefix("COPY ")?;
        let end = place.find(": \"").unwrap_or(place.len());
        place.get(..end).filter(|place| place.contains(", line "))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity: _, code, message, detail, hint, position, context: _, object } = self;
        write!(f, "{message} (SQLSTATE {code})")?;
        // Data exceptions and violated constraints are explained by the row that they are about.
        if code.starts_with("22") || code.starts_with("23") {
            if !object.is_empty() {
                write!(f, "; object: {}", object.join("."))?;
            }
        } else if !detail.is_empty() {
            write!(f, "; {detail}")?;
        }
        if let Some(place) = self.copy_line() {
            write!(f, "; COPY {place}")?;
        }
        if *position > 0 {
            write!(f, "; at character {position}")?;
        }
        if !hint.is_empty() {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

impl WireError {
    /// The server's error, where it is one.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }

    /// SQLSTATE of the server's error.
    pub fn sqlstate(&self) -> Option<&str> {
        self.server().map(|error| error.code.as_str())
    }

    /// The fault for people. `what` says what was done on what ("failed to create table x"); `otherwise`
    /// is the reason of an error of the server whose SQLSTATE says nothing better.
    pub fn fault(self, stage: Stage, otherwise: Reason, what: &str) -> Fault {
        let (reason, advice) = match &self {
            Self::Server(error) => judge(&error.code).unwrap_or((otherwise, "")),
            Self::NoSuchHost { .. } => (Reason::TargetUnavailable, "check the connection's host"),
            Self::Unreachable { .. } => {
                (Reason::TargetUnavailable, "check the connection's host and port, and that the server runs")
            }
            Self::Lost(_) | Self::TimedOut(_) => {
                (Reason::TargetUnavailable, "check the network, and the server's log")
            }
            Self::Protocol(_) => (
                Reason::TargetUnavailable,
                "check that host and port are those of a PostgreSQL server, and not of another or a proxy",
            ),
            Self::Closed => (Reason::TargetUnavailable, ""),
            Self::Tls(_) => (Reason::TargetTLSFailed, ""),
            Self::Login(_) => (Reason::TargetAccessDenied, ""),
            Self::TooLarge(_) => (Reason::LimitExceeded, ""),
            Self::Setting(_) => (Reason::InvalidSpec, ""),
            Self::Request(_) => (otherwise, ""),
            Self::Stopped { reason, .. } => (*reason, ""),
        };
        let message = if advice.is_empty() { what.to_owned() } else { format!("{what}: {advice}") };
        Fault::new(stage, reason, message).caused_by(self)
    }
}

/// What a SQLSTATE means whatever was done; `None`: it depends.
///
/// Source: PostgreSQL's manual, appendix "PostgreSQL Error Codes".
fn judge(code: &str) -> Option<(Reason, &'static str)> {
    Some(match code {
        "28P01" => (Reason::TargetAccessDenied, "check the connection's user and password"),
        "28000" => (
            Reason::TargetAccessDenied,
            "check the connection's user, and what the server's `pg_hba.conf` lets in from here",
        ),
        "3D000" => (Reason::TargetNotFound, "check the name of the database"),
        "42501" => (Reason::PermissionDenied, "the connection's user lacks the right"),
        "53100" => (Reason::NoRoom, "the server's disk is full"),
        "53300" => (Reason::TargetUnavailable, "the server has no connection left; close some"),
        "57P01" | "57P02" => (Reason::TargetUnavailable, "the server ended the session; look into its log"),
        "57P03" => (Reason::TargetUnavailable, "the server is starting, stopping or recovering"),
        "57P04" => (Reason::TargetChanged, "somebody dropped the database"),
        "55006" => (Reason::TargetBusy, "sessions of others are in the way"),
        "55P03" => (Reason::TargetBusy, "a lock of another session is in the way"),
        "25006" => (Reason::TargetUnavailable, "the server only reads: it may be a standby"),
        code if code.starts_with("08") => (Reason::TargetUnavailable, ""),
        _ => return None,
    })
}

/// Text of a server, fit for a message: one line, bounded, nothing that a terminal obeys.
pub(super) fn tame(text: &[u8]) -> String {
    // A character has at most four bytes.
    let head = text.get(..TEXT_CHARS * 4).unwrap_or(text);
    let text = String::from_utf8_lossy(head);
    let mut line = String::new();
    for letter in text.chars().take(TEXT_CHARS) {
        match letter {
            '\n' | '\t' => line.push(' '),
            letter if letter.is_control() || is_direction(letter) => {}
            letter => line.push(letter),
        }
    }
    line.trim_end_matches('.').to_owned()
}

/// Marks that turn the direction of what follows, by which a text can look like another.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(fields: &[(u8, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, text) in fields {
            body.push(*kind);
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        body
    }

    #[test]
    fn every_field_of_an_error_is_read_and_bounded() {
        let long = "x".repeat(100_000);
        let error = ServerError::parse(&body(&[
            (b'S', "FEHLER"),
            (b'V', "ERROR"),
            (b'C', "42P01"),
            (b'M', "relation \"t\"\n does\u{1b}[2J not exist."),
            (b'D', &long),
            (b'H', "make it"),
            (b'P', "17"),
            (b'W', "COPY t, line 3, column a: \"secret\""),
            (b's', "public"),
            (b't', "t"),
            (b'F', "parse_relation.c"),
            (b'?', "unknown"),
        ]));
        assert_eq!((error.severity.as_str(), error.code.as_str(), error.position), ("ERROR", "42P01", 17));
        assert_eq!(error.message, "relation \"t\"  does[2J not exist");
        assert_eq!(error.detail.len(), TEXT_CHARS);
        assert_eq!(error.object, ["public", "t"]);
        assert!(!error.is_fatal());
    }

    #[test]
    fn a_cut_or_broken_error_gives_what_is_there() {
        let whole = body(&[(b'S', "ERROR"), (b'C', "22021"), (b'M', "bad byte \u{fffd}")]);
        for end in 0..whole.len() {
            let error = ServerError::parse(&whole[..end]);
            assert!("ERROR".starts_with(&error.severity), "{end}");
            assert!("22021".starts_with(&error.code), "{end}");
        }
        assert_eq!(ServerError::parse(b"M\xff\xe4x\0\0").message, "\u{fffd}\u{fffd}x");
        assert_eq!(ServerError::parse(b"Pabc\0").position, 0);
    }

    #[test]
    fn the_words_for_people_hold_no_row() {
        for (code, detail, context, expected) in [
            (
                "23505",
                "Key (email)=(secret) already exists",
                "",
                "m (SQLSTATE 23505); object: public.t.t_pkey",
            ),
            (
                "22P02",
                "secret",
                "COPY t, line 7, column a: \"secret\"",
                "m (SQLSTATE 22P02); object: public.t.t_pkey; COPY t, line 7, column a",
            ),
            ("2BP01", "view v depends on it", "", "m (SQLSTATE 2BP01); view v depends on it"),
            ("42601", "", "PL/pgSQL function f", "m (SQLSTATE 42601)"),
        ] {
            let error = ServerError {
                code: code.into(),
                message: "m".into(),
                detail: detail.into(),
                context: context.into(),
                object: vec!["public".into(), "t".into(), "t_pkey".into()],
                ..ServerError::default()
            };
            assert_eq!(error.to_string(), expected, "{code}");
        }
    }

    #[test]
    fn every_error_has_its_reason() {
        let server = |code: &str| {
            WireError::Server(Box::new(ServerError { code: code.into(), ..ServerError::default() }))
        };
        let io = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, reason) in [
            (server("28P01"), Reason::TargetAccessDenied),
            (server("28000"), Reason::TargetAccessDenied),
            (server("3D000"), Reason::TargetNotFound),
            (server("42501"), Reason::PermissionDenied),
            (server("53100"), Reason::NoRoom),
            (server("53300"), Reason::TargetUnavailable),
            (server("57P03"), Reason::TargetUnavailable),
            (server("55006"), Reason::TargetBusy),
            (server("25006"), Reason::TargetUnavailable),
            (server("08P01"), Reason::TargetUnavailable),
            (server("42P01"), Reason::RestoreFailed),
            (server(""), Reason::RestoreFailed),
            (WireError::NoSuchHost { host: "h".into(), words: "w".into() }, Reason::TargetUnavailable),
            (WireError::Unreachable { server: "h:1".into(), source: io() }, Reason::TargetUnavailable),
            (WireError::Lost("cut".into()), Reason::TargetUnavailable),
            (WireError::TimedOut("login"), Reason::TargetUnavailable),
            (WireError::Protocol("x".into()), Reason::TargetUnavailable),
            (WireError::Tls("x".into()), Reason::TargetTLSFailed),
            (WireError::Login("x".into()), Reason::TargetAccessDenied),
            (WireError::TooLarge("x".into()), Reason::LimitExceeded),
            (WireError::Setting("x".into()), Reason::InvalidSpec),
            (WireError::Request("x".into()), Reason::RestoreFailed),
            (WireError::Closed, Reason::TargetUnavailable),
            (
                WireError::Stopped { reason: Reason::DeadlineExceeded, message: "m".into() },
                Reason::DeadlineExceeded,
            ),
        ] {
            let words = error.to_string();
            let fault = error.fault(Stage::Restore, Reason::RestoreFailed, "failed to load");
            assert_eq!(fault.reason, reason, "{words}");
            assert!(fault.message.starts_with("failed to load"), "{words}");
        }
    }

    #[test]
    fn a_password_that_a_server_sends_back_is_not_shown() {
        for (text, secret, expected) in [
            ("wrong: hunter2!", "hunter2", "wrong: [redacted]!"),
            ("hunter2hunter2", "hunter2", "[redacted][redacted]"),
            ("a\nb", "a\nb", "[redacted]"),
            ("hunter", "hunter2", "hunter"),
            ("as it is", "", "as it is"),
        ] {
            let error = ServerError::parse_without(&body(&[(b'M', text)]), secret.as_bytes());
            assert_eq!(error.message, expected, "{text}");
        }
    }
}

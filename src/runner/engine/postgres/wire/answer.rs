//! What a server sends: bytes into messages, with a limit on each, and what is kept of the session.
//!
//! Source: PostgreSQL's manual, "Message Formats".

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};

use super::error::{ServerError, WireError, tame};

/// Type and length of a message, in bytes.
const HEAD_BYTES: usize = 5;
/// Longest row of an answer, in bytes. Only catalogues are asked; rows of tables come by `COPY`, in pieces.
const ROW_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How much of an error or notice is kept, in bytes; functions of a dump may raise any length.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;
/// Longest other message, in bytes.
const MESSAGE_LIMIT_BYTES: usize = 64 * 1024;
/// Most parameters of a session that are kept; PostgreSQL 18 reports 15.
const PARAMETERS_LIMIT: usize = 64;
/// Most notices whose text is kept.
const NOTICES_KEPT: usize = 20;

/// What the server wants to know before it lets somebody in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    /// Nothing, or nothing more.
    Ok,
    /// The password as it is.
    Cleartext,
    /// The password hashed with this salt.
    Md5([u8; 4]),
    /// SASL, with the names of its mechanisms.
    Sasl(Vec<Vec<u8>>),
    /// SASL's next step.
    SaslContinue(Bytes),
    /// SASL's last step.
    SaslFinal(Bytes),
    /// A method that cannot be done here, by its name.
    Other(String),
}

/// Whether a transaction is open; as the server says when it is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// None.
    #[default]
    Idle,
    /// One is open.
    Open,
    /// One is open and failed: it can only be rolled back.
    Failed,
}

/// A message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Authentication(Authentication),
    KeyData {
        process: i32,
        secret: i32,
    },
    Parameter {
        name: String,
        value: String,
    },
    Ready(Transaction),
    ParseComplete,
    BindComplete,
    /// A statement is done; holds the command tag.
    Complete(Bytes),
    EmptyQuery,
    Row(Bytes),
    CopyIn,
    CopyOut,
    /// A piece of the rows of a `COPY … TO stdout`, cut anywhere.
    CopyData(Bytes),
    CopyDone,
    /// The body of an error, perhaps cut.
    Error(Bytes),
    /// The body of a notice, perhaps cut.
    Notice(Bytes),
    Notification,
}

/// Takes bytes in and gives messages out.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: BytesMut,
    /// Bytes of a long error or notice that are still to be passed over.
    skip: usize,
    /// Bytes of a row of a `COPY` that are still to be given, which are never held whole.
    row: usize,
}

impl Inbox {
    /// Takes in what came.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        if self.buffer.is_empty() {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message; `None` until more bytes come.
    pub(super) fn next(&mut self) -> Result<Option<Message>, WireError> {
        let passed = self.skip.min(self.buffer.len());
        self.buffer.advance(passed);
        self.skip -= passed;
        if self.row > 0 {
            return Ok(self.piece());
        }
        let Some((kind, length)) = self.head()? else { return Ok(None) };
        if kind == b'd' {
            self.buffer.advance(HEAD_BYTES);
            self.row = length;
            return if length == 0 { Ok(Some(Message::CopyData(Bytes::new()))) } else { Ok(self.piece()) };
        }
        let (limit, cut) = match kind {
            b'E' | b'N' => (TEXT_LIMIT_BYTES, true),
            b'D' => (ROW_LIMIT_BYTES, false),
            _ => (MESSAGE_LIMIT_BYTES, false),
        };
        if length > limit && !cut {
            let words = format!("a message of type {} with {length} bytes", kind.escape_ascii());
            // A row may be that long; of anything else the server is none, or lies.
            return Err(match kind {
                b'D' => WireError::TooLarge(format!("{words}, where {limit} are taken")),
                _ => WireError::Protocol(words),
            });
        }
        let kept = length.min(limit);
        if self.buffer.len() < HEAD_BYTES + kept {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        self.skip = length - kept;
        let body = self.buffer.split_to(kept).freeze();
        parse(kind, body).map(Some)
    }

    /// What is there of a row of a `COPY`.
    fn piece(&mut self) -> Option<Message> {
        let there = self.row.min(self.buffer.len());
        self.row -= there;
        (there > 0).then(|| Message::CopyData(self.buffer.split_to(there).freeze()))
    }

    /// Type and length of the body of the message that has begun.
    fn head(&self) -> Result<Option<(u8, usize)>, WireError> {
        let Some(([kind, length @ ..], _)) = self.buffer.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        match usize::try_from(length).ok().and_then(|length| length.checked_sub(4)) {
            Some(length) => Ok(Some((*kind, length))),
            None => Err(WireError::Protocol(format!("a message has the length {length}"))),
        }
    }
}

/// Reads one message.
fn parse(kind: u8, mut body: Bytes) -> Result<Message, WireError> {
    let broken = || WireError::Protocol(format!("a message of type {} is cut", kind.escape_ascii()));
    let message = match kind {
        b'R' => Message::Authentication(authentication(body).ok_or_else(broken)?),
        b'K' => Message::KeyData {
            process: body.try_get_i32().map_err(|_| broken())?,
            secret: body.try_get_i32().map_err(|_| broken())?,
        },
        b'S' => {
            let name = string(&mut body).ok_or_else(broken)?;
            let value = string(&mut body).ok_or_else(broken)?;
            Message::Parameter { name: tame(&name), value: tame(&value) }
        }
        b'Z' => Message::Ready(match body.first() {
            Some(b'I') => Transaction::Idle,
            Some(b'T') => Transaction::Open,
            Some(b'E') => Transaction::Failed,
            _ => return Err(broken()),
        }),
        b'1' => Message::ParseComplete,
        b'2' => Message::BindComplete,
        b'C' => Message::Complete(string(&mut body).ok_or_else(broken)?),
        b'I' => Message::EmptyQuery,
        b'D' => Message::Row(body),
        b'G' => Message::CopyIn,
        b'H' | b'W' => Message::CopyOut,
        b'c' => Message::CopyDone,
        b'E' => Message::Error(body),
        b'N' => Message::Notice(body),
        b'A' => Message::Notification,
        kind => {
            let message = format!("a message of type {} was not asked for", kind.escape_ascii());
            return Err(WireError::Protocol(message));
        }
    };
    Ok(message)
}

fn authentication(mut body: Bytes) -> Option<Authentication> {
    Some(match body.try_get_i32().ok()? {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => Authentication::Md5(*body.first_chunk::<4>()?),
        10 => {
            let mut mechanisms = Vec::new();
            while let Some(name) = string(&mut body).filter(|name| !name.is_empty()) {
                mechanisms.push(name.to_vec());
            }
            Authentication::Sasl(mechanisms)
        }
        11 => Authentication::SaslContinue(body),
        12 => Authentication::SaslFinal(body),
        2 => Authentication::Other("Kerberos 5".to_owned()),
        6 => Authentication::Other("SCM credentials".to_owned()),
        7 | 8 => Authentication::Other("GSSAPI".to_owned()),
        9 => Authentication::Other("SSPI".to_owned()),
        code => Authentication::Other(format!("a method of number {code}")),
    })
}

/// Text up to a zero byte, which is taken too.
fn string(body: &mut Bytes) -> Option<Bytes> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let text = body.split_to(end);
    body.advance(1);
    Some(text)
}

/// The number of rows in a command tag, such as `INSERT 0 5`, `COPY 12`, `CREATE TABLE`; 0 where none stands.
pub(super) fn rows_of_tag(tag: &[u8]) -> u64 {
    tag.rsplit(|byte| *byte == b' ')
        .next()
        .and_then(|last| std::str::from_utf8(last).ok())
        .and_then(|last| last.parse().ok())
        .unwrap_or(0)
}

/// Notices of a session: all are counted, of the first 20 the text is kept.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// How many there were.
    pub count: u64,
    /// The first of them.
    pub first: Vec<ServerError>,
}

impl Notices {
    fn add(&mut self, body: &[u8]) {
        self.count += 1;
        if self.first.len() < NOTICES_KEPT {
            self.first.push(ServerError::parse(body));
        }
    }
}

/// What is known of the session.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) process: i32,
    pub(super) secret: i32,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) notices: Notices,
    pub(super) transaction: Transaction,
}

impl Session {
    /// Takes what may come at any time; gives back what belongs to an answer.
    pub(super) fn take(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::Notice(body) => self.notices.add(&body),
            Message::Parameter { name, value } => {
                if self.parameters.len() < PARAMETERS_LIMIT || self.parameters.contains_key(&name) {
                    self.parameters.insert(name, value);
                }
            }
            Message::Notification => {}
            Message::Ready(transaction) => {
                self.transaction = transaction;
                return Some(message);
            }
            Message::Authentication(_)
            | Message::KeyData { .. }
            | Message::ParseComplete
            | Message::BindComplete
            | Message::Complete(_)
            | Message::EmptyQuery
            | Message::Row(_)
            | Message::CopyIn
            | Message::CopyOut
            | Message::CopyData(_)
            | Message::CopyDone
            | Message::Error(_) => return Some(message),
        }
        None
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

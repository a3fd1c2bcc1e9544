//! The statements that were sent and what the server has answered to each: pure bookkeeping, which
//! also holds the server to the order that the protocol says.
//!
//! Source: PostgreSQL's manual, "Extended Query" and "COPY Operations".

use bytes::{Buf, Bytes};

use super::answer::{Message, rows_of_tag};
use super::error::{ServerError, WireError};

/// Largest answer to one question, in bytes: its values, and for each what keeping it costs.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// A row of an answer, each value as the text that the server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Option<Box<[u8]>>>);

impl Row {
    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.0.len()
    }

    /// The bytes of a column, from 0; `None`: NULL, or no such column.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref()
    }

    /// The text of a column, from 0; `None`: NULL, no such column, or not UTF-8.
    pub fn text(&self, column: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(column)?).ok()
    }

    /// What the row costs in memory, in bytes.
    fn cost(&self) -> usize {
        let values = self.0.iter().flatten().map(|value| value.len()).sum::<usize>();
        values + size_of::<Self>() + self.0.len() * size_of::<Option<Box<[u8]>>>()
    }

    fn parse(mut body: Bytes) -> Option<Self> {
        let columns = body.try_get_u16().ok()?;
        let mut values = Vec::with_capacity(usize::from(columns).min(body.len() / 4));
        for _ in 0..columns {
            let length = body.try_get_i32().ok()?;
            values.push(match usize::try_from(length) {
                Ok(length) if length <= body.len() => Some(body.split_to(length).as_ref().into()),
                Err(_) if length == -1 => None,
                _ => return None,
            });
        }
        body.is_empty().then_some(Self(values))
    }
}

/// What is awaited of the first statement that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Parse,
    Bind,
    Answer,
    Copy,
    Out,
    OutDone,
}

/// What the answers are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// That they are done; rows are passed over.
    Statements,
    /// Their rows.
    Question,
    /// That rows are taken in.
    CopyIn,
    /// The rows of a `COPY` to the client, as text.
    CopyOut,
}

/// Statements up to the next Sync.
#[derive(Debug)]
pub(super) struct Batch {
    kind: Kind,
    /// How many were sent.
    sent: usize,
    /// Rows of each that is done, as its tag says.
    done: Vec<u64>,
    step: Step,
    rows: Vec<Row>,
    rows_cost: usize,
    /// Rows of a `COPY` that nobody has taken yet.
    copied: Vec<u8>,
    failed: Option<Box<ServerError>>,
    synced: bool,
    ended: bool,
}

impl Batch {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            sent: 0,
            done: Vec::new(),
            step: Step::Parse,
            rows: Vec::new(),
            rows_cost: 0,
            copied: Vec::new(),
            failed: None,
            synced: false,
            ended: false,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// How many statements were sent.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Notes that one more statement was sent.
    pub(super) fn add(&mut self) {
        self.sent += 1;
    }

    /// Notes that Sync was sent.
    pub(super) fn sync(&mut self) {
        self.synced = true;
    }

    /// Whether the server has said that a statement failed; it passes over those behind it.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether rows can be sent.
    pub(super) fn is_copying(&self) -> bool {
        self.step == Step::Copy && self.failed.is_none()
    }

    /// The rows of a `COPY` that came since the last call, cut anywhere; `buffer` is what the next ones go to.
    pub(super) fn swap_copied(&mut self, buffer: &mut Vec<u8>) {
        buffer.clear();
        std::mem::swap(&mut self.copied, buffer);
    }

    /// Whether rows of a `COPY` wait to be taken.
    pub(super) fn has_copied(&self) -> bool {
        !self.copied.is_empty()
    }

    /// Whether everything that was sent is answered.
    pub(super) fn is_answered(&self) -> bool {
        self.done.len() >= self.sent
    }

    /// Whether the server is ready again.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Index of the statement that failed, or would be the next: what fails at the end of all
    /// (a deferred constraint) is told of the last one.
    pub(super) fn current(&self) -> usize {
        self.done.len().min(self.sent.saturating_sub(1))
    }

    /// The server's error, taken out.
    pub(super) fn take_failure(&mut self) -> Option<Box<ServerError>> {
        self.failed.take()
    }

    /// Rows of each statement and, of a question, the rows themselves.
    pub(super) fn into_results(self) -> (Vec<u64>, Vec<Row>) {
        (self.done, self.rows)
    }

    /// Takes the next message of the answer.
    pub(super) fn take(&mut self, message: Message) -> Result<(), WireError> {
        match message {
            Message::Error(body) => {
                self.fail(ServerError::parse(&body));
                return Ok(());
            }
            Message::Ready(_) => return self.ready(),
            _ => {}
        }
        if self.ended || self.failed.is_some() || self.is_answered() {
            return Err(out_of_order(&message));
        }
        match (self.step, message) {
            (Step::Parse, Message::ParseComplete) => self.step = Step::Bind,
            (Step::Bind, Message::BindComplete) => self.step = Step::Answer,
            (Step::Answer, Message::Row(body)) => self.row(body)?,
            (Step::Answer, Message::CopyIn) if self.kind == Kind::CopyIn => self.step = Step::Copy,
            (Step::Answer, Message::CopyOut) if self.kind == Kind::CopyOut => self.step = Step::Out,
            (Step::Out, Message::CopyData(piece)) => self.copied.extend_from_slice(&piece),
            (Step::Out, Message::CopyDone) => self.step = Step::OutDone,
            (Step::Answer, Message::CopyIn | Message::CopyOut) => {
                let words = "a COPY with the client stands where only statements are sent";
                return Err(WireError::Request(words.to_owned()));
            }
            (Step::Answer | Step::Copy | Step::OutDone, Message::Complete(tag)) => {
                self.done.push(rows_of_tag(&tag));
                self.step = Step::Parse;
            }
            (Step::Answer, Message::EmptyQuery) => {
                self.done.push(0);
                self.step = Step::Parse;
            }
            (_, message) => return Err(out_of_order(&message)),
        }
        Ok(())
    }

    /// The first error is the one to tell; but why the server closes the connection tells more.
    fn fail(&mut self, error: ServerError) {
        if self.failed.is_none() || error.is_fatal() {
            self.failed = Some(Box::new(error));
        }
    }

    fn ready(&mut self) -> Result<(), WireError> {
        if !self.synced || self.ended || (self.failed.is_none() && !self.is_answered()) {
            return Err(WireError::Protocol("it is ready before it has answered".to_owned()));
        }
        self.ended = true;
        Ok(())
    }

    fn row(&mut self, body: Bytes) -> Result<(), WireError> {
        if self.kind != Kind::Question {
            return Ok(());
        }
        let row = Row::parse(body).ok_or_else(|| WireError::Protocol("a row is cut".to_owned()))?;
        self.rows_cost += row.cost();
        if self.rows_cost > ANSWER_LIMIT_BYTES {
            let words = format!("more than {ANSWER_LIMIT_BYTES} bytes of rows to one question");
            return Err(WireError::TooLarge(words));
        }
        self.rows.push(row);
        Ok(())
    }
}

fn out_of_order(message: &Message) -> WireError {
    let name = match message {
        Message::Authentication(_) => "Authentication",
        Message::KeyData { .. } => "BackendKeyData",
        Message::Parameter { .. } => "ParameterStatus",
        Message::Ready(_) => "ReadyForQuery",
        Message::ParseComplete => "ParseComplete",
        Message::BindComplete => "BindComplete",
        Message::Complete(_) => "CommandComplete",
        Message::EmptyQuery => "EmptyQueryResponse",
        Message::Row(_) => "DataRow",
        Message::CopyIn => "CopyInResponse",
        Message::CopyOut => "CopyOutResponse",
        Message::CopyData(_) => "CopyData",
        Message::CopyDone => "CopyDone",
        Message::Error(_) => "ErrorResponse",
        Message::Notice(_) => "NoticeResponse",
        Message::Notification => "NotificationResponse",
    };
    WireError::Protocol(format!("{name} came out of order"))
}

#[cfg(test)]
mod tests {
    use super::super::answer::Transaction;
    use super::*;

    fn batch(kind: Kind, statements: usize) -> Batch {
        let mut batch = Batch::new(kind);
        (0..statements).for_each(|_| batch.add());
        batch
    }

    fn complete(tag: &'static str) -> Message {
        Message::Complete(Bytes::from_static(tag.as_bytes()))
    }

    fn error(code: &str, severity: &str) -> Message {
        Message::Error(Bytes::from(format!("V{severity}\0C{code}\0\0")))
    }

    const READY: Message = Message::Ready(Transaction::Idle);

    #[test]
    fn statements_are_answered_in_their_order() {
        let mut batch = batch(Kind::Statements, 3);
        for tag in ["CREATE TABLE", "INSERT 0 7"] {
            batch.take(Message::ParseComplete).unwrap();
            batch.take(Message::BindComplete).unwrap();
            batch.take(complete(tag)).unwrap();
        }
        assert_eq!(batch.current(), 2);
        batch.take(Message::ParseComplete).unwrap();
        batch.take(Message::BindComplete).unwrap();
        batch.take(Message::Row(Bytes::from_static(b"anything"))).unwrap();
        batch.take(Message::EmptyQuery).unwrap();
        assert!(batch.is_answered() && !batch.has_ended());
        batch.sync();
        batch.take(READY).unwrap();
        assert!(batch.has_ended());
        assert_eq!(batch.into_results().0, [0, 7, 0]);
    }

    #[test]
    fn an_error_names_its_statement_and_is_the_first_or_the_fatal_one() {
        for (messages, current, code) in [
            (vec![error("42601", "ERROR")], 0, "42601"),
            (vec![Message::ParseComplete, Message::BindComplete, error("22012", "ERROR")], 0, "22012"),
            (
                vec![Message::ParseComplete, Message::BindComplete, complete("X"), error("42601", "ERROR")],
                1,
                "42601",
            ),
            (vec![error("42601", "ERROR"), error("57P01", "FATAL")], 0, "57P01"),
            (vec![error("57P01", "FATAL"), error("42601", "ERROR")], 0, "57P01"),
        ] {
            let mut batch = batch(Kind::Statements, 2);
            for message in messages {
                batch.take(message).unwrap();
            }
            assert_eq!(batch.current(), current);
            assert_eq!(batch.take_failure().unwrap().code, code);
        }
        let mut late = batch(Kind::Statements, 1);
        late.sync();
        for message in
            [Message::ParseComplete, Message::BindComplete, complete("X"), error("23503", "ERROR"), READY]
        {
            late.take(message).unwrap();
        }
        assert_eq!((late.current(), late.has_ended()), (0, true), "a deferred constraint fails at the end");
    }

    #[test]
    fn a_server_out_of_order_is_an_error() {
        for (kind, messages) in [
            (Kind::Statements, vec![Message::BindComplete]),
            (Kind::Statements, vec![complete("X")]),
            (Kind::Statements, vec![Message::ParseComplete, Message::ParseComplete]),
            (Kind::Statements, vec![Message::ParseComplete, Message::BindComplete, Message::CopyIn]),
            (Kind::Statements, vec![Message::ParseComplete, Message::BindComplete, Message::CopyOut]),
            (Kind::CopyIn, vec![Message::ParseComplete, Message::BindComplete, Message::CopyOut]),
            (Kind::CopyOut, vec![Message::ParseComplete, Message::BindComplete, Message::CopyIn]),
            (Kind::CopyOut, vec![Message::ParseComplete, Message::BindComplete, Message::CopyDone]),
            (
                Kind::CopyOut,
                vec![Message::ParseComplete, Message::BindComplete, Message::CopyOut, complete("COPY 0")],
            ),
            (Kind::Question, vec![Message::CopyData(Bytes::from_static(b"1\n"))]),
            (Kind::Statements, vec![READY]),
            (Kind::Statements, vec![Message::KeyData { process: 1, secret: 1 }]),
            (
                Kind::Statements,
                vec![Message::ParseComplete, Message::BindComplete, complete("X"), Message::ParseComplete],
            ),
            (Kind::Statements, vec![error("42601", "ERROR"), Message::ParseComplete]),
            (Kind::Question, vec![Message::ParseComplete, Message::BindComplete, Message::Row(Bytes::new())]),
        ] {
            let mut batch = batch(kind, 1);
            batch.sync();
            let shown = format!("{messages:?}");
            let taken = messages.into_iter().try_for_each(|message| batch.take(message));
            assert!(taken.is_err(), "{shown}");
        }
        let mut early = batch(Kind::Statements, 0);
        assert!(early.take(READY).is_err(), "nobody asked whether it is ready");
    }

    #[test]
    fn rows_are_read_whole_or_not_at_all() {
        let body = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0";
        let row = Row::parse(Bytes::from_static(body)).unwrap();
        assert_eq!((row.columns(), row.text(0), row.text(1), row.text(2)), (3, Some("ab"), None, Some("")));
        for end in 0..body.len() {
            assert_eq!(Row::parse(Bytes::copy_from_slice(&body[..end])), None, "{end}");
        }
        for broken in [&b"\0\x01\xff\xff\xff\xfe"[..], b"\0\x01\x7f\xff\xff\xff", b"\xff\xff", b"\0\0x"] {
            assert_eq!(Row::parse(Bytes::copy_from_slice(broken)), None, "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn an_answer_has_a_limit() {
        let mut batch = batch(Kind::Question, 1);
        batch.take(Message::ParseComplete).unwrap();
        batch.take(Message::BindComplete).unwrap();
        let row = Bytes::from([b"\0\x01\0\x0f\x42\x40".as_slice(), &vec![b'x'; 1_000_000]].concat());
        let error = (0..100).find_map(|_| batch.take(Message::Row(row.clone())).err()).unwrap();
        assert!(matches!(error, WireError::TooLarge(_)), "{error}");
    }
}

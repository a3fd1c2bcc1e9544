//! A session: questions, statements one by one or in batches, and what is known of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

use super::answer::{Message, Notices, Session, Transaction};
use super::batch::{Batch, Kind, Row};
use super::cancel::Canceller;
use super::endpoint::{Endpoint, Login};
use super::error::{Failed, ServerError, WireError};
use super::link::{Link, Sink};
use super::login::log_in;
use super::patience::Patience;
use super::probe::Probe;
use super::socket::Socket;
use crate::runner::cancel::Cancel;

/// Most statements between two calls of [`Connection::settle`].
const BATCH_STATEMENTS: usize = 65_536;
/// Longest statement, in bytes: what a server takes in one message, 1 GiB (`PQ_LARGE_MESSAGE_LIMIT`).
const STATEMENT_LIMIT_BYTES: usize = 1024 * 1024 * 1024 - 64;

/// A session with a server. Dropping it ends the session.
///
/// An error of the server leaves it usable; after any other one it is closed, and what was running is
/// asked to end.
#[derive(Debug)]
pub struct Connection {
    pub(super) link: Link,
    pub(super) talk: Talk,
    endpoint: Endpoint,
    cancel: Cancel,
    silence: Option<Duration>,
    /// Asked before a silent session is given up.
    probe: Option<Arc<Probe>>,
    closed: bool,
}

/// What the server has told, and what it is asked.
#[derive(Debug)]
pub(super) struct Talk {
    session: Session,
    pub(super) batch: Option<Batch>,
    /// Why the server closes the connection, told outside of any answer.
    farewell: Option<Box<ServerError>>,
}

impl Sink for Talk {
    fn take(&mut self, message: Message) -> Result<(), WireError> {
        match (self.session.take(message), &mut self.batch) {
            (None, _) => Ok(()),
            (Some(message), Some(batch)) => batch.take(message),
            (Some(Message::Error(body)), None) => {
                self.farewell = Some(Box::new(ServerError::parse(&body)));
                Ok(())
            }
            (Some(_), None) => Err(WireError::Protocol("it answers before it was asked".to_owned())),
        }
    }
}

impl Connection {
    /// Opens a session: name lookup, TCP, TLS, login, all within [`Timeouts::open`]. The connection
    /// looks at `cancel` in every wait, at least every 200 ms.
    ///
    /// [`Timeouts::open`]: super::Timeouts::open
    pub fn open(endpoint: &Endpoint, login: &Login, cancel: &Cancel) -> Result<Self, WireError> {
        let mut patience = Patience::until(cancel, endpoint.timeouts.open, "opening a session");
        let mut link = Link::new(Socket::open(endpoint, None, &patience)?);
        let session = log_in(&mut link, login, &mut patience)?;
        let probe = Some(Arc::new(Probe::new(endpoint, login, session.process)));
        Ok(Self {
            link,
            talk: Talk { session, batch: None, farewell: None },
            endpoint: endpoint.clone(),
            cancel: cancel.clone(),
            silence: endpoint.timeouts.silence,
            probe,
            closed: false,
        })
    }

    /// Number of the server's process, as `pg_stat_activity` shows it. Behind a pooler it is another.
    pub fn process(&self) -> i32 {
        self.talk.session.process
    }

    /// A parameter that the server has reported, such as `server_version`, `client_encoding` or
    /// `standard_conforming_strings`; it is kept up to date.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.talk.session.parameters.get(name).map(String::as_str)
    }

    /// Whether a transaction was open when the server last was ready.
    pub fn transaction(&self) -> Transaction {
        self.talk.session.transaction
    }

    /// Whether an error has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Notices since the session began or this was last called.
    pub fn take_notices(&mut self) -> Notices {
        std::mem::take(&mut self.talk.session.notices)
    }

    /// From now on its silence is its end.
    pub(super) fn drop_probe(&mut self) {
        self.probe = None;
    }

    /// Sets the longest silence of the server in an answer from now on; `None`: no limit. A server that says
    /// over another session that it works for this one may be silent for longer.
    pub fn set_silence(&mut self, silence: Option<Duration>) {
        self.silence = silence;
    }

    /// What ends this session's statement from another thread.
    pub fn canceller(&self) -> Canceller {
        let key = (self.talk.session.process, self.talk.session.secret);
        Canceller::new(self.endpoint.clone(), self.link.socket.address(), key)
    }

    /// Asks with parameters as text (`$1` and so on; `None`: NULL) and gives the rows back; more than
    /// 64 MiB of them are an error.
    pub fn ask(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<Vec<Row>, WireError> {
        self.begin(Kind::Question)?;
        self.statement(sql.as_bytes(), parameters)?;
        self.finish().map(|(_, rows)| rows).map_err(WireError::from)
    }

    /// Runs one statement, whatever bytes it is of, and gives back the number of rows in its tag. A
    /// text with two statements is refused by the server, with SQLSTATE 42601.
    pub fn run(&mut self, sql: &[u8]) -> Result<u64, WireError> {
        self.begin(Kind::Statements)?;
        self.statement(sql, &[])?;
        let (rows, _) = self.finish()?;
        Ok(rows.first().copied().unwrap_or(0))
    }

    /// Sends one statement without waiting for its answer. All up to [`Connection::settle`] are one
    /// batch, in one transaction unless one of them is a `BEGIN`; when one has failed, those behind it
    /// do not run. Rows of answers are passed over.
    pub fn send(&mut self, sql: &[u8]) -> Result<(), WireError> {
        if self.closed {
            return Err(WireError::Closed);
        }
        match &self.talk.batch {
            None => self.begin(Kind::Statements)?,
            Some(batch) if batch.kind() != Kind::Statements => return Err(busy()),
            Some(batch) if batch.has_failed() => return Ok(()),
            Some(batch) if batch.sent() >= BATCH_STATEMENTS => {
                let words = format!("more than {BATCH_STATEMENTS} statements in one batch");
                return Err(WireError::Request(words));
            }
            Some(_) => {}
        }
        self.statement(sql, &[])?;
        if self.link.is_full() {
            self.push()?;
        }
        Ok(())
    }

    /// Waits for the answers to all that was sent; gives back the number of rows in the tag of each.
    pub fn settle(&mut self) -> Result<Vec<u64>, Failed> {
        match &self.talk.batch {
            None => Ok(Vec::new()),
            Some(batch) if batch.kind() != Kind::Statements => Err(Failed { statement: 0, error: busy() }),
            Some(_) => self.finish().map(|(rows, _)| rows),
        }
    }

    /// Begins a batch; what the server said meanwhile, such as why it closes, is heard first.
    pub(super) fn begin(&mut self, kind: Kind) -> Result<(), WireError> {
        if self.closed {
            return Err(WireError::Closed);
        }
        if self.talk.batch.is_some() {
            return Err(busy());
        }
        let glanced = self.link.glance(&mut self.talk);
        self.heed(glanced)?;
        if let Some(farewell) = self.talk.farewell.take() {
            self.closed = true;
            return Err(WireError::Server(farewell));
        }
        self.talk.batch = Some(Batch::new(kind));
        Ok(())
    }

    /// Writes the messages of one statement.
    pub(super) fn statement(&mut self, sql: &[u8], parameters: &[Option<&str>]) -> Result<(), WireError> {
        if let Err(error) = check(sql, parameters) {
            // Nothing of it was sent: the batch is as it was.
            if self.talk.batch.as_ref().is_some_and(|batch| batch.sent() == 0) {
                self.talk.batch = None;
            }
            return Err(error);
        }
        // Parse: a name (none), the text, types of parameters (none told). The library takes UTF-8 only.
        let length = u32::try_from(sql.len() + 8).unwrap_or(u32::MAX);
        self.link.out.put_u8(b'P');
        self.link.out.put_u32(length);
        self.link.out.put_u8(0);
        let mut patience = self.patience();
        let added = self.link.add(sql, &mut self.talk, &mut patience);
        self.heed(added)?;
        self.link.out.put_slice(&[0, 0, 0]);
        let out = &mut self.link.out;
        let value = |value: Option<&str>, out: &mut BytesMut| {
            Ok(value.map_or(IsNull::Yes, |text| {
                out.put_slice(text.as_bytes());
                IsNull::No
            }))
        };
        frontend::bind("", "", [], parameters.iter().copied(), value, [], out)
            .map_err(|_| WireError::Request("a parameter is too long".to_owned()))?;
        frontend::execute("", 0, out)
            .map_err(|_| WireError::Request("a statement cannot be sent".to_owned()))?;
        if let Some(batch) = &mut self.talk.batch {
            batch.add();
        }
        Ok(())
    }

    /// Sends Sync and waits until the server is ready again.
    pub(super) fn finish(&mut self) -> Result<(Vec<u64>, Vec<Row>), Failed> {
        let result = self.sync().and_then(|()| self.until(Batch::has_ended));
        self.conclude(result)
    }

    /// Sends Sync behind all that was collected.
    pub(super) fn sync(&mut self) -> Result<(), WireError> {
        frontend::sync(&mut self.link.out);
        if let Some(batch) = &mut self.talk.batch {
            batch.sync();
        }
        self.push()
    }

    /// Ends the batch, whose answers were waited for with this result.
    pub(super) fn conclude(&mut self, result: Result<(), WireError>) -> Result<(Vec<u64>, Vec<Row>), Failed> {
        let Some(mut batch) = self.talk.batch.take() else {
            return Err(Failed { statement: 0, error: result.err().unwrap_or(WireError::Closed) });
        };
        let statement = batch.current();
        if let Err(error) = result {
            return Err(Failed { statement, error });
        }
        match batch.take_failure() {
            Some(error) => Err(Failed { statement, error: WireError::Server(error) }),
            None => Ok(batch.into_results()),
        }
    }

    /// Sends what was collected.
    pub(super) fn push(&mut self) -> Result<(), WireError> {
        if self.closed {
            return Err(WireError::Closed);
        }
        let mut patience = self.patience();
        let pushed = self.link.push(&mut self.talk, &mut patience);
        self.heed(pushed)
    }

    /// Takes answers until the batch is where it is wanted.
    pub(super) fn until(&mut self, wanted: impl Fn(&Batch) -> bool) -> Result<(), WireError> {
        let mut patience = self.patience();
        while !self.talk.batch.as_ref().is_none_or(&wanted) {
            let received = self.link.receive(&mut self.talk, &mut patience);
            self.heed(received)?;
        }
        Ok(())
    }

    /// The patience of one wait.
    pub(super) fn patience(&self) -> Patience {
        Patience::while_moving(&self.cancel, self.silence, "an answer to a statement")
            .with_probe(self.probe.clone())
    }

    /// Closes the connection on an error, which is told as the server tells it, where it does.
    pub(super) fn heed<T>(&mut self, result: Result<T, WireError>) -> Result<T, WireError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if self.closed {
            return Err(error);
        }
        self.closed = true;
        let error = self.last_words(error);
        // The server's side ends with it, whoever still holds this one.
        self.link.socket.close();
        Err(error)
    }

    /// What is to be told of an error that closes the connection.
    fn last_words(&mut self, error: WireError) -> WireError {
        match error {
            WireError::Lost(words) => {
                // What the server said last may still lie there.
                let _ = self.link.glance(&mut self.talk);
                let said = self.talk.batch.as_mut().and_then(Batch::take_failure);
                said.or_else(|| self.talk.farewell.take()).map_or(WireError::Lost(words), WireError::Server)
            }
            error => {
                // A server does not notice that nobody waits any more before it wants to answer.
                if self.talk.batch.is_some() {
                    let _ = self.canceller().cancel();
                }
                error
            }
        }
    }
}

/// Whether a statement can be sent.
fn check(sql: &[u8], parameters: &[Option<&str>]) -> Result<(), WireError> {
    if sql.contains(&0) {
        return Err(WireError::Request("a statement with a zero byte in it cannot be sent".to_owned()));
    }
    if sql.len() > STATEMENT_LIMIT_BYTES {
        let words = format!("a statement of {} bytes; servers take {STATEMENT_LIMIT_BYTES}", sql.len());
        return Err(WireError::TooLarge(words));
    }
    if parameters.len() > usize::from(u16::MAX) {
        return Err(WireError::Request("a statement has more parameters than can be sent".to_owned()));
    }
    Ok(())
}

pub(super) fn busy() -> WireError {
    WireError::Request("the connection is in the middle of something else".to_owned())
}

impl Drop for Connection {
    fn drop(&mut self) {
        // In the middle of something the end of the connection is clearer: nothing more runs.
        if !self.closed && self.talk.batch.is_none() {
            frontend::terminate(&mut self.link.out);
            // Never waits: without it the server notes in its log that the client was lost.
            let _ = self.link.socket.write(&self.link.out);
        }
    }
}

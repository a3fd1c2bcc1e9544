//! Rows into a table, by `COPY … FROM stdin`.
//!
//! Source: PostgreSQL's manual, "COPY Operations".

use bytes::BufMut;
use postgres_protocol::message::frontend;

use super::batch::{Batch, Kind};
use super::connection::{Connection, busy};
use super::error::{ServerError, WireError};

/// Largest message of rows, in bytes. Rows may be cut anywhere between messages.
const PIECE_BYTES: usize = 64 * 1024;

impl Connection {
    /// Begins a `COPY … FROM stdin`; then come [`Connection::copy`] and one of
    /// [`Connection::end_copy`] and [`Connection::abort_copy`].
    pub fn begin_copy(&mut self, sql: &[u8]) -> Result<(), WireError> {
        self.begin(Kind::CopyIn)?;
        self.statement(sql, &[])?;
        // A Sync would be swallowed by the copying; Flush asks for the answer only.
        frontend::flush(&mut self.link.out);
        self.push()?;
        self.until(|batch| batch.is_copying() || batch.has_failed() || batch.is_answered())?;
        if self.is_copying() {
            return Ok(());
        }
        self.finish()?;
        Err(WireError::Request("the statement is not a COPY from the client".to_owned()))
    }

    /// Sends a piece of the rows, cut anywhere. When the server has refused an earlier one, the COPY is
    /// over and its error is given back.
    pub fn copy(&mut self, rows: &[u8]) -> Result<(), WireError> {
        if !self.is_copying() {
            return Err(busy());
        }
        for piece in rows.chunks(PIECE_BYTES) {
            let length = u32::try_from(piece.len() + 4).unwrap_or(u32::MAX);
            self.link.out.put_u8(b'd');
            self.link.out.put_u32(length);
            self.link.out.put_slice(piece);
            if self.link.is_full() {
                self.push()?;
                let glanced = self.link.glance(&mut self.talk);
                self.heed(glanced)?;
                if !self.is_copying() {
                    return Err(self.refused());
                }
            }
        }
        Ok(())
    }

    /// Ends the rows; gives back how many the server has taken in, as its tag says.
    pub fn end_copy(&mut self) -> Result<u64, WireError> {
        if !self.talk.batch.as_ref().is_some_and(|batch| batch.kind() == Kind::CopyIn) {
            return Err(busy());
        }
        frontend::copy_done(&mut self.link.out);
        let (rows, _) = self.finish()?;
        Ok(rows.first().copied().unwrap_or(0))
    }

    /// Gives up: the server takes none of the rows. `why` is seen in the server's log.
    pub fn abort_copy(&mut self, why: &str) -> Result<(), WireError> {
        if !self.is_copying() {
            return Err(busy());
        }
        frontend::copy_fail(&why.replace('\0', " "), &mut self.link.out)
            .map_err(|_| WireError::Request("the reason for giving up is too long".to_owned()))?;
        match self.finish().map_err(WireError::from) {
            Err(WireError::Server(error)) if is_own(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(WireError::Protocol("it took in rows that were given up".to_owned())),
        }
    }

    fn is_copying(&self) -> bool {
        !self.is_closed() && self.talk.batch.as_ref().is_some_and(Batch::is_copying)
    }

    /// The error of a COPY that the server has ended.
    fn refused(&mut self) -> WireError {
        match self.finish() {
            Err(failed) => failed.error,
            Ok(_) => WireError::Protocol("it ended a COPY by itself".to_owned()),
        }
    }
}

/// Whether the error is the one that was asked for: `query_canceled`, without the session's end.
fn is_own(error: &ServerError) -> bool {
    error.code == "57014" && !error.is_fatal()
}

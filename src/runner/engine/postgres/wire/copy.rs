//! Rows into a table, by `COPY … FROM stdin`, and out of one, by `COPY … TO stdout`.
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

    /// Runs a `COPY … TO stdout` and hands its text on in pieces, cut anywhere, as they come; gives back
    /// the number of rows in its tag. Nothing but the last few pieces is in memory.
    pub fn copy_out(&mut self, sql: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<u64, WireError> {
        self.begin(Kind::CopyOut)?;
        self.statement(sql, &[])?;
        let mut result = self.sync();
        let mut rows = Vec::new();
        while result.is_ok() {
            result = self.until(|batch| batch.has_copied() || batch.has_ended());
            let Some(batch) = &mut self.talk.batch else { break };
            batch.swap_copied(&mut rows);
            if !rows.is_empty() {
                take(&rows);
            }
            if batch.has_ended() {
                break;
            }
        }
        let (rows, _) = self.conclude(result)?;
        Ok(rows.first().copied().unwrap_or(0))
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

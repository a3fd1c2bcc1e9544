//! Statements in the order of the dump on one session, sent without waiting for each answer.

use std::collections::BTreeMap;

use super::place::{Place, failed};
use crate::runner::engine::postgres::server::Session;
use crate::runner::engine::postgres::wire::WireError;
use crate::runner::fault::Result;

/// Statements that are sent before their answers are waited for. They are one transaction, whose locks
/// the server has room for: 64 for each session that it allows.
pub(super) const BATCH_STATEMENTS: usize = 128;
/// The same in bytes.
const BATCH_BYTES: usize = 1024 * 1024;

/// A session with what was sent and not answered.
pub(super) struct Series {
    pub(super) session: Session,
    sent: Vec<Sent>,
    bytes: usize,
    batch: usize,
    /// Among them is what others may need.
    matters: bool,
}

struct Sent {
    place: Place,
    what: String,
    /// The table that rows were written to.
    table: Option<String>,
}

impl Series {
    /// Waits for the answers to `batch` statements at a time.
    pub(super) const fn new(session: Session, batch: usize) -> Self {
        Self { session, sent: Vec::new(), bytes: 0, batch, matters: false }
    }

    /// Sends a statement, which messages call `what`. `table` is the one that it writes rows to; `matters`: others have to wait for it.
    /// Gives back the rows of those that were answered meanwhile.
    pub(super) fn send(
        &mut self,
        text: &[u8],
        what: String,
        place: &Place,
        (table, matters): (Option<String>, bool),
    ) -> Result<BTreeMap<String, u64>> {
        self.session.connection.send(text).map_err(|error| failed(error, place, &what))?;
        self.sent.push(Sent { place: place.clone(), what, table });
        self.bytes += text.len();
        self.matters |= matters;
        if self.sent.len() >= self.batch || self.bytes >= BATCH_BYTES {
            return self.settle();
        }
        Ok(BTreeMap::new())
    }

    /// Whether others have to wait for what was sent.
    pub(super) const fn matters(&self) -> bool {
        self.matters
    }

    /// Waits until all that was sent is done; gives back the rows that were written, by table.
    pub(super) fn settle(&mut self) -> Result<BTreeMap<String, u64>> {
        let sent = std::mem::take(&mut self.sent);
        (self.bytes, self.matters) = (0, false);
        let rows = self.session.connection.settle().map_err(|failure| {
            let unknown = Place::Entry("the dump".to_owned());
            let (place, what) = match sent.get(failure.statement) {
                Some(sent) => (&sent.place, sent.what.as_str()),
                None => (&unknown, "a statement"),
            };
            failed(failure.error, place, what)
        })?;
        let mut written = BTreeMap::new();
        for (sent, rows) in sent.into_iter().zip(rows) {
            if let Some(table) = sent.table {
                *written.entry(table).or_default() += rows;
            }
        }
        Ok(written)
    }

    /// Runs a statement alone, whose error may be no failure. All before it must be settled.
    pub(super) fn alone(&mut self, text: &[u8]) -> std::result::Result<u64, WireError> {
        self.session.connection.run(text)
    }
}

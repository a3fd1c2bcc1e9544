//! Rows that a lane reads itself from a dump that is stored as it is, and gives to the server.
//!
//! A table that the dump has made and that nobody has written to yet takes its rows frozen: emptied in the
//! same transaction, so the server writes each row as one that everybody sees, and neither the builds of
//! indexes nor counting have to look up and mark who wrote it. Source: PostgreSQL's manual, "COPY", FREEZE.

use std::ops::Range;
use std::sync::Arc;

use super::place::{failed, shown};
use super::work::{Copy, check_rows};
use crate::reason::Reason;
use crate::runner::engine::postgres::archive::chunks::BlockForm;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::wire::{Connection, Transaction, WireError};
use crate::runner::engine::{Context, DumpParts};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::BUFFER_BYTES;

/// Rows that a lane reads itself.
pub(super) struct RowsApart {
    pub(super) copy: Copy,
    /// The statements that take them in frozen.
    pub(super) frozen: Option<Frozen>,
    /// Where they are in the dump, and how many.
    pub(super) range: Range<u64>,
    pub(super) rows: u64,
    /// How a block of an archive is read; `None`: they stand there as the server takes them.
    pub(super) form: Option<BlockForm>,
}

/// What takes rows in frozen.
pub(super) struct Frozen {
    truncate: Vec<u8>,
    copy: Vec<u8>,
}

impl Frozen {
    /// `relation` is the table as a statement names it; `None` where the `COPY` is not of the usual form.
    pub(super) fn of(relation: &[u8], copy: &[u8]) -> Option<Self> {
        let copy = copy.trim_ascii_end();
        let copy = copy.strip_suffix(b";").unwrap_or(copy).trim_ascii_end();
        let from = copy.len().checked_sub(FROM_STDIN.len())?;
        if !copy.get(from..)?.eq_ignore_ascii_case(FROM_STDIN) {
            return None;
        }
        let truncate = [b"TRUNCATE ONLY ", relation].concat();
        Some(Self { truncate, copy: [copy, b" WITH (FREEZE)"].concat() })
    }
}

/// How a `COPY` of a dump ends.
const FROM_STDIN: &[u8] = b" FROM stdin";

/// What a lane has to read with.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) parts: Option<Arc<dyn DumpParts>>,
    pub(super) context: Context,
}

impl RowsApart {
    /// Reads the rows and gives them to the server; how many it took in, which are all. Ends early where
    /// something else `has_failed`.
    pub(super) fn bring(
        &self,
        connection: &mut Connection,
        hands: &Hands,
        has_failed: &dyn Fn() -> bool,
    ) -> Result<u64> {
        let Some(parts) = &hands.parts else {
            return Err(Fault::new(
                Stage::Restore,
                Reason::InternalError,
                "the dump cannot be read in parts",
            ));
        };
        let is_frozen =
            self.begin(connection).map_err(|error| self.failed(error, &shown(&self.copy.text)))?;
        let mut stored = parts.open(self.range.clone())?;
        let mut stored = super::around::Told { inner: &mut stored, context: &hands.context };
        let mut give = |bytes: &[u8]| {
            if has_failed() {
                let what = "the load was given up";
                return Err(Fault::new(Stage::Restore, Reason::Interrupted, what));
            }
            connection.copy(bytes).map_err(|error| self.refused(error))
        };
        let rows = match &self.form {
            Some(form) => form.read(&mut stored, &mut |rows: Rows<'_>| give(rows.bytes))?,
            None => self.pass(&mut stored, &mut give)?,
        };
        let taken = connection.end_copy().map_err(|error| self.refused(error))?;
        check_rows(&self.copy.place, &self.copy.table, self.rows, rows)?;
        check_rows(&self.copy.place, &self.copy.table, self.rows, taken)?;
        if is_frozen {
            connection.run(b"COMMIT").map_err(|error| self.refused(error))?;
        }
        Ok(taken)
    }

    /// Begins the `COPY`; whether it takes rows in frozen. A server that will not is asked the usual way.
    fn begin(&self, connection: &mut Connection) -> std::result::Result<bool, WireError> {
        if let Some(frozen) = &self.frozen {
            let begun = connection
                .run(b"BEGIN")
                .and_then(|_| connection.run(&frozen.truncate))
                .and_then(|_| connection.begin_copy(&frozen.copy));
            match begun {
                Ok(()) => return Ok(true),
                Err(error) if error.sqlstate().is_none() => return Err(error),
                Err(error) => {
                    let table = &self.copy.table;
                    tracing::debug!(%table, %error, "the rows are not taken in frozen");
                }
            }
            if connection.transaction() != Transaction::Idle {
                connection.run(b"ROLLBACK")?;
            }
        }
        connection.begin_copy(&self.copy.text).map(|()| false)
    }

    /// Passes rows on as they are.
    fn pass(&self, stored: &mut dyn std::io::Read, give: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match stored.read(&mut buffer) {
                Ok(0) => return Ok(self.rows),
                Ok(count) => give(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let what = format!("failed to read the rows of {}", self.copy.table);
                    return Err(Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, &what));
                }
            }
        }
    }

    fn failed(&self, error: WireError, what: &str) -> Fault {
        failed(error, &self.copy.place, what)
    }

    /// The fault of rows that were refused.
    fn refused(&self, error: WireError) -> Fault {
        self.failed(error, &self.copy.of_rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_copy_of_the_usual_form_is_frozen() {
        for (copy, expected) in [
            ("COPY s.t (a, b) FROM stdin;", Some("COPY s.t (a, b) FROM stdin WITH (FREEZE)")),
            ("copy s.t from STDIN ;\n", Some("copy s.t from STDIN WITH (FREEZE)")),
            ("COPY s.t (a) WITH OIDS FROM stdin;", Some("COPY s.t (a) WITH OIDS FROM stdin WITH (FREEZE)")),
            ("COPY s.t FROM stdin WITH (FREEZE);", None),
            ("COPY s.t FROM stdin /* */;", None),
        ] {
            let found = Frozen::of(b"s.t", copy.as_bytes()).map(|frozen| frozen.copy);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{copy}");
        }
    }
}

//! Adds up the rows of `COPY` data in pass 1, table by table.

use super::digest::{RowHasher, RowSum};
use super::names::{Name, quote_ident};
use super::statement::{Judged, Options, Step, judge};
use super::subject::{Subject, TableName, subject};
use crate::runner::inventory::TableDigest;

/// Adds up the rows of one block of `COPY` data after the other.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// The dump's `client_encoding` at this point.
    pub(super) encoding: Vec<u8>,
    block: Option<(TableName, TableDigest, RowHasher)>,
}

impl Digests {
    /// Begins a block behind its `COPY` statement, or the head of it. A name without a schema is one of
    /// `schema`.
    pub(super) fn begin(&mut self, statement: &[u8], schema: Option<&[u8]>) {
        self.block = None;
        let (mut name, columns, doubt) = match judge(statement, &Options::new(u16::MAX)) {
            Judged::Send(Step::CopyFrom { table, columns, oids, .. }) => {
                let name = TableName { schema: table.schema, table: table.name };
                (name, columns, oids.then_some("rows WITH OIDS"))
            }
            _ => match subject(statement) {
                Subject::Copy(name) => (name, Vec::new(), Some("its COPY statement is too long")),
                _ => return,
            },
        };
        name.schema = name.schema.or_else(|| schema.map(<[u8]>::to_vec));
        // What no schema is said of goes into the one that a new session finds.
        let schema = name.schema.clone().unwrap_or_else(|| b"public".to_vec());
        let digest = TableDigest {
            table: name.shown(),
            relation: Name::qualified(schema, name.table.clone()).to_sql(),
            columns: columns.iter().map(|column| quote_ident(column)).collect(),
            encoding: self.encoding.clone(),
            rows: 0,
            sum: 0,
            doubt,
        };
        self.block = Some((name, digest, RowHasher::default()));
    }

    /// Takes rows of the block.
    pub(super) fn rows(&mut self, bytes: &[u8]) {
        if let Some((_, _, hasher)) = &mut self.block {
            hasher.feed(bytes);
        }
    }

    /// Ends the block, which had so many rows.
    pub(super) fn end(&mut self, rows: u64) -> Option<(TableName, TableDigest)> {
        let (name, mut digest, hasher) = self.block.take()?;
        RowSum { sum: digest.sum, rows: digest.rows } = hasher.sum();
        // An escaped line feed, or the line ends of another system: a server reads them, but never writes them.
        if digest.rows != rows || hasher.has_carriage_returns() {
            digest.doubt = Some("its rows are not written as COPY TO writes them");
            digest.rows = rows;
        }
        Some((name, digest))
    }
}

impl TableDigest {
    /// The rows and their sum.
    pub(super) const fn row_sum(&self) -> RowSum {
        RowSum { sum: self.sum, rows: self.rows }
    }

    /// Adds the rows of another block of the same table, or of a partition of it.
    pub(super) fn join(&mut self, other: &Self) {
        if self.columns != other.columns || self.encoding != other.encoding {
            self.doubt = Some("its rows come in blocks of different columns");
        }
        self.doubt = self.doubt.or(other.doubt);
        RowSum { sum: self.sum, rows: self.rows } = self.row_sum().with(other.row_sum());
    }
}

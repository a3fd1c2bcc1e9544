//! What lanes are given to do.

use super::ahead::{Aside, TableKey};
use super::place::Place;
use super::queue::Waiting;
use super::rows::RowsApart;
use super::session::Settings;
use super::turn::Hold;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Bytes that a waiting statement takes beside its text.
pub(super) const WAITING_BYTES: usize = 400;

/// A `COPY` that a lane begins.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) text: std::sync::Arc<[u8]>,
    /// The table that its rows are counted for.
    pub(super) table: String,
    pub(super) place: Place,
    pub(super) settings: Settings,
    /// Several lanes may take its rows.
    pub(super) spreads: bool,
}

impl Copy {
    /// Its rows, for messages about one of them.
    pub(super) fn of_rows(&self) -> String {
        // Each connection counts the lines that went over it.
        let of_one = if self.spreads { " (line as of one of several connections)" } else { "" };
        format!("rows of {}{of_one}", self.table)
    }
}

/// Something that one lane does, in order with its others.
pub(super) enum Order {
    Begin(Copy),
    Piece(Vec<u8>),
    /// Ends the `COPY`, which is one of this number.
    End(u64),
}

/// Something that any lane may do.
pub(super) struct Task {
    pub(super) job: Job,
    /// The tables that it holds.
    pub(super) holds: Vec<(String, Hold)>,
    /// How much work it is: as much as to build an index over rows of so many bytes; 0 for little.
    pub(super) weight: u64,
}

/// What there is to do.
pub(super) enum Job {
    Statement(Statement),
    /// Something that is done ahead for a table.
    Aside(Statement, Aside, TableKey),
    /// Rows that the lane reads itself.
    Rows(RowsApart),
}

/// A statement, and where it stands.
pub(super) struct Statement {
    pub(super) text: Vec<u8>,
    pub(super) place: Place,
    pub(super) settings: Settings,
    pub(super) what: String,
}

impl Task {
    /// Memory that it takes while it waits, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let text = match &self.job {
            Job::Statement(statement) | Job::Aside(statement, ..) => statement.text.len(),
            Job::Rows(rows) => rows.copy.text.len(),
        };
        text + WAITING_BYTES
    }

    pub(super) const fn is_rows(&self) -> bool {
        matches!(self.job, Job::Rows(_))
    }
}

impl Waiting for Task {
    fn holds(&self) -> &[(String, Hold)] {
        &self.holds
    }

    fn weight(&self) -> u64 {
        self.weight
    }
}

/// What a lane does next.
pub(super) enum Work {
    Order(Order),
    /// A task, and how many lanes have nothing to do beside it.
    Task(Task, usize),
}

/// Who takes the next piece of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This lane.
    Lane(usize),
    /// One that has to be opened.
    Another,
}

/// The server must have taken in as many rows as the dump has.
pub(super) fn check_rows(place: &Place, table: &str, expected: u64, taken: u64) -> Result<()> {
    if taken == expected {
        return Ok(());
    }
    let message = format!("{place}: the dump has {expected} rows of {table}, and the server took in {taken}");
    Err(Fault::new(Stage::Restore, Reason::RestoreFailed, message))
}

//! Reads tables back, as many at a time as the load has lanes, and adds up their rows.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::digest::{RowHasher, RowSum};
use super::load::is_turned_away;
use super::names::quote_literal;
use super::server::{PostgresTarget, Session, Who};
use crate::reason::Reason;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::progress::Progress;

/// What `pg_dump` sets for its own `COPY TO`, and what it leaves as it finds it: the zone, which the sums
/// do not depend on, and the form of `bytea`, whose default nearly everybody has.
const SETTINGS: &[&str] = &[
    "SET DateStyle = ISO",
    "SET IntervalStyle = postgres",
    "SET extra_float_digits = 3",
    "SET TimeZone = 'UTC'",
    "SET bytea_output = hex",
];

/// A table that is read back.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) table: String,
    /// The `COPY … TO STDOUT`, in the dump's encoding.
    pub(super) statement: Vec<u8>,
    /// The dump's `client_encoding`; empty: it states none.
    pub(super) encoding: Vec<u8>,
    /// It has columns of type `bytea`.
    pub(super) has_bytes: bool,
    /// Size on disk.
    pub(super) bytes: u64,
    /// Why a difference may be none of the rows.
    pub(super) doubt: Option<&'static str>,
    /// What the rows of the dump add up to.
    pub(super) expected: RowSum,
    /// What those of the server do.
    pub(super) found: RowSum,
}

/// Reads all of them, in this order.
pub(super) fn read_all(
    settings: &PostgresTarget,
    database: &str,
    readings: Vec<Reading>,
    context: &Context,
) -> Result<Vec<Reading>> {
    context.progress.begin(Stage::Verify, format!("comparing the rows of {database}"), 0);
    let lanes = settings.lanes.clamp(1, readings.len().max(1));
    let (queue, done) = (Mutex::new(readings.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = |number: usize| -> Result<()> {
        let mut lane = match Lane::open(settings, database, context) {
            // The others do its work.
            Err(fault) if number > 0 && is_turned_away(&fault) => return Ok(()),
            opened => opened?,
        };
        while let Some(mut reading) = next() {
            lane.read(&mut reading)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
        }
        Ok(())
    };
    let stop = |fault| {
        // What the others have begun is enough.
        queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
        fault
    };
    thread::scope(|scope| {
        let lanes: Vec<_> =
            (0..lanes).map(|number| scope.spawn(move || work(number).map_err(stop))).collect();
        let ended = lanes.into_iter().map(|lane| lane.join().unwrap_or_else(|_| Err(broken())));
        ended.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn broken() -> Fault {
    let message = "a connection that compares rows ended without a result";
    Fault::new(Stage::Verify, Reason::InternalError, message)
}

/// One session that reads.
struct Lane {
    session: Session,
    progress: Progress,
    /// The encoding that it has now.
    encoding: Vec<u8>,
}

impl Lane {
    fn open(settings: &PostgresTarget, database: &str, context: &Context) -> Result<Self> {
        let mut session = settings.session(Who::Restorer, database, Stage::Verify, &context.cancel)?;
        for setting in SETTINGS {
            session.run("read rows as pg_dump does", setting, Reason::VerificationFailed)?;
        }
        Ok(Self { session, progress: context.progress.clone(), encoding: Vec::new() })
    }

    fn read(&mut self, reading: &mut Reading) -> Result<()> {
        if reading.encoding != self.encoding {
            let value = match reading.encoding.as_slice() {
                b"" => b"DEFAULT".to_vec(),
                name => quote_literal(name),
            };
            let sql = [b"SET client_encoding = ".to_vec(), value].concat();
            self.session.connection.run(&sql).map_err(|error| {
                error.fault(
                    Stage::Verify,
                    Reason::VerificationFailed,
                    "failed to read in the dump's encoding",
                )
            })?;
            self.encoding.clone_from(&reading.encoding);
        }
        reading.found = self.sum(reading)?;
        if reading.found != reading.expected && reading.has_bytes {
            // The other form of `bytea`, if the dump's server was set to it.
            self.set_bytes("SET bytea_output = escape")?;
            let escaped = self.sum(reading)?;
            self.set_bytes("SET bytea_output = hex")?;
            if escaped == reading.expected {
                reading.found = escaped;
            }
        }
        Ok(())
    }

    fn set_bytes(&mut self, sql: &str) -> Result<()> {
        self.session.run("read rows as pg_dump does", sql, Reason::VerificationFailed)
    }

    fn sum(&mut self, reading: &Reading) -> Result<RowSum> {
        let (mut hasher, progress) = (RowHasher::default(), &self.progress);
        let copied = self.session.connection.copy_out(&reading.statement, &mut |rows| {
            hasher.feed(rows);
            progress.advance(rows.len() as u64);
        });
        copied.map_err(|error| {
            let what = format!("failed to read the rows of {}", reading.table);
            error.fault(Stage::Verify, Reason::VerificationFailed, &what)
        })?;
        Ok(hasher.sum())
    }
}

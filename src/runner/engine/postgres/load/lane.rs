//! What one lane does, on its own thread and its own session.

use std::sync::Arc;

use super::ahead::{self, Aside, TableKey};
use super::board::Board;
use super::indexing::Indexing;
use super::place::{failed, shown};
use super::rows::Hands;
use super::session::Settings;
use super::spread::PIECE_BYTES;
use super::work::{Copy, Job, Order, Statement, Task, Work};
use crate::reason::Reason;
use crate::runner::engine::postgres::server::Session;
use crate::runner::engine::postgres::wire::WireError;
use crate::runner::fault::{Fault, Result, Stage};

/// `deadlock_detected`.
const DEADLOCK: &str = "40P01";
/// How often a statement that the server ended to break a deadlock is run.
const ATTEMPTS: usize = 5;

/// A lane.
pub(super) struct Lane {
    number: usize,
    session: Session,
    settings: Settings,
    indexing: Indexing,
    /// Processes beside its own that the session may use now, once that was set.
    workers: Option<usize>,
    copying: Option<Copy>,
    hands: Hands,
    board: Arc<Board>,
}

impl Lane {
    pub(super) fn new(
        number: usize,
        session: Session,
        (indexing, hands): (Indexing, Hands),
        board: Arc<Board>,
    ) -> Self {
        let settings = Settings::default();
        Self { number, session, settings, indexing, workers: None, copying: None, hands, board }
    }

    /// Works until nothing is left, or something has failed.
    pub(super) fn work(mut self) {
        let mut watch = Watch(Some(Arc::clone(&self.board)));
        while let Some(work) = self.board.next(self.number) {
            let done = match work {
                Work::Order(order) => self.obey(order),
                Work::Task(task, free) => self.act(&task, free),
            };
            if let Err(fault) = done {
                self.board.fail(fault);
            }
        }
        let notices = self.session.connection.take_notices();
        self.board.change(|state| {
            state.notices.count += notices.count;
            state.notices.first.extend(notices.first);
        });
        watch.0 = None;
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Begin(copy) => {
                copy.settings.adopt(&mut self.session, &mut self.settings, &copy.place)?;
                let begun = self.session.connection.begin_copy(&copy.text);
                begun.map_err(|error| failed(error, &copy.place, &shown(&copy.text)))?;
                self.copying = Some(copy);
                Ok(())
            }
            Order::Piece(bytes) => {
                let sent = self.session.connection.copy(&bytes);
                self.board.lock().reuse(bytes, 2 * PIECE_BYTES);
                self.of_rows(sent)
            }
            Order::End(number) => {
                let ended = self.session.connection.end_copy();
                let taken = self.of_rows(ended)?;
                self.copying = None;
                self.board.change(|state| state.ended(self.number, number, taken))
            }
        }
    }

    /// The fault of rows that were refused.
    fn of_rows<T>(&self, result: std::result::Result<T, WireError>) -> Result<T> {
        result.map_err(|error| match &self.copying {
            Some(copy) => failed(error, &copy.place, &copy.of_rows()),
            None => Fault::new(Stage::Restore, Reason::InternalError, "rows came without a COPY"),
        })
    }

    fn act(&mut self, task: &Task, free: usize) -> Result<()> {
        match &task.job {
            Job::Statement(statement) => self.run(statement, free)?,
            Job::Aside(statement, aside, table) => self.aside(statement, *aside, table)?,
            Job::Rows(rows) => {
                let copy = &rows.copy;
                copy.settings.adopt(&mut self.session, &mut self.settings, &copy.place)?;
                let taken =
                    rows.bring(&mut self.session.connection, &self.hands, &|| self.board.has_failed())?;
                self.board.lock().add_rows([(copy.table.clone(), taken)]);
            }
        }
        self.board.change(|state| state.done(task));
        Ok(())
    }

    /// Does something ahead, which is done again at its time where the server refuses it now.
    fn aside(&mut self, task: &Statement, aside: Aside, table: &TableKey) -> Result<()> {
        task.settings.adopt(&mut self.session, &mut self.settings, &task.place)?;
        let done = ahead::run(&mut self.session, &task.text);
        if let Some(rows) = done.map_err(|error| failed(error, &task.place, &task.what))? {
            self.board.lock().done_ahead(aside, table.clone(), rows);
        }
        Ok(())
    }

    fn run(&mut self, task: &Statement, free: usize) -> Result<()> {
        task.settings.adopt(&mut self.session, &mut self.settings, &task.place)?;
        if let Some((workers, sql)) = self.indexing.workers(free).filter(|it| Some(it.0) != self.workers) {
            self.session.run("set the processes for indexes", &sql, Reason::RestoreFailed)?;
            self.workers = Some(workers);
        }
        let mut attempt = 1;
        // A request to stop that came before the statement would have met nothing.
        while !self.board.has_failed() {
            match self.session.connection.run(&task.text) {
                Ok(_) => break,
                Err(error) if attempt < ATTEMPTS && error.sqlstate() == Some(DEADLOCK) => attempt += 1,
                Err(error) => return Err(failed(error, &task.place, &task.what)),
            }
        }
        Ok(())
    }
}

/// Tells of a lane that ended by a panic: who waits for it would wait for ever.
struct Watch(Option<Arc<Board>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(board) = &self.0 {
            let message = "a connection of the load ended without a result";
            board.fail(Fault::new(Stage::Restore, Reason::InternalError, message));
        }
    }
}

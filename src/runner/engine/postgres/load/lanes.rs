//! Connections that load side by side: rows of one table or several, then indexes, then foreign keys.
//!
//! Lanes are opened when they are needed, as many as allowed. A server that has no connection left for
//! one more is content with those that are there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::ahead::Ahead;
use super::board::{Board, Desk, State};
use super::indexing::Indexing;
use super::lane::Lane;
use super::rows::Hands;
use super::session::{Door, is_turned_away};
use super::work::{Choice, Copy, Order, Task};
use crate::reason::Reason;
use crate::runner::engine::DumpParts;
use crate::runner::engine::postgres::wire::{Canceller, Notices};
use crate::runner::fault::{Fault, Result, Stage};

/// Time between two requests to end what a lane does.
const CANCEL_EVERY: Duration = Duration::from_millis(100);

/// What has come of the lanes' work.
pub(super) struct Done {
    /// Rows that the server took in, by table.
    pub(super) rows: BTreeMap<String, u64>,
    /// What the server had to say.
    pub(super) notices: Notices,
}

/// All lanes of a load.
pub(super) struct Lanes {
    door: Door,
    limit: usize,
    indexing: Indexing,
    hands: Hands,
    board: Arc<Board>,
    open: Vec<(JoinHandle<()>, Canceller)>,
    copies: u64,
}

impl Lanes {
    /// At most `limit` lanes, none of which is open yet.
    pub(super) fn new(
        door: Door,
        limit: usize,
        indexing: Indexing,
        parts: Option<Arc<dyn DumpParts>>,
    ) -> Self {
        let limit = limit.max(1);
        let hands = Hands { parts, context: door.context.clone() };
        let board = Arc::<Board>::default();
        board.change(|state| state.limit = limit);
        Self { door, limit, indexing, hands, board, open: Vec::new(), copies: 0 }
    }

    fn open_one(&mut self) -> Result<()> {
        let mut session = match self.door.open() {
            Ok(session) => session,
            Err(fault) if !self.open.is_empty() && is_turned_away(&fault) => {
                tracing::info!(lanes = self.open.len(), "the server has no connection left for another lane");
                self.limit = self.open.len();
                self.board.change(|state| state.limit = self.limit);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        self.indexing.set_memory(&mut session)?;
        let canceller = session.connection.canceller();
        let number = self.board.change(|state| {
            state.desks.push(Desk::default());
            state.desks.len() - 1
        });
        let ways = (self.indexing.clone(), self.hands.clone());
        let lane = Lane::new(number, session, ways, Arc::clone(&self.board));
        let spawned = thread::Builder::new().name(format!("lane-{number}")).spawn(move || lane.work());
        let thread = spawned.map_err(|error| {
            Fault::new(Stage::Restore, Reason::InternalError, "failed to start a thread").caused_by(error)
        })?;
        self.open.push((thread, canceller));
        Ok(())
    }

    fn wait<T>(&self, ready: impl FnMut(&mut State) -> Option<T>) -> Result<T> {
        self.board.wait(&self.door.context.cancel, ready)
    }

    /// A lane for the next piece of a `COPY`, which begins it first where it has not.
    pub(super) fn lane_for(&mut self, copy: &Copy, members: &mut Vec<usize>, spread: bool) -> Result<usize> {
        loop {
            let more = self.open.len() < self.limit;
            let chosen = self.wait(|state| {
                let chosen = state.choose(members, spread, more)?;
                if let Choice::Lane(lane) = chosen
                    && !members.contains(&lane)
                {
                    members.push(lane);
                    state.order(lane, Order::Begin(copy.clone()));
                }
                Some(chosen)
            })?;
            match chosen {
                Choice::Lane(lane) => return Ok(lane),
                Choice::Another => self.open_one()?,
            }
        }
    }

    /// Gives a lane rows, once it has room for them; gives back an empty buffer.
    pub(super) fn give(&self, lane: usize, rows: Vec<u8>) -> Result<Vec<u8>> {
        let mut rows = Some(rows);
        self.wait(|state| {
            let rows = rows.take_if(|_| state.has_room_at(lane))?;
            state.order(lane, Order::Piece(rows));
            Some(state.buffer())
        })
    }

    /// Ends a `COPY` that the lanes `members` have begun, after so many rows of the dump.
    pub(super) fn end(&mut self, copy: &Copy, members: &[usize], rows: u64) {
        self.copies += 1;
        let number = self.copies;
        self.board.change(|state| {
            state.expect(number, copy, rows, members.len());
            for lane in members {
                state.order(*lane, Order::End(number));
            }
        });
    }

    /// Adds rows that came another way.
    pub(super) fn add_rows(&self, rows: impl IntoIterator<Item = (String, u64)>) {
        self.board.lock().add_rows(rows);
    }

    /// Lanes, at most.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Lets any lane do something.
    pub(super) fn run(&mut self, task: Task) -> Result<()> {
        self.wait(|state| state.has_room().then_some(()))?;
        let wanted = self.board.change(|state| {
            state.add_task(task);
            state.wants_lane()
        });
        if wanted && self.open.len() < self.limit {
            self.open_one()?;
        }
        Ok(())
    }

    /// Waits until no rows are on their way.
    pub(super) fn settle_rows(&self) -> Result<()> {
        self.wait(|state| (!state.has_copies()).then_some(()))
    }

    /// Waits until everything is done.
    pub(super) fn settle(&self) -> Result<()> {
        self.wait(|state| state.is_idle().then_some(()))
    }

    /// What was done ahead.
    pub(super) fn take_ahead(&self) -> Ahead {
        self.board.lock().take_ahead()
    }

    /// Whether everything is done.
    pub(super) fn is_idle(&self) -> bool {
        self.board.lock().is_idle()
    }

    /// Ends the lanes when everything is done; what has come of it.
    pub(super) fn close(mut self) -> Result<Done> {
        self.settle()?;
        self.board.end();
        for (thread, _) in self.open.drain(..) {
            // A panic has put a fault up.
            let _ = thread.join();
        }
        let mut state = self.board.lock();
        let notices = std::mem::take(&mut state.notices);
        Ok(Done { rows: state.take_rows(), notices })
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.board.fail(Fault::new(Stage::Restore, Reason::Interrupted, "the load was given up"));
        while self.open.iter().any(|(thread, _)| !thread.is_finished()) {
            for (number, (thread, canceller)) in self.open.iter().enumerate() {
                let works = self.board.lock().desks.get(number).is_some_and(Desk::is_working);
                if works && !thread.is_finished() {
                    // One that comes too early meets nothing, so it is sent again.
                    let _ = canceller.cancel();
                }
            }
            thread::park_timeout(CANCEL_EVERY);
        }
        for (thread, _) in self.open.drain(..) {
            let _ = thread.join();
        }
    }
}

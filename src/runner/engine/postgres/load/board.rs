//! What the lanes are to do, are doing and have done: one state behind one lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ahead::{Ahead, Aside, TableKey};
use super::place::Place;
use super::queue::{free, next};
use super::turn::Hold;
use super::work::{Choice, Copy, Order, Task, Work, check_rows};
use crate::runner::cancel::Cancel;
use crate::runner::engine::postgres::wire::Notices;
use crate::runner::fault::{Fault, Result, Stage};

/// Orders that wait at one lane, at most: two pieces of rows while a third is written.
const ORDERS_LIMIT: usize = 3;
/// Bytes of statements that wait for a lane, at most.
const TASKS_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of rows that wait at all lanes together, at most, once every lane has something.
const WAITING_ROWS_BYTES: usize = 16 * 1024 * 1024;
/// How often a wait looks whether the run was asked to stop.
const LOOK: Duration = Duration::from_millis(200);

/// One lane, as the others see it.
#[derive(Default)]
pub(super) struct Desk {
    orders: VecDeque<Order>,
    /// `COPY`s that were begun or ordered, and are not ended.
    copies: usize,
    working: bool,
    on_task: bool,
}

impl Desk {
    fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.copies == 0 && !self.working
    }

    fn has_room(&self) -> bool {
        self.orders.len() < ORDERS_LIMIT && !self.on_task
    }

    pub(super) const fn is_working(&self) -> bool {
        self.working
    }
}

/// The rows of one `COPY` of the dump, whatever number of lanes they went to.
struct Tally {
    table: String,
    place: Place,
    expected: u64,
    taken: u64,
    /// Lanes that have not ended it.
    open: usize,
}

/// The state.
#[derive(Default)]
pub(super) struct State {
    pub(super) desks: Vec<Desk>,
    /// Lanes, at most; they are opened when they are needed.
    pub(super) limit: usize,
    tasks: VecDeque<Task>,
    task_bytes: usize,
    /// Tasks that bring rows and are not done.
    rows_tasks: usize,
    /// Somebody waits for a lane to give it rows.
    is_wanted: bool,
    /// Bytes of the rows that wait.
    rows_bytes: usize,
    /// What is held, by tasks that run and by `COPY`s that are not ended.
    held: Vec<(String, Hold)>,
    tallies: BTreeMap<u64, Tally>,
    rows: BTreeMap<String, u64>,
    ahead: Ahead,
    failure: Option<Fault>,
    pub(super) notices: Notices,
    ended: bool,
    spare: Vec<Vec<u8>>,
}

/// The state, and the bell that rings when it changes.
#[derive(Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and tells who waits.
    pub(super) fn change<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        let done = action(&mut self.lock());
        self.changed.notify_all();
        done
    }

    /// Waits, for whom gives out orders, until `ready` gives something, which may change the state then; a
    /// lane's fault ends the wait.
    pub(super) fn wait<T>(
        &self,
        cancel: &Cancel,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let mut state = self.lock();
        loop {
            if let Some(fault) = state.failure.take() {
                state.failure = Some(fault.restated());
                return Err(fault);
            }
            if let Some(found) = ready(&mut state) {
                self.changed.notify_all();
                return Ok(found);
            }
            cancel.check(Stage::Restore)?;
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next work of a lane; `None`: there is none any more. What it did before is done.
    pub(super) fn next(&self, lane: usize) -> Option<Work> {
        let mut state = self.lock();
        state.rest(lane);
        self.changed.notify_all();
        loop {
            if state.failure.is_some() || (state.ended && state.is_idle()) {
                return None;
            }
            if let Some(work) = state.take(lane) {
                self.changed.notify_all();
                return Some(work);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts a fault up; the first one counts.
    pub(super) fn fail(&self, fault: Fault) {
        self.change(|state| {
            state.failure.get_or_insert(fault);
        });
    }

    /// Whether something has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// Nothing more will be ordered.
    pub(super) fn end(&self) {
        self.change(|state| state.ended = true);
    }
}

impl State {
    /// Whether nothing waits and nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.desks.iter().all(Desk::is_idle)
    }

    /// Whether rows are on their way.
    pub(super) fn has_copies(&self) -> bool {
        self.rows_tasks > 0 || self.desks.iter().any(|desk| desk.copies > 0)
    }

    /// Whether one more task may wait.
    pub(super) const fn has_room(&self) -> bool {
        self.task_bytes < TASKS_LIMIT_BYTES
    }

    /// Whether a task waits that no lane is free for.
    pub(super) fn wants_lane(&self) -> bool {
        self.desks.iter().filter(|desk| desk.is_idle()).count() < self.tasks.len()
    }

    /// Whether one more order may wait at a lane.
    pub(super) fn has_room_at(&self, lane: usize) -> bool {
        let full = self.rows_bytes >= WAITING_ROWS_BYTES;
        self.desks.get(lane).is_some_and(|desk| desk.has_room() && (!full || desk.orders.is_empty()))
    }

    pub(super) fn add_task(&mut self, task: Task) {
        self.task_bytes += task.bytes();
        self.rows_tasks += usize::from(task.is_rows());
        self.tasks.push_back(task);
    }

    fn rest(&mut self, lane: usize) {
        if let Some(desk) = self.desks.get_mut(lane) {
            (desk.working, desk.on_task) = (false, false);
        }
    }

    /// What the lane may do now.
    fn take(&mut self, lane: usize) -> Option<Work> {
        let desk = self.desks.get_mut(lane)?;
        if let Some(order) = desk.orders.pop_front() {
            desk.working = true;
            if let Order::Piece(rows) = &order {
                self.rows_bytes = self.rows_bytes.saturating_sub(rows.len());
            }
            return Some(Work::Order(order));
        }
        if desk.copies > 0 || self.is_wanted {
            return None;
        }
        let task = self.tasks.remove(next(&self.tasks, &self.held)?)?;
        self.task_bytes = self.task_bytes.saturating_sub(task.bytes());
        self.held.extend(task.holds.iter().cloned());
        (desk.working, desk.on_task) = (true, true);
        Some(Work::Task(task, self.free_lanes()))
    }

    /// Lanes that have nothing to do now, nor will have by what waits.
    fn free_lanes(&self) -> usize {
        let busy = self.desks.iter().filter(|desk| !desk.is_idle()).count();
        let others = self.limit.saturating_sub(busy);
        others - free(&self.tasks, &self.held).take(others).count()
    }

    /// A task has run.
    pub(super) fn done(&mut self, task: &Task) {
        self.rows_tasks = self.rows_tasks.saturating_sub(usize::from(task.is_rows()));
        self.let_go(&task.holds);
    }

    fn let_go(&mut self, holds: &[(String, Hold)]) {
        for hold in holds {
            if let Some(at) = self.held.iter().position(|held| held == hold) {
                self.held.swap_remove(at);
            }
        }
    }

    /// A lane for the next piece of a `COPY` that the lanes `members` have begun; one more only if it may
    /// `spread`, and one that is not open yet if there may be `more`. `None`: all have enough to do.
    pub(super) fn choose(&mut self, members: &[usize], spread: bool, more: bool) -> Option<Choice> {
        let chosen = self.find(members, spread, more);
        // The next lane that has done a task takes these rows before another task.
        self.is_wanted = chosen.is_none() && members.is_empty();
        chosen
    }

    fn find(&self, members: &[usize], spread: bool, more: bool) -> Option<Choice> {
        let mut by_load: Vec<usize> = (0..self.desks.len()).collect();
        by_load.sort_by_key(|lane| self.desks.get(*lane).map_or(0, |desk| desk.orders.len()));
        let find = |wanted: &dyn Fn(usize, &Desk) -> bool| {
            by_load.iter().copied().find(|lane| self.desks.get(*lane).is_some_and(|desk| wanted(*lane, desk)))
        };
        let begins = spread || members.is_empty();
        let waits = |lane, desk: &Desk| members.contains(&lane) && desk.orders.is_empty();
        let idle = |lane, desk: &Desk| begins && !members.contains(&lane) && desk.is_idle();
        let room = |lane, desk: &Desk| (members.is_empty() || members.contains(&lane)) && desk.has_room();
        match find(&waits).or_else(|| find(&idle)) {
            Some(lane) => Some(Choice::Lane(lane)),
            None if begins && more => Some(Choice::Another),
            None => find(&room).map(Choice::Lane),
        }
    }

    /// Gives a lane an order.
    pub(super) fn order(&mut self, lane: usize, order: Order) {
        if let Some(desk) = self.desks.get_mut(lane) {
            if let Order::Begin(copy) = &order {
                desk.copies += 1;
                self.held.push((copy.table.clone(), Hold::Rows));
            }
            if let Order::Piece(rows) = &order {
                self.rows_bytes += rows.len();
            }
            desk.orders.push_back(order);
        }
    }

    /// Tells what all lanes of a `COPY` must have taken in together.
    pub(super) fn expect(&mut self, number: u64, copy: &Copy, expected: u64, lanes: usize) {
        let (table, place) = (copy.table.clone(), copy.place.clone());
        self.tallies.insert(number, Tally { table, place, expected, taken: 0, open: lanes });
    }

    /// A lane has ended a `COPY`.
    pub(super) fn ended(&mut self, lane: usize, number: u64, taken: u64) -> Result<()> {
        if let Some(desk) = self.desks.get_mut(lane) {
            desk.copies = desk.copies.saturating_sub(1);
        }
        let Some(tally) = self.tallies.get_mut(&number) else { return Ok(()) };
        tally.taken += taken;
        tally.open = tally.open.saturating_sub(1);
        let hold = (tally.table.clone(), Hold::Rows);
        let open = tally.open;
        self.let_go(&[hold]);
        if open > 0 {
            return Ok(());
        }
        let Some(Tally { table, place, expected, taken, .. }) = self.tallies.remove(&number) else {
            return Ok(());
        };
        check_rows(&place, &table, expected, taken)?;
        self.add_rows([(table, taken)]);
        Ok(())
    }

    pub(super) fn add_rows(&mut self, rows: impl IntoIterator<Item = (String, u64)>) {
        for (table, count) in rows {
            *self.rows.entry(table).or_default() += count;
        }
    }

    /// Rows that the server took in, by table.
    pub(super) fn take_rows(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.rows)
    }

    /// Something was done for a table, which has so many rows where they were counted.
    pub(super) fn done_ahead(&mut self, aside: Aside, table: TableKey, rows: u64) {
        match aside {
            Aside::Count => drop(self.ahead.counts.insert(table, rows)),
            Aside::Analyze => drop(self.ahead.analysed.insert(table)),
        }
    }

    /// What was done ahead.
    pub(super) fn take_ahead(&mut self) -> Ahead {
        std::mem::take(&mut self.ahead)
    }

    /// A buffer for rows.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(super) fn reuse(&mut self, mut buffer: Vec<u8>, largest: usize) {
        if buffer.capacity() <= largest && self.spare.len() < ORDERS_LIMIT * self.desks.len() {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

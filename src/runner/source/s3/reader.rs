//! Reads a range of an object in order, over as many connections as the consumer is hungry for.
//!
//! It starts with one connection. When the consumer has to wait although a part was asked for in
//! time, the window opens to its full size; while the next part always lies ready, it shrinks step
//! by step. Buffers in flight, ready and in use are never more than [`MAX_BUFFERS`].

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Core, died};
use super::part::Object;
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// Bytes of one request: of the measured sizes the smallest that is not slower (docs/results).
const PART_BYTES: u64 = 4 * 1024 * 1024;
/// Parts in memory at once, and so the most connections.
const MAX_BUFFERS: usize = 8;
/// The same of one reader of several: one part is used while the next one comes.
const LEAST_BUFFERS: usize = 2;
/// How often a waiting consumer looks whether the run was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(100);

type Part = (u64, Result<Vec<u8>>);

/// How many connections are allowed, decided by who waits for whom.
#[derive(Debug)]
struct Window {
    size: usize,
    /// Its full size.
    most: usize,
    ready_in_row: usize,
}

impl Window {
    const fn new(most: usize) -> Self {
        Self { size: 1, most, ready_in_row: 0 }
    }

    /// The consumer starves: the network is slower. Growing in steps would cost a round trip and a
    /// part's time each, a third of the whole for objects of 100 MB.
    fn waited(&mut self) {
        self.ready_in_row = 0;
        self.size = self.most;
    }

    /// The next part lay ready: after a whole window of them, one connection is given up.
    fn was_ready(&mut self) {
        self.ready_in_row += 1;
        if self.ready_in_row > self.size && self.size > 1 {
            self.ready_in_row = 0;
            self.size -= 1;
        }
    }

    /// Whether one more part may be asked for.
    fn has_room(&self, in_flight: usize, ready: usize, in_use: usize) -> bool {
        in_flight < self.size && in_flight + ready <= self.size && in_flight + ready + in_use < self.most
    }
}

/// A range of one pinned object, in order.
pub struct RangeReader {
    object: Arc<Object>,
    end: u64,
    next_start: u64,
    next_asked: u64,
    next_given: u64,
    window: Window,
    tasks: JoinSet<()>,
    in_flight: usize,
    most_in_flight: usize,
    sender: Sender<Part>,
    inbox: Receiver<Part>,
    ready: BTreeMap<u64, Result<Vec<u8>>>,
    spare: Vec<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    failed: Option<(Reason, String)>,
    cancel: Cancel,
    // Last, so that the tasks are stopped before the runtime may end.
    core: Arc<Core>,
}

impl RangeReader {
    /// Reads `range`, as one of so many readers at the same time, which have the buffers of one together.
    pub(super) fn new(
        core: Arc<Core>,
        object: Object,
        range: Range<u64>,
        (readers, cancel): (usize, &Cancel),
    ) -> Self {
        let (sender, inbox) = channel();
        let mut reader = Self {
            object: Arc::new(object),
            end: range.end,
            next_start: range.start,
            next_asked: 0,
            next_given: 0,
            window: Window::new((MAX_BUFFERS / readers.max(1)).max(LEAST_BUFFERS)),
            tasks: JoinSet::new(),
            in_flight: 0,
            most_in_flight: 0,
            sender,
            inbox,
            ready: BTreeMap::new(),
            spare: Vec::new(),
            current: Vec::new(),
            position: 0,
            failed: None,
            cancel: cancel.clone(),
            core,
        };
        reader.ask();
        reader
    }

    /// The most requests that ran at the same time so far.
    pub fn most_parallel(&self) -> usize {
        self.most_in_flight
    }

    /// Parts that have arrived and wait to be read.
    pub fn ready_parts(&mut self) -> Result<usize> {
        self.take_arrived(false)?;
        self.ask();
        Ok(self.ready.len())
    }

    /// Asks for parts while the window has room.
    fn ask(&mut self) {
        let in_use = usize::from(self.current.capacity() > 0);
        while self.next_start < self.end && self.window.has_room(self.in_flight, self.ready.len(), in_use) {
            let range = self.next_start..self.end.min(self.next_start.saturating_add(PART_BYTES));
            let (index, object, sender) = (self.next_asked, Arc::clone(&self.object), self.sender.clone());
            let buffer = self.spare.pop().unwrap_or_default();
            self.next_start = range.end;
            self.next_asked += 1;
            self.in_flight += 1;
            self.most_in_flight = self.most_in_flight.max(self.in_flight);
            self.tasks.spawn_on(
                async move {
                    let part = object.fetch(range, buffer).await;
                    // The reader went away: nobody needs the part.
                    let _ = sender.send((index, part));
                },
                self.core.handle(),
            );
        }
    }

    /// Takes what has arrived; waits for the first if `wait`.
    fn take_arrived(&mut self, wait: bool) -> Result<()> {
        let mut wait = wait;
        loop {
            let arrived = if wait {
                self.inbox.recv_timeout(CANCEL_POLL)
            } else {
                self.inbox.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            };
            match arrived {
                Ok((index, part)) => {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    self.ready.insert(index, part);
                    wait = false;
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(died()),
            }
        }
        while let Some(ended) = self.tasks.try_join_next() {
            ended.map_err(|error| died().caused_by(error))?;
        }
        Ok(())
    }

    /// Makes the next part current; false at the end of the range.
    fn advance(&mut self) -> Result<bool> {
        let used = std::mem::take(&mut self.current);
        self.position = 0;
        if used.capacity() > 0 {
            let mut used = used;
            used.clear();
            self.spare.push(used);
        }
        self.take_arrived(false)?;
        if self.next_given > 0 && self.next_given < self.next_asked {
            if self.ready.contains_key(&self.next_given) {
                self.window.was_ready();
            } else {
                self.window.waited();
            }
        }
        self.ask();
        if self.next_given == self.next_asked {
            return Ok(false);
        }
        loop {
            self.cancel.check(Stage::Download)?;
            if let Some(part) = self.ready.remove(&self.next_given) {
                self.current = part?;
                self.next_given += 1;
                self.ask();
                return Ok(true);
            }
            self.take_arrived(true)?;
            self.ask();
        }
    }

    /// Stops all requests; every further read fails as this one did.
    fn fail(&mut self, fault: Fault) -> io::Error {
        self.tasks.abort_all();
        self.current = Vec::new();
        self.position = 0;
        self.failed = Some((fault.reason, fault.message.clone()));
        fault.into_io()
    }
}

impl Read for RangeReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if let Some((reason, message)) = &self.failed {
            return Err(Fault::new(Stage::Download, *reason, message.clone()).into_io());
        }
        if target.is_empty() {
            return Ok(0);
        }
        if let Err(fault) = self.cancel.check(Stage::Download) {
            return Err(self.fail(fault));
        }
        if self.position >= self.current.len() {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(fault) => return Err(self.fail(fault)),
            }
        }
        let available = self.current.get(self.position..).unwrap_or_default();
        let count = available.len().min(target.len());
        if let (Some(to), Some(from)) = (target.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_opens_when_the_consumer_starves_and_shrinks_while_it_does_not() {
        let mut window = Window::new(MAX_BUFFERS);
        assert_eq!(window.size, 1);
        for _ in 0..2 {
            window.waited();
            assert_eq!(window.size, MAX_BUFFERS);
        }
        for _ in 0..9 + 8 + 7 {
            window.was_ready();
        }
        assert_eq!(window.size, 5);
        for _ in 0..100 {
            window.was_ready();
        }
        assert_eq!(window.size, 1);
    }

    #[test]
    fn a_slow_consumer_has_one_request_and_one_part_ready() {
        let window = Window::new(MAX_BUFFERS);
        assert!(window.has_room(0, 0, 0));
        assert!(window.has_room(0, 1, 1));
        assert!(!window.has_room(0, 2, 1));
        assert!(!window.has_room(1, 0, 1));
    }

    #[test]
    fn buffers_are_bounded_at_every_size_of_the_window() {
        for most in LEAST_BUFFERS..=MAX_BUFFERS {
            for size in 1..=most {
                let window = Window { size, most, ready_in_row: 0 };
                assert!(window.has_room(0, 0, 1), "there is room for one to come: {most} {size}");
                for in_flight in 0..=most {
                    for ready in 0..=most {
                        let asks = window.has_room(in_flight, ready, 1);
                        assert!(!asks || in_flight + 1 + ready < most, "{most} {size} {in_flight} {ready}");
                        assert!(!asks || in_flight < size, "{most} {size} {in_flight} {ready}");
                    }
                }
            }
        }
    }
}

//! The run's own deadline.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::runner::engine::Context;

/// Stops the run when its time is over.
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to count; the run is stopped after `timeout` unless this is dropped before.
    pub(super) fn start(context: &Context, timeout: Duration) -> Self {
        let (stop, stopped) = channel::<()>();
        let cancel = context.cancel.clone();
        let spawned = thread::Builder::new().name("deadline".into()).spawn(move || {
            if stopped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                cancel.expire();
            }
        });
        Self { stop: Some(stop), thread: spawned.ok() }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; there is nothing to learn from it.
            let _ = thread.join();
        }
    }
}

//! Ctrl-C and SIGTERM: the run is asked to stop at the next safe place.

use std::sync::mpsc::channel;
use std::{process, thread};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::output;
use crate::runner::cancel::Cancel;

/// Exit code after a second signal: the shell's own for a process that Ctrl-C ended.
const ENDED_AT_ONCE: i32 = 130;

/// Listens until it is dropped.
pub struct Listening(Option<oneshot::Sender<()>>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(stop) = self.0.take() {
            // The thread may have ended with a signal already.
            let _ = stop.send(());
        }
    }
}

/// What signals after the first do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A person has no more patience: the process ends at once.
    Ends,
    /// A pod has its grace period, and then SIGKILL: a switch that has begun is not broken off.
    Nothing,
}

/// Sets `cancel` at the first signal. Returns when the signals are listened to.
pub fn cancel_on_signal(cancel: &Cancel, again: Again) -> Listening {
    let (stop, mut stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = channel();
    let cancel = cancel.clone();
    let listen = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            let _ = ready.send(());
            tokio::select! {
                _ = interrupt.recv() => cancel.cancel(),
                _ = terminate.recv() => cancel.cancel(),
                _ = &mut stopped => return,
            }
            if again == Again::Nothing {
                tracing::warn!("asked to stop; stopping at the next safe place");
                // The handlers stay, or a second signal would end the process.
                let _ = stopped.await;
                return;
            }
            output::note("stopping at the next safe place … (once more ends it at once)");
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = stopped => return,
            }
            output::note("ended at once; what a run left beside its target, the next run on it removes");
            process::exit(ENDED_AT_ONCE);
        });
    };
    // Without the thread the signals do what they do by default: end the process.
    if thread::Builder::new().name("signals".into()).spawn(listen).is_ok() {
        let _ = is_ready.recv();
    }
    Listening(Some(stop))
}

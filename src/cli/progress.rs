//! Shows a run's progress: a bar on a terminal, a line now and then elsewhere.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::runner::progress::{Progress, Snapshot};

/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);
/// Time between two lines about the same step, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

const WITH_TOTAL: &str = "{spinner} {msg:<24} [{bar:28}] {binary_bytes:>11} / {binary_total_bytes:<11} {binary_bytes_per_sec:>13}  ETA {eta}";
const WITHOUT_TOTAL: &str = "{spinner} {msg:<24} {elapsed}";

/// Shows until it is dropped.
pub struct Display {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Begins to show `progress` on standard error; `quiet` shows nothing.
    pub fn start(progress: &Progress, quiet: bool) -> Self {
        if quiet {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = channel::<()>();
        let progress = progress.clone();
        let show = move || {
            let mut view = View::new();
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                view.show(&progress.snapshot());
            }
            view.end(&progress.snapshot());
        };
        Self { stop: Some(stop), thread: thread::Builder::new().name("progress".into()).spawn(show).ok() }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the display must not fail the run.
            let _ = thread.join();
        }
    }
}

enum View {
    Bar { bar: ProgressBar, step: u64 },
    Lines { step: u64, said: Instant, begun: Instant },
}

impl View {
    fn new() -> Self {
        if output::is_interactive() {
            Self::Bar { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()), step: 0 }
        } else {
            Self::Lines { step: 0, said: Instant::now(), begun: Instant::now() }
        }
    }

    fn show(&mut self, now: &Snapshot) {
        match self {
            Self::Bar { bar, step } => {
                if *step != now.step {
                    *step = now.step;
                    let template = if now.total > 0 { WITH_TOTAL } else { WITHOUT_TOTAL };
                    let style = ProgressStyle::with_template(template)
                        .unwrap_or_else(|_| ProgressStyle::default_bar());
                    bar.reset();
                    bar.set_length(now.total);
                    bar.set_message(output::clean(&now.what));
                    bar.set_style(style.progress_chars("━╸─"));
                }
                bar.set_position(if now.total > 0 { now.done.min(now.total) } else { now.done });
                bar.tick();
            }
            Self::Lines { step, said, begun } => {
                if *step != now.step {
                    *step = now.step;
                    *begun = Instant::now();
                    *said = *begun;
                } else if said.elapsed() >= LINE_EVERY {
                    *said = Instant::now();
                    output::note(&line(now, begun.elapsed()));
                }
            }
        }
    }

    fn end(&mut self, _: &Snapshot) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

/// `checking the backup: 12% 1.2 GiB of 9.8 GiB, 210.00 MiB/s, about 42 s left`
fn line(now: &Snapshot, elapsed: Duration) -> String {
    let what = output::clean(&now.what);
    let seconds = elapsed.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = now.done as f64 / seconds;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let shown = output::bytes(rate as u64);
    if now.total == 0 {
        return format!("{what}: {} s", elapsed.as_secs());
    }
    let percent = now.done.min(now.total) * 100 / now.total;
    #[expect(clippy::cast_precision_loss, reason = "a time for people")]
    let left = now.total.saturating_sub(now.done) as f64 / rate.max(1.0);
    let (done, total) = (output::bytes(now.done), output::bytes(now.total));
    format!("{what}: {percent}% {done} of {total}, {shown}/s, about {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::fault::Stage;

    #[test]
    fn a_plain_line_says_step_bytes_rate_and_time_left() {
        let snapshot =
            |done, total| Snapshot { stage: Stage::Download, what: "checking".into(), done, total, step: 1 };
        assert_eq!(
            line(&snapshot(1 << 20, 4 << 20), Duration::from_secs(1)),
            "checking: 25% 1.00 MiB of 4.00 MiB, 1.00 MiB/s, about 3 s left"
        );
        assert_eq!(line(&snapshot(0, 0), Duration::from_secs(12)), "checking: 12 s");
    }
}

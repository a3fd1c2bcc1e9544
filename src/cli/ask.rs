//! The question before data is replaced: what would be lost, and by what it would be replaced.

use std::io::{self, BufRead, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::output::{self, clean};
use crate::runner::cancel::Cancel;
use crate::runner::run::Question;

/// Time between two looks whether the run was stopped meanwhile.
const TICK: Duration = Duration::from_millis(50);

/// Asks for the target's name. Without a terminal nobody is asked, and the answer is no.
pub fn on_terminal(question: &Question, now: Timestamp, cancel: &Cancel) -> bool {
    if !io::stdin().is_terminal() || !output::is_interactive() {
        return false;
    }
    output::note(&words(question, now));
    answer(cancel).is_some_and(|answer| answer.trim_end_matches(['\r', '\n']) == question.target)
}

fn words(question: &Question, now: Timestamp) -> String {
    let made = question.made.map_or_else(String::new, |made| {
        format!(", made {} ({} ago)", made.strftime("%Y-%m-%d %H:%M UTC"), age(made, now))
    });
    format!(
        "\n{}.\nIt would be replaced by {}{made}.\n\
         Everything written to it since that backup was made is lost; consider a backup of it first.\n\
         The backup has not been read yet.\n\nType {} to replace it, anything else to stop:",
        clean(&question.message),
        clean(&question.backup),
        clean(&question.target),
    )
}

/// `45 s`, `25 h`, `3 days`: what matters is the order of it.
pub(super) fn age(made: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(made).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A line of standard input; `None` when the run is stopped first. The reading thread then stays
/// behind, waiting, until the process ends.
fn answer(cancel: &Cancel) -> Option<String> {
    let (sender, lines) = channel();
    let read = move || {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).is_ok() {
            // Nobody listens any more when the run was stopped.
            let _ = sender.send(line);
        }
    };
    thread::Builder::new().name("answer".into()).spawn(read).ok()?;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => return Some(line),
            Err(RecvTimeoutError::Timeout) if !cancel.is_cancelled() => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_what_is_lost_and_how_old_the_backup_is() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (made, expected) in [
            (None, "replaced by /b/app.db.\n"),
            (Some("2026-11-23T10:30:00Z"), "/b/app.db, made 2026-11-23 10:30 UTC (90 min ago).\n"),
            (Some("2026-11-22T11:00:00Z"), "/b/app.db, made 2026-11-22 11:00 UTC (25 h ago).\n"),
            (Some("2026-11-13T11:00:00Z"), "/b/app.db, made 2026-11-13 11:00 UTC (10 days ago).\n"),
            (Some("2026-11-24T11:00:00Z"), "(0 s ago).\n"),
        ] {
            let question = Question {
                target: "app.db".into(),
                message: "app.db holds 2 tables".into(),
                backup: "/b/app.db".into(),
                made: made.map(|text| text.parse().unwrap()),
            };
            let words = words(&question, now);
            assert!(words.starts_with("\napp.db holds 2 tables.\n") && words.contains(expected), "{words}");
        }
    }
}

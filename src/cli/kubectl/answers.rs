//! What a person types on the terminal, line by line, without holding up anything else.

use std::io::{self, BufRead, IsTerminal};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::cli::output;

/// The lines of standard input, read from the first question on.
#[derive(Default)]
pub struct Answers(Option<UnboundedReceiver<String>>);

impl Answers {
    /// Whether there is somebody to ask.
    pub fn can_ask() -> bool {
        io::stdin().is_terminal() && output::is_interactive()
    }

    /// The next line without its end; `None` once there are no more.
    pub async fn next(&mut self) -> Option<String> {
        self.0.get_or_insert_with(start).recv().await
    }
}

fn start() -> UnboundedReceiver<String> {
    let (sender, lines) = unbounded_channel();
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    };
    // Without the thread there are no lines, and no answer is no.
    let _ = thread::Builder::new().name("answers".into()).spawn(read);
    lines
}

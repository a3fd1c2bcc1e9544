//! A test that runs as a process of its own, to be killed by another.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Starts the ignored test `name` of this program, which finds `folder` in the variable `role`.
pub(crate) fn start_test(name: &str, role: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--nocapture"])
        .env(role, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Tells the parent where this process is.
pub(crate) fn say(what: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{what}").unwrap();
    out.flush().unwrap();
}

/// Waits for a line of the child; the time when it came.
pub(crate) fn wait_for(lines: &mut impl Iterator<Item = std::io::Result<String>>, what: &str) -> Instant {
    let said = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(what)));
    said.expect("the child says so").unwrap();
    Instant::now()
}

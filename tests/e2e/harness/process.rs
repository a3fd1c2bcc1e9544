//! `reinstate` as a process of the test in the cluster's network, which can be killed at any moment.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, cluster};
use crate::parts::{Server, server_folder};
use crate::support::without_credentials;

/// A running `reinstate`. It ends when dropped, and with the test process.
pub(crate) struct Process {
    server: Server,
    log: PathBuf,
}

impl Process {
    /// Starts `reinstate ARGUMENTS…` with the rights of `kubeconfig`.
    pub(crate) fn start(kubeconfig: &Path, arguments: &[&str]) -> Self {
        Self::start_as(|command| {
            command.args(arguments).env("KUBECONFIG", kubeconfig);
        })
    }

    /// Starts `reinstate` as the closure sets it up.
    pub(crate) fn start_as(set_up: impl FnOnce(&mut Command)) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = server_folder("reinstate").join(format!("{count}.log"));
        let server = cluster().serve(env!("CARGO_BIN_EXE_reinstate").as_ref(), &log, |command| {
            without_credentials(command);
            set_up(command);
        });
        Self { server, log }
    }

    /// Number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// Kills it in the midst of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.server.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.server.ended() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

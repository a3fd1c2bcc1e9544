//! The `reinstate` binary: command line in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use reinstate::cli::{self, Cli};
use rustix::process::{Resource, Rlimit, setrlimit};

fn main() -> ExitCode {
    let arguments = Cli::parse();
    arguments.start_logging();
    // A core file would hold keys and rows in plain text.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!("failed to switch core dumps off: {error}");
    }
    cli::main(&arguments).into()
}

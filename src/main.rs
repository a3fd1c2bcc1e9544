//! The `reinstate` binary: command line in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use reinstate::cli::{self, Cli};

fn main() -> ExitCode {
    let arguments = Cli::parse();
    cli::start_logging();
    cli::main(&arguments).into()
}

//! The `reinstate` binary: command line in, exit code out.

use std::process::ExitCode;

use reinstate::cli::Invocation;
use rustix::process::{Resource, Rlimit, setrlimit};

fn main() -> ExitCode {
    let arguments = Invocation::parse();
    arguments.start_logging();
    // A core file would hold keys and rows in plain text.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!("failed to switch core dumps off: {error}");
    }
    arguments.run().into()
}

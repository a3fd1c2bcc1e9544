//! The command line. This is the only place that prints, reads the environment or the clock.

pub mod ask;
pub mod check;
pub mod crds;
pub mod exit;
pub mod explain;
pub mod extract;
pub mod keys;
pub mod kubectl;
pub mod list;
pub mod manifest;
pub mod new;
pub mod operator;
pub mod output;
pub mod progress;
pub mod ready;
pub mod render;
pub mod run;
pub mod runner;
pub mod signals;
pub mod storage_url;
pub mod verify;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use jiff::Timestamp;
use tracing_subscriber::EnvFilter;

use self::exit::ExitCode;
use self::manifest::{ManifestReader, Manifests};
use crate::plan::Problem;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Restores databases from backups, declaratively.
#[derive(Parser, Debug)]
#[command(name = "reinstate", version, about, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Restores what manifests say, on this machine.
    Run(run::Run),
    /// Proves a backup.
    Verify(verify::Verify),
    /// Decodes a backup to files.
    Extract(extract::Extract),
    /// Lists a destination.
    List(list::ListArguments),

    /// Writes a first manifest from flags, its Secrets apart
    New(new::NewArgs),
    /// Prints the custom resource definitions as YAML
    Crds {
        /// Write them as files into this folder instead
        #[arg(short, long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Carries out the order of its pod: what the operator's Jobs run
    Runner(runner::Runner),
    /// Explains a reason.
    Explain(explain::Explain),
    /// Asks a server until it is ready.
    Ready(ready::Ready),
    /// Runs the operator on a cluster.
    Operator(operator::OperatorArgs),
}

/// What the program was started as.
#[derive(Debug)]
pub enum Invocation {
    /// `reinstate`.
    Reinstate(Cli),
    /// `kubectl-reinstate`, the plugin of kubectl.
    Kubectl(kubectl::Kubectl),
}

impl Invocation {
    /// Reads the command line; its first word, the file name, says which program is meant.
    pub fn parse() -> Self {
        let program = std::env::args_os().next().unwrap_or_default();
        let name = Path::new(&program).file_name().unwrap_or_default();
        if name == kubectl::PROGRAM {
            Self::Kubectl(kubectl::Kubectl::parse())
        } else {
            Self::Reinstate(Cli::parse())
        }
    }

    /// Logs to standard error as `RUST_LOG` says. By default for people and warnings only; in a pod
    /// as JSON, and what this program does in full.
    pub fn start_logging(&self) {
        let in_pod =
            matches!(self, Self::Reinstate(Cli { command: Command::Runner(_) | Command::Operator(_) }));
        let default = match self {
            _ if in_pod => "warn,reinstate=info,kube_client=error",
            // What the client has to say of a connection is told as an error.
            Self::Kubectl(_) => "warn,kube_client=off,kube_runtime=off",
            Self::Reinstate(_) => "warn",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        if in_pod {
            logger.json().flatten_event(true).with_span_list(false).init();
        } else {
            logger.with_ansi(output::is_interactive()).without_time().init();
        }
    }

    /// Carries it out.
    pub fn run(&self) -> ExitCode {
        match self {
            Self::Reinstate(cli) => main(cli),
            Self::Kubectl(kubectl) => kubectl::main(kubectl),
        }
    }
}

/// Carries out a command line.
pub fn main(cli: &Cli) -> ExitCode {
    match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Verify(arguments) => verify::verify(arguments),
        Command::Extract(arguments) => extract::extract(arguments),
        Command::List(arguments) => finish(list::run(arguments)),
        Command::New(arguments) => write_first(arguments),
        Command::Crds { directory } => crds_to(directory.as_deref()),
        Command::Runner(arguments) => runner::run(arguments),
        Command::Explain(arguments) => explain::explain(arguments),
        Command::Ready(arguments) => ready::ready(arguments),
        Command::Operator(arguments) => operator::run(arguments),
    }
}

/// Prints a result, or tells why there is none.
fn finish(result: Result<String>) -> ExitCode {
    match result {
        Ok(text) => {
            output::out(&text);
            ExitCode::Success
        }
        Err(fault) => report_fault(&fault),
    }
}

fn write_first(arguments: &new::NewArgs) -> ExitCode {
    let mut notes = Vec::new();
    let mut text = Vec::new();
    let result = new::run(arguments, &mut text, &mut notes);
    output::out(&String::from_utf8_lossy(&text));
    match result {
        Ok(()) => {
            output::note(String::from_utf8_lossy(&notes).trim_end());
            ExitCode::Success
        }
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::Usage
        }
    }
}

fn crds_to(folder: Option<&Path>) -> ExitCode {
    let written = match folder {
        None => crds::render(),
        Some(folder) => crds::write(folder).map(|()| String::new()),
    };
    finish(written.map_err(|error| {
        Fault::new(
            Stage::Resolve,
            Reason::InternalError,
            format!("failed to write the definitions: {error:#}"),
        )
    }))
}

/// The time now: the one place that asks the clock for it.
#[expect(clippy::disallowed_methods, reason = "the clock is read here and handed on")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Reads manifests; all that is wrong with them is one fault.
pub(crate) fn manifest_files(files: &[PathBuf]) -> Result<Manifests> {
    let mut reader = ManifestReader::default();
    for file in files {
        if file == Path::new("-") {
            reader.add("standard input", &mut io::stdin().lock());
        } else {
            reader.add_file(file);
        }
    }
    reader.finish().map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Fault::new(Stage::Resolve, Reason::InvalidSpec, lines.join("\n       "))
    })
}

/// Tells a failure that wrote nothing.
pub(crate) fn report_fault(fault: &Fault) -> ExitCode {
    report_fault_with(fault, fault.reason.hint())
}

/// Like [`report_fault`], with a hint that fits the command better than that of the reason.
pub(crate) fn report_fault_with(fault: &Fault, hint: &str) -> ExitCode {
    let message = fault.full_message();
    let lines: Vec<String> = message.lines().map(output::clean).collect();
    output::note(&format!("error: {}\nreason: {}\nhint: {}", lines.join("\n"), fault.reason, hint));
    ExitCode::untouched(fault.reason)
}

/// Tells everything that is wrong with a request.
pub(crate) fn report_problems(name: &str, problems: &[Problem]) -> ExitCode {
    output::note(&output::clean(&format!(
        "error: DatabaseRestore {name} cannot start; nothing was written:"
    )));
    let mut reasons = Vec::new();
    for Problem { reason, field, message } in problems {
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        output::note(&output::clean(&format!("  {field}{message} ({reason})")));
        if !reasons.contains(reason) {
            reasons.push(*reason);
        }
    }
    for reason in reasons {
        output::note(&format!("hint: {reason}: {}", reason.hint()));
    }
    problems.first().map_or(ExitCode::Usage, |problem| ExitCode::untouched(problem.reason))
}

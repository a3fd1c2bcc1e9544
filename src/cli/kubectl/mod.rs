//! `kubectl reinstate`: the same program under the name `kubectl-reinstate`, which kubectl finds on the
//! PATH. One file for each verb; each has its flags and a `run` that reads, decides and writes.
//!
//! It works with the rights of the user alone, on the objects of one namespace. It reads no Secret and
//! needs nothing in the operator's namespace.

pub mod answers;
pub mod backups;
pub mod cancel;
pub mod cluster;
pub mod confirm;
pub mod errand;
pub mod error;
pub mod follow;
pub mod history;
pub mod logs;
pub mod new;
pub mod page;
pub mod plan;
pub mod report;
pub mod restore;
pub mod state;
pub mod status;
pub mod undo;
pub mod wanted;

use clap::{Parser, Subcommand};

use self::cluster::{Cluster, Place};
use self::error::Result;
use super::exit::ExitCode;
use super::{explain, output};

/// Name of the file under which this program is the plugin.
pub const PROGRAM: &str = "kubectl-reinstate";

/// Restores databases from backups on a cluster
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-reinstate",
    bin_name = "kubectl reinstate",
    version,
    about = "Restores databases from backups on a cluster",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Kubectl {
    /// Where the objects are
    #[command(flatten)]
    pub place: Place,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Restores a backup
    Restore(restore::Restore),
    /// Lists the backups of a storage, newest first
    Backups(backups::Backups),
    /// Shows what a restore would do; nothing is written
    Plan(plan::Plan),
    /// Shows a restore, or all that the namespace has
    Status(status::Status),
    /// Shows the log of a restore
    Logs(logs::Logs),
    /// Confirms what a restore asks about
    Confirm(confirm::Confirm),
    /// Stops a restore for good
    Cancel(cancel::Cancel),
    /// Puts the data back that a restore has replaced and kept
    Revert(undo::Revert),
    /// Removes what runs left beside a target
    Discard(undo::Discard),
    /// Lists what was restored when, and how it ended
    History(history::History),
    /// Writes the receipt of a restore, for the ticket
    Report(report::Report),
    /// Writes a manifest, from flags or from an earlier run
    New(new::New),
    /// Says what a reason means and what to do about it
    Explain(explain::Explain),
}

/// Carries out a command line.
pub fn main(arguments: &Kubectl) -> ExitCode {
    if let Verb::Explain(arguments) = &arguments.verb {
        return explain::explain(arguments);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("error: failed to start: {error}"));
            return ExitCode::Untouched;
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => error.tell(),
    }
}

async fn run(arguments: &Kubectl) -> Result<ExitCode> {
    let cluster = Cluster::connect(&arguments.place).await?;
    match &arguments.verb {
        Verb::Restore(arguments) => restore::run(&cluster, arguments).await,
        Verb::Backups(arguments) => backups::run(&cluster, arguments).await,
        Verb::Plan(arguments) => plan::run(&cluster, arguments).await,
        Verb::Status(arguments) => status::run(&cluster, arguments).await,
        Verb::Logs(arguments) => logs::run(&cluster, arguments).await,
        Verb::Confirm(arguments) => confirm::run(&cluster, arguments).await,
        Verb::Cancel(arguments) => cancel::run(&cluster, arguments).await,
        Verb::Revert(arguments) => undo::revert(&cluster, arguments).await,
        Verb::Discard(arguments) => undo::discard(&cluster, arguments).await,
        Verb::History(arguments) => history::run(&cluster, arguments).await,
        Verb::Report(arguments) => report::run(&cluster, arguments).await,
        Verb::New(arguments) => new::run(&cluster, arguments).await,
        Verb::Explain(arguments) => Ok(explain::explain(arguments)),
    }
}

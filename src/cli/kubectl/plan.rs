//! `kubectl reinstate plan`: what a restore would do, from flags, or as it stands in a status.

use clap::Args;
use kube::ResourceExt;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::restore::{self, Restore};
use super::wanted::Wanted;
use super::{page, status};
use crate::api::DatabaseRestore;
use crate::cli::exit::ExitCode;
use crate::cli::{now, output};

/// Shows what a restore would do; nothing is written
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The backup as for `restore`, or the name of a `DatabaseRestore` whose plan is shown
    #[arg(value_name = "STORAGE:PATH|NAME")]
    pub what: String,
    /// What is wanted
    #[command(flatten)]
    pub wanted: Wanted,
    /// How long to wait for it
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<crate::api::Duration>,
    /// The plan of a `DatabaseRestore` as a document for programs
    #[arg(short, long, value_enum)]
    pub output: Option<status::Form>,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Plan) -> Result<ExitCode> {
    if arguments.what.contains(':') {
        if arguments.output.is_some() {
            let message = "-o shows the plan of a DatabaseRestore: give its name once the plan is made";
            return Err(Error::Usage(message.to_owned()));
        }
        let restore = Restore {
            backup: arguments.what.clone(),
            wanted: arguments.wanted.clone(),
            plan: true,
            verify: false,
            follow: true,
            timeout: arguments.timeout,
            output: None,
        };
        return restore::run(cluster, &restore).await;
    }
    let restore: DatabaseRestore = cluster.find(&arguments.what).await?;
    let plan = restore.status.as_ref().and_then(|status| status.plan.as_ref());
    let Some(plan) = plan else {
        let message =
            format!("{} has no plan yet: {}", restore.name_any(), page::headline(&restore, now()).trim_end());
        return Err(Error::refused(message, ""));
    };
    match arguments.output {
        Some(form) => status::print(plan, form)?,
        None => output::out(&page::plan(&restore)),
    }
    Ok(ExitCode::Success)
}

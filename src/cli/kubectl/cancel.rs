//! `kubectl reinstate cancel`: stops a restore for good. It cannot be taken back.

use clap::Args;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::{follow, page, state};
use crate::api::DatabaseRestore;
use crate::cli::exit::ExitCode;
use crate::cli::{now, output};

/// Stops a restore for good
#[derive(Args, Clone, Debug)]
pub struct Cancel {
    /// The `DatabaseRestore`
    pub name: String,
    /// Do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for its end
    #[arg(long, value_name = "DURATION", conflicts_with = "no_wait")]
    pub timeout: Option<crate::api::Duration>,
}

/// Runs the command. Its exit code is not that of the run: it has done what it was asked for when the
/// run is over.
pub async fn run(cluster: &Cluster, arguments: &Cancel) -> Result<ExitCode> {
    let restore: DatabaseRestore = cluster.find(&arguments.name).await?;
    if state::of(&restore).is_end() {
        let message = format!("it is over already: {}", page::headline(&restore, now()).trim_end());
        return Err(Error::refused(message, ""));
    }
    let name = restore.name_any();
    // A restore that was made anew under the name is another one.
    let patch = Patch::Merge(json!({"metadata": {"uid": restore.metadata.uid}, "spec": {"cancel": true}}));
    let patched = cluster.api::<DatabaseRestore>().patch(&name, &PatchParams::default(), &patch).await;
    patched.map_err(Error::request(format!("cancel DatabaseRestore {name}")))?;
    output::note(&format!(
        "{name} is being stopped at the next safe place; a switch that has begun is finished first"
    ));
    if arguments.no_wait {
        return Ok(ExitCode::Success);
    }
    match follow::run(cluster, &restore, arguments.timeout).await? {
        ExitCode::GoesOn => Ok(ExitCode::GoesOn),
        ExitCode::Success
        | ExitCode::Usage
        | ExitCode::ConfirmationNeeded
        | ExitCode::BackupNotGood
        | ExitCode::Untouched
        | ExitCode::UntouchedRetryable
        | ExitCode::Touched
        | ExitCode::TouchedUnknown
        | ExitCode::Stopped => Ok(ExitCode::Success),
    }
}

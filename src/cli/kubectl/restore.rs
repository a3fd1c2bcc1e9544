//! `kubectl reinstate restore`: makes a `DatabaseRestore` from flags. What can be known to be wrong is
//! told before anything is made.

use std::fmt::Debug;

use clap::Args;
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::wanted::{self, Goal, Wanted};
use super::{follow, status};
use crate::api::{BackupStorage, DatabaseConnection, DatabaseRestore, EncryptionProfile};
use crate::cli::exit::ExitCode;
use crate::cli::{now, output};
use crate::plan::{Objects, RestorePlan, resolve};
use crate::reason::Reason;

/// Restores a backup
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The backup: its `BackupStorage` and its path there; `STORAGE:latest` is the newest,
    /// `STORAGE:latest/PREFIX` the newest whose path starts so
    #[arg(value_name = "STORAGE:PATH")]
    pub backup: String,
    /// What is wanted
    #[command(flatten)]
    pub wanted: Wanted,
    /// Do everything up to the first write, and say what would happen
    #[arg(long, conflicts_with = "verify")]
    pub plan: bool,
    /// Prove the backup alone
    #[arg(long)]
    pub verify: bool,
    /// Follow it to its end, and ask here what is asked; the exit code is that of the run
    #[arg(short, long)]
    pub follow: bool,
    /// How long to follow it
    #[arg(long, value_name = "DURATION", requires = "follow")]
    pub timeout: Option<crate::api::Duration>,
    /// The object that was made
    #[arg(short, long, value_enum, conflicts_with = "follow")]
    pub output: Option<status::Form>,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Restore) -> Result<ExitCode> {
    let goal = match (arguments.plan, arguments.verify) {
        (true, _) => Goal::Plan,
        (false, true) => Goal::Verify,
        (false, false) => Goal::Restore,
    };
    let manifest = wanted::manifest(&arguments.backup, &arguments.wanted, goal, (&cluster.namespace, now()))?;
    let made = create(cluster, manifest).await?;
    if let Some(form) = arguments.output {
        status::print(&made, form)?;
        return Ok(ExitCode::Success);
    }
    output::note(&format!("DatabaseRestore {} is made in namespace {}", made.name_any(), cluster.namespace));
    if arguments.follow {
        return follow::run(cluster, &made, arguments.timeout).await;
    }
    output::note(&status::next(cluster, &made));
    Ok(ExitCode::Success)
}

/// Checks what `manifest` refers to, and makes the object.
pub async fn create(cluster: &Cluster, manifest: Value) -> Result<DatabaseRestore> {
    let restore: DatabaseRestore = serde_json::from_value(manifest)
        .map_err(|error| Error::Usage(format!("these flags make no DatabaseRestore: {error}")))?;
    check(cluster, &restore).await?;
    let name = restore.name_any();
    let made = cluster.api::<DatabaseRestore>().create(&PostParams::default(), &restore).await;
    match made.map_err(Error::request(format!("make DatabaseRestore {name}"))) {
        Err(error) if error.is_conflict() => {
            let message = format!("there is a DatabaseRestore {name} already, and it never runs twice");
            Err(Error::refused(message, "Choose another one with --name."))
        }
        made => made,
    }
}

/// Everything that is known to be wrong at once; the operator says the rest.
async fn check(cluster: &Cluster, restore: &DatabaseRestore) -> Result<()> {
    match objects(cluster, restore).await? {
        Some(objects) => resolved(restore, &objects).map(drop),
        None => Ok(()),
    }
}

/// The plan of `restore` with the objects as they are now.
pub async fn plan(cluster: &Cluster, restore: &DatabaseRestore) -> Result<RestorePlan> {
    let objects = objects(cluster, restore).await?.ok_or_else(|| {
        Error::refused(
            "you may not look at the objects that it refers to",
            "It takes get on backupstorages and databaseconnections.",
        )
    })?;
    resolved(restore, &objects)
}

fn resolved(restore: &DatabaseRestore, objects: &Objects) -> Result<RestorePlan> {
    resolve(restore, objects).map_err(|problems| {
        let lines: Vec<String> =
            problems.iter().map(|it| format!("{}: {} ({})", it.field, it.message, it.reason)).collect();
        let text = lines.join("\n       ");
        let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
        if reason == Reason::InvalidSpec { Error::Usage(text) } else { Error::refused(text, reason.hint()) }
    })
}

/// What `restore` refers to; `None` where the user may not look at all of it.
async fn objects(cluster: &Cluster, restore: &DatabaseRestore) -> Result<Option<Objects>> {
    let spec = &restore.spec;
    let storage = look::<BackupStorage>(cluster, Some(&spec.backup.storage_ref.name)).await?;
    let connection = spec.target.as_ref().map(|target| &target.connection_ref.name);
    let connection = look::<DatabaseConnection>(cluster, connection).await?;
    let profile = spec.backup.encryption.profile_ref.as_ref().map(|profile| &profile.name);
    let profile = look::<EncryptionProfile>(cluster, profile).await?;
    let (Seen::Known(storages), Seen::Known(connections), Seen::Known(profiles)) =
        (storage, connection, profile)
    else {
        return Ok(None);
    };
    Ok(Some(Objects { storages, connections, profiles }))
}

/// What could be seen of the objects of a kind.
enum Seen<K> {
    /// Those that are named.
    Known(Vec<K>),
    /// The user may not look; the operator will.
    Hidden,
}

async fn look<K>(cluster: &Cluster, name: Option<&String>) -> Result<Seen<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let Some(name) = name else { return Ok(Seen::Known(Vec::new())) };
    match cluster.find(name).await {
        Ok(found) => Ok(Seen::Known(vec![found])),
        Err(error) if error.code() == Some(403) => Ok(Seen::Hidden),
        Err(error) => Err(error),
    }
}

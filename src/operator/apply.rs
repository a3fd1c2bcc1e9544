//! Carries out what was decided: one function for each kind of write, each safe to repeat. No decisions.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::build;
use super::context::Context;
use super::decide::{Command, Resolved};
use super::error::{Error, Result};
use super::names::{ANNOTATION_EXECUTED, ANNOTATION_ORDER, FINALIZER_JOURNAL, FINALIZER_RUN, MANAGER};
use super::observe::is_gone;
use super::queue::{Places, Queue, Started};
use crate::api::DatabaseRestore;

/// Carries out `commands` for `restore`, in order, until one fails. One that was carried out a moment
/// ago is not repeated: the caches have not seen it yet. Whether there was such a one.
pub async fn apply(
    context: &Context,
    restore: &DatabaseRestore,
    resolved: Option<&Resolved>,
    commands: &[Command],
) -> Result<bool> {
    let mut version = restore.metadata.resource_version.clone();
    let uid = restore.metadata.uid.clone().unwrap_or_default();
    let mut skipped = false;
    for command in commands {
        let key = format!("{uid} {} {command:?}", job_name(restore));
        if context.shared.done.is_recent(&key) {
            skipped = true;
            continue;
        }
        tracing::debug!(?command, "apply");
        match command {
            Command::Mark => version = mark(context, restore, version, true).await?,
            Command::Unmark => version = mark(context, restore, version, false).await?,
            _ => carry_out(context, restore, resolved, command).await?,
        }
        context.shared.done.record(key);
    }
    Ok(skipped)
}

async fn carry_out(
    context: &Context,
    restore: &DatabaseRestore,
    resolved: Option<&Resolved>,
    command: &Command,
) -> Result<()> {
    match command {
        Command::TakePlace(queue) => take_place(context, restore, queue).await,
        Command::FreePlace { is_remembered } => free_place(context, restore, *is_remembered).await,
        Command::CreateJob => create_job(context, restore, resolved).await,
        Command::Unsuspend(uid) => patch_job(context, restore, uid, json!({"suspend": false})).await,
        Command::Suspend(uid) => patch_job(context, restore, uid, json!({"suspend": true})).await,
        Command::SetTtl(uid, seconds) => {
            patch_job(context, restore, uid, json!({"ttlSecondsAfterFinished": seconds})).await
        }
        Command::DeleteJob(uid) => delete_job(context, restore, uid).await,
        Command::ReleasePod { name, uid } => {
            release_pod(&context.shared.client, &restore.namespace().unwrap_or_default(), name, uid).await
        }
        Command::Mark | Command::Unmark => Ok(()),
    }
}

fn jobs(context: &Context, restore: &DatabaseRestore) -> Api<Job> {
    Api::namespaced(context.shared.client.clone(), &restore.namespace().unwrap_or_default())
}

fn job_name(restore: &DatabaseRestore) -> String {
    let attempt = restore.status.as_ref().and_then(|status| status.attempts.last());
    attempt.map(|attempt| attempt.job_name.clone()).unwrap_or_default()
}

/// Takes a place. The Lease must still be the one that was looked at, so two that want the last place
/// cannot both get it.
async fn take_place(context: &Context, restore: &DatabaseRestore, queue: &Queue) -> Result<()> {
    let namespace = &context.shared.settings.namespace;
    let known = context.shared.leases.get(&ObjectRef::new(&queue.lease).within(namespace));
    let mut places = known.as_deref().map(Places::read).unwrap_or_default();
    places.holders.retain(|holder| !is_gone(context, holder));
    places.take(Started::of(restore));
    let lease = places.write(queue, namespace, known.as_deref());
    write_lease(context, lease, known.is_some()).await
}

async fn write_lease(context: &Context, lease: Lease, exists: bool) -> Result<()> {
    let name = lease.name_any();
    let api: Api<Lease> = Api::namespaced(context.shared.client.clone(), &context.shared.settings.namespace);
    let written = if exists {
        api.replace(&name, &PostParams::default(), &lease).await
    } else {
        api.create(&PostParams::default(), &lease).await
    };
    written.map(drop).map_err(Error::write("write Lease", &name))
}

async fn free_place(context: &Context, restore: &DatabaseRestore, is_remembered: bool) -> Result<()> {
    let uid = restore.metadata.uid.clone().unwrap_or_default();
    let held = context.shared.leases.state_filter(|lease| Places::read(lease).holds(&uid));
    for lease in held {
        let mut places = Places::read(&lease);
        places.free(&uid, is_remembered);
        let server = lease.annotations().get(super::names::ANNOTATION_SERVER).cloned().unwrap_or_default();
        let queue = Queue { lease: lease.name_any(), server, places: 1 };
        let namespace = &context.shared.settings.namespace;
        write_lease(context, places.write(&queue, namespace, Some(&lease)), true).await?;
    }
    Ok(())
}

/// Puts the finalizer on, with the uid of what is executed, or takes it off.
async fn mark(
    context: &Context,
    restore: &DatabaseRestore,
    version: Option<String>,
    is_on: bool,
) -> Result<Option<String>> {
    let name = restore.name_any();
    let mut finalizers = restore.finalizers().to_vec();
    finalizers.retain(|it| it != FINALIZER_RUN);
    let mut metadata = json!({"resourceVersion": version, "uid": restore.metadata.uid});
    if is_on {
        finalizers.push(FINALIZER_RUN.to_owned());
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("annotations".to_owned(), json!({ANNOTATION_EXECUTED: restore.metadata.uid}));
        }
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
    let api: Api<DatabaseRestore> =
        Api::namespaced(context.shared.client.clone(), &restore.namespace().unwrap_or_default());
    let patch = Patch::Merge(json!({"metadata": metadata}));
    match api.patch(&name, &manager(), &patch).await {
        Ok(written) => Ok(written.metadata.resource_version),
        // Without its last finalizer the object may be gone at once.
        Err(kube::Error::Api(status)) if status.code == 404 && !is_on => Ok(None),
        Err(error) => Err(Error::write("mark DatabaseRestore", &name)(error)),
    }
}

fn manager() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

async fn create_job(context: &Context, restore: &DatabaseRestore, resolved: Option<&Resolved>) -> Result<()> {
    let Some(resolved) = resolved else { return Ok(()) };
    let Some(job) = build::job(restore, &resolved.plan, &context.shared.settings.runner) else {
        return Ok(());
    };
    let template = job.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let order = template.and_then(|meta| meta.annotations.as_ref()).and_then(|all| all.get(ANNOTATION_ORDER));
    let bytes = order.map_or(0, String::len);
    if bytes > build::ORDER_LIMIT_BYTES {
        return Err(Error::OrderTooLarge {
            name: restore.name_any(),
            bytes,
            limit: build::ORDER_LIMIT_BYTES,
        });
    }
    match jobs(context, restore).create(&PostParams::default(), &job).await {
        Ok(_) => Ok(()),
        // It is looked at, and recorded or refused, in the next pass.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            context.shared.done.record(exists(restore));
            Err(Error::Conflict { name: job.name_any() })
        }
        Err(error) => Err(Error::write("create Job", &job.name_any())(error)),
    }
}

/// What is noted where a Job of the attempt's name was there already: whose it is, the API server says.
pub fn exists(restore: &DatabaseRestore) -> String {
    format!("{} exists {}", restore.metadata.uid.as_deref().unwrap_or_default(), job_name(restore))
}

/// Changes fields of the spec of the Job of `uid`, and of no other Job of its name.
async fn patch_job(context: &Context, restore: &DatabaseRestore, uid: &str, spec: Value) -> Result<()> {
    let name = job_name(restore);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": spec}));
    let patched = jobs(context, restore).patch(&name, &manager(), &patch).await;
    patched.map(drop).map_err(Error::write("change Job", &name))
}

async fn delete_job(context: &Context, restore: &DatabaseRestore, uid: &str) -> Result<()> {
    let name = job_name(restore);
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match jobs(context, restore).delete(&name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::write("delete Job", &name)(error)),
    }
}

/// Takes the finalizer off a pod whose journal is in the status, or that nobody asks for any more.
pub async fn release_pod(client: &kube::Client, namespace: &str, name: &str, uid: &str) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // Only this one is taken off, whatever others come and go meanwhile.
    let patch = json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER_JOURNAL]}});
    match api.patch(name, &manager(), &Patch::Strategic(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::write("release pod", name)(error)),
    }
}

//! Local copies of what is watched, so that a pass over a restore asks the API server only where a
//! decision depends on the very newest. Every change wakes the restores that it is about.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;

use super::build::ttl_seconds;
use super::decide::{is_active, is_ended};
use super::names::{LABEL_MANAGED_BY, LABEL_UID, MANAGER, SELECTOR};
use crate::api::restore::RestoreStatus;
use crate::api::{BackupStorage, DatabaseConnection, DatabaseRestore, EncryptionProfile};

/// What is watched in one scope, beside the restores themselves.
#[derive(Clone)]
pub struct Caches {
    /// The restores.
    pub restores: Store<DatabaseRestore>,
    /// Runners' Jobs.
    pub jobs: Store<Job>,
    /// Runners' pods.
    pub pods: Store<Pod>,
    /// Storage destinations.
    pub storages: Store<BackupStorage>,
    /// Target sources.
    pub connections: Store<DatabaseConnection>,
    /// Keys.
    pub profiles: Store<EncryptionProfile>,
}

/// Restores that are listed at once when the operator starts.
const PAGE_OBJECTS: u32 = 50;

/// Wakes a restore.
pub type Waker = UnboundedSender<ObjectRef<DatabaseRestore>>;

/// The API of a kind in `namespace`, or in all.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// The stream of restores that drives a controller, and the cache that it fills.
pub fn restores(
    client: &Client,
    namespace: Option<&str>,
) -> (Store<DatabaseRestore>, impl Stream<Item = Result<DatabaseRestore, watcher::Error>> + use<>) {
    let (store, writer) = reflector::store();
    // A page is held whole before its objects are trimmed.
    let pages = watcher::Config::default().page_size(PAGE_OBJECTS);
    let stream = watcher(api::<DatabaseRestore>(client, namespace), pages)
        .default_backoff()
        .modify(trim_restore)
        .reflect(writer)
        .applied_objects();
    (store, stream)
}

/// Starts to watch what belongs to the restores of one scope; ready when it comes back.
pub async fn start(
    client: &Client,
    namespace: Option<&str>,
    restores: &Store<DatabaseRestore>,
    waker: &Waker,
) -> Caches {
    let ours = || watcher::Config::default().labels(SELECTOR);
    let all = watcher::Config::default;
    let (jobs, known) = (reflector::store::<Job>(), restores.clone());
    let job_store = jobs.0.clone();
    let of_job = move |job: &Job| owner(job.meta()).into_iter().collect::<Vec<_>>();
    run(api(client, namespace), ours(), jobs.1, of_job, waker.clone());
    let pods = reflector::store::<Pod>();
    let jobs_of_pods = job_store.clone();
    let of_pod = move |pod: &Pod| restore_of_pod(pod, &jobs_of_pods, &known).into_iter().collect::<Vec<_>>();
    run(api(client, namespace), ours(), pods.1, of_pod, waker.clone());
    let storages = reflector::store::<BackupStorage>();
    run(api(client, namespace), all(), storages.1, waiting_there(restores), waker.clone());
    let connections = reflector::store::<DatabaseConnection>();
    run(api(client, namespace), all(), connections.1, waiting_there(restores), waker.clone());
    let profiles = reflector::store::<EncryptionProfile>();
    run(api(client, namespace), all(), profiles.1, waiting_there(restores), waker.clone());
    let caches = Caches {
        restores: restores.clone(),
        jobs: job_store,
        pods: pods.0,
        storages: storages.0,
        connections: connections.0,
        profiles: profiles.0,
    };
    // A store fails to get ready only when its writer is gone, which ends with the process.
    let _ = tokio::join!(
        caches.jobs.wait_until_ready(),
        caches.pods.wait_until_ready(),
        caches.storages.wait_until_ready(),
        caches.connections.wait_until_ready(),
        caches.profiles.wait_until_ready(),
    );
    caches
}

/// Starts to watch the queues' Leases; `wake` hears of every change.
pub async fn leases(
    client: &Client,
    namespace: &str,
    wake: impl Fn(&Lease) + Send + 'static,
) -> Store<Lease> {
    let (store, writer) = reflector::store();
    let config = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER}"));
    let stream = watcher(Api::<Lease>::namespaced(client.clone(), namespace), config)
        .default_backoff()
        .modify(|lease| lease.metadata.managed_fields = None)
        .reflect(writer)
        .touched_objects();
    drive(stream, wake);
    let _ = store.wait_until_ready().await;
    store
}

fn run<K, F>(
    api: Api<K>,
    config: watcher::Config,
    writer: reflector::store::Writer<K>,
    subjects: F,
    waker: Waker,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Fn(&K) -> Vec<ObjectRef<DatabaseRestore>> + Send + 'static,
{
    let stream = watcher(api, config)
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects();
    drive(stream, move |object| {
        for restore in subjects(object) {
            // The controller is gone only when the process ends.
            let _ = waker.send(restore);
        }
    });
}

fn drive<K: Send + 'static>(
    stream: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
    on: impl Fn(&K) + Send + 'static,
) {
    tokio::spawn(async move {
        let mut stream = Box::pin(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(object) => on(&object),
                // The watcher begins anew by itself.
                Err(error) => tracing::warn!("failed to watch: {error}"),
            }
        }
    });
}

/// The restore that a Job is of.
fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<DatabaseRestore>> {
    let owner = metadata.owner_references.iter().flatten().find(|it| it.kind == "DatabaseRestore")?;
    Some(ObjectRef::new(&owner.name).within(metadata.namespace.as_deref()?))
}

/// The restore that a pod is of: by its Job, or where that is gone by its label.
fn restore_of_pod(
    pod: &Pod,
    jobs: &Store<Job>,
    restores: &Store<DatabaseRestore>,
) -> Option<ObjectRef<DatabaseRestore>> {
    let namespace = pod.namespace()?;
    let job = pod.owner_references().iter().find(|it| it.kind == "Job");
    let job = job.and_then(|job| jobs.get(&ObjectRef::new(&job.name).within(&namespace)));
    if let Some(restore) = job.and_then(|job| owner(job.meta())) {
        return Some(restore);
    }
    let uid = pod.labels().get(LABEL_UID)?;
    let restore = restores.find(|it| it.metadata.uid.as_ref() == Some(uid))?;
    Some(ObjectRef::from_obj(restore.as_ref()))
}

/// The restores of an object's namespace that have not started and may wait for it.
fn waiting_there<K>(
    restores: &Store<DatabaseRestore>,
) -> impl Fn(&K) -> Vec<ObjectRef<DatabaseRestore>> + use<K>
where
    K: Resource<DynamicType = ()>,
{
    let restores = restores.clone();
    move |object| {
        let namespace = object.meta().namespace.clone();
        let waits = |restore: &DatabaseRestore| {
            let status = restore.status.as_ref();
            restore.metadata.namespace == namespace && !is_ended(status) && !is_active(status)
        };
        restores
            .state_filter(waits)
            .iter()
            .map(|it: &Arc<DatabaseRestore>| ObjectRef::from_obj(it.as_ref()))
            .collect()
    }
}

/// Keeps of a restore that is over and put away only what [`is_put_away`] asks for: there may be ten
/// thousands. A pass that has to write to such an object reads it anew.
fn trim_restore(restore: &mut DatabaseRestore) {
    restore.metadata.managed_fields = None;
    if let Some(annotations) = &mut restore.metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    if !is_trimmed(restore) {
        return;
    }
    restore.metadata.annotations = None;
    restore.metadata.labels = None;
    if let Some(status) = &mut restore.status {
        let last = status.attempts.pop();
        *status = RestoreStatus {
            observed_generation: status.observed_generation,
            completion_time: status.completion_time.take(),
            attempts: last.into_iter().collect(),
            ..RestoreStatus::default()
        };
    }
}

/// Whether the cache holds only a part of `restore`: it is over, and nothing of it is left to do.
pub fn is_trimmed(restore: &DatabaseRestore) -> bool {
    is_ended(restore.status.as_ref()) && restore.finalizers().is_empty()
}

/// Whether there is nothing to do for a restore that is over. `job` is that of its last attempt.
pub fn is_put_away(restore: &DatabaseRestore, job: Option<&Job>) -> bool {
    let Some(status) = restore.status.as_ref().filter(|_| is_trimmed(restore)) else { return false };
    let ttl = job.map(|job| job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished));
    let wanted = ttl_seconds(restore.spec.job_ttl);
    restore.metadata.deletion_timestamp.is_none()
        && restore.metadata.generation == Some(status.observed_generation)
        && ttl.is_none_or(|ttl| ttl == Some(wanted))
}

//! The Kubernetes side: what turns `DatabaseRestore` objects into Jobs, and verdicts into status.
//!
//! This is the only place that may talk to an API server. It reads no Secret and no log of a pod;
//! [`rbac`] says what it may do, and why. A pass over a restore is [`reconcile`]: look up
//! ([`dereference`]), [`observe`], [`decide`], [`publish`], [`apply`].

pub mod apply;
pub mod build;
pub mod caches;
pub mod conditions;
pub mod context;
pub mod decide;
pub mod dereference;
pub mod draft;
pub mod error;
pub mod events;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod publish;
pub mod queue;
pub mod rbac;
pub mod reconcile;
pub mod record;
pub mod tally;
#[cfg(test)]
mod test_support;
pub mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use kube::runtime::controller::{Config, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, ResourceExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use context::{Context, Scope, Settings, Shared, Waiting};
use health::Health;
use metrics::Metrics;
use names::{FINALIZER_JOURNAL, LABEL_UID, has_finalizer};

/// Passes at the same time in one scope.
const CONCURRENCY: u16 = 16;
/// How often gauges are set and pods that nobody asks for are let go.
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// How the process is run, beside the [`Settings`] of its work.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where metrics and health are served.
    pub listen: SocketAddr,
    /// Whether it takes part in the election of a leader.
    pub leader_election: bool,
}

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The address of metrics and health could not be used.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another operator is the leader now, or the API server was away for too long.
    #[error("lost the leader's Lease; another operator may be working")]
    LostLease,
    /// A part of it ended that never should.
    #[error("the controller of {0} ended")]
    Controller(String),
}

/// Runs the operator until `stop` is done.
pub async fn run(
    client: Client,
    settings: Settings,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Ended> {
    let (health, metrics) = (Arc::new(Health::new()), Arc::new(Metrics::new()));
    let address = options.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| Ended::Listen { address, source })?;
    let stop = stop.shared();
    let served = health::serve(listener, Arc::clone(&health), Arc::clone(&metrics), stop.clone());
    tokio::spawn(served);
    beat(Arc::clone(&health), options.leader_election);
    let mut election = leader::Election::new(
        client.clone(),
        &settings.namespace,
        &settings.identity,
        settings.clock,
        Arc::clone(&health),
    );
    if options.leader_election {
        tokio::select! {
            () = election.win() => {}
            () = stop.clone() => return Ok(()),
        }
    }
    metrics.leader(true);
    let mut work = JoinSet::new();
    let shared = shared(client, settings, metrics).await;
    start(&shared, &mut work).await;
    health.synced();
    tracing::info!("the operator works");
    let kept =
        async { if options.leader_election { election.keep().await } else { std::future::pending().await } };
    let ended = tokio::select! {
        () = stop => Ok(()),
        () = kept => Err(Ended::LostLease),
        Some(name) = work.join_next() => Err(Ended::Controller(name.unwrap_or_default())),
    };
    // What is in the middle of a pass ends here; the next pass, of whoever, begins anew.
    work.shutdown().await;
    if ended.is_ok() && options.leader_election {
        election.resign().await;
    }
    ended
}

/// Shows the probe that the runtime goes round. Without an election nothing asks the API server regularly,
/// so its silence cannot be told then.
fn beat(health: Arc<Health>, hears_of_the_api: bool) {
    tokio::spawn(async move {
        loop {
            health.beat();
            if !hears_of_the_api {
                health.reached_api();
            }
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    });
}

async fn shared(client: Client, settings: Settings, metrics: Arc<Metrics>) -> Shared {
    let reporter =
        Reporter { controller: names::MANAGER.to_owned(), instance: Some(settings.identity.clone()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let scopes: Arc<Mutex<Vec<Scope>>> = Arc::default();
    let waiting: Arc<Waiting> = Arc::default();
    let wake = {
        let (scopes, waiting) = (Arc::clone(&scopes), Arc::clone(&waiting));
        move |lease: &k8s_openapi::api::coordination::v1::Lease| wake_queue(lease, &scopes, &waiting)
    };
    let leases = caches::leases(&client, &settings.namespace, wake).await;
    Shared {
        client,
        settings: Arc::new(settings),
        recorder,
        metrics,
        leases,
        waiting,
        done: Arc::default(),
        scopes,
    }
}

/// A queue's Lease has changed: its holders and those that wait for a place look again.
fn wake_queue(
    lease: &k8s_openapi::api::coordination::v1::Lease,
    scopes: &Arc<Mutex<Vec<Scope>>>,
    waiting: &Arc<Waiting>,
) {
    let holders = queue::Places::read(lease).holders;
    let waiters = waiting.of(&lease.name_any());
    let scopes = scopes.lock().unwrap_or_else(PoisonError::into_inner);
    for run in holders.into_iter().chain(waiters) {
        for scope in
            scopes.iter().filter(|scope| scope.namespace.as_ref().is_none_or(|it| *it == run.namespace))
        {
            let _ =
                scope.waker.send(kube::runtime::reflector::ObjectRef::new(&run.name).within(&run.namespace));
        }
    }
}

/// Starts one controller for each watched namespace, or one for all.
async fn start(shared: &Shared, work: &mut JoinSet<String>) {
    let mut namespaces: Vec<Option<String>> = shared.settings.watch.iter().cloned().map(Some).collect();
    if namespaces.is_empty() {
        namespaces.push(None);
    }
    let mut prepared = Vec::new();
    for namespace in namespaces {
        let (store, stream) = caches::restores(&shared.client, namespace.as_deref());
        let (waker, woken) = mpsc::unbounded_channel();
        let caches = caches::start(&shared.client, namespace.as_deref(), &store, &waker).await;
        let scope = Scope { namespace: namespace.clone(), restores: store.clone(), waker };
        shared.scopes.lock().unwrap_or_else(PoisonError::into_inner).push(scope);
        prepared.push((namespace, caches, stream, woken));
    }
    for (namespace, caches, stream, woken) in prepared {
        let context = Arc::new(Context { shared: shared.clone(), caches: caches.clone() });
        let name = namespace.unwrap_or_else(|| "all namespaces".to_owned());
        work.spawn(housekeeping(Context::clone(&context)));
        let woken = futures_util::stream::unfold(woken, async |mut woken| Some((woken.recv().await?, woken)));
        let controller = Controller::for_stream(stream, caches.restores.clone())
            .with_config(Config::default().concurrency(CONCURRENCY))
            .reconcile_on(woken)
            .run(reconcile::reconcile, reconcile::failed, context);
        work.spawn(async move {
            controller
                .for_each(async |result| {
                    if let Err(error) = result {
                        tracing::debug!("a pass did not end well: {error}");
                    }
                })
                .await;
            name
        });
    }
}

/// Sets the gauges, and lets pods go whose restore is gone. Reads the caches only.
async fn housekeeping(context: Context) -> String {
    context.caches.restores.wait_until_ready().await.ok();
    loop {
        tally::gauges(&context.shared);
        let orphans = context.caches.pods.state_filter(|pod| {
            let uid = pod.labels().get(LABEL_UID);
            pod.metadata.deletion_timestamp.is_some()
                && has_finalizer(&pod.metadata, FINALIZER_JOURNAL)
                && context.caches.restores.find(|it| it.metadata.uid.as_ref() == uid).is_none()
        });
        for pod in orphans {
            let (namespace, uid) = (pod.namespace().unwrap_or_default(), pod.uid().unwrap_or_default());
            tracing::info!(namespace, pod = pod.name_any(), "letting a pod go whose restore is gone");
            if let Err(error) =
                apply::release_pod(&context.shared.client, &namespace, &pod.name_any(), &uid).await
            {
                tracing::warn!(pod = pod.name_any(), "{error}");
            }
        }
        tokio::time::sleep(HOUSEKEEPING).await;
    }
}

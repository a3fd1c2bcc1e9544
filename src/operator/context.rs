//! What every pass works with: the client, the caches, the settings, the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedSender;

use super::build::RunnerImage;
use super::caches::Caches;
use super::metrics::Metrics;
use super::queue::Holder;
use crate::api::DatabaseRestore;

/// How the operator was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own namespace, where the Leases are.
    pub namespace: String,
    /// Its own name, in events and as the leader.
    pub identity: String,
    /// The namespaces that are watched; empty: all.
    pub watch: Vec<String>,
    /// The runner's image.
    pub runner: RunnerImage,
    /// Runs at the same time in all watched namespaces; 0: no limit.
    pub max_concurrent: usize,
    /// Runs at the same time in one namespace; 0: no limit.
    pub max_concurrent_per_namespace: usize,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Shared by all scopes.
#[derive(Clone)]
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// How the operator was started.
    pub settings: Arc<Settings>,
    /// Events.
    pub recorder: Recorder,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The queues' Leases.
    pub leases: Store<Lease>,
    /// Who waits in which queue.
    pub waiting: Arc<Waiting>,
    /// What was written a moment ago.
    pub done: Arc<Done>,
    /// Caches and wakers of all scopes.
    pub scopes: Arc<Mutex<Vec<Scope>>>,
}

/// One watched namespace, or all.
#[derive(Clone)]
pub struct Scope {
    /// The namespace; `None`: all.
    pub namespace: Option<String>,
    /// All restores in it.
    pub restores: Store<DatabaseRestore>,
    /// Wakes one of them.
    pub waker: UnboundedSender<ObjectRef<DatabaseRestore>>,
}

impl Shared {
    /// All restores that `wanted` accepts, in all scopes.
    pub fn restores(&self, wanted: impl Fn(&DatabaseRestore) -> bool) -> Vec<Arc<DatabaseRestore>> {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.iter().flat_map(|scope| scope.restores.state_filter(|restore| wanted(restore))).collect()
    }

    /// The restore of `holder`, while it is there.
    pub fn restore_of(&self, holder: &Holder) -> Option<Arc<DatabaseRestore>> {
        let key = ObjectRef::new(&holder.name).within(&holder.namespace);
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let found = scopes.iter().find_map(|scope| scope.restores.get(&key));
        found.filter(|restore| restore.metadata.uid.as_deref() == Some(&holder.uid))
    }

    /// Looks at `holder` again.
    pub fn wake(&self, holder: &Holder) {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |scope: &&Scope| scope.namespace.as_ref().is_none_or(|it| *it == holder.namespace);
        for scope in scopes.iter().filter(here) {
            // A scope that has ended needs no waking.
            let _ = scope.waker.send(ObjectRef::new(&holder.name).within(&holder.namespace));
        }
    }
}

/// What a pass over one restore works with.
#[derive(Clone)]
pub struct Context {
    /// Shared by all scopes.
    pub shared: Shared,
    /// The caches of this scope.
    pub caches: Caches,
}

/// Who waits in which queue, the longest first: it orders those that wait in this process.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<BTreeMap<String, BTreeSet<Waiter>>>);

/// One that waits: since when its object exists, and which it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiter {
    created: Timestamp,
    uid: String,
    namespace: String,
    name: String,
}

impl Waiter {
    fn holder(&self) -> Holder {
        Holder { namespace: self.namespace.clone(), name: self.name.clone(), uid: self.uid.clone() }
    }
}

impl Waiting {
    /// Enters the queue of `lease`, and gives back who has waited for longer.
    pub fn enter(&self, lease: &str, restore: &DatabaseRestore) -> Vec<Holder> {
        let me = Holder::of(restore);
        let created = restore.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0);
        let waiter = Waiter { created, uid: me.uid, namespace: me.namespace, name: me.name };
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(lease.to_owned()).or_default();
        queue.insert(waiter.clone());
        queue.range(..waiter).map(Waiter::holder).collect()
    }

    /// Leaves every queue.
    pub fn leave(&self, uid: &str) {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues.values_mut() {
            queue.retain(|waiter| waiter.uid != uid);
        }
        queues.retain(|_, queue| !queue.is_empty());
    }

    /// Who waits in the queue of `lease`.
    pub fn of(&self, lease: &str) -> Vec<Holder> {
        let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get(lease).into_iter().flatten().map(Waiter::holder).collect()
    }
}

/// What was written a moment ago and may not be in the caches yet.
#[derive(Debug, Default)]
pub struct Done(Mutex<BTreeMap<String, Instant>>);

impl Done {
    /// How long the caches may lag. A write that somebody undid meanwhile is repeated after it.
    pub const LAG: Duration = Duration::from_secs(3);

    /// Whether `what` was done a moment ago.
    pub fn is_recent(&self, what: &str) -> bool {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.get(what).is_some_and(|at| at.elapsed() < Self::LAG)
    }

    /// Notes that `what` is done.
    pub fn record(&self, what: String) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.retain(|_, at| at.elapsed() < Self::LAG);
        done.insert(what, Instant::now());
    }
}

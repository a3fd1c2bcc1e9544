//! A namespace of one test, which enforces the strictest Pod Security, and what a test does in it.

use std::fmt::Debug;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Resource;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::PATIENCE;
use super::cluster::{Cluster, cluster};
use crate::parts::server_folder;
use crate::support::Ended;

/// A namespace, deleted when dropped. When a test fails, what was in it is printed.
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) cluster: &'static Cluster,
    _hold: Hold,
}

/// A test that harms the node must be alone.
enum Hold {
    Shared(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

static NODE: RwLock<()> = RwLock::new(());

impl Namespace {
    /// A namespace whose name begins with `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self::make(name, Hold::Shared(NODE.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The same, once all other tests have let go of theirs; and they wait for this one.
    pub(crate) fn alone(name: &str) -> Self {
        Self::make(name, Hold::Alone(NODE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    fn make(name: &str, hold: Hold) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", std::process::id());
        let namespace = Self { name, cluster: cluster(), _hold: hold };
        namespace.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {}, labels: {{\
             pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}}}}",
            namespace.name
        ));
        // No pod is accepted before its account is there.
        namespace.wait_for::<ServiceAccount>("default", "is there", |_| true);
        namespace
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), &self.name)
    }

    /// The object, if it is there.
    pub(crate) fn get<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.cluster.wait(self.api::<K>().get_opt(name)).unwrap()
    }

    pub(crate) fn list<K>(&self, labels: &str) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        self.cluster
            .wait(self.api::<K>().list(&kube::api::ListParams::default().labels(labels)))
            .unwrap()
            .items
    }

    /// Waits until the object is there and `condition` holds; a test that waits in vain fails.
    #[track_caller]
    pub(crate) fn wait_for<K>(&self, name: &str, what: &str, condition: impl Fn(&K) -> bool + Send) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Send
            + Serialize
            + DeserializeOwned
            + 'static,
    {
        self.wait_within(PATIENCE, name, what, condition)
    }

    /// The same with a limit of its own.
    #[track_caller]
    pub(crate) fn wait_within<K>(
        &self,
        limit: Duration,
        name: &str,
        what: &str,
        condition: impl Fn(&K) -> bool + Send,
    ) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Send
            + Serialize
            + DeserializeOwned
            + 'static,
    {
        let holds = |object: Option<&K>| object.is_some_and(&condition);
        let waiting = await_condition(self.api::<K>(), name, holds);
        let Ok(found) = self.cluster.wait(async { tokio::time::timeout(limit, waiting).await }) else {
            let now = self.get::<K>(name).map(|object| serde_json::to_string_pretty(&object).unwrap());
            let now = now.unwrap_or_else(|| "it is not there".to_owned());
            panic!("waited {limit:?} in vain until {} {name} {what}; now: {now}", K::kind(&()));
        };
        found.unwrap().unwrap()
    }

    /// Waits until there is no such object.
    #[track_caller]
    pub(crate) fn wait_gone<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Send
            + DeserializeOwned
            + 'static,
    {
        let gone = await_condition(self.api::<K>(), name, |object: Option<&K>| object.is_none());
        let waited = self.cluster.wait(async { tokio::time::timeout(PATIENCE, gone).await });
        waited.unwrap_or_else(|_| panic!("{} {name} stays", K::kind(&()))).unwrap();
    }

    /// Applies manifests to this namespace; whatever is refused fails the test.
    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) -> Ended {
        self.try_apply(manifests).expect(0, &[])
    }

    /// Applies manifests that may be refused.
    pub(crate) fn try_apply(&self, manifests: &str) -> Ended {
        let mut command = self.cluster.kubectl_command();
        command.args(["--namespace", &self.name, "apply", "--server-side", "--force-conflicts", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    }

    /// Runs kubectl in this namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Ended {
        Ended::of(
            self.cluster
                .kubectl_command()
                .args(["--namespace", &self.name])
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    /// A kubeconfig of the account, which is made if it is not there, with what it may do.
    pub(crate) fn kubeconfig_of(&self, account: &str) -> PathBuf {
        self.apply(&format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {account}}}}}"));
        let token = self.kubectl(&["create", "token", account, "--duration=2h"]).expect(0, &[]).out;
        let own = self.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "--output=json"]);
        let mut config: Value = own.expect(0, &[]).json();
        config["users"][0]["user"] = json!({"token": token.trim()});
        let file = server_folder("kubeconfigs").join(format!("{}-{account}", self.name));
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    /// Everything that is worth seeing after a failure.
    fn describe(&self) -> String {
        let mut text = format!("\n=== namespace {}\n", self.name);
        for arguments in [
            &["get", "databaserestores,jobs,pods,persistentvolumeclaims", "--output=wide"][..],
            &["get", "databaserestores", "--output=yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--selector=app.kubernetes.io/managed-by=reinstate", "--tail=50", "--prefix"],
        ] {
            let ended = self.kubectl(arguments);
            text.push_str(&format!("--- kubectl {}\n{}{}", arguments.join(" "), ended.out, ended.err));
        }
        text
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{}", self.describe());
        }
        self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

//! What a restore refers to, from the caches: storage, connection, profiles. Never a Secret.

use kube::Resource;
use kube::runtime::reflector::Store;

use super::caches::Caches;
use super::decide::Resolved;
use super::queue::Queue;
use crate::api::DatabaseRestore;
use crate::plan::{Objects, Problem, resolve};

/// Looks up everything that `restore` names, or gives back all that is wrong.
pub fn dereference(caches: &Caches, restore: &DatabaseRestore) -> Result<Resolved, Vec<Problem>> {
    let namespace = restore.metadata.namespace.as_deref();
    let spec = &restore.spec;
    let objects = Objects {
        storages: of(&caches.storages, namespace, Some(&spec.backup.storage_ref.name)),
        connections: of(
            &caches.connections,
            namespace,
            spec.target.as_ref().map(|target| target.connection_ref.name.as_str()).or(Some("")),
        ),
        profiles: of(&caches.profiles, namespace, None),
    };
    let plan = resolve(restore, &objects)?;
    let queue = Queue::of(&plan, objects.connections.first());
    Ok(Resolved { plan, queue })
}

/// The objects of `namespace`; with `name`, only that one.
fn of<K>(store: &Store<K>, namespace: Option<&str>, name: Option<&str>) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let wanted = |object: &K| {
        object.meta().namespace.as_deref() == namespace
            && name.is_none_or(|name| object.meta().name.as_deref() == Some(name))
    };
    store.state_filter(wanted).iter().map(|object| K::clone(object)).collect()
}

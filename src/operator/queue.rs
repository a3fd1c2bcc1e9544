//! The queue of a server: one `Lease` with room for `maxConcurrentRestores` holders, and the memory of
//! the runs that were started on it.
//!
//! It orders runs and remembers them; what excludes is the lock in the server itself. A holder has no
//! expiry. All here is pure; [`super::apply`] writes.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::names::{
    ANNOTATION_HOLDERS, ANNOTATION_MEMORY, ANNOTATION_SERVER, LABEL_MANAGED_BY, MANAGER, digest,
};
use crate::api::{DatabaseConnection, DatabaseRestore};
use crate::plan::{EngineSettings, RestorePlan};

/// Runs that a queue remembers.
const MEMORY_LIMIT: usize = 200;
/// Databases that one remembered run names.
const DATABASES_LIMIT: usize = 4;

/// The queue of a server: its Lease, and how many runs may be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Name of the Lease.
    pub lease: String,
    /// The server or claim, for people.
    pub server: String,
    /// `maxConcurrentRestores`.
    pub places: usize,
}

impl Queue {
    /// The queue that `plan` has to stand in; `None` for mode Verify.
    pub fn of(plan: &RestorePlan, connection: Option<&DatabaseConnection>) -> Option<Self> {
        let target = plan.target.as_ref()?;
        let server = match &target.settings {
            // A claim is of its namespace.
            EngineSettings::Sqlite(sqlite) => format!("claim {}/{}", plan.namespace, sqlite.claim_name),
            EngineSettings::Postgres(server) => {
                format!("{} {}:{}", target.engine().name(), server.host, server.port)
            }
        };
        let places = connection.map_or(1, |it| it.spec.max_concurrent_restores);
        Some(Self {
            lease: format!("reinstate-queue-{}", digest(&server, 10)),
            server,
            places: usize::try_from(places).unwrap_or(1).max(1),
        })
    }
}

/// One run in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Holder {
    /// The run of `restore`.
    pub fn of(restore: &DatabaseRestore) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let meta = &restore.metadata;
        Self { namespace: text(&meta.namespace), name: text(&meta.name), uid: text(&meta.uid) }
    }

    /// `namespace/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A run that was started, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The object.
    #[serde(flatten)]
    pub run: Holder,
    /// `recreateToken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Digest of the spec without confirmations.
    pub spec: String,
    /// The first target databases.
    pub databases: Vec<String>,
}

impl Started {
    /// How the run of `restore` is remembered.
    pub fn of(restore: &DatabaseRestore) -> Self {
        let target = restore.spec.target.as_ref();
        let rows = target.and_then(|target| target.databases.as_deref()).unwrap_or_default();
        let databases = rows
            .iter()
            .take(DATABASES_LIMIT)
            .map(|row| row.to.clone().unwrap_or_else(|| row.from.clone()))
            .collect();
        let mut spec = restore.spec.clone();
        spec.overwrite.confirm = Vec::new();
        spec.overwrite.confirm_until = None;
        spec.overwrite.confirmed_plan = None;
        let text = serde_json::to_string(&spec).unwrap_or_default();
        Self {
            run: Holder::of(restore),
            token: restore.spec.recreate_token.clone(),
            spec: digest(&text, 8),
            databases,
        }
    }
}

/// What stands in a Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Who holds a place, the longest first.
    pub holders: Vec<Holder>,
    /// The runs that were started, the oldest first.
    pub memory: Vec<Started>,
}

impl Places {
    /// Reads a Lease; what cannot be read is as if it were not there.
    pub fn read(lease: &Lease) -> Self {
        let annotations = lease.metadata.annotations.as_ref();
        let text = |name: &str| annotations.and_then(|all| all.get(name)).map_or("[]", String::as_str);
        Self {
            holders: serde_json::from_str(text(ANNOTATION_HOLDERS)).unwrap_or_default(),
            memory: serde_json::from_str(text(ANNOTATION_MEMORY)).unwrap_or_default(),
        }
    }

    /// Whether the object of `uid` holds a place.
    pub fn holds(&self, uid: &str) -> bool {
        self.holders.iter().any(|holder| holder.uid == uid)
    }

    /// Gives a place to `run`, and remembers it.
    pub fn take(&mut self, run: Started) {
        if !self.holds(&run.run.uid) {
            self.holders.push(run.run.clone());
        }
        self.memory.retain(|known| known.run.uid != run.run.uid);
        self.memory.push(run);
        let surplus = self.memory.len().saturating_sub(MEMORY_LIMIT);
        self.memory.drain(..surplus);
    }

    /// Takes the place of `uid` back; one that has written nothing need not be remembered.
    pub fn free(&mut self, uid: &str, is_remembered: bool) {
        self.holders.retain(|holder| holder.uid != uid);
        if !is_remembered {
            self.memory.retain(|known| known.run.uid != uid);
        }
    }

    /// Whether another object of the same name, asked for by the same token, was started before.
    pub fn has_run_before(&self, restore: &DatabaseRestore) -> bool {
        let me = Holder::of(restore);
        self.memory.iter().any(|known| {
            known.run.namespace == me.namespace
                && known.run.name == me.name
                && known.run.uid != me.uid
                && known.token == restore.spec.recreate_token
        })
    }

    /// Writes them into the Lease of `queue`, as it was read or as a new one.
    pub fn write(&self, queue: &Queue, namespace: &str, lease: Option<&Lease>) -> Lease {
        let mut lease = lease.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(queue.lease.clone()),
                namespace: Some(namespace.to_owned()),
                labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned())])),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        lease.metadata.managed_fields = None;
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_SERVER.to_owned(), queue.server.clone());
        let holders = serde_json::to_string(&self.holders).unwrap_or_default();
        annotations.insert(ANNOTATION_HOLDERS.to_owned(), holders);
        let memory = serde_json::to_string(&self.memory).unwrap_or_default();
        annotations.insert(ANNOTATION_MEMORY.to_owned(), memory);
        lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(name: &str, uid: &str, token: Option<&str>) -> DatabaseRestore {
        let mut restore = crate::operator::test_support::restore(name, uid);
        restore.spec.recreate_token = token.map(str::to_owned);
        restore
    }

    #[test]
    fn a_recreated_object_is_known_by_its_name_unless_its_token_changed() {
        let mut places = Places::default();
        places.take(Started::of(&restore("staging", "u1", Some("1"))));
        for (name, uid, token, expected) in [
            ("staging", "u1", Some("1"), false),
            ("staging", "u2", Some("1"), true),
            ("staging", "u2", Some("2"), false),
            ("staging", "u2", None, false),
            ("other", "u2", Some("1"), false),
        ] {
            assert_eq!(places.has_run_before(&restore(name, uid, token)), expected, "{name} {uid} {token:?}");
        }
        places.free("u1", false);
        assert!(!places.has_run_before(&restore("staging", "u2", Some("1"))));
    }

    #[test]
    fn what_is_written_is_read_again_and_the_oldest_runs_are_forgotten() {
        let mut places = Places::default();
        for number in 0..MEMORY_LIMIT + 5 {
            places.take(Started::of(&restore("r", &format!("u{number}"), None)));
            places.free(&format!("u{number}"), true);
        }
        places.take(Started::of(&restore("r", "me", None)));
        places.take(Started::of(&restore("r", "me", None)));
        let queue = Queue { lease: "l".into(), server: "claim a/b".into(), places: 1 };
        let read = Places::read(&places.write(&queue, "ns", None));
        assert_eq!(read, places);
        assert_eq!((read.memory.len(), read.holders.len()), (MEMORY_LIMIT, 1));
        assert_eq!(read.memory.first().unwrap().run.uid, "u6");
        assert_eq!(Places::read(&Lease::default()), Places::default());
    }

    #[test]
    fn a_confirmation_does_not_change_what_a_run_is_remembered_by() {
        let mut confirmed = restore("r", "u", None);
        confirmed.spec.overwrite.confirm = vec!["app.db".into()];
        assert_eq!(Started::of(&confirmed).spec, Started::of(&restore("r", "u", None)).spec);
    }
}

//! What most tests need: a namespace with a bucket of real backups, their keys, a volume with an
//! application's database, and the objects that name them.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use reinstate::api::DatabaseRestore;
use reinstate::api::restore::RestoreStatus;

use super::{Namespace, Volume, bucket};
use crate::parts::minio::Bucket;
use crate::support::{PROFILE_A, PROFILE_B, fixtures};

/// An encrypted, compressed backup of a SQLite database of 2 tables and 325 rows.
pub(crate) const BACKUP: &str = "sqlite_gzip_enc_2026-11-23_01-13-52.db.gz.enc";
/// The same, neither encrypted nor compressed.
pub(crate) const PLAIN: &str = "sqlite_none_plain_2026-11-23_01-13-52.db";
/// The application's user, who owns the volume.
pub(crate) const USER: u32 = 10_007;

/// The objects of a test in its namespace.
pub(crate) struct Scene<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) volume: Volume<'a>,
    pub(crate) bucket: Bucket,
}

impl<'a> Scene<'a> {
    /// Makes them: storage `backups`, profiles `key-a` and `key-b`, connection `app` to `app.db` on the
    /// claim `data`.
    pub(crate) fn new(namespace: &'a Namespace) -> Self {
        let bucket = bucket();
        for folder in ["sqlite-gzip-enc", "sqlite-none-plain"] {
            put_all(&bucket, &fixtures().join("dbackup").join(folder));
        }
        namespace.storage("backups", &bucket);
        for (name, (_, id, key)) in [("key-a", PROFILE_A), ("key-b", PROFILE_B)] {
            namespace.apply(&format!(
                "
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{master.key: {key}}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {{name: {name}}}
spec: {{id: {id}, aes256Gcm: {{secretKeyRef: {{name: {name}, key: master.key}}}}}}
"
            ));
        }
        let volume = Volume::new(namespace, "data", USER);
        let scene = Self { namespace, volume, bucket };
        scene.connection("app", "app.db");
        scene
    }

    /// A connection to a file of the claim `data`.
    pub(crate) fn connection(&self, name: &str, path: &str) {
        self.namespace.apply(&format!(
            "
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {{name: {name}}}
spec: {{engine: SQLite, sqlite: {{claimName: data, path: {path}, runAsUser: {USER}, runAsGroup: {USER}}}}}
"
        ));
    }

    /// The manifest of a restore of [`BACKUP`] to `app`, with further lines of its spec.
    pub(crate) fn manifest(name: &str, further: &str) -> String {
        let mut text = format!(
            "apiVersion: reinstate.dev/v1alpha1\nkind: DatabaseRestore\nmetadata: {{name: {name}}}\nspec:\n"
        );
        let has = |field: &str| further.lines().any(|line| line.trim_start().starts_with(field));
        if !has("backup:") {
            text.push_str(&format!("  backup: {{storageRef: {{name: backups}}, path: {BACKUP}}}\n"));
        }
        if !has("target:") && !further.contains("mode: Verify") {
            text.push_str("  target: {connectionRef: {name: app}}\n");
        }
        for line in further.lines() {
            text.push_str(&format!("  {}\n", line.trim_start()));
        }
        text
    }

    /// Creates a restore.
    #[track_caller]
    pub(crate) fn restore(&self, name: &str, further: &str) {
        self.namespace.apply(&Self::manifest(name, further));
    }

    /// Changes the spec of a restore by a JSON merge patch.
    #[track_caller]
    pub(crate) fn change(&self, name: &str, spec: &str) {
        let patch = format!("{{\"spec\": {spec}}}");
        self.namespace.kubectl(&["patch", "dbr", name, "--type=merge", "--patch", &patch]).expect(0, &[]);
    }

    /// Waits until the restore has ended.
    #[track_caller]
    pub(crate) fn ended(&self, name: &str) -> RestoreStatus {
        self.when(name, "has ended", |status| status.completion_time.is_some())
    }

    /// Waits until its phase is `phase`.
    #[track_caller]
    pub(crate) fn phase(&self, name: &str, phase: &str) -> RestoreStatus {
        self.when(name, &format!("is {phase}"), |status| {
            status.phase.is_some_and(|it| format!("{it:?}") == phase)
        })
    }

    /// Waits until `condition` holds for its status.
    #[track_caller]
    pub(crate) fn when(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&RestoreStatus) -> bool + Send + Sync,
    ) -> RestoreStatus {
        let restore = self.namespace.wait_for::<DatabaseRestore>(name, what, |restore| {
            restore.status.as_ref().is_some_and(&condition)
        });
        restore.status.unwrap()
    }

    /// The restore as it is now.
    pub(crate) fn get(&self, name: &str) -> DatabaseRestore {
        self.namespace.get(name).unwrap()
    }

    /// The pods of a restore's newest attempt.
    pub(crate) fn pods(&self, name: &str) -> Vec<Pod> {
        let restore = self.get(name);
        self.namespace.list(&format!("reinstate.dev/restore-uid={}", restore.uid().unwrap()))
    }

    /// Puts an application's database of `rows` rows into the volume.
    pub(crate) fn database(&self, path: &str, rows: i64) {
        let file = self.volume.path(path);
        let database = rusqlite::Connection::open(&file).unwrap();
        database.execute_batch("CREATE TABLE IF NOT EXISTS old (number INTEGER)").unwrap();
        for number in 0..rows {
            database.execute("INSERT INTO old VALUES (?1)", [number]).unwrap();
        }
        drop(database);
        self.volume.give(&file);
    }

    /// The tables of a database in the volume.
    pub(crate) fn tables(&self, path: &str) -> Vec<String> {
        let database = rusqlite::Connection::open(self.volume.path(path)).unwrap();
        let mut statement =
            database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// Puts all files of a folder into the bucket.
fn put_all(bucket: &Bucket, folder: &Path) {
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        bucket.put(entry.file_name().to_str().unwrap(), &std::fs::read(entry.path()).unwrap());
    }
}

/// The status of a condition with its reason, such as `True/Restored`.
pub(crate) fn condition(status: &RestoreStatus, kind: &str) -> String {
    let found = status.conditions.iter().find(|it| it.type_ == kind);
    found.map_or_else(|| "absent".to_owned(), |it| format!("{}/{}", it.status, it.reason))
}

/// The message of a condition.
pub(crate) fn message(status: &RestoreStatus, kind: &str) -> String {
    let found = status.conditions.iter().find(|it| it.type_ == kind);
    found.map_or_else(String::new, |it| it.message.clone())
}

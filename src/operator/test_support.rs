//! Objects for the tests of this module.

use crate::api::DatabaseRestore;

/// A restore of an encrypted backup to a SQLite file, with its defaults.
pub(crate) fn restore(name: &str, uid: &str) -> DatabaseRestore {
    let object = serde_json::json!({
        "apiVersion": "reinstate.dev/v1alpha1",
        "kind": "DatabaseRestore",
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid, "generation": 1,
            "creationTimestamp": "2026-11-24T00:00:00Z",
        },
        "spec": {
            "backup": {"storageRef": {"name": "backups"}, "path": "app.db.enc"},
            "target": {"connectionRef": {"name": "app"}},
        },
    });
    serde_json::from_value(object).unwrap()
}

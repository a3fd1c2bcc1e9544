//! Writes the status, and only where it says something new.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::context::Context;
use super::error::{Error, Result};
use super::names::MANAGER;
use crate::api::restore::RestoreStatus;
use crate::api::{API_VERSION, DatabaseRestore};

/// Writes `status`. The object must still be the one that was decided on: uid and resourceVersion go
/// along, so an answer to an older one is refused. Gives back the object as it is now.
pub async fn publish(
    context: &Context,
    restore: &DatabaseRestore,
    status: &RestoreStatus,
) -> Result<DatabaseRestore> {
    if restore.status.as_ref() == Some(status) {
        return Ok(restore.clone());
    }
    let name = restore.name_any();
    let namespace = restore.namespace().unwrap_or_default();
    let patch = json!({
        "apiVersion": API_VERSION,
        "kind": "DatabaseRestore",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": restore.metadata.uid,
            "resourceVersion": restore.metadata.resource_version,
        },
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let api: Api<DatabaseRestore> = Api::namespaced(context.shared.client.clone(), &namespace);
    api.patch_status(&name, &parameters, &Patch::Apply(&patch))
        .await
        .map_err(Error::write("write the status of", &name))
}

//! The definitions of all kinds as they are printed and applied.
//!
//! What kube's derive gives is corrected here: no field is `nullable` (a `null` would pass
//! `has()`), and a new object's status starts with `observedGeneration: -1`, so that tools wait.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{BackupStorage, DatabaseConnection, DatabaseRestore, EncryptionProfile};

/// The kinds of this API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One run.
    DatabaseRestore,
    /// A storage destination.
    BackupStorage,
    /// A target source.
    DatabaseConnection,
    /// A key.
    EncryptionProfile,
}

impl Kind {
    /// All kinds, in the order in which they are printed.
    pub const ALL: [Self; 4] =
        [Self::DatabaseRestore, Self::BackupStorage, Self::DatabaseConnection, Self::EncryptionProfile];

    /// The name as it stands in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DatabaseRestore => "DatabaseRestore",
            Self::BackupStorage => "BackupStorage",
            Self::DatabaseConnection => "DatabaseConnection",
            Self::EncryptionProfile => "EncryptionProfile",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The plural in lower case, as in URLs and file names.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::DatabaseRestore => "databaserestores",
            Self::BackupStorage => "backupstorages",
            Self::DatabaseConnection => "databaseconnections",
            Self::EncryptionProfile => "encryptionprofiles",
        }
    }

    fn derived(self) -> CustomResourceDefinition {
        match self {
            Self::DatabaseRestore => DatabaseRestore::crd(),
            Self::BackupStorage => BackupStorage::crd(),
            Self::DatabaseConnection => DatabaseConnection::crd(),
            Self::EncryptionProfile => EncryptionProfile::crd(),
        }
    }

    /// The `CustomResourceDefinition`, as a document.
    pub fn definition(self) -> Result<Value, serde_json::Error> {
        let mut definition = serde_json::to_value(self.derived())?;
        let versions = definition.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
        for version in versions.into_iter().flatten() {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                forbid_null(schema);
            }
            if let Some(status) = version.pointer_mut("/schema/openAPIV3Schema/properties/status")
                && let Some(status) = status.as_object_mut()
            {
                status.insert("default".to_owned(), json!({"observedGeneration": -1}));
            }
        }
        Ok(definition)
    }

    /// The schema of an object of this kind.
    pub fn schema(self) -> Result<Value, serde_json::Error> {
        let mut definition = self.definition()?;
        Ok(definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").map_or(Value::Null, Value::take))
    }
}

/// Removes `nullable` from a schema and all schemas in it.
fn forbid_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("nullable");
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(forbid_null);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            forbid_null(inner);
        }
    }
    for key in ["anyOf", "allOf", "oneOf"] {
        object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(forbid_null);
    }
}

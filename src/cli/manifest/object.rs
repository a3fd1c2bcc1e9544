//! One document of our kinds: every field known, every limit kept, every rule true.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::cel::Validator;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::ManifestReader;
use crate::api::limits::{self, Violation};
use crate::api::schema::Kind;
use crate::api::{
    BackupStorage, BackupStorageSpec, DatabaseConnection, DatabaseConnectionSpec, DatabaseRestore,
    DatabaseRestoreSpec, EncryptionProfile, EncryptionProfileSpec, RestoreStatus,
};

impl ManifestReader {
    /// The metadata of a document, with a name; the namespace is filled in.
    pub(super) fn metadata(&mut self, place: &str, value: Value) -> Option<ObjectMeta> {
        if !value.is_object() {
            self.problem(place, "metadata", "is required");
            return None;
        }
        let mut metadata: ObjectMeta = self.typed(place, "metadata", value)?;
        let name = metadata.name.clone().unwrap_or_default();
        if !is_name(&name, 253, true) {
            let message = if name.is_empty() {
                "is required"
            } else {
                "is not a name: at most 253 lower-case letters, digits, `-` and `.`"
            };
            self.problem(place, "metadata.name", message);
            return None;
        }
        let namespace = crate::plan::namespace_of(&metadata).to_owned();
        if !is_name(&namespace, 63, false) {
            let message = "is not a namespace: at most 63 lower-case letters, digits and `-`";
            self.problem(place, "metadata.namespace", message);
            return None;
        }
        metadata.namespace = Some(namespace);
        Some(metadata)
    }

    /// Checks a document of one of our kinds and takes it.
    pub(super) fn add_object(
        &mut self,
        place: &str,
        kind: Kind,
        metadata: ObjectMeta,
        mut fields: Map<String, Value>,
    ) {
        let before = self.problems.len();
        let spec = fields.remove("spec");
        let status = fields.remove("status");
        fields.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind"));
        self.unknown(place, &fields, &["apiVersion", "kind", "metadata", "spec"]);
        let Some(spec) = spec else { return self.problem(place, "spec", "is required") };
        if let Some(schema) = self.schema(place, kind) {
            self.check(place, &schema, &spec, status.as_ref());
        }
        if self.problems.len() > before {
            return;
        }
        match kind {
            Kind::DatabaseRestore => {
                // The status of a manifest is the record of another run: it is checked, not taken.
                if let Some(status) = status {
                    let _: Option<RestoreStatus> = self.typed(place, "status", status);
                }
                let spec: Option<DatabaseRestoreSpec> = self.typed(place, "spec", spec);
                let made = spec.map(|spec| DatabaseRestore { metadata, spec, status: None });
                self.manifests.restores.extend(made);
            }
            Kind::BackupStorage => {
                let spec: Option<BackupStorageSpec> = self.typed(place, "spec", spec);
                self.manifests.objects.storages.extend(spec.map(|spec| BackupStorage { metadata, spec }));
            }
            Kind::DatabaseConnection => {
                let spec: Option<DatabaseConnectionSpec> = self.typed(place, "spec", spec);
                let made = spec.map(|spec| DatabaseConnection { metadata, spec });
                self.manifests.objects.connections.extend(made);
            }
            Kind::EncryptionProfile => {
                let spec: Option<EncryptionProfileSpec> = self.typed(place, "spec", spec);
                let made = spec.map(|spec| EncryptionProfile { metadata, spec });
                self.manifests.objects.profiles.extend(made);
            }
        }
    }

    /// The limits first; the rules only where the limits are kept, as they rely on types.
    fn check(&mut self, place: &str, schema: &Value, spec: &Value, status: Option<&Value>) {
        let part = |name: &str| schema.pointer(&format!("/properties/{name}"));
        let mut found = Vec::new();
        if let Some(schema) = part("spec") {
            found.extend(limits::check(schema, spec, "spec"));
        }
        match (part("status"), status) {
            (Some(schema), Some(status)) => found.extend(limits::check(schema, status, "status")),
            (None, Some(_)) => self.problem(place, "status", "is not a known field"),
            (_, None) => {}
        }
        if found.is_empty() {
            let object = json!({"spec": spec});
            if let Err(errors) = Validator::new().validate(schema, &object, None) {
                found.extend(errors.into_iter().map(|error| Violation {
                    path: error.field_path,
                    message: format!("breaks a rule: {}", error.message),
                    unknown: false,
                }));
            }
        }
        for violation in found {
            self.problem(place, &violation.path, violation.message);
        }
    }

    fn schema(&mut self, place: &str, kind: Kind) -> Option<Value> {
        if let Some(schema) = self.schemas.get(&kind) {
            return Some(schema.clone());
        }
        match kind.schema() {
            Ok(schema) => Some(self.schemas.entry(kind).or_insert(schema).clone()),
            Err(error) => {
                self.problem(place, "", format!("failed to make the schema: {error}"));
                None
            }
        }
    }

    /// `fields` are those that nobody took.
    pub(super) fn unknown(&mut self, place: &str, fields: &Map<String, Value>, known: &[&str]) {
        for name in fields.keys() {
            let message = limits::unknown_field(name, known.iter().copied());
            self.problem(place, &limits::shown(name), message);
        }
    }

    /// `value` as a `T`; a field that `T` does not know is a problem, too.
    fn typed<T: DeserializeOwned>(&mut self, place: &str, path: &str, value: Value) -> Option<T> {
        let mut unknown = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
        let mut note = |ignored: serde_ignored::Path<'_>| unknown.push(joined(path, &ignored));
        let result = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
        for field in unknown {
            self.problem(place, &field, "is not a known field");
        }
        match result {
            Ok(typed) => Some(typed),
            Err(error) => {
                let inner = track.path().to_string();
                let field = if inner == "." { path.to_owned() } else { format!("{path}.{inner}") };
                self.problem(place, &field, format!("cannot be read: {error}"));
                None
            }
        }
    }
}

/// The path of an ignored field below `root`, written as in all other messages.
fn joined(root: &str, path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => root.to_owned(),
        Path::Seq { parent, index } => format!("{}[{index}]", joined(root, parent)),
        Path::Map { parent, key } => format!("{}.{}", joined(root, parent), limits::shown(key)),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            joined(root, parent)
        }
    }
}

/// Whether `text` is a DNS label, or with `dots` a DNS subdomain.
pub(super) fn is_name(text: &str, longest: usize, dots: bool) -> bool {
    let label = |part: &str| {
        let ok = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(ok) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= longest && if dots { text.split('.').all(label) } else { label(text) }
}

//! A `Secret` document, read as Kubernetes does: `data` is base64, `stringData` is text and wins.
//!
//! Values go straight into guarded memory; messages name keys only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Header, ManifestReader};
use crate::plan::SecretData;
use crate::secret::Secret;

/// What Kubernetes stores in one Secret at most, in bytes.
const SECRET_LIMIT_BYTES: usize = 1024 * 1024;

impl ManifestReader {
    /// Checks a Secret and takes it.
    pub(super) fn add_secret(&mut self, place: &str, header: &Header, mut fields: Map<String, Value>) {
        let before = self.problems.len();
        fields.retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind"));
        let data = fields.remove("data");
        let text = fields.remove("stringData");
        if fields.remove("type").is_some_and(|value| !value.is_string()) {
            self.problem(place, "type", "must be text");
        }
        if fields.remove("immutable").is_some_and(|value| !value.is_boolean()) {
            self.problem(place, "immutable", "must be true or false");
        }
        self.unknown(place, &fields, &["data", "stringData", "type", "immutable", "metadata"]);
        let mut values = SecretData::new();
        for (key, value) in self.entries(place, "data", data) {
            match decode(&value) {
                Some(bytes) => _ = values.insert(key, bytes),
                None => self.problem(
                    place,
                    &format!("data.{key}"),
                    "is not base64; write plain text under stringData",
                ),
            }
        }
        for (key, value) in self.entries(place, "stringData", text) {
            values.insert(key, Secret::new(value.as_bytes().to_vec()));
        }
        let size: usize = values.values().map(|value| value.expose().len()).sum();
        if size > SECRET_LIMIT_BYTES {
            self.problem(place, "", "is larger than 1 MiB, the most that a Secret can hold");
        }
        if self.problems.len() == before {
            let secrets = self.manifests.secrets.entry(header.namespace.clone()).or_default();
            secrets.insert(header.name.clone(), values);
        }
    }

    /// The entries of `data` or `stringData`; each must be text under a fitting key.
    fn entries(
        &mut self,
        place: &str,
        field: &str,
        value: Option<Value>,
    ) -> Vec<(String, Zeroizing<String>)> {
        let entries = match value {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                self.problem(place, field, "must be a mapping");
                return Vec::new();
            }
        };
        let mut good = Vec::new();
        for (key, value) in entries {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if key.is_empty() || key.len() > 253 || !key.bytes().all(fits) {
                let message = "has a key that is not made of letters, digits, `-`, `_` and `.`";
                self.problem(place, field, message);
            } else if let Value::String(text) = value {
                good.push((key, Zeroizing::new(text)));
            } else {
                let message = "must be text; put numbers, true and false in quotes";
                self.problem(place, &format!("{field}.{key}"), message);
            }
        }
        good
    }
}

/// Base64 as Kubernetes reads it: standard alphabet, padded, line breaks ignored.
fn decode(text: &str) -> Option<Secret<Vec<u8>>> {
    let packed: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect());
    STANDARD.decode(packed.as_bytes()).ok().map(Secret::new)
}

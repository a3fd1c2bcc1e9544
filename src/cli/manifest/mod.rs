//! Reads manifests as strictly as an API server would, and reports all that is wrong at once.
//!
//! Files of several YAML documents come in; typed objects and Secrets come out. An unknown field, an
//! unknown kind, a value over its limit, a broken rule or a duplicate is an error with file, document
//! and path. No message holds the value of a Secret.

mod object;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::api::schema::Kind;
use crate::api::{API_VERSION, DatabaseRestore};
use crate::plan::{MemorySecrets, Objects};
use crate::reason::Reason;

/// The largest file that is read, in bytes.
pub const FILE_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// What manifests hold.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The runs that are asked for, in the order of the files.
    pub restores: Vec<DatabaseRestore>,
    /// What they may refer to.
    pub objects: Objects,
    secrets: BTreeMap<String, MemorySecrets>,
}

impl Manifests {
    /// The Secrets of a namespace.
    pub fn secrets(&self, namespace: &str) -> MemorySecrets {
        self.secrets.get(namespace).cloned().unwrap_or_default()
    }
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestProblem {
    /// File, document and object, such as `restore.yaml, document 2, DatabaseRestore staging`.
    pub place: String,
    /// The stable reason.
    pub reason: Reason,
    /// Path of the field; empty where it is the whole document.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {} {}", self.place, self.field, self.message)
        }
    }
}

/// Takes manifests file by file; [`ManifestReader::finish`] gives all of it, or all problems.
#[derive(Debug, Default)]
pub struct ManifestReader {
    manifests: Manifests,
    problems: Vec<ManifestProblem>,
    seen: BTreeSet<(String, String, String)>,
    schemas: BTreeMap<Kind, Value>,
}

/// What a document calls itself.
struct Header {
    kind: DocumentKind,
    name: String,
    namespace: String,
}

#[derive(Clone, Copy)]
enum DocumentKind {
    Ours(Kind),
    Secret,
}

impl DocumentKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours(kind) => kind.name(),
            Self::Secret => "Secret",
        }
    }
}

impl ManifestReader {
    /// Reads a file.
    pub fn add_file(&mut self, path: &Path) {
        let place = path.display().to_string();
        match File::open(path) {
            Ok(mut file) => self.add(&place, &mut file),
            Err(error) => self.problem(&place, "", format!("failed to open: {error}")),
        }
    }

    /// Reads what `reader` gives; `name` stands for it in messages.
    pub fn add(&mut self, name: &str, reader: &mut dyn Read) {
        match read_text(reader) {
            Ok(text) => self.add_text(name, &text),
            Err(message) => self.problem(name, "", message),
        }
    }

    /// All that was read, or all that is wrong with it.
    pub fn finish(self) -> Result<Manifests, Vec<ManifestProblem>> {
        if self.problems.is_empty() { Ok(self.manifests) } else { Err(self.problems) }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        let documents = match parse(text) {
            Ok(documents) => documents,
            Err(message) => return self.problem(name, "", message),
        };
        for (index, document) in documents.into_iter().enumerate() {
            let place = format!("{name}, document {}", index + 1);
            self.add_document(&place, document);
        }
    }

    fn add_document(&mut self, place: &str, document: Value) {
        let Value::Object(mut fields) = document else {
            return self.problem(place, "", "is not a mapping");
        };
        let Some(kind) = self.kind_of(place, &fields) else { return };
        let named = format!("{place}, {}", kind.name());
        let metadata = fields.remove("metadata").unwrap_or(Value::Null);
        let Some(metadata) = self.metadata(&named, metadata) else { return };
        let header = Header {
            kind,
            name: metadata.name.clone().unwrap_or_default(),
            namespace: crate::plan::namespace_of(&metadata).to_owned(),
        };
        let place = format!("{named} {}", header.name);
        let id = (kind.name().to_owned(), header.namespace.clone(), header.name.clone());
        if !self.seen.insert(id) {
            let message = format!("is there twice in namespace {}", header.namespace);
            self.problem(&place, "", message);
        }
        match header.kind {
            DocumentKind::Secret => self.add_secret(&place, &header, fields),
            DocumentKind::Ours(kind) => self.add_object(&place, kind, metadata, fields),
        }
    }

    fn kind_of(&mut self, place: &str, fields: &serde_json::Map<String, Value>) -> Option<DocumentKind> {
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        match (text("apiVersion"), text("kind")) {
            (Some("v1"), Some("Secret")) => Some(DocumentKind::Secret),
            (Some(API_VERSION), Some(name)) if Kind::from_name(name).is_some() => {
                Kind::from_name(name).map(DocumentKind::Ours)
            }
            (Some(version), Some(kind)) => {
                let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                let message = format!(
                    "{kind:?} of {version:?} is not known here; known are {} of {API_VERSION}, and Secret of v1",
                    known.join(", ")
                );
                self.problem(place, "", message);
                None
            }
            (version, _) => {
                let field = if version.is_none() { "apiVersion" } else { "kind" };
                self.problem(place, field, "is required, as text");
                None
            }
        }
    }

    fn problem(&mut self, place: &str, field: &str, message: impl Into<String>) {
        self.problems.push(ManifestProblem {
            place: place.to_owned(),
            reason: Reason::InvalidSpec,
            field: field.to_owned(),
            message: message.into(),
        });
    }
}

/// All of `reader` as text, up to the limit; wiped when dropped, as it may hold Secrets.
fn read_text(reader: &mut dyn Read) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read: io::Result<usize> = reader.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| format!("failed to read: {error}"))?;
    if read as u64 > FILE_LIMIT_BYTES {
        return Err(format!("is larger than {} MiB", FILE_LIMIT_BYTES / 1024 / 1024));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.trim_start_matches('\u{feff}').to_owned())),
        Err(error) => Err(format!("is not UTF-8 text, from byte {}", error.valid_up_to())),
    }
}

/// The documents of a stream, empty ones left out.
fn parse(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        // A snippet would show the lines around the error, which may be a Secret's.
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_documents: 256,
            max_nodes: 100_000,
            max_aliases: 256,
            max_anchors: 256,
            max_total_scalar_bytes: 16 * 1024 * 1024,
            max_recorded_anchor_events: 10_000,
            max_recorded_anchor_bytes: 1024 * 1024,
            max_depth: 48,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| yaml_message(&error))
}

/// What is wrong with a text as YAML; never what stands in it.
fn yaml_message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let what = match error {
        Error::UnsupportedTag { .. } => {
            "has a tag that is not known; put values that start with `!` in quotes".to_owned()
        }
        Error::UnknownAnchor { .. } => {
            "has an alias without an anchor; put values that start with `*` in quotes".to_owned()
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "is over a limit for manifests (depth, documents, aliases or size)".to_owned()
        }
        Error::DuplicateMappingKey { .. } => "has the same key twice in one mapping".to_owned(),
        // The parser says what it expected; of the text it names one character at most.
        Error::ExternalMessage { msg, .. } => format!("is not valid YAML ({msg})"),
        _ => "is not valid YAML".to_owned(),
    };
    match error.location() {
        Some(location) => format!("{what}, at line {}, column {}", location.line(), location.column()),
        None => what,
    }
}

//! The audit log of the own cluster's API server: who asked for what, and what was answered.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use super::cluster;

/// One request. What it did not name is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) user: String,
    pub(crate) verb: String,
    /// API group; empty for the core.
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) url: String,
    /// Status code of the answer; 200 of a watch that goes on.
    pub(crate) code: u64,
}

/// The log from a moment on.
pub(crate) struct Audit {
    file: PathBuf,
    begin: u64,
}

impl Audit {
    /// From now on; `None` on a cluster of the user's.
    pub(crate) fn from_now() -> Option<Self> {
        let file = cluster().folder.as_ref()?.join("audit.log");
        Some(Self { begin: file.metadata().unwrap().len(), file })
    }

    /// Requests of the account `namespace`/`name` that were answered so far.
    pub(crate) fn of_account(&self, namespace: &str, name: &str) -> Vec<Request> {
        let user = format!("system:serviceaccount:{namespace}:{name}");
        self.requests().into_iter().filter(|request| request.user == user).collect()
    }

    /// All requests that were answered so far; a watch counts once it has begun.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let mut file = std::fs::File::open(&self.file).unwrap();
        file.seek(SeekFrom::Start(self.begin)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // The last line may be in the making.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| request(&serde_json::from_str(line).unwrap())).collect()
    }
}

fn request(event: &Value) -> Option<Request> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let verb = text("/verb");
    // A watch is told twice: when it begins, and when it ends.
    let wanted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    (text("/stage") == wanted).then(|| Request {
        user: text("/user/username"),
        group: text("/objectRef/apiGroup"),
        resource: text("/objectRef/resource"),
        subresource: text("/objectRef/subresource"),
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        url: text("/requestURI"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
        verb,
    })
}

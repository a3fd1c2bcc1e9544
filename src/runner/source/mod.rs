//! Where backups are stored: a local folder or an S3 bucket behind one trait.
//!
//! A [`Store`] knows paths below its root and never what is in them. Reads are pinned: the object
//! that was looked at first is the only one that is read, or the read fails with `SourceChanged`.

mod folder;
mod s3;

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

pub use folder::Folder;
pub use s3::{DEFAULT_STALL, RangeReader, S3, S3Credentials, S3Options};

/// What identifies one stored object, so that no other is read in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// A file: it is the same while all four are the same.
    File {
        /// Device number.
        device: u64,
        /// Inode number.
        inode: u64,
        /// Modification time, nanoseconds since 1970.
        modified: i128,
        /// Bytes.
        size: u64,
    },
    /// An object of an object store.
    Object {
        /// Entity tag, quotes included, as the server gave it.
        etag: String,
        /// Version, where the bucket keeps versions.
        version_id: Option<String>,
        /// Bytes.
        size: u64,
    },
}

impl Pin {
    /// The entity tag; for a file it is made as web servers do. Device and inode are no part of it:
    /// the same volume may have others on another node.
    pub fn etag(&self) -> String {
        match self {
            Self::File { modified, size, .. } => format!("{modified:x}-{size:x}"),
            Self::Object { etag, .. } => etag.clone(),
        }
    }

    /// The version, where there is one.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::File { .. } => None,
            Self::Object { version_id, .. } => version_id.as_deref(),
        }
    }
}

/// What a store says of one object.
#[derive(Clone, Debug)]
pub struct ObjectStat {
    /// Bytes.
    pub size: u64,
    /// Identity for the reads that follow.
    pub pin: Pin,
    /// Last modification.
    pub modified: Option<Timestamp>,
}

/// One row of a listing.
#[derive(Clone, Debug)]
pub struct ListedObject {
    /// Path below the store's root, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Last modification.
    pub modified: Option<Timestamp>,
}

/// How several may read one object at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readers {
    /// How many, at most: what each takes beside its share of buffers is memory, too.
    pub limit: usize,
    /// Bytes in a row from which on another reader is worth what it costs to begin one.
    pub worth_bytes: u64,
    /// Reading a part once more costs nothing but time of the machine.
    pub is_near: bool,
}

/// A storage destination. All calls block; S3 keeps its own runtime behind them.
pub trait Store: Send + Sync {
    /// The destination for messages, such as `s3://backups/dbackup/` or a folder; no credentials.
    fn describe(&self) -> String;

    /// Looks at one object. `SourceNotFound` where there is none.
    fn stat(&self, path: &str) -> Result<ObjectStat>;

    /// Reads `range` of the object that `pin` names; `SourceChanged` if it is another by now.
    /// The reader ends after exactly `range` or fails: it never ends early without an error.
    fn open(&self, path: &str, pin: &Pin, range: Range<u64>, cancel: &Cancel)
    -> Result<Box<dyn Read + Send>>;

    /// How several may read one object at the same time; `None`: one alone does.
    fn readers(&self) -> Option<Readers> {
        None
    }

    /// As [`Store::open`], for one of so many readers at the same time.
    fn open_shared(
        &self,
        path: &str,
        pin: &Pin,
        range: Range<u64>,
        (_readers, cancel): (usize, &Cancel),
    ) -> Result<Box<dyn Read + Send>> {
        self.open(path, pin, range, cancel)
    }

    /// All objects whose path starts with `prefix`, at most `limit` (more is `LimitExceeded`),
    /// sorted by path.
    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<ListedObject>>;

    /// A small object as a whole, `None` where there is none; `LimitExceeded` above `limit` bytes.
    fn read_small(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let stat = match self.stat(path) {
            Ok(stat) => stat,
            Err(fault) if fault.reason == Reason::SourceNotFound => return Ok(None),
            Err(fault) => return Err(fault),
        };
        if stat.size > limit {
            let message =
                format!("{path} in {} has {} bytes, over the limit of {limit}", self.describe(), stat.size);
            return Err(Fault::new(Stage::Download, Reason::LimitExceeded, message));
        }
        let mut content = Vec::new();
        self.open(path, &stat.pin, 0..stat.size, &Cancel::never())?
            .take(limit)
            .read_to_end(&mut content)
            .map_err(|error| {
                let what = format!("failed to read {path} in {}", self.describe());
                Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, &what)
            })?;
        Ok(Some(content))
    }
}

/// One stored backup: a store and a path in it.
#[derive(Clone)]
pub struct Artifact {
    /// The destination.
    pub store: Arc<dyn Store>,
    /// Path below the destination's root.
    pub path: String,
}

impl Artifact {
    /// The backup for messages.
    pub fn describe(&self) -> String {
        let root = self.store.describe();
        if root.ends_with('/') { format!("{root}{}", self.path) } else { format!("{root}/{}", self.path) }
    }

    /// The object beside this one whose name has `suffix` appended, such as `.meta.json`.
    pub fn sibling(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.path)
    }
}

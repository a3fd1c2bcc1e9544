//! Reading a backup twice: pass 1 proves it and takes the inventory, pass 2 gives its databases to
//! an engine and lets pass only what pass 1 saw.
//!
//! This is where source, cipher, codec and format are put together, and the only place.

mod again;
mod chain;
mod pace;
mod reopen;
mod seekable;
mod walk;
mod whole;

use std::sync::Arc;

use jiff::Timestamp;

use crate::reason::Reason;
use crate::runner::cipher::{AesKey, AgeKey};
use crate::runner::codec::{Codec, Limits};
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::SIDECAR_SUFFIX;
use crate::runner::format::dbackup::seal::ArchiveKeys;
use crate::runner::format::dbackup::sidecar::{self, Sidecar};
use crate::runner::inventory::{DatabaseEntry, DumpFormat, Proof, SourceEngine};
use crate::runner::keys::{Candidate, KeyRing};
use crate::runner::meter::{Region, Sha256};
use crate::runner::source::{Artifact, ObjectStat, Pin};

/// How much of a backup pass 1 has to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it, files and the other archives of a chain included.
    Everything,
    /// The databases with these names, or all databases. Of a seekable archive whose entries prove
    /// themselves only their ranges are read.
    Databases(Option<Vec<String>>),
}

/// What the request says of the backup.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much to prove.
    pub scope: Scope,
    /// The compression, where the request states it.
    pub compression: Option<Codec>,
    /// The dump's format, where the request states it.
    pub format: Option<DumpFormat>,
    /// The stored file's SHA-256, where the request states it.
    pub checksum: Option<Sha256>,
    /// Accept a backup without proof of being whole.
    pub allow_unproven: bool,
    /// Add up the rows of each table, so that they can be compared with the loaded ones.
    pub digests: bool,
    /// How far it may grow.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scope: Scope::Everything,
            compression: None,
            format: None,
            checksum: None,
            allow_unproven: false,
            digests: false,
            limits: Limits::default(),
        }
    }
}

/// A backup to be read, and what with.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where it lies.
    pub artifact: &'a Artifact,
    /// The object that was looked at before, where it was: no other one is read then.
    pub stat: Option<&'a ObjectStat>,
    /// The keys at hand.
    pub keys: &'a KeyRing,
    /// What the request says of it.
    pub options: &'a Options,
    /// Cancel and progress.
    pub context: &'a Context,
}

/// How the backup is sealed, and what opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// `age` or `AES-256-GCM`.
    pub algorithm: &'static str,
    /// The profile whose key fitted.
    pub profile: String,
    /// It was found by trying, not by name or id.
    pub discovered: bool,
}

/// A backup that pass 1 read and proved.
pub struct Examined {
    /// Where it lies.
    pub artifact: Artifact,
    /// Stored bytes.
    pub size: u64,
    /// Its identity.
    pub pin: Pin,
    /// Its sidecar, if it has one.
    pub sidecar: Option<Sidecar>,
    /// SHA-256 of the stored file, where all of it was read.
    pub stored_sha256: Option<Sha256>,
    /// It is DBackup's: it has a sidecar or a manifest of it.
    pub dbackup: bool,
    /// The outer compression; `None` where entries have their own.
    pub codec: Codec,
    /// Bytes of the decoder's window that one reader of it needs.
    pub window_bytes: u64,
    /// Its seal.
    pub encryption: Option<Encryption>,
    /// What shows that it is whole.
    pub proof: Option<Proof>,
    /// The engine that it comes from.
    pub engine: Option<SourceEngine>,
    /// That server's version.
    pub engine_version: Option<String>,
    /// SHA-256 and size of the decoded content, of whole-file backups.
    pub decoded: Option<(Sha256, u64)>,
    /// Its databases.
    pub databases: Vec<DatabaseEntry>,
    /// Files in it, of seekable archives.
    pub files: Option<u64>,
    /// Things a person should know.
    pub warnings: Vec<String>,
    layout: Layout,
}

/// How pass 2 finds each database again.
enum Layout {
    Whole { region: Arc<Region>, unseal: Unseal, places: Vec<(u64, u64)>, limits: Limits },
    Seekable { keys: Option<ArchiveKeys>, places: Vec<seekable::Place>, limits: Limits },
}

/// What undoes the seal of a whole-file backup.
#[derive(Clone)]
enum Unseal {
    Plain,
    Gcm { key: AesKey, iv: Vec<u8>, tag: [u8; 16] },
    Age { key: AgeKey },
}

impl Examined {
    /// When the backup was made, as its sidecar says.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.sidecar.as_ref().and_then(|sidecar| sidecar.timestamp)
    }

    /// Its compression: of the whole file, or what the sidecar says of a seekable archive's entries.
    pub fn compression(&self) -> Option<Codec> {
        match &self.layout {
            Layout::Whole { .. } => Some(self.codec),
            Layout::Seekable { places, .. } => {
                let archive = self.sidecar.as_ref().and_then(|sidecar| sidecar.archive.as_ref());
                let stated = archive.and_then(|archive| archive.compression);
                stated.or_else(|| places.first().map(|(_, part)| part.codec))
            }
        }
    }

    /// What the backup is: `DBackup` or the format of its one dump.
    pub fn format(&self) -> Option<DumpFormat> {
        self.databases.first().map(|database| database.format)
    }
}

/// Pass 1: reads the backup, proves it and takes the inventory. Nothing is written anywhere.
pub fn examine(request: Request<'_>) -> Result<Examined> {
    let stat = match request.stat {
        Some(stat) => stat.clone(),
        None => request.artifact.store.stat(&request.artifact.path)?,
    };
    if stat.size == 0 {
        let message = format!("{} is empty: 0 bytes", request.artifact.describe());
        return Err(Fault::new(Stage::Download, Reason::Truncated, message));
    }
    let sidecar = read_sidecar(request.artifact)?;
    let opened = Opened { request, stat, sidecar };
    let mut examined = match opened.judged(|| seekable::head(&opened))? {
        Some(head) => seekable::examine(&opened, &head)?,
        None => whole::examine(&opened)?,
    };
    settle_proof(&opened, &mut examined)?;
    Ok(examined)
}

/// Reads and parses the sidecar, if there is one.
pub fn read_sidecar(artifact: &Artifact) -> Result<Option<Sidecar>> {
    let path = artifact.sibling(SIDECAR_SUFFIX);
    artifact.store.read_small(&path, sidecar::LIMIT_BYTES)?.map(|data| Sidecar::parse(&data)).transpose()
}

fn settle_proof(opened: &Opened<'_>, examined: &mut Examined) -> Result<()> {
    let all_end = || !examined.databases.is_empty() && examined.databases.iter().all(|d| d.facts.trailer);
    if examined.proof.is_none() && all_end() {
        examined.proof = Some(Proof::Trailer);
    }
    if examined.proof.is_none() && !opened.request.options.allow_unproven {
        let message = format!(
            "nothing proves that {} is whole: it has no tag, no checksum and no end mark",
            examined.artifact.describe()
        );
        return Err(Fault::new(Stage::Inspect, Reason::Unproven, message));
    }
    Ok(())
}

/// The request with what was looked up first.
struct Opened<'a> {
    request: Request<'a>,
    stat: ObjectStat,
    sidecar: Option<Sidecar>,
}

impl Opened<'_> {
    /// The SHA-256 that the stored file must have: the request's, else the sidecar's.
    fn expected(&self) -> Option<Sha256> {
        self.request.options.checksum.or_else(|| self.sidecar.as_ref().and_then(|sidecar| sidecar.checksum))
    }

    fn describe(&self) -> String {
        self.request.artifact.describe()
    }

    /// How far the content may grow. Where a tag or a checksum proves it, a high ratio is the
    /// database's own (empty pages) and no attack; the absolute limit stays.
    fn limits(&self, sealed: bool) -> Limits {
        let limits = self.request.options.limits;
        if sealed || self.expected().is_some() { Limits { ratio: u64::MAX, ..limits } } else { limits }
    }

    /// Compares a hash of the whole stored file with the expected one.
    fn check(&self, actual: Sha256) -> Result<()> {
        match self.expected() {
            Some(expected) if expected != actual => {
                let message = format!(
                    "the SHA-256 of {} is {}, but {} is expected",
                    self.describe(),
                    hex::encode(actual),
                    hex::encode(expected)
                );
                Err(Fault::new(Stage::Download, Reason::ChecksumMismatch, message))
            }
            _ => Ok(()),
        }
    }

    /// Runs `action`; when it fails on a file whose checksum is wrong, that is the truth to tell.
    fn judged<T>(&self, action: impl FnOnce() -> Result<T>) -> Result<T> {
        action().map_err(|fault| {
            let own_word = matches!(fault.stage, Stage::Download | Stage::Resolve);
            if own_word || self.expected().is_none() {
                return fault;
            }
            match chain::hash_stored(self).and_then(|region| self.check(region.sha256)) {
                Err(upstream) => upstream,
                Ok(()) => fault,
            }
        })
    }

    fn encryption(&self, candidate: &Candidate, algorithm: &'static str, id: Option<&str>) -> Encryption {
        Encryption {
            algorithm,
            profile: candidate.profile.clone(),
            discovered: self.request.keys.is_discovered(candidate, id),
        }
    }

    fn key_missing(&self) -> Fault {
        let message = format!("{} is encrypted and there is no key for its cipher at hand", self.describe());
        Fault::new(Stage::Decrypt, Reason::KeyMissing, message)
    }

    fn no_profile_fits(&self, tried: usize) -> Fault {
        let mut message = format!("none of the {tried} keys at hand opens {}", self.describe());
        if self.expected().is_none() {
            message.push_str("; it has no checksum, so a damaged file would look the same");
        }
        Fault::new(Stage::Decrypt, Reason::NoProfileFits, message)
    }

    /// Refuses a plain backup where the request names a key: it may not be the one that was meant.
    fn check_sealed(&self, sealed: bool) -> Result<()> {
        match self.request.keys.named() {
            Some(profile) if !sealed => {
                let message =
                    format!("the profile {profile:?} is named, but {} is not encrypted", self.describe());
                Err(Fault::new(Stage::Decrypt, Reason::NotEncrypted, message))
            }
            _ => Ok(()),
        }
    }
}

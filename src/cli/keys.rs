//! `--keys DIR|FILE` and the profiles of `-f`: the keys that `verify` and `extract` try.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::manifest_files;
use crate::plan::{MemorySecrets, profile_keys};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::keyring::{self, KEY_FILE_LIMIT_BYTES, KeyFiles};
use crate::runner::keys::{Candidate, KeyRing};
use crate::secret::Secret;

/// Where keys come from.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Keys")]
pub struct KeyFlags {
    /// A Recovery Kit folder, a folder of key files, or one file: 64 hexadecimal digits or age identities
    #[arg(long, value_name = "DIR|FILE")]
    pub keys: Vec<PathBuf>,
    /// Manifests whose `EncryptionProfile`s and Secrets are used
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl KeyFlags {
    /// Reads all keys.
    pub fn read(&self) -> Result<KeyRing> {
        let mut candidates = Vec::new();
        for path in &self.keys {
            candidates.extend(read_path(path)?);
        }
        if !self.files.is_empty() {
            candidates.extend(self.read_manifests()?);
        }
        Ok(KeyRing::new(candidates, None))
    }

    fn read_manifests(&self) -> Result<Vec<Candidate>> {
        let manifests = manifest_files(&self.files)?;
        let mut candidates = Vec::new();
        for (namespace, profiles) in profile_keys(&manifests.objects.profiles) {
            let secrets: MemorySecrets = manifests.secrets(&namespace);
            candidates.extend(keyring::candidates(&profiles, None, &secrets)?);
        }
        Ok(candidates)
    }
}

fn failed(path: &Path, error: std::io::Error) -> Fault {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => Reason::SecretMissing,
        _ => Reason::SecretKeyMissing,
    };
    Fault::new(Stage::Resolve, reason, format!("failed to read the keys in {}", path.display()))
        .caused_by(error)
}

fn read_path(path: &Path) -> Result<Vec<Candidate>> {
    let name = path.display().to_string();
    if !path.is_dir() {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if file == "keys.json" {
            return read_folder(path.parent().unwrap_or_else(|| Path::new(".")), &name);
        }
        return keyring::key_file(&file, read_file(path)?.expose());
    }
    // An unpacked Recovery Kit has its list in a folder `keys`.
    let inner = path.join("keys");
    if inner.join("keys.json").is_file() { read_folder(&inner, &name) } else { read_folder(path, &name) }
}

fn read_folder(folder: &Path, name: &str) -> Result<Vec<Candidate>> {
    let mut files = KeyFiles::new();
    for entry in folder.read_dir().map_err(|error| failed(folder, error))? {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let small = path.metadata().is_ok_and(|data| data.is_file() && data.len() <= KEY_FILE_LIMIT_BYTES);
        if let Some(file) = path.file_name().and_then(|file| file.to_str()).filter(|_| small) {
            files.insert(file.to_owned(), read_file(&path)?);
        }
    }
    keyring::recovery_kit(name, &files)
}

fn read_file(path: &Path) -> Result<Secret<Vec<u8>>> {
    let mut value = Vec::new();
    let file = File::open(path).map_err(|error| failed(path, error))?;
    file.take(KEY_FILE_LIMIT_BYTES).read_to_end(&mut value).map_err(|error| failed(path, error))?;
    Ok(Secret::new(value))
}

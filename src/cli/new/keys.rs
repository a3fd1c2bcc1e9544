//! Reads a key from where people keep it: a Recovery Kit folder, a `master.key`, an age identity.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A key as it was found.
#[derive(Clone, Debug)]
pub enum KeyMaterial {
    /// 64 hexadecimal digits.
    Aes256Gcm(Secret<String>),
    /// An age identity.
    AgeIdentity(Secret<String>),
    /// The key files of a Recovery Kit by name.
    RecoveryKit(BTreeMap<String, Secret<String>>),
}

/// The largest key file that is read, in bytes.
const KEY_LIMIT_BYTES: u64 = 64 * 1024;
/// A kit has no more keys than this.
const KIT_LIMIT_FILES: usize = 512;

/// Reads the key at `path`.
pub fn read_kit(path: &Path) -> anyhow::Result<KeyMaterial> {
    let what = || format!("failed to read {}", path.display());
    if fs::metadata(path).with_context(what)?.is_dir() {
        return read_folder(path);
    }
    let text = read_text(path, KEY_LIMIT_BYTES)?;
    let content = text.expose().trim();
    if content.len() == 64 && content.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(KeyMaterial::Aes256Gcm(Secret::new(content.to_owned())));
    }
    if content.lines().any(|line| line.trim_start().starts_with("AGE-SECRET-KEY-1")) {
        return Ok(KeyMaterial::AgeIdentity(text));
    }
    bail!("{} is no key: neither 64 hexadecimal digits nor an age identity", path.display())
}

/// The key files of a kit; its tools and read-me stay where they are.
fn read_folder(folder: &Path) -> anyhow::Result<KeyMaterial> {
    let mut files = BTreeMap::new();
    for place in [folder.to_owned(), folder.join("keys")] {
        if !place.is_dir() {
            continue;
        }
        let what = || format!("failed to read {}", place.display());
        for entry in fs::read_dir(&place).with_context(what)? {
            let path = entry.with_context(what)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_key = path.extension().is_some_and(|extension| extension == "key");
            if !path.is_file() || !(is_key || name == "keys.json") {
                continue;
            }
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            ensure!(
                name.bytes().all(fits),
                "{}: a Secret cannot hold a file of this name; rename it, in keys.json too",
                path.display()
            );
            ensure!(
                files.len() < KIT_LIMIT_FILES,
                "{} has more than {KIT_LIMIT_FILES} key files",
                folder.display()
            );
            let text = read_text(&path, KEY_LIMIT_BYTES)?;
            ensure!(
                files.insert(name.to_owned(), text).is_none(),
                "{} has two files {name}",
                folder.display()
            );
        }
    }
    ensure!(
        files.keys().any(|name| name != "keys.json"),
        "{} is no Recovery Kit: there is no master.key and no other *.key in it",
        folder.display()
    );
    Ok(KeyMaterial::RecoveryKit(files))
}

/// A small text file.
pub(super) fn read_text(path: &Path, limit: u64) -> anyhow::Result<Secret<String>> {
    let what = || format!("failed to read {}", path.display());
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).with_context(what)?;
    file.take(limit + 1).read_to_end(&mut bytes).with_context(what)?;
    ensure!(bytes.len() as u64 <= limit, "{} is larger than {limit} bytes", path.display());
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => bail!("{} is not text", path.display()),
    }
}

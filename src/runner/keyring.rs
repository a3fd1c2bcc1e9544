//! Reads keys in every form they come in: a Secret of one key, a Recovery Kit, a folder of files.
//!
//! Text forms: 64 hexadecimal digits (AES-256), age identity files, and the files of a Recovery Kit
//! as DBackup ships it (`master.key`, `keys.json` with `*.key`). A message names the file, never its
//! content.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::plan::{KeyKind, KeyProfile, SecretKey, SecretReader};
use crate::reason::Reason;
use crate::runner::cipher::AgeKey;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::keys::{Candidate, Key, KeyRing};
use crate::secret::Secret;

/// Largest key file that is read, in bytes.
pub const KEY_FILE_LIMIT_BYTES: u64 = 1 << 20;

/// The files of a kit by name, without folders.
pub type KeyFiles = BTreeMap<String, Secret<Vec<u8>>>;

fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Stage::Resolve, reason, message)
}

/// Reads the keys of a plan.
pub fn from_plan(
    profiles: &[KeyProfile],
    named: Option<&str>,
    secrets: &dyn SecretReader,
) -> Result<KeyRing> {
    candidates(profiles, named, secrets).map(|candidates| KeyRing::new(candidates, named.map(str::to_owned)))
}

/// Reads the keys of profiles; one that cannot be read is left out with a warning, unless it is the
/// one that is named.
pub fn candidates(
    profiles: &[KeyProfile],
    named: Option<&str>,
    secrets: &dyn SecretReader,
) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for profile in profiles {
        match read_profile(profile, secrets) {
            Ok(found) => candidates.extend(found),
            // A profile that nobody named may be broken without harm to a run that needs another.
            Err(fault) if named != Some(profile.name.as_str()) => {
                tracing::warn!(profile = profile.name, reason = %fault.reason, "{}; the profile is left out", fault.message);
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(candidates)
}

fn read_profile(profile: &KeyProfile, secrets: &dyn SecretReader) -> Result<Vec<Candidate>> {
    let read = |key: &SecretKey| secrets.read(key).map_err(|error| fault(error.reason, error.message));
    let candidate = |key| Candidate { profile: profile.name.clone(), id: profile.id.clone(), key };
    let what = format!("the key of EncryptionProfile {}", profile.name);
    match &profile.kind {
        KeyKind::Aes256Gcm(key) => Ok(vec![candidate(Key::Aes(aes_key(read(key)?.expose(), &what)?))]),
        KeyKind::AgeIdentity(key) => {
            let keys = age_identities(read(key)?.expose(), &what)?;
            Ok(keys.into_iter().map(candidate).collect())
        }
        KeyKind::AgePassphrase(key) => Ok(vec![candidate(Key::Age(passphrase(read(key)?.expose(), &what)?))]),
        KeyKind::RecoveryKit { secret } => {
            let mut files = KeyFiles::new();
            for key in secrets.keys(secret).map_err(|error| fault(error.reason, error.message))? {
                let at = SecretKey { secret: secret.clone(), key: key.clone() };
                files.insert(key, read(&at)?);
            }
            let mut kit = recovery_kit(&profile.name, &files)?;
            for candidate in &mut kit {
                candidate.profile.clone_from(&profile.name);
            }
            Ok(kit)
        }
    }
}

fn text<'a>(value: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(value).map_err(|_| {
        fault(Reason::InvalidKey, format!("{what} is not text; 64 hexadecimal digits or an age identity are"))
    })
}

/// 64 hexadecimal digits of either case; white space around them is allowed.
fn aes_key(value: &[u8], what: &str) -> Result<Secret<[u8; 32]>> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text(value, what)?.trim(), &mut bytes)
        .map_err(|_| fault(Reason::InvalidKey, format!("{what} is not 64 hexadecimal digits")))?;
    Ok(Secret::new(bytes))
}

/// The lines of an age identity file.
fn age_identities(value: &[u8], what: &str) -> Result<Vec<Key>> {
    let lines =
        text(value, what)?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Key> = lines
        .map(|line| {
            AgeKey::parse_identity(line)
                .map(Key::Age)
                .map_err(|error| fault(error.reason, format!("{what}: {}", error.message)))
        })
        .collect::<Result<_>>()?;
    if keys.is_empty() {
        return Err(fault(Reason::InvalidKey, format!("{what} holds no age identity")));
    }
    Ok(keys)
}

/// A passphrase; one line end at its end is the editor's, not the passphrase's.
fn passphrase(value: &[u8], what: &str) -> Result<AgeKey> {
    let text = text(value, what)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(fault(Reason::InvalidKey, format!("{what} is an empty passphrase")));
    }
    Ok(AgeKey::Passphrase(Secret::new(text.to_owned())))
}

#[derive(Deserialize)]
struct KitList {
    version: u64,
    keys: Vec<KitEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KitEntry {
    profile_id: String,
    name: String,
    file: String,
}

/// The keys of a Recovery Kit, or of any folder of key files. What is no key (the kit's readme, its
/// scripts) is passed over; a kit without a key is an error. `name` is for messages.
pub fn recovery_kit(name: &str, files: &KeyFiles) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let listed = match files.get("keys.json") {
        Some(list) => read_list(name, list.expose(), files, &mut found)?,
        None => Vec::new(),
    };
    for (file, value) in files {
        if file == "keys.json" || listed.contains(file) {
            continue;
        }
        found.extend(key_file(file, value.expose()).unwrap_or_default());
    }
    if found.is_empty() {
        return Err(fault(
            Reason::InvalidKey,
            format!("{name} holds no key: no master.key, *.key or age identity"),
        ));
    }
    Ok(found)
}

/// The keys that a kit's list names; gives back the names of their files.
fn read_list(name: &str, list: &[u8], files: &KeyFiles, found: &mut Vec<Candidate>) -> Result<Vec<String>> {
    // The parser's own words may quote the file; only the place is told.
    let list: KitList = serde_json::from_slice(list).map_err(|error| {
        fault(Reason::InvalidKey, format!("keys.json of {name} cannot be read at line {}", error.line()))
    })?;
    if list.version != 1 {
        return Err(fault(
            Reason::InvalidKey,
            format!("keys.json of {name} has version {}; 1 is known", list.version),
        ));
    }
    let mut listed = Vec::new();
    for entry in list.keys {
        let value = files.get(&entry.file).ok_or_else(|| {
            fault(
                Reason::SecretKeyMissing,
                format!("keys.json of {name} names {:?}, which is not there", entry.file),
            )
        })?;
        let key = aes_key(value.expose(), &format!("{:?} of {name}", entry.file))?;
        found.push(Candidate { profile: entry.name, id: Some(entry.profile_id), key: Key::Aes(key) });
        listed.push(entry.file);
    }
    Ok(listed)
}

/// The keys in one file, whatever its form. Its name without `.key` or `.txt` is the profile's name,
/// and may be the id that backups know it by.
pub fn key_file(file: &str, value: &[u8]) -> Result<Vec<Candidate>> {
    let stem = file.strip_suffix(".key").or_else(|| file.strip_suffix(".txt")).unwrap_or(file);
    let candidate = |key| Candidate { profile: stem.to_owned(), id: Some(stem.to_owned()), key };
    let what = format!("the file {file:?}");
    if value.windows(4).any(|window| window.eq_ignore_ascii_case(b"AGE-")) {
        return Ok(age_identities(value, &what)?.into_iter().map(candidate).collect());
    }
    aes_key(value, &what).map(|key| vec![candidate(Key::Aes(key))]).map_err(|error| {
        fault(error.reason, format!("{what} is neither 64 hexadecimal digits nor an age identity"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0EFC75cce138bd8f1675fec7a15d09b02142809106cac1918c8961fdaafd4995";

    fn files(list: &[(&str, &str)]) -> KeyFiles {
        list.iter().map(|(name, text)| ((*name).to_owned(), Secret::new(text.as_bytes().to_vec()))).collect()
    }

    #[test]
    fn every_layout_of_a_recovery_kit_gives_its_keys() {
        let list = r#"{"version":1,"keys":[{"profileId":"id-1","name":"prod","file":"prod.key"}]}"#;
        for (kit, expected) in [
            (files(&[("master.key", HEX), ("README.txt", "hello")]), vec![("master", Some("master"))]),
            (files(&[("keys.json", list), ("prod.key", HEX)]), vec![("prod", Some("id-1"))]),
            (files(&[("b0ede092", HEX)]), vec![("b0ede092", Some("b0ede092"))]),
        ] {
            let found = recovery_kit("kit", &kit).unwrap();
            let names: Vec<_> = found.iter().map(|c| (c.profile.as_str(), c.id.as_deref())).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn a_bad_key_is_named_and_never_shown() {
        for (kit, reason) in [
            (files(&[("README.txt", "hello")]), Reason::InvalidKey),
            (files(&[("keys.json", "{\"secret\": topsecret}")]), Reason::InvalidKey),
            (
                files(&[(
                    "keys.json",
                    r#"{"version":1,"keys":[{"profileId":"a","name":"b","file":"../x"}]}"#,
                )]),
                Reason::SecretKeyMissing,
            ),
            (files(&[("keys.json", r#"{"version":9,"keys":[]}"#)]), Reason::InvalidKey),
        ] {
            let error = recovery_kit("kit", &kit).err().unwrap();
            assert_eq!(error.reason, reason);
            assert!(!error.full_message().contains("topsecret"), "{}", error.full_message());
        }
        for value in
            [&b"topsecret"[..], b"", &[0xff; 64], b"AGE-SECRET-KEY-1TOPSECRET", HEX.as_bytes().split_at(63).0]
        {
            let error = key_file("x.key", value).err().unwrap();
            assert_eq!(error.reason, Reason::InvalidKey);
            assert!(!error.full_message().to_lowercase().contains("topsecret"), "{}", error.full_message());
        }
    }

    #[test]
    fn white_space_around_a_key_is_allowed() {
        for text in [format!("{HEX}\n"), format!("  {HEX}\r\n"), HEX.to_lowercase()] {
            assert!(aes_key(text.as_bytes(), "x").is_ok(), "{text:?}");
        }
        let AgeKey::Passphrase(phrase) = passphrase(b" two words \r\n", "x").unwrap() else { panic!() };
        assert_eq!(phrase.expose(), " two words ");
    }
}

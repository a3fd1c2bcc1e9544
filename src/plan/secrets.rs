//! How the runner gets at secret values: through a reader, by name, one at a time.
//!
//! The reader decides where they come from (manifests here, projected files in a pod). An error
//! names the Secret and the key, never a value.

use std::collections::BTreeMap;
use std::fmt;

use super::SecretKey;
use crate::reason::Reason;
use crate::secret::Secret;

/// A secret value that is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    /// `SecretMissing` or `SecretKeyMissing`.
    pub reason: Reason,
    /// Which Secret, which key.
    pub message: String,
}

/// Reads the Secrets of one namespace.
pub trait SecretReader: Send + Sync {
    /// The value of one key; an empty one is `SecretKeyMissing`.
    fn read(&self, key: &SecretKey) -> Result<Secret<Vec<u8>>, SecretError>;

    /// The keys of a Secret, sorted.
    fn keys(&self, secret: &str) -> Result<Vec<String>, SecretError>;
}

/// The values of one Secret by key.
pub type SecretData = BTreeMap<String, Secret<Vec<u8>>>;

/// Secrets held in memory.
#[derive(Clone, Default)]
pub struct MemorySecrets(BTreeMap<String, SecretData>);

impl MemorySecrets {
    /// Adds a Secret, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, data: SecretData) {
        self.0.insert(name.into(), data);
    }

    fn secret(&self, name: &str) -> Result<&SecretData, SecretError> {
        self.0.get(name).ok_or_else(|| SecretError {
            reason: Reason::SecretMissing,
            message: format!("Secret {name} is not there"),
        })
    }
}

impl SecretReader for MemorySecrets {
    fn read(&self, key: &SecretKey) -> Result<Secret<Vec<u8>>, SecretError> {
        let missing = |what: &str| SecretError {
            reason: Reason::SecretKeyMissing,
            message: format!("Secret {} {what} {}", key.secret, key.key),
        };
        match self.secret(&key.secret)?.get(&key.key) {
            None => Err(missing("has no key")),
            Some(value) if value.expose().is_empty() => Err(missing("has an empty value under key")),
            Some(value) => Ok(value.clone()),
        }
    }

    fn keys(&self, secret: &str) -> Result<Vec<String>, SecretError> {
        Ok(self.secret(secret)?.keys().cloned().collect())
    }
}

impl fmt::Debug for MemorySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_a_missing_key_and_an_empty_value_are_told_apart() {
        let mut secrets = MemorySecrets::default();
        let value = |bytes: &[u8]| Secret::new(bytes.to_vec());
        secrets.insert(
            "kit",
            SecretData::from([("full".into(), value(b"hunter2")), ("empty".into(), value(b""))]),
        );
        let read =
            |secret: &str, key: &str| secrets.read(&SecretKey { secret: secret.into(), key: key.into() });
        assert_eq!(read("kit", "full").unwrap().expose(), b"hunter2");
        for (secret, key, reason, message) in [
            ("gone", "full", Reason::SecretMissing, "Secret gone is not there"),
            ("kit", "other", Reason::SecretKeyMissing, "Secret kit has no key other"),
            ("kit", "empty", Reason::SecretKeyMissing, "Secret kit has an empty value under key empty"),
        ] {
            let error = read(secret, key).unwrap_err();
            assert_eq!((error.reason, error.message.as_str()), (reason, message));
        }
        assert_eq!(secrets.keys("kit").unwrap(), ["empty", "full"]);
        assert_eq!(secrets.keys("gone").unwrap_err().reason, Reason::SecretMissing);
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }
}

//! Secrets as the kubelet projects them: a folder for each, a file for each key. The volume of a
//! Secret that does not exist is an empty folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::plan::{SecretError, SecretKey, SecretReader};
use crate::reason::Reason;
use crate::secret::Secret;

/// Largest value, in bytes: what Kubernetes stores in one Secret at most.
const VALUE_LIMIT_BYTES: u64 = 1 << 20;

/// The Secrets below a folder.
#[derive(Clone, Debug)]
pub struct FolderSecrets {
    root: PathBuf,
}

impl FolderSecrets {
    /// The Secrets below `root`; a value is read when it is asked for.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn folder(&self, secret: &str) -> Result<PathBuf, SecretError> {
        if is_plain(secret) {
            return Ok(self.root.join(secret));
        }
        let message = format!("{secret:?} cannot be the name of a Secret");
        Err(SecretError { reason: Reason::InvalidSpec, message })
    }
}

/// Whether a name from outside is one name in a folder. Those that begin with `..` are the kubelet's
/// own, and no key of a Secret may.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && !name.starts_with("..") && !name.contains(['/', '\0'])
}

impl SecretReader for FolderSecrets {
    fn read(&self, key: &SecretKey) -> Result<Secret<Vec<u8>>, SecretError> {
        let error = |reason, what: &str| SecretError {
            reason,
            message: format!("Secret {} {what} {}", key.secret, key.key),
        };
        // A Secret without any key is missing as a whole.
        let keys = self.keys(&key.secret)?;
        if !keys.contains(&key.key) {
            return Err(error(Reason::SecretKeyMissing, "has no key"));
        }
        match read_value(&self.folder(&key.secret)?.join(&key.key)) {
            Ok(value) if value.is_empty() => {
                Err(error(Reason::SecretKeyMissing, "has an empty value under key"))
            }
            Ok(value) if value.len() as u64 > VALUE_LIMIT_BYTES => {
                Err(error(Reason::InvalidKey, "has a value of more than 1 MiB under key"))
            }
            Ok(mut value) => Ok(Secret::new(std::mem::take(&mut *value))),
            Err(cause) => Err(error(Reason::SecretKeyMissing, &format!("could not be read ({cause}): key"))),
        }
    }

    fn keys(&self, secret: &str) -> Result<Vec<String>, SecretError> {
        let missing = |what: String| SecretError {
            reason: Reason::SecretMissing,
            message: format!("Secret {secret} {what}"),
        };
        let entries = match self.folder(secret)?.read_dir() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(missing(format!("could not be read ({error})")));
            }
            entries => entries.into_iter().flatten(),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut keys: Vec<String> = names.filter(|name| is_plain(name)).collect();
        if keys.is_empty() {
            return Err(missing("is not there, or holds nothing".to_owned()));
        }
        keys.sort();
        Ok(keys)
    }
}

/// At most one byte more than a value may have.
fn read_value(path: &std::path::Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    // Room for all of it at once: a vector that grows leaves copies behind that nobody wipes.
    let size = file.metadata()?.len().min(VALUE_LIMIT_BYTES) + 1;
    let mut value = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    file.take(size).read_to_end(&mut value)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder as the kubelet makes it: names are links through `..data` into a folder with a time.
    fn project(root: &std::path::Path, secret: &str, values: &[(&str, &[u8])]) {
        let folder = root.join(secret);
        let data = folder.join("..2026_11_23_04_00_00.1");
        fs::create_dir_all(&data).unwrap();
        symlink("..2026_11_23_04_00_00.1", folder.join("..data")).unwrap();
        for (key, value) in values {
            fs::write(data.join(key), value).unwrap();
            symlink(format!("..data/{key}"), folder.join(key)).unwrap();
        }
    }

    #[test]
    fn a_missing_secret_a_missing_key_and_a_value_that_is_none_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let large = vec![b'x'; (1 << 20) + 1];
        project(root.path(), "kit", &[("full", b"hunter2\n"), ("empty", b""), ("large", &large)]);
        project(root.path(), "hollow", &[]);
        let secrets = FolderSecrets::new(root.path().to_owned());
        let read =
            |secret: &str, key: &str| secrets.read(&SecretKey { secret: secret.into(), key: key.into() });
        assert_eq!(read("kit", "full").unwrap().expose(), b"hunter2\n");
        for (secret, key, reason) in [
            ("gone", "full", Reason::SecretMissing),
            ("hollow", "full", Reason::SecretMissing),
            ("kit", "other", Reason::SecretKeyMissing),
            ("kit", "empty", Reason::SecretKeyMissing),
            ("kit", "..data", Reason::SecretKeyMissing),
            ("kit", "..data/full", Reason::SecretKeyMissing),
            ("kit", "large", Reason::InvalidKey),
            ("../kit", "full", Reason::InvalidSpec),
            ("", "full", Reason::InvalidSpec),
        ] {
            let error = read(secret, key).unwrap_err();
            assert_eq!(error.reason, reason, "{secret} {key}: {error}");
            assert!(!error.message.contains("hunter2"));
        }
        assert_eq!(secrets.keys("kit").unwrap(), ["empty", "full", "large"]);
    }
}

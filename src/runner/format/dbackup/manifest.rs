//! `manifest.json`, the first member of DBackup's TARs: version 1 in a TAR of several databases,
//! version 2 in a seekable archive.

use serde::Deserialize;

use super::{corrupt, engine_of_source, hex_bytes, unsupported};
use crate::runner::fault::Result;
use crate::runner::inventory::SourceEngine;

/// Largest manifest that is read, in bytes.
pub const LIMIT_BYTES: u64 = 1 << 20;
/// Its name in the archive.
pub const NAME: &str = "manifest.json";

/// A manifest of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Version 1: the databases, in the order of their members.
    Databases {
        /// The engine.
        engine: Option<SourceEngine>,
        /// The server's version.
        engine_version: Option<String>,
        /// Name, member and size of each database.
        databases: Vec<ListedDatabase>,
    },
    /// Version 2: a seekable archive.
    Seekable {
        /// The engine.
        engine: Option<SourceEngine>,
        /// The server's version.
        engine_version: Option<String>,
        /// How entries are sealed, if they are.
        seal: Option<ArchiveSeal>,
    },
}

/// One database of a version-1 manifest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedDatabase {
    /// The database's name.
    pub name: String,
    /// The member's name. It names a member, never a path.
    pub filename: String,
    /// The member's bytes.
    pub size: u64,
}

/// How the entries of a seekable archive are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSeal {
    /// Salt of the key derivation.
    pub salt: [u8; 32],
    /// First four bytes of every nonce.
    pub nonce_prefix: [u8; 4],
    /// The profile's id at the time of the backup.
    pub profile_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    version: u64,
    source_type: Option<String>,
    engine_version: Option<String>,
    #[serde(default)]
    databases: Vec<ListedDatabase>,
    encryption: Option<RawSeal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSeal {
    algorithm: Option<String>,
    kdf_salt: String,
    nonce_prefix: String,
    profile_id: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let raw: Raw = serde_json::from_slice(data)
            .map_err(|error| corrupt("the archive's manifest.json cannot be read").caused_by(error))?;
        let engine = raw.source_type.as_deref().and_then(engine_of_source);
        let engine_version = raw.engine_version.filter(|version| version != "unknown");
        match raw.version {
            1 => Ok(Self::Databases { engine, engine_version, databases: raw.databases }),
            2 => Ok(Self::Seekable { engine, engine_version, seal: raw.encryption.map(seal).transpose()? }),
            other => {
                Err(unsupported(format!("the archive's manifest has version {other}; 1 and 2 are known")))
            }
        }
    }
}

fn seal(raw: RawSeal) -> Result<ArchiveSeal> {
    if let Some(algorithm) = raw.algorithm.filter(|name| !name.eq_ignore_ascii_case("aes-256-gcm")) {
        return Err(unsupported(format!("the encryption {algorithm:?} is not known")));
    }
    Ok(ArchiveSeal {
        salt: hex_bytes(&raw.kdf_salt, "the archive's salt")?,
        nonce_prefix: hex_bytes(&raw.nonce_prefix, "the archive's nonce prefix")?,
        profile_id: raw.profile_id.filter(|id| !id.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reason::Reason;

    #[test]
    fn both_versions_are_read_and_others_refused() {
        let one = br#"{"version":1,"sourceType":"postgres","databases":[{"name":"a","filename":"a.dump","size":5,"format":"custom"}]}"#;
        assert!(
            matches!(Manifest::parse(one).unwrap(), Manifest::Databases { databases, .. } if databases.len() == 1)
        );
        let two = br#"{"version":2,"sourceType":"mysql","compression":"NONE","indexMember":"index"}"#;
        assert!(matches!(Manifest::parse(two).unwrap(), Manifest::Seekable { seal: None, .. }));
        for (json, reason) in [
            (&br#"{"version":3}"#[..], Reason::UnsupportedFormat),
            (b"{}", Reason::CorruptBackup),
            (br#"{"version":2,"encryption":{"kdfSalt":"00","noncePrefix":"00"}}"#, Reason::CorruptBackup),
        ] {
            assert_eq!(Manifest::parse(json).unwrap_err().reason, reason);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_manifest_or_a_fault(data in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Manifest::parse(&data);
        }
    }
}

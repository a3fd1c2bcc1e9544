//! `<backup>.meta.json`: what DBackup knows of a backup, in clear text beside it.
//!
//! The sidecar is not authenticated: it says where to look, and its checksum guards against damage,
//! not against an attacker. Unknown keys are allowed, known ones must have their form.

use jiff::Timestamp;
use serde::Deserialize;

use super::{corrupt, engine_of_source, hex_bytes, unsupported};
use crate::runner::codec::Codec;
use crate::runner::fault::Result;
use crate::runner::inventory::SourceEngine;

/// Largest sidecar that is read, in bytes. Real ones have about one KiB.
pub const LIMIT_BYTES: u64 = 1 << 20;

/// A sidecar, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sidecar {
    /// The adapter id, such as `postgres`.
    pub source_type: Option<String>,
    /// The engine of that adapter, where it is known.
    pub engine: Option<SourceEngine>,
    /// The server's version at the time of the backup.
    pub engine_version: Option<String>,
    /// The job that made it.
    pub job_name: Option<String>,
    /// Names of the databases, where they are listed.
    pub databases: Vec<String>,
    /// When the backup was made.
    pub timestamp: Option<Timestamp>,
    /// Compression of a whole-file backup.
    pub compression: Option<Codec>,
    /// Encryption of a whole-file backup.
    pub encryption: Option<WholeFileSeal>,
    /// SHA-256 of the stored file.
    pub checksum: Option<[u8; 32]>,
    /// A TAR of several databases (whole-file generation).
    pub multi_database: bool,
    /// A seekable archive, and whether its entries are sealed.
    pub archive: Option<ArchiveFacts>,
    /// Guarded against DBackup's retention.
    pub locked: bool,
    /// Verdict of DBackup's last own check, if there was one.
    pub last_check_passed: Option<bool>,
    /// `full` or `incremental`, of chains.
    pub backup_type: Option<String>,
}

/// How a whole-file backup is sealed: one AES-256-GCM message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeFileSeal {
    /// The profile's id at the time of the backup.
    pub profile_id: Option<String>,
    /// 16 bytes as DBackup writes them.
    pub iv: Vec<u8>,
    /// The tag over all of it.
    pub tag: [u8; 16],
}

/// What the sidecar says of a seekable archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFacts {
    /// Entries are sealed.
    pub encrypted: bool,
    /// The profile's id at the time of the backup.
    pub profile_id: Option<String>,
    /// Compression of its entries, as the job had it set.
    pub compression: Option<Codec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    version: serde_json::Value,
    source_type: Option<String>,
    engine_version: Option<String>,
    job_name: Option<String>,
    databases: Option<RawDatabases>,
    timestamp: Option<String>,
    compression: Option<String>,
    encryption: Option<RawEncryption>,
    checksum: Option<String>,
    multi_db: Option<serde_json::Value>,
    archive: Option<RawArchive>,
    #[serde(default)]
    locked: bool,
    verification: Option<RawVerification>,
    backup_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawDatabases {
    Names(Vec<String>),
    Counted {
        #[serde(default)]
        names: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEncryption {
    #[serde(default)]
    enabled: bool,
    profile_id: Option<String>,
    algorithm: Option<String>,
    iv: Option<String>,
    auth_tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawArchive {
    format_version: u64,
    #[serde(default)]
    encrypted: bool,
    profile_id: Option<String>,
    compression: Option<String>,
}

#[derive(Deserialize)]
struct RawVerification {
    passed: Option<bool>,
}

impl Sidecar {
    /// Reads a sidecar. `CorruptBackup` where it is no sidecar, `UnsupportedFormat` where it is one
    /// of another version.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let raw: Raw = serde_json::from_slice(data)
            .map_err(|error| corrupt("the .meta.json sidecar cannot be read").caused_by(error))?;
        match &raw.version {
            version if version.as_u64() == Some(1) => {}
            version if version.as_str() == Some("1.0") => {
                return Err(unsupported(
                    "this is a backup of DBackup's own configuration, not of a database",
                ));
            }
            version => return Err(unsupported(format!("the sidecar has version {version}; 1 is known"))),
        }
        Self::from_raw(raw)
    }

    fn from_raw(raw: Raw) -> Result<Self> {
        let archive = raw.archive.map(archive_facts).transpose()?;
        Ok(Self {
            engine: raw.source_type.as_deref().and_then(engine_of_source),
            source_type: raw.source_type,
            engine_version: raw.engine_version.filter(|version| version != "unknown"),
            job_name: raw.job_name,
            databases: match raw.databases {
                Some(RawDatabases::Names(names) | RawDatabases::Counted { names }) => names,
                None => Vec::new(),
            },
            timestamp: raw.timestamp.map(|text| timestamp(&text)).transpose()?,
            compression: raw.compression.as_deref().map(codec).transpose()?,
            encryption: raw.encryption.filter(|seal| seal.enabled).map(whole_file_seal).transpose()?,
            checksum: raw.checksum.map(|text| hex_bytes(&text, "the sidecar's checksum")).transpose()?,
            multi_database: raw.multi_db.is_some(),
            archive,
            locked: raw.locked,
            last_check_passed: raw.verification.and_then(|verification| verification.passed),
            backup_type: raw.backup_type,
        })
    }
}

fn timestamp(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| corrupt(format!("the sidecar's timestamp {text:?} is not one")))
}

/// DBackup's name of a compression.
pub(super) fn codec(name: &str) -> Result<Codec> {
    match name {
        "NONE" => Ok(Codec::None),
        "GZIP" => Ok(Codec::Gzip),
        "BROTLI" => Ok(Codec::Brotli),
        other => Err(unsupported(format!("the compression {other:?} is not known"))),
    }
}

fn archive_facts(raw: RawArchive) -> Result<ArchiveFacts> {
    if raw.format_version != 2 {
        return Err(unsupported(format!(
            "the archive has format version {}; 2 is known",
            raw.format_version
        )));
    }
    let compression = raw.compression.as_deref().map(codec).transpose()?;
    Ok(ArchiveFacts { encrypted: raw.encrypted, profile_id: raw.profile_id, compression })
}

fn whole_file_seal(raw: RawEncryption) -> Result<WholeFileSeal> {
    if let Some(algorithm) = raw.algorithm.filter(|name| !name.eq_ignore_ascii_case("aes-256-gcm")) {
        return Err(unsupported(format!("the encryption {algorithm:?} is not known")));
    }
    let missing = |what: &str| corrupt(format!("the sidecar names no {what} of the encryption"));
    let iv = raw.iv.ok_or_else(|| missing("IV"))?;
    let iv = hex::decode(iv.trim()).ok().filter(|iv| (1..=64).contains(&iv.len()));
    Ok(WholeFileSeal {
        profile_id: raw.profile_id.filter(|id| !id.is_empty()),
        iv: iv.ok_or_else(|| corrupt("the sidecar's IV is not hexadecimal digits"))?,
        tag: hex_bytes(&raw.auth_tag.ok_or_else(|| missing("tag"))?, "the sidecar's tag")?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reason::Reason;

    #[test]
    fn both_shapes_of_the_database_list_are_read() {
        for (json, names) in [
            (r#"{"version":1,"databases":{"count":2,"names":["a","b"]}}"#, vec!["a", "b"]),
            (r#"{"version":1,"databases":["a"]}"#, vec!["a"]),
            (r#"{"version":1,"databases":{"count":0}}"#, vec![]),
            (r#"{"version":1,"newKey":{"x":1}}"#, vec![]),
        ] {
            assert_eq!(Sidecar::parse(json.as_bytes()).unwrap().databases, names, "{json}");
        }
    }

    #[test]
    fn a_sidecar_that_cannot_be_trusted_says_why() {
        use Reason::{CorruptBackup, UnsupportedFormat};
        for (json, reason) in [
            ("", CorruptBackup),
            ("[]", CorruptBackup),
            (r#"{"databases":[]}"#, CorruptBackup),
            (r#"{"version":2}"#, UnsupportedFormat),
            (r#"{"version":"1.0","sourceType":"SYSTEM"}"#, UnsupportedFormat),
            (r#"{"version":1,"compression":"LZMA"}"#, UnsupportedFormat),
            (r#"{"version":1,"checksum":"abc"}"#, CorruptBackup),
            (r#"{"version":1,"timestamp":"yesterday"}"#, CorruptBackup),
            (r#"{"version":1,"encryption":{"enabled":true,"iv":"00"}}"#, CorruptBackup),
            (r#"{"version":1,"encryption":{"enabled":true,"iv":"zz","authTag":"00"}}"#, CorruptBackup),
            (r#"{"version":1,"encryption":{"enabled":true,"algorithm":"aes-128-cbc"}}"#, UnsupportedFormat),
            (r#"{"version":1,"archive":{"formatVersion":3}}"#, UnsupportedFormat),
        ] {
            assert_eq!(Sidecar::parse(json.as_bytes()).unwrap_err().reason, reason, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_sidecar_or_a_fault(data in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Sidecar::parse(&data);
        }
    }
}

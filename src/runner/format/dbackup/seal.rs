//! The keys and nonces of a seekable archive's sealed parts.
//!
//! Keys: HKDF-SHA256 of the profile's key with the archive's salt, one for payloads, one for the
//! index. Nonce: the archive's 4-byte prefix and the entry's ordinal as 8 bytes, big-endian; the
//! index has ordinal 0.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use super::manifest::ArchiveSeal;
use crate::reason::Reason;
use crate::runner::cipher::AesKey;
use crate::runner::fault::{Fault, Result, Stage};
use crate::secret::Secret;

const DATA_INFO: &[u8] = b"dbackup/archive/v2/data";
const INDEX_INFO: &[u8] = b"dbackup/archive/v2/index";

/// Ordinal of the index.
pub const INDEX_ORDINAL: u64 = 0;

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

fn derive(profile_key: &AesKey, salt: &[u8; 32], info: &[u8]) -> Result<AesKey> {
    let failed = |_| Fault::new(Stage::Decrypt, Reason::InternalError, "failed to derive the archive's key");
    let mut key = [0; 32];
    Salt::new(HKDF_SHA256, salt)
        .extract(profile_key.expose())
        .expand(&[info], KeyLength)
        .and_then(|material| material.fill(&mut key))
        .map_err(failed)?;
    Ok(Secret::new(key))
}

/// The keys of one archive under one profile.
#[derive(Clone)]
pub struct ArchiveKeys {
    data: AesKey,
    index: AesKey,
    nonce_prefix: [u8; 4],
}

impl ArchiveKeys {
    /// Derives the keys. Any profile key gives keys; whether they are right the index shows.
    pub fn derive(profile_key: &AesKey, seal: &ArchiveSeal) -> Result<Self> {
        Ok(Self {
            data: derive(profile_key, &seal.salt, DATA_INFO)?,
            index: derive(profile_key, &seal.salt, INDEX_INFO)?,
            nonce_prefix: seal.nonce_prefix,
        })
    }

    /// Key and nonce of the part with this ordinal.
    pub fn of(&self, ordinal: u64) -> (&AesKey, [u8; 12]) {
        let key = if ordinal == INDEX_ORDINAL { &self.index } else { &self.data };
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(self.nonce_prefix.iter().chain(&ordinal.to_be_bytes())) {
            *to = *from;
        }
        (key, nonce)
    }
}

//! Backups in DBackup's own format, made here where no file of its making is at hand: a SQLite database
//! under Brotli and AES-256-GCM, with its sidecar.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};

use crate::parts::minio::Bucket;
use crate::support::PROFILE_A;

/// Compresses and seals `database` as `NAME.db.br.enc` and puts it into the bucket with its sidecar; its
/// path there.
pub(crate) fn put_brotli(bucket: &Bucket, name: &str, database: &[u8]) -> String {
    let path = format!("{name}.db.br.enc");
    let mut sealed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams::default();
    brotli::BrotliCompress(&mut &*database, &mut sealed, &parameters).unwrap();
    let (_, id, key) = PROFILE_A;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &hex::decode(key).unwrap()).unwrap());
    let iv = [7; 12];
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed).unwrap();
    let sidecar = serde_json::json!({
        "version": 1,
        "jobName": "app",
        "sourceName": "app",
        "sourceType": "sqlite",
        "databases": {"count": 1, "names": ["app.sqlite"]},
        "engineVersion": "3.40.1",
        "timestamp": "2026-11-23T02:00:00.000Z",
        "originalFileName": path,
        "compression": "BROTLI",
        "encryption": {
            "enabled": true, "profileId": id, "algorithm": "aes-256-gcm",
            "iv": hex::encode(iv), "authTag": hex::encode(tag.as_ref()),
        },
        "checksum": hex::encode(digest(&SHA256, &sealed).as_ref()),
        "backupType": "full",
    });
    bucket.put(&path, &sealed);
    bucket.put(&format!("{path}.meta.json"), sidecar.to_string().as_bytes());
    path
}

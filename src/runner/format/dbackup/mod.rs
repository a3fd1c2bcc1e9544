//! What DBackup writes around its dumps, byte by byte in `docs/formats.md`: the `.meta.json`
//! sidecar, the manifests of its TARs and the index of its seekable archives.

pub mod index;
pub mod manifest;
pub mod seal;
pub mod sidecar;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};
use crate::runner::inventory::SourceEngine;

/// Appended to a backup's path: its sidecar.
pub const SIDECAR_SUFFIX: &str = ".meta.json";
/// Appended to a seekable archive's path: a copy of its index.
pub const INDEX_SUFFIX: &str = ".index";

/// The engine of DBackup's adapter id.
pub fn engine_of_source(source_type: &str) -> Option<SourceEngine> {
    Some(match source_type {
        "postgres" => SourceEngine::PostgreSQL,
        "mysql" => SourceEngine::MySQL,
        "mariadb" => SourceEngine::MariaDB,
        "mongodb" => SourceEngine::MongoDB,
        "sqlite" => SourceEngine::SQLite,
        "mssql" => SourceEngine::SQLServer,
        "redis" => SourceEngine::Redis,
        "valkey" => SourceEngine::Valkey,
        "firebird" => SourceEngine::Firebird,
        "azure-sql" => SourceEngine::AzureSQL,
        _ => return None,
    })
}

fn corrupt(message: impl Into<String>) -> Fault {
    Fault::new(Stage::Inspect, Reason::CorruptBackup, message)
}

fn unsupported(message: impl Into<String>) -> Fault {
    Fault::new(Stage::Inspect, Reason::UnsupportedFormat, message)
}

/// Decodes exactly `N` bytes of hexadecimal digits.
fn hex_bytes<const N: usize>(text: &str, what: &str) -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .map_err(|_| corrupt(format!("{what} is not {} hexadecimal digits", 2 * N)))?;
    Ok(bytes)
}

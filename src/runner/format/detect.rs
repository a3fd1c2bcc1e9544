//! Recognises a dump by its content, then by what the sidecar says.

use crate::runner::engine::postgres::archive::names;
use crate::runner::inventory::{DumpFormat, SourceEngine};
use crate::runner::tar::{self, Kind, TarReader};

/// Bytes of the head that [`content`] wants to see.
pub const HEAD_BYTES: usize = 4096;

/// What the first bytes of a decoded stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A TAR of several dumps or files, whose members have to be looked at.
    Tar,
    /// One dump.
    Dump(DumpFormat),
    /// Nothing that is known.
    Unknown,
}

/// Recognises `head`, the first [`HEAD_BYTES`] of a stream; `engine` is what the sidecar says.
pub fn content(head: &[u8], engine: Option<SourceEngine>) -> Content {
    if tar::is_tar(head) {
        return if is_postgres(head) { Content::Dump(DumpFormat::PostgresArchive) } else { Content::Tar };
    }
    by_content(head, engine).or_else(|| by_engine(head, engine)).map_or(Content::Unknown, Content::Dump)
}

/// Whether a TAR is `pg_dump`'s tar format, or its directory format packed: its first file has a name
/// that only `pg_dump` gives.
fn is_postgres(head: &[u8]) -> bool {
    let mut members = TarReader::new(head);
    while let Ok(Some(member)) = members.next_member() {
        if member.kind != Kind::Folder {
            return member.kind == Kind::File && names::is_member(&member.name);
        }
    }
    false
}

fn by_content(head: &[u8], engine: Option<SourceEngine>) -> Option<DumpFormat> {
    const MONGO_ARCHIVE: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();
    let magics: [(&[u8], DumpFormat); 6] = [
        (b"PGDMP", DumpFormat::PostgresArchive),
        (b"SQLite format 3\0", DumpFormat::SQLiteFile),
        (b"REDIS0", DumpFormat::RedisRdb),
        (&MONGO_ARCHIVE, DumpFormat::MongoArchive),
        // Microsoft Tape Format, and SQL Server's compressed form of it.
        (b"TAPE", DumpFormat::SQLServerBak),
        (b"MSSQLBAK", DumpFormat::SQLServerBak),
    ];
    if let Some((_, format)) = magics.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(*format);
    }
    match engine {
        Some(SourceEngine::MongoDB) if head.starts_with(&[0x1f, 0x8b]) => Some(DumpFormat::MongoArchive),
        Some(SourceEngine::AzureSQL) if head.starts_with(b"PK\x03\x04") => Some(DumpFormat::Bacpac),
        _ => by_text(head),
    }
}

/// What the dump tools write into the first lines of their SQL.
fn by_text(head: &[u8]) -> Option<DumpFormat> {
    let head = String::from_utf8_lossy(head);
    let text = head.trim_start_matches('\u{feff}').trim_start();
    let has = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    if has(&["-- PostgreSQL database dump", "-- PostgreSQL database cluster dump"]) {
        Some(DumpFormat::PostgresPlain)
    } else if has(&["-- MySQL dump", "-- MariaDB dump", "-- Dump of", "/*!40101 SET", "/*!50503 SET"])
        || text.starts_with("/*M!999999")
    {
        Some(DumpFormat::MySQLDump)
    } else if text.starts_with("PRAGMA foreign_keys=OFF;") || text.starts_with("BEGIN TRANSACTION;") {
        Some(DumpFormat::SQLiteDump)
    } else {
        None
    }
}

/// The sidecar's word, where the content does not contradict it.
fn by_engine(head: &[u8], engine: Option<SourceEngine>) -> Option<DumpFormat> {
    let is_text = !head.is_empty() && !head.contains(&0);
    match engine? {
        SourceEngine::MySQL | SourceEngine::MariaDB if is_text => Some(DumpFormat::MySQLDump),
        SourceEngine::PostgreSQL if is_text => Some(DumpFormat::PostgresPlain),
        // gbak files have no magic number of their own; what else could be told apart was before.
        SourceEngine::Firebird if !is_text => Some(DumpFormat::FirebirdBackup),
        _ => None,
    }
}

/// Whether dumps of this format are SQL text, which need not begin with anything in particular.
pub const fn is_text(format: DumpFormat) -> bool {
    matches!(format, DumpFormat::PostgresPlain | DumpFormat::MySQLDump | DumpFormat::SQLiteDump)
}

/// The engine that a dump comes from; `head` tells MariaDB from MySQL.
pub fn engine_of(format: DumpFormat, head: &[u8]) -> SourceEngine {
    match format {
        DumpFormat::PostgresPlain | DumpFormat::PostgresArchive => SourceEngine::PostgreSQL,
        DumpFormat::MySQLDump | DumpFormat::Mydumper => {
            let head = String::from_utf8_lossy(head);
            if head.contains("MariaDB") { SourceEngine::MariaDB } else { SourceEngine::MySQL }
        }
        DumpFormat::MongoArchive => SourceEngine::MongoDB,
        DumpFormat::SQLiteFile | DumpFormat::SQLiteDump => SourceEngine::SQLite,
        DumpFormat::SQLServerBak => SourceEngine::SQLServer,
        DumpFormat::RedisRdb => SourceEngine::Redis,
        DumpFormat::FirebirdBackup => SourceEngine::Firebird,
        DumpFormat::Bacpac => SourceEngine::AzureSQL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_known_by_their_first_bytes_before_the_sidecar_is_asked() {
        use DumpFormat::{MongoArchive, MySQLDump, PostgresArchive, PostgresPlain, SQLiteDump, SQLiteFile};
        let cases: &[(&[u8], Option<SourceEngine>, Content)] = &[
            (b"PGDMP\x01\x0f\x00", Some(SourceEngine::MySQL), Content::Dump(PostgresArchive)),
            (b"SQLite format 3\0....", None, Content::Dump(SQLiteFile)),
            (b"\x6d\xe2\x99\x81rest", None, Content::Dump(MongoArchive)),
            (b"\x1f\x8b\x08", Some(SourceEngine::MongoDB), Content::Dump(MongoArchive)),
            (b"\x1f\x8b\x08", None, Content::Unknown),
            (b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc", None, Content::Dump(PostgresPlain)),
            (
                b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19",
                None,
                Content::Dump(MySQLDump),
            ),
            (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", None, Content::Dump(SQLiteDump)),
            (b"CREATE TABLE t (a int);", Some(SourceEngine::MySQL), Content::Dump(MySQLDump)),
            (b"CREATE TABLE t (a int);", None, Content::Unknown),
            (b"\0\0\0\0", Some(SourceEngine::MySQL), Content::Unknown),
            (b"", Some(SourceEngine::MySQL), Content::Unknown),
        ];
        for (head, engine, expected) in cases {
            assert_eq!(content(head, *engine), *expected, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_tar_is_an_archive_of_pg_dump_by_the_name_of_its_first_file() {
        let tar = |names: &[&str]| {
            let mut builder = ::tar::Builder::new(Vec::new());
            for name in names {
                let mut header = ::tar::Header::new_gnu();
                if name.ends_with('/') {
                    header.set_entry_type(::tar::EntryType::Directory);
                }
                header.set_size(0);
                builder.append_data(&mut header, name, &b""[..]).unwrap();
            }
            let mut head = builder.into_inner().unwrap();
            head.truncate(HEAD_BYTES);
            head
        };
        let long = format!("{}/toc.dat", "folder".repeat(30));
        let postgres = Content::Dump(DumpFormat::PostgresArchive);
        for (names, expected) in [
            (&["toc.dat", "12.dat"][..], postgres),
            (&["./", "./12.dat.gz", "./toc.dat"], postgres),
            (&["a/", "a/b/", "a/b/blob_7.dat.zst"], postgres),
            (&[long.as_str()], postgres),
            (&["manifest.json", "toc.dat"], Content::Tar),
            (&["shop_2026-11-22.bak"], Content::Tar),
            (&["metadata", "toc.dat"], Content::Tar),
            (&["toc.dat/"], Content::Tar),
            (&[], Content::Unknown),
        ] {
            assert_eq!(content(&tar(names), None), expected, "{names:?}");
            // The sidecar has no say where the content has one.
            assert_eq!(content(&tar(names), Some(SourceEngine::MongoDB)), expected, "{names:?}");
        }
    }
}

//! What an archive's header and table of contents say.

use crate::runner::codec::BlockCodec;
use crate::runner::engine::postgres::settings::Settings;
use crate::runner::fault::{Fault, Result, Stage};

/// Where an archive keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// In blocks behind the table of contents: the custom format.
    Custom,
    /// In files beside `toc.dat`: the tar and the directory format.
    Files,
}

/// The header of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Minor version of the format; the major one is 1.
    pub version: u8,
    /// Bytes of an integer, behind its sign byte.
    pub int_bytes: u8,
    /// Bytes of an offset.
    pub offset_bytes: u8,
    /// Where the data are.
    pub format: Format,
    /// Compression of the data blocks; of files, their names tell it.
    pub codec: BlockCodec,
    /// The database that was dumped, in the dump's encoding.
    pub database: Vec<u8>,
    /// The server's version, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: Vec<u8>,
    /// The version of `pg_dump`.
    pub dump_version: Vec<u8>,
}

/// Which part of a restore an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Goes with what it depends on: comments, grants.
    None,
    /// Before the data.
    PreData,
    /// Data, values of sequences, large objects.
    Data,
    /// Behind the data: indexes, constraints, triggers.
    PostData,
}

/// What the table of contents says of the place of an entry's data: a hint, blocks are found by their
/// headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There are data; the archive was written to a pipe.
    Unknown,
    /// Byte of the block's first byte in the archive.
    At(u64),
    /// In a file of its own.
    File,
    /// There are none.
    NoData,
}

/// One entry of the table of contents. Texts are in the dump's encoding, without NUL; an absent one is
/// empty, which means the same to `pg_restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, by which others and its data block refer to it.
    pub dump_id: u32,
    /// Whether `pg_dump` wrote data for it.
    pub had_dumper: bool,
    /// OID of the catalogue that its object was in.
    pub catalog_oid: u32,
    /// OID that its object had.
    pub oid: u32,
    /// Name, for people and for `pg_restore -l`.
    pub tag: Vec<u8>,
    /// Kind, such as `TABLE DATA`.
    pub desc: Vec<u8>,
    /// Part of the restore.
    pub section: Section,
    /// Statements that make it; for `BLOB METADATA` a list of OIDs.
    pub defn: Vec<u8>,
    /// The statement that drops it.
    pub drop_statement: Vec<u8>,
    /// The `COPY` statement that its data are for; empty where they are SQL.
    pub copy_statement: Vec<u8>,
    /// Schema.
    pub namespace: Vec<u8>,
    /// Tablespace.
    pub tablespace: Vec<u8>,
    /// Table access method, since 1.14.
    pub table_am: Vec<u8>,
    /// `pg_class.relkind`, since 1.16; 0: not stated.
    pub relkind: u8,
    /// Owner.
    pub owner: Vec<u8>,
    /// `WITH OIDS`, which servers since 12 do not have.
    pub with_oids: bool,
    /// Numbers of the entries that it needs; not all of them are in the archive.
    pub dependencies: Vec<u32>,
    /// Where its data are.
    pub place: Place,
}

impl Entry {
    /// Whether the archive must hold a data block for it.
    pub fn has_data(&self) -> bool {
        self.had_dumper && self.place != Place::NoData
    }

    /// Whether its data are large objects.
    pub fn is_large_objects(&self) -> bool {
        self.desc == b"BLOBS"
    }

    /// Whether it creates a partitioned table, which has no rows of its own. Before 1.16 only the
    /// statement says so, in a line of its own.
    pub fn is_partitioned_table(&self) -> bool {
        self.desc == b"TABLE"
            && match self.relkind {
                0 => memchr::memmem::find(&self.defn, b"\nPARTITION BY ").is_some(),
                kind => kind == b'p',
            }
    }

    /// Kind and name for a message, such as `TABLE DATA public.t`.
    pub fn describe(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let dot = if self.namespace.is_empty() { "" } else { "." };
        format!("{} {}{dot}{}", text(&self.desc), text(&self.namespace), text(&self.tag))
    }

    /// The large objects that a `BLOB` or `BLOB METADATA` entry makes; `None` where it is neither, or
    /// not of their form.
    pub fn large_objects(&self) -> Option<Vec<u32>> {
        let oid = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse().ok();
        match self.desc.as_slice() {
            b"BLOB" => Some(vec![oid(&self.tag)?]),
            b"BLOB METADATA" => {
                self.defn.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(oid).collect()
            }
            _ => None,
        }
    }
}

/// The settings that the entries `ENCODING` and `STDSTRINGS` state.
pub fn settings(entries: &[Entry]) -> Result<Settings> {
    let mut settings = Settings::default();
    for entry in entries.iter().filter(|entry| matches!(entry.desc.as_slice(), b"ENCODING" | b"STDSTRINGS")) {
        let text = entry.defn.trim_ascii_start();
        settings.follow(text, text.len() as u64).map_err(|(reason, what)| {
            Fault::new(Stage::Inspect, reason, format!("the archive has {what}"))
        })?;
    }
    Ok(settings)
}

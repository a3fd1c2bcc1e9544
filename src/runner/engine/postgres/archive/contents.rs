//! Takes the header and the entries of the table of contents apart.

use super::entry::{Entry, Format, Header, Place, Section};
use super::fields::{Fields, Text, corrupt, parse_number};
use super::names;
use crate::reason::Reason;
use crate::runner::codec::BlockCodec;
use crate::runner::fault::{Fault, Result, Stage};

/// Oldest minor version that is read: PostgreSQL 9.0.
const OLDEST: u8 = 12;
/// Newest minor version that is read: PostgreSQL 17 and 18.
const NEWEST: u8 = 16;
/// Minor version since which entries name a table access method.
const WITH_TABLE_AM: u8 = 14;
/// Minor version since which the header names the compression, not a level of zlib.
const WITH_CODEC: u8 = 15;
/// Minor version since which entries state the kind of relation.
const WITH_RELKIND: u8 = 16;

/// Memory that the whole table of contents may take, in bytes: its texts and [`ENTRY_BYTES`] for each
/// entry. About a million large objects of a server before 17, each of which has an entry.
pub const CONTENTS_LIMIT_BYTES: u64 = 512 << 20;
/// Memory of an entry beside its texts, in bytes.
pub const ENTRY_BYTES: u64 = 400;
/// Longest text of the header in bytes.
const HEADER_TEXT_LIMIT_BYTES: u64 = 4096;

/// `Ok(None)` from the enclosing function where a field needs more bytes.
macro_rules! field {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Ok(None),
        }
    };
}

/// Reads the header at the front of `bytes`, with the number of entries that follow and the bytes used;
/// `None`: more are needed.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(Header, u64, usize)>> {
    let fixed = field!(bytes.first_chunk::<11>());
    let [b'P', b'G', b'D', b'M', b'P', major, version, _revision, int_bytes, offset_bytes, format] = *fixed
    else {
        return Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, "the dump is no PGDMP archive"));
    };
    check_version(major, version)?;
    if !matches!(int_bytes, 4 | 8) || !matches!(offset_bytes, 4 | 8) {
        return Err(corrupt(format!("its numbers have {int_bytes} and {offset_bytes} bytes")));
    }
    let format = archive_format(format)?;
    let mut fields = Fields::new(bytes, int_bytes, HEADER_TEXT_LIMIT_BYTES);
    fields.bytes(fixed.len());
    let codec = if version >= WITH_CODEC {
        codec(field!(fields.byte()))?
    } else if field!(fields.int()?) == 0 {
        BlockCodec::None
    } else {
        BlockCodec::Zlib
    };
    // The time of the dump, in the dumping machine's zone, which is not stated: of no use here.
    for _ in 0..7 {
        field!(fields.int()?);
    }
    let database = field!(fields.text()?);
    let server_version = field!(fields.text()?);
    let dump_version = field!(fields.text()?);
    let count = field!(fields.int()?);
    let count = u64::try_from(count).map_err(|_| corrupt(format!("it has {count} entries")))?;
    if count.saturating_mul(ENTRY_BYTES) > CONTENTS_LIMIT_BYTES {
        return Err(too_large(format!("{count} entries")));
    }
    let header =
        Header { version, int_bytes, offset_bytes, format, codec, database, server_version, dump_version };
    Ok(Some((header, count, fields.used())))
}

fn check_version(major: u8, version: u8) -> Result<()> {
    if major == 1 && (OLDEST..=NEWEST).contains(&version) {
        return Ok(());
    }
    let what = if (major, version) > (1, NEWEST) {
        format!("newer than this program knows (1.{NEWEST}); use a newer one, or dump with an older pg_dump")
    } else {
        format!("older than 1.{OLDEST} (PostgreSQL 9.0); restore it with an old server and dump anew")
    };
    let what = format!("the archive is of version {major}.{version}, {what}");
    Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, what))
}

/// `ArchiveFormat`. The directory format calls itself tar, whose table of contents has the same form.
fn archive_format(number: u8) -> Result<Format> {
    match number {
        1 => Ok(Format::Custom),
        3 | 5 => Ok(Format::Files),
        _ => {
            let what = format!("the archive is of format {number}, which no pg_dump writes");
            Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, what))
        }
    }
}

/// `pg_compress_algorithm`.
fn codec(number: u8) -> Result<BlockCodec> {
    match number {
        0 => Ok(BlockCodec::None),
        1 => Ok(BlockCodec::Zlib),
        2 => Ok(BlockCodec::Lz4),
        3 => Ok(BlockCodec::Zstd),
        _ => {
            let what = format!("the archive's compression {number} is not known");
            Err(Fault::new(Stage::Inspect, Reason::UnsupportedFormat, what))
        }
    }
}

/// Fault for a table of contents over its limit.
pub(super) fn too_large(what: impl std::fmt::Display) -> Fault {
    let what = format!(
        "the archive's table of contents has {what}; at most {} MiB are read",
        CONTENTS_LIMIT_BYTES >> 20
    );
    Fault::new(Stage::Inspect, Reason::LimitExceeded, what)
}

/// Reads an entry at the front of `bytes`, with the bytes used; `None`: more are needed.
pub(super) fn entry(bytes: &[u8], header: &Header) -> Result<Option<(Entry, usize)>> {
    let mut fields = Fields::new(bytes, header.int_bytes, CONTENTS_LIMIT_BYTES);
    let since = |version| header.version >= version;
    let mut entry = Entry {
        dump_id: field!(fields.number()?),
        had_dumper: field!(fields.int()?) != 0,
        catalog_oid: field!(fields.number_text()?),
        oid: field!(fields.number_text()?),
        tag: field!(fields.text()?),
        desc: field!(fields.text()?),
        section: section(field!(fields.int()?))?,
        defn: field!(fields.text()?),
        drop_statement: field!(fields.text()?),
        copy_statement: field!(fields.text()?),
        namespace: field!(fields.text()?),
        tablespace: field!(fields.text()?),
        table_am: if since(WITH_TABLE_AM) { field!(fields.text()?) } else { Vec::new() },
        relkind: if since(WITH_RELKIND) { relkind(field!(fields.int()?))? } else { 0 },
        owner: field!(fields.text()?),
        with_oids: field!(fields.text()?) == b"true",
        dependencies: field!(dependencies(&mut fields)?),
        place: Place::NoData,
    };
    entry.place = match header.format {
        Format::Custom => field!(place(&mut fields, header.offset_bytes)?),
        Format::Files => file(&field!(fields.text()?), &entry)?,
    };
    Ok(Some((entry, fields.used())))
}

/// `teSection`.
fn section(number: i64) -> Result<Section> {
    match number {
        1 => Ok(Section::None),
        2 => Ok(Section::PreData),
        3 => Ok(Section::Data),
        4 => Ok(Section::PostData),
        _ => Err(corrupt(format!("an entry is of section {number}"))),
    }
}

fn relkind(number: i64) -> Result<u8> {
    u8::try_from(number).map_err(|_| corrupt(format!("an entry is of relation kind {number}")))
}

/// Strings up to an absent one.
fn dependencies(fields: &mut Fields<'_>) -> Result<Option<Vec<u32>>> {
    let mut numbers = Vec::new();
    while let Text::Present(text) = field!(fields.string()?) {
        numbers.push(parse_number(text)?);
    }
    Ok(Some(numbers))
}

fn place(fields: &mut Fields<'_>, offset_bytes: u8) -> Result<Option<Place>> {
    let kind = field!(fields.byte());
    let bytes = field!(fields.bytes(usize::from(offset_bytes)));
    let offset = bytes.iter().rev().fold(0_u64, |offset, byte| (offset << 8) | u64::from(*byte));
    match kind {
        1 => Ok(Some(Place::Unknown)),
        2 => Ok(Some(Place::At(offset))),
        3 => Ok(Some(Place::NoData)),
        _ => Err(corrupt(format!("an entry's data are marked by {kind}"))),
    }
}

/// The file that has an entry's data, whose name must be the one that `pg_dump` gives.
fn file(name: &[u8], entry: &Entry) -> Result<Place> {
    if name.is_empty() {
        return Ok(Place::NoData);
    }
    if std::str::from_utf8(name).is_ok_and(|name| names::is_file_of(name, entry)) {
        return Ok(Place::File);
    }
    let name = String::from_utf8_lossy(name);
    let what = format!("the archive keeps {} in a file {name:?}, as no pg_dump does", entry.describe());
    let reason = if name.contains(['/', '\\']) { Reason::UnsafeContent } else { Reason::CorruptBackup };
    Err(Fault::new(Stage::Inspect, reason, what))
}

//! Names of the files of the tar and the directory format.

use super::entry::Entry;
use crate::reason::Reason;
use crate::runner::codec::BlockCodec;
use crate::runner::fault::{Fault, Result, Stage};

/// What a file is, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// `toc.dat`: the table of contents.
    Contents,
    /// `restore.sql`: the same once more for psql, of the tar format only.
    Script,
    /// `NUMBER.dat`: data of the entry with this number.
    Data(u32, BlockCodec),
    /// `blob_OID.dat`: a large object.
    Object(u32, BlockCodec),
    /// `blobs.toc`, since PostgreSQL 17 `blobs_NUMBER.toc`: the large objects of an entry.
    Objects(Option<u32>),
}

/// The file of this name, without its folder.
pub(super) fn file(name: &str) -> Option<File> {
    match name {
        "toc.dat" => return Some(File::Contents),
        "restore.sql" => return Some(File::Script),
        "blobs.toc" => return Some(File::Objects(None)),
        _ => {}
    }
    if let Some(list) = name.strip_prefix("blobs_").and_then(|rest| rest.strip_suffix(".toc")) {
        return Some(File::Objects(Some(number(list)?)));
    }
    let (stem, ending) = name.split_once(".dat")?;
    let codec = match ending {
        "" => BlockCodec::None,
        ".gz" => BlockCodec::Gzip,
        ".lz4" => BlockCodec::Lz4,
        ".zst" => BlockCodec::Zstd,
        _ => return None,
    };
    match stem.strip_prefix("blob_") {
        Some(oid) => Some(File::Object(number(oid)?, codec)),
        None => Some(File::Data(number(stem)?, codec)),
    }
}

/// A number without sign and without leading zeros, so that two names cannot mean one file.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Whether the table of contents may give this name for the data of `entry`. The tar format names a
/// file `NUMBER.dat` for large objects too, which it then does not write.
pub(super) fn is_file_of(name: &str, entry: &Entry) -> bool {
    match file(name) {
        Some(File::Data(number, BlockCodec::None)) => number == entry.dump_id,
        Some(File::Objects(number)) => {
            entry.is_large_objects() && number.is_none_or(|number| number == entry.dump_id)
        }
        _ => false,
    }
}

/// Folder and name of a member of a TAR.
pub(super) fn split(member: &str) -> Result<(&str, &str)> {
    let parts = || member.split('/');
    let leaves = member.starts_with('/') || parts().any(|part| part == "..");
    if leaves || member.contains(['\\', '\0']) {
        let what = format!("the archive has a member {member:?}, which would lie outside its folder");
        return Err(Fault::new(Stage::Inspect, Reason::UnsafeContent, what));
    }
    let mut plain = member;
    while let Some(rest) = plain.strip_prefix("./") {
        plain = rest;
    }
    Ok(plain.rsplit_once('/').unwrap_or(("", plain)))
}

/// Whether a TAR whose first file has this name is an archive of `pg_dump`: no other tool gives such
/// names.
pub fn is_member(name: &str) -> bool {
    split(name).is_ok_and(|(_, name)| !matches!(file(name), None | Some(File::Script)))
}

//! Headers of members, and the extension records before them.

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Bytes per block.
pub const BLOCK: usize = 512;
/// Largest PAX record or GNU long name that is read.
const EXTENSION_LIMIT_BYTES: u64 = 64 * 1024;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; carries no bytes.
    Symlink,
    /// A hard link, device, pipe, sparse file or anything else.
    Other(u8),
}

/// The head of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name as it stands in the archive; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Bytes of content.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// Where its content begins in the stream.
    pub offset: u64,
}

/// Whether `head` starts like a TAR: a ustar magic and a header whose checksum fits.
pub fn is_tar(head: &[u8]) -> bool {
    head.get(..BLOCK).is_some_and(|block| block.get(257..262) == Some(b"ustar") && checksum_fits(block))
}

/// Fault for an archive that is no valid TAR.
pub(super) fn corrupt(message: impl Into<String>) -> Fault {
    Fault::new(Stage::Inspect, Reason::CorruptBackup, message)
}

/// Fault for an archive that ends at `position`.
pub(super) fn truncated(position: u64) -> Fault {
    let message = format!("the archive ends at byte {position} within a member");
    Fault::new(Stage::Inspect, Reason::Truncated, message)
}

/// Fault for bytes behind the end mark.
pub(super) fn follows_end() -> Fault {
    corrupt("something follows the end of the archive")
}

/// A header, taken apart.
pub(super) enum Header {
    /// An extension record of so many bytes follows; it belongs to the next member.
    Extension(u8, u64),
    /// A member's content follows; its offset is still to be set.
    Member(Member),
}

/// Reads headers one after the other, with what extension records say of the next member.
#[derive(Debug, Default)]
pub(super) struct Headers {
    long_name: Option<String>,
    long_size: Option<u64>,
}

impl Headers {
    /// Takes a header, whose first byte stands at `position`.
    pub(super) fn take(&mut self, block: &[u8; BLOCK], position: u64) -> Result<Header> {
        if !checksum_fits(block) {
            return Err(corrupt(format!("the archive's header at byte {position} is damaged")));
        }
        let (size, flag) = (number(field(block, 124, 12))?, block.get(156).copied().unwrap_or_default());
        if matches!(flag, b'L' | b'x' | b'g' | b'K') {
            if size > EXTENSION_LIMIT_BYTES {
                let message = format!("an extended header of {size} bytes in the archive");
                return Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, message));
            }
            return Ok(Header::Extension(flag, size));
        }
        let kind = kind_of(flag);
        let size = self.long_size.take().unwrap_or(size);
        let size = if matches!(kind, Kind::Folder | Kind::Symlink) { 0 } else { size };
        let name = self.long_name.take().unwrap_or_else(|| header_name(block));
        Ok(Header::Member(Member { name, size, kind, offset: position + BLOCK as u64 }))
    }

    /// Takes the record that [`Header::Extension`] has announced.
    pub(super) fn extend(&mut self, flag: u8, record: &[u8]) -> Result<()> {
        match flag {
            b'L' => self.long_name = Some(text(record.split(|b| *b == 0).next().unwrap_or_default())),
            b'x' => {
                let record = parse_pax(record)?;
                self.long_name = record.path.or_else(|| self.long_name.take());
                self.long_size = record.size.or(self.long_size);
            }
            // Global records and long link names change nothing that is used here.
            _ => {}
        }
        Ok(())
    }
}

/// Bytes of zeros behind content of `size` bytes that begins at `position`.
pub(super) fn padding(position: u64, size: u64) -> Result<u64> {
    let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    match position.checked_add(size).and_then(|end| end.checked_add(padding)) {
        Some(_) => Ok(padding),
        None => Err(corrupt(format!("a member of the archive claims {size} bytes"))),
    }
}

fn field(block: &[u8], start: usize, length: usize) -> &[u8] {
    block.get(start..start + length).unwrap_or_default()
}

fn kind_of(flag: u8) -> Kind {
    match flag {
        b'0' | 0 | b'7' => Kind::File,
        b'5' => Kind::Folder,
        b'2' => Kind::Symlink,
        other => Kind::Other(other),
    }
}

/// Octal digits, or GNU's big-endian binary form when the first bit is set.
pub(super) fn number(field: &[u8]) -> Result<u64> {
    let first = field.first().copied().unwrap_or_default();
    if first & 0x80 != 0 {
        let mut value: u64 = u64::from(first & 0x7f);
        for byte in field.iter().skip(1) {
            value = value
                .checked_mul(256)
                .and_then(|value| value.checked_add(u64::from(*byte)))
                .ok_or_else(|| corrupt("a size in the archive is out of range"))?;
        }
        return Ok(value);
    }
    let digits = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    if digits.is_empty() {
        return Ok(0);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 8).ok())
        .ok_or_else(|| corrupt("a number in an archive header is not octal"))
}

fn checksum_fits(block: &[u8]) -> bool {
    let Ok(stated) = number(field(block, 148, 8)) else { return false };
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) })
        .sum();
    sum == stated
}

fn header_name(block: &[u8]) -> String {
    let until_nul = |bytes: &[u8]| text(bytes.split(|byte| *byte == 0).next().unwrap_or_default());
    let name = until_nul(field(block, 0, 100));
    let prefix = until_nul(field(block, 345, 155));
    // GNU headers ("ustar  ") keep other things where POSIX has the prefix.
    if prefix.is_empty() || field(block, 257, 6) != b"ustar\0" { name } else { format!("{prefix}/{name}") }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Default)]
struct PaxRecord {
    path: Option<String>,
    size: Option<u64>,
}

/// `<length> <key>=<value>\n`, the length counting the whole record.
fn parse_pax(mut data: &[u8]) -> Result<PaxRecord> {
    let mut record = PaxRecord::default();
    let broken = || corrupt("an extended header of the archive is damaged");
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length: usize = std::str::from_utf8(data.get(..space).unwrap_or_default())
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(broken)?;
        let line =
            data.get(space + 1..length).and_then(|line| line.strip_suffix(b"\n")).ok_or_else(broken)?;
        let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let (key, value) = line.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        match key {
            b"path" => record.path = Some(text(value)),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                record.size = Some(size.ok_or_else(broken)?);
            }
            key if key.starts_with(b"GNU.sparse") => {
                return Err(Fault::new(
                    Stage::Inspect,
                    Reason::UnsafeContent,
                    "a sparse file in the archive",
                ));
            }
            _ => {}
        }
        data = data.get(length..).unwrap_or_default();
    }
    Ok(record)
}

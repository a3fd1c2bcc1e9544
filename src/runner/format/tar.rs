//! A streaming TAR reader: POSIX ustar with PAX and GNU long names and sizes.
//!
//! Nothing is ever unpacked to a path. Extension records have small limits, sizes and checksums are
//! checked, and what is not a regular file is named as what it is. Layout: POSIX.1-2017, pax;
//! GNU tar manual, "Basic Tar Format".

use std::io::{self, Read};

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

/// Reads members one after the other. Between two calls of [`TarReader::next_member`] it reads as
/// the content of the current one.
pub struct TarReader<R> {
    inner: R,
    position: u64,
    left: u64,
    padding: u64,
    ended: bool,
}

/// Whether `head` starts like a TAR: a ustar magic and a header whose checksum fits.
pub fn is_tar(head: &[u8]) -> bool {
    head.get(..BLOCK).is_some_and(|block| block.get(257..262) == Some(b"ustar") && checksum_fits(block))
}

fn corrupt(message: impl Into<String>) -> Fault {
    Fault::new(Stage::Inspect, Reason::CorruptBackup, message)
}

impl<R: Read> TarReader<R> {
    /// Reads the archive in `inner` from its first byte.
    pub fn new(inner: R) -> Self {
        Self { inner, position: 0, left: 0, padding: 0, ended: false }
    }

    /// The next member; what is left of the current one is skipped. `None` after the end mark, when
    /// nothing but zeros followed it.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut long_name = None;
        let mut long_size = None;
        loop {
            self.skip_rest()?;
            let Some(block) = self.read_header()? else { return Ok(None) };
            let (size, flag) = (number(field(&block, 124, 12))?, block.get(156).copied().unwrap_or_default());
            match flag {
                b'L' => {
                    long_name =
                        Some(text(self.read_extension(size)?.split(|b| *b == 0).next().unwrap_or_default()));
                }
                b'x' => {
                    let record = parse_pax(&self.read_extension(size)?)?;
                    long_name = record.path.or(long_name);
                    long_size = record.size.or(long_size);
                }
                // Global records and long link names change nothing that is used here.
                b'g' | b'K' => drop(self.read_extension(size)?),
                _ => {
                    let kind = kind_of(flag);
                    let size = long_size.unwrap_or(size);
                    let size = if matches!(kind, Kind::Folder | Kind::Symlink) { 0 } else { size };
                    self.begin_content(size)?;
                    let name = long_name.unwrap_or_else(|| header_name(&block));
                    return Ok(Some(Member { name, size, kind, offset: self.position }));
                }
            }
        }
    }

    fn begin_content(&mut self, size: u64) -> Result<()> {
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        if self.position.checked_add(size).and_then(|end| end.checked_add(padding)).is_none() {
            return Err(corrupt(format!("a member of the archive claims {size} bytes")));
        }
        (self.left, self.padding) = (size, padding);
        Ok(())
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > EXTENSION_LIMIT_BYTES {
            let message = format!("an extended header of {size} bytes in the archive");
            return Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, message));
        }
        self.begin_content(size)?;
        let mut record = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_exact(&mut record).map_err(|error| self.fault(error))?;
        Ok(record)
    }

    fn fault(&self, error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            let message = format!("the archive ends at byte {} within a member", self.position);
            return Fault::new(Stage::Inspect, Reason::Truncated, message);
        }
        Fault::from_io(error, Stage::Inspect, Reason::CorruptBackup, "failed to read the archive")
    }

    fn skip_rest(&mut self) -> Result<()> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut self.inner.by_ref().take(rest), &mut io::sink()).map_err(|error| {
            Fault::from_io(error, Stage::Inspect, Reason::CorruptBackup, "failed to read the archive")
        })?;
        self.position += skipped;
        if skipped < rest {
            return Err(self.fault(io::ErrorKind::UnexpectedEof.into()));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn read_header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.read_block(&mut block)?;
        if block.iter().all(|byte| *byte == 0) {
            self.read_end()?;
            return Ok(None);
        }
        if !checksum_fits(&block) {
            let message = format!("the archive's header at byte {} is damaged", self.position - BLOCK as u64);
            return Err(corrupt(message));
        }
        Ok(Some(block))
    }

    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<()> {
        self.inner.read_exact(block).map_err(|error| self.fault(error))?;
        self.position += BLOCK as u64;
        Ok(())
    }

    /// After the first zero block: the second one, and then only zeros to the end.
    fn read_end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        self.read_block(&mut block)?;
        loop {
            if block.iter().any(|byte| *byte != 0) {
                return Err(corrupt("something follows the end of the archive"));
            }
            let count = self.inner.read(&mut block).map_err(|error| self.fault(error))?;
            if count == 0 {
                self.ended = true;
                return Ok(());
            }
            self.position += count as u64;
            if let Some(rest) = block.get_mut(count..) {
                rest.fill(0);
            }
        }
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(target.len());
        let Some(target) = target.get_mut(..most).filter(|target| !target.is_empty()) else {
            return Ok(0);
        };
        let count = self.inner.read(target)?;
        if count == 0 {
            return Err(self.fault(io::ErrorKind::UnexpectedEof.into()).into_io());
        }
        self.left -= count as u64;
        self.position += count as u64;
        Ok(count)
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
fn number(field: &[u8]) -> Result<u64> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &content[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read_all(data: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut reader = TarReader::new(data);
        let mut members = Vec::new();
        while let Some(member) = reader.next_member()? {
            let mut content = Vec::new();
            reader
                .read_to_end(&mut content)
                .map_err(|error| Fault::from_io(error, Stage::Inspect, Reason::InternalError, ""))?;
            assert_eq!(content.len() as u64, member.size);
            assert_eq!(&data[usize::try_from(member.offset).unwrap()..][..content.len()], &content[..]);
            members.push((member.name, content));
        }
        Ok(members)
    }

    proptest! {
        #[test]
        fn archives_of_another_writer_read_back(
            members in proptest::collection::vec(("[a-zA-Z0-9ž_-][a-zA-Z0-9ž_.-]{0,299}", proptest::collection::vec(any::<u8>(), 0..2000)), 0..6)
        ) {
            let members: Vec<(String, Vec<u8>)> = members;
            prop_assert_eq!(read_all(&archive(&members)).unwrap(), members);
        }

        #[test]
        fn any_bytes_end_in_members_or_a_fault(data in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let _ = read_all(&data);
        }

        #[test]
        fn a_flipped_bit_never_panics(position in 0_usize..5 * 512 * 8) {
            let mut data = archive(&[("a".repeat(150), vec![1; 700]), ("b".into(), vec![2; 30])]);
            if let Some(byte) = data.get_mut(position / 8) { *byte ^= 1 << (position % 8); }
            let _ = read_all(&data);
        }
    }

    #[test]
    fn an_archive_cut_anywhere_is_truncated() {
        let data = archive(&[("one.sql".into(), vec![7; 1300]), ("two.sql".into(), vec![8; 10])]);
        for end in 0..data.len() {
            assert_eq!(read_all(&data[..end]).unwrap_err().reason, Reason::Truncated, "{end}");
        }
    }

    #[test]
    fn what_follows_the_end_must_be_zeros() {
        let mut data = archive(&[("a".into(), vec![1])]);
        data.extend_from_slice(&[0; 8192]);
        assert_eq!(read_all(&data).unwrap().len(), 1);
        data.push(1);
        assert_eq!(read_all(&data).unwrap_err().reason, Reason::CorruptBackup);
    }

    #[test]
    fn sizes_over_8_gib_and_absurd_ones_are_numbers_or_faults() {
        assert_eq!(number(b"77777777777\0").unwrap(), 0o77_777_777_777);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]).unwrap(), 2 << 32);
        assert_eq!(number(&[0xff; 12]).unwrap_err().reason, Reason::CorruptBackup);
        assert_eq!(number(b"12x\0").unwrap_err().reason, Reason::CorruptBackup);
    }
}

//! Reads a SQLite database file in pass 1: its 100-byte header, and whether its length is the one
//! that the header states. Pages are not looked at; SQLite does that once the bytes are proven.
//!
//! Source: "Database File Format", sqlite.org/fileformat2.html, section 1.3.

use crate::reason::Reason;
use crate::runner::engine::Scanner;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DumpFacts;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 100;
/// First bytes of every database file.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Newest values of the header's version fields that SQLite 3 defines.
const NEWEST_FILE_FORMAT: u8 = 2;
const NEWEST_SCHEMA_FORMAT: u32 = 4;

/// A database file's header, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes per page.
    pub(super) page_size: u32,
    /// The file is kept with a write-ahead log.
    pub(super) wal: bool,
    /// Pages, where the header's count is to be trusted.
    pub(super) pages: Option<u32>,
    /// Version of SQLite that wrote last.
    pub(super) version: Option<String>,
    /// What is newer than SQLite 3 as it is known here.
    pub(super) newer: Option<String>,
}

fn byte(header: &[u8; HEADER_BYTES], at: usize) -> u8 {
    header.get(at).copied().unwrap_or_default()
}

fn word(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let bytes = header.get(at..at + 4).and_then(|part| part.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

impl Header {
    /// Reads a header; the error says which field is impossible.
    pub(super) fn parse(header: &[u8; HEADER_BYTES]) -> Result<Self, String> {
        if !header.starts_with(MAGIC) {
            return Err("does not begin with the magic of SQLite 3".into());
        }
        let page_size = match u32::from(byte(header, 16)) << 8 | u32::from(byte(header, 17)) {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => size,
            size => return Err(format!("states a page size of {size}")),
        };
        if page_size - u32::from(byte(header, 20)) < 480 {
            return Err(format!("reserves {} bytes of every page", byte(header, 20)));
        }
        if (byte(header, 21), byte(header, 22), byte(header, 23)) != (64, 32, 32) {
            return Err("states payload fractions that SQLite does not know".into());
        }
        let (write, read) = (byte(header, 18), byte(header, 19));
        if write == 0 || read == 0 {
            return Err("states file format 0".into());
        }
        let encoding = word(header, 56);
        if encoding > 3 {
            return Err(format!("states text encoding {encoding}"));
        }
        let schema = word(header, 44);
        let newer = if write.max(read) > NEWEST_FILE_FORMAT {
            Some(format!("file format {}; the newest known one is {NEWEST_FILE_FORMAT}", write.max(read)))
        } else if schema > NEWEST_SCHEMA_FORMAT {
            Some(format!("schema format {schema}; the newest known one is {NEWEST_SCHEMA_FORMAT}"))
        } else {
            None
        };
        let (change_counter, pages) = (word(header, 24), word(header, 28));
        let trusted = pages > 0 && change_counter == word(header, 92);
        let version = word(header, 96);
        Ok(Self {
            page_size,
            wal: read == 2,
            pages: trusted.then_some(pages),
            version: (version > 0)
                .then(|| format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)),
            newer,
        })
    }
}

/// Reads a database file.
#[derive(Debug, Default)]
pub struct FileScanner {
    head: Vec<u8>,
    bytes: u64,
}

impl Scanner for FileScanner {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let missing = HEADER_BYTES - self.head.len().min(HEADER_BYTES);
        self.head.extend_from_slice(bytes.get(..missing.min(bytes.len())).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<DumpFacts> {
        let fault = |reason, what: String| {
            Fault::new(Stage::Inspect, reason, format!("the SQLite database file {what}"))
        };
        let Ok(head) = <[u8; HEADER_BYTES]>::try_from(self.head) else {
            let what = format!("has only {} bytes, less than its header", self.bytes);
            return Err(fault(Reason::Truncated, what));
        };
        let header = Header::parse(&head).map_err(|what| fault(Reason::CorruptBackup, what))?;
        let page_size = u64::from(header.page_size);
        if let Some(pages) = header.pages {
            let stated = u64::from(pages) * page_size;
            let what = format!("has {} bytes, but its header states {stated}", self.bytes);
            match self.bytes.cmp(&stated) {
                std::cmp::Ordering::Less => return Err(fault(Reason::Truncated, what)),
                std::cmp::Ordering::Greater => return Err(fault(Reason::CorruptBackup, what)),
                std::cmp::Ordering::Equal => {}
            }
        } else if !self.bytes.is_multiple_of(page_size) {
            let what = format!("has {} bytes, not a whole number of pages of {page_size}", self.bytes);
            return Err(fault(Reason::Truncated, what));
        }
        Ok(DumpFacts {
            trailer: header.pages.is_some(),
            engine_version: header.version,
            page_size: Some(header.page_size),
            newer_format: header.newer,
            ..DumpFacts::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn database() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(20000));").unwrap();
        drop(connection);
        std::fs::read(path).unwrap()
    }

    fn scan(bytes: &[u8]) -> Result<DumpFacts> {
        let mut scanner = Box::new(FileScanner::default());
        for piece in bytes.chunks(77) {
            scanner.feed(piece)?;
        }
        scanner.finish()
    }

    #[test]
    fn a_whole_file_is_proven_by_its_stated_length() {
        let facts = scan(&database()).unwrap();
        assert!(facts.trailer);
        assert_eq!(facts.page_size, Some(4096));
        assert_eq!(facts.engine_version.as_deref(), Some(rusqlite::version()));
        assert_eq!((facts.tables, facts.newer_format), (None, None));
    }

    #[test]
    fn damaged_headers_and_wrong_lengths_end_with_their_reason() {
        let whole = database();
        let change = |at: usize, value: &[u8]| {
            let mut copy = whole.clone();
            copy[at..at + value.len()].copy_from_slice(value);
            copy
        };
        for (name, bytes, reason) in [
            ("empty", vec![], Reason::Truncated),
            ("99 bytes", whole[..99].to_vec(), Reason::Truncated),
            ("cut by a byte", whole[..whole.len() - 1].to_vec(), Reason::Truncated),
            ("cut by a page", whole[..whole.len() - 4096].to_vec(), Reason::Truncated),
            ("a page more", [whole.clone(), vec![0; 4096]].concat(), Reason::CorruptBackup),
            ("magic", change(0, b"X"), Reason::CorruptBackup),
            ("page size 0", change(16, &[0, 0]), Reason::CorruptBackup),
            ("page size 1000", change(16, &[3, 232]), Reason::CorruptBackup),
            ("page size 256", change(16, &[1, 0]), Reason::CorruptBackup),
            ("fractions", change(21, &[65]), Reason::CorruptBackup),
            ("file format 0", change(18, &[0]), Reason::CorruptBackup),
            ("encoding", change(56, &[1, 0, 0, 0]), Reason::CorruptBackup),
        ] {
            assert_eq!(scan(&bytes).unwrap_err().reason, reason, "{name}");
        }
        for (name, bytes) in [("file format", change(19, &[3])), ("schema format", change(44, &[0, 0, 0, 5]))]
        {
            assert!(scan(&bytes).unwrap().newer_format.unwrap().contains(name));
        }
        // Written by SQLite before 3.7: the stated length means nothing.
        assert!(!scan(&change(92, &[9, 9, 9, 9])).unwrap().trailer);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_scanner_panic(head in prop::collection::vec(any::<u8>(), 0..130), valid in any::<bool>()) {
            let mut bytes = head;
            if valid && bytes.len() > 24 {
                bytes[..16].copy_from_slice(MAGIC);
                bytes[16..24].copy_from_slice(&[2, 0, 1, 1, 0, 64, 32, 32]);
            }
            prop_assert!(scan(&bytes).is_err() || bytes.len() >= HEADER_BYTES);
        }
    }
}

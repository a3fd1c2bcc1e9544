//! Compares the target after the switch with the database that was loaded.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use super::connect::quote;
use super::scan_file::HEADER_BYTES;
use crate::runner::engine::LoadedTable;
use crate::runner::pipe::BUFFER_BYTES;

/// Whether every table holds as many rows as were counted in the loaded database.
pub(super) fn equal_rows(connection: &Connection, tables: &[LoadedTable]) -> rusqlite::Result<bool> {
    for table in tables {
        let sql = format!("SELECT count(*) FROM {} NOT INDEXED", quote(&table.name));
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if rows.unsigned_abs() != table.rows {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compares two database files byte by byte, but for the header fields that a commit sets: file
/// format, change counter, page count, schema cookie, version.
pub(super) fn equal_pages(one: &File, other: &File) -> io::Result<bool> {
    let length = one.metadata()?.len();
    if length != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut at = 0;
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        left.resize(count, 0);
        right.resize(count, 0);
        one.read_exact_at(&mut left, at)?;
        other.read_exact_at(&mut right, at)?;
        if at == 0 {
            for buffer in [&mut left, &mut right] {
                mask(buffer);
            }
        }
        if left != right {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

/// The change counter in a header; 0 for an empty file, as SQLite counts.
pub(super) fn change_counter(header: Option<&[u8; HEADER_BYTES]>) -> u32 {
    let bytes = header.and_then(|header| header.get(24..28)).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

fn mask(page: &mut [u8]) {
    for (at, byte) in page.iter_mut().take(HEADER_BYTES).enumerate() {
        if matches!(at, 18..=19 | 24..=31 | 40..=43 | 92..=99) {
            *byte = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_that_a_commit_sets_may_differ() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, change: Option<usize>, length: usize| {
            let mut bytes = vec![7; length];
            if let Some(at) = change {
                bytes[at] = 8;
            }
            std::fs::write(folder.path().join(name), bytes).unwrap();
            File::open(folder.path().join(name)).unwrap()
        };
        let length = BUFFER_BYTES + 4096;
        let one = file("one", None, length);
        for (change, length, equal) in [
            (None, length, true),
            (Some(24), length, true),
            (Some(19), length, true),
            (Some(99), length, true),
            (Some(23), length, false),
            (Some(44), length, false),
            (Some(100), length, false),
            (Some(BUFFER_BYTES + 24), length, false),
            (Some(length - 1), length, false),
            (None, length + 1, false),
            (None, length - 1, false),
        ] {
            let other = file("other", change, length);
            assert_eq!(equal_pages(&one, &other).unwrap(), equal, "{change:?} {length}");
        }
    }
}

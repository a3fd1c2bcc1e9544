//! Rows of `COPY … FROM stdin` in text format: where they end, and how many there are.
//!
//! The end is a line of `\.` alone, as psql sees it: looked for at the beginning of every line,
//! whatever stands before. A row ends at a line feed that no backslash escapes (PostgreSQL, *COPY*,
//! *Text Format*); `COPY TO` writes line feeds within values as `\n`, so the escaped one is rare.

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::encoding::Encoding;
use crate::runner::fault::Result;

/// A piece of COPY data, as it was fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows<'a> {
    /// The bytes, the end marker never among them.
    pub bytes: &'a [u8],
    /// Rows that end in this piece.
    pub rows: u64,
    /// Whether the piece ends where a row ends: a place to go on with another `COPY`.
    pub ends_row: bool,
}

/// Follows COPY data up to its end marker, in pieces of any length.
#[derive(Clone, Debug)]
pub struct CopyReader {
    /// Bytes of the marker that have been seen at the beginning of this line; they are held back.
    marker: Option<usize>,
    /// The bytes so far end in an odd number of backslashes.
    escaped: bool,
    /// The line of the `COPY` statement has not ended yet.
    behind_statement: bool,
    encoding: Encoding,
    rows: u64,
}

/// The longest marker; without its third byte it is the usual one.
const MARKER: &[u8] = b"\\.\r\n";

impl CopyReader {
    /// Begins at the first line of the data.
    pub const fn new(encoding: Encoding) -> Self {
        Self { marker: Some(0), escaped: false, behind_statement: false, encoding, rows: 0 }
    }

    /// Begins behind the semicolon of a `COPY` statement: the data begin on the next line.
    pub const fn behind_statement(encoding: Encoding) -> Self {
        Self { behind_statement: true, ..Self::new(encoding) }
    }

    /// Skips the rest of the statement's line: bytes used, 0 in the data; `None` where it is not blank.
    pub fn skip_line(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.behind_statement {
            return Some(0);
        }
        let end = memchr(b'\n', bytes);
        self.behind_statement = end.is_none();
        let rest = bytes.get(..end.map_or(bytes.len(), |at| at + 1)).unwrap_or_default();
        rest.trim_ascii().is_empty().then_some(rest.len())
    }

    /// Bytes of the end marker, once it was read.
    pub fn marker_bytes(&self) -> u64 {
        self.marker.map_or(0, |seen| seen as u64 + 1)
    }

    /// Rows up to here.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Reads on: hands pieces of rows to `give`; gives back the bytes used, and whether they end with
    /// the end marker.
    pub fn take(
        &mut self,
        bytes: &[u8],
        give: &mut dyn FnMut(Rows<'_>) -> Result<()>,
    ) -> Result<(usize, bool)> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            if let Some(seen) = self.marker {
                match (seen, rest.first()) {
                    (0, Some(b'\\')) | (1, Some(b'.')) | (2, Some(b'\r')) => {
                        self.marker = Some(seen + 1);
                        used += 1;
                    }
                    (2 | 3, Some(b'\n')) => return Ok((used + 1, true)),
                    _ => {
                        self.marker = None;
                        self.give(MARKER.get(..seen).unwrap_or_default(), give)?;
                    }
                }
                continue;
            }
            let end = match memmem::find(rest, b"\n\\.") {
                Some(at) => at + 1,
                // The marker may have begun.
                None => rest.len() - usize::from(rest.ends_with(b"\n\\")),
            };
            let part = rest.get(..end).unwrap_or_default();
            self.give(part, give)?;
            self.marker = part.ends_with(b"\n").then_some(0);
            used += end;
        }
        Ok((used, false))
    }

    /// Hands on whole rows, and then the beginning of the next one.
    fn give(&mut self, bytes: &[u8], give: &mut dyn FnMut(Rows<'_>) -> Result<()>) -> Result<()> {
        let (whole, part) = bytes.split_at(memrchr(b'\n', bytes).map_or(0, |at| at + 1));
        for piece in [whole, part] {
            if !piece.is_empty() {
                let (rows, ends_row) = self.count(piece);
                self.rows += rows;
                give(Rows { bytes: piece, rows, ends_row })?;
            }
        }
        Ok(())
    }

    /// Row ends in `piece`, and whether it ends with one.
    fn count(&mut self, piece: &[u8]) -> (u64, bool) {
        let mut rows = memchr_iter(b'\n', piece).count() as u64;
        let mut ends_row = piece.ends_with(b"\n");
        if self.encoding.embeds_ascii() {
            // A backslash may be half of a character; `COPY TO` never escapes a line feed with one.
            return (rows, ends_row);
        }
        if self.escaped && piece.starts_with(b"\n") {
            rows -= 1;
            ends_row &= piece.len() > 1;
        }
        for at in memmem::find_iter(piece, b"\\\n") {
            if self.odd_backslashes(piece.get(..=at).unwrap_or_default()) {
                rows -= 1;
                ends_row &= at + 2 < piece.len();
            }
        }
        self.escaped = self.odd_backslashes(piece);
        (rows, ends_row)
    }

    /// Whether the text up to the end of `bytes` ends in an odd number of backslashes.
    fn odd_backslashes(&self, bytes: &[u8]) -> bool {
        let run = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
        let before = run == bytes.len() && self.escaped;
        (run % 2 == 1) != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces put together, rows, and bytes up to and with the marker.
    fn read(text: &[u8], step: usize, encoding: Encoding) -> (Vec<u8>, u64, Option<usize>) {
        let mut reader = CopyReader::new(encoding);
        let (mut all, mut counted, mut used) = (Vec::new(), 0, 0);
        for piece in text.chunks(step) {
            let (taken, ended) = reader
                .take(piece, &mut |rows| {
                    assert!(!rows.ends_row || rows.bytes.ends_with(b"\n"));
                    all.extend_from_slice(rows.bytes);
                    counted += rows.rows;
                    Ok(())
                })
                .unwrap();
            used += taken;
            if ended {
                assert_eq!(counted, reader.rows());
                return (all, counted, Some(used));
            }
            assert_eq!(taken, piece.len());
        }
        (all, counted, None)
    }

    #[test]
    fn rows_end_at_the_marker_and_nowhere_else() {
        type Case<'a> = (&'a [u8], &'a [u8], u64, Option<usize>);
        let cases: &[Case<'_>] = &[
            (b"\\.\nSELECT", b"", 0, Some(3)),
            (b"1\ta\n2\tb\n\\.\n", b"1\ta\n2\tb\n", 2, Some(11)),
            (b"1\n\\.\r\n", b"1\n", 1, Some(6)),
            (b"\\N\n\\N\t.\n\\.\n", b"\\N\n\\N\t.\n", 2, Some(11)),
            (b"\\\\.\n\\.\n", b"\\\\.\n", 1, Some(7)),
            (b"\\.x\n\\.\n", b"\\.x\n", 1, Some(7)),
            (b"\\.\rx\n\\.\n", b"\\.\rx\n", 1, Some(8)),
            (b"x\\.\n\\.\n", b"x\\.\n", 1, Some(7)),
            (b"\n\n\\.\n", b"\n\n", 2, Some(5)),
            (b"a\\\nb\n\\.\n", b"a\\\nb\n", 1, Some(8)),
            (b"a\\\\\nb\n\\.\n", b"a\\\\\nb\n", 2, Some(9)),
            (b"\\\n\\.\n", b"\\\n", 0, Some(5)),
            (b"a\n\\", b"a\n", 1, None),
            (b"a", b"a", 0, None),
        ];
        for (text, data, rows, end) in cases {
            for step in 1..=text.len() {
                let found = read(text, step, Encoding::Plain);
                assert_eq!(found, (data.to_vec(), *rows, *end), "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn half_a_character_is_no_backslash() {
        let text = b"\x95\x5c\n\\.\n";
        for step in 1..=text.len() {
            assert_eq!(read(text, step, Encoding::ShiftJis), (b"\x95\x5c\n".to_vec(), 1, Some(6)));
        }
    }

    #[test]
    fn a_piece_that_ends_in_an_escaped_line_feed_ends_no_row() {
        let mut seen = Vec::new();
        CopyReader::new(Encoding::Plain)
            .take(b"a\nb\\\n", &mut |rows| {
                seen.push((rows.rows, rows.ends_row));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(1, false)]);
    }
}

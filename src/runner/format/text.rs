//! Plain SQL dumps as far as they can be judged without reading their statements: the version in
//! the first comment lines and the end mark that the dump tools write last.

use crate::runner::engine::Scanner;
use crate::runner::fault::Result;
use crate::runner::inventory::DumpFacts;

/// Bytes of the beginning that are kept.
const HEAD_BYTES: usize = 4096;
/// Bytes of the end that are kept; `pg_dump` writes an `\unrestrict` line after its mark.
const TAIL_BYTES: usize = 512;

/// End marks of `pg_dump`, `pg_dumpall`, `mysqldump` and `mariadb-dump`.
const END_MARKS: [&[u8]; 3] = [
    b"\n-- PostgreSQL database dump complete",
    b"\n-- PostgreSQL database cluster dump complete",
    b"\n-- Dump completed",
];

/// Keeps both ends of a dump while it goes by.
#[derive(Debug, Default)]
pub struct TextScanner {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Scanner for TextScanner {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        let last = bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        self.tail.extend_from_slice(last);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<DumpFacts> {
        let ended = END_MARKS.iter().any(|mark| self.tail.windows(mark.len()).any(|window| window == *mark));
        Ok(DumpFacts { trailer: ended, engine_version: version(&self.head), ..DumpFacts::default() })
    }
}

/// The server's version from `-- Dumped from database version 15.18 (…)` or
/// `-- Server version` with a tab and `10.11.19-MariaDB`.
fn version(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let after = |mark: &str| head.lines().find_map(|line| line.strip_prefix(mark).map(str::to_owned));
    let rest = after("-- Dumped from database version ").or_else(|| after("-- Server version\t"))?;
    let version: String = rest.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_mark_counts_only_at_the_end() {
        let long = "INSERT INTO t VALUES (1);\n".repeat(1000);
        for (text, ended) in [
            (
                format!(
                    "-- MySQL dump 10.13\n-- Server version\t8.0.36\n{long}\n-- Dump completed on 2026-11-23\n"
                ),
                true,
            ),
            (
                format!(
                    "-- PostgreSQL database dump\n{long}\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x\n"
                ),
                true,
            ),
            (format!("\n-- Dump completed\n{long}"), false),
            (long.clone(), false),
        ] {
            for step in [1, 7, 4096, 100_000] {
                let mut scanner = Box::new(TextScanner::default());
                text.as_bytes().chunks(step).for_each(|part| scanner.feed(part).unwrap());
                assert_eq!(scanner.finish().unwrap().trailer, ended, "step {step}");
            }
        }
    }

    #[test]
    fn the_server_version_is_read_from_the_comments() {
        for (head, expected) in [
            ("-- x\n-- Dumped from database version 15.18 (Debian)\n", Some("15.18")),
            ("-- Server version\t10.11.19-MariaDB-0+deb12u1\n", Some("10.11.19")),
            ("-- Server version\tunknown\n", None),
        ] {
            assert_eq!(version(head.as_bytes()).as_deref(), expected, "{head}");
        }
    }
}

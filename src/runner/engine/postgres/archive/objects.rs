//! Large objects in files: which have come, and which the lists name.

use std::collections::HashMap;

use super::contents::{CONTENTS_LIMIT_BYTES, too_large};
use super::fields::corrupt;
use super::names::{self, File};
use crate::runner::codec::BlockCodec;
use crate::runner::fault::Result;

/// Memory of a large object's number, in bytes.
const OBJECT_BYTES: u64 = 32;
/// Longest line of a list in bytes; `pg_dump` writes at most 30.
const LINE_LIMIT_BYTES: usize = 64;

/// What is known of a large object.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    met: bool,
    listed: bool,
}

/// The large objects of an archive.
#[derive(Debug, Default)]
pub(super) struct Objects {
    seen: HashMap<u32, Seen>,
    /// What arrived of a line of the list that is open.
    line: Vec<u8>,
}

impl Objects {
    /// Memory that they take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.seen.len() as u64 * OBJECT_BYTES
    }

    /// The file of a large object has come.
    pub(super) fn meet(&mut self, oid: u32) -> Result<()> {
        let seen = self.seen.entry(oid).or_default();
        if std::mem::replace(&mut seen.met, true) {
            return Err(corrupt(format!("it has large object {oid} twice")));
        }
        Ok(())
    }

    /// Bytes of a list; the table of contents takes `contents` bytes of memory.
    pub(super) fn list(&mut self, bytes: &[u8], contents: u64) -> Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LINE_LIMIT_BYTES {
                return Err(corrupt("a line in its list of large objects is too long"));
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take(&line)?;
            }
            if contents + self.bytes() > CONTENTS_LIMIT_BYTES {
                return Err(too_large(format!("{} large objects", self.seen.len())));
            }
        }
        Ok(())
    }

    /// A line: `OID blob_OID.dat`.
    fn take(&mut self, line: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(line);
        let listed = text.trim_ascii_end().split_once(' ').and_then(|(oid, name)| {
            let oid = oid.parse().ok()?;
            (names::file(name) == Some(File::Object(oid, BlockCodec::None))).then_some(oid)
        });
        let Some(oid) = listed else {
            return Err(corrupt(format!(
                "its list of large objects has the line {:?}",
                text.trim_ascii_end()
            )));
        };
        let seen = self.seen.entry(oid).or_default();
        if std::mem::replace(&mut seen.listed, true) {
            return Err(corrupt(format!("it lists large object {oid} twice")));
        }
        Ok(())
    }

    /// The end of a list.
    pub(super) fn end_list(&self) -> Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        Err(corrupt("its list of large objects ends within a line"))
    }

    /// The end of the archive: a fault where one is missing, or no list names it.
    pub(super) fn finish(&self) -> Result<()> {
        let wrong = self.seen.iter().filter(|(_, seen)| seen.met != seen.listed).min_by_key(|(oid, _)| **oid);
        match wrong {
            None => Ok(()),
            Some((oid, seen)) if seen.listed => {
                Err(corrupt(format!("it has no file with large object {oid}")))
            }
            Some((oid, _)) => Err(corrupt(format!("no list of it names large object {oid}"))),
        }
    }
}

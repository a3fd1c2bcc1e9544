//! Reads `.dump` text in pass 1: every statement judged, rows counted per table, the end mark seen.
//! Of the text nothing is kept but the names of tables.

use std::collections::BTreeMap;

use super::grammar::{Statement, is_reserved};
use super::read::{Found, Splitter};
use crate::reason::Reason;
use crate::runner::engine::Scanner;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DumpFacts, TableRows};

/// Bytes of all table names of a dump together.
const NAMES_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Reads `.dump` text in pass 1.
#[derive(Debug, Default)]
pub struct DumpScanner {
    splitter: Splitter,
    /// By lower-case name, because SQLite's names are; with the name as it was written first.
    tables: BTreeMap<Vec<u8>, TableRows>,
    names_bytes: usize,
    largest: u64,
}

impl DumpScanner {
    fn take(&mut self, found: &Found) -> Result<()> {
        self.largest = self.largest.max(found.bytes);
        let (name, rows) = match &found.statement {
            Statement::Table(name) => (name, 0),
            Statement::Insert(name, rows) if !is_reserved(name) => (name, *rows),
            _ => return Ok(()),
        };
        let entry = self.tables.entry(name.to_ascii_lowercase()).or_insert_with(|| {
            self.names_bytes += 2 * name.len() + 64;
            TableRows { name: String::from_utf8_lossy(name).into_owned(), rows: 0 }
        });
        entry.rows = entry.rows.saturating_add(rows);
        if self.names_bytes > NAMES_LIMIT_BYTES {
            let what = format!("the dump names more tables than {NAMES_LIMIT_BYTES} bytes can list");
            return Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, what));
        }
        Ok(())
    }
}

impl Scanner for DumpScanner {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, found) = self.splitter.step(rest)?;
            if let Some(found) = found {
                self.take(&found)?;
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<DumpFacts> {
        let trailer = self.splitter.finish()?;
        Ok(DumpFacts {
            tables: Some(self.tables.into_values().collect()),
            trailer,
            largest_statement: self.largest,
            ..DumpFacts::default()
        })
    }
}

#[cfg(test)]
#[path = "scan_dump_tests.rs"]
mod tests;

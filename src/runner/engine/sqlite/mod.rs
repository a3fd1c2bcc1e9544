//! SQLite 3.

use crate::runner::engine::Scanner;
use crate::runner::fault::Result;
use crate::runner::inventory::DumpFacts;

/// Reads a database file.
#[derive(Debug, Default)]
pub struct FileScanner;
/// Reads `.dump` text.
#[derive(Debug, Default)]
pub struct DumpScanner;

impl Scanner for FileScanner {
    fn feed(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<DumpFacts> {
        Ok(DumpFacts::default())
    }
}

impl Scanner for DumpScanner {
    fn feed(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<DumpFacts> {
        Ok(DumpFacts::default())
    }
}

//! Reads an archive in pass 1: its table of contents, rows per table, and whether every entry that has
//! data came with them.

use std::ops::Range;
use std::sync::Arc;

use super::archive::entry::{Entry, Header};
use super::archive::reader::{ArchiveReader, Event};
use super::blocks::Blocks;
use super::copy::Rows;
use super::left::{self, Left};
use super::names::Name;
use super::scan_digest::Digests;
use super::script::{HEAD_BYTES, Keep, Script, Statement};
use super::split::Splitter;
use super::subject::{Subject, TableName, subject};
use super::tables::{Counts, Tables, version};
use super::{in_order, outside};
use crate::reason::Reason;
use crate::runner::engine::{DumpParts, Leaving, Scanner};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DumpFacts;

/// Reads archives in pass 1.
#[derive(Debug, Default)]
pub struct ArchiveScanner {
    reader: ArchiveReader,
    inventory: Inventory,
}

impl ArchiveScanner {
    /// Reads once more what an earlier scanner told with [`DumpFacts::late_contents`].
    pub fn with_contents(contents: Arc<[u8]>) -> Self {
        Self { reader: ArchiveReader::with_contents(Some(contents)), ..Self::default() }
    }
}

impl Scanner for ArchiveScanner {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let inventory = &mut self.inventory;
        self.reader.feed(bytes, &mut |event| inventory.take(event))
    }

    fn leaving(&mut self) -> Option<&mut dyn Leaving> {
        // Rows are added up while they go by.
        if self.inventory.digests.is_some() { None } else { Some(self) }
    }

    fn digest_rows(&mut self) {
        self.inventory.tables.with_digests();
        self.inventory.digests = Some(Digests::default());
    }

    fn finish(mut self: Box<Self>) -> Result<DumpFacts> {
        let inventory = &mut self.inventory;
        self.reader.finish(&mut |event| inventory.take(event))?;
        let Counts { tables, databases, extensions, outside, in_order, digests } =
            self.inventory.tables.into_counts();
        Ok(DumpFacts {
            tables: Some(tables),
            databases,
            trailer: true,
            largest_statement: self.inventory.largest.max(self.reader.contents_bytes()),
            engine_version: self.inventory.version,
            create_statement: self.inventory.create_statement,
            client_encoding: self.inventory.client_encoding,
            warnings: self.inventory.warnings,
            extensions,
            outside,
            in_order,
            blocks: self.inventory.blocks.into_all(),
            digests,
            late_contents: self.reader.late_contents(),
            ..DumpFacts::default()
        })
    }
}

impl Leaving for ArchiveScanner {
    fn leave(&mut self, leaves: bool) {
        self.reader.leave_blocks(leaves);
    }

    fn is_leaving(&self) -> bool {
        self.reader.is_leaving()
    }

    fn left_bytes(&self) -> u64 {
        self.inventory.left.iter().map(Left::bytes).sum()
    }

    fn read_left(&mut self, parts: &dyn DumpParts, readers: usize) -> Result<()> {
        let left = std::mem::take(&mut self.inventory.left);
        let rows = left::count(&left, parts, readers)?;
        for (Left { table, range, .. }, rows) in left.into_iter().zip(rows) {
            self.inventory.add_rows(&table, Some(range), rows)?;
        }
        Ok(())
    }
}

/// What has been seen of an archive.
#[derive(Debug, Default)]
struct Inventory {
    tables: Tables,
    version: Option<String>,
    create_statement: Option<Vec<u8>>,
    client_encoding: Option<String>,
    largest: u64,
    warnings: Vec<String>,
    /// Settings of the archive's texts, for the statements of `--inserts`.
    contents: super::settings::Settings,
    /// The table whose data go by.
    table: Option<TableName>,
    /// Where they were.
    place: Option<Range<u64>>,
    blocks: Blocks,
    /// What nobody has decoded yet.
    left: Vec<Left>,
    /// Adds up rows, where that was asked for.
    digests: Option<Digests>,
    /// Splits its statements, where its data are such.
    inserts: Option<(Splitter, Inserts)>,
}

impl Inventory {
    fn take(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Contents(header, entries) => self.list(header, entries),
            Event::Begin(entry) => {
                self.table = (!entry.is_large_objects()).then(|| table_of(entry));
                let splits = self.table.is_some() && entry.copy_statement.is_empty();
                if let Some(digests) = self.digests.as_mut().filter(|_| !splits && self.table.is_some()) {
                    digests.begin(&entry.copy_statement, Some(&entry.namespace));
                }
                self.inserts = splits.then(|| {
                    let splitter = Splitter::new(Keep::Head).with_settings(self.contents);
                    (splitter, Inserts::default())
                });
                Ok(())
            }
            Event::Sql(text) => match &mut self.inserts {
                Some((splitter, inserts)) => splitter.feed(text, inserts),
                None => Ok(()),
            },
            Event::Place(range) => {
                self.place = Some(range.clone());
                Ok(())
            }
            Event::Left(range, form) => {
                if let Some(table) = self.table.take() {
                    self.left.push(Left { table, range: range.clone(), form: form.clone() });
                }
                Ok(())
            }
            Event::End(rows) => self.end(rows),
            Event::Rows(rows) => {
                if let Some(digests) = &mut self.digests {
                    digests.rows(rows.bytes);
                }
                Ok(())
            }
            Event::Object(_) | Event::ObjectBytes(_) | Event::ObjectEnd => Ok(()),
        }
    }

    fn list(&mut self, header: &Header, entries: &[Entry]) -> Result<()> {
        self.version = version(&String::from_utf8_lossy(&header.server_version));
        self.contents = super::archive::entry::settings(entries)?;
        let encodings = entries.iter().filter(|entry| entry.desc == b"ENCODING");
        for encoding in encodings.map(|entry| subject(entry.defn.trim_ascii_start())) {
            let Subject::Set(_, value) = encoding else { continue };
            self.client_encoding = Some(String::from_utf8_lossy(&value).into_owned());
            if let Some(digests) = &mut self.digests {
                digests.encoding = value;
            }
        }
        self.tables.connect(&header.database)?;
        let create = entries.iter().find(|entry| entry.desc == b"DATABASE");
        self.create_statement =
            create.map(|entry| entry.defn.clone()).filter(|text| text.len() <= HEAD_BYTES);
        for entry in entries.iter().filter(|entry| entry.desc == b"TABLE" && !entry.is_partitioned_table()) {
            self.tables.add(&table_of(entry), 0)?;
        }
        for entry in entries.iter().filter(|entry| entry.desc == b"EXTENSION") {
            self.tables.extension(&entry.tag)?;
        }
        for entry in entries.iter().filter(|entry| in_order::may_say(&entry.defn)) {
            let mut wanted = InOrder { schema: &entry.namespace, tables: &mut self.tables };
            let mut splitter = Splitter::new(Keep::Head).with_settings(self.contents);
            splitter.feed(&entry.defn, &mut wanted)?;
            splitter.finish(&mut wanted)?;
        }
        outside::note_entries(self.tables.outside(), entries, self.contents)?;
        let with_oids = entries.iter().filter(|entry| entry.with_oids).count();
        if with_oids > 0 {
            self.warnings.push(format!("{with_oids} tables WITH OIDS, which servers since 12 do not have"));
        }
        Ok(())
    }

    fn end(&mut self, mut rows: u64) -> Result<()> {
        let place = self.place.take().filter(|_| self.inserts.is_none());
        if let Some((mut splitter, mut inserts)) = self.inserts.take() {
            splitter.finish(&mut inserts)?;
            rows = inserts.rows;
            self.largest = self.largest.max(inserts.largest);
        }
        if let Some((name, digest)) = self.digests.as_mut().and_then(|digests| digests.end(rows)) {
            self.tables.add_digest(&name, digest)?;
        }
        let Some(table) = self.table.take() else { return Ok(()) };
        self.add_rows(&table, place, rows)
    }

    fn add_rows(&mut self, table: &TableName, place: Option<Range<u64>>, rows: u64) -> Result<()> {
        if let Some(place) = place {
            self.blocks.end_of_archive(self.tables.database(), table, (place, rows));
        }
        self.tables.add(table, rows)
    }
}

/// The table that an entry is about.
fn table_of(entry: &Entry) -> TableName {
    let schema = Some(entry.namespace.clone()).filter(|schema| !schema.is_empty());
    TableName { schema, table: entry.tag.clone() }
}

/// Collects the tables that an entry's statements ask the order of rows for.
struct InOrder<'a> {
    schema: &'a [u8],
    tables: &'a mut Tables,
}

impl Script for InOrder<'_> {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        if let Some(Name { schema, name: table }) = in_order::table(statement.text) {
            let schema = schema.or_else(|| Some(self.schema.to_vec()).filter(|schema| !schema.is_empty()));
            return self.tables.keep_order(TableName { schema, table });
        }
        Ok(())
    }

    fn copy_begin(&mut self, _: Statement<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_rows(&mut self, _: Rows<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }
}

/// Counts the rows in an entry's statements.
#[derive(Debug, Default)]
struct Inserts {
    rows: u64,
    largest: u64,
}

fn refused(statement: &str) -> Fault {
    let what = format!("the data of a table hold {statement}, which no dump tool writes there");
    Fault::new(Stage::Inspect, Reason::UnsafeContent, what)
}

impl Script for Inserts {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        if !matches!(subject(statement.text), Subject::Insert(_)) {
            return Err(refused("a statement other than INSERT"));
        }
        self.rows += statement.rows;
        self.largest = self.largest.max(statement.bytes);
        Ok(())
    }

    fn copy_begin(&mut self, _: Statement<'_>) -> Result<()> {
        Err(refused("a COPY statement"))
    }

    fn copy_rows(&mut self, _: Rows<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
        Err(refused("a psql command"))
    }
}

#[cfg(test)]
#[path = "scan_archive_tests.rs"]
mod tests;

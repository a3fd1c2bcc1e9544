//! Loads a custom archive: what stands before the data, the data as their blocks come, what stands
//! behind them.
//!
//! The order is that of `pg_restore`: the table of contents is sorted by dependencies already;
//! comments come once all is there, and what runs by itself or reads everything comes last.

use super::around::{Left, Reading, Source};
use super::place::{Place, unsafe_content};
use super::sender::Sender;
use crate::runner::engine::postgres::archive::entry::{Entry, Section, settings};
use crate::runner::engine::postgres::archive::owner::{give, owned};
use crate::runner::engine::postgres::archive::reader::{ArchiveReader, Event, late_contents};
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::names::{quote_ident, quote_literal};
use crate::runner::engine::postgres::script::{Keep, Script, Statement};
use crate::runner::engine::postgres::settings::Settings;
use crate::runner::engine::postgres::split::Splitter;
use crate::runner::fault::Result;
use crate::runner::inventory::{DatabaseEntry, RowsBlock};

/// Bytes of a large object that are written at once.
const OBJECT_PIECE_BYTES: usize = 256 * 1024;
/// Entries that say how the archive is read; they come before all others.
const SETTINGS: [&[u8]; 3] = [b"ENCODING", b"STDSTRINGS", b"SEARCHPATH"];
/// Entries that take up room of a tablespace.
const STORED: [&[u8]; 4] = [b"TABLE", b"MATERIALIZED VIEW", b"INDEX", b"CONSTRAINT"];
/// Entries that wait for all others: they read every table, or act on what is done later.
const LAST: [&[u8]; 2] = [b"MATERIALIZED VIEW DATA", b"EVENT TRIGGER"];

/// Sends what the archive holds.
pub(super) fn load(sender: &mut Sender, incoming: &DatabaseEntry, source: Source<'_>) -> Result<()> {
    let mut loading = Loading::default();
    let mut archive = ArchiveReader::with_contents(incoming.facts.late_contents.clone());
    source.read(&mut Reader { archive: &mut archive, loading: &mut loading, sender })?;
    archive.finish(&mut |event| loading.take(sender, event))?;
    if incoming.facts.late_contents.is_none() && archive.late_contents().is_some() {
        return Err(late_contents());
    }
    loading.finish(sender)
}

struct Reader<'r> {
    archive: &'r mut ArchiveReader,
    loading: &'r mut Loading,
    sender: &'r mut Sender,
}

impl Reading for Reader<'_> {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { archive, loading, sender } = self;
        archive.feed(bytes, &mut |event| loading.take(sender, event))
    }

    fn leaves(&mut self, block: &RowsBlock) -> Result<Left> {
        let Some(form) = self.archive.block() else { return Ok(Left::Not) };
        let left = self.sender.leave_rows(block, Some(&form))?;
        if left != Left::Not {
            self.archive.skip_block(&block.range)?;
        }
        Ok(left)
    }
}

/// Where the load stands.
#[derive(Default)]
struct Loading {
    settings: Settings,
    /// Names are looked up in the schema of each entry, as archives before 2018 need it.
    by_schema: bool,
    /// Entries for behind the data, in their order.
    later: Vec<Entry>,
    /// Reads the SQL of a block of `INSERT`s.
    splitter: Option<Splitter>,
    /// The access method that tables are made with.
    access_method: Vec<u8>,
    /// The tablespace that tables and indexes are made in.
    tablespace: Vec<u8>,
    /// The block that is open.
    block: String,
    object: Object,
}

/// A large object that is being written.
#[derive(Default)]
struct Object {
    oid: u32,
    offset: u64,
    bytes: Vec<u8>,
}

impl Loading {
    fn take(&mut self, sender: &mut Sender, event: Event<'_>) -> Result<()> {
        match event {
            Event::Contents(_, entries) => self.contents(sender, entries),
            Event::Begin(entry) => self.begin(sender, entry),
            Event::Rows(rows) => sender.rows(rows),
            Event::Sql(text) => self.sql(sender, text),
            Event::Object(oid) => {
                self.object = Object { oid, ..Object::default() };
                Ok(())
            }
            Event::ObjectBytes(bytes) => self.object.take(sender, bytes),
            Event::ObjectEnd => self.object.write(sender),
            Event::Place(_) | Event::Left(..) => Ok(()),
            Event::End(rows) => self.end(sender, rows),
        }
    }

    fn contents(&mut self, sender: &mut Sender, entries: &[Entry]) -> Result<()> {
        self.settings = settings(entries)?;
        self.by_schema = !entries.iter().any(|entry| entry.desc == b"SEARCHPATH");
        for entry in entries.iter().filter(|entry| SETTINGS.contains(&entry.desc.as_slice())) {
            self.entry(sender, entry)?;
        }
        let (before, behind): (Vec<&Entry>, Vec<&Entry>) = entries
            .iter()
            .filter(|entry| !SETTINGS.contains(&entry.desc.as_slice()))
            // Large objects are made with the data since 1.16, which are written into them.
            .partition(|entry| entry.section == Section::PreData || entry.large_objects().is_some());
        for entry in before {
            self.entry(sender, entry)?;
        }
        self.later = behind.into_iter().filter(|entry| !entry.has_data()).cloned().collect();
        Ok(())
    }

    /// Sends the statements of an entry.
    fn entry(&mut self, sender: &mut Sender, entry: &Entry) -> Result<()> {
        if let Some(oids) = entry.large_objects() {
            oids.into_iter().try_for_each(|oid| sender.create_object(oid, &entry.describe()))?;
            return give_away(sender, entry);
        }
        if self.by_schema && !entry.namespace.is_empty() {
            sender.search_path(&entry.namespace, &entry.describe())?;
        }
        self.access_method(sender, entry)?;
        self.tablespace(sender, entry)?;
        let mut splitter = self.splitter();
        let place = Place::Entry(entry.describe());
        let mut script = Statements { sender, place };
        splitter.feed(&entry.defn, &mut script)?;
        splitter.finish(&mut script)?;
        give_away(sender, entry)
    }

    /// Chooses the tablespace of what an entry makes, which its statement does not name; an empty one is the
    /// database's own.
    fn tablespace(&mut self, sender: &mut Sender, entry: &Entry) -> Result<()> {
        let space = &entry.tablespace;
        if *space == self.tablespace || !STORED.contains(&entry.desc.as_slice()) {
            return Ok(());
        }
        self.tablespace.clone_from(space);
        let sql = [b"SET default_tablespace = ", quote_literal(space).as_slice()].concat();
        sender.statement(&sql, &Place::Entry(entry.describe()))
    }

    /// Chooses the access method of an entry's table, which its statement does not name. Partitioned tables
    /// have none to be made with.
    fn access_method(&mut self, sender: &mut Sender, entry: &Entry) -> Result<()> {
        let method = &entry.table_am;
        if method.is_empty() || entry.relkind == b'p' || *method == self.access_method {
            return Ok(());
        }
        self.access_method.clone_from(method);
        let sql = [b"SET default_table_access_method = ", quote_ident(method).as_slice()].concat();
        sender.statement(&sql, &Place::Entry(entry.describe()))
    }

    fn splitter(&self) -> Splitter {
        Splitter::new(Keep::Whole).with_settings(self.settings)
    }

    fn begin(&mut self, sender: &mut Sender, entry: &Entry) -> Result<()> {
        self.block = entry.describe();
        self.splitter = None;
        if entry.is_large_objects() {
            return Ok(());
        }
        if self.by_schema && !entry.namespace.is_empty() {
            sender.search_path(&entry.namespace, &self.block)?;
        }
        if entry.copy_statement.is_empty() {
            self.splitter = Some(self.splitter());
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let table = format!("{}.{}", text(&entry.namespace), text(&entry.tag));
        let place = Place::Entry(self.block.clone());
        sender.begin_copy(entry.copy_statement.trim_ascii_end(), &place, Some(table))
    }

    fn sql(&mut self, sender: &mut Sender, text: &[u8]) -> Result<()> {
        let place = Place::Entry(self.block.clone());
        match &mut self.splitter {
            Some(splitter) => splitter.feed(text, &mut Statements { sender, place }),
            None => Ok(()),
        }
    }

    fn end(&mut self, sender: &mut Sender, rows: u64) -> Result<()> {
        if let Some(mut splitter) = self.splitter.take() {
            let place = Place::Entry(self.block.clone());
            return splitter.finish(&mut Statements { sender, place });
        }
        if sender.is_copying() { sender.end_copy(rows) } else { Ok(()) }
    }

    /// What stands behind the data.
    fn finish(&mut self, sender: &mut Sender) -> Result<()> {
        let mut later = std::mem::take(&mut self.later);
        later.sort_by_key(turn);
        later.iter().try_for_each(|entry| self.entry(sender, entry))
    }
}

/// Gives what an entry has made to its owner, in the end.
fn give_away(sender: &mut Sender, entry: &Entry) -> Result<()> {
    if !sender.keeps_owners() {
        return Ok(());
    }
    let place = Place::Entry(entry.describe());
    owned(entry).iter().try_for_each(|object| sender.statement(&give(entry, object), &place))
}

/// When an entry without data of its own is sent, among those of its turn in the archive's order.
fn turn(entry: &Entry) -> u8 {
    match entry.section {
        _ if LAST.contains(&entry.desc.as_slice()) => 3,
        // What is said of an event trigger comes behind it.
        Section::None if entry.tag.starts_with(b"EVENT TRIGGER ") => 3,
        Section::None => 2,
        Section::PostData => 1,
        Section::PreData | Section::Data => 0,
    }
}

impl Object {
    fn take(&mut self, sender: &mut Sender, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = OBJECT_PIECE_BYTES.saturating_sub(self.bytes.len()).min(bytes.len());
            let (piece, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.bytes.extend_from_slice(piece);
            bytes = rest;
            if self.bytes.len() >= OBJECT_PIECE_BYTES {
                self.write(sender)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, sender: &mut Sender) -> Result<()> {
        if !self.bytes.is_empty() {
            sender.write_object(self.oid, self.offset, &self.bytes)?;
            self.offset += self.bytes.len() as u64;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// Sends the statements of one entry.
struct Statements<'s> {
    sender: &'s mut Sender,
    place: Place,
}

impl Script for Statements<'_> {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        self.sender.statement(statement.text, &self.place)
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        self.sender.begin_copy(statement.text, &self.place, None)
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        self.sender.rows(rows)
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.sender.end_copy(rows)
    }

    fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
        Err(unsafe_content(&self.place, "changes the database, which no entry of an archive does"))
    }
}

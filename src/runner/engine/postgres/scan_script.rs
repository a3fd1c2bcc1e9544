//! Reads a plain dump in pass 1: rows per table, the databases that it changes to, the server's
//! version from its comments, its end mark. Of the text nothing is kept but names.

use super::blocks::Blocks;
use super::copy::Rows;
use super::names::Name;
use super::scan_digest::Digests;
use super::script::{CopyPlace, Keep, Script, Statement};
use super::split::Splitter;
use super::statement::{DatabaseFact, Judged, Options, Step, judge};
use super::subject::{Subject, TableName, subject};
use super::tables::{Counts, Tables, version};
use super::{in_order, outside};
use crate::reason::Reason;
use crate::runner::engine::Scanner;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DumpFacts;

/// How `pg_dump` and `pg_dumpall` begin the comments that state the server's version.
const VERSION_MARK: &[u8] = b"-- Dumped from database version ";
/// Databases of a dump whose statements of creation are kept.
const DATABASES_LIMIT: usize = 4096;
/// How the statement begins that creates the database (`--create`).
const CREATE_DATABASE: &[u8] = b"CREATE DATABASE ";
/// How the statement begins that makes an extension.
const CREATE_EXTENSION: &[u8] = b"CREATE EXTENSION ";
/// How `pg_dumpall` begins.
const CLUSTER_MARK: &[u8] = b"-- PostgreSQL database cluster dump";
/// The end mark of `pg_dumpall`, behind those of its databases.
const CLUSTER_END_MARK: &[u8] = b"-- PostgreSQL database cluster dump complete";
/// The end mark of `pg_dump`.
const END_MARK: &[u8] = b"-- PostgreSQL database dump complete";

/// Reads plain dumps in pass 1.
#[derive(Debug)]
pub struct ScriptScanner {
    splitter: Splitter,
    inventory: Inventory,
}

impl Default for ScriptScanner {
    fn default() -> Self {
        Self { splitter: Splitter::new(Keep::Head), inventory: Inventory::default() }
    }
}

impl Scanner for ScriptScanner {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.splitter.feed(bytes, &mut self.inventory)
    }

    fn digest_rows(&mut self) {
        self.inventory.tables.with_digests();
        self.inventory.digests = Some(Digests::default());
    }

    fn finish(mut self: Box<Self>) -> Result<DumpFacts> {
        self.splitter.finish(&mut self.inventory)?;
        self.inventory.into_facts()
    }
}

/// What has been seen of a script.
#[derive(Debug, Default)]
struct Inventory {
    tables: Tables,
    /// The table that COPY data are for.
    copy: Option<TableName>,
    blocks: Blocks,
    /// Adds up rows, where that was asked for.
    digests: Option<Digests>,
    /// First entry of `search_path`, for dumps that do not qualify names (before 10.3).
    schema: Option<Vec<u8>>,
    largest: u64,
    any: bool,
    cluster: bool,
    ended: bool,
    version: Option<String>,
    client_encoding: Option<String>,
    /// By the database that is created.
    create_statements: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Inventory {
    /// The table with the schema that an unqualified name means.
    fn resolved(&self, mut name: TableName) -> TableName {
        name.schema = name.schema.or_else(|| self.schema.clone());
        name
    }

    fn note_database(&mut self, text: &[u8]) {
        if let Judged::Database(DatabaseFact::Create(told)) = judge(text, &Options::new(u16::MAX))
            && self.create_statements.len() < DATABASES_LIMIT
        {
            self.create_statements.push((told.name, text.to_vec()));
        }
    }

    fn seen(&mut self, statement: &Statement<'_>) {
        self.largest = self.largest.max(statement.bytes);
        self.any = true;
        self.ended = false;
    }

    fn into_facts(self) -> Result<DumpFacts> {
        if !self.any {
            let what = "the dump holds no statement";
            return Err(Fault::new(Stage::Inspect, Reason::Truncated, what));
        }
        let Counts { tables, mut databases, extensions, outside, in_order, digests } =
            self.tables.into_counts();
        for database in &mut databases {
            let mut created = self.create_statements.iter();
            let found = created.find(|(name, _)| String::from_utf8_lossy(name) == database.name);
            database.create_statement = found.map(|(_, text)| text.clone());
        }
        Ok(DumpFacts {
            tables: Some(tables),
            databases,
            trailer: self.ended,
            largest_statement: self.largest,
            engine_version: self.version,
            create_statement: self.create_statements.into_iter().next().map(|(_, text)| text),
            client_encoding: self.client_encoding,
            extensions,
            outside,
            in_order,
            blocks: self.blocks.into_all(),
            digests,
            ..DumpFacts::default()
        })
    }
}

impl Script for Inventory {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        self.seen(&statement);
        if statement.text.starts_with(CREATE_DATABASE) && !statement.cut {
            self.note_database(statement.text);
        }
        if statement.text.starts_with(CREATE_EXTENSION)
            && let Judged::Send(Step::Extension { name, .. }) = judge(statement.text, &Options::new(u16::MAX))
        {
            self.tables.extension(&name)?;
        }
        outside::note(self.tables.outside(), statement.text, statement.cut);
        if let Some(Name { schema, name }) = in_order::table(statement.text) {
            let name = self.resolved(TableName { schema, table: name });
            self.tables.keep_order(name)?;
        }
        match subject(statement.text) {
            Subject::CreateTable(name) if !statement.partitioned => {
                let name = self.resolved(name);
                self.tables.add(&name, 0)
            }
            Subject::Insert(name) => {
                let name = self.resolved(name);
                self.tables.add(&name, statement.rows)
            }
            Subject::Set(name, value) if name == b"search_path" => {
                self.schema = Some(value).filter(|schema| !schema.is_empty());
                Ok(())
            }
            Subject::Set(name, value) if name == b"client_encoding" => {
                let name = String::from_utf8_lossy(&value).into_owned();
                self.client_encoding.get_or_insert(name);
                if let Some(digests) = &mut self.digests {
                    digests.encoding = value;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        self.seen(&statement);
        let Subject::Copy(name) = subject(statement.text) else {
            let what = format!("the COPY in line {} of the dump names no table", statement.line);
            return Err(Fault::new(Stage::Inspect, Reason::UnsafeContent, what));
        };
        self.copy = Some(self.resolved(name));
        if let Some(digests) = &mut self.digests {
            digests.begin(statement.text, self.schema.as_deref());
        }
        Ok(())
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        self.blocks.rows(rows);
        if let Some(digests) = &mut self.digests {
            digests.rows(rows.bytes);
        }
        Ok(())
    }

    fn copy_place(&mut self, place: CopyPlace) -> Result<()> {
        if let Some(table) = &self.copy {
            self.blocks.end_of_script(self.tables.database(), table, place);
        }
        Ok(())
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        if let Some((name, digest)) = self.digests.as_mut().and_then(|digests| digests.end(rows)) {
            self.tables.add_digest(&name, digest)?;
        }
        match self.copy.take() {
            Some(name) => self.tables.add(&name, rows),
            None => Ok(()),
        }
    }

    fn connect(&mut self, name: &[u8], _: u64) -> Result<()> {
        (self.any, self.ended, self.schema) = (true, false, None);
        self.tables.connect(name)
    }

    fn comment(&mut self, text: &[u8]) -> Result<()> {
        let text = text.trim_ascii_end();
        if let Some(rest) = text.strip_prefix(VERSION_MARK)
            && self.version.is_none()
        {
            self.version = version(&String::from_utf8_lossy(rest));
        }
        self.cluster |= text == CLUSTER_MARK;
        let mark = if self.cluster { CLUSTER_END_MARK } else { END_MARK };
        self.ended |= text == mark && self.any;
        Ok(())
    }
}

#[cfg(test)]
#[path = "scan_script_tests.rs"]
mod tests;

//! Names of tables in dumps of other encodings than UTF-8.
//!
//! Pass 1 keeps a name as text, with U+FFFD for what is no UTF-8. Which table that is, the server can
//! tell: it lists its tables in the dump's encoding, and what becomes the same text is the same table.

use std::borrow::Cow;
use std::collections::HashMap;

use super::names::literal;
use super::server::Session;
use super::wire::Row;
use crate::reason::Reason;
use crate::runner::engine::LoadedTable;
use crate::runner::fault::Result;
use crate::runner::inventory::{DatabaseEntry, DumpFacts};

/// All tables with their object ids.
const TABLES: &str = "SELECT c.oid, nspname, relname FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
    WHERE relkind IN ('r', 'p', 'f') AND nspname::pg_catalog.text !~ '^pg_'";

/// The names of the loaded tables by the text that pass 1 has for them; empty where they are the same.
#[derive(Debug, Default)]
pub(super) struct Spelled(HashMap<String, String>);

impl Spelled {
    /// Asks the server, where a name of the dump is not whole.
    pub(super) fn ask(session: &mut Session, facts: &DumpFacts) -> Result<Self> {
        let is_cut = |name: &str| name.contains(char::REPLACEMENT_CHARACTER);
        let any = facts.tables.iter().flatten().any(|table| is_cut(&table.name));
        let Some(encoding) = facts.client_encoding.as_ref().filter(|_| any) else {
            return Ok(Self::default());
        };
        let mut listed = |encoding: &str| -> Result<Vec<Row>> {
            let sql = format!("SET client_encoding = {}", literal(encoding));
            session.run("read names in the dump's encoding", &sql, Reason::VerificationFailed)?;
            session.rows("list the tables by their names", TABLES, &[])
        };
        let theirs = listed(encoding)?;
        let ours = listed("UTF8")?;
        let ours: HashMap<Option<&str>, String> = ours.iter().map(|row| (row.text(0), name(row))).collect();
        let pairs = theirs.iter().filter_map(|row| Some((name(row), ours.get(&row.text(0))?.clone())));
        let all: Vec<(String, String)> = pairs.filter(|(theirs, _)| is_cut(theirs)).collect();
        // Of two that become the same text nobody knows which is which.
        let is_one = |text: &str| all.iter().filter(|(other, _)| other == text).count() == 1;
        Ok(Self(all.iter().filter(|(text, _)| is_one(text)).cloned().collect()))
    }

    /// The inventory with the names of the loaded tables.
    pub(super) fn entry<'a>(&self, incoming: &'a DatabaseEntry) -> Cow<'a, DatabaseEntry> {
        if self.0.is_empty() {
            return Cow::Borrowed(incoming);
        }
        let mut entry = incoming.clone();
        for table in entry.facts.tables.iter_mut().flatten() {
            self.spell(&mut table.name);
        }
        for digest in entry.facts.digests.iter_mut().flatten() {
            self.spell(&mut digest.table);
        }
        Cow::Owned(entry)
    }

    /// What a load has counted, in the same way.
    pub(super) fn tables(&self, mut tables: Vec<LoadedTable>) -> Vec<LoadedTable> {
        for table in &mut tables {
            self.spell(&mut table.name);
        }
        tables
    }

    fn spell(&self, name: &mut String) {
        if let Some(spelled) = self.0.get(name) {
            name.clone_from(spelled);
        }
    }
}

/// `schema.table`, as pass 1 writes it.
fn name(row: &Row) -> String {
    let part = |index: usize| String::from_utf8_lossy(row.bytes(index).unwrap_or_default()).into_owned();
    format!("{}.{}", part(1), part(2))
}

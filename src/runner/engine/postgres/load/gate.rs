//! Judges each statement of a dump before it is sent, and keeps the list of what was left out.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use memchr::{memchr_iter, memmem};

use super::place::{Place, unsafe_content};
use crate::report::counted;
use crate::runner::engine::postgres::census::Census;
use crate::runner::engine::postgres::jobs::Jobs;
use crate::runner::engine::postgres::names::Name;
use crate::runner::engine::postgres::statement::{Judged, Object, Options, Step, Table, judge};
use crate::runner::fault::Result;

/// Notes on what was left out.
const NOTES_LIMIT: usize = 20;

/// What a dump may do, and what it has said of its names so far.
pub(super) struct Gate {
    options: Options,
    /// What becomes of scheduled jobs.
    pub(super) jobs: Jobs,
    /// Where names without a schema are, as the dump's `search_path` begins.
    schema: Option<Vec<u8>>,
    /// Tables of other servers, into which nothing is written.
    foreign: BTreeSet<String>,
    /// Tables of the dump that have rows of their own, those of them that are a part of another, and those that
    /// nobody has written to.
    plain: BTreeSet<String>,
    parts: BTreeSet<String>,
    fresh: BTreeSet<String>,
    /// There are triggers or rules.
    spills: bool,
    /// Functions of the dump, without their schemas.
    routines: HashSet<Vec<u8>>,
    /// Tables whose checks or generated columns call one, which may look at other tables.
    asking: BTreeSet<String>,
    /// A domain does, and any table may use it.
    all_ask: bool,
    /// What is sent.
    pub(super) census: Census,
    /// What was left out, how often, and why.
    skipped: BTreeMap<(String, &'static str), u64>,
}

impl Gate {
    pub(super) fn new(options: Options, jobs: Jobs) -> Self {
        Self {
            options,
            jobs,
            schema: None,
            foreign: BTreeSet::new(),
            plain: BTreeSet::new(),
            parts: BTreeSet::new(),
            fresh: BTreeSet::new(),
            spills: false,
            routines: HashSet::new(),
            asking: BTreeSet::new(),
            all_ask: false,
            census: Census::default(),
            skipped: BTreeMap::new(),
        }
    }

    /// Whether a backslash in a plain constant is itself.
    pub(super) const fn is_conforming(&self) -> bool {
        self.options.standard_conforming_strings
    }

    /// What may be sent; `None`: it is left out.
    pub(super) fn judged(&mut self, text: &[u8], place: &Place) -> Result<Option<Step>> {
        match judge(text, &self.options) {
            Judged::Send(step) => {
                let context = (self.schema.as_deref(), self.is_conforming());
                if let Some(why) = self.jobs.leaves_out(&step, text, context) {
                    self.skip("of pg_cron", why);
                    return Ok(None);
                }
                self.note_calls(&step, text);
                self.census.add(&step, text);
                self.at_home(step, place).map(Some)
            }
            Judged::Skip { what, why } => {
                self.skip(&what, why);
                Ok(None)
            }
            Judged::Database(_) | Judged::Empty => Ok(None),
            Judged::Unsafe(what) => Err(unsafe_content(place, &what)),
        }
    }

    /// Refuses rows for a table of another server: they would be written there.
    fn at_home(&mut self, step: Step, place: &Place) -> Result<Step> {
        match &step {
            Step::ForeignTable { table, .. } => {
                self.foreign.insert(self.table_name(table));
            }
            Step::AttachPartition { table, partition } => {
                self.parts.insert(self.table_name(partition));
                // Rows for the whole would go through to the part.
                if self.is_foreign(partition) {
                    self.foreign.insert(self.table_name(table));
                }
            }
            Step::CopyFrom { table, .. } | Step::Insert { table } if self.is_foreign(table) => {
                let what = format!(
                    "rows for the foreign table {table}, which another server holds, or a part of it; of a table \
                     with such a part make the dump without --load-via-partition-root"
                );
                return Err(unsafe_content(place, &what));
            }
            Step::Table(table) if !table.partitioned => self.note_table(table),
            Step::Insert { table } => {
                self.take_fresh(table);
            }
            // What comes in from here on may be written to other tables, too.
            Step::Trigger { .. } | Step::Rule { .. } => self.spills = true,
            Step::Setting { name: "search_path", values } => self.look_in(values.first().cloned()),
            Step::Setting { name: "standard_conforming_strings", values } => {
                let off = |value: &Vec<u8>| value.eq_ignore_ascii_case(b"off");
                self.options.standard_conforming_strings = !values.iter().any(off);
            }
            _ => {}
        }
        Ok(step)
    }

    /// Notes functions of the dump, and what calls one while rows come in.
    fn note_calls(&mut self, step: &Step, text: &[u8]) {
        match step {
            Step::Routine { name, .. } => {
                self.routines.insert(name.name.to_ascii_lowercase());
            }
            Step::Table(table) if self.calls(text) => {
                self.asking.insert(self.table_name(&table.name));
            }
            Step::Create { object: Object::Domain, .. } | Step::Alter { object: Object::Domain, .. } => {
                self.all_ask |= self.calls(text);
            }
            _ => {}
        }
    }

    /// Whether a check or a generated column in a statement may call a function of the dump.
    fn calls(&self, text: &[u8]) -> bool {
        let has = |word: &[u8]| memmem::find(text, word).is_some();
        if self.routines.is_empty() || !(has(b"CHECK") || has(b"GENERATED ALWAYS AS (")) {
            return false;
        }
        memchr_iter(b'(', text).any(|at| {
            let before = text.get(..at).unwrap_or_default();
            let before = before.strip_suffix(b"\"").unwrap_or(before);
            let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
            let length = before.iter().rev().take_while(|byte| part(byte)).count();
            let word = before.get(before.len() - length..).unwrap_or_default();
            self.routines.contains(word.to_ascii_lowercase().as_slice())
        })
    }

    /// Whether rows of a table may be checked against those of others: all before them must be in.
    pub(super) fn asks_others(&self, table: &str) -> bool {
        self.all_ask || self.asking.contains(table)
    }

    fn note_table(&mut self, table: &Table) {
        let name = self.table_name(&table.name);
        if table.partition_of.is_some() {
            self.parts.insert(name.clone());
        }
        // Two whose names cannot be told apart as text are taken for one that has rows.
        if self.plain.insert(name.clone()) {
            self.fresh.insert(name);
        } else {
            self.fresh.remove(&name);
        }
    }

    /// Whether the dump has made this table, and it neither has parts nor is one: all its rows come by its own
    /// name.
    pub(super) fn stands_alone(&self, table: &Name) -> bool {
        let name = self.table_name(table);
        self.plain.contains(&name) && !self.parts.contains(&name)
    }

    /// Whether the dump has made this table, and it has rows of its own.
    pub(super) fn is_plain(&self, table: &Name) -> bool {
        self.plain.contains(&self.table_name(table))
    }

    /// Notes that rows are written to a table; whether it is one of the dump's that had none before.
    pub(super) fn take_fresh(&mut self, table: &Name) -> bool {
        let calls = self.spills || self.all_ask || !self.asking.is_empty();
        if calls || !self.is_plain(table) {
            // Its rows may go to any part of it, or its functions may write anywhere.
            self.fresh.clear();
        }
        self.fresh.remove(&self.table_name(table))
    }

    fn is_foreign(&self, table: &Name) -> bool {
        self.foreign.contains(&self.table_name(table))
    }

    /// Whether names without a schema are looked up in this one.
    pub(super) fn looks_in(&self, schema: &[u8]) -> bool {
        self.schema.as_deref() == Some(schema)
    }

    /// Names without a schema are in this one from here on.
    pub(super) fn look_in(&mut self, schema: Option<Vec<u8>>) {
        self.schema = schema;
    }

    /// `schema.table`, as the inventory names it.
    pub(super) fn table_name(&self, name: &Name) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match name.schema.as_ref().or(self.schema.as_ref()) {
            Some(schema) => format!("{}.{}", text(schema), text(&name.name)),
            None => text(&name.name),
        }
    }

    /// Notes what was left out.
    pub(super) fn skip(&mut self, what: &str, why: &'static str) {
        // What is only about the session is nobody's loss.
        if what.starts_with("SET ") {
            return;
        }
        // Kinds are told, not each of thousands of owners.
        let kind = what.split(' ').take(2).collect::<Vec<_>>().join(" ");
        *self.skipped.entry((kind, why)).or_default() += 1;
    }

    /// What was left out, for people; owners and rights first.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut all: Vec<_> = self.skipped.iter().collect();
        all.sort_by_key(|((kind, _), _)| !kind.starts_with(|first: char| first.is_ascii_lowercase()));
        let more = all.len().saturating_sub(NOTES_LIMIT);
        let told = all.iter().take(NOTES_LIMIT);
        let mut notes: Vec<String> = told
            .map(|((kind, why), times)| {
                format!("left out, {} {kind} …: {why}", counted(**times, "statement"))
            })
            .collect();
        if more > 0 {
            notes.push(format!("left out, and {more} more kinds of statements"));
        }
        notes
    }
}

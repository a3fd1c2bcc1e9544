//! Judges each statement of a dump before it is sent, and keeps the list of what was left out.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Place, unsafe_content};
use crate::report::counted;
use crate::runner::engine::postgres::names::Name;
use crate::runner::engine::postgres::statement::{Judged, Options, Step, judge};
use crate::runner::fault::Result;

/// Notes on what was left out.
const NOTES_LIMIT: usize = 20;

/// What a dump may do, and what it has said of its names so far.
pub(super) struct Gate {
    options: Options,
    /// Where names without a schema are, as the dump's `search_path` begins.
    schema: Option<Vec<u8>>,
    /// Tables of other servers, into which nothing is written.
    foreign: BTreeSet<String>,
    /// What was left out, how often, and why.
    skipped: BTreeMap<(String, &'static str), u64>,
}

impl Gate {
    pub(super) fn new(options: Options) -> Self {
        Self { options, schema: None, foreign: BTreeSet::new(), skipped: BTreeMap::new() }
    }

    /// What may be sent; `None`: it is left out.
    pub(super) fn judged(&mut self, text: &[u8], place: &Place) -> Result<Option<Step>> {
        match judge(text, &self.options) {
            Judged::Send(step) => self.at_home(step, place).map(Some),
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
            // Rows for the whole would go through to the part.
            Step::AttachPartition { table, partition } if self.is_foreign(partition) => {
                self.foreign.insert(self.table_name(table));
            }
            Step::CopyFrom { table, .. } | Step::Insert { table } if self.is_foreign(table) => {
                let what = format!(
                    "rows for the foreign table {table}, which another server holds, or a part of it; of a table \
                     with such a part make the dump without --load-via-partition-root"
                );
                return Err(unsafe_content(place, &what));
            }
            Step::Setting { name: "search_path", values } => self.look_in(values.first().cloned()),
            Step::Setting { name: "standard_conforming_strings", values } => {
                let off = |value: &Vec<u8>| value.eq_ignore_ascii_case(b"off");
                self.options.standard_conforming_strings = !values.iter().any(off);
            }
            _ => {}
        }
        Ok(step)
    }

    fn is_foreign(&self, table: &Name) -> bool {
        self.foreign.contains(&self.table_name(table))
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

    /// What was left out, for people.
    pub(super) fn notes(&self) -> Vec<String> {
        let notes = self.skipped.iter().map(|((kind, why), times)| {
            format!("left out, {} {kind} …: {why}", counted(*times, "statement"))
        });
        notes.take(NOTES_LIMIT).collect()
    }
}

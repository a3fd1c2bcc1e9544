//! The session that a dump is sent through: every statement is judged, then sent or left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Loaded;
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::engine::Context;
use crate::runner::engine::postgres::names::{Name, quote_ident};
use crate::runner::engine::postgres::server::{PostgresTarget, Session};
use crate::runner::engine::postgres::statement::{Judged, Object, Options, Part, Step, judge};
use crate::runner::engine::postgres::wire::{Transaction, WireError};
use crate::runner::fault::{Fault, Result, Stage};

/// Bytes of a statement that a message shows.
const SHOWN_BYTES: usize = 100;
/// Notes on what was left out.
const NOTES_LIMIT: usize = 20;
/// `insufficient_privilege`.
const NO_RIGHT: &str = "42501";
/// `duplicate_schema`.
const SCHEMA_THERE: &str = "42P06";

/// Where a statement stands in the backup.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Line of a script, from 1.
    Line(u64),
    /// Entry of an archive.
    Entry(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line} of the dump"),
            Self::Entry(entry) => write!(f, "{entry}"),
        }
    }
}

/// A `COPY` that is under way.
struct Copying {
    /// `None`: its rows are left out.
    table: Option<String>,
    place: Place,
}

/// Sends a dump.
pub(in crate::runner::engine::postgres) struct Sender<'a> {
    session: Session,
    /// The role that everything belongs to.
    user: String,
    analyzes: bool,
    options: Options,
    context: &'a Context,
    copying: Option<Copying>,
    rows: BTreeMap<String, u64>,
    /// Where names without a schema are, as the dump's `search_path` begins.
    schema: Option<Vec<u8>>,
    /// Tables of other servers, into which nothing is written.
    foreign: BTreeSet<String>,
    /// What was left out, how often, and why.
    skipped: BTreeMap<(String, &'static str), u64>,
}

impl<'a> Sender<'a> {
    /// Opens the session.
    pub(in crate::runner::engine::postgres) fn open(
        settings: &PostgresTarget,
        major: u32,
        database: &str,
        context: &'a Context,
    ) -> Result<Self> {
        let mut session = settings.guest_session(database, Stage::Restore, &context.cancel)?;
        let timeout = settings.statement_timeout.map_or(0, |time| time.as_millis());
        for (what, sql) in [
            // A database that is not whole is dropped, so a crash may lose the end of it.
            ("load without waiting for the disk", "SET synchronous_commit = off".to_owned()),
            ("set the timeout of statements", format!("SET statement_timeout = {timeout}")),
            ("load without idle limits", "SET idle_in_transaction_session_timeout = 0".to_owned()),
            ("load without checks of bodies", "SET check_function_bodies = off".to_owned()),
            ("hear of warnings only", "SET client_min_messages = warning".to_owned()),
        ] {
            session.run(what, &sql, Reason::RestoreFailed)?;
        }
        let mut options = Options::new(u16::try_from(major).unwrap_or(u16::MAX));
        options.skip.extend([
            Part::Owners,
            Part::Grants,
            Part::SecurityLabels,
            Part::Subscriptions,
            Part::TableAccessMethods,
        ]);
        Ok(Self {
            session,
            user: settings.login.user.clone(),
            analyzes: settings.analyzes,
            options,
            context,
            copying: None,
            rows: BTreeMap::new(),
            schema: None,
            foreign: BTreeSet::new(),
            skipped: BTreeMap::new(),
        })
    }

    /// Judges a statement, and sends it or leaves it out.
    pub(super) fn statement(&mut self, text: &[u8], place: &Place) -> Result<()> {
        self.context.cancel.check(Stage::Restore)?;
        let Some(step) = self.judged(text, place)? else { return Ok(()) };
        if is_our_business(&step) {
            return Ok(());
        }
        match self.session.connection.run(text) {
            Ok(rows) => self.done(&step, rows),
            Err(error) if is_harmless(&step, &error) => self.skip(&shown(text), "the server has its own"),
            Err(error) => return Err(failed(error, place, &describe(&step, text))),
        }
        Ok(())
    }

    /// What may be sent; `None`: it is left out.
    fn judged(&mut self, text: &[u8], place: &Place) -> Result<Option<Step>> {
        match judge(text, &self.options) {
            Judged::Send(step) => self.at_home(step, place).map(Some),
            Judged::Skip { what, why } => {
                self.skip(&what, why);
                Ok(None)
            }
            Judged::Database(_) | Judged::Empty => Ok(None),
            Judged::Unsafe(what) => Err(Self::unsafe_content(place, &what)),
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
                let what = format!("rows for the foreign table {table}, which another server holds");
                return Err(Self::unsafe_content(place, &what));
            }
            _ => {}
        }
        Ok(step)
    }

    fn is_foreign(&self, table: &Name) -> bool {
        self.foreign.contains(&self.table_name(table))
    }

    /// The fault for what no dump tool writes.
    pub(super) fn unsafe_content(place: &Place, what: &str) -> Fault {
        Fault::new(Stage::Restore, Reason::UnsafeContent, format!("{place}: {what}"))
    }

    fn done(&mut self, step: &Step, rows: u64) {
        match step {
            Step::Insert { table } => {
                let table = self.table_name(table);
                *self.rows.entry(table).or_default() += rows;
            }
            Step::Setting { name: "search_path", values } => self.schema = values.first().cloned(),
            Step::Setting { name: "standard_conforming_strings", values } => {
                let off = |value: &Vec<u8>| value.eq_ignore_ascii_case(b"off");
                self.options.standard_conforming_strings = !values.iter().any(off);
            }
            _ => {}
        }
    }

    /// `schema.table`, as the inventory names it.
    fn table_name(&self, name: &Name) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match name.schema.as_ref().or(self.schema.as_ref()) {
            Some(schema) => format!("{}.{}", text(schema), text(&name.name)),
            None => text(&name.name),
        }
    }

    fn skip(&mut self, what: &str, why: &'static str) {
        // What is only about the session is nobody's loss.
        if what.starts_with("SET ") {
            return;
        }
        // Kinds are told, not each of thousands of owners.
        let kind = what.split(' ').take(2).collect::<Vec<_>>().join(" ");
        *self.skipped.entry((kind, why)).or_default() += 1;
    }

    /// Begins to take in rows. `of` is the table that they are counted for, where the statement may name
    /// the root of its partitions instead.
    pub(super) fn begin_copy(&mut self, text: &[u8], place: &Place, of: Option<String>) -> Result<()> {
        self.context.cancel.check(Stage::Restore)?;
        let table = match self.judged(text, place)? {
            None => None,
            Some(Step::CopyFrom { table, .. }) => {
                let begun = self.session.connection.begin_copy(text);
                begun.map_err(|error| failed(error, place, &shown(text)))?;
                Some(of.unwrap_or_else(|| self.table_name(&table)))
            }
            Some(_) => return Err(Self::unsafe_content(place, "rows follow what is no COPY")),
        };
        self.copying = Some(Copying { table, place: place.clone() });
        Ok(())
    }

    /// Whether a `COPY` is under way.
    pub(super) const fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// Takes in a piece of rows.
    pub(super) fn rows(&mut self, bytes: &[u8]) -> Result<()> {
        match &self.copying {
            Some(Copying { table: Some(table), place }) => {
                let sent = self.session.connection.copy(bytes);
                sent.map_err(|error| failed(error, place, &format!("rows of {table}")))
            }
            _ => Ok(()),
        }
    }

    /// Ends the `COPY` after so many rows of the dump.
    pub(super) fn end_copy(&mut self, rows: u64) -> Result<()> {
        let Some(Copying { table: Some(table), place }) = self.copying.take() else { return Ok(()) };
        let ended = self.session.connection.end_copy();
        let taken = ended.map_err(|error| failed(error, &place, &format!("rows of {table}")))?;
        if taken != rows {
            let message =
                format!("{place}: the dump has {rows} rows of {table}, and the server took in {taken}");
            return Err(Fault::new(Stage::Restore, Reason::RestoreFailed, message));
        }
        *self.rows.entry(table).or_default() += taken;
        Ok(())
    }

    /// Looks names up in one schema.
    pub(super) fn search_path(&mut self, schema: &[u8], entry: &str) -> Result<()> {
        let sql = [b"SET search_path = ", quote_ident(schema).as_slice(), b", pg_catalog"].concat();
        self.schema = Some(schema.to_vec());
        let set = self.session.connection.run(&sql);
        set.map(drop).map_err(|error| failed(error, &Place::Entry(entry.to_owned()), "its schema"))
    }

    /// Makes an empty large object.
    pub(super) fn create_object(&mut self, oid: u32, entry: &str) -> Result<()> {
        let sql = format!("SELECT pg_catalog.lo_create({oid})");
        let made = self.session.connection.run(sql.as_bytes());
        made.map(drop)
            .map_err(|error| failed(error, &Place::Entry(entry.to_owned()), &format!("large object {oid}")))
    }

    /// Writes a piece of a large object.
    pub(super) fn write_object(&mut self, oid: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.lo_put({oid}, {offset}, pg_catalog.decode('{}', 'hex'))",
            hex::encode(bytes)
        );
        let written = self.session.connection.run(sql.as_bytes());
        written.map(drop).map_err(|error| {
            failed(error, &Place::Entry(format!("large object {oid}")), &format!("its bytes from {offset}"))
        })
    }

    /// Ends the load: statistics, and what there is to tell.
    pub(super) fn finish(mut self) -> Result<Loaded> {
        self.context.cancel.check(Stage::Restore)?;
        if self.session.connection.transaction() != Transaction::Idle {
            let message = "the dump begins a transaction that it does not end, so nothing of it would stay";
            return Err(Fault::new(Stage::Restore, Reason::CorruptBackup, message));
        }
        self.session.run("end the dump's settings", "RESET ALL", Reason::RestoreFailed)?;
        self.session.run(
            "look at the server's own names only",
            "SET search_path = pg_catalog",
            Reason::RestoreFailed,
        )?;
        let notices = self.session.connection.take_notices();
        if self.analyzes {
            // It warns of every table of the server's own that it leaves out.
            self.session.run(
                "hear of errors only",
                "SET client_min_messages = error",
                Reason::RestoreFailed,
            )?;
            self.session.run("collect the planner's statistics", "ANALYZE", Reason::RestoreFailed)?;
        }
        let sql = "SELECT nspname, relname FROM pg_catalog.pg_depend \
                   JOIN pg_catalog.pg_class c ON c.oid = objid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
                   WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype = 'e' AND relkind = 'r'";
        let rows = self.session.rows("list the tables of extensions", sql, &[])?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let grown = rows.iter().map(|row| format!("{}.{}", text(row.text(0)), text(row.text(1)))).collect();
        let mut notes: Vec<String> = self
            .skipped
            .iter()
            .map(|((kind, why), times)| format!("left out, {} {kind} …: {why}", counted(*times, "statement")))
            .collect();
        notes.truncate(NOTES_LIMIT);
        // An archive states owners beside its statements, so nothing of them is met and counted.
        let user = &self.user;
        notes
            .insert(0, format!("everything belongs to {user}; owners and rights in the backup are left out"));
        if let Some(first) = notices.first.first() {
            notes.push(format!(
                "the server gave {}, the first: {}",
                counted(notices.count, "warning"),
                first.message
            ));
        }
        Ok(Loaded { rows: self.rows, grown, notes })
    }
}

/// Settings that this session has its own of.
fn is_our_business(step: &Step) -> bool {
    matches!(
        step,
        Step::Setting {
            name: "statement_timeout"
                | "idle_in_transaction_session_timeout"
                | "synchronous_commit"
                | "lock_timeout",
            ..
        }
    )
}

/// What every database has already, and which belongs to a superuser.
fn is_harmless(step: &Step, error: &WireError) -> bool {
    matches!(
        (step, error.sqlstate()),
        (Step::Comment { object: Object::Extension | Object::Schema }, Some(NO_RIGHT))
            | (Step::Create { object: Object::Schema, .. }, Some(SCHEMA_THERE))
    )
}

fn failed(error: WireError, place: &Place, what: &str) -> Fault {
    error.fault(Stage::Restore, Reason::RestoreFailed, &format!("{place}: the server refused {what}"))
}

/// A statement in a message, without the data in it.
fn describe(step: &Step, text: &[u8]) -> String {
    match step {
        Step::Insert { table } => format!("rows of {table}"),
        Step::LargeObject(_) => "a step of a large object".to_owned(),
        Step::UserMapping { .. } => "a user mapping".to_owned(),
        _ => shown(text),
    }
}

/// The beginning of a statement, on one line.
fn shown(text: &[u8]) -> String {
    let head = text.get(..SHOWN_BYTES).unwrap_or(text);
    let more = if head.len() < text.len() { "…" } else { "" };
    let line: String =
        String::from_utf8_lossy(head).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}{more}", line.split_whitespace().collect::<Vec<_>>().join(" "))
}

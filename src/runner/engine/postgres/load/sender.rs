//! Sends a dump: every statement is judged, then sent in its turn or left out.

mod copying;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::copying::Copying;
use super::ahead;
use super::analyze::analyze;
use super::finish::{end_settings, finish};
use super::gate::Gate;
use super::indexing::Indexing;
use super::lanes::{Done, Lanes};
use super::place::{Place, describe, failed, kind, shown};
use super::roles::{ABSENT, Fate, Roles, send_kept};
use super::schemas;
use super::series::Series;
use super::session::{Door, Settings};
use super::sizes::Sizes;
use super::turn::{Class, Scope, Turn, holds, turn};
use super::work::{Job, Statement, Task, WAITING_BYTES};
use super::{LoadOptions, Loaded, last};
use crate::runner::engine::postgres::names::quote_ident;
use crate::runner::engine::postgres::parts::Parts;
use crate::runner::engine::postgres::roles::absent;
use crate::runner::engine::postgres::statement::{LargeObject, Object, Options, Part, Role, Step};
use crate::runner::engine::postgres::subscriptions::Waiting;
use crate::runner::engine::postgres::wire::WireError;
use crate::runner::fault::{Result, Stage};
use crate::runner::inventory::{Outside, RoleUse};

/// `insufficient_privilege`.
pub(super) const NO_RIGHT: &str = "42501";
/// `duplicate_schema`.
const SCHEMA_THERE: &str = "42P06";
/// Bytes of statements that wait for their turn, at most.
const LATER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Sends a dump.
pub(super) struct Sender {
    door: Door,
    series: Series,
    lanes: Lanes,
    gate: Gate,
    settings: Settings,
    copying: Option<Copying>,
    /// What waits for a place where all is done.
    later: Vec<(Vec<u8>, Step, Place)>,
    later_bytes: usize,
    /// The class of the tasks that were given out since all was done.
    class: Option<Class>,
    /// The dump has begun a transaction.
    in_transaction: bool,
    /// A statement was sent whose effects are not known.
    strange: bool,
    /// What waits for the end.
    roles: Roles,
    /// What waits for the end of the run.
    subscriptions: Waiting,
    /// Roles that will own something, as the server has them.
    owners: Vec<String>,
    /// Tables whose rows one lane takes in.
    in_order: BTreeSet<String>,
    /// The large tables.
    sizes: Arc<Sizes>,
    /// Tables that a lane writes to alone, since all rows were in the last time.
    alone: BTreeSet<String>,
}

impl Sender {
    /// Opens the session for what goes in order.
    pub(super) fn open(door: Door, load: &LoadOptions<'_>) -> Result<Self> {
        let mut options = Options::new(u16::try_from(door.major).unwrap_or(u16::MAX));
        let parts = &door.settings.parts;
        options.skip.clone_from(&parts.left_out);
        options.all = door.settings.all_statements;
        let mut session = door.open()?;
        let indexing = Indexing::ask(&mut session, door.major, load.lanes)?;
        let absent = if parts.skips_missing {
            absent(&mut session, &door.settings, door.major, load.outside)?
        } else {
            BTreeSet::new()
        };
        Ok(Self {
            series: Series::new(session, door.batch()),
            owners: owners(parts, load.outside),
            roles: Roles::new(parts.clone(), absent),
            subscriptions: load.waiting.clone(),
            lanes: Lanes::new(door.clone(), load.lanes, indexing, load.parts.clone()),
            door,
            gate: Gate::new(options, load.jobs.clone()),
            settings: Settings::default(),
            copying: None,
            later: Vec::new(),
            later_bytes: 0,
            class: None,
            in_transaction: false,
            strange: false,
            in_order: load.in_order.clone(),
            sizes: Arc::clone(&load.sizes),
            alone: BTreeSet::new(),
        })
    }

    /// Whether what comes needs what only the session of the series has: an open transaction of the dump, or
    /// whatever a statement has made there that no dump tool writes.
    const fn in_one_session(&self) -> bool {
        self.in_transaction || self.strange
    }

    /// Sends what has waited for the end.
    fn finish_roles(&mut self) -> Result<()> {
        let [schemas, owners, others] = std::mem::take(&mut self.roles).into_kept();
        let mut settings = self.settings.clone();
        let cancel = self.door.context.cancel.clone();
        let mut send = |kept| send_kept(kept, &mut self.series, &mut self.gate, (&mut settings, &cancel));
        send(schemas)?;
        let opened = if owners.is_empty() { None } else { Some(schemas::open(&self.door, &self.owners)?) };
        send(owners)?;
        if let Some(opened) = opened {
            opened.close()?;
        }
        send(others)
    }

    /// Whether objects are given to the owners that the dump names.
    pub(super) fn keeps_owners(&self) -> bool {
        self.door.settings.parts.has(Part::Owners)
    }

    fn check_cancel(&self) -> Result<()> {
        self.door.context.cancel.check(Stage::Restore)
    }

    /// Judges a statement, and sends it in its turn or leaves it out.
    pub(super) fn statement(&mut self, text: &[u8], place: &Place) -> Result<()> {
        self.check_cancel()?;
        let Some(step) = self.gate.judged(text, place)? else { return Ok(()) };
        if let Step::OwnedSchema { name, role } = &step {
            return self.owned_schema(name, role, place);
        }
        if last::waits(&mut self.subscriptions, &step, text, (place, &self.settings, &mut self.gate))? {
            return Ok(());
        }
        let changed = match self.roles.take(&step, text, place, &self.settings)? {
            Fate::Send(changed) => changed,
            Fate::Kept => return Ok(()),
            Fate::LeftOut => {
                self.gate.census.take_back(&step, text);
                self.gate.skip(kind(&step), ABSENT);
                return Ok(());
            }
        };
        let text = changed.as_deref().unwrap_or(text);
        match turn(&step) {
            Turn::Beside => self.beside(text, &step, place),
            _ if self.in_one_session() => {
                self.meet()?;
                self.in_series(text, &step, place)
            }
            Turn::Later => {
                self.later_bytes += text.len() + WAITING_BYTES;
                self.later.push((text.to_vec(), step, place.clone()));
                if self.later_bytes > LATER_LIMIT_BYTES { self.meet() } else { Ok(()) }
            }
            Turn::InOrder => {
                self.meet()?;
                self.in_series(text, &step, place)
            }
            Turn::Task(class, scope) => self.task(text, &step, place, (class, scope)),
        }
    }

    /// Makes a schema, and gives it away as any other object is: in the end, to its owner's name at the server.
    fn owned_schema(&mut self, name: &[u8], role: &Role, place: &Place) -> Result<()> {
        let schema = quote_ident(name);
        self.statement(&[b"CREATE SCHEMA ".as_slice(), &schema].concat(), place)?;
        if !role.is_name() {
            return Ok(());
        }
        let owner = quote_ident(&role.name);
        self.statement(&[b"ALTER SCHEMA ".as_slice(), &schema, b" OWNER TO ", &owner].concat(), place)
    }

    /// Waits for all that was given out, and sends what has waited for that.
    fn meet(&mut self) -> Result<()> {
        self.lanes.settle()?;
        self.class = None;
        self.later_bytes = 0;
        for (text, step, place) in std::mem::take(&mut self.later) {
            self.in_series(&text, &step, &place)?;
        }
        Ok(())
    }

    /// What others may need of the series is done.
    fn settle_series(&mut self) -> Result<()> {
        if self.series.matters() || self.in_one_session() {
            let rows = self.series.settle()?;
            self.lanes.add_rows(rows);
        }
        Ok(())
    }

    /// Sends a statement that has nothing to do with what lanes do.
    fn beside(&mut self, text: &[u8], step: &Step, place: &Place) -> Result<()> {
        let edge = matches!(step, Step::Begin | Step::Commit);
        if edge {
            let rows = self.series.settle()?;
            self.lanes.add_rows(rows);
        }
        let rows = self.series.send(text, describe(step, text), place, (None, false))?;
        self.lanes.add_rows(rows);
        if edge {
            self.series.settle()?;
            self.in_transaction = *step == Step::Begin;
        }
        Ok(())
    }

    /// Sends a statement in the order of the dump.
    fn in_series(&mut self, text: &[u8], step: &Step, place: &Place) -> Result<()> {
        if let Step::Setting { name, .. } = step {
            self.settings = self.settings.with(name, text);
        }
        if !goes_alone(step) {
            let table = match step {
                Step::Insert { table } => Some(self.gate.table_name(table)),
                _ => None,
            };
            let rows = self.series.send(text, describe(step, text), place, (table, true))?;
            self.lanes.add_rows(rows);
            return Ok(());
        }
        let rows = self.series.settle()?;
        self.lanes.add_rows(rows);
        self.strange |= *step == Step::Other;
        match self.series.alone(text) {
            Ok(_) => Ok(()),
            // In a transaction of the dump an error undoes all of it.
            Err(error) if !self.in_transaction && is_harmless(step, &error) => {
                self.gate.census.take_back(step, text);
                self.gate.skip(&shown(text), "the server has its own");
                Ok(())
            }
            Err(error) => Err(failed(error, place, &describe(step, text))),
        }
    }

    /// Lets a lane run a statement.
    fn task(&mut self, text: &[u8], step: &Step, place: &Place, turn: (Class, Scope)) -> Result<()> {
        let (class, scope) = turn;
        if !self.is_of_plain_tables(step) {
            if self.class.is_some_and(|other| other != class) {
                self.meet()?;
            }
            if scope == Scope::All {
                self.lanes.settle_rows()?;
            }
            self.class = Some(class);
        }
        self.settle_series()?;
        let named = holds(step).into_iter().map(|(table, hold)| (self.gate.table_name(table), hold));
        let holds: Vec<_> = named.collect();
        let weight = holds.iter().map(|(table, _)| self.sizes.of_table(table)).sum();
        let (text, what) = (text.to_vec(), describe(step, text));
        let statement = Statement { text, place: place.clone(), settings: self.settings.clone(), what };
        self.lanes.run(Task { job: Job::Statement(statement), holds, weight })
    }

    /// Whether a foreign key is one of tables that neither have parts nor are one: it needs their rows and their
    /// keys, for which it waits by its holds, and nothing else.
    fn is_of_plain_tables(&self, step: &Step) -> bool {
        let Step::ForeignKey { table, references, .. } = step else { return false };
        self.gate.stands_alone(table) && self.gate.stands_alone(references)
    }

    /// Looks names up in one schema.
    pub(super) fn search_path(&mut self, schema: &[u8], entry: &str) -> Result<()> {
        if self.gate.looks_in(schema) {
            return Ok(());
        }
        // Names of what waits are of the schema before.
        self.meet()?;
        let sql = [b"SET search_path = ", quote_ident(schema).as_slice(), b", pg_catalog"].concat();
        let step = Step::Setting { name: "search_path", values: vec![schema.to_vec()] };
        self.gate.look_in(Some(schema.to_vec()));
        self.in_series(&sql, &step, &Place::Entry(entry.to_owned()))
    }

    /// Makes an empty large object.
    pub(super) fn create_object(&mut self, oid: u32, entry: &str) -> Result<()> {
        let sql = format!("SELECT pg_catalog.lo_create({oid})");
        self.object(&sql, LargeObject::Create(oid), &Place::Entry(entry.to_owned()))
    }

    /// Writes a piece of a large object.
    pub(super) fn write_object(&mut self, oid: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let hex = hex::encode(bytes);
        let sql = format!("SELECT pg_catalog.lo_put({oid}, {offset}, pg_catalog.decode('{hex}', 'hex'))");
        self.object(&sql, LargeObject::Write, &Place::Entry(format!("large object {oid}")))
    }

    fn object(&mut self, sql: &str, step: LargeObject, place: &Place) -> Result<()> {
        let step = Step::LargeObject(step);
        self.gate.census.add(&step, sql.as_bytes());
        self.beside(sql.as_bytes(), &step, place)
    }

    /// Lets lanes do for large tables what comes at the end, beside what they are doing. What is left to do writes
    /// no rows: foreign keys, comments, rights, and event triggers last.
    fn ahead(&mut self) -> Result<()> {
        if self.in_one_session() || self.lanes.is_idle() {
            return Ok(());
        }
        let rows = self.series.settle()?;
        self.lanes.add_rows(rows);
        self.lanes.settle_rows()?;
        // How statistics of an index are to be collected, it may say yet.
        let is_told = |step: &Step| !matches!(step, Step::Alter { object: Object::Index, .. });
        let analyzes = self.door.settings.analyzes && self.later.iter().all(|(_, step, _)| is_told(step));
        let how = (&self.door, &self.settings, analyzes);
        ahead::begin(&mut self.series.session, &mut self.lanes, &self.sizes, how)
    }

    /// Ends the load: statistics, and what there is to tell.
    pub(super) fn finish(mut self) -> Result<Loaded> {
        self.check_cancel()?;
        self.ahead()?;
        self.meet()?;
        let ahead = self.lanes.take_ahead();
        let rows = self.series.settle()?;
        self.lanes.add_rows(rows);
        self.finish_roles()?;
        let mut notices = end_settings(&mut self.series.session, &self.door)?;
        if self.door.settings.analyzes {
            analyze(&mut self.series.session, &mut self.lanes, &self.door, &ahead.analysed)?;
        }
        let mut done = self.lanes.close()?;
        notices.count += done.notices.count;
        notices.first.append(&mut done.notices.first);
        let done = Done { notices, ..done };
        let loaded = finish(self.series.session, &self.door.settings, &self.gate, done)?;
        Ok(Loaded { counts: ahead.counts, subscriptions: self.subscriptions, ..loaded })
    }
}

/// The roles that own something in the dump, as the server has them.
fn owners(parts: &Parts, outside: &Outside) -> Vec<String> {
    let owners = outside.roles.iter().filter(|(_, used)| *used == RoleUse::Owner);
    owners.map(|(name, _)| String::from_utf8_lossy(parts.role(name)).into_owned()).collect()
}

/// Whether the statement goes alone: the server may refuse it and nothing is lost, or it may be of a kind
/// that no transaction takes.
const fn goes_alone(step: &Step) -> bool {
    matches!(
        step,
        Step::Other
            | Step::Extension { .. }
            | Step::Refresh { .. }
            | Step::Comment { object: Object::Extension | Object::Schema }
            | Step::Create { object: Object::Schema, .. }
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

//! PostgreSQL 10 to 18: plain SQL and archives, restored into databases of a server.
//!
//! The dump is loaded into a new database beside the target ([`load`]), compared with the dump there
//! ([`verify`]), and put in place by renaming both in one transaction ([`switch`]), so applications
//! find the old data or the new. An advisory lock in the maintenance database excludes other runs on
//! the same target. Several databases of a run are loaded one after the other and renamed together.
//! Where the login may not create databases, an existing empty target is loaded in place.

pub mod archive;
mod beside;
mod blocks;
mod carry;
mod census;
mod content;
pub mod copy;
mod create;
pub mod digest;
mod direct;
mod discard;
mod doubts;
pub mod encoding;
mod extensions;
mod held;
mod hook;
mod in_order;
mod jobs;
mod left;
mod load;
mod locale;
mod meta;
pub mod names;
mod outside;
mod parts;
mod preflight;
mod query;
mod quote;
mod reading;
mod rename;
mod roles;
mod scan_archive;
mod scan_digest;
mod scan_script;
pub mod script;
mod server;
pub mod settings;
mod shape;
mod spelled;
pub mod split;
pub mod statement;
pub mod subject;
mod subscriptions;
mod survey;
mod switch;
mod tables;
mod target;
mod verify;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use jiff::Timestamp;

use crate::reason::Reason;
use crate::runner::engine::{Context, Dump, Engine, Findings, Incoming, Previous, Survey, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DatabaseEntry;

use jobs::Jobs;
use server::Server;
use survey::Way;
use switch::Switching;
use target::Target;

pub use parts::Parts;
pub use scan_archive::ArchiveScanner;
pub use scan_script::ScriptScanner;
pub use server::{Access, PostgresTarget};

/// A restore to databases of one PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    settings: PostgresTarget,
    targets: Vec<Target>,
    context: Context,
    /// The session that holds the locks of the targets; dropped: the locks are free.
    server: Option<Server>,
    /// Databases that this run made and has to drop.
    made: Vec<String>,
    switch_notes: Vec<String>,
    /// Bytes of what waits for the end of the run.
    waiting: Arc<AtomicUsize>,
}

impl Postgres {
    /// Prepares a restore to the database that `settings` name; nothing is looked at yet.
    pub fn new(settings: PostgresTarget, context: Context) -> Self {
        let targets = vec![Target::new(settings.clone())];
        let (made, switch_notes, waiting) = (Vec::new(), Vec::new(), Arc::default());
        Self { settings, targets, context, server: None, made, switch_notes, waiting }
    }

    /// Prepares a restore to several databases with the same settings.
    pub fn of_several(settings: &PostgresTarget, databases: &[String], context: Context) -> Self {
        let mut engine = Self::new(settings.clone(), context);
        engine.set_targets(databases);
        engine
    }

    fn set_targets(&mut self, databases: &[String]) {
        let target = |name: &String| PostgresTarget { database: name.clone(), ..self.settings.clone() };
        self.targets = databases.iter().map(target).map(Target::new).collect();
    }

    /// One target and the session that holds its lock.
    fn at(&mut self, index: usize) -> Result<(&mut Target, &mut Server)> {
        match (self.targets.get_mut(index), &mut self.server) {
            (Some(target), Some(server)) => Ok((target, server)),
            _ => Err(out_of_order("the target was not locked")),
        }
    }

    /// A session with the locks of all targets. The old ones go first, or a second survey of this run
    /// would exclude itself.
    fn lock(&mut self) -> Result<&mut Server> {
        self.server = None;
        let mut server = Server::open(&self.settings, &self.context.cancel)?;
        for target in &self.targets {
            server.lock(&target.settings.database)?;
        }
        Ok(self.server.insert(server))
    }

    /// Makes the database that is loaded for a target, or tells the journal that it is the target.
    fn begin(&mut self, incoming: Incoming<'_>) -> Result<()> {
        let context = self.context.clone();
        let (target, server) = self.at(incoming.target)?;
        let (settings, seen, shadow) = (&target.settings, target.seen()?, target.shadow());
        server.check_locks(Stage::Restore)?;
        switch::check_same(settings, server, seen, Stage::Restore, &context.cancel)?;
        discard::drop_dead(settings, server);
        let made = match seen.way {
            Way::InPlace => return context.journal.touch(Stage::Restore),
            Way::Emptied => return direct::empty(target, server, &context),
            Way::Beside | Way::Instead => create::shadow(settings, server, seen, &shadow, incoming.entry),
        };
        // Also where it failed: its answer may be all that was lost.
        self.made.push(shadow);
        made?;
        let (target, server) = self.at(incoming.target)?;
        match target.seen()?.way {
            Way::Instead => direct::drop_old(target, server, &context),
            Way::Beside | Way::InPlace | Way::Emptied => Ok(()),
        }
    }

    /// What becomes of scheduled jobs.
    fn jobs(&mut self, incoming: Incoming<'_>) -> Result<Jobs> {
        let (_, server) = self.at(incoming.target)?;
        jobs::ask(server, incoming.entry, Stage::Restore)
    }

    /// What fires by itself comes last: hooks are done, and after the switch a runner that is killed would
    /// forget it. Gives back what a person should know.
    fn make_subscriptions(&mut self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let Some(server) = &mut self.server else { return Err(out_of_order("the targets were not locked")) };
        server.check_locks(Stage::Switch)?;
        // What is taken up has its own already.
        for target in self.targets.iter().filter(|target| target.taken.is_none()) {
            let Some(loaded) = &target.loaded else { continue };
            let (database, cancel) = (target.verified()?, &self.context.cancel);
            notes.extend(subscriptions::make(&target.settings, &database, &loaded.subscriptions, cancel)?);
        }
        Ok(notes)
    }
}

fn out_of_order(what: &str) -> Fault {
    Fault::new(Stage::Restore, Reason::InternalError, format!("{what} before the next step"))
}

impl Engine for Postgres {
    fn aim(&mut self, names: &[String]) -> Result<()> {
        self.set_targets(names);
        Ok(())
    }

    fn survey(&mut self) -> Result<Vec<Survey>> {
        let cancel = self.context.cancel.clone();
        self.lock()?;
        let Some(server) = &mut self.server else { return Err(out_of_order("the targets were not locked")) };
        preflight::refuse_superuser(&self.settings, server)?;
        let mut surveys = Vec::new();
        for target in &mut self.targets {
            let seen = survey::look(&target.settings, server, &cancel)?;
            preflight::check_rights(&target.settings, server, &seen)?;
            surveys.push(seen.survey(&target.settings, &server.facts));
            target.seen = Some(seen);
        }
        Ok(surveys)
    }

    fn drop_expired(&mut self, now: Timestamp) -> Vec<String> {
        let Some(server) = &mut self.server else { return Vec::new() };
        let expired = |target: &Target| discard::drop_expired(&target.settings, server, now);
        self.targets.iter().flat_map(expired).collect()
    }

    fn preflight(&mut self, incoming: Incoming<'_>) -> Result<Findings> {
        let (target, server) = self.at(incoming.target)?;
        preflight::check(&target.settings, server, target.seen()?, incoming.entry)
    }

    fn load(&mut self, incoming: &[Incoming<'_>], dump: &mut dyn Dump) -> Result<()> {
        let context = self.context.clone();
        let jobs = incoming.iter().map(|part| self.jobs(*part)).collect::<Result<Vec<Jobs>>>()?;
        for part in incoming {
            self.begin(*part)?;
        }
        let (_, server) = self.at(0)?;
        let major = server.facts.major();
        let targets = incoming.iter().filter_map(|part| Some((self.targets.get(part.target)?, part.entry)));
        let parts: Vec<load::Part<'_>> = targets
            .zip(jobs)
            .map(|((target, entry), jobs)| load::Part {
                settings: &target.settings,
                database: target.shadow(),
                incoming: entry,
                waiting: Arc::clone(&self.waiting),
                jobs,
            })
            .collect();
        let names: Vec<&str> = parts.iter().map(|part| part.settings.database.as_str()).collect();
        // All are of one dump, whose bytes are told.
        let bytes = incoming.first().map_or(0, |part| part.entry.bytes);
        context.progress.begin(Stage::Restore, format!("loading {}", names.join(", ")), bytes);
        let loaded = load::load(major, &parts, dump, &context)?;
        for (part, loaded) in incoming.iter().zip(loaded) {
            self.at(part.target)?.0.loaded = Some(loaded);
        }
        Ok(())
    }

    fn verify(&mut self, incoming: Incoming<'_>) -> Result<Verified> {
        let context = self.context.clone();
        self.at(incoming.target)?.0.verify(incoming.entry, &context)
    }

    fn query(&mut self, target: usize, sql: &str) -> Result<()> {
        let cancel = self.context.cancel.clone();
        let (target, _) = self.at(target)?;
        query::ask(&target.settings, &target.verified()?, sql, &cancel)
    }

    fn hook(&mut self, target: usize, sql: &str) -> Result<u64> {
        let cancel = self.context.cancel.clone();
        let (target, _) = self.at(target)?;
        hook::run(&target.settings, &target.verified()?, sql, &cancel)
    }

    fn hold(&mut self) -> Result<Vec<String>> {
        let cancel = self.context.cancel.clone();
        self.switch_notes = self.make_subscriptions()?;
        let Some(server) = &mut self.server else { return Err(out_of_order("the targets were not locked")) };
        for target in &self.targets {
            target.verified()?;
            if target.taken.is_some() {
                return Err(out_of_order("what is held was loaded by an earlier run"));
            }
            if target.seen()?.is_in_place() {
                return Err(out_of_order("what was loaded in place cannot be held"));
            }
        }
        let mut all = Vec::new();
        for target in &self.targets {
            let shadow = target.verified()?;
            let held = held::keep(&target.settings, server, &shadow, &cancel)?;
            // Until all are held each is this run's.
            self.made.retain(|name| *name != shadow);
            self.made.push(held.clone());
            all.push(held);
        }
        self.made.retain(|name| !all.contains(name));
        Ok(all)
    }

    fn take_up(&mut self, target: usize, held: &str) -> Result<Verified> {
        let cancel = self.context.cancel.clone();
        let (target, server) = self.at(target)?;
        let verified = held::take_up(&target.settings, server, held, &cancel)?;
        target.taken = Some(held.to_owned());
        target.verified = Some(verified.tables.clone());
        Ok(verified)
    }

    fn examine_previous(&mut self, target: usize, name: &str) -> Result<DatabaseEntry> {
        let cancel = self.context.cancel.clone();
        let (target, server) = self.at(target)?;
        held::examine_previous(&target.settings, server, name, &cancel)
    }

    fn load_previous(&mut self, name: &str, incoming: Incoming<'_>) -> Result<()> {
        let (target, server) = self.at(incoming.target)?;
        let (settings, shadow) = (&target.settings, target.shadow());
        if target.seen()?.is_in_place() {
            let message = "a kept database is put back as a copy, and the login may not create databases";
            return Err(Fault::new(Stage::Restore, Reason::PermissionDenied, message));
        }
        server.check_locks(Stage::Restore)?;
        discard::drop_dead(settings, server);
        let copied = create::copy(settings, server, name, &shadow);
        target.loaded = Some(load::Loaded::copied(incoming.entry));
        self.made.push(shadow);
        copied
    }

    fn clear(&mut self, held: &[String], now: Timestamp) -> Result<Vec<String>> {
        if self.server.is_none() {
            self.lock()?;
        }
        let Some(server) = &mut self.server else { return Err(out_of_order("the targets were not locked")) };
        let mut removed = Vec::new();
        for target in &self.targets {
            removed.extend(discard::drop_dead(&target.settings, server));
            removed.extend(discard::drop_expired(&target.settings, server, now));
        }
        let targets: Vec<&PostgresTarget> = self.targets.iter().map(|target| &target.settings).collect();
        for held in held {
            removed.extend(discard::drop_held(&targets, server, held)?);
        }
        Ok(removed)
    }

    fn switch(&mut self) -> Result<Vec<Option<Previous>>> {
        let context = self.context.clone();
        let made = self.make_subscriptions()?;
        let Some(server) = &mut self.server else { return Err(out_of_order("the targets were not locked")) };
        let mut all = Vec::new();
        for target in &self.targets {
            let (shadow, seen) = (target.verified()?, target.seen()?);
            if seen.is_in_place() && target.taken.is_some() {
                let message = "the login may no longer create and rename databases, so the held load cannot be switched to";
                return Err(Fault::new(Stage::Switch, Reason::PermissionDenied, message));
            }
            let carried = target.carried.as_ref();
            all.push(Switching { settings: &target.settings, seen, carried, shadow });
        }
        let switched = switch::switch(&all, server, &context)?;
        self.made.retain(|name| all.iter().all(|it| it.shadow != *name));
        self.switch_notes = made;
        self.switch_notes.extend(switched.notes);
        for target in &mut self.targets {
            target.taken = None;
        }
        Ok(switched.previous)
    }

    fn switch_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.switch_notes)
    }

    fn discard(&mut self) -> Vec<String> {
        let mut made = std::mem::take(&mut self.made);
        made.retain(|name| self.targets.iter().all(|target| target.settings.database != *name));
        let kept = self.targets.iter().filter_map(Target::worth_keeping).collect();
        let left = discard::drop_made(&self.settings, self.server.as_mut(), made, &kept);
        self.server = None;
        left
    }
}

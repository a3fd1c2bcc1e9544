//! PostgreSQL 10 to 18: plain SQL and custom archives, restored into a database of a server.
//!
//! The dump is loaded into a new database beside the target ([`load`]), compared with the dump there
//! ([`verify`]), and put in place by renaming both in one transaction ([`switch`]), so applications
//! find the old data or the new. An advisory lock in the maintenance database excludes other runs on
//! the same target. Where the login may not create databases, an existing empty target is loaded in
//! place.

pub mod archive;
mod beside;
mod carry;
mod content;
pub mod copy;
mod create;
pub mod digest;
mod discard;
mod doubts;
pub mod encoding;
mod extensions;
mod held;
mod hook;
mod in_order;
mod load;
mod locale;
mod meta;
pub mod names;
mod preflight;
mod query;
mod quote;
mod reading;
mod rename;
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
mod survey;
mod switch;
mod tables;
mod verify;
pub mod wire;

use std::io::Read;

use jiff::Timestamp;

use crate::reason::Reason;
use crate::runner::engine::{Context, Engine, Findings, LoadedTable, Previous, Survey, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DatabaseEntry;

use beside::Beside;
use server::Server;
use survey::Seen;

pub use scan_archive::ArchiveScanner;
pub use scan_script::ScriptScanner;
pub use server::{Access, PostgresTarget};

/// A restore to one PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    settings: PostgresTarget,
    context: Context,
    /// The session that holds the target's lock; dropped: the lock is free.
    server: Option<Server>,
    seen: Option<Seen>,
    /// Databases that this run made and has to drop.
    made: Vec<String>,
    /// The load of an earlier run that this one switches to.
    taken: Option<String>,
    loaded: Option<load::Loaded>,
    verified: Option<Vec<LoadedTable>>,
    switch_notes: Vec<String>,
}

impl Postgres {
    /// Prepares a restore; nothing is looked at yet.
    pub fn new(settings: PostgresTarget, context: Context) -> Self {
        Self {
            settings,
            context,
            server: None,
            seen: None,
            made: Vec::new(),
            taken: None,
            loaded: None,
            verified: None,
            switch_notes: Vec::new(),
        }
    }

    fn surveyed(&mut self) -> Result<(&PostgresTarget, &mut Server, &Seen)> {
        match (&mut self.server, &self.seen) {
            (Some(server), Some(seen)) => Ok((&self.settings, server, seen)),
            _ => Err(out_of_order("the target was not surveyed")),
        }
    }

    /// The session with the target's lock, whether the target was looked at or not.
    fn locked(&mut self) -> Result<&mut Server> {
        if self.server.is_none() {
            self.server = Some(Server::lock(&self.settings, &self.context.cancel)?);
        }
        self.server.as_mut().ok_or_else(|| out_of_order("the target was not locked"))
    }

    /// The database that is loaded.
    fn shadow(&self) -> String {
        match (&self.taken, &self.seen) {
            (Some(taken), _) => taken.clone(),
            (None, Some(seen)) if seen.is_in_place() => self.settings.database.clone(),
            (None, _) => Beside::Shadow(self.settings.run_id.clone()).name(&self.settings.database),
        }
    }
}

fn out_of_order(what: &str) -> Fault {
    Fault::new(Stage::Restore, Reason::InternalError, format!("{what} before the next step"))
}

impl Engine for Postgres {
    fn survey(&mut self) -> Result<Survey> {
        // The old lock goes first, or a second survey of this run would exclude itself.
        self.server = None;
        let mut server = Server::lock(&self.settings, &self.context.cancel)?;
        preflight::refuse_superuser(&self.settings, &server)?;
        let seen = survey::look(&self.settings, &mut server, &self.context.cancel)?;
        preflight::check_rights(&self.settings, &server, &seen)?;
        let survey = seen.survey(&self.settings, &server.facts);
        self.server = Some(server);
        self.seen = Some(seen);
        Ok(survey)
    }

    fn drop_expired(&mut self, now: Timestamp) -> Vec<String> {
        match self.surveyed() {
            Ok((settings, server, _)) => discard::drop_expired(settings, server, now),
            Err(_) => Vec::new(),
        }
    }

    fn preflight(&mut self, incoming: &DatabaseEntry) -> Result<Findings> {
        let (settings, server, seen) = self.surveyed()?;
        preflight::check(settings, server, seen, incoming)
    }

    fn load(&mut self, incoming: &DatabaseEntry, dump: &mut dyn Read) -> Result<()> {
        let shadow = self.shadow();
        let context = self.context.clone();
        let (settings, server, seen) = self.surveyed()?;
        let major = server.facts.major();
        server.check_lock(Stage::Restore)?;
        switch::check_same(settings, server, seen, Stage::Restore, &context.cancel)?;
        discard::drop_dead(settings, server);
        context.progress.begin(Stage::Restore, format!("loading {}", settings.database), incoming.bytes);
        if seen.is_in_place() {
            context.journal.touch(Stage::Restore)?;
        } else {
            let created = create::shadow(settings, server, seen, &shadow, incoming);
            // Also where it failed: its answer may be all that was lost.
            self.made.push(shadow.clone());
            created?;
        }
        self.loaded = Some(load::load(&self.settings, major, &shadow, (incoming, dump), &context)?);
        Ok(())
    }

    fn verify(&mut self, incoming: &DatabaseEntry) -> Result<Verified> {
        let shadow = self.shadow();
        let Some(loaded) = &self.loaded else { return Err(out_of_order("nothing was loaded")) };
        let verified = verify::verify(&self.settings, &shadow, incoming, loaded, &self.context)?;
        self.verified = Some(verified.tables.clone());
        Ok(verified)
    }

    fn query(&mut self, sql: &str) -> Result<()> {
        if self.verified.is_none() {
            return Err(out_of_order("the loaded database was not verified"));
        }
        query::ask(&self.settings, &self.shadow(), sql, &self.context.cancel)
    }

    fn hook(&mut self, sql: &str) -> Result<u64> {
        if self.verified.is_none() {
            return Err(out_of_order("the loaded database was not verified"));
        }
        hook::run(&self.settings, &self.shadow(), sql, &self.context.cancel)
    }

    fn hold(&mut self) -> Result<String> {
        let shadow = self.shadow();
        if self.verified.is_none() || self.taken.is_some() {
            return Err(out_of_order("the loaded database was not verified"));
        }
        let cancel = self.context.cancel.clone();
        let (settings, server, seen) = self.surveyed()?;
        if seen.is_in_place() {
            let message = "switch: Hold needs a database beside the target, and the login may not create one";
            return Err(Fault::new(Stage::Switch, Reason::SwapNotPossible, message));
        }
        let held = held::keep(settings, server, &shadow, &cancel)?;
        self.made.retain(|name| *name != shadow);
        Ok(held)
    }

    fn take_up(&mut self, held: &str) -> Result<Verified> {
        let cancel = self.context.cancel.clone();
        let (settings, server, _) = self.surveyed()?;
        let verified = held::take_up(settings, server, held, &cancel)?;
        self.taken = Some(held.to_owned());
        self.verified = Some(verified.tables.clone());
        Ok(verified)
    }

    fn examine_previous(&mut self, name: &str) -> Result<DatabaseEntry> {
        let cancel = self.context.cancel.clone();
        let (settings, server, _) = self.surveyed()?;
        held::examine_previous(settings, server, name, &cancel)
    }

    fn load_previous(&mut self, name: &str, incoming: &DatabaseEntry) -> Result<()> {
        let shadow = self.shadow();
        let (settings, server, _) = self.surveyed()?;
        server.check_lock(Stage::Restore)?;
        discard::drop_dead(settings, server);
        let copied = create::copy(settings, server, name, &shadow);
        self.made.push(shadow);
        copied?;
        self.loaded = Some(load::Loaded::copied(incoming));
        Ok(())
    }

    fn clear(&mut self, held: Option<&str>, now: Timestamp) -> Result<Vec<String>> {
        self.locked()?;
        let Some(server) = &mut self.server else { return Err(out_of_order("the target was not locked")) };
        let mut removed = discard::drop_dead(&self.settings, server);
        removed.extend(discard::drop_expired(&self.settings, server, now));
        removed
            .extend(held.map(|held| discard::drop_held(&self.settings, server, held)).transpose()?.flatten());
        Ok(removed)
    }

    fn switch(&mut self) -> Result<Option<Previous>> {
        let shadow = self.shadow();
        if self.verified.is_none() {
            return Err(out_of_order("the loaded database was not verified"));
        }
        let context = self.context.clone();
        let (settings, server, seen) = self.surveyed()?;
        if shadow == settings.database {
            return Ok(None);
        }
        if seen.is_in_place() {
            let message =
                "the login may no longer create and rename databases, so the held load cannot be switched to";
            return Err(Fault::new(Stage::Switch, Reason::PermissionDenied, message));
        }
        let switched = switch::switch(settings, server, seen, &shadow, &context)?;
        self.made.retain(|name| *name != shadow);
        self.taken = None;
        self.switch_notes = switched.notes;
        Ok(switched.previous)
    }

    fn switch_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.switch_notes)
    }

    fn discard(&mut self) -> Vec<String> {
        let made = std::mem::take(&mut self.made);
        let left = discard::drop_made(&self.settings, self.server.as_mut(), made);
        self.server = None;
        left
    }
}

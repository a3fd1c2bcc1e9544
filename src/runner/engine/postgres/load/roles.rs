//! Owners, rights, and the roles that statements name.
//!
//! Owners and rights wait until all else is done: so whatever a login may not do any more once it has given
//! a table away, it has done before, and nothing of the load's order depends on them. They are kept in
//! memory, within a limit that the preflight asks for. Schemas come first, since who gets a table needs
//! rights on its schema; sequences come behind tables, which take those that they own with them. Event triggers
//! come last of all: they would run at every statement before them.

use std::collections::{BTreeMap, BTreeSet};

use super::gate::Gate;
use super::place::{Place, failed, shown};
use super::sender::NO_RIGHT;
use super::series::Series;
use super::session::Settings;
use crate::runner::cancel::Cancel;
use crate::runner::engine::postgres::names::quote_ident;
use crate::runner::engine::postgres::outside::KEPT_BYTES;
use crate::runner::engine::postgres::parts::Parts;
use crate::runner::engine::postgres::roles::{KEPT_LIMIT_BYTES, too_many};
use crate::runner::engine::postgres::statement::{Object, Role, Step, with_list, with_names};
use crate::runner::fault::{Result, Stage};

/// Why a statement is left out.
pub(super) const ABSENT: &str = "it names a role that the server does not have";

/// `undefined_object`, as of a role.
const NO_OBJECT: &str = "42704";

/// Statements that are sent before their answers are waited for. Whoever gives a table away locks its indexes
/// and sequences too, and a server has room for 64 locks for each session that it allows.
const BATCH: usize = 32;

/// A statement for the end of the load.
pub(super) struct Kept {
    pub(super) text: Vec<u8>,
    pub(super) place: Place,
    /// The dump's settings at its place.
    pub(super) settings: Settings,
    /// The role that grants, where it is not the owner.
    pub(super) grantor: Option<Vec<u8>>,
    /// The server may refuse it, and nothing is lost.
    pub(super) may_fail: bool,
}

/// When a statement is sent, among those of its rank in the dump's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    SchemaOwner,
    SchemaRights,
    Owner,
    SequenceOwner,
    Rights,
    /// They would see the statements before them.
    EventTrigger,
}

/// What becomes of a statement.
pub(super) enum Fate {
    /// It is sent in its turn, with this text where it has changed.
    Send(Option<Vec<u8>>),
    /// It names a role that the server does not have.
    LeftOut,
    /// It waits for the end, or says only who grants what follows.
    Kept,
}

/// The roles of a load, and what waits for its end.
#[derive(Default)]
pub(super) struct Roles {
    parts: Parts,
    /// Roles that the server does not have, as the dump names them.
    absent: BTreeSet<Vec<u8>>,
    /// Who grants what comes now, as the dump names it.
    grantor: Option<Vec<u8>>,
    kept: BTreeMap<Rank, Vec<Kept>>,
    bytes: usize,
}

impl Roles {
    pub(super) const fn new(parts: Parts, absent: BTreeSet<Vec<u8>>) -> Self {
        Self { parts, absent, grantor: None, kept: BTreeMap::new(), bytes: 0 }
    }

    /// Names the roles of a statement as the server has them, and keeps it where it belongs to the end.
    pub(super) fn take(
        &mut self,
        step: &Step,
        text: &[u8],
        place: &Place,
        settings: &Settings,
    ) -> Result<Fate> {
        if let Step::Grantor { role } = step {
            self.grantor = role.as_ref().map(|role| role.name.clone());
            return Ok(Fate::Kept);
        }
        let Some(rank) = rank(step) else { return Ok(self.renamed(step, text)) };
        let by_absent = self.grantor.as_ref().is_some_and(|role| self.absent.contains(role));
        let text = match self.renamed(step, text) {
            Fate::Send(changed) if !by_absent => changed.unwrap_or_else(|| text.to_vec()),
            Fate::Send(_) | Fate::LeftOut | Fate::Kept => return Ok(Fate::LeftOut),
        };
        let grantor_bytes = self.grantor.as_ref().map_or(0, Vec::len);
        self.bytes += text.len() + place.bytes() + grantor_bytes + KEPT_BYTES;
        if self.bytes > KEPT_LIMIT_BYTES {
            return Err(too_many(Stage::Restore));
        }
        let acts = matches!(rank, Rank::SchemaRights | Rank::Rights);
        let grantor = self.grantor.as_ref().filter(|_| acts).map(|role| self.parts.role(role).to_vec());
        let may_fail = step.is_owner_of_public();
        let kept = Kept { text, place: place.clone(), settings: settings.clone(), grantor, may_fail };
        self.kept.entry(rank).or_default().push(kept);
        Ok(Fate::Kept)
    }

    fn is_absent(&self, role: &Role) -> bool {
        self.absent.contains(&role.name)
    }

    fn renamed(&self, step: &Step, text: &[u8]) -> Fate {
        let roles = step.roles();
        let absent = roles.iter().filter(|role| self.is_absent(role)).count();
        // A policy that is left out as a whole could open its table to the others.
        if let Step::Policy { roles: list, .. } = step
            && absent > 0
            && absent < list.len()
        {
            let there = list.iter().filter(|role| !self.is_absent(role));
            let names: Vec<&[u8]> = there.map(|role| self.parts.role(&role.name)).collect();
            return Fate::Send(Some(with_list(text, list, &names)));
        }
        if absent > 0 {
            return Fate::LeftOut;
        }
        let named: Vec<(&Role, &[u8])> = roles
            .into_iter()
            .filter_map(|role| Some((role, self.parts.map.get(&role.name)?.as_slice())))
            .collect();
        Fate::Send((!named.is_empty()).then(|| with_names(text, &named)))
    }

    /// What has waited, in its order: what is about schemas, other owners, and all else.
    pub(super) fn into_kept(self) -> [Vec<Kept>; 3] {
        let (mut schemas, mut owners, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (rank, kept) in self.kept {
            match rank {
                Rank::SchemaOwner | Rank::SchemaRights => schemas.extend(kept),
                Rank::Owner | Rank::SequenceOwner => owners.extend(kept),
                Rank::Rights | Rank::EventTrigger => others.extend(kept),
            }
        }
        [schemas, owners, others]
    }
}

fn rank(step: &Step) -> Option<Rank> {
    match step {
        Step::Create { object: Object::EventTrigger, .. }
        | Step::Alter { object: Object::EventTrigger, .. }
        | Step::Comment { object: Object::EventTrigger }
        | Step::Owner { object: Object::EventTrigger, .. } => Some(Rank::EventTrigger),
        Step::Owner { object: Object::Schema, .. } => Some(Rank::SchemaOwner),
        Step::Owner { object: Object::Sequence, .. } => Some(Rank::SequenceOwner),
        Step::Owner { .. } => Some(Rank::Owner),
        Step::Grant { object: Object::Schema, .. } => Some(Rank::SchemaRights),
        Step::Grant { .. } | Step::DefaultPrivileges { .. } => Some(Rank::Rights),
        _ => None,
    }
}

/// Gives everything to its owners, and grants what they and others have granted. `settings` are those of the
/// session of the series.
pub(super) fn send_kept(
    kept: Vec<Kept>,
    series: &mut Series,
    gate: &mut Gate,
    (settings, cancel): (&mut Settings, &Cancel),
) -> Result<()> {
    let mut acting = None;
    for (number, kept) in kept.into_iter().enumerate() {
        cancel.check(Stage::Restore)?;
        if number % BATCH == 0 {
            series.settle()?;
        }
        if !kept.settings.is(settings) {
            series.settle()?;
            kept.settings.adopt(&mut series.session, settings, &kept.place)?;
        }
        if kept.grantor != acting {
            become_role(series, kept.grantor.as_deref(), &kept.place)?;
            acting.clone_from(&kept.grantor);
        }
        if kept.may_fail {
            try_owner(series, gate, &kept)?;
        } else {
            series.send(&kept.text, shown(&kept.text), &kept.place, (None, false))?;
        }
    }
    if acting.is_some() {
        become_role(series, None, &Place::Entry("the end of the load".to_owned()))?;
    }
    series.settle().map(drop)
}

/// Makes the session act for a role, or for itself again. Dumps say `SET SESSION AUTHORIZATION`, which only a
/// superuser may.
fn become_role(series: &mut Series, role: Option<&[u8]>, place: &Place) -> Result<()> {
    let sql = role.map_or_else(
        || b"RESET ROLE".to_vec(),
        |role| [b"SET ROLE ".as_slice(), &quote_ident(role)].concat(),
    );
    series.send(&sql, shown(&sql), place, (None, false)).map(drop)
}

/// Gives away what every new database has, where the login may.
fn try_owner(series: &mut Series, gate: &mut Gate, kept: &Kept) -> Result<()> {
    series.settle()?;
    match series.alone(&kept.text) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.sqlstate(), Some(NO_RIGHT | NO_OBJECT)) => {
            gate.skip(&shown(&kept.text), "the server's own schema keeps its owner");
            Ok(())
        }
        Err(error) => Err(failed(error, &kept.place, &shown(&kept.text))),
    }
}

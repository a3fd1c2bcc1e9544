//! Puts the loaded databases in the places of the targets: all are renamed in one transaction, so that
//! applications find the old databases or the new ones under the names.

use super::beside::Beside;
use super::carry::Carried;
use super::discard::drop_database;
use super::held::oid;
use super::rename::{Aside, Rename, Renames};
use super::server::{PostgresTarget, Server};
use super::survey::{Existing, Extensions, Seen, contents};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::engine::{Context, Previous};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::journal::Touched;

/// One target of a switch, and the database that is put in its place.
pub(super) struct Switching<'a> {
    pub(super) settings: &'a PostgresTarget,
    pub(super) seen: &'a Seen,
    /// What a target that was dropped before the load has left for it.
    pub(super) carried: Option<&'a Carried>,
    /// The target itself where it was loaded in place: nothing is left to do.
    pub(super) shadow: String,
}

impl Switching<'_> {
    fn is_done(&self) -> bool {
        self.shadow == self.settings.database
    }
}

/// What the switch has left.
pub(super) struct Switched {
    /// The replaced database of each target, where it is kept.
    pub(super) previous: Vec<Option<Previous>>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Switches all of them, or none. The caller holds the locks of the targets.
pub(super) fn switch(all: &[Switching<'_>], server: &mut Server, context: &Context) -> Result<Switched> {
    server.check_locks(Stage::Switch)?;
    let mut notes = Vec::new();
    let mut renames = Vec::new();
    for one in all.iter().filter(|one| !one.is_done()) {
        renames.push(prepare(one, server, context, &mut notes)?);
    }
    let Some(first) = all.first().filter(|_| !renames.is_empty()) else {
        return Ok(Switched { previous: all.iter().map(|_| None).collect(), notes });
    };
    let before = context.journal.touched();
    Renames { all: &renames, settings: first.settings }.carry_out(server, context)?;
    if before == Touched::No && renames.iter().all(|rename| rename.aside.is_none()) {
        context.journal.created();
    }
    let mut asides = renames.into_iter().map(|rename| rename.aside);
    let mut previous = Vec::new();
    for one in all {
        let aside = if one.is_done() { None } else { asides.next().flatten() };
        let replaced = one.seen.database.as_ref().zip(aside);
        previous.push(
            replaced.and_then(|(existing, aside)| {
                put_away(one.settings, server, existing, aside.name, &mut notes)
            }),
        );
    }
    Ok(Switched { previous, notes })
}

/// Makes sure that the target and the loaded database are what they were, and gives this what that has.
fn prepare<'a>(
    one: &'a Switching<'_>,
    server: &mut Server,
    context: &Context,
    notes: &mut Vec<String>,
) -> Result<Rename<'a>> {
    let Switching { settings, seen, carried, shadow } = one;
    check_same(settings, server, seen, Stage::Switch, &context.cancel)?;
    let Some(shadow_oid) = oid(server, Stage::Switch, shadow)? else {
        let message = format!("the loaded database {shadow} is gone");
        return Err(Fault::new(Stage::Switch, Reason::VerificationFailed, message));
    };
    let target = settings.database.as_str();
    let existing = seen.database.as_ref();
    if let Some(existing) = existing {
        notes.extend(Carried::read(&mut server.session, existing, shadow)?.apply(&mut server.session)?);
    }
    if let Some(carried) = carried {
        notes.extend(carried.apply(&mut server.session)?);
    }
    let aside = existing
        .map(|existing| Aside { oid: existing.oid.clone(), name: aside_of(settings, existing).name(target) });
    Ok(Rename { target, shadow, shadow_oid, aside })
}

/// What the old database is called afterwards. Only one of no use may be dropped by another run.
fn aside_of(settings: &PostgresTarget, existing: &Existing) -> Beside {
    match (&existing.holds, settings.keep_until) {
        (Some(_), Some(until)) => Beside::Previous(until),
        (Some(_), None) => Beside::Shadow(format!("{}-old", settings.run_id)),
        // Somebody may have written into it meanwhile, which nobody was asked about.
        (None, _) => Beside::Held(format!("{}-empty", settings.run_id)),
    }
}

/// Keeps or drops the old database.
fn put_away(
    settings: &PostgresTarget,
    server: &mut Server,
    existing: &Existing,
    name: String,
    notes: &mut Vec<String>,
) -> Option<Previous> {
    let bytes = existing.holds.as_ref().map_or(0, |holds| holds.bytes);
    if existing.holds.is_some() && settings.keep_until.is_some() {
        return Some(Previous { name, bytes });
    }
    let is_unasked = existing.holds.is_none()
        && !matches!(
            contents(settings, &name, (Stage::CleanUp, Extensions::Count), &Cancel::never()),
            Ok(None)
        );
    if is_unasked {
        notes.push(format!(
            "the database that was empty is left as {name}, because it no longer is, or could not be looked into"
        ));
        return None;
    }
    if let Err(fault) = drop_database(settings, &mut server.session, server.facts.major(), &name) {
        notes.push(format!("the replaced database {name} is left: {}", fault.full_message()));
    }
    None
}

/// The target must still be what was looked at, and confirmed: the same database, and empty if it was.
pub(super) fn check_same(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    stage: Stage,
    cancel: &Cancel,
) -> Result<()> {
    let target = settings.database.as_str();
    let changed = |what: &str| Fault::new(stage, Reason::TargetChanged, format!("{target} {what}"));
    let existing = seen.database.as_ref();
    if oid(server, stage, target)?.as_deref() != existing.map(|it| it.oid.as_str()) {
        return Err(changed("was created, dropped or replaced by somebody else since"));
    }
    let extensions = if seen.is_in_place() { Extensions::Leave } else { Extensions::Count };
    if existing.is_some_and(|it| it.holds.is_none())
        && contents(settings, target, (stage, extensions), cancel)?.is_some()
    {
        return Err(changed("was empty, and somebody has written into it since"));
    }
    Ok(())
}

//! Puts the loaded database in the target's place: both are renamed in one transaction, so that
//! applications find the old database or the new one under the name.

use super::beside::Beside;
use super::carry::carry_over;
use super::discard::drop_database;
use super::held::oid;
use super::rename::{Aside, Renames};
use super::server::{PostgresTarget, Server};
use super::survey::{Existing, Extensions, Seen, contents};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::engine::{Context, Previous};
use crate::runner::fault::{Fault, Result, Stage};

/// What the switch has left.
pub(super) struct Switched {
    /// The replaced database, where it is kept.
    pub(super) previous: Option<Previous>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Switches. The caller holds the target's lock.
pub(super) fn switch(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    shadow: &str,
    context: &Context,
) -> Result<Switched> {
    server.check_lock(Stage::Switch)?;
    check_same(settings, server, seen, Stage::Switch, &context.cancel)?;
    let Some(shadow_oid) = oid(server, Stage::Switch, shadow)? else {
        let message = format!("the loaded database {shadow} is gone");
        return Err(Fault::new(Stage::Switch, Reason::VerificationFailed, message));
    };
    let mut notes = Vec::new();
    let target = settings.database.as_str();
    let existing = seen.database.as_ref();
    if let Some(existing) = existing {
        notes = carry_over(&mut server.session, existing, shadow)?;
    }
    let aside = existing
        .map(|existing| Aside { oid: existing.oid.clone(), name: aside_of(settings, existing).name(target) });
    let renames = Renames { target, shadow, shadow_oid, aside };
    renames.carry_out(settings, server, context)?;
    let Some((existing, aside)) = existing.zip(renames.aside) else {
        context.journal.created();
        return Ok(Switched { previous: None, notes });
    };
    let previous = put_away(settings, server, existing, aside.name, &mut notes);
    Ok(Switched { previous, notes })
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
    if let Err(fault) = drop_database(&mut server.session, server.facts.major(), &name) {
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

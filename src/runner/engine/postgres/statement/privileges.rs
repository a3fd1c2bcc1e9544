//! Rights, security labels and comments.

use super::alter::OF_THE_SERVER;
use super::cluster::OUTSIDE;
use super::object::Object;
use super::roles::{self, Role};
use super::step::Step;
use super::tokens::Tokens;
use super::{OTHER_FORM, Options, Part, Verdict, send_part, skip};
use crate::runner::engine::postgres::names::{Name, is_system_schema};

/// The part of a dump that an object itself is of.
pub(super) const fn part_of(object: Object) -> Option<Part> {
    match object {
        Object::Publication => Some(Part::Publications),
        Object::Subscription => Some(Part::Subscriptions),
        _ => None,
    }
}

/// Whether an object of this name belongs to the server itself.
pub(super) fn is_the_servers(object: Object, name: &Name) -> bool {
    match object {
        Object::Schema => is_system_schema(&name.name),
        // They live in no schema, and may be called `pg_…`.
        Object::AccessMethod
        | Object::EventTrigger
        | Object::Extension
        | Object::ForeignDataWrapper
        | Object::Language
        | Object::Publication
        | Object::Server
        | Object::Subscription => false,
        _ => name.is_system(),
    }
}

/// Reads the kind and, where it has one, the plain name of what a statement is on; or the reason
/// why the statement is left out.
fn subject(
    tokens: &mut Tokens<'_>,
    options: &Options,
) -> Result<(Object, Option<&'static str>), &'static str> {
    let object = Object::read(tokens).ok_or(OTHER_FORM)?;
    if object.is_of_cluster() {
        return Ok((object, Some(OUTSIDE)));
    }
    if part_of(object).is_some_and(|part| options.skip.contains(&part)) {
        return Ok((object, Some("what it is on is left out")));
    }
    if !object.has_plain_name() {
        return Ok((object, None));
    }
    let name = tokens.name().ok_or(OTHER_FORM)?;
    Ok((object, is_the_servers(object, &name).then_some(OF_THE_SERVER)))
}

pub(super) fn comment(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if !tokens.words("ON") {
        return Err(OTHER_FORM);
    }
    let (object, left_out) = subject(&mut tokens, options)?;
    let what = format!("COMMENT ON {object}");
    match left_out {
        Some(why) => skip(what, why),
        None if tokens.find("IS") => send_part(Step::Comment { object }, Part::Comments, what, options),
        None => Err(OTHER_FORM),
    }
}

pub(super) fn label(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if !tokens.words("LABEL") || (tokens.words("FOR") && tokens.ident().is_none()) || !tokens.words("ON") {
        return Err(OTHER_FORM);
    }
    let (object, left_out) = subject(&mut tokens, options)?;
    let what = format!("SECURITY LABEL ON {object}");
    match left_out {
        Some(why) => skip(what, why),
        None if tokens.find("IS") => {
            send_part(Step::SecurityLabel { object }, Part::SecurityLabels, what, options)
        }
        None => Err(OTHER_FORM),
    }
}

/// `GRANT` and `REVOKE`, from behind that word.
pub(super) fn grant(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if !tokens.find("ON") {
        return skip("GRANT of a role", OUTSIDE);
    }
    let (object, left_out) = subject(&mut tokens, options)?;
    let what = format!("rights on {object}");
    if let Some(why) = left_out {
        return skip(what, why);
    }
    if object.has_plain_name() {
        // Arguments of a function. Of several objects only the first was looked at.
        tokens.group();
        let mut next = tokens;
        if !next.words("TO") && !next.words("FROM") {
            return Err(OTHER_FORM);
        }
    }
    let roles = grantees(tokens).ok_or(OTHER_FORM)?;
    send_part(Step::Grant { object, roles }, Part::Grants, what, options)
}

/// Those who get or lose rights, to the end of the statement.
fn grantees(mut tokens: Tokens<'_>) -> Option<Vec<Role>> {
    if !tokens.find("TO") && !tokens.find("FROM") {
        return None;
    }
    let mut all = roles::list(&mut tokens)?;
    tokens.words("WITH GRANT OPTION");
    if tokens.words("GRANTED BY") {
        all.push(Role::read(&mut tokens)?);
    }
    tokens.words("CASCADE");
    tokens.end().then_some(all)
}

/// Reads from behind `ALTER DEFAULT PRIVILEGES`.
pub(super) fn defaults(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    let step = (|| {
        let makers = tokens.words("FOR ROLE").then(|| roles::list(&mut tokens))??;
        if tokens.words("IN SCHEMA") {
            tokens.ident()?;
        }
        let known = (tokens.words("GRANT") || tokens.words("REVOKE")) && tokens.find("ON");
        let roles = known.then(|| grantees(tokens))??;
        Some(Step::DefaultPrivileges { makers, roles })
    })();
    send_part(step.ok_or(OTHER_FORM)?, Part::Grants, "default rights", options)
}

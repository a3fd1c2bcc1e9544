//! `ALTER` of all kinds of objects, and owners.

use super::lexer::Token;
use super::object::Object;
use super::privileges::{is_the_servers, part_of};
use super::roles::Role;
use super::step::Step;
use super::tables::NO_DROP;
use super::tokens::Tokens;
use super::{
    NOT_WRITTEN, OTHER_FORM, Options, Part, Verdict, cluster, own, privileges, send, send_part, skip, tables,
};
use crate::runner::engine::postgres::names::Name;

pub(super) const OF_THE_SERVER: &str = "it belongs to the server itself";

pub(super) fn alter(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if tokens.words("DEFAULT PRIVILEGES") {
        return privileges::defaults(tokens, options);
    }
    let object = Object::read(&mut tokens).ok_or(NOT_WRITTEN)?;
    if object.is_of_cluster() {
        return cluster::alter(object, tokens);
    }
    if matches!(object, Object::Table | Object::ForeignTable) {
        return tables::alter(object, tokens, options);
    }
    let name = if object.has_plain_name() { Some(tokens.name().ok_or(OTHER_FORM)?) } else { None };
    let mut rest = tokens;
    if rest.find("OWNER TO") {
        return owner(object, name, rest, options);
    }
    if name.as_ref().is_some_and(|name| is_the_servers(object, name)) {
        return skip(format!("ALTER {object}"), OF_THE_SERVER);
    }
    if depends(tokens, object) {
        return send(Step::Alter { object, name });
    }
    match (object, name) {
        (Object::Index, Some(name)) => index(tokens, name),
        (Object::Domain, Some(_)) if tokens.words("DROP CONSTRAINT") => {
            skip("ALTER DOMAIN … DROP CONSTRAINT", NO_DROP)
        }
        (_, Some(name)) if has_known_action(object, tokens) => {
            let what = format!("ALTER {object} {name}");
            let step = Step::Alter { object, name: Some(name) };
            match part_of(object) {
                Some(part) => send_part(step, part, what, options),
                None => send(step),
            }
        }
        _ => Err(OTHER_FORM),
    }
}

/// Reads from behind `OWNER TO`.
pub(super) fn owner(
    object: Object,
    name: Option<Name>,
    mut tokens: Tokens<'_>,
    options: &Options,
) -> Verdict {
    let role = Role::read(&mut tokens).filter(|_| tokens.end()).ok_or(OTHER_FORM)?;
    let what = name
        .as_ref()
        .map_or_else(|| format!("owner of {object}"), |name| format!("owner of {object} {name}"));
    if name.as_ref().is_some_and(|name| is_the_servers(object, name)) {
        return skip(what, OF_THE_SERVER);
    }
    let part = part_of(object).filter(|part| options.skip.contains(part)).unwrap_or(Part::Owners);
    send_part(Step::Owner { object, name, role }, part, what, options)
}

/// `… DEPENDS ON EXTENSION x`, behind a signature or a table.
fn depends(mut tokens: Tokens<'_>, object: Object) -> bool {
    let kinds =
        [Object::Function, Object::Procedure, Object::Trigger, Object::Index, Object::MaterializedView];
    kinds.contains(&object) && tokens.find("DEPENDS ON EXTENSION") && tokens.ident().is_some() && tokens.end()
}

fn index(mut tokens: Tokens<'_>, index: Name) -> Verdict {
    let index = own(index)?;
    if tokens.words("ATTACH PARTITION") {
        let part = own(tokens.name().filter(|_| tokens.end()).ok_or(OTHER_FORM)?)?;
        return send(Step::AttachIndex { index, part });
    }
    let column = tokens.words("ALTER COLUMN") && matches!(tokens.next(), Token::Number(_));
    if column && tokens.words("SET STATISTICS") && !tokens.has_comma() {
        return send(Step::Alter { object: Object::Index, name: Some(index) });
    }
    Err(OTHER_FORM)
}

/// Whether the action is the one that dump tools write for this kind.
fn has_known_action(object: Object, mut tokens: Tokens<'_>) -> bool {
    match object {
        Object::Domain => tokens.words("ADD CONSTRAINT") && !tokens.has_comma(),
        Object::EventTrigger => {
            (tokens.words("ENABLE ALWAYS")
                || tokens.words("ENABLE REPLICA")
                || tokens.words("ENABLE")
                || tokens.words("DISABLE"))
                && tokens.end()
        }
        Object::OperatorFamily => tokens.words("USING") && tokens.ident().is_some() && tokens.words("ADD"),
        Object::Publication => ["ADD TABLE", "ADD TABLES IN SCHEMA", "ADD ALL TABLES IN SCHEMA"]
            .iter()
            .any(|action| tokens.words(action)),
        Object::Sequence => tokens.words("OWNED BY"),
        Object::Statistics => tokens.words("SET STATISTICS"),
        Object::TextSearchConfiguration => tokens.words("ADD MAPPING FOR"),
        _ => false,
    }
}

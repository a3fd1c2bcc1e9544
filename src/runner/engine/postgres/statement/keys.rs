//! What comes after the rows: indexes, constraints, triggers, rules, policies, refreshes.

use super::create;
use super::lexer::Token;
use super::object::Object;
use super::roles::{self, Role};
use super::step::{Change, KeyKind, Step};
use super::tokens::{Tokens, Top};
use super::{OTHER_FORM, Options, Verdict, own, send};
use crate::runner::engine::postgres::names::Name;

pub(super) fn index(mut tokens: Tokens<'_>) -> Verdict {
    if tokens.words("CONCURRENTLY") {
        return Err(OTHER_FORM);
    }
    let name = tokens.ident().filter(|_| tokens.words("ON")).ok_or(OTHER_FORM)?;
    tokens.words("ONLY");
    let table = own(tokens.name().ok_or(OTHER_FORM)?)?;
    let method = if tokens.words("USING") { tokens.ident() } else { None };
    let in_order = method.ok_or(OTHER_FORM)? == b"brin";
    let plain = columns_alone(&mut tokens).ok_or(OTHER_FORM)? && !tokens.has("WHERE");
    send(Step::Index { name, table, plain, in_order })
}

/// Passes the keys of an index; says whether nothing among them has parentheses of its own.
fn columns_alone(tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut inner = *tokens;
    if !tokens.group() || !inner.punct(b'(') {
        return None;
    }
    loop {
        match inner.top() {
            Top::Group => return Some(false),
            Top::One(Token::Punct(b')')) => return Some(true),
            Top::One(Token::End | Token::Broken) => return None,
            Top::One(_) => {}
        }
    }
}

/// Reads from behind `ADD CONSTRAINT`.
pub(super) fn constraint(mut tokens: Tokens<'_>, table: Name) -> Verdict {
    let name = tokens.ident().ok_or(OTHER_FORM)?;
    for (words, kind) in
        [("PRIMARY KEY", KeyKind::Primary), ("UNIQUE", KeyKind::Unique), ("EXCLUDE", KeyKind::Exclude)]
    {
        if tokens.words(words) {
            return send(Step::Key { name, table, kind });
        }
    }
    if tokens.words("FOREIGN KEY") {
        let references = (tokens.group() && tokens.words("REFERENCES")).then(|| tokens.name()).flatten();
        let references = own(references.ok_or(OTHER_FORM)?)?;
        return send(Step::ForeignKey { name, table, references });
    }
    if tokens.words("CHECK") || tokens.words("NOT NULL") {
        return send(Step::AlterTable { table, change: Change::Constraint });
    }
    Err(OTHER_FORM)
}

pub(super) fn trigger(mut tokens: Tokens<'_>) -> Verdict {
    let table = (tokens.ident().is_some() && tokens.find("ON")).then(|| tokens.name()).flatten();
    send(Step::Trigger { table: own(table.ok_or(OTHER_FORM)?)? })
}

pub(super) fn rule(mut tokens: Tokens<'_>) -> Verdict {
    let events = ["SELECT TO", "INSERT TO", "UPDATE TO", "DELETE TO"];
    let table =
        (tokens.ident().is_some() && tokens.words("AS ON") && events.iter().any(|event| tokens.words(event)))
            .then(|| tokens.name())
            .flatten();
    send(Step::Rule { table: own(table.ok_or(OTHER_FORM)?)? })
}

pub(super) fn policy(mut tokens: Tokens<'_>) -> Verdict {
    let table = (tokens.ident().is_some() && tokens.words("ON")).then(|| tokens.name()).flatten();
    let table = own(table.ok_or(OTHER_FORM)?)?;
    let roles = if tokens.find("TO") { roles::list(&mut tokens).ok_or(OTHER_FORM)? } else { Vec::new() };
    // Beside PUBLIC the server takes no notice of others, so none are written.
    if roles.len() > 1 && !roles.iter().all(Role::is_name) {
        return Err(OTHER_FORM);
    }
    send(Step::Policy { table, roles })
}

pub(super) fn refresh(mut tokens: Tokens<'_>, _options: &Options) -> Verdict {
    let view = if Object::read(&mut tokens) == Some(Object::MaterializedView) {
        create::name(&mut tokens)?
    } else {
        return Err(OTHER_FORM);
    };
    if tokens.end() { send(Step::Refresh { view }) } else { Err(OTHER_FORM) }
}

//! What is outside of a target database: databases, roles, tablespaces; and the dump's own DROPs.

use super::lexer::Token;
use super::object::Object;
use super::step::{CreateDatabase, DatabaseFact};
use super::tables::NO_DROP;
use super::tokens::Tokens;
use super::{Judged, NOT_WRITTEN, OTHER_FORM, Options, Verdict, skip};
use crate::runner::engine::postgres::names::shown;

pub(super) const OUTSIDE: &str = "it is outside of the target database";

pub(super) fn create(object: Object, mut tokens: Tokens<'_>) -> Verdict {
    match object {
        Object::Database => create_database(tokens),
        Object::Role | Object::Tablespace => {
            let name = tokens.ident().ok_or(OTHER_FORM)?;
            skip(format!("{object} {}", shown(&name)), OUTSIDE)
        }
        _ => Err(NOT_WRITTEN),
    }
}

pub(super) fn alter(object: Object, mut tokens: Tokens<'_>) -> Verdict {
    if object == Object::System {
        return skip("ALTER SYSTEM", OUTSIDE);
    }
    let name = tokens.ident().ok_or(OTHER_FORM)?;
    if object == Object::Database {
        if tokens.words("OWNER TO") {
            let role = tokens.ident().filter(|_| tokens.end()).ok_or(OTHER_FORM)?;
            return Ok(Judged::Database(DatabaseFact::Owner { database: name, role }));
        }
        if tokens.words("CONNECTION LIMIT") {
            tokens.punct(b'=');
            let limit = integer(&mut tokens).filter(|_| tokens.end()).ok_or(OTHER_FORM)?;
            return Ok(Judged::Database(DatabaseFact::ConnectionLimit { database: name, limit }));
        }
    }
    skip(format!("ALTER {object} {}", shown(&name)), OUTSIDE)
}

fn create_database(mut tokens: Tokens<'_>) -> Verdict {
    let mut facts = CreateDatabase { name: tokens.ident().ok_or(OTHER_FORM)?, ..CreateDatabase::default() };
    tokens.words("WITH");
    while !tokens.end() {
        option(&mut tokens, &mut facts).ok_or(OTHER_FORM)?;
    }
    Ok(Judged::Database(DatabaseFact::Create(Box::new(facts))))
}

/// Reads one option of `CREATE DATABASE`.
fn option(tokens: &mut Tokens<'_>, facts: &mut CreateDatabase) -> Option<()> {
    let limit = tokens.words("CONNECTION LIMIT");
    let option = if limit { Vec::new() } else { tokens.ident()? };
    tokens.punct(b'=');
    if limit {
        facts.connection_limit = Some(integer(tokens)?);
        return Some(());
    }
    let value = Some(tokens.text().or_else(|| tokens.ident())?);
    match option.as_slice() {
        b"template" => facts.template = value,
        b"owner" => facts.owner = value,
        b"encoding" => facts.encoding = value,
        b"locale_provider" => facts.locale_provider = value,
        b"locale" => facts.locale = value,
        b"lc_collate" => facts.lc_collate = value,
        b"lc_ctype" => facts.lc_ctype = value,
        b"icu_locale" => facts.icu_locale = value,
        b"icu_rules" => facts.icu_rules = value,
        b"builtin_locale" => facts.builtin_locale = value,
        b"collation_version" => facts.collation_version = value,
        b"tablespace" => facts.tablespace = value,
        _ => return None,
    }
    Some(())
}

fn integer(tokens: &mut Tokens<'_>) -> Option<i32> {
    let negative = tokens.punct(b'-');
    let Token::Number(digits) = tokens.next() else { return None };
    let value: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { -value } else { value })
}

/// A DROP of `--clean`.
pub(super) fn drop(mut tokens: Tokens<'_>, _options: &Options) -> Verdict {
    let object = Object::read(&mut tokens).ok_or(NOT_WRITTEN)?;
    tokens.words("IF EXISTS");
    let name = if object.has_plain_name() { tokens.name() } else { None };
    skip(name.map_or_else(|| format!("DROP {object}"), |name| format!("DROP {object} {name}")), NO_DROP)
}

/// `--clean` takes the mark of a template off a database before it drops it.
pub(super) fn update(mut tokens: Tokens<'_>, _options: &Options) -> Verdict {
    let template = tokens.name().is_some_and(|name| name.to_string() == "pg_catalog.pg_database")
        && tokens.words("SET DATISTEMPLATE")
        && tokens.punct(b'=')
        && tokens.words("FALSE WHERE DATNAME");
    if template { skip("UPDATE pg_catalog.pg_database", NO_DROP) } else { Err(NOT_WRITTEN) }
}

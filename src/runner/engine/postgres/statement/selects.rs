//! The few functions that dump tools call, with constants for arguments and nothing else.

use super::lexer::Token;
use super::step::{LargeObject, Step};
use super::tokens::{Tokens, is_word};
use super::{NOT_WRITTEN, OTHER_FORM, Options, Verdict, own, send, skip};
use crate::runner::engine::postgres::names::Name;

pub(super) fn select(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    let from = tokens.punct(b'*') && tokens.words("FROM");
    let function = tokens.name().filter(|name| name.schema.as_deref() == Some(b"pg_catalog"));
    let Some(function) = function.filter(|_| tokens.punct(b'(')) else {
        return Err(NOT_WRITTEN);
    };
    if function.name == b"lo_unlink" {
        return skip("SELECT lo_unlink", "the run makes the target itself, so there is nothing to remove");
    }
    let step = match (from, function.name.as_slice()) {
        (false, b"set_config") => search_path(&mut tokens),
        (false, b"setval") => return sequence_value(tokens),
        (false, b"lo_create") => object(&mut tokens).map(LargeObject::Create).map(Step::LargeObject),
        (false, b"lo_open") => open(&mut tokens).map(Step::LargeObject),
        (false, b"lowrite") => write(&mut tokens).map(Step::LargeObject),
        (false, b"lo_close") => zero(&mut tokens).map(|()| Step::LargeObject(LargeObject::Close)),
        (true, b"pg_restore_relation_stats" | b"pg_restore_attribute_stats") => {
            return statistics(tokens, options);
        }
        _ => return Err(NOT_WRITTEN),
    };
    step.filter(|_| closes(&mut tokens)).map_or(Err(OTHER_FORM), send)
}

fn closes(tokens: &mut Tokens<'_>) -> bool {
    tokens.punct(b')') && tokens.end()
}

fn number(tokens: &mut Tokens<'_>) -> Option<Vec<u8>> {
    let Token::Number(digits) = tokens.peek() else { return None };
    tokens.next();
    Some(digits.to_vec())
}

fn zero(tokens: &mut Tokens<'_>) -> Option<()> {
    number(tokens).filter(|digits| digits == b"0").map(|_| ())
}

/// `set_config('search_path', '', false)`: nothing is found without its schema.
fn search_path(tokens: &mut Tokens<'_>) -> Option<Step> {
    let named = tokens.text()? == b"search_path" && tokens.punct(b',');
    let empty = named && tokens.text()?.is_empty() && tokens.punct(b',');
    (empty && tokens.words("FALSE")).then_some(Step::Setting { name: "search_path", values: Vec::new() })
}

/// `setval('schema.sequence', 5, true)`.
fn sequence_value(mut tokens: Tokens<'_>) -> Verdict {
    let text = tokens.text().ok_or(OTHER_FORM)?;
    let mut inner = Tokens::new(&text, true);
    let sequence = inner.name().filter(|_| inner.end()).ok_or(OTHER_FORM)?;
    let comma = tokens.punct(b',');
    tokens.punct(b'-');
    let value = comma && number(&mut tokens).is_some() && tokens.punct(b',');
    if value && (tokens.words("TRUE") || tokens.words("FALSE")) && closes(&mut tokens) {
        return send(Step::SequenceValue { sequence: own(sequence)? });
    }
    Err(OTHER_FORM)
}

/// The OID of a large object, in quotes or not.
fn object(tokens: &mut Tokens<'_>) -> Option<u32> {
    let digits = tokens.text().or_else(|| number(tokens))?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// `lo_open('16', 131072)` or `lo_open(pg_catalog.lo_create('16'), 131072)`.
fn open(tokens: &mut Tokens<'_>) -> Option<LargeObject> {
    let step = match tokens.name() {
        Some(name) => {
            let creates = name == Name::qualified("pg_catalog", "lo_create") && tokens.punct(b'(');
            let oid = object(tokens).filter(|_| creates)?;
            tokens.punct(b')').then_some(LargeObject::CreateAndOpen(oid))?
        }
        None => LargeObject::Open(object(tokens)?),
    };
    (tokens.punct(b',') && number(tokens).is_some()).then_some(step)
}

/// `lowrite(0, '\x…')`; the bytes are not looked at.
fn write(tokens: &mut Tokens<'_>) -> Option<LargeObject> {
    zero(tokens)?;
    (tokens.punct(b',') && matches!(tokens.next(), Token::Text(_))).then_some(LargeObject::Write)
}

/// `pg_restore_…_stats('name', value::type, …)`.
fn statistics(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    let (mut schema, mut table) = (None, None);
    loop {
        let name = tokens.text().filter(|_| tokens.punct(b',')).ok_or(OTHER_FORM)?;
        match name.as_slice() {
            b"schemaname" => schema = tokens.text(),
            b"relname" => table = tokens.text(),
            _ if constant(tokens.next()) => {}
            _ => return Err(OTHER_FORM),
        }
        if !cast(&mut tokens) {
            return Err(OTHER_FORM);
        }
        if !tokens.punct(b',') {
            break;
        }
    }
    let (Some(schema), Some(table), true) = (schema, table, closes(&mut tokens)) else {
        return Err(OTHER_FORM);
    };
    let relation = own(Name::qualified(schema, table))?;
    if options.server < 18 {
        return skip(format!("statistics of {relation}"), "the target server cannot take them over");
    }
    send(Step::RelationStatistics { relation })
}

fn constant(token: Token<'_>) -> bool {
    matches!(token, Token::Text(_) | Token::Number(_))
        || ["TRUE", "FALSE", "NULL"].iter().any(|word| is_word(token, word))
}

/// Passes `::type` with or without `[]`, if it is there; `false` for a type of another kind.
fn cast(tokens: &mut Tokens<'_>) -> bool {
    if !tokens.punct(b':') {
        return true;
    }
    let types = ["INTEGER", "BIGINT", "REAL", "BOOLEAN", "TEXT", "SMALLINT"];
    let known = tokens.punct(b':') && types.iter().any(|name| tokens.words(name));
    if known && tokens.punct(b'[') {
        return tokens.punct(b']');
    }
    known
}

//! Rows: `COPY … FROM stdin` and `INSERT` of literal values.

use super::lexer::Token;
use super::step::Step;
use super::tokens::{Tokens, is_word};
use super::{OTHER_FORM, Options, Verdict, own, send};

const COPY_FORM: &str = "dump tools copy from standard input alone, so no file or program is touched; find out where the dump comes from";

pub(super) fn copy(mut tokens: Tokens<'_>, _options: &Options) -> Verdict {
    let table = own(tokens.name().ok_or(COPY_FORM)?)?;
    let columns = tokens.idents_in_parens().unwrap_or_default();
    let oids = tokens.words("WITH OIDS");
    if !tokens.words("FROM STDIN") {
        return Err(COPY_FORM);
    }
    let freeze = tokens.words("WITH") && tokens.punct(b'(');
    if freeze && !(tokens.words("FREEZE") && tokens.punct(b')')) {
        return Err(OTHER_FORM);
    }
    if tokens.end() { send(Step::CopyFrom { table, columns, freeze, oids }) } else { Err(OTHER_FORM) }
}

pub(super) fn insert(mut tokens: Tokens<'_>, _options: &Options) -> Verdict {
    if !tokens.words("INTO") {
        return Err(OTHER_FORM);
    }
    let table = own(tokens.name().ok_or(OTHER_FORM)?)?;
    tokens.idents_in_parens();
    tokens.words("OVERRIDING SYSTEM VALUE");
    let values = tokens.words("DEFAULT VALUES") || (tokens.words("VALUES") && tuples(&mut tokens));
    tokens.words("ON CONFLICT DO NOTHING");
    if values && tokens.end() {
        return send(Step::Insert { table });
    }
    Err(
        "dump tools insert literal values alone, so no function is called; find out where the dump comes from",
    )
}

/// Passes rows of literals in parentheses.
fn tuples(tokens: &mut Tokens<'_>) -> bool {
    tokens.list(tuple).is_some()
}

/// One row; every token is read once, since a row may be long.
fn tuple(tokens: &mut Tokens<'_>) -> Option<()> {
    if tokens.next() != Token::Punct(b'(') {
        return None;
    }
    loop {
        let mut token = tokens.next();
        if matches!(token, Token::Punct(b'-' | b'+')) {
            token = tokens.next();
        }
        let word = || ["NULL", "TRUE", "FALSE", "DEFAULT"].iter().any(|word| is_word(token, word));
        if !matches!(token, Token::Text(_) | Token::Number(_) | Token::Bits) && !word() {
            return None;
        }
        match tokens.next() {
            Token::Punct(b',') => {}
            Token::Punct(b')') => return Some(()),
            _ => return None,
        }
    }
}

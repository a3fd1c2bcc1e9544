//! Reads a statement's parts: keywords, names, constants.
//!
//! Every method that answers "no" leaves the place as it was.

use super::lexer::{Lexer, Token, halved};
use crate::runner::engine::postgres::names::Name;

/// A place in a statement. A copy is a place to come back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    lexer: Lexer<'a>,
}

/// A token at the top of a statement, outside of all parentheses and brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top<'a> {
    /// A token.
    One(Token<'a>),
    /// All between a pair of parentheses or brackets.
    Group,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(text: &'a [u8], conforming: bool) -> Self {
        Self { lexer: Lexer::new(text, conforming) }
    }

    /// The next token, which is passed.
    pub(super) fn next(&mut self) -> Token<'a> {
        self.lexer.next()
    }

    /// The next token, which stays.
    pub(super) fn peek(&self) -> Token<'a> {
        { self.lexer }.next()
    }

    /// Bytes that are not read yet.
    pub(super) const fn left(&self) -> usize {
        self.lexer.left()
    }

    /// Passes one keyword or several.
    pub(super) fn words(&mut self, words: &str) -> bool {
        let mut next = *self;
        let all = words.split(' ').all(|word| is_word(next.next(), word));
        if all {
            *self = next;
        }
        all
    }

    pub(super) fn punct(&mut self, byte: u8) -> bool {
        let found = self.peek() == Token::Punct(byte);
        if found {
            self.next();
        }
        found
    }

    /// Whether nothing but a semicolon is left.
    pub(super) fn end(&self) -> bool {
        let mut rest = *self;
        rest.punct(b';');
        rest.next() == Token::End
    }

    /// An identifier: folded unless quoted.
    pub(super) fn ident(&mut self) -> Option<Vec<u8>> {
        let ident = match self.peek() {
            Token::Word(word) => word.to_ascii_lowercase(),
            Token::Quoted(raw) if !raw.is_empty() => halved(raw, b'"').into_owned(),
            _ => return None,
        };
        self.next();
        Some(ident)
    }

    /// A name, with its schema where one is written.
    pub(super) fn name(&mut self) -> Option<Name> {
        let mut next = *self;
        let first = next.ident()?;
        let name = if next.punct(b'.') { Name::qualified(first, next.ident()?) } else { Name::bare(first) };
        // A third part would name a database.
        if next.peek() == Token::Punct(b'.') {
            return None;
        }
        *self = next;
        Some(name)
    }

    /// The value of a string constant.
    pub(super) fn text(&mut self) -> Option<Vec<u8>> {
        let Token::Text(text) = self.peek() else { return None };
        let value = text.value()?.into_owned();
        self.next();
        Some(value)
    }

    /// Names between parentheses, with commas.
    pub(super) fn idents_in_parens(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut next = *self;
        if !next.punct(b'(') {
            return None;
        }
        let all = next.list(Self::ident)?;
        if !next.punct(b')') {
            return None;
        }
        *self = next;
        Some(all)
    }

    /// One or more of what `item` reads, with commas.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut next = *self;
        let mut all = vec![item(&mut next)?];
        while next.punct(b',') {
            all.push(item(&mut next)?);
        }
        *self = next;
        Some(all)
    }

    /// The next token, a pair of parentheses or brackets with all inside taken as one.
    pub(super) fn top(&mut self) -> Top<'a> {
        let first = self.next();
        if !matches!(first, Token::Punct(b'(' | b'[')) {
            return Top::One(first);
        }
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Token::Punct(b'(' | b'[') => depth += 1,
                Token::Punct(b')' | b']') => depth -= 1,
                end @ (Token::End | Token::Broken) => return Top::One(end),
                _ => {}
            }
        }
        Top::Group
    }

    /// Passes a group, if one is next.
    pub(super) fn group(&mut self) -> bool {
        let mut next = *self;
        let found = next.top() == Top::Group;
        if found {
            *self = next;
        }
        found
    }

    /// Goes behind the next top-level place where `words` stand.
    pub(super) fn find(&mut self, words: &str) -> bool {
        let mut next = *self;
        loop {
            if next.words(words) {
                *self = next;
                return true;
            }
            if matches!(next.top(), Top::One(Token::End | Token::Broken)) {
                return false;
            }
        }
    }

    /// Whether `words` stand at the top of the rest.
    pub(super) fn has(&self, words: &str) -> bool {
        { *self }.find(words)
    }

    /// Whether a comma stands at the top of the rest: another action of the same ALTER.
    pub(super) fn has_comma(&self) -> bool {
        let mut next = *self;
        loop {
            match next.top() {
                Top::One(Token::Punct(b',')) => return true,
                Top::One(Token::End | Token::Broken) => return false,
                Top::One(_) | Top::Group => {}
            }
        }
    }

    /// Whether a quote or comment in the rest is not closed, or a NUL byte stands in it.
    pub(super) fn is_broken(mut self) -> bool {
        loop {
            match self.next() {
                Token::Broken => return true,
                Token::End => return false,
                _ => {}
            }
        }
    }

    /// The first keywords for a message; never a name or data, of which the start of a wrongly cut
    /// statement may consist.
    pub(super) fn first_keywords(mut self) -> String {
        let mut words = Vec::new();
        while let Token::Word(word) = self.next() {
            let word = word.to_ascii_uppercase();
            match KEYWORDS.split(' ').find(|keyword| keyword.as_bytes() == word) {
                Some(keyword) if words.len() < 4 => words.push(keyword),
                _ => break,
            }
        }
        words.join(" ")
    }
}

/// Words by which a statement's kind can be told.
const KEYWORDS: &str = "\
    ABORT ACCESS AGGREGATE ALTER ANALYZE BEGIN CALL CAST CHECKPOINT CLASS CLOSE CLUSTER COLLATION \
    COMMENT COMMIT CONCURRENTLY CONSTRAINT CONVERSION COPY CREATE DATABASE DEALLOCATE DECLARE DEFAULT \
    DELETE DISCARD DO DOMAIN DROP END EVENT EXECUTE EXPLAIN EXTENSION FAMILY FETCH FOREIGN FUNCTION \
    GRANT GROUP IMPORT INDEX INSERT INTO LABEL LANGUAGE LARGE LISTEN LOAD LOCK MAPPING MATERIALIZED \
    MERGE METHOD MOVE NOTIFY OBJECT OPERATOR OR OWNED POLICY PREPARE PREPARED PRIVILEGES PROCEDURAL \
    PROCEDURE PUBLICATION REASSIGN REFRESH REINDEX RELEASE REPLACE RESET REVOKE ROLE ROLLBACK RULE \
    SAVEPOINT SCHEMA SEARCH SECURITY SELECT SEQUENCE SERVER SET SHOW START STATISTICS SUBSCRIPTION \
    SYSTEM TABLE TABLESPACE TEMP TEMPORARY TEXT TRANSACTION TRANSFORM TRIGGER TRUNCATE TYPE UNIQUE \
    UNLISTEN UNLOGGED UPDATE USER VACUUM VALUES VIEW WITH WRAPPER";

/// Whether a token is this keyword. A keyword in quotes is a name.
pub(super) fn is_word(token: Token<'_>, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.eq_ignore_ascii_case(word.as_bytes()))
}

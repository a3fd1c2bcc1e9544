//! Which statements a `.dump` may hold: decided from a statement's first tokens, without its data.
//!
//! The list is what the `sqlite3` program has written from 3.3 to 3.54, and Python's `iterdump`,
//! which follows it. All else is refused by name and line, never passed on to see what happens.

use super::lexer::Kind;
use super::vtab::VirtualTable;

/// A token with its text, as far as it was kept.
pub(super) type Token = (Kind, Vec<u8>);

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// A pragma of the dump itself; we set our own.
    Pragma,
    /// `BEGIN TRANSACTION`; we begin our own.
    Begin,
    /// `COMMIT`, the end mark of a whole dump.
    Commit,
    /// `ROLLBACK; -- due to errors`: the dump tool gave up.
    Rollback,
    /// Creates a table.
    Table(Vec<u8>),
    /// Creates an index, a view or a trigger of that name.
    Other(Object, Vec<u8>),
    /// Makes sure that `sqlite_sequence` is there.
    CreateSequence,
    /// Empties `sqlite_sequence`.
    ClearSequence,
    /// Makes the tables of planner statistics.
    Analyze,
    /// Inserts that many rows of literal values.
    Insert(Vec<u8>, u64),
    /// The schema row of a virtual table.
    VirtualTable(VirtualTable),
    /// Nothing between two semicolons.
    Empty,
}

/// What is created after the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// An index.
    Index,
    /// A view.
    View,
    /// A trigger: its body holds semicolons.
    Trigger,
}

/// What the first tokens of a statement say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Too early to say.
    More,
    /// One of a few fixed texts: known only at its end.
    Fixed,
    /// A definition; its rest may hold anything.
    Definition(Statement),
    /// An INSERT whose table is known; its column list or `VALUES` follows.
    Rows(Vec<u8>),
    /// An INSERT into the schema: known only at its end.
    SchemaRow,
    /// No dump tool writes this.
    Refused,
}

/// Tokens of the longest fixed statement, its semicolon included, with room to spare.
pub(super) const HEAD_TOKENS: usize = 16;

pub(super) fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some((Kind::Word, text)) if text.eq_ignore_ascii_case(word.as_bytes()))
}

fn is_punct(token: Option<&Token>, byte: u8) -> bool {
    matches!(token, Some((Kind::Punct(found), _)) if *found == byte)
}

fn name(token: Option<&Token>) -> Option<&Vec<u8>> {
    match token {
        Some((Kind::Word | Kind::Quoted | Kind::Text, text)) => Some(text),
        Some((Kind::Number | Kind::Punct(_) | Kind::Nul, _)) | None => None,
    }
}

/// Whether a name belongs to SQLite itself.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"sqlite_"))
}

/// Tables of SQLite's own whose rows a dump carries.
fn is_carried(name: &[u8]) -> bool {
    [&b"sqlite_sequence"[..], b"sqlite_stat1", b"sqlite_stat2", b"sqlite_stat3", b"sqlite_stat4"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Judges a statement by the tokens seen so far.
pub(super) fn classify(head: &[Token]) -> Class {
    let Some((Kind::Word, first)) = head.first() else {
        return if head.is_empty() { Class::More } else { Class::Refused };
    };
    match first.to_ascii_uppercase().as_slice() {
        b"PRAGMA" | b"BEGIN" | b"COMMIT" | b"ROLLBACK" | b"ANALYZE" | b"DELETE" => Class::Fixed,
        b"INSERT" => insert(head),
        b"CREATE" => create(head),
        _ => Class::Refused,
    }
}

fn insert(head: &[Token]) -> Class {
    if head.len() > 1 && !is_word(head.get(1), "INTO") {
        return Class::Refused;
    }
    if head.len() < 3 {
        return Class::More;
    }
    match name(head.get(2)) {
        Some(table) if is_schema(table) => Class::SchemaRow,
        Some(table) if is_reserved(table) && !is_carried(table) => Class::Refused,
        Some(table) => Class::Rows(table.clone()),
        None => Class::Refused,
    }
}

fn is_schema(table: &[u8]) -> bool {
    table.eq_ignore_ascii_case(b"sqlite_schema") || table.eq_ignore_ascii_case(b"sqlite_master")
}

fn create(head: &[Token]) -> Class {
    let mut at = 1;
    if is_word(head.get(at), "UNIQUE") {
        at += 1;
    }
    let Some((Kind::Word, what)) = head.get(at) else {
        return if head.len() <= at { Class::More } else { Class::Refused };
    };
    let unique = at == 2;
    let object = match (unique, what.to_ascii_uppercase().as_slice()) {
        (false, b"TABLE") => None,
        (_, b"INDEX") => Some(Object::Index),
        (false, b"VIEW") => Some(Object::View),
        (false, b"TRIGGER") => Some(Object::Trigger),
        _ => return Class::Refused,
    };
    at += 1;
    // `IF` can be a name too: `NOT` after it decides.
    if is_word(head.get(at), "IF") && (head.len() <= at + 1 || is_word(head.get(at + 1), "NOT")) {
        at += 3;
    }
    // The token after the name is needed as well: a dot would name another database.
    if head.len() < at + 2 {
        return Class::More;
    }
    let Some(name) = name(head.get(at)) else {
        return Class::Refused;
    };
    let next = head.get(at + 1);
    match object {
        None if name.eq_ignore_ascii_case(b"sqlite_sequence") => Class::Fixed,
        _ if is_reserved(name) || is_punct(next, b'.') => Class::Refused,
        None if is_punct(next, b'(') => Class::Definition(Statement::Table(name.clone())),
        // `CREATE TABLE … AS SELECT` is never written: the schema holds the columns.
        None => Class::Refused,
        Some(object) => Class::Definition(Statement::Other(object, name.clone())),
    }
}

/// The fixed statements, word by word; `tokens` is the whole statement without its semicolon.
pub(super) fn fixed(tokens: &[Token]) -> Option<Statement> {
    let mut text = Vec::new();
    for (kind, part) in tokens {
        match kind {
            Kind::Word | Kind::Quoted => text.extend_from_slice(&part.to_ascii_uppercase()),
            Kind::Punct(byte) => text.push(*byte),
            Kind::Number | Kind::Text | Kind::Nul => return None,
        }
        text.push(b' ');
    }
    match text.trim_ascii_end() {
        b"PRAGMA FOREIGN_KEYS = OFF" | b"PRAGMA WRITABLE_SCHEMA = ON" | b"PRAGMA WRITABLE_SCHEMA = OFF" => {
            Some(Statement::Pragma)
        }
        b"BEGIN" | b"BEGIN TRANSACTION" => Some(Statement::Begin),
        b"COMMIT" | b"COMMIT TRANSACTION" => Some(Statement::Commit),
        b"ROLLBACK" => Some(Statement::Rollback),
        b"ANALYZE SQLITE_SCHEMA" | b"ANALYZE SQLITE_MASTER" => Some(Statement::Analyze),
        b"DELETE FROM SQLITE_SEQUENCE" => Some(Statement::ClearSequence),
        b"CREATE TABLE SQLITE_SEQUENCE ( NAME , SEQ )"
        | b"CREATE TABLE IF NOT EXISTS SQLITE_SEQUENCE ( NAME , SEQ )" => Some(Statement::CreateSequence),
        _ => None,
    }
}

/// The first words of a statement for a message: keywords at most, no data, nothing unprintable.
pub(super) fn first_words(head: &[Token]) -> String {
    let words: Vec<String> = head
        .iter()
        .take(3)
        .map_while(|(kind, text)| match kind {
            Kind::Word => Some(text.iter().take(24).map(|byte| byte.escape_ascii().to_string()).collect()),
            Kind::Punct(byte) => Some(byte.escape_ascii().to_string()),
            Kind::Number | Kind::Text | Kind::Quoted | Kind::Nul => None,
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn only_what_dump_tools_write_is_accepted() {
        let rows = |name: &str| Class::Rows(name.into());
        let table = |name: &str| Class::Definition(Statement::Table(name.into()));
        let other = |what, name: &str| Class::Definition(Statement::Other(what, name.into()));
        for (text, expected) in [
            ("CREATE TABLE t(a)", table("t")),
            ("create table IF NOT EXISTS 'we\"ird'(a)", table("we\"ird")),
            ("CREATE TABLE if(a)", table("if")),
            ("CREATE UNIQUE INDEX i ON t(a)", other(Object::Index, "i")),
            ("CREATE VIEW v AS SELECT 1", other(Object::View, "v")),
            ("CREATE TRIGGER [x y] AFTER INSERT ON t", other(Object::Trigger, "x y")),
            ("INSERT INTO \"a b\" VALUES(1)", rows("a b")),
            ("INSERT INTO sqlite_sequence VALUES('t',1)", rows("sqlite_sequence")),
            ("INSERT INTO sqlite_schema(type)", Class::SchemaRow),
            ("PRAGMA x", Class::Fixed),
            ("CREATE TABLE main.t(a)", Class::Refused),
            ("CREATE TABLE t AS SELECT 1", Class::Refused),
            ("CREATE TABLE sqlite_x(a)", Class::Refused),
            ("CREATE TEMP TABLE t(a)", Class::Refused),
            ("CREATE UNIQUE TABLE t(a)", Class::Refused),
            ("CREATE VIRTUAL TABLE t USING fts5(a)", Class::Refused),
            ("CREATE TRIGGER temp.x AFTER INSERT ON t", Class::Refused),
            ("INSERT OR REPLACE INTO t VALUES(1)", Class::Refused),
            ("INSERT INTO sqlite_dbpage VALUES(1)", Class::Refused),
            ("REPLACE INTO t VALUES(1)", Class::Refused),
            ("ATTACH 'x' AS y", Class::Refused),
            (".shell id", Class::Refused),
            ("SELECT load_extension('x')", Class::Refused),
            ("VACUUM INTO 'x'", Class::Refused),
            ("DROP TABLE t", Class::Refused),
            ("UPDATE t SET a = 1", Class::Refused),
        ] {
            assert_eq!(classify(&tokens(text.as_bytes()).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn fixed_statements_are_compared_as_a_whole() {
        for (text, expected) in [
            ("PRAGMA foreign_keys=OFF", Some(Statement::Pragma)),
            ("PRAGMA writable_schema=ON", Some(Statement::Pragma)),
            ("PRAGMA writable_schema=1", None),
            ("PRAGMA journal_mode=WAL", None),
            ("BEGIN TRANSACTION", Some(Statement::Begin)),
            ("BEGIN IMMEDIATE", None),
            ("COMMIT", Some(Statement::Commit)),
            ("ROLLBACK", Some(Statement::Rollback)),
            ("ROLLBACK TO x", None),
            ("ANALYZE sqlite_schema", Some(Statement::Analyze)),
            ("ANALYZE \"sqlite_master\"", Some(Statement::Analyze)),
            ("ANALYZE t", None),
            ("DELETE FROM \"sqlite_sequence\"", Some(Statement::ClearSequence)),
            ("DELETE FROM t", None),
            ("DELETE FROM sqlite_sequence WHERE 1", None),
            ("CREATE TABLE IF NOT EXISTS sqlite_sequence(name,seq)", Some(Statement::CreateSequence)),
            ("CREATE TABLE IF NOT EXISTS sqlite_sequence(name,seq,x)", None),
        ] {
            assert_eq!(fixed(&tokens(text.as_bytes()).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn the_first_words_show_no_data() {
        for (text, expected) in [
            ("ATTACH DATABASE 'secret' AS x", "ATTACH DATABASE"),
            (".shell rm", ". shell rm"),
            ("UPDATE \"t\" SET a='secret'", "UPDATE"),
            ("\u{1b}x red", "\\x1b x red"),
        ] {
            let head = tokens(text.as_bytes()).unwrap_or_default();
            assert!(first_words(&head).starts_with(expected), "{text}: {}", first_words(&head));
        }
    }
}

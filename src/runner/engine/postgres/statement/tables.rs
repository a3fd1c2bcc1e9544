//! `CREATE TABLE`, `CREATE FOREIGN TABLE` and `ALTER TABLE`.

use super::create::{self, UNTRUSTED};
use super::lexer::{Token, halved};
use super::object::Object;
use super::step::{Change, Step, Table};
use super::tokens::{Tokens, is_word};
use super::{OTHER_FORM, Options, Part, Verdict, alter, keys, own, send, send_part, skip};
use crate::runner::engine::postgres::names::Name;

/// Why a dump's own DROPs are left out.
pub(super) const NO_DROP: &str = "the run makes the target itself, so nothing of the dump is dropped before";

pub(super) fn create(mut tokens: Tokens<'_>, unlogged: bool) -> Verdict {
    let name = create::name(&mut tokens)?;
    let partition_of = columns(&mut tokens)?;
    // A query behind the columns would run at once.
    if tokens.has("AS") {
        return Err(OTHER_FORM);
    }
    let mut rest = tokens;
    let inherits = if rest.find("INHERITS") { parents(&mut rest).ok_or(OTHER_FORM)? } else { Vec::new() };
    let partitioned = tokens.has("PARTITION BY");
    send(Step::Table(Table { name, unlogged, partitioned, partition_of, inherits }))
}

/// Passes the columns, or the type or the table that they are of; gives back that table.
fn columns(tokens: &mut Tokens<'_>) -> Result<Option<Name>, &'static str> {
    if tokens.words("PARTITION OF") {
        let parent = own(tokens.name().ok_or(OTHER_FORM)?)?;
        tokens.group();
        return Ok(Some(parent));
    }
    let typed = tokens.words("OF");
    let columns = if typed { tokens.name().map(|_| tokens.group()).is_some() } else { tokens.group() };
    if columns { Ok(None) } else { Err(OTHER_FORM) }
}

fn parents(tokens: &mut Tokens<'_>) -> Option<Vec<Name>> {
    let all = tokens.punct(b'(').then(|| tokens.list(Tokens::name))??;
    tokens.punct(b')').then_some(all)
}

pub(super) fn create_foreign(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if starts_program(tokens) && !options.all {
        return Err(UNTRUSTED);
    }
    let table = create::name(&mut tokens)?;
    columns(&mut tokens)?;
    let server = if tokens.find("SERVER") { tokens.ident() } else { None };
    server.map_or(Err(OTHER_FORM), |server| send(Step::ForeignTable { table, server }))
}

/// Whether an option `program` is set, by which `file_fdw` runs a command of the system.
fn starts_program(mut tokens: Tokens<'_>) -> bool {
    loop {
        let found = match tokens.next() {
            Token::End | Token::Broken => return false,
            Token::Unicode => return true,
            Token::Quoted(raw) => *halved(raw, b'"') == *b"program",
            token => is_word(token, "program"),
        };
        if found && matches!(tokens.peek(), Token::Text(_) | Token::Unicode) {
            return true;
        }
    }
}

/// Reads from behind `ALTER TABLE` or `ALTER FOREIGN TABLE`.
pub(super) fn alter(object: Object, mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    tokens.words("IF EXISTS");
    tokens.words("ONLY");
    let table = tokens.name().ok_or(OTHER_FORM)?;
    if table.is_system() && tokens.has("OWNER TO") {
        return skip(format!("owner of {table}"), alter::OF_THE_SERVER);
    }
    let table = own(table)?;
    // Dump tools write one action a statement; another could do anything.
    if tokens.has_comma() {
        return Err(OTHER_FORM);
    }
    if tokens.words("ADD CONSTRAINT") {
        return keys::constraint(tokens, table);
    }
    if tokens.words("ATTACH PARTITION") {
        let partition = own(tokens.name().ok_or(OTHER_FORM)?)?;
        return send(Step::AttachPartition { table, partition });
    }
    if tokens.words("OWNER TO") {
        return alter::owner(object, Some(table), tokens, options);
    }
    if tokens.words("DROP CONSTRAINT") {
        return skip("ALTER TABLE … DROP CONSTRAINT", NO_DROP);
    }
    if tokens.words("SET ACCESS METHOD") {
        let what = format!("access method of {table}");
        let step = Step::AlterTable { table, change: Change::AccessMethod };
        return send_part(step, Part::TableAccessMethods, what, options);
    }
    if tokens.words("ALTER COLUMN") {
        return column(tokens, table);
    }
    let change = switch(&mut tokens).filter(|_| tokens.end()).ok_or(OTHER_FORM)?;
    send(Step::AlterTable { table, change })
}

fn column(mut tokens: Tokens<'_>, table: Name) -> Verdict {
    tokens.ident().ok_or(OTHER_FORM)?;
    if tokens.words("DROP DEFAULT") {
        return skip("ALTER TABLE … DROP DEFAULT", NO_DROP);
    }
    if is_version(tokens) {
        return skip(format!("column version of {table}"), "the server counts versions of columns by itself");
    }
    let change = if tokens.words("ADD GENERATED") {
        Change::Identity
    } else {
        let sets = tokens.words("SET")
            && (["DEFAULT", "STATISTICS", "STORAGE", "COMPRESSION", "NOT NULL"]
                .iter()
                .any(|what| tokens.words(what))
                || tokens.group());
        let options = !sets && tokens.words("OPTIONS") && tokens.group();
        if !sets && !options {
            return Err(OTHER_FORM);
        }
        Change::Column
    };
    send(Step::AlterTable { table, change })
}

/// Whether all that is set is the counter that a server may keep in a column's options: a client that does not
/// know of it writes it into the dump, and other servers refuse it.
fn is_version(mut tokens: Tokens<'_>) -> bool {
    tokens.words("SET")
        && tokens.punct(b'(')
        && tokens.words("PG_ATTVER")
        && tokens.punct(b'=')
        && (tokens.text().is_some() || matches!(tokens.next(), Token::Number(_)))
        && tokens.punct(b')')
        && tokens.end()
}

/// Actions without data of their own.
fn switch(tokens: &mut Tokens<'_>) -> Option<Change> {
    if tokens.words("CLUSTER ON") {
        return tokens.ident().map(|_| Change::ClusterOn);
    }
    if tokens.words("REPLICA IDENTITY") {
        let known = tokens.words("NOTHING")
            || tokens.words("FULL")
            || (tokens.words("USING INDEX") && tokens.ident().is_some());
        return known.then_some(Change::ReplicaIdentity);
    }
    if tokens.words("ENABLE ROW LEVEL SECURITY") || tokens.words("FORCE ROW LEVEL SECURITY") {
        return Some(Change::RowSecurity);
    }
    let switches = ["ENABLE ALWAYS", "ENABLE REPLICA", "ENABLE", "DISABLE"];
    switches.iter().find(|words| tokens.words(words))?;
    if tokens.words("TRIGGER ALL") {
        return Some(Change::AllTriggers);
    }
    let change = if tokens.words("RULE") {
        Change::Rule
    } else {
        tokens.words("TRIGGER").then_some(Change::Trigger)?
    };
    tokens.ident().map(|_| change)
}

//! Decides what may be done with a statement of a dump: send it, leave it out, or refuse the dump.
//!
//! A dump is hostile input that would run with the rights of the target's user. So only kinds of
//! statements that `pg_dump` and `pg_dumpall` 9.5 to 18 write are sent, and of those only what stays
//! in the database of the connection; what they write of the cluster is left out and listed; all else
//! is [`Judged::Unsafe`]. The kinds were read off their sources (`pg_dump.c`, `pg_dumpall.c`,
//! `dumputils.c`, `pg_backup_archiver.c`).
//!
//! Pure: one whole statement in, a decision out. Bodies are not parsed: the server takes one
//! statement per message, so a rest that is something else is an error there, not a second statement.

mod alter;
mod cluster;
mod create;
mod data;
mod keys;
mod lexer;
mod named;
mod object;
mod privileges;
mod roles;
mod selects;
mod settings;
mod step;
mod subscription;
mod tables;
mod tokens;

use std::collections::BTreeSet;

pub use named::named;
pub use object::Object;
pub use roles::{Role, with_list, with_names};
pub use step::{Change, CreateDatabase, DatabaseFact, KeyKind, LargeObject, Step, Table};
pub use subscription::Subscription;

use super::names::Name;
use tokens::Tokens;

/// Parts of a dump that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `COMMENT ON`.
    Comments,
    /// Owners of objects.
    Owners,
    /// Rights, default ones included.
    Grants,
    /// `SECURITY LABEL`.
    SecurityLabels,
    /// Publications.
    Publications,
    /// Subscriptions.
    Subscriptions,
    /// The tablespaces of tables and indexes.
    Tablespaces,
    /// The access methods of tables.
    TableAccessMethods,
}

/// What is wanted of a dump, and what has to be known to read it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The session's `standard_conforming_strings`, as the dump has set it before the statement.
    pub standard_conforming_strings: bool,
    /// Release series of the target server, such as 15.
    pub server: u16,
    /// What is left out.
    pub skip: BTreeSet<Part>,
    /// Whether all is sent that would be refused: code that runs with the rights of the server's process
    /// (functions in C or an untrusted language, foreign tables that start a program), and statements
    /// that no dump tool writes, as [`Step::Other`].
    pub all: bool,
}

impl Options {
    /// Everything that a dump tool writes, tablespaces and untrusted code excepted.
    pub fn new(server: u16) -> Self {
        Self {
            standard_conforming_strings: true,
            server,
            skip: BTreeSet::from([Part::Tablespaces]),
            all: false,
        }
    }
}

/// What may be done with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It may be sent.
    Send(Step),
    /// It is not sent, and is listed.
    Skip {
        /// What is left out: keywords and names, no data.
        what: String,
        /// Why.
        why: &'static str,
    },
    /// It tells of the database as a whole, and is not sent.
    Database(DatabaseFact),
    /// Nothing but comments and white space.
    Empty,
    /// The dump must not be restored: what is refused, why, and what to do.
    Unsafe(String),
}

/// A decision, or why the statement is refused.
type Verdict = Result<Judged, &'static str>;

const NOT_WRITTEN: &str = "no dump tool writes it; find out where the dump comes from";
const OTHER_FORM: &str =
    "dump tools write such a statement in another form; find out where the dump comes from";
const SYSTEM_SCHEMA: &str =
    "it would change what belongs to the server itself; find out where the dump comes from";
const BROKEN: &str = "a quote or comment in it is not closed, or it holds a NUL byte; take the backup again";

/// Reads a statement from behind its first word.
type Reader = fn(Tokens<'_>, &Options) -> Verdict;

const VERBS: &[(&str, Reader)] = &[
    ("SET", settings::set),
    ("RESET", settings::reset),
    ("BEGIN", settings::begin),
    ("COMMIT", settings::commit),
    ("SELECT", selects::select),
    ("COPY", data::copy),
    ("INSERT", data::insert),
    ("REFRESH", keys::refresh),
    ("CREATE", create::create),
    ("ALTER", alter::alter),
    ("COMMENT", privileges::comment),
    ("SECURITY", privileges::label),
    ("GRANT", privileges::grant),
    ("REVOKE", privileges::grant),
    ("DROP", cluster::drop),
    ("UPDATE", cluster::update),
];

/// Judges one whole statement, with or without its semicolon, comments before it or not.
///
/// `text` is in an encoding in which bytes below 0x80 are ASCII. Takes time linear in its length
/// and copies names only.
pub fn judge(text: &[u8], options: &Options) -> Judged {
    let start = Tokens::new(text, options.standard_conforming_strings);
    if start.end() {
        return Judged::Empty;
    }
    let mut rest = start;
    let verdict = match VERBS.iter().find(|(verb, _)| rest.words(verb)) {
        Some((_, read)) => read(rest, options),
        None => Err(NOT_WRITTEN),
    };
    let is = |words| {
        let mut start = start;
        start.words(words)
    };
    // One that is sent as it is would act on its publisher, from a database that may yet be given up.
    let sends_all = options.all && !is("CREATE SUBSCRIPTION") && !is("ALTER SUBSCRIPTION");
    verdict.unwrap_or_else(|why| match (start.is_broken(), sends_all) {
        (true, _) => Judged::Unsafe(refusal(start, BROKEN)),
        (false, false) => Judged::Unsafe(refusal(start, why)),
        (false, true) => Judged::Send(Step::Other),
    })
}

fn refusal(start: Tokens<'_>, why: &str) -> String {
    let words = start.first_keywords();
    if words.is_empty() { format!("it begins like no statement: {why}") } else { format!("{words}: {why}") }
}

#[expect(clippy::unnecessary_wraps, reason = "it is the verdict of a reader")]
fn send(step: Step) -> Verdict {
    Ok(Judged::Send(step))
}

#[expect(clippy::unnecessary_wraps, reason = "it is the verdict of a reader")]
fn skip(what: impl Into<String>, why: &'static str) -> Verdict {
    Ok(Judged::Skip { what: what.into(), why })
}

/// Sends what `part` is of, unless that is left out.
fn send_part(step: Step, part: Part, what: impl Into<String>, options: &Options) -> Verdict {
    if options.skip.contains(&part) { skip(what, "this run leaves it out") } else { send(step) }
}

/// A name that is not the server's own.
fn own(name: Name) -> Result<Name, &'static str> {
    if name.is_system() { Err(SYSTEM_SCHEMA) } else { Ok(name) }
}

#[cfg(test)]
mod alter_case_tests;
#[cfg(test)]
mod case_tests;
#[cfg(test)]
mod create_case_tests;
#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod option_tests;
#[cfg(test)]
mod tests;

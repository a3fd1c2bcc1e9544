//! Where a statement stands in the backup, and how it is told of.

use std::fmt;

use crate::reason::Reason;
use crate::runner::engine::postgres::statement::{Object, Step};
use crate::runner::engine::postgres::wire::WireError;
use crate::runner::fault::{Fault, Stage};

/// Bytes of a statement that a message shows.
const SHOWN_BYTES: usize = 100;

/// Where a statement stands in the backup.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Line of a script, from 1.
    Line(u64),
    /// Entry of an archive.
    Entry(String),
}

impl Place {
    /// Memory that it takes beside itself, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Line(_) => 0,
            Self::Entry(entry) => entry.len(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line} of the dump"),
            Self::Entry(entry) => write!(f, "{entry}"),
        }
    }
}

/// The fault for what no dump tool writes.
pub(super) fn unsafe_content(place: &Place, what: &str) -> Fault {
    Fault::new(Stage::Restore, Reason::UnsafeContent, format!("{place}: {what}"))
}

/// The fault for what the server did not take.
pub(super) fn failed(error: WireError, place: &Place, what: &str) -> Fault {
    error.fault(Stage::Restore, Reason::RestoreFailed, &format!("{place}: the server refused {what}"))
}

/// A statement in a message, without the data in it.
pub(super) fn describe(step: &Step, text: &[u8]) -> String {
    match step {
        Step::Insert { table } => format!("rows of {table}"),
        Step::LargeObject(_) => "a step of a large object".to_owned(),
        Step::UserMapping { .. } => "a user mapping".to_owned(),
        // Their options may hold passwords.
        Step::ForeignTable { .. }
        | Step::Create { object: Object::Server | Object::ForeignDataWrapper, .. }
        | Step::Alter { object: Object::Server | Object::ForeignDataWrapper, .. }
        | Step::Other => keywords(text),
        _ => shown(text),
    }
}

/// What a statement that names roles is about, without names: it is told of by its kind.
pub(super) const fn kind(step: &Step) -> &'static str {
    match step {
        Step::Owner { .. } => "owner of",
        Step::Grant { .. } => "rights on",
        Step::DefaultPrivileges { .. } => "default rights",
        Step::Policy { .. } => "CREATE POLICY",
        Step::UserMapping { .. } => "CREATE USER MAPPING",
        _ => "statements about",
    }
}

/// The first words of a statement.
fn keywords(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..SHOWN_BYTES).unwrap_or(text));
    let words = text.split_whitespace().take_while(|word| word.chars().all(char::is_alphabetic));
    format!("{} …", words.take(3).collect::<Vec<_>>().join(" "))
}

/// The beginning of a statement, on one line.
pub(super) fn shown(text: &[u8]) -> String {
    let head = text.get(..SHOWN_BYTES).unwrap_or(text);
    let more = if head.len() < text.len() { "…" } else { "" };
    let line: String =
        String::from_utf8_lossy(head).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}{more}", line.split_whitespace().collect::<Vec<_>>().join(" "))
}

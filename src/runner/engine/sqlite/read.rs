//! Reads `.dump` text: cuts it into statements, judges each, counts rows.
//!
//! [`Splitter`] is the one reader of both passes: in pass 1 under [`super::DumpScanner`], which holds
//! no statement in memory, in pass 2 under [`Statements`], which hands each one to the loader.

use std::io::{self, Read};

use super::grammar::{
    Class, HEAD_TOKENS, Object, Statement, Token, classify, first_words, fixed, is_reserved,
};
use super::insert::{Rows, WORD_BYTES};
use super::lexer::{Kind, Lexer};
use super::vtab::{self, DECLARATION_BYTES, ROW_TOKENS};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::BUFFER_BYTES;

/// Largest statement in bytes: SQLite's own default, `SQLITE_MAX_SQL_LENGTH`.
pub(super) const STATEMENT_LIMIT_BYTES: u64 = 1_000_000_000;
/// Bytes of a name that are kept; a longer one is refused.
const NAME_LIMIT_BYTES: usize = 4096;
/// A statement that ended.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) statement: Statement,
    /// Line of its first word, from 1.
    pub(super) line: u64,
    /// Bytes, white space and comments before it not counted.
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    Open,
    Committed,
}

/// Where a trigger's body stands: it ends at `; END ;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Body,
    Semicolon,
    End,
}

/// Cuts bytes into judged statements; see the module.
#[derive(Debug)]
pub(super) struct Splitter {
    lexer: Lexer,
    head: Vec<Token>,
    class: Class,
    rows: Rows,
    tail: Tail,
    line: u64,
    start_line: u64,
    bytes: u64,
    place: Place,
    triggers: bool,
    any: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        let mut lexer = Lexer::default();
        lexer.keep(NAME_LIMIT_BYTES);
        Self {
            lexer,
            head: Vec::new(),
            class: Class::More,
            rows: Rows::default(),
            tail: Tail::Body,
            line: 1,
            start_line: 1,
            bytes: 0,
            place: Place::Before,
            triggers: false,
            any: false,
        }
    }
}

impl Splitter {
    /// Reads on in `input`, which is not empty: bytes used, and the statement that ended there.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<(usize, Option<Found>)> {
        if self.head.is_empty() && self.lexer.is_between() {
            self.start_line = self.line;
        }
        let step = self.lexer.step(input);
        let used = input.get(..step.consumed).unwrap_or_default();
        if step.blank && self.head.is_empty() {
            // What began like a token may have turned out to begin a comment.
            self.bytes = 0;
        } else {
            self.bytes += used.len() as u64;
        }
        self.line += used.iter().fold(0, |lines, byte| lines + u64::from(*byte == b'\n'));
        if self.bytes > STATEMENT_LIMIT_BYTES {
            let what = format!("is larger than {STATEMENT_LIMIT_BYTES} bytes, the most that SQLite takes");
            return Err(self.fault(Reason::LimitExceeded, &what));
        }
        let found = match step.token {
            Some(kind) => self.token(kind)?,
            None => None,
        };
        Ok((step.consumed, found))
    }

    /// Whether nothing of a statement has been read yet, comments not counted.
    pub(super) fn is_between(&self) -> bool {
        self.head.is_empty() && self.lexer.is_between()
    }

    fn fault(&self, reason: Reason, what: &str) -> Fault {
        Fault::new(
            Stage::Inspect,
            reason,
            format!("the statement in line {} of the dump {what}", self.start_line),
        )
    }

    fn refused(&self) -> Fault {
        let what = format!("is none that dump tools write: {}", first_words(&self.head));
        self.fault(Reason::UnsafeContent, what.trim_end_matches([':', ' ']))
    }

    fn token(&mut self, kind: Kind) -> Result<Option<Found>> {
        if kind == Kind::Nul {
            return Err(self.fault(Reason::CorruptBackup, "holds a NUL byte, which no dump tool writes"));
        }
        let ends = kind == Kind::Punct(b';') && !self.continues_trigger(kind);
        if ends {
            return self.end().map(Some);
        }
        match &self.class {
            Class::More | Class::Fixed | Class::SchemaRow => self.head_token(kind)?,
            Class::Definition(_) => {
                self.continues_trigger(kind);
            }
            Class::Rows(_) => {
                if !self.rows.token(kind, self.lexer.text(), self.lexer.is_adjacent()) {
                    return Err(self.refused());
                }
                let keep = if self.rows.is_in_values() { WORD_BYTES } else { NAME_LIMIT_BYTES };
                self.lexer.keep(keep);
            }
            Class::Refused => return Err(self.refused()),
        }
        Ok(None)
    }

    /// Follows a trigger's body; true while a semicolon belongs to it.
    fn continues_trigger(&mut self, kind: Kind) -> bool {
        if !matches!(self.class, Class::Definition(Statement::Other(Object::Trigger, _))) {
            return false;
        }
        let is_end = kind == Kind::Word && self.lexer.text().eq_ignore_ascii_case(b"END");
        self.tail = match (self.tail, kind) {
            (Tail::End, Kind::Punct(b';')) => return false,
            (_, Kind::Punct(b';')) => Tail::Semicolon,
            (Tail::Semicolon, Kind::Word) if is_end => Tail::End,
            _ => Tail::Body,
        };
        true
    }

    fn head_token(&mut self, kind: Kind) -> Result<()> {
        if self.lexer.is_cut() {
            return Err(self.fault(Reason::LimitExceeded, "holds a name or declaration that is too long"));
        }
        let mut text = self.lexer.text().to_vec();
        if !self.any
            && self.head.is_empty()
            && let Some(rest) = text.strip_prefix(b"\xef\xbb\xbf")
        {
            text = rest.to_vec();
        }
        self.head.push((kind, text));
        let limit = if self.class == Class::SchemaRow { ROW_TOKENS } else { HEAD_TOKENS };
        if self.head.len() > limit {
            return Err(self.refused());
        }
        if self.class == Class::More {
            self.class = classify(&self.head);
            self.decided()?;
        }
        Ok(())
    }

    /// Prepares for the rest of a statement whose class has just become known.
    fn decided(&mut self) -> Result<()> {
        match &self.class {
            Class::More | Class::Fixed => return Ok(()),
            Class::Refused => return Err(self.refused()),
            Class::SchemaRow => self.lexer.keep(DECLARATION_BYTES),
            Class::Definition(_) => self.lexer.keep(WORD_BYTES),
            Class::Rows(table) => {
                // Dump tools write triggers last, so that none of them fires while rows are loaded.
                if self.triggers && !is_reserved(table) {
                    return Err(self.fault(Reason::UnsafeContent, "inserts rows after a trigger was created"));
                }
            }
        }
        if self.place == Place::Committed {
            return Err(self.fault(Reason::UnsafeContent, "stands after the COMMIT that ends a dump"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Found> {
        let class = std::mem::replace(&mut self.class, Class::More);
        let statement = match class {
            Class::More if self.head.is_empty() => Statement::Empty,
            Class::Fixed => fixed(&self.head).ok_or_else(|| self.refused())?,
            Class::Definition(statement) => statement,
            Class::Rows(table) if self.rows.is_complete() => Statement::Insert(table, self.rows.count()),
            Class::SchemaRow => vtab::parse(&self.head)
                .map(Statement::VirtualTable)
                .map_err(|what| self.fault(Reason::UnsafeContent, &what))?,
            Class::More | Class::Rows(_) | Class::Refused => return Err(self.refused()),
        };
        self.follow(&statement)?;
        let found = Found { statement, line: self.start_line, bytes: self.bytes };
        self.any |= !self.head.is_empty();
        self.head.clear();
        self.rows = Rows::default();
        self.tail = Tail::Body;
        self.bytes = 0;
        self.lexer.keep(NAME_LIMIT_BYTES);
        Ok(found)
    }

    /// Keeps the order of a dump: one transaction, rows before triggers, nothing after the end.
    fn follow(&mut self, statement: &Statement) -> Result<()> {
        if self.place == Place::Committed && *statement != Statement::Empty {
            return Err(self.fault(Reason::UnsafeContent, "stands after the COMMIT that ends a dump"));
        }
        match statement {
            Statement::Rollback => {
                let what = "is a ROLLBACK: the dump tool met errors and did not dump all of the database";
                return Err(self.fault(Reason::IncompleteDump, what));
            }
            Statement::Begin if self.place == Place::Open => return Err(self.refused()),
            Statement::Begin => self.place = Place::Open,
            Statement::Commit => self.place = Place::Committed,
            Statement::Other(Object::Trigger, _) => self.triggers = true,
            Statement::Pragma
            | Statement::Table(_)
            | Statement::Other(Object::Index | Object::View, _)
            | Statement::CreateSequence
            | Statement::ClearSequence
            | Statement::Analyze
            | Statement::Insert(..)
            | Statement::VirtualTable(_)
            | Statement::Empty => {}
        }
        Ok(())
    }

    /// Judges the end of the text: true where the dump's own end mark was seen.
    pub(super) fn finish(&self) -> Result<bool> {
        let truncated =
            |what: &str| Fault::new(Stage::Inspect, Reason::Truncated, format!("the dump {what}"));
        if !self.is_between() {
            return Err(truncated(&format!(
                "ends inside the statement that begins in line {}",
                self.start_line
            )));
        }
        match self.place {
            Place::Committed => Ok(true),
            Place::Open => Err(truncated("ends without the COMMIT that dump tools write last")),
            Place::Before if !self.any => Err(truncated("holds no statement")),
            Place::Before => Ok(false),
        }
    }
}

/// The statements of a dump one after the other, for the loader.
pub(super) struct Statements<'a> {
    input: &'a mut dyn Read,
    splitter: Splitter,
    buffer: Vec<u8>,
    position: usize,
    length: usize,
    text: Vec<u8>,
}

impl<'a> Statements<'a> {
    /// Reads from `input`; nothing is read yet.
    pub(super) fn new(input: &'a mut dyn Read) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { input, splitter: Splitter::default(), buffer, position: 0, length: 0, text: Vec::new() }
    }

    /// The text of the statement that [`Self::advance`] found, its semicolon included.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Reads up to the end of the next statement; `None` at the end of a whole dump.
    pub(super) fn advance(&mut self) -> Result<Option<Found>> {
        self.text.clear();
        loop {
            if self.position == self.length && !self.fill()? {
                self.splitter.finish()?;
                return Ok(None);
            }
            let rest = self.buffer.get(self.position..self.length).unwrap_or_default();
            let (used, found) = self.splitter.step(rest)?;
            let part = rest.get(..used).unwrap_or_default();
            if found.is_some() || self.splitter.bytes > 0 {
                self.text.extend_from_slice(part);
            } else {
                self.text.clear();
            }
            self.position += used;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn fill(&mut self) -> Result<bool> {
        self.position = 0;
        self.length = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(read_fault)?,
            }
        };
        Ok(self.length > 0)
    }
}

/// The fault of a reader of the dump in pass 2.
pub(super) fn read_fault(error: io::Error) -> Fault {
    Fault::from_io(error, Stage::Restore, Reason::SourceUnavailable, "failed to read the decoded dump")
}

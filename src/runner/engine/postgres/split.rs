//! Splits a script of `pg_dump` or `pg_dumpall` as psql does, on bytes, fed in pieces of any length.
//!
//! In come pieces of the script, out go statements, COPY data, comments and changes of the database,
//! in order, to a [`Script`]. Nothing is run and nothing judged but what no dump tool writes: other
//! meta-commands, options of `COPY … FROM stdin`, NUL bytes. The same machine serves both passes: it
//! keeps the heads of statements ([`Keep::Head`]) or all of them ([`Keep::Whole`]).
//!
//! One difference to psql is meant: `SET standard_conforming_strings` and `SET client_encoding` count
//! from the next statement on, as they do for the server, not from the next line.

mod not_sql;

use memchr::{memchr, memchr_iter};

use super::copy::CopyReader;
use super::encoding::Mask;
use super::meta::Guard;
use super::quote::{Event, Lexer};
use super::script::{ByteOrderMark, HEAD_BYTES, Keep, STATEMENT_LIMIT_BYTES, Script, Statement};
use super::settings::Settings;
use super::shape::{CopyFrom, Shape};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Largest meta-command in bytes.
const META_LIMIT_BYTES: usize = 4096;
/// Bytes of a comment that are handed on.
const COMMENT_BYTES: usize = 256;

#[derive(Debug)]
enum Mode {
    Sql,
    /// In a meta-command, behind its backslash.
    Meta,
    /// Behind the semicolon of `COPY … FROM stdin`.
    Copy(CopyReader),
}

/// Splits a script; see the module.
#[derive(Debug)]
pub struct Splitter {
    keep: Keep,
    mode: Mode,
    lexer: Lexer,
    shape: Shape,
    settings: Settings,
    mask: Mask,
    masked: Vec<u8>,
    /// Bytes of the open statement, or of the meta-command.
    text: Vec<u8>,
    bytes: u64,
    comment: Vec<u8>,
    /// Where the open statement, meta-command or COPY data begins.
    begin: (u64, u64),
    /// Line and byte of the first row of the COPY data.
    rows_begin: (u64, u64),
    /// Line where the open token begins.
    token_line: u64,
    within_token: bool,
    line: u64,
    offset: u64,
    guard: Guard,
    mark: ByteOrderMark,
    /// Byte of the next NUL in the piece that is fed.
    nul: u64,
}

fn fault(reason: Reason, line: u64, what: &str) -> Fault {
    Fault::new(Stage::Inspect, reason, format!("line {line} of the dump {what}"))
}

impl Splitter {
    /// Begins at the first byte of a script.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            mode: Mode::Sql,
            lexer: Lexer::default(),
            shape: Shape::default(),
            settings: Settings::default(),
            mask: Mask::default(),
            masked: Vec::new(),
            text: Vec::new(),
            bytes: 0,
            comment: Vec::new(),
            begin: (1, 0),
            rows_begin: (1, 0),
            token_line: 1,
            within_token: false,
            line: 1,
            offset: 0,
            guard: Guard::default(),
            mark: ByteOrderMark::default(),
            nul: u64::MAX,
        }
    }

    /// The same with settings that were made before the first byte, as an archive states them.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self.lexer.standard_strings = settings.standard_strings;
        self
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8], script: &mut dyn Script) -> Result<()> {
        let skipped = self.mark.skip(bytes)?;
        self.offset += skipped as u64;
        let mut rest = bytes.get(skipped..).unwrap_or_default();
        self.nul = self.next_nul(rest);
        while !rest.is_empty() {
            let used = match &mut self.mode {
                Mode::Sql => self.sql(rest, script)?,
                Mode::Meta => self.meta(rest, script)?,
                Mode::Copy(_) => self.copy(rest, script)?,
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn next_nul(&self, rest: &[u8]) -> u64 {
        memchr(0, rest).map_or(u64::MAX, |at| self.offset + at as u64)
    }

    /// The end of the script: a fault where it ends in the middle of something.
    pub fn finish(&mut self, script: &mut dyn Script) -> Result<()> {
        let truncated = |what: String| Err(Fault::new(Stage::Inspect, Reason::Truncated, what));
        if matches!(self.mode, Mode::Meta) {
            // psql takes a last line without its line feed.
            self.meta_command(script)?;
        }
        if matches!(self.mode, Mode::Copy(_)) {
            let line = self.begin.0;
            return truncated(format!("the dump ends inside the COPY data that begin after line {line}"));
        }
        if self.bytes > 0 || self.within_token {
            if let Some(what) = self.lexer.open()
                && what != "a word"
            {
                let line = self.token_line;
                return truncated(format!("the dump ends inside {what} that opens in line {line}"));
            }
            let line = self.begin.0;
            return truncated(format!("the dump ends inside the statement that begins in line {line}"));
        }
        if let Some(line) = self.guard.restricted_since() {
            return truncated(format!("the dump ends without the \\unrestrict for line {line}"));
        }
        self.end_comment(script)
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.line += memchr_iter(b'\n', bytes).count() as u64;
    }

    /// Reads SQL up to the end of `input`, of a line, or to where something else begins.
    fn sql(&mut self, input: &[u8], script: &mut dyn Script) -> Result<usize> {
        if self.nul < self.offset {
            self.nul = self.next_nul(input);
        }
        if !self.settings.encoding.embeds_ascii() {
            return self.tokens(input, input, script);
        }
        let end = memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        let input = input.get(..end).unwrap_or_default();
        let mut masked = std::mem::take(&mut self.masked);
        self.mask.apply(self.settings.encoding, input, &mut masked);
        let used = self.tokens(input, &masked, script)?;
        if used < end {
            // Stopped behind a semicolon or a backslash, so between characters.
            self.mask = Mask::default();
        }
        self.masked = masked;
        Ok(used)
    }

    /// Takes tokens of `input`; the lexer sees `view`, which has the same length.
    fn tokens(&mut self, input: &[u8], view: &[u8], script: &mut dyn Script) -> Result<usize> {
        let mut at = 0;
        while let Some(rest) = view.get(at..).filter(|rest| !rest.is_empty()) {
            let step = self.lexer.step(rest);
            let part = input.get(at..at + step.used).unwrap_or_default();
            at += step.used;
            if let Some(before) = self.nul.checked_sub(self.offset).and_then(|at| usize::try_from(at).ok())
                && let Some(before) = part.get(..before).filter(|before| before.len() < part.len())
            {
                let line = self.line + memchr_iter(b'\n', before).count() as u64;
                return Err(fault(
                    Reason::CorruptBackup,
                    line,
                    "holds a NUL byte, which no dump tool writes",
                ));
            }
            if self.take(step.event, part, script)? {
                break;
            }
        }
        Ok(at)
    }

    /// Takes one event with its bytes; true where what follows may have to be read in another way.
    fn take(&mut self, event: Event, part: &[u8], script: &mut dyn Script) -> Result<bool> {
        match event {
            Event::Comment { retract } => {
                self.begin_comment(retract);
                if self.bytes == 0 {
                    let room = COMMENT_BYTES - self.comment.len();
                    self.comment.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
                }
            }
            Event::BlockComment { retract } => {
                self.begin_comment(retract);
                self.comment.clear();
                if !self.within_token {
                    self.token_line = self.line;
                }
                self.within_token = self.lexer.open().is_some();
            }
            _ => {}
        }
        let blank = matches!(event, Event::Blank | Event::Comment { .. } | Event::BlockComment { .. });
        if !matches!(event, Event::Comment { .. }) {
            self.end_comment(script)?;
        }
        if event == Event::Backslash {
            return self.begin_meta(part);
        }
        if !blank && !self.within_token {
            self.token_line = self.line;
        }
        if !(blank && self.bytes == 0) {
            self.push(part)?;
        }
        self.pass(part);
        if blank {
            return Ok(false);
        }
        self.within_token = event == Event::Part;
        self.shape(event, script)
    }

    /// Tells the shape of the statement of a token; true behind the end of the statement.
    fn shape(&mut self, event: Event, script: &mut dyn Script) -> Result<bool> {
        match event {
            Event::Semicolon if self.shape.ends() => {
                let encoding = self.settings.encoding;
                self.end_statement(script)?;
                Ok(encoding != self.settings.encoding || !matches!(self.mode, Mode::Sql))
            }
            Event::LongTag => {
                let what = "holds a dollar quote with a tag longer than any tool writes";
                Err(fault(Reason::UnsafeContent, self.line, what))
            }
            event => {
                self.shape.take(event, self.lexer.word());
                Ok(false)
            }
        }
    }

    /// Adds bytes to the open statement, or opens one.
    fn push(&mut self, part: &[u8]) -> Result<()> {
        if self.bytes == 0 {
            self.begin = (self.line, self.offset);
        }
        self.bytes += part.len() as u64;
        if self.bytes > STATEMENT_LIMIT_BYTES {
            let what = format!("begins a statement of more than {STATEMENT_LIMIT_BYTES} bytes");
            return Err(fault(Reason::LimitExceeded, self.begin.0, &what));
        }
        let room = match self.keep {
            Keep::Head => HEAD_BYTES.saturating_sub(self.text.len()),
            Keep::Whole => part.len(),
        };
        self.text.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
        Ok(())
    }

    /// Where a comment turned out to begin with a byte that looked like a token.
    fn begin_comment(&mut self, retract: bool) {
        if retract {
            self.within_token = false;
            if self.shape.tokens == 0 {
                self.comment.clone_from(&self.text);
                self.text.clear();
                self.bytes = 0;
            }
        }
    }

    fn end_comment(&mut self, script: &mut dyn Script) -> Result<()> {
        if !self.comment.is_empty() {
            script.comment(&self.comment)?;
            self.comment.clear();
        }
        Ok(())
    }

    fn end_statement(&mut self, script: &mut dyn Script) -> Result<()> {
        let shape = std::mem::take(&mut self.shape);
        let text = std::mem::take(&mut self.text);
        let bytes = std::mem::take(&mut self.bytes);
        if shape.tokens > 0 {
            let (line, offset) = self.begin;
            let cut = (text.len() as u64) < bytes;
            let (rows, partitioned) = (shape.rows, shape.partitioned);
            let statement = Statement { text: &text, line, offset, bytes, cut, rows, partitioned };
            match shape.copy {
                CopyFrom::Elsewhere => {
                    let found = self.settings.follow(&text, bytes);
                    found.map_err(|(reason, what)| fault(reason, line, &format!("has {what}")))?;
                    self.lexer.standard_strings = self.settings.standard_strings;
                    script.statement(statement)?;
                }
                CopyFrom::Script => {
                    self.mode = Mode::Copy(CopyReader::behind_statement(self.settings.encoding));
                    script.copy_begin(statement)?;
                }
                CopyFrom::ScriptWithOptions => {
                    let what = "begins a COPY from the script with options that no dump tool writes";
                    return Err(fault(Reason::UnsafeContent, line, what));
                }
            }
        }
        self.text = text;
        self.text.clear();
        Ok(())
    }
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod skip_tests;
#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;

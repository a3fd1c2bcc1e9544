//! What in a script is no SQL: commands of psql, and rows.

use memchr::memchr;

use super::{META_LIMIT_BYTES, Mode, Splitter, fault};
use crate::reason::Reason;
use crate::runner::engine::postgres::meta::Change;
use crate::runner::engine::postgres::script::{CopyPlace, Script};
use crate::runner::engine::postgres::settings::Settings;
use crate::runner::fault::{Fault, Result, Stage};

impl Splitter {
    /// At a backslash outside of quotes.
    pub(super) fn begin_meta(&mut self, part: &[u8]) -> Result<bool> {
        if self.bytes > 0 {
            let what = "holds a backslash within a statement, which no dump tool writes";
            return Err(fault(Reason::UnsafeContent, self.line, what));
        }
        self.begin = (self.line, self.offset);
        self.pass(part);
        self.mode = Mode::Meta;
        Ok(true)
    }

    pub(super) fn meta(&mut self, input: &[u8], script: &mut dyn Script) -> Result<usize> {
        let end = memchr(b'\n', input);
        let part = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
        if self.text.len() + part.len() > META_LIMIT_BYTES {
            let what = format!("is a psql command of more than {META_LIMIT_BYTES} bytes");
            return Err(fault(Reason::UnsafeContent, self.begin.0, &what));
        }
        self.text.extend_from_slice(part);
        self.pass(part);
        if end.is_some() {
            // The line feed itself is read as SQL.
            self.meta_command(script)?;
        }
        Ok(part.len())
    }

    pub(super) fn meta_command(&mut self, script: &mut dyn Script) -> Result<()> {
        self.mode = Mode::Sql;
        let (text, line) = (std::mem::take(&mut self.text), self.begin.0);
        let change = self.guard.command(&text, line);
        match change.map_err(|what| fault(Reason::UnsafeContent, line, &what))? {
            Change::Nothing => Ok(()),
            Change::Encoding(encoding) => {
                self.settings.encoding = encoding;
                Ok(())
            }
            Change::Database(name) if self.settings.encoding.embeds_ascii() && !name.is_ascii() => {
                let what = "changes to a database whose name cannot be read in this client encoding";
                Err(fault(Reason::UnsupportedEncoding, line, what))
            }
            Change::Database(name) => {
                // A new session has the server's own settings.
                self.settings = Settings::default();
                self.lexer.standard_strings = self.settings.standard_strings;
                script.connect(&name, line)
            }
        }
    }

    pub(super) fn copy(&mut self, input: &[u8], script: &mut dyn Script) -> Result<usize> {
        let Mode::Copy(reader) = &mut self.mode else { return Ok(0) };
        let Some(skipped) = reader.skip_line(input) else {
            let what = "goes on behind a COPY from the script, which no dump tool writes";
            return Err(fault(Reason::UnsafeContent, self.line, what));
        };
        if skipped > 0 {
            self.pass(input.get(..skipped).unwrap_or_default());
            self.rows_begin = (self.line, self.offset);
            return Ok(skipped);
        }
        let (used, ended) = reader.take(input, &mut |rows| script.copy_rows(rows))?;
        let (rows, marker) = (reader.rows(), reader.marker_bytes());
        self.pass(input.get(..used).unwrap_or_default());
        if ended {
            self.mode = Mode::Sql;
            let ((line, begin), end) = (self.rows_begin, self.offset);
            let range = begin..end.saturating_sub(marker);
            script.copy_place(CopyPlace { range, end, lines: self.line - line })?;
            script.copy_end(rows)?;
        }
        Ok(used)
    }

    /// Goes on behind COPY data of which nothing was fed yet; `place` is what [`Script::copy_place`] told of
    /// them in another reading of the same script.
    pub fn skip_copy(&mut self, place: &CopyPlace) -> Result<()> {
        let is_there = matches!(self.mode, Mode::Copy(_))
            && self.rows_begin.1 == self.offset
            && self.offset == place.range.start;
        if !is_there {
            let what = "there are no rows where the first reading found them";
            return Err(Fault::new(Stage::Restore, Reason::InternalError, what));
        }
        self.mode = Mode::Sql;
        self.offset = place.end;
        self.line += place.lines;
        Ok(())
    }
}

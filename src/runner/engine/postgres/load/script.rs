//! Loads a plain SQL script, which may hold several databases.

use super::around::{Left, Reading, Source};
use super::place::Place;
use super::sender::Sender;
use super::{Loaded, Part};
use crate::reason::Reason;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::script::{CopyPlace, Keep, Script, Statement};
use crate::runner::engine::postgres::split::Splitter;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::RowsBlock;

/// Opens the sessions for a part.
type Open<'a> = &'a dyn Fn(&Part<'_>) -> Result<Sender>;

/// Sends the script's statements in their order. Of a script that changes between databases only what
/// stands behind a change to one of `parts` is sent, and to that one.
pub(super) fn load(parts: &[Part<'_>], open: Open<'_>, source: Source<'_>) -> Result<Vec<Loaded>> {
    let loaded = parts.iter().map(|_| Loaded::default()).collect();
    let mut loading = Loading { parts, open, loaded, present: None };
    if let [part] = parts
        && part.name().is_none()
    {
        loading.present = Some((0, open(part)?));
    }
    let mut splitter = Splitter::new(Keep::Whole);
    source.read(&mut Reader { splitter: &mut splitter, loading: &mut loading })?;
    splitter.finish(&mut loading)?;
    loading.leave()?;
    Ok(loading.loaded)
}

struct Reader<'r, 'a> {
    splitter: &'r mut Splitter,
    loading: &'r mut Loading<'a>,
}

impl Reading for Reader<'_, '_> {
    fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.splitter.feed(bytes, self.loading)
    }

    fn leaves(&mut self, block: &RowsBlock) -> Result<Left> {
        let left = match self.loading.sender() {
            Some(sender) => sender.leave_rows(block, None)?,
            // Of a database that is not wanted.
            None => Left::Out,
        };
        if left != Left::Not {
            let (range, end, lines) = (block.range.clone(), block.end, block.lines);
            self.splitter.skip_copy(&CopyPlace { range, end, lines })?;
        }
        Ok(left)
    }
}

struct Loading<'a> {
    parts: &'a [Part<'a>],
    open: Open<'a>,
    loaded: Vec<Loaded>,
    /// The part that is read, and its sessions; `None`: what is read is none of the wanted databases'.
    present: Option<(usize, Sender)>,
}

impl Loading<'_> {
    fn sender(&mut self) -> Option<&mut Sender> {
        self.present.as_mut().map(|(_, sender)| sender)
    }

    /// Ends the sessions of the present part.
    fn leave(&mut self) -> Result<()> {
        let Some((index, sender)) = self.present.take() else { return Ok(()) };
        let loaded = sender.finish()?;
        self.loaded.get_mut(index).map_or(Ok(()), |all| all.add(loaded))
    }
}

impl Script for Loading<'_> {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        let place = Place::Line(statement.line);
        self.sender().map_or(Ok(()), |sender| sender.statement(statement.text, &place))
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        let place = Place::Line(statement.line);
        self.sender().map_or(Ok(()), |sender| sender.begin_copy(statement.text, &place, None))
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        self.sender().map_or(Ok(()), |sender| sender.rows(rows))
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.sender().map_or(Ok(()), |sender| sender.end_copy(rows))
    }

    fn connect(&mut self, name: &[u8], line: u64) -> Result<()> {
        if self.parts.iter().any(|part| part.name().is_none()) {
            // Pass 1 has read no such line.
            let message = format!("line {line}: the dump changes to another database");
            return Err(Fault::new(Stage::Restore, Reason::CorruptBackup, message));
        }
        self.leave()?;
        let name = String::from_utf8_lossy(name);
        let found = self.parts.iter().enumerate().find(|(_, part)| part.name() == Some(&*name));
        self.present = found.map(|(index, part)| Ok((index, (self.open)(part)?))).transpose()?;
        Ok(())
    }
}

//! Loads a plain SQL script, which may hold several databases.

use std::io::Read;

use super::place::Place;
use super::sender::Sender;
use super::{Loaded, Part};
use crate::reason::Reason;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::script::{Keep, Script, Statement, read_script};
use crate::runner::fault::{Fault, Result, Stage};

/// Opens the sessions for a part.
type Open<'a> = &'a dyn Fn(&Part<'_>) -> Result<Sender>;

/// Sends the script's statements in their order. Of a script that changes between databases only what
/// stands behind a change to one of `parts` is sent, and to that one.
pub(super) fn load(parts: &[Part<'_>], open: Open<'_>, dump: &mut dyn Read) -> Result<Vec<Loaded>> {
    let loaded = parts.iter().map(|_| Loaded::default()).collect();
    let mut loading = Loading { parts, open, loaded, present: None };
    if let [part] = parts
        && part.name().is_none()
    {
        loading.present = Some((0, open(part)?));
    }
    read_script(dump, Keep::Whole, &mut loading)?;
    loading.leave()?;
    Ok(loading.loaded)
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
        if let Some(all) = self.loaded.get_mut(index) {
            all.add(loaded);
        }
        Ok(())
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

//! Loads a plain SQL script.

use std::io::Read;

use super::place::Place;
use super::sender::Sender;
use crate::reason::Reason;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::script::{Keep, Script, Statement, read_script};
use crate::runner::fault::{Fault, Result, Stage};

/// Sends the script's statements in their order.
pub(super) fn load(sender: &mut Sender, dump: &mut dyn Read) -> Result<()> {
    read_script(dump, Keep::Whole, &mut Loading { sender, database: None })
}

struct Loading<'s> {
    sender: &'s mut Sender,
    /// The database that the script has changed to.
    database: Option<Vec<u8>>,
}

impl Script for Loading<'_> {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        self.sender.statement(statement.text, &Place::Line(statement.line))
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        self.sender.begin_copy(statement.text, &Place::Line(statement.line), None)
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        self.sender.rows(rows)
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.sender.end_copy(rows)
    }

    fn connect(&mut self, name: &[u8], line: u64) -> Result<()> {
        // What goes into one database here must be of one database.
        match &self.database {
            Some(known) if known != name => {
                let message = format!(
                    "line {line}: the dump goes on with database {}; a script of several databases cannot be restored yet",
                    String::from_utf8_lossy(name)
                );
                Err(Fault::new(Stage::Restore, Reason::NotSupported, message))
            }
            _ => {
                self.database = Some(name.to_vec());
                Ok(())
            }
        }
    }
}

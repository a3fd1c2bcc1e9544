//! Loads a plain SQL script.

use std::io::Read;

use super::place::Place;
use super::sender::Sender;
use crate::reason::Reason;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::script::{Keep, Script, Statement, read_script};
use crate::runner::fault::{Fault, Result, Stage};

/// Sends the script's statements in their order. Of a script that changes between databases only what
/// stands behind the change to `wanted` is sent.
pub(super) fn load(sender: &mut Sender, wanted: Option<&str>, dump: &mut dyn Read) -> Result<()> {
    read_script(dump, Keep::Whole, &mut Loading { sender, wanted, elsewhere: wanted.is_some() })
}

struct Loading<'s> {
    sender: &'s mut Sender,
    wanted: Option<&'s str>,
    /// What is read is none of the wanted database's.
    elsewhere: bool,
}

impl Script for Loading<'_> {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        if self.elsewhere {
            return Ok(());
        }
        self.sender.statement(statement.text, &Place::Line(statement.line))
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        if self.elsewhere {
            return Ok(());
        }
        self.sender.begin_copy(statement.text, &Place::Line(statement.line), None)
    }

    fn copy_rows(&mut self, rows: Rows<'_>) -> Result<()> {
        self.sender.rows(rows)
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.sender.end_copy(rows)
    }

    fn connect(&mut self, name: &[u8], line: u64) -> Result<()> {
        let Some(wanted) = self.wanted else {
            // Pass 1 has read no such line.
            let message = format!("line {line}: the dump changes to another database");
            return Err(Fault::new(Stage::Restore, Reason::CorruptBackup, message));
        };
        self.elsewhere = String::from_utf8_lossy(name) != wanted;
        Ok(())
    }
}

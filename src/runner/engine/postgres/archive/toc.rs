//! The table of contents as it arrives, and which of its data have come.

use std::collections::HashMap;

use super::contents::{self, CONTENTS_LIMIT_BYTES, ENTRY_BYTES, too_large};
use super::entry::{Entry, Header, settings};
use super::fields::corrupt;
use crate::reason::Reason;
use crate::runner::engine::postgres::settings::Settings;
use crate::runner::fault::{Fault, Result, Stage};

/// Header and entries, fed in pieces.
#[derive(Debug, Default)]
pub(super) struct Toc {
    /// What arrived of the header or of an entry.
    pending: Vec<u8>,
    header: Option<Header>,
    entries: Vec<Entry>,
    /// Entries that are still to come.
    missing: u64,
    bytes: u64,
    /// By number: place in `entries`.
    numbers: HashMap<u32, usize>,
    /// Which of `entries` had their data.
    met: Vec<bool>,
    settings: Settings,
}

impl Toc {
    /// The next bytes. Once all has come: how many bytes at the end of `bytes` are something else's.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let used = self.take(&pending)?;
        if self.is_whole() {
            self.settings = settings(&self.entries)?;
            self.met = vec![false; self.entries.len()];
            return Ok(Some(pending.len() - used));
        }
        self.pending = pending;
        self.pending.drain(..used);
        Ok(None)
    }

    /// Reads as much of header and entries as is there; gives back the bytes used.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        if self.header.is_none() {
            let Some((header, count, length)) = contents::header(bytes)? else { return Ok(0) };
            (self.header, self.missing, used) = (Some(header), count, length);
        }
        let Some(header) = &self.header else { return Ok(used) };
        while self.missing > 0 {
            let rest = bytes.get(used..).unwrap_or_default();
            if self.bytes + rest.len() as u64 > CONTENTS_LIMIT_BYTES {
                return Err(too_large("too many texts"));
            }
            let Some((entry, length)) = contents::entry(rest, header)? else { break };
            used += length;
            self.bytes += length as u64 + ENTRY_BYTES;
            self.missing -= 1;
            if self.numbers.insert(entry.dump_id, self.entries.len()).is_some() {
                return Err(corrupt(format!("two entries have the number {}", entry.dump_id)));
            }
            self.entries.push(entry);
        }
        Ok(used)
    }

    /// Whether header and entries have come.
    pub(super) const fn is_whole(&self) -> bool {
        self.header.is_some() && self.missing == 0
    }

    /// Memory that it takes, in bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The settings that the archive states for its texts.
    pub(super) const fn settings(&self) -> Settings {
        self.settings
    }

    /// The header, once it has come.
    pub(super) const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The entries that have come.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Place and entry of a number.
    pub(super) fn find(&self, number: u32) -> Option<(usize, &Entry)> {
        let place = *self.numbers.get(&number)?;
        Some((place, self.entries.get(place)?))
    }

    /// The data of the entry at `place` have come; a fault where they had before.
    pub(super) fn meet(&mut self, place: usize) -> Result<()> {
        match self.met.get_mut(place) {
            Some(met) if !*met => {
                *met = true;
                Ok(())
            }
            _ => {
                let entry = self.entries.get(place).map(Entry::describe).unwrap_or_default();
                Err(corrupt(format!("it has data for {entry} twice")))
            }
        }
    }

    /// Entries whose data have not come yet, with their places.
    pub(super) fn unmet(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let all = self.entries.iter().zip(&self.met).enumerate();
        all.filter(|(_, (entry, met))| entry.has_data() && !**met).map(|(place, (entry, _))| (place, entry))
    }

    /// Fault for contents that end before all has come.
    pub(super) fn truncated(&self) -> Fault {
        let what = if self.header.is_none() {
            "the archive ends inside its header".to_owned()
        } else {
            format!("the archive ends {} entries before its contents do", self.missing)
        };
        Fault::new(Stage::Inspect, Reason::Truncated, what)
    }
}

//! The rows of one `COPY` of a dump: left out, in order with its statements, given to lanes, or left to a lane
//! that reads them itself.

use super::Sender;
use crate::runner::engine::postgres::archive::chunks::BlockForm;
use crate::runner::engine::postgres::copy::Rows;
use crate::runner::engine::postgres::load::around::Left;
use crate::runner::engine::postgres::load::place::{Place, failed, shown, unsafe_content};
use crate::runner::engine::postgres::load::rows::{Frozen, RowsApart};
use crate::runner::engine::postgres::load::sizes::cut;
use crate::runner::engine::postgres::load::spread::Spread;
use crate::runner::engine::postgres::load::turn::Hold;
use crate::runner::engine::postgres::load::work::{Copy, Job, Task, check_rows};
use crate::runner::engine::postgres::names::Name;
use crate::runner::engine::postgres::statement::Step;
use crate::runner::fault::Result;
use crate::runner::inventory::RowsBlock;

/// Work of a byte of rows, beside that of building one index over it: 2.6 where it was measured (docs/results,
/// 2026-11-29, "Several readers").
const ROWS_WEIGHT: u64 = 3;

/// A `COPY` that is under way.
pub(super) enum Copying {
    /// Its rows are left out.
    LeftOut,
    /// In the dump's own transaction, so on its session.
    InSeries { table: String, place: Place },
    /// Over lanes, and what takes the rows in frozen, where one lane reads all of them.
    Spread(Spread, Option<Frozen>),
}

impl Sender {
    /// Begins to take in rows. `of` is the table that they are counted for, where the statement may name
    /// the root of its partitions instead.
    pub(in super::super) fn begin_copy(
        &mut self,
        text: &[u8],
        place: &Place,
        of: Option<String>,
    ) -> Result<()> {
        self.check_cancel()?;
        self.copying = Some(match self.gate.judged(text, place)? {
            None => Copying::LeftOut,
            Some(Step::CopyFrom { table, freeze, .. }) => {
                let named = self.gate.table_name(&table);
                let frozen = self.frozen(&table, text)?;
                let spreads = !freeze && !self.in_order.contains(&named);
                let careful = self.gate.asks_others(&named);
                let table = of.unwrap_or(named);
                let spreads = spreads && !careful && !self.in_order.contains(&table);
                self.settle_series()?;
                if careful {
                    self.lanes.settle_rows()?;
                }
                if self.in_one_session() {
                    self.meet()?;
                    self.settle_series()?;
                    let begun = self.series.session.connection.begin_copy(text);
                    begun.map_err(|error| failed(error, place, &shown(text)))?;
                    Copying::InSeries { table, place: place.clone() }
                } else {
                    let settings = self.settings.clone();
                    let copy = Copy { text: text.into(), table, place: place.clone(), settings, spreads };
                    Copying::Spread(Spread::new(copy), frozen)
                }
            }
            Some(_) => return Err(unsafe_content(place, "rows follow what is no COPY")),
        });
        Ok(())
    }

    /// Whether a `COPY` is under way.
    pub(in super::super) const fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// Takes in a piece of rows.
    pub(in super::super) fn rows(&mut self, rows: Rows<'_>) -> Result<()> {
        match &mut self.copying {
            Some(Copying::Spread(spread, _)) => spread.take(&mut self.lanes, rows),
            Some(Copying::InSeries { table, place }) => {
                let sent = self.series.session.connection.copy(rows.bytes);
                sent.map_err(|error| failed(error, place, &format!("rows of {table}")))
            }
            Some(Copying::LeftOut) | None => Ok(()),
        }
    }

    /// Ends the `COPY` after so many rows of the dump.
    pub(in super::super) fn end_copy(&mut self, rows: u64) -> Result<()> {
        match self.copying.take() {
            Some(Copying::Spread(spread, _)) => spread.end(&mut self.lanes, rows),
            Some(Copying::InSeries { table, place }) => {
                let ended = self.series.session.connection.end_copy();
                let taken = ended.map_err(|error| failed(error, &place, &format!("rows of {table}")))?;
                check_rows(&place, &table, rows, taken)?;
                self.lanes.add_rows([(table, taken)]);
                Ok(())
            }
            Some(Copying::LeftOut) | None => Ok(()),
        }
    }

    /// What takes in frozen the rows of a table that none were written to before.
    fn frozen(&mut self, table: &Name, copy: &[u8]) -> Result<Option<Frozen>> {
        if self.gate.take_fresh(table) {
            return Ok(Frozen::of(&table.to_sql(), copy));
        }
        // A lane that empties the table first would take these rows away; those of a whole may go to any part.
        if self.alone.contains(&self.gate.table_name(table)) || !self.gate.is_plain(table) {
            self.settle_alone()?;
        }
        Ok(None)
    }

    /// Waits for the lanes that write to a table alone, where there are any.
    fn settle_alone(&mut self) -> Result<()> {
        if self.alone.is_empty() {
            return Ok(());
        }
        self.alone.clear();
        self.lanes.settle_rows()
    }

    /// Leaves the rows of the `COPY` that was begun to lanes, which read the block themselves: as it stands
    /// there, or as a block of an archive of this `form`. Where that cannot be, they come by [`Sender::rows`].
    pub(in super::super) fn leave_rows(
        &mut self,
        block: &RowsBlock,
        form: Option<&BlockForm>,
    ) -> Result<Left> {
        let (copy, frozen) = match self.copying.take() {
            None | Some(Copying::LeftOut) => return Ok(Left::Out),
            Some(Copying::Spread(spread, frozen)) if self.may_leave(&spread, block) => {
                (spread.into_copy(), frozen)
            }
            other => {
                self.copying = other;
                return Ok(Left::Not);
            }
        };
        let bytes = block.bytes();
        let wanted = if copy.spreads { self.sizes.parts(bytes, self.lanes.limit()) } else { 1 };
        let parts = cut(block, wanted);
        let is_one = parts.len() == 1;
        // Lanes that write to one table cannot each empty it first.
        let mut frozen = frozen.filter(|_| is_one);
        let is_alone = frozen.is_some() || !copy.spreads;
        if is_alone {
            self.alone.insert(copy.table.clone());
        }
        let hold = if is_alone { Hold::Alone } else { Hold::Rows };
        for (range, rows) in parts {
            let weight = (range.end - range.start).saturating_mul(ROWS_WEIGHT);
            let range = block.range.start + range.start..block.range.start + range.end;
            let copy = Copy { spreads: !is_one, ..copy.clone() };
            let holds = vec![(copy.table.clone(), hold)];
            let job = Job::Rows(RowsApart { copy, frozen: frozen.take(), range, rows, form: form.cloned() });
            self.lanes.run(Task { job, holds, weight })?;
        }
        Ok(Left::ToOthers)
    }

    /// Whether lanes can have the rows of a block: not those of one large table that they would better share
    /// and that cannot be cut.
    fn may_leave(&self, spread: &Spread, block: &RowsBlock) -> bool {
        let bytes = block.bytes();
        spread.untouched().is_some_and(|copy| {
            !copy.spreads || !block.cuts.is_empty() || self.sizes.parts(bytes, self.lanes.limit()) == 1
        })
    }
}

//! The chart as Helm renders it: every combination of values in the table, what is refused, and the
//! files that are made from it. `tests/e2e` shows the same combinations to a real API server.

mod files;
mod rendered;
pub(crate) mod table;
mod values;

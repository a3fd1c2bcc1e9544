//! The custom format of `pg_dump`, `PGDMP` 1.12 to 1.16 (PostgreSQL 9.0 to 18), as a stream.
//!
//! In come pieces of an archive, out go its table of contents and then its data blocks, in the order in
//! which they lie: [`reader`] finds them by their own headers, so archives that were written to a pipe
//! and have no offsets read the same. [`fields`] takes numbers and strings apart, [`contents`] the header and
//! the entries, [`block`] a block's data. Nothing here judges or runs what an entry says. The tar and
//! directory formats of `pg_dump` are not read.
//!
//! Layout (PostgreSQL, `pg_backup_archiver.c`, `pg_backup_custom.c`): docs/formats.md.

mod block;
pub mod contents;
pub mod entry;
mod fields;
pub mod reader;

#[cfg(test)]
#[path = "build_tests.rs"]
pub(super) mod build;
#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;

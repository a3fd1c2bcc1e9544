//! Archives of `pg_dump`, `PGDMP` 1.12 to 1.16 (PostgreSQL 9.0 to 18), as a stream: the custom format, the
//! tar format, and the directory format in a TAR.
//!
//! In come pieces of an archive, out go its table of contents and then its data, in the order in which
//! they lie, the same events for every format ([`reader`]). [`custom`] finds blocks by their own headers,
//! so archives that were written to a pipe and have no offsets read the same; [`files`] knows data by
//! the names of files ([`names`]), and [`objects`] large objects. [`fields`] takes numbers and strings
//! apart, [`contents`] the header and the entries, [`toc`] keeps them, [`block`] is one table's or
//! large object's data, which [`chunks`] reads apart from the others. Nothing here judges or runs what an entry says.
//!
//! Layout (PostgreSQL, `pg_backup_archiver.c`, `pg_backup_custom.c`, `pg_backup_tar.c`,
//! `pg_backup_directory.c`): docs/formats.md.

mod block;
pub mod chunks;
pub mod contents;
mod custom;
pub mod entry;
mod fields;
mod files;
pub mod names;
mod objects;
pub mod owner;
pub mod reader;
mod toc;

#[cfg(test)]
#[path = "build_tests.rs"]
pub(super) mod build;
#[cfg(test)]
mod files_tests;
#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;

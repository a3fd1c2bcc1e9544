//! TAR as a stream: POSIX ustar with PAX and GNU long names and sizes.
//!
//! Nothing is ever unpacked to a path. Extension records have small limits, sizes and checksums are
//! checked, and what is not a regular file is named as what it is. [`TarReader`] reads from a reader,
//! [`TarFeed`] is fed. Layout: POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format".

mod feed;
mod header;
mod reader;

pub use feed::{Piece, TarFeed};
pub use header::{BLOCK, Kind, Member, is_tar};
pub use reader::TarReader;

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;

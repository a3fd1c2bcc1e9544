//! How large the database of a dump may become. A few bytes of hostile text, such as a huge default
//! value, can make SQLite write without end; the volume is the application's, and stays usable.

use std::path::Path;

use super::files;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};

/// Bytes of a database for each byte of its text, far above what a dump tool's rows and indexes need.
const GROWTH: u64 = 64;
/// Bytes that even the smallest dump may take.
const BASE_BYTES: u64 = 64 << 20;
/// One part of so many of the free room stays free for the target's applications.
const RESERVE_SHARE: u64 = 20;
/// SQLite's largest number of pages.
const PAGES_LIMIT: u64 = 0xffff_fffe;

/// The most bytes for a dump of `text` bytes on a volume with `free` bytes.
pub(super) fn bytes(text: u64, free: u64) -> u64 {
    let fair = text.saturating_mul(GROWTH).saturating_add(BASE_BYTES);
    fair.min(free - free / RESERVE_SHARE)
}

/// The same in pages, for `PRAGMA max_page_count`; at least one, because 0 would mean no limit.
pub(super) fn pages(bytes: u64, page_size: u32) -> u64 {
    (bytes / u64::from(page_size.max(1))).clamp(1, PAGES_LIMIT)
}

/// Tells a load that met its limit from a full volume: SQLite has one error for both.
pub(super) fn judge(fault: Fault, limit: u64, shadow: &Path) -> Fault {
    let folder = shadow.parent().unwrap_or_else(|| Path::new("."));
    let has_room = files::free_bytes(folder).is_ok_and(|free| free > BASE_BYTES);
    if fault.reason != Reason::NoRoom || fault.stage != Stage::Restore || !has_room {
        return fault;
    }
    let message =
        format!("{}: the dump makes a database of more than {limit} bytes, its limit", fault.message);
    Fault { reason: Reason::LimitExceeded, message, ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_follows_the_text_and_never_takes_all_of_the_room() {
        const MIB: u64 = 1 << 20;
        for (text, free, expected) in [
            (0, 1000 * MIB, 64 * MIB),
            (MIB, 1000 * MIB, 128 * MIB),
            (100 * MIB, 1000 * MIB, 950 * MIB),
            (u64::MAX, u64::MAX, u64::MAX - u64::MAX / 20),
            (MIB, 0, 0),
        ] {
            assert_eq!(bytes(text, free), expected, "{text} {free}");
        }
        assert_eq!((pages(0, 4096), pages(8192, 4096), pages(u64::MAX, 512)), (1, 2, PAGES_LIMIT));
    }
}

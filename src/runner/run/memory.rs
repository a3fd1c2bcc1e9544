//! Whether the run fits the memory that its container may use: asked before the first write, because
//! the alternative is to be killed in the middle of it.

use std::fs;

use crate::plan::{EngineSettings, Owners, Privileges, RestorePlan};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, Outside};
use crate::runner::read::Examined;

/// The pipeline without its windows: connections, buffers, the index of a large archive.
const BASE_BYTES: u64 = 96 << 20;
/// What a reader of a part takes: the piece that is checked, the window of a block, buffers.
const READER_BYTES: u64 = 13 << 20;
/// Copies of one statement that a load holds: the text, the bound value, SQLite's row.
const STATEMENT_COPIES: u64 = 3;
/// Limits of the control group, version 2 then 1, as a container sees its own.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// `LimitExceeded` where the load needs more memory than the container may use.
pub(super) fn check(examined: &Examined, entry: &DatabaseEntry, plan: &RestorePlan) -> Result<()> {
    decide(base(examined, entry, plan), limit())
}

/// How many may read parts of a dump at the same time: as many as the container has memory for.
pub(super) fn readers(examined: &Examined, entry: &DatabaseEntry, plan: &RestorePlan) -> usize {
    fitting(base(examined, entry, plan), limit())
}

fn fitting(needed: u64, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    // The first one is in what is needed already.
    1 + usize::try_from(limit.saturating_sub(needed) / READER_BYTES).unwrap_or(usize::MAX - 1)
}

fn base(examined: &Examined, entry: &DatabaseEntry, plan: &RestorePlan) -> u64 {
    needed(examined.window_bytes, entry.facts.largest_statement) + kept_bytes(plan, &entry.facts.outside)
}

fn limit() -> Option<u64> {
    LIMIT_FILES.iter().find_map(|file| fs::read_to_string(file).ok()).and_then(|text| parse(&text))
}

/// Memory for owners and rights, which wait for the end of the load.
fn kept_bytes(plan: &RestorePlan, outside: &Outside) -> u64 {
    let Some(EngineSettings::Postgres(server)) = plan.target.as_ref().map(|target| &target.settings) else {
        return 0;
    };
    let of = |is_kept: bool, bytes: u64| if is_kept { bytes } else { 0 };
    of(server.roles.owners == Owners::Backup, outside.owner_bytes)
        + of(server.roles.privileges == Privileges::Backup, outside.rights_bytes)
}

/// Bytes that the load needs at most, beside owners and rights.
fn needed(window: u64, largest_statement: u64) -> u64 {
    BASE_BYTES + window + STATEMENT_COPIES.saturating_mul(largest_statement)
}

/// `max` and numbers beyond any machine mean no limit.
fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

fn decide(needed: u64, limit: Option<u64>) -> Result<()> {
    match limit {
        Some(limit) if limit < needed => {
            let message = format!(
                "the load needs up to {} MiB of memory, the container may use {} MiB; raise its memory limit",
                needed.div_ceil(1 << 20),
                limit >> 20
            );
            Err(Fault::new(Stage::Preflight, Reason::LimitExceeded, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_read_at_once_as_there_is_memory_for() {
        let mib = 1 << 20;
        for (needed, limit, expected) in [
            (96 * mib, None, usize::MAX),
            (96 * mib, Some(512 * mib), 33),
            (96 * mib, Some(122 * mib), 3),
            (96 * mib, Some(96 * mib), 1),
            (96 * mib, Some(mib), 1),
        ] {
            assert_eq!(fitting(needed, limit), expected, "{needed} {limit:?}");
        }
    }

    #[test]
    fn a_load_that_does_not_fit_is_refused_before_it_begins() {
        let mib = 1 << 20;
        for (window, statement, limit, fits) in [
            (8 * mib, 0, None, true),
            (8 * mib, 0, parse("134217728\n"), true),
            (128 * mib, 0, parse("134217728\n"), false),
            (0, 100 * mib, parse("268435456"), false),
            (0, u64::MAX, parse("max"), true),
            (0, u64::MAX, parse("9223372036854771712"), true),
        ] {
            assert_eq!(
                decide(needed(window, statement), limit).is_ok(),
                fits,
                "{window} {statement} {limit:?}"
            );
        }
    }
}

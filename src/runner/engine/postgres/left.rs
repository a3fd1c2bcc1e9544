//! Large blocks of rows that pass 1 leaves out of an archive's stream, to decode several at the same time:
//! decoding is what takes the time of pass 1, and one core does it for one block after the other.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::archive::chunks::BlockForm;
use super::subject::TableName;
use crate::reason::Reason;
use crate::runner::engine::DumpParts;
use crate::runner::fault::{Fault, Result, Stage};

/// A block of rows that nobody has decoded yet.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) table: TableName,
    /// Bytes of the archive.
    pub(super) range: Range<u64>,
    pub(super) form: BlockForm,
}

impl Left {
    pub(super) const fn bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn count(&self, parts: &dyn DumpParts) -> Result<u64> {
        let mut stored = parts.open(self.range.clone())?;
        self.form.prove(&mut stored)
    }
}

/// Decodes the blocks, at most so many at a time; the rows of each, in their order. Of several faults it is that
/// of the first block.
pub(super) fn count(left: &[Left], parts: &dyn DumpParts, readers: usize) -> Result<Vec<u64>> {
    let mut order: Vec<usize> = (0..left.len()).collect();
    // The largest ones first, so that none of them is begun when all others are done.
    order.sort_by_key(|at| std::cmp::Reverse(left.get(*at).map_or(0, Left::bytes)));
    let (taken, fault_at) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let counts: Mutex<Vec<Option<Result<u64>>>> = Mutex::new(left.iter().map(|_| None).collect());
    let work = || {
        while let Some(at) = order.get(taken.fetch_add(1, Ordering::Relaxed)).copied() {
            let Some(block) = left.get(at).filter(|_| at < fault_at.load(Ordering::Relaxed)) else {
                continue;
            };
            let counted = block.count(parts);
            if counted.is_err() {
                fault_at.fetch_min(at, Ordering::Relaxed);
            }
            if let Some(count) = counts.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
                *count = Some(counted);
            }
        }
    };
    thread::scope(|scope| {
        for number in 1..readers.min(left.len()) {
            // Without a thread more the others do its work.
            let _ = thread::Builder::new().name(format!("decode-{number}")).spawn_scoped(scope, work);
        }
        work();
    });
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Only blocks behind one at fault were not read.
    let not_read = || Fault::new(Stage::Inspect, Reason::InternalError, "a block of rows was not read");
    counts.into_iter().map(|counted| counted.unwrap_or_else(|| Err(not_read()))).collect()
}

//! Parts of a stored dump that are read once more in pass 1: large blocks of rows, which several decode in less
//! time than one.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use super::chain::Metered;
use super::pace::Pace;
use super::reopen::StoredParts;
use super::walk::read_fault;
use super::{Opened, Request};
use crate::runner::engine::{Context, Leaving, Scanner};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::meter::Meter;
use crate::runner::pipe::BUFFER_BYTES;
use crate::runner::source::{Artifact, Pin};

/// Who reads parts of what pass 1 has just read, at most: each takes 5 MiB, for a piece and a decoder.
const AGAIN_LIMIT: usize = 4;

/// Parts of what pass 1 has just read, once more.
pub(super) struct Again {
    artifact: Artifact,
    pin: Pin,
    metered: Metered,
    context: Context,
    readers: usize,
}

impl Again {
    /// `None` where there is one core, or each part would come over a network twice.
    pub(super) fn of(opened: &Opened<'_>, metered: &Metered) -> Option<Arc<Self>> {
        let Request { artifact, context, .. } = opened.request;
        let allowed = artifact.store.readers().filter(|allowed| allowed.is_near)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (cores > 1).then(|| {
            Arc::new(Self {
                artifact: artifact.clone(),
                pin: opened.stat.pin.clone(),
                metered: metered.clone(),
                context: context.clone(),
                readers: cores.min(AGAIN_LIMIT).min(allowed.limit),
            })
        })
    }

    /// Feeds the stream of the dump to its end, and lets several read what is better left to them. Of several
    /// faults it is that of a block that was left: it stands before what ended the stream.
    pub(super) fn feed(&self, stream: &mut impl Read, scanner: &mut dyn Scanner) -> Result<()> {
        let is_of_content = |fault: &Fault| matches!(fault.stage, Stage::Decompress | Stage::Inspect);
        let fed = self.feed_all(stream, scanner);
        if fed.as_ref().is_err_and(|fault| !is_of_content(fault)) {
            return fed;
        }
        match scanner.leaving().map_or(Ok(()), |leaving| self.read_left(leaving)) {
            // A fault of another kind may pass, and the one that was found does not.
            Err(fault) if fed.is_ok() || is_of_content(&fault) => Err(fault),
            _ => fed,
        }
    }

    fn feed_all(&self, stream: &mut impl Read, scanner: &mut dyn Scanner) -> Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut pace, mut was_leaving) = (Pace::new(self.readers), false);
        loop {
            let waits = Instant::now();
            let count = stream.read(&mut buffer).map_err(read_fault)?;
            if count == 0 {
                return Ok(());
            }
            let works = Instant::now();
            scanner.feed(buffer.get(..count).unwrap_or_default())?;
            let Some(leaving) = scanner.leaving() else { continue };
            match (was_leaving, leaving.is_leaving()) {
                (_, true) => pace.passed(count as u64, waits.elapsed()),
                (false, false) => pace.decoded(count as u64, works.elapsed()),
                // What has waited may have been decoded at once.
                (true, false) => {}
            }
            was_leaving = leaving.is_leaving();
            leaving.leave(pace.leaves());
        }
    }

    fn read_left(&self, leaving: &mut dyn Leaving) -> Result<()> {
        let bytes = leaving.left_bytes();
        if bytes == 0 {
            return Ok(());
        }
        let region = Arc::new(self.metered.with(Meter::region));
        let (length, progress) = (region.length, &self.context.progress);
        progress.begin(Stage::Inspect, "checking large tables", bytes);
        let parts = StoredParts {
            artifact: self.artifact.clone(),
            pin: self.pin.clone(),
            range: region.start..region.start + region.length,
            region,
            context: self.context.clone(),
            readers: self.readers,
            worth_bytes: 0,
        };
        leaving.read_left(&parts, self.readers)?;
        // What was read of the backup is all of it, once.
        progress.begin(Stage::Inspect, "checking the backup", length);
        progress.advance(length);
        Ok(())
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Again").field("readers", &self.readers).finish_non_exhaustive()
    }
}

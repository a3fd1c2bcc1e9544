//! Opening the stored object: reader, meter and thread, and the key search over its ciphertext.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;

use super::Opened;
use crate::reason::Reason;
use crate::runner::cipher::{AesKey, TAG_BYTES, Tagger};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::meter::{Meter, Region};
use crate::runner::pipe::{BUFFER_BYTES, Shared, on_thread};

/// Most keys whose tags are computed in one reading.
const KEYS_PER_READING: usize = 16;

/// The metered object: one hand for the decoder, one for the pipeline.
pub(super) type Metered = Shared<Meter<Box<dyn Read + Send>>>;

impl Opened<'_> {
    /// Reads `range` of the pinned object.
    pub(super) fn open(&self, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let request = &self.request;
        request.artifact.store.open(&request.artifact.path, &self.stat.pin, range, &request.context.cancel)
    }

    /// Reads `range` of the pinned object through a meter.
    pub(super) fn metered(&self, range: Range<u64>) -> Result<Metered> {
        let start = range.start;
        let meter = Meter::new(self.open(range)?, start, self.request.context.progress.clone());
        Ok(Shared::new(meter, Stage::Download, Reason::SourceUnavailable))
    }

    /// A small range as a whole.
    pub(super) fn bytes(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        let what = || format!("failed to read {}", self.describe());
        self.open(range)?
            .read_to_end(&mut data)
            .map_err(|error| Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, &what()))?;
        Ok(data)
    }
}

/// Moves a stage to a thread of its own where there is a core for it.
pub(super) fn threaded<R: Read + Send + 'static>(name: &'static str, reader: R) -> Box<dyn BufRead + Send> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores > 1 {
        Box::new(on_thread(name, reader))
    } else {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
    }
}

/// Reads the whole object only for its hash.
pub(super) fn hash_stored(opened: &Opened<'_>) -> Result<Region> {
    let metered = opened.metered(0..opened.stat.size)?;
    metered.finish()?;
    Ok(metered.with(Meter::region))
}

/// The position of the key whose tag over `range` is `tag`, found in one reading per 16 keys.
pub(super) fn find_key(
    opened: &Opened<'_>,
    keys: &[&AesKey],
    seal: (&[u8], TagAt),
    range: Range<u64>,
) -> Result<Option<usize>> {
    let (iv, at) = seal;
    for (group, some) in keys.chunks(KEYS_PER_READING).enumerate() {
        let mut taggers: Vec<Tagger> = some.iter().map(|key| Tagger::new(key, iv)).collect();
        let tag = feed_all(opened, &mut taggers, at, range.clone())?;
        if let Some(found) = taggers.into_iter().position(|tagger| tagger.matches(&tag)) {
            return Ok(Some(group * KEYS_PER_READING + found));
        }
    }
    Ok(None)
}

/// Where the tag of the ciphertext is.
#[derive(Clone, Copy)]
pub(super) enum TagAt {
    /// Known from the sidecar.
    Known([u8; TAG_BYTES]),
    /// The last 16 bytes of the range.
    Last,
}

fn feed_all(
    opened: &Opened<'_>,
    taggers: &mut [Tagger],
    at: TagAt,
    range: Range<u64>,
) -> Result<[u8; TAG_BYTES]> {
    let failed = |error| {
        Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, "failed to read the backup")
    };
    let length = range.end - range.start;
    let body = match at {
        TagAt::Known(_) => length,
        TagAt::Last => length.checked_sub(TAG_BYTES as u64).ok_or_else(|| {
            Fault::new(Stage::Decrypt, Reason::Truncated, "a sealed part is shorter than its tag")
        })?,
    };
    let mut reader = threaded("read", opened.open(range)?);
    let mut left = body;
    while left > 0 {
        let buffer = reader.fill_buf().map_err(failed)?;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            return Err(Fault::new(Stage::Download, Reason::SourceChanged, "the backup became shorter"));
        }
        for tagger in &mut *taggers {
            tagger.update(part);
        }
        reader.consume(count);
        left -= count as u64;
    }
    let mut tag = [0; TAG_BYTES];
    match at {
        TagAt::Known(known) => tag = known,
        TagAt::Last => reader.read_exact(&mut tag).map_err(failed)?,
    }
    Ok(tag)
}

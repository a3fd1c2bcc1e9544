//! Whether large blocks of rows are better decoded while a dump is read, or left to several who read them once
//! more. Pure, on what was measured.
//!
//! Decoding one block after the other takes a core its time. To leave them takes the time to read them, and then
//! that of decoding them by several, or of reading them again, whichever is longer.

use std::time::Duration;

/// Bytes that are measured before they say something.
const MEASURED_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes, and the time that they took.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    bytes: u64,
    time: Duration,
}

impl Measured {
    fn add(&mut self, bytes: u64, time: Duration) {
        self.bytes += bytes;
        self.time += time;
    }

    /// Time of so many bytes; `None`: too few were measured.
    fn pace(&self) -> Option<Duration> {
        let times = u32::try_from(self.bytes / MEASURED_BYTES).unwrap_or(u32::MAX);
        (times > 0).then(|| self.time / times)
    }
}

/// What was measured of one reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How many would read once more at the same time.
    readers: u32,
    decoded: Measured,
    passed: Measured,
}

impl Pace {
    pub(super) fn new(readers: usize) -> Self {
        let readers = u32::try_from(readers).unwrap_or(u32::MAX).max(1);
        Self { readers, decoded: Measured::default(), passed: Measured::default() }
    }

    /// Notes bytes that were waited for and then decoded.
    pub(super) fn decoded(&mut self, bytes: u64, worked: Duration) {
        self.decoded.add(bytes, worked);
    }

    /// Notes bytes that were only read.
    pub(super) fn passed(&mut self, bytes: u64, waited: Duration) {
        self.passed.add(bytes, waited);
    }

    /// Whether the next block is better left. Before anything is known of reading alone, it is tried.
    pub(super) fn leaves(&self) -> bool {
        let Some(decoding) = self.decoded.pace() else { return false };
        let Some(reading) = self.passed.pace() else { return true };
        reading + reading.max(decoding / self.readers) < decoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_left_where_reading_them_twice_takes_less_time_than_decoding_them_once() {
        // Milliseconds of as many bytes as are measured at least.
        for (readers, decoding, reading, expected) in [
            (2, None, None, false),
            (2, None, Some(1), false),
            (2, Some(20), None, true),
            (2, Some(20), Some(2), true),
            (2, Some(20), Some(9), true),
            // A disk as slow as the decoder.
            (2, Some(20), Some(10), false),
            (8, Some(20), Some(9), true),
            (8, Some(20), Some(19), false),
            (1, Some(20), Some(1), false),
        ] {
            let mut pace = Pace::new(readers);
            let time = |milliseconds: Option<u64>| milliseconds.map(Duration::from_millis);
            if let Some(time) = time(decoding) {
                pace.decoded(MEASURED_BYTES, time);
            }
            if let Some(time) = time(reading) {
                pace.passed(MEASURED_BYTES, time);
            }
            assert_eq!(pace.leaves(), expected, "{readers} readers, {decoding:?} {reading:?}");
        }
    }

    #[test]
    fn little_says_nothing() {
        let mut pace = Pace::new(4);
        pace.decoded(MEASURED_BYTES - 1, Duration::from_secs(1));
        assert!(!pace.leaves());
        pace.decoded(1, Duration::ZERO);
        assert!(pace.leaves());
        pace.passed(MEASURED_BYTES - 1, Duration::from_secs(9));
        assert!(pace.leaves());
    }
}

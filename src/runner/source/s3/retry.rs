//! When to ask again: after troubles that pass, with growing and jittered pauses, until no progress
//! was made for too long or too often.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::errors::{Failure, judge};
use crate::runner::fault::{Fault, Result};

/// Attempts of a first request: a wrong endpoint shall be reported in about a second.
const FIRST_ATTEMPTS: u32 = 4;
/// Attempts in the middle of a read, where more is at stake: a restart of the server is survived.
const READ_ATTEMPTS: u32 = 10;
/// The first pause; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Attempts on one stall timeout: a connection that died silently is replaced before time is up.
const TRIES_PER_STALL: u32 = 3;

/// How long and how often one piece of work may fail; both are counted from the last progress.
#[derive(Debug)]
pub(super) struct Patience {
    stall: Duration,
    most: u32,
    failed: u32,
    last_progress: Instant,
}

impl Patience {
    pub(super) fn for_first(stall: Duration) -> Self {
        Self { stall, most: FIRST_ATTEMPTS, failed: 0, last_progress: Instant::now() }
    }

    pub(super) fn for_read(stall: Duration) -> Self {
        Self { most: READ_ATTEMPTS, ..Self::for_first(stall) }
    }

    /// Longest silence within one attempt.
    pub(super) fn silence(&self) -> Duration {
        self.stall / TRIES_PER_STALL
    }

    pub(super) fn progressed(&mut self) {
        self.failed = 0;
        self.last_progress = Instant::now();
    }

    /// The pause before the next attempt, or the fault to end with.
    pub(super) fn after(&mut self, failure: Failure, tried: &str) -> Result<Duration> {
        self.failed += 1;
        let tired = self.failed >= self.most || self.last_progress.elapsed() >= self.stall;
        if tired || !judge(&failure.trouble).again {
            return Err(failure.into_fault(tried, self.failed));
        }
        Ok(pause(self.failed, random()))
    }
}

/// The pause after the `failed`-th failure: between half of and the whole of a doubling step.
fn pause(failed: u32, random: u64) -> Duration {
    let step = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1))).min(LONGEST_PAUSE);
    let half = u64::try_from(step.as_millis() / 2).unwrap_or(u64::MAX);
    Duration::from_millis(half + random % (half + 1))
}

/// A number for jitter: the standard library seeds every `RandomState` differently.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Runs `attempt` until it succeeds or patience ends; each attempt has its share of the time.
pub(super) async fn retry<T, F>(
    mut patience: Patience,
    tried: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Failure>>,
{
    loop {
        let failure = match tokio::time::timeout(patience.silence(), attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(super::errors::Trouble::TimedOut),
        };
        tokio::time::sleep(patience.after(failure, tried)?).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::errors::Trouble;
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn pauses_grow_are_jittered_and_bounded() {
        for (failed, random, milliseconds) in
            [(1, 0, 100), (1, 100, 200), (2, 0, 200), (4, 7, 807), (7, 4000, 8000), (60, 0, 4000)]
        {
            assert_eq!(pause(failed, random), Duration::from_millis(milliseconds), "{failed} {random}");
        }
    }

    #[test]
    fn patience_ends_at_once_for_what_does_not_pass_and_after_a_count_otherwise() {
        let stall = Duration::from_mins(10);
        let mut patience = Patience::for_first(stall);
        let fault = patience.after(Failure::new(Trouble::Certificate), "read").unwrap_err();
        assert_eq!(fault.reason, Reason::SourceTLSFailed);

        let mut patience = Patience::for_read(stall);
        for _ in 1..READ_ATTEMPTS {
            patience.after(Failure::new(Trouble::Connection), "read").unwrap();
        }
        patience.progressed();
        patience.after(Failure::new(Trouble::Connection), "read").unwrap();
        for _ in 2..READ_ATTEMPTS {
            patience.after(Failure::new(Trouble::Connection), "read").unwrap();
        }
        let fault = patience.after(Failure::new(Trouble::Connection), "read s3://b/k").unwrap_err();
        assert_eq!(fault.reason, Reason::SourceUnavailable);
        assert!(fault.message.starts_with("failed to read s3://b/k (10 attempts): "), "{}", fault.message);
    }

    #[test]
    fn patience_ends_when_the_stall_timeout_is_over() {
        let mut patience = Patience::for_read(Duration::ZERO);
        let fault = patience.after(Failure::new(Trouble::TimedOut), "read").unwrap_err();
        assert_eq!(fault.reason, Reason::SourceUnavailable);
    }
}

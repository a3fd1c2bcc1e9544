//! How long a wait may take: until a fixed end, or as long as something moves; and the run's flag,
//! which is looked at in between.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::WireError;
use super::probe::Probe;
use crate::runner::cancel::Cancel;
use crate::runner::fault::Stage;

/// Longest time between two looks at the run's flag.
const LOOK: Duration = Duration::from_millis(200);

/// The patience of one wait.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    cancel: Cancel,
    /// What is waited for, for the message.
    doing: &'static str,
    end: Cell<Option<Instant>>,
    /// After each sign of life it begins anew.
    silence: Option<Duration>,
    /// Asked for a sign of life in the end.
    probe: Option<Arc<Probe>>,
}

impl Patience {
    /// Until `time` from now, whatever comes in between.
    pub(super) fn until(cancel: &Cancel, time: Duration, doing: &'static str) -> Self {
        let end = Cell::new(Instant::now().checked_add(time));
        Self { cancel: cancel.clone(), doing, end, silence: None, probe: None }
    }

    /// As long as the server is never silent for `silence`.
    pub(super) fn while_moving(cancel: &Cancel, silence: Option<Duration>, doing: &'static str) -> Self {
        let patience = Self { cancel: cancel.clone(), doing, end: Cell::default(), silence, probe: None };
        patience.renew();
        patience
    }

    /// The same, with somebody to ask before it is over.
    pub(super) fn with_probe(self, probe: Option<Arc<Probe>>) -> Self {
        Self { probe, ..self }
    }

    /// Notes a sign of life.
    pub(super) fn renew(&self) {
        if let Some(silence) = self.silence {
            self.end.set(Instant::now().checked_add(silence));
        }
    }

    /// How long to wait before the next look; an error when patience is over.
    pub(super) fn slice(&self) -> Result<Duration, WireError> {
        // The stage is the caller's business, who makes the fault.
        self.cancel
            .check(Stage::Restore)
            .map_err(|fault| WireError::Stopped { reason: fault.reason, message: fault.message })?;
        let Some(end) = self.end.get() else { return Ok(LOOK) };
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO if self.probe.as_ref().is_some_and(|probe| probe.is_working(&self.cancel)) => {
                self.renew();
                Ok(Duration::ZERO)
            }
            Duration::ZERO => Err(WireError::TimedOut(self.doing)),
            left => Ok(left.min(LOOK)),
        }
    }

    /// What is left, for one of `shares` tries.
    pub(super) fn share(&self, shares: usize) -> Self {
        let shares = u32::try_from(shares.max(1)).unwrap_or(u32::MAX);
        let end = self.end.get().and_then(|end| {
            let now = Instant::now();
            now.checked_add(end.saturating_duration_since(now) / shares)
        });
        Self { end: Cell::new(end), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn patience_ends_with_its_time_and_with_the_flag() {
        let never = Cancel::never();
        let over = Patience::until(&never, Duration::ZERO, "login");
        assert!(matches!(over.slice(), Err(WireError::TimedOut("login"))));
        let silent = Patience::while_moving(&never, Some(Duration::ZERO), "an answer");
        assert!(matches!(silent.slice(), Err(WireError::TimedOut("an answer"))));
        assert_eq!(Patience::while_moving(&never, None, "an answer").slice().unwrap(), LOOK);
        let short = Patience::until(&never, Duration::from_millis(50), "login").slice().unwrap();
        assert!(short <= Duration::from_millis(50));

        for (set, expected) in
            [(Cancel::cancel as fn(&Cancel), Reason::Interrupted), (Cancel::expire, Reason::DeadlineExceeded)]
        {
            let cancel = Cancel::never();
            let patience = Patience::while_moving(&cancel, None, "an answer");
            set(&cancel);
            assert!(matches!(patience.slice(), Err(WireError::Stopped { reason, .. }) if reason == expected));
        }
    }

    #[test]
    fn a_share_of_the_time_is_no_more_than_the_time() {
        let whole = Patience::until(&Cancel::never(), Duration::from_secs(30), "connecting");
        assert!(whole.share(3).end.get().unwrap() < whole.end.get().unwrap());
        assert!(whole.share(0).end.get().unwrap() <= whole.end.get().unwrap() + Duration::from_millis(1));
    }
}

//! What several targets share: readers that come in small pieces, and errors as reasons.

use std::io::{self, BufReader, Read};

use reinstate::reason::Reason;
use reinstate::runner::fault::{Fault, Stage};

/// Gives at most `step` bytes a read, as a slow source does.
pub struct Trickle<'a> {
    pub data: &'a [u8],
    pub step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.step.max(1).min(target.len());
        self.data.read(&mut target[..count])
    }
}

/// The same, behind a buffer of `step` bytes.
#[allow(dead_code, reason = "not every target needs it")]
pub fn buffered(data: &[u8], step: usize) -> BufReader<Trickle<'_>> {
    BufReader::with_capacity(step.max(1), Trickle { data, step })
}

/// All bytes that a reader gives, and how it ended.
#[allow(dead_code, reason = "not every target needs it")]
pub fn read_all(mut reader: impl Read) -> (Vec<u8>, Result<(), Reason>) {
    let mut data = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (data, Ok(())),
            Ok(count) => data.extend_from_slice(&buffer[..count]),
            Err(error) => return (data, Err(reason_of(error))),
        }
    }
}

/// The stable reason that an error carries; every error of ours carries one.
pub fn reason_of(error: io::Error) -> Reason {
    checked(Fault::from_io(error, Stage::CleanUp, Reason::InternalError, "no reason"))
}

/// The reason of a fault; no input may lead to `InternalError`.
pub fn checked(fault: Fault) -> Reason {
    assert_ne!(fault.reason, Reason::InternalError, "{}", fault.full_message());
    fault.reason
}

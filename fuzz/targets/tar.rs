//! TAR: the members and their bytes are the same however the stream is cut into reads.
#![no_main]

mod support;

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::tar::{Member, TarReader, is_tar};

type Seen = (Vec<(Member, Vec<u8>)>, Result<(), Reason>);

/// Reads every second member and leaves the others to be skipped.
fn members(source: impl Read) -> Seen {
    let mut seen = Vec::new();
    let mut archive = TarReader::new(source);
    loop {
        match archive.next_member() {
            Ok(None) => return (seen, Ok(())),
            Err(fault) => return (seen, Err(support::checked(fault))),
            Ok(Some(member)) => {
                let mut content = Vec::new();
                if seen.len() % 2 == 0 {
                    let (read, outcome) = support::read_all(&mut archive);
                    if outcome.is_err() {
                        return (seen, outcome);
                    }
                    assert_eq!(read.len() as u64, member.size);
                    content = read;
                }
                seen.push((member, content));
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let whole = members(data);
    let step = usize::from(data.first().copied().unwrap_or(1) % 64) + 1;
    assert_eq!(members(support::Trickle { data, step }), whole);
    if !whole.0.is_empty() && data.get(257..262) == Some(b"ustar") {
        assert!(is_tar(data));
    }
});

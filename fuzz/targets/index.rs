//! The index of a seekable archive: what is accepted refers to nothing outside itself.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::runner::format::dbackup::index::Index;

fuzz_target!(|data: &[u8]| {
    match Index::read(data) {
        Err(fault) => {
            support::checked(fault);
        }
        Ok(index) => {
            assert!(index.databases.iter().all(|line| line.entry < index.entries.len()));
            for pair in index.entries.windows(2) {
                assert!(pair[0].offset.checked_add(pair[0].size).unwrap() <= pair[1].offset);
            }
            let step = data.len() / 3 + 1;
            assert_eq!(Index::read(support::Trickle { data, step }).unwrap(), index);
        }
    }
});

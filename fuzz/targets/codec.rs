//! gzip, brotli, zstd: any bytes decode or give a fault, the same however they are cut, and never
//! to more than the limit.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::runner::codec::{Codec, Limits, decode};

const LIMIT_BYTES: u64 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let codec = [Codec::None, Codec::Gzip, Codec::Brotli, Codec::Zstd][usize::from(first & 3)];
    let step = usize::from(first >> 2) + 1;
    let limits = Limits { output_bytes: LIMIT_BYTES, ratio: 1000 };
    let whole = support::read_all(decode(codec, data, limits).expect("a decoder"));
    assert!(whole.0.len() as u64 <= LIMIT_BYTES);
    let cut = support::read_all(decode(codec, support::buffered(data, step), limits).expect("a decoder"));
    if whole.1.is_ok() || cut.1.is_ok() {
        assert!(whole == cut, "{codec:?}: {:?} {:?}", whole.1, cut.1);
    }
});

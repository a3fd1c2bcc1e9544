//! `.meta.json` and `manifest.json`: any bytes give facts or a fault.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use reinstate::runner::format::dbackup::manifest::Manifest;
use reinstate::runner::format::dbackup::sidecar::Sidecar;

fuzz_target!(|data: &[u8]| {
    let _ = Sidecar::parse(data).map_err(support::checked);
    let _ = Manifest::parse(data).map_err(support::checked);
});

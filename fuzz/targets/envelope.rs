//! age files and AES-256-GCM: any bytes open or give a fault, the same however they are cut.
#![no_main]

mod support;

use std::io::Read;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::cipher::{AgeFile, AgeKey, GcmReader, OnMismatch, TagPlace, is_age};
use reinstate::secret::Secret;

/// The identity of the published age test vectors.
static IDENTITY: LazyLock<AgeKey> = LazyLock::new(|| {
    AgeKey::parse_identity("AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0")
        .expect("a valid identity")
});

type Opened = (Vec<u8>, Result<(), Reason>);

fn age(source: impl Read) -> Opened {
    let file = match AgeFile::open(source) {
        Ok(file) => file,
        Err(fault) => return (Vec::new(), Err(support::checked(fault))),
    };
    let unsupported = file.only_unsupported_recipients();
    match file.fits(&IDENTITY) {
        Ok(true) => assert!(!unsupported),
        Ok(false) => {}
        Err(fault) => {
            support::checked(fault);
        }
    }
    match file.decrypt(&IDENTITY) {
        Ok(reader) => support::read_all(reader),
        Err(fault) => (Vec::new(), Err(support::checked(fault))),
    }
}

fn gcm(source: impl Read, place: TagPlace) -> Opened {
    let key = Secret::new([7; 32]);
    support::read_all(GcmReader::new(source, &key, &[9; 12], place, OnMismatch::KeyProven))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let step = usize::from(first >> 1) + 1;
    let cut = || support::Trickle { data, step };
    if first & 1 == 0 {
        let whole = age(data);
        assert!(whole.1.is_err() || is_age(data));
        assert_eq!(age(cut()), whole);
    } else {
        assert_eq!(gcm(cut(), TagPlace::Last), gcm(data, TagPlace::Last));
        let known = TagPlace::Known([3; 16]);
        assert_eq!(gcm(cut(), known), gcm(data, known));
    }
});

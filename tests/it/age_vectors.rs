//! The test vectors of C2SP for age: each file ends as its header says, under our stable reasons.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use flate2::read::ZlibDecoder;
use reinstate::reason::Reason;
use reinstate::runner::cipher::{AgeFile, AgeKey};
use reinstate::runner::fault::{Fault, Stage};
use reinstate::runner::keys::{Candidate, Key, KeyRing};
use reinstate::runner::meter::sha256;
use reinstate::runner::read::Options;
use reinstate::secret::Secret;

use crate::support::{examine_file, fixtures};

/// Files in the folder beside its README.
const VECTORS: usize = 143;

struct Vector {
    name: String,
    expect: String,
    payload: Option<String>,
    identities: Vec<String>,
    passphrases: Vec<String>,
    file: Vec<u8>,
}

/// Takes the text header apart; a key that is not known would make the test say less than it seems.
fn parse(name: String, content: &[u8]) -> Vector {
    let end = content.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let mut file = content[end + 2..].to_vec();
    let mut vector = Vector {
        name,
        expect: String::new(),
        payload: None,
        identities: Vec::new(),
        passphrases: Vec::new(),
        file: Vec::new(),
    };
    for line in std::str::from_utf8(&content[..end]).unwrap().lines() {
        let (key, value) = line.split_once(": ").unwrap();
        let value = value.to_owned();
        match key {
            "expect" => vector.expect = value,
            "payload" => vector.payload = Some(value),
            "identity" => vector.identities.push(value),
            "passphrase" => vector.passphrases.push(value),
            "compressed" => {
                assert_eq!(value, "zlib");
                let mut plain = Vec::new();
                ZlibDecoder::new(file.as_slice()).read_to_end(&mut plain).unwrap();
                file = plain;
            }
            "armored" | "file key" | "comment" => {}
            other => panic!("{}: {other}", vector.name),
        }
    }
    vector.file = file;
    vector
}

fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    for entry in fs::read_dir(fixtures().join("age")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name != "README.md" {
            all.push(parse(name, &fs::read(entry.path()).unwrap()));
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(all.len(), VECTORS);
    all
}

/// How an age file ends.
#[derive(Debug, PartialEq)]
enum End {
    KeyRefused(Reason),
    HeaderRefused(Reason),
    NoMatch,
    /// The bytes that were given, and the reason if these are not all.
    Payload(Vec<u8>, Option<Reason>),
}

impl End {
    fn brief(&self) -> String {
        match self {
            Self::KeyRefused(reason) => format!("{reason} for the key"),
            Self::HeaderRefused(reason) => format!("{reason} for the header"),
            Self::NoMatch => "no match".to_owned(),
            Self::Payload(plain, reason) => {
                format!("{} bytes with SHA-256 {}, {reason:?}", plain.len(), hex::encode(sha256(plain)))
            }
        }
    }
}

/// Gives at most `step` bytes a read.
struct Trickle<'a> {
    data: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(target.len());
        self.data.read(&mut target[..count])
    }
}

fn keys(vector: &Vector) -> Result<Vec<AgeKey>, Fault> {
    let mut keys = Vec::new();
    for text in &vector.identities {
        keys.push(AgeKey::parse_identity(text)?);
    }
    keys.extend(vector.passphrases.iter().map(|text| AgeKey::Passphrase(Secret::new(text.clone()))));
    Ok(keys)
}

fn open(vector: &Vector, step: usize) -> End {
    let keys = match keys(vector) {
        Ok(keys) => keys,
        Err(fault) => return End::KeyRefused(fault.reason),
    };
    let file = match AgeFile::open(Trickle { data: &vector.file, step }) {
        Ok(file) => file,
        Err(fault) => return End::HeaderRefused(fault.reason),
    };
    for key in keys {
        match file.fits(&key) {
            Err(fault) => return End::HeaderRefused(fault.reason),
            Ok(false) => {}
            Ok(true) => {
                let mut plain = Vec::new();
                let outcome = file.decrypt(&key).unwrap().read_to_end(&mut plain);
                let reason = outcome
                    .err()
                    .map(|error| Fault::from_io(error, Stage::CleanUp, Reason::InternalError, "").reason);
                return End::Payload(plain, reason);
            }
        }
    }
    End::NoMatch
}

/// What our reasons say of a header that must be refused, where damage is not all there is to say.
fn header_reason(name: &str) -> Reason {
    match name {
        "empty" | "armor_empty" | "hmac_no_space" | "stream_no_nonce" | "stream_short_nonce" => {
            Reason::Truncated
        }
        "version_unsupported" => Reason::UnsupportedFormat,
        "scrypt_work_factor_23" => Reason::LimitExceeded,
        _ => Reason::CorruptBackup,
    }
}

fn ends_well(vector: &Vector, end: &End) -> bool {
    if vector.identities.iter().any(|identity| identity.starts_with("AGE-SECRET-KEY-PQ-1")) {
        return *end == End::KeyRefused(Reason::UnsupportedKeyType);
    }
    if let (End::Payload(plain, _), Some(hash)) = (end, &vector.payload)
        && hex::encode(sha256(plain)) != *hash
    {
        return false;
    }
    match (vector.expect.as_str(), end) {
        ("success", End::Payload(_, None)) | ("no match", End::NoMatch) => true,
        ("HMAC failure", End::HeaderRefused(reason)) => *reason == Reason::Tampered,
        ("header failure", End::HeaderRefused(reason)) => *reason == header_reason(&vector.name),
        ("armor failure", End::HeaderRefused(reason) | End::Payload(_, Some(reason))) => {
            *reason == Reason::CorruptBackup
        }
        ("payload failure", End::Payload(_, Some(reason))) => {
            matches!(reason, Reason::Tampered | Reason::Truncated)
        }
        _ => false,
    }
}

#[test]
fn every_vector_ends_as_its_header_says_however_it_is_read() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for vector in vectors() {
        for step in [usize::MAX, 7, 1] {
            let end = open(&vector, step);
            if !ends_well(&vector, &end) {
                wrong.push(format!("{}: expected {}, got {}", vector.name, vector.expect, end.brief()));
            }
        }
        *seen.entry(vector.expect).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let counts: Vec<_> = seen.iter().map(|(expect, count)| (expect.as_str(), *count)).collect();
    let expected = [
        ("HMAC failure", 1),
        ("armor failure", 22),
        ("header failure", 62),
        ("no match", 13),
        ("payload failure", 19),
        ("success", 26),
    ];
    assert_eq!(counts, expected);
}

/// A backup whose only recipients are post-quantum says so, with and without other keys at hand.
#[test]
fn a_backup_for_hybrid_keys_ends_as_an_unsupported_key_type() {
    let folder = tempfile::tempdir().unwrap();
    let x25519 = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
    let key = Key::Age(AgeKey::parse_identity(x25519).unwrap());
    let candidate = Candidate { profile: "age".into(), id: None, key };
    for name in ["hybrid", "armor_hybrid", "hybrid_multiple_recipients", "hybrid_no_match"] {
        let vector = vectors().into_iter().find(|vector| vector.name == name).unwrap();
        fs::write(folder.path().join("backup.age"), &vector.file).unwrap();
        for ring in [KeyRing::default(), KeyRing::new(vec![candidate.clone()], None)] {
            let outcome = examine_file(folder.path(), "backup.age", &ring, &Options::default());
            assert_eq!(outcome.err().map(|fault| fault.reason), Some(Reason::UnsupportedKeyType), "{name}");
        }
    }
}

/// Cut anywhere, a file gives an error and nothing that is not in the whole one.
#[test]
fn a_cut_vector_never_ends_well() {
    for name in ["x25519", "armor_x25519", "stream_last_chunk_full"] {
        let mut vector = vectors().into_iter().find(|vector| vector.name == name).unwrap();
        let whole = vector.file.clone();
        let End::Payload(plain, None) = open(&vector, usize::MAX) else { panic!("{name}") };
        let all: Vec<usize> = if whole.len() < 2000 {
            (0..whole.trim_ascii_end().len()).collect()
        } else {
            (0..whole.len()).step_by(4099).collect()
        };
        for end in all {
            vector.file = whole[..end].to_vec();
            match open(&vector, usize::MAX) {
                End::HeaderRefused(_) => {}
                End::Payload(given, Some(_)) => assert!(plain.starts_with(&given), "{name} at {end}"),
                other => panic!("{name} at {end}: {other:?}"),
            }
        }
    }
}

#[test]
fn an_armored_line_without_an_end_is_stopped_in_bounded_memory() {
    for (what, begin) in [("at once", ""), ("after whitespace", "\r\n \t\n")] {
        let head = format!("{begin}-----BEGIN AGE ENCRYPTED FILE-----\n");
        let endless = head.as_bytes().chain(std::io::repeat(b'A'));
        assert_eq!(AgeFile::open(endless).err().unwrap().reason, Reason::CorruptBackup, "{what}");
    }
}

#[test]
fn a_header_of_very_many_recipients_is_read_once() {
    let mut header = b"age-encryption.org/v1\n".to_vec();
    for _ in 0..40_000 {
        header.extend_from_slice(b"-> a\n\n");
    }
    header.extend_from_slice(format!("--- {}\n0123456789abcdef", "A".repeat(43)).as_bytes());
    let file = AgeFile::open(header.as_slice()).unwrap();
    assert!(file.only_unsupported_recipients());
    header.splice(22..22, b"-> a\n\n".repeat(10_000));
    assert_eq!(AgeFile::open(header.as_slice()).err().unwrap().reason, Reason::LimitExceeded);
}

#[test]
fn what_is_no_age_file_of_this_version_is_told_apart() {
    for (content, reason) in [
        (&b""[..], Reason::Truncated),
        (b"age-encryption.org/v1", Reason::Truncated),
        (b"age-encryption.org/v1\n-> X25519 abc\n", Reason::Truncated),
        (b"age-encryption.org/v2\nanything", Reason::UnsupportedFormat),
        (b"age-encryption.org/v1\r\n", Reason::CorruptBackup),
        (b"SQLite format 3\0 and so on", Reason::CorruptBackup),
        (
            b"-----BEGIN AGE ENCRYPTED FILE-----\nbm8gYWdl\n-----END AGE ENCRYPTED FILE-----\n",
            Reason::CorruptBackup,
        ),
    ] {
        let outcome = AgeFile::open(content).err().map(|fault| fault.reason);
        assert_eq!(outcome, Some(reason), "{:?}", String::from_utf8_lossy(content));
    }
}

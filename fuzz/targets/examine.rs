//! A whole backup with its sidecars through pass 1 and, where that accepts it, through pass 2.
//!
//! Input: one byte for name, scope and leniency; the lengths of `.meta.json` and `.index` as four
//! bytes each, little-endian; these two, and then the backup. A length of 0 is an absent file.
#![no_main]

mod support;

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::cipher::AgeKey;
use reinstate::runner::codec::Limits;
use reinstate::runner::engine::Context;
use reinstate::runner::fault::{Fault, Result, Stage};
use reinstate::runner::keys::{Candidate, Key, KeyRing};
use reinstate::runner::meter::sha256;
use reinstate::runner::read::{Options, Request, Scope, examine};
use reinstate::runner::source::{Artifact, ListedObject, ObjectStat, Pin, Store};
use reinstate::secret::Secret;

const LIMIT_BYTES: u64 = 8 << 20;

/// A few objects in memory.
struct Memory(Vec<(String, Arc<[u8]>)>);

impl Memory {
    fn find(&self, path: &str) -> Result<&Arc<[u8]>> {
        let found = self.0.iter().find(|(name, _)| name == path).map(|(_, content)| content);
        found.ok_or_else(|| Fault::new(Stage::Download, Reason::SourceNotFound, "no such object"))
    }
}

impl Store for Memory {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn stat(&self, path: &str) -> Result<ObjectStat> {
        let size = self.find(path)?.len() as u64;
        let pin = Pin::Object { etag: String::new(), version_id: None, size };
        Ok(ObjectStat { size, pin, modified: None })
    }

    fn open(&self, path: &str, _: &Pin, range: Range<u64>, _: &Cancel) -> Result<Box<dyn Read + Send>> {
        let content = self.find(path)?;
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let part: Vec<u8> = content.get(range).expect("a range within the object").to_vec();
        Ok(Box::new(std::io::Cursor::new(part)))
    }

    fn list(&self, _: &str, _: usize) -> Result<Vec<ListedObject>> {
        Ok(Vec::new())
    }
}

/// The keys of the test backups, and the identity of the age test vectors.
static KEYS: LazyLock<KeyRing> = LazyLock::new(|| {
    let aes = |id: &str, digits: &str| {
        let mut key = [0; 32];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
        }
        Candidate { profile: id.to_owned(), id: Some(id.to_owned()), key: Key::Aes(Secret::new(key)) }
    };
    let identity = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
    let age = AgeKey::parse_identity(identity).unwrap();
    let all = vec![
        aes(
            "bce42981-a76f-49ad-98ea-200866d473b3",
            "0efc75cce138bd8f1675fec7a15d09b02142809106cac1918c8961fdaafd4995",
        ),
        aes(
            "b0ede092-2d8c-4468-bb04-f3d4cbc3fa19",
            "39856ad38531c6b98a6da7917e2b5846c90ca74e3f94b808a935abd294ca5e48",
        ),
        Candidate { profile: "age".to_owned(), id: None, key: Key::Age(age) },
    ];
    KeyRing::new(all, None)
});

const NAMES: [&str; 8] =
    ["a.sql", "a.sql.br", "a.sql.gz.enc", "a.tar", "a.db", "a.sql.age", "dump", "a.tar.br.enc"];

fn length(data: &mut &[u8]) -> Option<usize> {
    let (bytes, rest) = data.split_first_chunk::<4>()?;
    *data = rest;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn artifact(data: &[u8]) -> Option<(u8, Artifact)> {
    let (first, mut data) = data.split_first()?;
    let (meta, index) = (length(&mut data)?, length(&mut data)?);
    let (meta, data) = data.split_at_checked(meta)?;
    let (index, backup) = data.split_at_checked(index)?;
    let path = NAMES[usize::from(first & 7)];
    let mut objects = vec![(path.to_owned(), Arc::from(backup))];
    for (suffix, content) in [(".meta.json", meta), (".index", index)] {
        if !content.is_empty() {
            objects.push((format!("{path}{suffix}"), Arc::from(content)));
        }
    }
    Some((*first, Artifact { store: Arc::new(Memory(objects)), path: path.to_owned() }))
}

fuzz_target!(|data: &[u8]| {
    let Some((first, artifact)) = artifact(data) else { return };
    let options = Options {
        scope: if first & 8 == 0 { Scope::Everything } else { Scope::Databases(None) },
        allow_unproven: first & 16 == 0,
        limits: Limits { output_bytes: LIMIT_BYTES, ratio: 1000 },
        ..Options::default()
    };
    let context = Context::default();
    let request = Request { artifact: &artifact, stat: None, keys: &KEYS, options: &options, context: &context };
    let examined = match examine(request) {
        Ok(examined) => examined,
        Err(fault) => {
            support::checked(fault);
            return;
        }
    };
    for (at, entry) in examined.databases.iter().enumerate() {
        let reader = examined.open_database(at, &context).expect("what pass 1 proved opens again");
        let (dump, outcome) = support::read_all(reader);
        assert_eq!(outcome, Ok(()), "what pass 1 proved reads again");
        assert_eq!((sha256(&dump), dump.len() as u64), (entry.sha256, entry.bytes));
    }
});

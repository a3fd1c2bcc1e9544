//! What several tests need: fixtures, keys, seeded choices, how a command ended.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use reinstate::runner::engine::Context;
use reinstate::runner::fault::Fault;
use reinstate::runner::keys::{Candidate, Key, KeyRing};
use reinstate::runner::read::{Examined, Options, Request, examine};
use reinstate::runner::source::{Artifact, Folder, Store};
use reinstate::secret::Secret;
use serde_json::Value;

pub const PROFILE_A: (&str, &str, &str) = (
    "open-A",
    "bce42981-a76f-49ad-98ea-200866d473b3",
    "0efc75cce138bd8f1675fec7a15d09b02142809106cac1918c8961fdaafd4995",
);
pub const PROFILE_B: (&str, &str, &str) = (
    "open-B",
    "b0ede092-2d8c-4468-bb04-f3d4cbc3fa19",
    "39856ad38531c6b98a6da7917e2b5846c90ca74e3f94b808a935abd294ca5e48",
);
/// A key that opens nothing.
pub const STRANGER: (&str, &str, &str) =
    ("stranger", "s", "1111111111111111111111111111111111111111111111111111111111111111");

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub fn candidate((name, id, key): (&str, &str, &str), with_id: bool) -> Candidate {
    let bytes: [u8; 32] = hex::decode(key).unwrap().try_into().unwrap();
    Candidate { profile: name.into(), id: with_id.then(|| id.into()), key: Key::Aes(Secret::new(bytes)) }
}

pub fn ring(profiles: &[(&str, &str, &str)], with_ids: bool) -> KeyRing {
    KeyRing::new(profiles.iter().map(|profile| candidate(*profile, with_ids)).collect(), None)
}

pub fn artifact_in(folder: &Path, path: &str) -> Artifact {
    let store: Arc<dyn Store> = Arc::new(Folder::new(folder));
    Artifact { store, path: path.into() }
}

pub fn examine_file(folder: &Path, path: &str, keys: &KeyRing, options: &Options) -> Result<Examined, Fault> {
    let artifact = artifact_in(folder, path);
    examine(Request { artifact: &artifact, stat: None, keys, options, context: &Context::default() })
}

/// A number from the environment, for the long runs; the small default is for every run.
pub fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Small, seeded, repeatable choices (`SplitMix64`).
pub struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

/// Lets the command see nothing of this machine's cloud credentials.
pub fn without_credentials(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Panics with everything that was said unless the code and all the texts fit.
    #[track_caller]
    pub fn expect(self, code: i32, says: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for text in says {
            assert!(all.contains(text), "{text:?} is not in:\n{}\n{}", self.out, self.err);
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

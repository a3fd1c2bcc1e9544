//! All 33 backups made by the real DBackup: their content, their keys, and what damage does.

use std::io::Read;
use std::path::{Path, PathBuf};

use reinstate::reason::Reason;
use reinstate::runner::engine::Context;
use reinstate::runner::inventory::{DumpFormat, Proof};
use reinstate::runner::read::{Options, Scope};
use serde_json::Value;

use crate::support::{
    PROFILE_A, PROFILE_B, STRANGER, Seeded, artifact_in, count, examine_file, fixtures, ring,
};

fn folder() -> PathBuf {
    fixtures().join("dbackup")
}

fn expected() -> Vec<Value> {
    let text = std::fs::read(folder().join("expected.json")).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert_eq!(all.len(), 33);
    all
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

#[test]
fn every_backup_is_proven_and_decodes_to_the_known_hashes() {
    for case in expected() {
        let file = text(&case, "file").unwrap();
        let profile = text(&case, "profile");
        for with_ids in [true, false] {
            let keys = ring(&[STRANGER, PROFILE_A, PROFILE_B], with_ids);
            let examined = examine_file(&folder(), file, &keys, &Options::default())
                .unwrap_or_else(|fault| panic!("{file}: {}", fault.full_message()));
            if let Some(sha256) = text(&case, "sha256") {
                assert_eq!(hex::encode(examined.decoded.unwrap().0), sha256, "{file}");
                assert_eq!(examined.decoded.unwrap().1, case["bytes"].as_u64().unwrap(), "{file}");
            }
            let databases: Vec<_> = examined
                .databases
                .iter()
                .map(|entry| (entry.name.clone().unwrap_or_default(), hex::encode(entry.sha256)))
                .collect();
            for database in case["databases"].as_array().unwrap() {
                let pair = (
                    text(database, "name").unwrap().to_owned(),
                    text(database, "sha256").unwrap().to_owned(),
                );
                assert!(databases.contains(&pair), "{file}: {pair:?} not in {databases:?}");
            }
            assert_eq!(databases.len(), case["databases"].as_array().unwrap().len().max(1), "{file}");
            let encryption = examined.encryption.as_ref();
            assert_eq!(encryption.map(|e| e.profile.as_str()), profile, "{file}");
            assert_eq!(encryption.is_some_and(|e| e.discovered), profile.is_some() && !with_ids, "{file}");
            let proof = if profile.is_some() { Proof::Tag } else { Proof::Checksum };
            assert_eq!(examined.proof, Some(proof), "{file}");
            assert_eq!(
                examined.files,
                (text(&case, "generation") == Some("seekable"))
                    .then(|| { if file.contains("dbonly") { 0 } else { 18 } }),
                "{file}"
            );
            assert_eq!(examined.warnings, Vec::<String>::new(), "{file}");
        }
    }
}

#[test]
fn pass_two_gives_each_database_as_pass_one_saw_it() {
    let keys = ring(&[PROFILE_A, PROFILE_B], true);
    for case in expected() {
        let file = text(&case, "file").unwrap();
        for scope in [Scope::Everything, Scope::Databases(None)] {
            let options = Options { scope, digests: true, ..Options::default() };
            let examined = examine_file(&folder(), file, &keys, &options).unwrap();
            for (index, entry) in examined.databases.iter().enumerate() {
                let mut dump = Vec::new();
                let context = Context::default();
                examined.open_database(index, &context).unwrap().read_to_end(&mut dump).unwrap();
                assert_eq!(reinstate::runner::meter::sha256(&dump), entry.sha256, "{file}");
                assert_eq!(dump.len() as u64, entry.bytes, "{file}");
                let rows = entry.facts.tables.iter().flatten().map(|table| table.rows).sum::<u64>();
                let digested = entry.facts.digests.as_ref().map(|all| all.iter().map(|it| it.rows).sum());
                let is_postgres =
                    matches!(entry.format, DumpFormat::PostgresPlain | DumpFormat::PostgresArchive);
                assert_eq!(digested, is_postgres.then_some(rows), "{file}");
            }
        }
    }
}

#[test]
fn one_database_of_a_seekable_archive_costs_its_own_range() {
    let keys = ring(&[PROFILE_B], true);
    let options =
        Options { scope: Scope::Databases(Some(vec!["harbour_crew".into()])), ..Options::default() };
    let file = "v2-postgres-tree-none-enc/v2_postgres_tree_none_enc_2026-11-23_01-14-00.tar";
    let context = Context::default();
    let artifact = artifact_in(&folder(), file);
    let request = reinstate::runner::read::Request {
        stat: None,
        artifact: &artifact,
        keys: &keys,
        options: &options,
        context: &context,
    };
    let examined = reinstate::runner::read::examine(request).unwrap();
    assert_eq!(examined.databases.len(), 1);
    let read = context.progress.snapshot();
    assert_eq!((read.done, read.total), (12169, 12169), "of a file of {}", examined.size);
    let missing = Options { scope: Scope::Databases(Some(vec!["nope".into()])), ..Options::default() };
    assert_eq!(
        examine_file(&folder(), file, &keys, &missing).err().unwrap().reason,
        Reason::DatabaseNotInBackup
    );
}

#[test]
fn without_the_right_key_the_reason_says_so() {
    for case in expected() {
        let file = text(&case, "file").unwrap();
        let sealed = text(&case, "profile").is_some();
        for (keys, reason) in
            [(ring(&[], true), Reason::KeyMissing), (ring(&[STRANGER], true), Reason::NoProfileFits)]
        {
            let outcome = examine_file(&folder(), file, &keys, &Options::default());
            assert_eq!(outcome.err().map(|fault| fault.reason), sealed.then_some(reason), "{file}");
        }
        let named = reinstate::runner::keys::KeyRing::new(
            vec![crate::support::candidate(PROFILE_A, true), crate::support::candidate(PROFILE_B, true)],
            Some("open-A".into()),
        );
        let outcome = examine_file(&folder(), file, &named, &Options::default());
        assert_eq!(
            outcome.err().map(|fault| fault.reason),
            (!sealed).then_some(Reason::NotEncrypted),
            "{file}"
        );
    }
}

/// Copies one backup with its sidecars into a folder of its own.
fn copy_of(file: &str, with_sidecar: bool) -> (tempfile::TempDir, String, Vec<u8>) {
    let target = tempfile::tempdir().unwrap();
    let source = folder().join(file);
    let name = Path::new(file).file_name().unwrap().to_str().unwrap().to_owned();
    for suffix in [".meta.json", ".index"] {
        let from = source.with_file_name(format!("{name}{suffix}"));
        if from.exists() && with_sidecar {
            std::fs::copy(from, target.path().join(format!("{name}{suffix}"))).unwrap();
        }
    }
    let content = std::fs::read(&source).unwrap();
    (target, name, content)
}

#[test]
fn one_flipped_bit_or_a_cut_is_never_a_success() {
    let keys = ring(&[PROFILE_A, PROFILE_B], true);
    let places = count("REINSTATE_SOAK_DAMAGE", 12);
    for case in expected() {
        let file = text(&case, "file").unwrap();
        let (target, name, content) = copy_of(file, true);
        let mut seeded = Seeded(content.len() as u64);
        for _ in 0..places {
            let mut flipped = content.clone();
            let bit = seeded.below(content.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cut = content[..seeded.below(content.len())].to_vec();
            for (what, damaged) in [(format!("bit {bit}"), flipped), (format!("cut at {}", cut.len()), cut)] {
                let reason = if damaged.is_empty() { Reason::Truncated } else { Reason::ChecksumMismatch };
                std::fs::write(target.path().join(&name), damaged).unwrap();
                let outcome = examine_file(target.path(), &name, &keys, &Options::default());
                assert_eq!(outcome.err().map(|fault| fault.reason), Some(reason), "{file}, {what}");
            }
        }
    }
}

/// Without the checksum the other proofs stand alone: whatever they let pass must be the old bytes.
#[test]
fn without_a_checksum_damage_is_still_found_wherever_there_is_a_proof() {
    let keys = ring(&[PROFILE_A, PROFILE_B], true);
    let places = count("REINSTATE_SOAK_DAMAGE", 12);
    for case in expected().into_iter().filter(|case| text(case, "profile").is_some()) {
        let file = text(&case, "file").unwrap();
        let (target, name, content) = copy_of(file, true);
        let sidecar = target.path().join(format!("{name}.meta.json"));
        let mut meta: Value = serde_json::from_slice(&std::fs::read(&sidecar).unwrap()).unwrap();
        meta.as_object_mut().unwrap().remove("checksum");
        std::fs::write(&sidecar, meta.to_string()).unwrap();
        std::fs::write(target.path().join(&name), &content).unwrap();
        let good = examine_file(target.path(), &name, &keys, &Options::default());
        let hashes = |examined: &reinstate::runner::read::Examined| -> Vec<[u8; 32]> {
            examined.databases.iter().map(|entry| entry.sha256).collect()
        };
        let good = hashes(&good.unwrap());
        let mut seeded = Seeded(content.len() as u64 + 1);
        for _ in 0..places {
            let bit = seeded.below(content.len() * 8);
            let mut flipped = content.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cut = content[..seeded.below(content.len())].to_vec();
            for damaged in [flipped, cut] {
                std::fs::write(target.path().join(&name), &damaged).unwrap();
                match examine_file(target.path(), &name, &keys, &Options::default()) {
                    // Bytes between the members of an archive are nobody's.
                    Ok(examined) => assert_eq!(hashes(&examined), good, "{file}, bit {bit}"),
                    Err(fault) => assert!(
                        matches!(
                            fault.reason,
                            Reason::NoProfileFits
                                | Reason::Tampered
                                | Reason::Truncated
                                | Reason::CorruptBackup
                                | Reason::UnsupportedFormat
                                | Reason::KeyMissing
                                | Reason::UnsafeContent
                        ),
                        "{file}: {}: {}",
                        fault.reason,
                        fault.full_message()
                    ),
                }
            }
        }
    }
}

#[test]
fn a_sealed_backup_without_its_sidecar_says_what_is_missing() {
    let file = "sqlite-gzip-enc/sqlite_gzip_enc_2026-11-23_01-13-52.db.gz.enc";
    let (target, name, content) = copy_of(file, false);
    std::fs::write(target.path().join(&name), content).unwrap();
    let outcome = examine_file(target.path(), &name, &ring(&[PROFILE_A], true), &Options::default());
    assert_eq!(outcome.err().unwrap().reason, Reason::SidecarMissing);
}

#[test]
fn a_seekable_archive_needs_no_sidecars() {
    let file = "v2-postgres-tree-none-enc/v2_postgres_tree_none_enc_2026-11-23_01-14-00.tar";
    let (target, name, content) = copy_of(file, false);
    std::fs::write(target.path().join(&name), content).unwrap();
    let examined =
        examine_file(target.path(), &name, &ring(&[PROFILE_B], true), &Options::default()).unwrap();
    assert_eq!((examined.databases.len(), examined.proof), (3, Some(Proof::Tag)));
}

#[test]
fn an_incremental_without_its_base_keeps_its_databases_and_warns() {
    let file = "v2-chain-mariadb-gzip-enc/chain-2026-11-23T01-14-01-888/inc-001-v2_chain_mariadb_gzip_enc_2026-11-23_01-14-03.tar";
    let (target, name, content) = copy_of(file, true);
    std::fs::write(target.path().join(&name), content).unwrap();
    let examined =
        examine_file(target.path(), &name, &ring(&[PROFILE_A], true), &Options::default()).unwrap();
    assert_eq!(examined.databases.len(), 1);
    assert!(examined.warnings[0].contains("full-000-v2_chain"), "{:?}", examined.warnings);
}

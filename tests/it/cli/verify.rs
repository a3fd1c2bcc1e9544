//! `reinstate verify` on every backup of the fixtures, and on what is not good.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{BACKUP, Ended, backups, keys, reinstate, tool};
use crate::support::{STRANGER, fixtures};

/// The document's keys in their order; they are part of the interface.
const KEYS: [&str; 15] = [
    "format",
    "compression",
    "encryption",
    "proof",
    "engine",
    "engineVersion",
    "sha256",
    "databases",
    "verified",
    "files",
    "timestamp",
    "size",
    "storedSha256",
    "warnings",
    "failure",
];

fn expected() -> Vec<Value> {
    let text = std::fs::read(backups().join("expected.json")).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    assert_eq!(all.len(), 33);
    all
}

fn verify(path: &Path, more: &[&str]) -> Ended {
    let mut arguments = vec!["verify", path.to_str().unwrap()];
    arguments.extend(more);
    reinstate(&arguments)
}

fn kit() -> String {
    backups().join("recovery-kit-keys/multi").to_str().unwrap().to_owned()
}

#[test]
fn every_backup_gives_the_documented_document_with_the_known_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("keys.yaml");
    std::fs::write(&manifest, keys()).unwrap();
    let (kit, manifest) = (kit(), manifest.to_str().unwrap().to_owned());
    for case in expected() {
        let file = case["file"].as_str().unwrap();
        for (keys, discovered) in [(["--keys", &kit], false), (["-f", &manifest], true)] {
            let ended = verify(&backups().join(file), &[keys[0], keys[1], "-o", "json"]).expect(0, &[]);
            assert_eq!(ended.err, "", "{file}");
            let found = ended.json();
            let found_keys: Vec<&String> = found.as_object().unwrap().keys().collect();
            assert_eq!(found_keys, KEYS, "{file}");
            check(file, &case, &found, discovered);
        }
    }
}

fn check(file: &str, case: &Value, found: &Value, discovered: bool) {
    let engine = match case["sourceType"].as_str().unwrap() {
        "mariadb" => "MariaDB",
        "mysql" => "MySQL",
        "postgres" => "PostgreSQL",
        "redis" => "Redis",
        "sqlite" => "SQLite",
        other => panic!("{other}"),
    };
    let compression = match case["compression"].as_str() {
        Some("GZIP") => "Gzip",
        Some("BROTLI") => "Brotli",
        _ => "None",
    };
    assert_eq!(found["format"], "DBackup", "{file}");
    assert_eq!(found["compression"], compression, "{file}");
    assert_eq!(found["verified"], true, "{file}");
    assert_eq!(found["failure"], Value::Null, "{file}");
    assert_eq!(found["warnings"], json!([]), "{file}");
    // DBackup's MySQL adapter on a MariaDB server says what the server is.
    let engine_found = found["engine"].as_str().unwrap();
    assert!(
        engine_found == engine || (engine == "MySQL" && engine_found == "MariaDB"),
        "{file}: {engine_found}"
    );
    if case["engineVersion"].is_string() {
        assert_eq!(found["engineVersion"], case["engineVersion"], "{file}");
    }
    let sealed = case["profile"].as_str();
    assert_eq!(found["proof"], if sealed.is_some() { "Tag" } else { "Checksum" }, "{file}");
    match sealed {
        None => assert_eq!(found["encryption"], Value::Null, "{file}"),
        Some(profile) => {
            let name = match (discovered, profile) {
                (false, name) => name,
                (true, "open-A") => "imported-a",
                (true, _) => "imported-b",
            };
            let seal = json!({"algorithm": "AES-256-GCM", "profile": name, "discovered": discovered});
            assert_eq!(found["encryption"], seal, "{file}");
        }
    }
    assert_eq!(found["sha256"], case.get("sha256").cloned().unwrap_or(Value::Null), "{file}");
    let databases = found["databases"].as_array().unwrap();
    let expected = case["databases"].as_array().unwrap();
    assert_eq!(databases.len(), expected.len().max(1), "{file}");
    for database in expected {
        let same = |found: &&Value| found["name"] == database["name"];
        assert_eq!(databases.iter().find(same).unwrap()["sha256"], database["sha256"], "{file}");
    }
    for database in databases {
        let keys: Vec<&String> = database.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "format", "bytes", "sha256", "tables"], "{file}");
        // Counted where the engine's reader can; tests/it/postgres_readers.rs knows what they are.
        let counted = database["format"] == "PostgresArchive";
        assert_eq!(database["tables"].as_array().map(Vec::len), counted.then_some(3), "{file}");
        assert!(database["bytes"].as_u64().unwrap() > 0, "{file}");
    }
}

#[test]
fn every_form_of_a_key_opens_and_a_wrong_or_missing_one_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let kits = backups().join("recovery-kit-keys");
    let stranger = folder.path().join("stranger.key");
    std::fs::write(&stranger, STRANGER.2).unwrap();
    let broken = folder.path().join("broken.key");
    std::fs::write(&broken, "not a key").unwrap();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let backup = backups().join(BACKUP);
    for (keys, code, says) in [
        (Some(path(kits.join("multi"))), 0, "open-A"),
        (Some(path(kits.join("multi/keys"))), 0, "open-A"),
        (Some(path(kits.join("multi/keys/keys.json"))), 0, "open-A"),
        (Some(path(kits.join("multi/keys/open-A.key"))), 0, "open-A"),
        (Some(path(kits.join("multi/keys/open-B.key"))), 10, "NoProfileFits"),
        (Some(path(stranger)), 10, "NoProfileFits"),
        (Some(path(broken)), 11, "InvalidKey"),
        (Some(path(folder.path().join("gone"))), 11, "SecretMissing"),
        (None, 10, "KeyMissing"),
    ] {
        let flags: Vec<&str> = keys.iter().flat_map(|keys| ["--keys", keys.as_str()]).collect();
        verify(&backup, &flags).expect(code, &[says]);
    }
    // The kit of a single profile is open-A's, without its id.
    let single = path(kits.join("single"));
    verify(&backup, &["--keys", &single]).expect(0, &["opened by key master (found by trying)"]);
}

#[test]
fn what_is_not_a_good_backup_ends_with_a_reason_and_a_document_of_nulls() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    };
    let sealed = backups().join(BACKUP);
    let name = sealed.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = std::fs::read(&sealed).unwrap();
    let cut = write(&name, &bytes[..bytes.len() / 2]);
    std::fs::copy(
        backups().join(format!("{BACKUP}.meta.json")),
        folder.path().join(format!("{name}.meta.json")),
    )
    .unwrap();
    let features = std::fs::read(fixtures().join("sqlite/features.sql")).unwrap();
    let kit = kit();
    for (path, code, reason) in [
        (cut, 10, "ChecksumMismatch"),
        (write("alone.db.gz.enc", &bytes), 10, "SidecarMissing"),
        (write("cut.sql", &features[..features.len() / 2]), 10, "Truncated"),
        (write("empty.sql", b""), 10, "Truncated"),
        (write("notes.txt", b"hello"), 10, "UnsupportedFormat"),
        (fixtures().join("mongodump/all.archive"), 10, "Unproven"),
        (folder.path().join("gone.sql"), 11, "SourceNotFound"),
        (folder.path().to_owned(), 2, "InvalidSpec"),
    ] {
        let ended = verify(&path, &["--keys", &kit, "-o", "json"]).expect(code, &["error: ", "hint: "]);
        let found = ended.json();
        let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
        assert_eq!(keys, KEYS);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(found["failure"]["reason"], reason, "{name}: {}", ended.err);
        assert_eq!(found["verified"], false);
        for key in ["format", "encryption", "proof", "engine", "sha256", "databases"] {
            assert_eq!(found[key], Value::Null, "{name}: {key}");
        }
        assert!(ended.err.contains(name), "{name} is not named: {}", ended.err);
    }
}

#[test]
fn a_dump_without_a_sidecar_is_proven_by_its_end_mark_under_any_compression() {
    let folder = tempfile::tempdir().unwrap();
    for (fixture, dump, engine) in [
        ("mariadb-single-none-plain/mariadb_single_none_plain_2026-11-23_01-13-39.sql", "a.sql", "MariaDB"),
        ("../sqlite/features.sql", "c.sql", "SQLite"),
    ] {
        let content = std::fs::read(backups().join(fixture)).unwrap();
        let hash = hex::encode(reinstate::runner::meter::sha256(&content));
        for (compression, ending, stored) in [
            ("None", "", content.clone()),
            ("Gzip", ".gz", tool("gzip", &["-c"], &content)),
            ("Zstd", ".zst", tool("zstd", &["-q", "-c"], &content)),
            ("Brotli", ".br", tool("brotli", &["-c"], &content)),
        ] {
            let path = folder.path().join(format!("{dump}{ending}"));
            std::fs::write(&path, stored).unwrap();
            let found = verify(&path, &["-o", "json"]).expect(0, &[]).json();
            assert_eq!(
                [&found["compression"], &found["proof"], &found["engine"], &found["sha256"]],
                [&json!(compression), &json!("Trailer"), &json!(engine), &json!(hash)],
                "{fixture} {compression}"
            );
            verify(&path, &[]).expect(0, &["Good backup", "the dump's own end mark is there", &hash]);
        }
    }
}

#[test]
fn archives_of_pg_dump_in_a_tar_show_their_tables_under_any_compression_and_seal() {
    let folder = tempfile::tempdir().unwrap();
    let identity = String::from_utf8(tool("age-keygen", &[], b"")).unwrap();
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    let keys = folder.path().join("identity.txt");
    std::fs::write(&keys, &identity).unwrap();
    let keys = keys.to_str().unwrap();
    for fixture in ["18.tar", "18-dir.tar", "16-dir.tar", "15-dir-none.tar", "17-dir-zstd.tar"] {
        let content = std::fs::read(fixtures().join("postgres").join(fixture)).unwrap();
        let hash = hex::encode(reinstate::runner::meter::sha256(&content));
        let gzip = tool("gzip", &["-c"], &content);
        for (ending, proof, stored) in [
            ("", "Trailer", content.clone()),
            (".gz", "Trailer", gzip.clone()),
            (".zst", "Trailer", tool("zstd", &["-q", "-c"], &content)),
            (".gz.age", "Tag", tool("age", &["-r", &recipient], &gzip)),
        ] {
            let path = folder.path().join(format!("{fixture}{ending}"));
            std::fs::write(&path, stored).unwrap();
            let found = verify(&path, &["--keys", keys, "-o", "json"]).expect(0, &[]).json();
            let database = &found["databases"][0];
            assert_eq!(
                [&found["proof"], &found["engine"], &found["sha256"], &database["format"], &database["name"]],
                [&json!(proof), &json!("PostgreSQL"), &json!(hash), &json!("PostgresArchive"), &json!("odd")],
                "{fixture}{ending}"
            );
            let tables = database["tables"].as_array().unwrap();
            let rows: u64 = tables.iter().map(|table| table["rows"].as_u64().unwrap()).sum();
            assert_eq!((tables.len(), rows), (8, 343), "{fixture}{ending}");
        }
        let cut = folder.path().join("cut.tar");
        std::fs::write(&cut, &content[..content.len() / 2]).unwrap();
        verify(&cut, &[]).expect(10, &["Truncated"]);
        verify(&folder.path().join(fixture), &[]).expect(0, &["Good backup", "TABLES  ROWS", "343"]);
    }
}

#[test]
fn a_backup_without_a_proof_is_good_only_when_that_is_accepted_or_its_hash_is_known() {
    for name in
        ["all.archive", "all.gz.archive", "single.archive", "single.gz.archive", "one-collection.archive"]
    {
        let path = fixtures().join("mongodump").join(name);
        let hash = super::sha256(&path);
        verify(&path, &[]).expect(10, &["Unproven", "--allow-unproven", "--sha256"]);
        verify(&path, &["--allow-unproven"])
            .expect(0, &["nothing proves that it is whole", "MongoDB", "MongoArchive"]);
        verify(&path, &["--sha256", &hash]).expect(0, &["Good backup", "expected one"]);
        verify(&path, &["--sha256", STRANGER.2]).expect(10, &["ChecksumMismatch"]);
        verify(&path, &["--sha256", "beef"]).expect(2, &["--sha256"]);
        let found = verify(&path, &["--allow-unproven", "-o", "json"]).expect(0, &[]).json();
        assert_eq!([&found["proof"], &found["engine"]], [&Value::Null, &json!("MongoDB")]);
    }
}

#[test]
fn the_text_says_what_it_is_which_key_fits_and_what_proves_it() {
    let redis = backups().join("redis-gzip-enc/redis_gzip_enc_2026-11-23_01-13-53.rdb.gz.enc");
    verify(&redis, &["--keys", &kit()]).expect(
        0,
        &[
            "Good backup",
            "Redis 7.0.15",
            "opened by key open-A",
            "authentication tag covers every byte",
            "RedisRdb",
        ],
    );
    let tree = backups().join("v2-postgres-tree-none-enc/v2_postgres_tree_none_enc_2026-11-23_01-14-00.tar");
    verify(&tree, &["--keys", &kit()]).expect(0, &["18 files beside the databases", "harbour_crew"]);
    verify(&fixtures().join("sqlite/features.sql"), &[]).expect(0, &["SQLiteDump", "TABLES  ROWS"]);
}

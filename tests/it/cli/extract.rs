//! `reinstate extract`: the guide's partial restore and its Recovery Kit case.

use super::{BACKUP, CONTENT, Ended, backups, command, names, reinstate, sha256};

const TREE: &str = "v2-postgres-tree-none-enc/v2_postgres_tree_none_enc_2026-11-23_01-14-00.tar";
const MULTI: &str = "mariadb-multi-gzip-plain/mariadb_multi_gzip_plain_2026-11-23_01-13-52.tar.gz";

fn extract(path: &str, more: &[&str]) -> Ended {
    let (path, kit) = (backups().join(path), backups().join("recovery-kit-keys/multi"));
    let mut arguments = vec!["extract", path.to_str().unwrap(), "--keys", kit.to_str().unwrap()];
    arguments.extend(more);
    reinstate(&arguments)
}

#[test]
fn every_dump_of_every_backup_comes_out_with_its_known_hash() {
    let text = std::fs::read(backups().join("expected.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = case["file"].as_str().unwrap();
        extract(file, &["-d", folder.path().to_str().unwrap()]).expect(0, &["wrote "]);
        let databases = case["databases"].as_array().unwrap();
        let mut expected: Vec<String> =
            databases.iter().map(|database| database["sha256"].as_str().unwrap().to_owned()).collect();
        if expected.is_empty() {
            expected.push(case["sha256"].as_str().unwrap().to_owned());
        }
        let mut found: Vec<String> =
            names(folder.path()).iter().map(|name| sha256(&folder.path().join(name))).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{file}");
    }
}

#[test]
fn one_database_comes_alone_also_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    extract(TREE, &["-d", target, "--database", "harbour_crew"]).expect(0, &["harbour_crew.dump"]);
    assert_eq!(names(folder.path()), ["harbour_crew.dump"]);
    let path = backups().join(TREE);
    let kit = backups().join("recovery-kit-keys/multi");
    let output = command()
        .args(["extract", path.to_str().unwrap(), "--keys", kit.to_str().unwrap()])
        .args(["-d", "-", "--database", "harbour_crew"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, std::fs::read(folder.path().join("harbour_crew.dump")).unwrap());
    extract(TREE, &["-d", "-"]).expect(2, &["3 databases", "--database"]);
    extract(TREE, &["-d", target, "--database", "nope"]).expect(10, &["DatabaseNotInBackup"]);
}

#[test]
fn a_file_that_exists_stays_unless_force_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    let file = folder.path().join("app.sqlite");
    std::fs::write(&file, "mine").unwrap();
    let ended =
        extract(BACKUP, &["-d", target]).expect(11, &["app.sqlite", "hint: Replace it with `--force`"]);
    assert!(!ended.err.contains("overwrite"), "{}", ended.err);
    assert_eq!((std::fs::read(&file).unwrap(), names(folder.path()).len()), (b"mine".to_vec(), 1));
    // What a killed run left is not in the way of a forced one.
    std::fs::write(folder.path().join("app.sqlite.part"), "part").unwrap();
    extract(BACKUP, &["-d", target, "--force"]).expect(0, &["wrote "]);
    assert_eq!((sha256(&file).as_str(), names(folder.path()).len()), (CONTENT, 1));
}

#[test]
fn a_bad_backup_gives_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.tar.gz");
    let mut bytes = std::fs::read(backups().join(MULTI)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    std::fs::copy(
        backups().join(format!("{MULTI}.meta.json")),
        folder.path().join("damaged.tar.gz.meta.json"),
    )
    .unwrap();
    let out = folder.path().join("out");
    reinstate(&["extract", damaged.to_str().unwrap(), "-d", out.to_str().unwrap()])
        .expect(10, &["ChecksumMismatch"]);
    assert!(!out.exists());
}

//! `reinstate run` on backups that other tools made: dump text of the real sqlite3, and age.

use super::run::rows;
use super::{Scene, backups, objects, profile, restore, tool};

#[test]
fn dump_text_of_the_real_sqlite_is_compared_row_by_row() {
    let backups = tempfile::tempdir().unwrap();
    let sql = "CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT); INSERT INTO orders(what) WITH RECURSIVE n(i) AS \
               (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1234) SELECT 'order '||i FROM n;\nCREATE TABLE \
               empty(a);\n.dump\n";
    let dump = tool("sqlite3", &[":memory:"], sql.as_bytes());
    let path = backups.path().join("shop.sql.gz");
    std::fs::write(&path, tool("gzip", &["-c"], &dump)).unwrap();
    let scene = Scene { backups: backups.path().into(), ..Scene::of("shop.sql.gz", "") };
    scene.run(&[]).expect(
        0,
        &[
            "every byte proven, every row counted and compared with the backup",
            "the dump's own end mark is there",
            "TABLE    ROWS  IN THE BACKUP",
            "orders  1 234          1 234",
            "empty       0              0",
        ],
    );
    assert_eq!(rows(&scene.target()), [("empty".to_owned(), 0), ("orders".to_owned(), 1234)]);
    assert_eq!(scene.files(), ["app.db"]);
}

#[test]
fn backups_sealed_with_age_open_with_an_identity_or_a_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let plain = backups().join("sqlite-none-plain/sqlite_none_plain_2026-11-23_01-13-52.db");
    let content = std::fs::read(plain).unwrap();
    let identity = String::from_utf8(tool("age-keygen", &[], b"")).unwrap();
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    std::fs::write(folder.path().join("armored.db.age"), tool("age", &["-a", "-r", &recipient], &content))
        .unwrap();
    std::fs::write(folder.path().join("plain.db.gz.age"), {
        tool("age", &["-r", &recipient], &tool("gzip", &["-c"], &content))
    })
    .unwrap();
    std::fs::write(folder.path().join("phrase.db.age"), sealed_by("correct horse battery", &content))
        .unwrap();
    let other = String::from_utf8(tool("age-keygen", &[], b"")).unwrap();
    for (file, kind, value, code, says) in [
        ("armored.db.age", "identity", identity.as_str(), 0, "age"),
        ("plain.db.gz.age", "identity", &identity, 0, "Gzip"),
        ("phrase.db.age", "passphrase", "correct horse battery", 0, "age"),
        ("phrase.db.age", "passphrase", "wrong horse", 10, "NoProfileFits"),
        ("armored.db.age", "identity", &other, 10, "NoProfileFits"),
        ("armored.db.age", "identity", "AGE-SECRET-KEY-1WRONG", 10, "KeyMissing"),
    ] {
        let scene = Scene { backups: folder.path().into(), ..Scene::new() };
        scene.write(&[&restore("demo", file, ""), &objects(), &profile("mine", kind, value)]);
        let ended = scene.run(&[]).expect(code, &[says]);
        assert_eq!(scene.target().exists() && scene.is_restored(), code == 0, "{file}: {}", ended.out);
        assert_eq!(scene.files().len(), usize::from(code == 0), "{file}");
    }
}

/// Sealed with a passphrase by the library: the tool takes one from a terminal only.
fn sealed_by(passphrase: &str, content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut recipient = age::scrypt::Recipient::new(passphrase.to_owned().into());
    recipient.set_work_factor(10);
    let recipients: [&dyn age::Recipient; 1] = [&recipient];
    let mut sealed = Vec::new();
    let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).unwrap();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap();
    sealed
}

//! No secret comes out: not in what is printed or logged at any level, not in arguments or
//! environment of the process, not in files beside the target.

use super::{BACKUP, Ended, Scene, backups, command, connection, keys, objects, profile, remote, restore};
use crate::parts::minio::{KEY_ID, SECRET, minio};
use crate::parts::wait_until;
use crate::support::{PROFILE_A, PROFILE_B, STRANGER};

const PASSPHRASE: &str = "canary-passphrase-7c41";
const IDENTITY: &str = "AGE-SECRET-KEY-1CANARYCANARYCANARY";
const TOKEN: &str = "canary-session-token-91ab";
const BROKEN: &str = "canary-broken-key-55dd";

fn assert_silent(what: &str, text: &str) {
    for secret in [PROFILE_A.2, PROFILE_B.2, STRANGER.2, PASSPHRASE, IDENTITY, TOKEN, BROKEN, SECRET] {
        // Parts and other cases count too.
        let part = secret.get(..24).unwrap_or(secret).to_lowercase();
        assert!(!text.to_lowercase().contains(&part), "{what} shows {part:?}:\n{text}");
    }
}

fn traced(scene: &Scene, more: &[&str]) -> Ended {
    Ended::of(command().env("RUST_LOG", "trace").args(scene.arguments()).args(more).output().unwrap())
}

#[test]
fn no_output_at_any_log_level_shows_a_secret() {
    let scene = Scene::new();
    let everything = [
        keys(),
        profile("stranger", "aes256Gcm", STRANGER.2),
        profile("phrase", "passphrase", PASSPHRASE),
        profile("identity", "identity", IDENTITY),
        profile("broken", "aes256Gcm", BROKEN),
    ]
    .join("---\n");
    let postgres = "postgres-single-gzip-enc/postgres_single_gzip_enc_2026-11-23_01-13-43.sql.gz.enc";
    for (path, all) in [
        (BACKUP, everything.clone()),
        (postgres, everything.clone()),
        (BACKUP, everything.replace(PROFILE_A.2, STRANGER.2)),
    ] {
        scene.write(&[&restore("demo", path, ""), &objects(), &all]);
        for more in [&["--plan"][..], &["-o", "json"]] {
            let ended = traced(&scene, more);
            assert!(ended.err.contains("the profile is left out"), "{}", ended.err);
            assert_silent(path, &format!("{}{}", ended.out, ended.err));
        }
    }
    // Manifests that cannot be read, too.
    for broken in [
        everything.replace("stringData: {value", "stringData: {{value"),
        everything.replace("stringData:", "stringDta:"),
        everything.replace("stringData:", "data:"),
        everything.replace("---\n", ""),
    ] {
        scene.write(&[&restore("demo", BACKUP, ""), &objects(), &broken]);
        let ended = traced(&scene, &[]);
        assert!(ended.code == 2, "{}", ended.err);
        assert_silent("a broken manifest", &format!("{}{}", ended.out, ended.err));
    }
}

#[test]
fn keys_of_a_bucket_are_never_logged() {
    let (minio, bucket) = (minio(), minio().bucket());
    for suffix in ["", ".meta.json"] {
        let path = format!("{BACKUP}{suffix}");
        bucket.put(&format!("dbackup/{path}"), &std::fs::read(backups().join(&path)).unwrap());
    }
    let storage = remote::storage(&bucket.name, &minio.endpoint, minio.ca.as_deref());
    let with_token = storage
        .replace(
            "secretAccessKeySecretKeyRef",
            "sessionTokenSecretKeyRef: {name: s3, key: token}, secretAccessKeySecretKeyRef",
        )
        .replace("stringData: {", &format!("stringData: {{token: {TOKEN}, "));
    let wrong = storage.replace(&format!("secret: {SECRET}"), "secret: canary-broken-key-55dd-x");
    for (storage, code) in [(storage.clone(), 0), (with_token, 11), (wrong, 11)] {
        let scene = Scene::new();
        scene.write(&[&restore("demo", BACKUP, ""), &storage, &connection("app", "app.db"), &keys()]);
        let ended = traced(&scene, &[]);
        assert_eq!(ended.code, code, "{}", ended.out);
        assert!(code == 0 || ended.out.contains("SourceAccessDenied"), "{}", ended.out);
        assert!(ended.err.contains("aws") || ended.err.contains("TRACE"), "{KEY_ID}: nothing was logged");
        assert_silent("the log", &format!("{}{}", ended.out, ended.err));
    }
}

#[test]
fn a_running_process_shows_no_secret() {
    let scene = Scene::over_data("");
    let mut terminal = super::terminal::OnTerminal::start(&scene);
    terminal.wait_for("anything else to stop:");
    let mut found = None;
    wait_until("the process is found", || {
        found = process_of(scene.manifest().to_str().unwrap());
        found.is_some()
    });
    let process = found.unwrap();
    for file in ["cmdline", "environ"] {
        let content = std::fs::read(process.join(file)).unwrap();
        assert!(!content.is_empty(), "{file}");
        assert_silent(file, &String::from_utf8_lossy(&content));
    }
    terminal.press(b"app.db\n");
    terminal.end().expect(0, &["Restored"]);
    for name in scene.files() {
        let content = std::fs::read(scene.data().join(&name)).unwrap();
        assert_silent(&name, &String::from_utf8_lossy(&content));
    }
}

/// The folder in `/proc` of the binary that reads `manifest`.
fn process_of(manifest: &str) -> Option<std::path::PathBuf> {
    let is_it = |path: &std::path::PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.starts_with(env!("CARGO_BIN_EXE_reinstate")) && line.contains(manifest)
    };
    std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).find(is_it)
}

//! The same manifest with a bucket: from MinIO over TLS under a CA of its own, and from storage that
//! exchanges the backup between the two passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{BACKUP, CONTENT, Scene, backups, command, connection, keys, restore, sha256, snapshot};
use crate::parts::minio::{Bucket, KEY_ID, SECRET, minio, plain_minio};
use crate::parts::tamper::{Action, Tamper};

/// A `BackupStorage` for the bucket and the Secret of its keys.
pub(super) fn storage(bucket: &str, endpoint: &str, ca: Option<&[u8]>) -> String {
    let tls = if ca.is_some() { ", tls: {caSecretKeyRef: {name: s3, key: ca}}" } else { "" };
    let ca = ca.map_or_else(String::new, |ca| Value::from(String::from_utf8_lossy(ca)).to_string());
    let ca = if ca.is_empty() { ca } else { format!(", ca: {ca}") };
    format!(
        "apiVersion: reinstate.dev/v1alpha1\nkind: BackupStorage\nmetadata: {{name: backups}}\nspec:\n  s3: {{bucket: \
         {bucket}, prefix: dbackup/, endpoint: {endpoint:?}, region: us-east-1, forcePathStyle: true, credentials: \
         {{accessKeyIdSecretKeyRef: {{name: s3, key: id}}, secretAccessKeySecretKeyRef: {{name: s3, key: \
         secret}}}}{tls}}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s3}}\nstringData: {{id: {KEY_ID}, \
         secret: {SECRET}{ca}}}\n"
    )
}

fn upload(bucket: &Bucket) {
    for suffix in ["", ".meta.json"] {
        let path = format!("{BACKUP}{suffix}");
        bucket.put(&format!("dbackup/{path}"), &std::fs::read(backups().join(&path)).unwrap());
    }
}

fn scene(bucket: &str, endpoint: &str, ca: Option<&[u8]>, spec: &str) -> Scene {
    let scene = Scene::new();
    let documents = [
        &restore("demo", BACKUP, spec)[..],
        &storage(bucket, endpoint, ca),
        &connection("app", "app.db"),
        &keys(),
    ];
    scene.write(&documents);
    scene
}

#[test]
fn a_backup_in_a_bucket_is_restored_verified_extracted_and_listed() {
    let (minio, bucket) = (minio(), minio().bucket());
    upload(&bucket);
    let ca = minio.ca.clone().unwrap();
    let scene = scene(&bucket.name, &minio.endpoint, Some(&ca), "");
    scene.run(&[]).expect(0, &["Restored demo", &format!("s3://{}/dbackup/{BACKUP}", bucket.name)]);
    assert!(scene.is_restored());
    assert_eq!(scene.files(), ["app.db"]);

    let ca_file = scene.folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca).unwrap();
    let url = |key: &str| format!("s3://{}/dbackup/{key}", bucket.name);
    let with_keys = |arguments: &[&str]| {
        let mut command = command();
        command
            .args(arguments)
            .args(["--endpoint", &minio.endpoint, "--path-style", "--ca-file", ca_file.to_str().unwrap()])
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        super::Ended::of(command.output().unwrap())
    };
    let kit = backups().join("recovery-kit-keys/multi");
    let (backup, kit) = (url(BACKUP), kit.to_str().unwrap());
    let found = with_keys(&["verify", &backup, "--keys", kit, "-o", "json"]).expect(0, &[]).json();
    assert_eq!([&found["sha256"], &found["proof"]], [CONTENT, "Tag"]);
    let out = scene.folder.path().join("out");
    with_keys(&["extract", &backup, "--keys", kit, "-d", out.to_str().unwrap()]).expect(0, &["wrote "]);
    assert_eq!(sha256(&out.join("app.sqlite")), CONTENT);
    with_keys(&["list", &url("")]).expect(0, &["SQLite 3.40.1", BACKUP]);
    with_keys(&["verify", &url("gone.db")]).expect(11, &["SourceNotFound"]);
    let without_ca = command()
        .args(["verify", &backup, "--endpoint", &minio.endpoint, "--path-style"])
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .output()
        .unwrap();
    super::Ended::of(without_ca).expect(11, &["SourceTLSFailed", "--ca-file"]);
}

/// GETs of the backup itself that one whole run makes.
fn gets_of_a_run(bucket: &Bucket) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let tamper = Tamper::in_front_of(plain_minio().port, move |request| {
        if is_backup(request.method, request.target) {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Action::Forward
    });
    scene(&bucket.name, &tamper.endpoint(), None, "").run(&[]).expect(0, &["Restored"]);
    count.load(Ordering::SeqCst)
}

fn is_backup(method: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    method == "GET" && path.ends_with(".db.gz.enc")
}

#[test]
fn a_backup_exchanged_between_the_passes_is_refused_and_nothing_of_it_is_loaded() {
    let bucket = plain_minio().bucket();
    upload(&bucket);
    let passes = gets_of_a_run(&bucket);
    assert!(passes >= 2, "{passes}: the backup is read twice");
    let mut exchanged = std::fs::read(backups().join(BACKUP)).unwrap();
    for byte in &mut exchanged {
        *byte ^= 1;
    }
    let exchanged = Arc::new(exchanged);
    // Under its old ETag, by whoever stands between; and really, in the bucket.
    for really in [false, true] {
        let (bytes, gets) = (Arc::clone(&exchanged), AtomicUsize::new(0));
        let overwrite =
            move |bucket: &Bucket| bucket.put(&format!("dbackup/{BACKUP}"), &exchanged_in_bucket());
        let writable = plain_minio().bucket();
        upload(&writable);
        let name = writable.name.clone();
        let tamper = Tamper::in_front_of(plain_minio().port, move |request| {
            if !is_backup(request.method, request.target) || gets.fetch_add(1, Ordering::SeqCst) + 1 < passes
            {
                return Action::Forward;
            }
            if really {
                overwrite(&writable);
                return Action::Forward;
            }
            Action::Exchange(Arc::clone(&bytes))
        });
        let scene = scene(&name, &tamper.endpoint(), None, "  overwrite: {confirm: [app.db]}");
        scene.make_old();
        let before = snapshot(&scene.data());
        scene.run(&[]).expect(12, &["SourceChanged", "the target was not touched"]);
        assert_eq!(snapshot(&scene.data()), before, "really: {really}");
    }
}

/// Another object of the same size.
fn exchanged_in_bucket() -> Vec<u8> {
    let mut bytes = std::fs::read(backups().join(BACKUP)).unwrap();
    bytes.reverse();
    bytes
}

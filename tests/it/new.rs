//! `reinstate new`: what it writes is read back strictly and resolves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reinstate::cli::manifest::{ManifestReader, Manifests};
use reinstate::cli::new::{NewArgs, run};
use reinstate::plan::{
    EngineSettings, KeyKind, Mode, RestorePlan, SecretKey, SecretReader as _, Selector, Storage, resolve,
};

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const AGE: &str = "# created: 2026-11-23\nAGE-SECRET-KEY-1TESTONLYTESTONLYTESTONLY\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn args(&self) -> NewArgs {
        NewArgs {
            storage: "backups".into(),
            backup: Some("shop/shop.db.gz.enc".into()),
            target: Some("db/app.db".into()),
            name: "first".into(),
            namespace: "staging".into(),
            output: Some(self.path("restore.yaml")),
            secrets_out: Some(self.path("secrets.yaml")),
            ..NewArgs::default()
        }
    }
}

/// Runs it: what went to standard output, and the notes.
fn new(args: &NewArgs) -> anyhow::Result<(String, String)> {
    let (mut stdout, mut notes) = (Vec::new(), Vec::new());
    run(args, &mut stdout, &mut notes)?;
    Ok((String::from_utf8(stdout)?, String::from_utf8(notes)?))
}

fn read_back(files: &[&Path]) -> (Manifests, RestorePlan) {
    let mut reader = ManifestReader::default();
    for path in files {
        reader.add_file(path);
    }
    let manifests = reader.finish().unwrap_or_else(|problems| panic!("{problems:?}"));
    let plan = resolve(&manifests.restores[0], &manifests.objects).unwrap();
    (manifests, plan)
}

#[test]
fn a_folder_a_key_and_a_file_make_a_manifest_that_resolves() {
    let folder = Folder::new();
    let args = NewArgs { kit: Some(folder.write("master.key", HEX)), ..folder.args() };
    let (stdout, notes) = new(&args).unwrap();
    assert_eq!(stdout, "");
    let (restore, secrets) = (folder.path("restore.yaml"), folder.path("secrets.yaml"));
    assert_eq!(
        notes,
        format!(
            "Run it here with:\n  reinstate run -f {} -f {} --claim backups=backups --claim data=db\n",
            restore.display(),
            secrets.display()
        )
    );
    let (manifests, plan) = read_back(&[&restore, &secrets]);
    assert_eq!((plan.namespace.as_str(), plan.name.as_str(), plan.mode), ("staging", "first", Mode::Restore));
    assert_eq!(plan.backup.selector, Selector::Path("shop/shop.db.gz.enc".into()));
    let EngineSettings::Sqlite(sqlite) = &plan.target.as_ref().unwrap().settings else { panic!("a file") };
    assert_eq!((sqlite.claim_name.as_str(), sqlite.path.as_str()), ("data", "app.db"));
    let key = SecretKey { secret: "first-key".into(), key: "master.key".into() };
    assert_eq!(plan.keys[0].kind, KeyKind::Aes256Gcm(key.clone()));
    assert_eq!(manifests.secrets("staging").read(&key).unwrap().expose(), HEX.as_bytes());
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&restore).unwrap().contains(HEX), "the manifest holds no secret");
}

#[test]
fn a_bucket_with_its_ca_and_a_recovery_kit_make_a_manifest_that_resolves() {
    let folder = Folder::new();
    let keys = "{\"version\":1,\"keys\":[{\"profileId\":\"x\",\"name\":\"a\",\"file\":\"a.key\"}]}";
    folder.write("kit/keys/keys.json", keys);
    folder.write("kit/keys/a.key", HEX);
    folder.write("kit/README.txt", "not a key");
    let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let args = NewArgs {
        storage: "s3://bucket/dbackup/prod".into(),
        endpoint: Some("https://minio.example:9000".into()),
        region: Some("eu-west-1".into()),
        path_style: true,
        ca_file: Some(folder.write("ca.pem", pem)),
        backup: None,
        latest: Some("shop/".into()),
        kit: Some(folder.path("kit")),
        target: None,
        ..folder.args()
    };
    let (_, notes) = new(&args).unwrap();
    assert!(!notes.contains("--claim"), "{notes}");
    let (manifests, plan) = read_back(&[&folder.path("restore.yaml"), &folder.path("secrets.yaml")]);
    assert_eq!(plan.mode, Mode::Verify, "without a target");
    let Storage::S3(s3) = &plan.backup.storage else { panic!("{:?}", plan.backup.storage) };
    assert_eq!(
        (s3.bucket.as_str(), s3.prefix.as_str(), s3.force_path_style),
        ("bucket", "dbackup/prod/", true)
    );
    let secrets = manifests.secrets("staging");
    assert_eq!(secrets.read(s3.ca.as_ref().unwrap()).unwrap().expose(), pem.as_bytes());
    assert_eq!(plan.keys[0].kind, KeyKind::RecoveryKit { secret: "first-key".into() });
    assert_eq!(secrets.keys("first-key").unwrap(), ["a.key", "keys.json"]);
    let kept = SecretKey { secret: "first-key".into(), key: "keys.json".into() };
    assert_eq!(secrets.read(&kept).unwrap().expose(), keys.as_bytes());
}

#[test]
fn without_secrets_the_manifest_goes_to_standard_output() {
    let folder = Folder::new();
    let args = NewArgs { output: None, secrets_out: None, ..folder.args() };
    let (stdout, notes) = new(&args).unwrap();
    assert!(notes.contains("reinstate run -f - --claim backups=backups --claim data=db"), "{notes}");
    let mut reader = ManifestReader::default();
    reader.add("stdout", &mut stdout.as_bytes());
    assert_eq!(reader.finish().unwrap().restores.len(), 1);
}

#[test]
fn strange_names_stay_what_they_are() {
    let folder = Folder::new();
    let args = NewArgs {
        storage: "my back'ups".into(),
        backup: Some("shop: #1 \"día\"/x: [y] {z} & *a !b %c \\ 'd'.db".into()),
        target: Some("/srv/app data/app's: #1.db".into()),
        kit: Some(folder.write("key.txt", AGE)),
        ..folder.args()
    };
    let (_, notes) = new(&args).unwrap();
    assert!(notes.contains(r"--claim 'backups=my back'\''ups' --claim 'data=/srv/app data'"), "{notes}");
    let (_, plan) = read_back(&[&folder.path("restore.yaml"), &folder.path("secrets.yaml")]);
    assert_eq!(plan.backup.selector, Selector::Path(args.backup.unwrap()));
    let EngineSettings::Sqlite(sqlite) = &plan.target.unwrap().settings else { panic!("a file") };
    assert_eq!(sqlite.path, "app's: #1.db");
    assert!(matches!(plan.keys[0].kind, KeyKind::AgeIdentity(_)));
}

#[test]
fn files_that_are_there_are_kept_unless_forced() {
    let folder = Folder::new();
    let args = NewArgs { kit: Some(folder.write("master.key", HEX)), ..folder.args() };
    let secrets = folder.write("secrets.yaml", "mine");
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
    let error = new(&args).unwrap_err().to_string();
    assert!(error.ends_with("secrets.yaml is there already; overwrite it with --force"), "{error}");
    assert_eq!(fs::read_to_string(&secrets).unwrap(), "mine");
    assert!(!folder.path("restore.yaml").exists(), "nothing is written by half");
    new(&NewArgs { force: true, ..args }).unwrap();
    assert!(fs::read_to_string(&secrets).unwrap().contains(HEX));
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600, "the old mode is gone");
}

#[test]
fn flags_that_make_no_sense_are_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let key = folder.write("master.key", HEX);
    let bad = folder.write("bad.key", "not a key");
    fs::create_dir(folder.path("empty")).unwrap();
    let base = folder.args();
    for (case, args, expected) in [
        (
            "secrets without a file",
            NewArgs { kit: Some(key.clone()), secrets_out: None, ..base.clone() },
            "--secrets-out",
        ),
        (
            "one file for both",
            NewArgs { kit: Some(key), secrets_out: base.output.clone(), ..base.clone() },
            "must be different files",
        ),
        ("no key in the file", NewArgs { kit: Some(bad), ..base.clone() }, "is no key"),
        (
            "no key in the folder",
            NewArgs { kit: Some(folder.path("empty")), ..base.clone() },
            "is no Recovery Kit",
        ),
        ("no such key", NewArgs { kit: Some(folder.path("gone")), ..base.clone() }, "failed to read"),
        (
            "endpoint of a folder",
            NewArgs { endpoint: Some("https://x".into()), ..base.clone() },
            "are for s3://",
        ),
        (
            "another scheme",
            NewArgs { storage: "ftp://x".into(), ..base.clone() },
            "s3://bucket/prefix or a folder",
        ),
        ("no bucket", NewArgs { storage: "s3://".into(), ..base.clone() }, "spec.s3.bucket"),
        ("absolute backup", NewArgs { backup: Some("/etc/x".into()), ..base.clone() }, "relative path"),
        (
            "a folder as target",
            NewArgs { target: Some("..".into()), ..base.clone() },
            "does not end in a file name",
        ),
        ("a bad name", NewArgs { name: "Not A Name".into(), ..base.clone() }, "metadata.name"),
        (
            "a bad endpoint",
            NewArgs { storage: "s3://abc".into(), endpoint: Some("minio:9000".into()), ..base.clone() },
            "spec.s3.endpoint",
        ),
    ] {
        let error = format!("{:#}", new(&args).expect_err(case));
        assert!(error.contains(expected), "{case}: {error}");
        assert!(!error.contains(HEX), "{case} shows the key");
        assert!(!folder.path("restore.yaml").exists() && !folder.path("secrets.yaml").exists(), "{case}");
    }
}

//! Every file in `examples/` is read strictly and resolved, and those that need no server are run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reinstate::cli::manifest::{ManifestReader, Manifests};
use reinstate::plan::{Mode, RestorePlan, Storage, refuse_locally, resolve};
use serde_json::Value;
use tempfile::TempDir;

use crate::parts::postgres::{Postgres, postgres};
use crate::support::fixtures;

/// A SQLite backup of the fixtures that is neither packed nor sealed.
const PLAIN: &str = "dbackup/sqlite-none-plain/sqlite_none_plain_2026-11-23_01-13-52.db";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

fn names() -> Vec<String> {
    let mut names: Vec<String> =
        folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(name: &str) -> Manifests {
    let mut reader = ManifestReader::default();
    reader.add(name, &mut example(name).as_bytes());
    reader.finish().unwrap_or_else(|problems| panic!("{name}: {problems:?}"))
}

fn plan(name: &str) -> RestorePlan {
    let manifests = read(name);
    let [restore] = manifests.restores.as_slice() else { panic!("{name} holds one DatabaseRestore") };
    assert!(refuse_locally(restore).is_empty(), "{name}");
    resolve(restore, &manifests.objects).unwrap_or_else(|problems| panic!("{name}: {problems:?}"))
}

/// Runs a manifest's text with the binary; `-o json`.
fn run(manifest: &str, claims: &[(&str, &Path)]) -> (i32, Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), manifest).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reinstate"));
    command.args(["run", "-o", "json", "-f"]).arg(file.path());
    for (name, folder) in claims {
        command.arg("--claim").arg(format!("{name}={}", folder.display()));
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let report = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    (status.code().unwrap(), report)
}

fn rows(report: &Value) -> Vec<(String, u64)> {
    let tables = report["verification"]["tables"].as_array().unwrap();
    tables
        .iter()
        .map(|table| (table["name"].as_str().unwrap().to_owned(), table["rows"].as_u64().unwrap()))
        .collect()
}

fn expected_rows() -> Vec<(String, u64)> {
    vec![("item".to_owned(), 260), ("note".to_owned(), 65)]
}

#[test]
fn every_example_is_valid_and_resolves() {
    let names = names();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let plan = plan(&name);
        assert_eq!(plan.mode == Mode::Verify, plan.target.is_none(), "{name}");
        assert!(example(&name).contains("# Here:"), "{name} does not say how it is run");
    }
}

#[test]
fn the_example_with_a_bucket_names_its_keys_and_its_ca() {
    let plan = plan("sqlite-s3.yaml");
    let Storage::S3(s3) = plan.backup.storage else { panic!("a bucket") };
    assert!(s3.credentials.is_some() && s3.ca.is_some() && s3.force_path_style);
}

#[test]
fn the_first_example_restores_what_the_readme_shows() {
    let target = TempDir::new().unwrap();
    let claims = [("backups", fixtures().join("dbackup")), ("app-data", target.path().to_owned())];
    let claims: Vec<(&str, &Path)> = claims.iter().map(|(name, path)| (*name, path.as_path())).collect();
    let (code, report) = run(&example("sqlite.yaml"), &claims);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{report}");
    assert_eq!(report["backup"]["profile"], "imported-two");
    assert_eq!(report["backup"]["discovered"], true);
    assert_eq!(rows(&report), expected_rows());
    assert!(target.path().join("app.db").is_file());

    let (code, report) = run(&example("sqlite.yaml"), &claims);
    assert_eq!((code, &report["outcome"]), (3, &Value::from("AwaitingConfirmation")), "{report}");
}

#[test]
fn the_example_with_latest_replaces_what_is_confirmed_and_keeps_the_old() {
    let backups = fixtures().join("dbackup");
    let target = TempDir::new().unwrap();
    let claims = [("backups", backups.as_path()), ("app-data", target.path())];
    let until = "confirmUntil: 2026-12-01T00:00:00Z";
    let text = example("sqlite-latest.yaml");
    assert!(text.contains(until));
    let confirmed = text.replace(until, "confirmUntil: 2999-01-01T00:00:00Z");
    let expired = text.replace(until, "confirmUntil: 2020-01-01T00:00:00Z");

    let (code, report) = run(&expired, &claims);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "nothing is lost: {report}");
    let (code, report) = run(&expired, &claims);
    assert_eq!((code, &report["failure"]["reason"]), (3, &Value::from("ConfirmationExpired")), "{report}");
    let (code, report) = run(&confirmed, &claims);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{report}");
    assert_eq!(rows(&report), expected_rows());
    let previous = report["target"]["databases"][0]["previous"]["name"].as_str().unwrap();
    assert!(target.path().join(previous).is_file(), "{previous}");
}

#[test]
fn the_example_of_a_drill_proves_the_backup_without_a_target() {
    let backups = fixtures().join("dbackup");
    let (code, report) = run(&example("verify.yaml"), &[("backups", backups.as_path())]);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Verified")), "{report}");
    assert_eq!(report["backup"]["engine"], "PostgreSQL");
    assert_eq!(report["target"], Value::Null);
}

#[test]
fn the_example_with_age_opens_what_its_identity_and_its_passphrase_can_open() {
    let plain = std::fs::read(fixtures().join(PLAIN)).unwrap();
    let text = example("age.yaml");
    let value = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let identity: age::x25519::Identity = value("identity:").parse().unwrap();
    let mut quick = age::scrypt::Recipient::new(value("passphrase:").into());
    quick.set_work_factor(4);
    for (recipient, profile) in
        [(&identity.to_public() as &dyn age::Recipient, "backup-identity"), (&quick, "old-passphrase")]
    {
        let backups = TempDir::new().unwrap();
        let target = TempDir::new().unwrap();
        let sealed = seal(recipient, &plain);
        std::fs::write(backups.path().join("shop.db.gz.age"), sealed).unwrap();
        let (code, report) = run(&text, &[("backups", backups.path()), ("app-data", target.path())]);
        assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{profile}: {report}");
        assert_eq!(report["backup"]["profile"], profile);
        assert_eq!(std::fs::read(target.path().join("shop.db")).unwrap(), plain, "{profile}");
    }
}

/// gzip, then age.
fn seal(recipient: &dyn age::Recipient, plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain).unwrap();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(&packed.finish().unwrap()).unwrap();
    writer.finish().unwrap();
    sealed
}

/// An example with a server, for this one.
fn example_at(server: &Postgres, name: &str) -> String {
    let ca: String = String::from_utf8(server.ca.clone().unwrap()).unwrap();
    let ca = ca.trim_end().lines().map(|line| format!("\n    {line}")).collect::<String>();
    example(name)
        .replace("port: 5432", &format!("port: {}", server.port))
        .replace("ca.crt: the PEM of your CA", &format!("ca.crt: |{ca}"))
}

#[test]
fn the_example_with_a_server_restores_there_asks_and_keeps_the_old() {
    let server = postgres(15);
    let text = example_at(server, "postgres.yaml");
    let backups = fixtures().join("dbackup");
    let claims = [("backups", backups.as_path())];
    let (code, report) = run(&text, &claims);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{report}");
    assert_eq!(report["target"]["databases"][0]["action"], "Create");
    assert_eq!(rows(&report).iter().map(|(_, rows)| rows).sum::<u64>(), 346, "{report}");

    let (code, report) = run(&text, &claims);
    assert_eq!((code, &report["outcome"]), (3, &Value::from("AwaitingConfirmation")), "{report}");
    let confirmed = text.replace(
        "spec:\n  backup:",
        "spec:\n  overwrite: {confirm: [staging_main]}\n  verification: {content: Digest}\n  backup:",
    );
    let (code, report) = run(&confirmed, &claims);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{report}");
    let checks = report["verification"]["checks"].as_array().unwrap();
    assert!(checks.contains(&Value::from("content of 3 tables equal by digest")), "{checks:?}");
    let previous = report["target"]["databases"][0]["previous"]["name"].as_str().unwrap();
    assert!(previous.starts_with("staging_main.reinstate-previous-"), "{previous}");
    for secret in ["test-only-password", "0efc75cce138bd8f"] {
        assert!(!report.to_string().contains(secret), "{report}");
    }
}

#[test]
fn the_example_with_two_databases_restores_compares_and_masks_them() {
    let server = postgres(15);
    let backups = fixtures().join("dbackup");
    let (code, report) = run(&example_at(server, "postgres-several.yaml"), &[("backups", backups.as_path())]);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{report}");
    let databases = report["target"]["databases"].as_array().unwrap();
    let names: Vec<&Value> = databases.iter().map(|row| &row["to"]).collect();
    assert_eq!(names, ["staging_crew", "staging_tolls"]);
    let checks = report["verification"]["checks"].to_string();
    for check in ["staging_tolls: content of 3 tables equal by digest", "1 query answered true", "hook 1 run"]
    {
        assert!(checks.contains(check), "{checks}");
    }
    let masked = "select count(*) from store.note where body <> 'note'";
    assert_eq!(server.sql("staging_crew", masked), "0");
    assert_ne!(server.sql("staging_tolls", masked), "0");
}

#[test]
fn owners_of_the_backup_are_what_the_manifest_says_of_them() {
    let server = postgres(15);
    let backups = fixtures().join("dbackup");
    let claims = [("backups", backups.as_path())];
    let with = |roles: &str, mode: &str| {
        example_at(server, "postgres.yaml")
            .replace("databases:\n", &format!("roles: {roles}\n    databases:\n"))
            .replace("to: staging_main", "to: staging_owned")
            .replace("spec:\n  backup:", &format!("spec:\n  mode: {mode}\n  backup:"))
    };
    for mode in ["Plan", "Restore"] {
        let (_, report) = run(&with("{owners: Backup, privileges: Backup}", mode), &claims);
        assert_eq!(report["failure"]["reason"], "PermissionDenied", "{mode}: {report}");
    }
    assert_eq!(
        server.sql("postgres", "select count(*) from pg_database where datname ~ 'staging_owned'"),
        "0"
    );
    let map = "{owners: Backup, map: [{from: postgres, to: creator}]}";
    let (code, report) = run(&with(map, "Restore"), &claims);
    assert_eq!((code, &report["outcome"]), (0, &Value::from("Restored")), "{report}");
    let sql = "select distinct pg_get_userbyid(relowner) from pg_class where oid >= 16384";
    assert_eq!(server.sql("staging_owned", sql), "creator");
}

//! `reinstate run` without a terminal: what it restores, what it refuses, and what it leaves alone.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    BACKUP, Ended, Scene, backups, command, connection, keys, names, objects, profile, request, restore,
    sha256, snapshot,
};
use crate::support::STRANGER;

#[test]
fn a_first_restore_gives_the_database_and_a_report_of_what_was_shown() {
    let scene = Scene::new();
    let ended = scene.run(&[]).expect(
        0,
        &[
            "Restored demo in ",
            "every byte proven, every row counted\n",
            "made 2026-11-23 01:13:53 UTC",
            "SQLite 3.40.1, written by DBackup, Gzip",
            "opened by profile imported-a (found by trying)",
            "the encryption's authentication tag covers every byte",
            "2 tables, 325 rows, 60.00 KiB",
            "item    260",
        ],
    );
    assert_eq!(ended.err, "");
    assert!(scene.is_restored());
    assert_eq!(scene.files(), ["app.db"]);
}

#[test]
fn the_json_report_has_every_key_and_null_for_what_is_not_known() {
    let scene = Scene::new();
    let report = scene.run(&["-o", "json"]).expect(0, &[]).json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&report),
        "namespace name outcome targetModified startTime seconds backup target verification failure leftovers \
         warnings stages"
    );
    assert_eq!(
        keys(&report["backup"]),
        "path storage size etag versionID sha256 proof timestamp format compression encryption profile discovered \
         engine engineVersion"
    );
    assert_eq!(
        keys(&report["target"]),
        "summary engine version identity place planToken strategy confirmationRequired space databases held"
    );
    assert_eq!([&report["outcome"], &report["targetModified"]], ["Restored", "False"]);
    assert_eq!(report["target"]["place"], scene.target().to_str().unwrap());
    let row = &report["target"]["databases"][0];
    assert_eq!(keys(row), "from to action holds tables rows bytes previous");
    assert_eq!(
        [&row["to"], &row["tables"], &row["rows"], &row["bytes"], &row["holds"]],
        [&json!("app.db"), &json!(2), &json!(325), &json!(61440), &Value::Null]
    );
    let refused = Scene::over_data("").run(&["-o", "json"]).expect(3, &[]).json();
    assert_eq!(keys(&refused), keys(&report));
    assert_eq!(refused["outcome"], "AwaitingConfirmation");
    assert_eq!(refused["backup"]["sha256"], Value::Null);
    assert_eq!(keys(&refused["failure"]), "stage reason message engineError hint retryable");
}

#[test]
fn a_target_that_holds_data_is_replaced_only_as_the_manifest_says_and_else_stays_as_it_is() {
    let confirm = |more: &str| format!("  overwrite: {{confirm: [app.db]{more}}}");
    for (spec, code, says) in [
        (String::new(), 3, "ConfirmationRequired: app.db holds 1 table, ≈3 rows, 8.00 KiB"),
        ("  overwrite: {confirm: [app, APP.DB, ./app.db]}".into(), 3, "ConfirmationRequired"),
        (confirm(", confirmUntil: 2020-01-01T00:00:00Z"), 3, "ConfirmationExpired"),
        (confirm(", confirmedPlan: 0123456789abcdef"), 3, "confirmedPlan: "),
        ("  overwrite: {policy: Refuse}".into(), 11, "TargetNotEmpty"),
        (confirm(", policy: Refuse"), 11, "TargetNotEmpty"),
        ("  mode: Plan".into(), 0, "asks for a confirmation first; nothing was written"),
    ] {
        let scene = Scene::over_data(&spec);
        let before = snapshot(&scene.data());
        scene.run(&[]).expect(code, &[says]);
        assert_eq!(snapshot(&scene.data()), before, "{spec}");
    }
    for spec in [confirm(""), confirm(", confirmUntil: 2999-01-01T00:00:00Z")] {
        let scene = Scene::over_data(&spec);
        let old = sha256(&scene.target());
        scene.run(&[]).expect(0, &["held 1 table, ≈3 rows, 8.00 KiB, which was replaced", "is kept as "]);
        assert!(content_equals(&scene.target(), &restored()));
        let [target, kept] = &scene.files()[..] else { panic!("{:?}", scene.files()) };
        assert!(target == "app.db" && kept.starts_with("app.db.reinstate-previous-"), "{kept}");
        let kept = scene.data().join(kept);
        assert!(content_equals(&kept, &old_rows()), "{old}");
    }
}

/// Tables with their rows, as counted.
pub(super) fn rows(path: &Path) -> Vec<(String, i64)> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite%' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let count = |table: &String| {
        connection.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0)).unwrap()
    };
    tables.iter().map(|table| (table.clone(), count(table))).collect()
}

fn content_equals(path: &Path, expected: &[(String, i64)]) -> bool {
    rows(path) == expected
}

fn restored() -> Vec<(String, i64)> {
    vec![("item".into(), 260), ("note".into(), 65)]
}

fn old_rows() -> Vec<(String, i64)> {
    vec![("old".into(), 3)]
}

#[test]
fn the_confirmed_plan_is_the_one_that_was_shown() {
    let scene = Scene::over_data("");
    let token = || {
        let shown = scene.run(&["-o", "json"]).expect(3, &[]).json();
        shown["target"]["planToken"].as_str().unwrap().to_owned()
    };
    let confirm = |token: &str| {
        let spec = format!("  overwrite: {{confirm: [app.db], confirmedPlan: {token:?}}}");
        scene.write(&[&restore("demo", BACKUP, &spec), &objects(), &keys()]);
    };
    let first = token();
    // Another database under the name is another decision; its copy has a number of its own.
    std::fs::copy(scene.target(), scene.data().join("other")).unwrap();
    std::fs::rename(scene.data().join("other"), scene.target()).unwrap();
    confirm(&first);
    scene.run(&[]).expect(3, &["PlanChanged", "the confirmed plan is not the one of now", "confirmedPlan: "]);
    let second = token();
    confirm(&second);
    // What applications write while a person decides changes nothing of it.
    Connection::open(scene.target()).unwrap().execute("INSERT INTO old VALUES (4)", []).unwrap();
    scene.run(&[]).expect(0, &["Restored"]);
}

#[test]
fn what_was_replaced_is_kept_as_long_as_asked_or_not_at_all() {
    let replace = |keep: &str| format!("  overwrite: {{confirm: [app.db]}}\n  keepPrevious: {keep}");
    let scene = Scene::over_data(&replace("0s"));
    let ended = scene.run(&[]).expect(0, &["Restored"]);
    assert_eq!(scene.files(), ["app.db"]);
    assert!(!ended.out.contains("is kept"), "{}", ended.out);
    let scene = Scene::over_data(&replace("48h"));
    let report = scene.run(&["-o", "json"]).expect(0, &[]).json();
    let previous = &report["target"]["databases"][0]["previous"];
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time(&previous["until"]).duration_since(time(&report["startTime"])).as_hours(), 48);
    assert!(content_equals(Path::new(previous["name"].as_str().unwrap()), &old_rows()));
    assert_eq!(report["targetModified"], "True");
    // A second one at once keeps its own, and tells of the first.
    scene.run(&[]).expect(0, &["a previous database is kept in app.db.reinstate-previous-"]);
    assert_eq!(scene.files().len(), 3, "{:?}", scene.files());
}

#[test]
fn a_plan_writes_nothing_and_a_verify_needs_no_target() {
    for scene in [Scene::new(), Scene::over_data("  overwrite: {confirm: [app.db]}")] {
        let before = snapshot(scene.folder.path());
        scene.run(&["--plan"]).expect(0, &["Plan of demo: possible", "nothing was written", "needed"]);
        assert_eq!(snapshot(scene.folder.path()), before);
    }
    let scene = Scene::new();
    let verify =
        restore("demo", BACKUP, "  mode: Verify").replace("  target: {connectionRef: {name: app}}\n", "");
    scene.write(&[&verify, &objects(), &keys()]);
    let before = snapshot(scene.folder.path());
    scene.run(&[]).expect(0, &["Verified demo", "the backup is good"]);
    let report = scene.run(&["--plan", "-o", "json"]).expect(0, &[]).json();
    assert_eq!([&report["outcome"], &report["target"]], [&json!("Verified"), &Value::Null]);
    assert_eq!(snapshot(scene.folder.path()), before);
}

#[test]
fn the_latest_backup_is_the_newest_one_that_fits() {
    let scene = Scene::new();
    let latest = |fields: &str| {
        let request = request("demo", &format!("latest: {{{fields}}}"), "connectionRef: {name: app}", "");
        scene.write(&[&request, &objects(), &keys()]);
        scene.run(&["--plan", "-o", "json"])
    };
    for (fields, file) in [
        ("prefix: sqlite-", "sqlite_none_enc_2026-11-23_01-13-53.db.enc"),
        ("database: app.sqlite", "sqlite_none_enc_2026-11-23_01-13-53.db.enc"),
        ("prefix: sqlite-none-plain/", "sqlite_none_plain_2026-11-23_01-13-52.db"),
        ("prefix: sqlite-, maxAge: 87600h", "sqlite_none_enc_2026-11-23_01-13-53.db.enc"),
    ] {
        let report = latest(fields).expect(0, &[]).json();
        let path = report["backup"]["path"].as_str().unwrap();
        assert!(path.ends_with(file), "{fields}: {path}");
    }
    let stamp = |path: &str| {
        let meta = std::fs::read(backups().join(format!("{path}.meta.json"))).unwrap();
        serde_json::from_slice::<Value>(&meta).unwrap()["timestamp"].as_str().unwrap().to_owned()
    };
    let fields = format!("prefix: sqlite-, notAfter: {:?}", stamp(BACKUP));
    let report = latest(&fields).expect(0, &[]).json();
    assert!(!report["backup"]["path"].as_str().unwrap().contains("none_enc"), "{report}");
    for (fields, code, reason) in [
        ("prefix: sqlite-, maxAge: 1s", 10, "BackupTooOld"),
        ("prefix: sqlite-, notAfter: 2020-01-01T00:00:00Z", 11, "SourceNotFound"),
        ("database: nobody", 11, "SourceNotFound"),
    ] {
        let ended = latest(fields).expect(code, &[reason]);
        assert_eq!(ended.json()["targetModified"], "False");
    }
    assert_eq!(scene.files(), Vec::<String>::new());
}

#[test]
fn a_mapping_chooses_the_database_and_its_path() {
    let scene = Scene::new();
    let map = |from: &str, to: &str| {
        let target = format!("connectionRef: {{name: app}}, databases: [{{from: {from:?}, to: {to:?}}}]");
        scene.write(&[&request("demo", &format!("path: {BACKUP}"), &target, ""), &objects(), &keys()]);
        scene.run(&[])
    };
    map("nope.sqlite", "x.db").expect(10, &["DatabaseNotInBackup", "app.sqlite"]);
    map("app.sqlite", "../x.db").expect(2, &["target.databases"]);
    map("app.sqlite", "not/there/x.db").expect(11, &["TargetNotFound"]);
    assert_eq!(scene.files(), Vec::<String>::new());
    std::fs::create_dir(scene.data().join("copies")).unwrap();
    map("app.sqlite", "copies/stage 1.db").expect(0, &["app/copies/stage 1.db"]);
    assert_eq!(names(&scene.data().join("copies")), ["stage 1.db"]);
}

#[test]
fn a_backup_that_does_not_fit_is_refused_and_the_target_stays_as_it_is() {
    let wrong = "spec:\n  backup: {storageRef: {name: backups}, path: ";
    for (path, code, reason) in [
        (
            "postgres-single-none-plain/postgres_single_none_plain_2026-11-23_01-13-41.sql",
            10,
            "EngineMismatch",
        ),
        (
            "mariadb-multi-gzip-plain/mariadb_multi_gzip_plain_2026-11-23_01-13-52.tar.gz",
            10,
            "EngineMismatch",
        ),
        ("redis-gzip-enc/redis_gzip_enc_2026-11-23_01-13-53.rdb.gz.enc", 10, "UnsupportedFormat"),
        ("sqlite-none-plain/gone.db", 11, "SourceNotFound"),
        ("recovery-kit-keys/single/master.key", 10, "UnsupportedFormat"),
    ] {
        let scene = Scene::of(path, "  overwrite: {confirm: [app.db]}");
        scene.make_old();
        let before = snapshot(&scene.data());
        let ended = scene.run(&[]).expect(code, &[reason, "the target was not touched", "hint: "]);
        assert!(ended.out.starts_with("demo failed after "), "{wrong}{}", ended.out);
        assert_eq!(snapshot(&scene.data()), before, "{path}");
    }
}

#[test]
fn no_key_or_a_wrong_one_is_told_and_nothing_is_written() {
    for (keys, reason) in [
        (String::new(), "KeyMissing"),
        (profile("stranger", "aes256Gcm", STRANGER.2), "NoProfileFits"),
        (profile("stranger", "passphrase", "correct horse"), "KeyMissing"),
    ] {
        let scene = Scene::over_data("  overwrite: {confirm: [app.db]}");
        let restore = restore("demo", BACKUP, "  overwrite: {confirm: [app.db]}");
        scene.write(&[&restore, &objects(), &keys]);
        let before = snapshot(&scene.data());
        scene.run(&[]).expect(10, &[reason, "the target was not touched"]);
        assert_eq!(snapshot(&scene.data()), before);
    }
}

#[test]
fn all_that_is_missing_is_told_at_once_before_anything_begins() {
    let scene = Scene::new();
    let s3 = "apiVersion: reinstate.dev/v1alpha1\nkind: BackupStorage\nmetadata: {name: backups}\nspec: {s3: {bucket: \
              shop, credentials: {accessKeyIdSecretKeyRef: {name: s3, key: id}, secretAccessKeySecretKeyRef: {name: \
              s3, key: secret}}}}";
    let named = request(
        "demo",
        &format!("path: {BACKUP}, encryption: {{profileRef: {{name: imported-a}}}}"),
        "connectionRef: {name: app}",
        "",
    );
    let no_secret = keys().replace("name: imported-a-secret}\nstringData", "name: other}\nstringData");
    let claim = format!("--claim=unused={}", scene.data().display());
    let run = |documents: &[&str], more: &[&str]| {
        scene.write(documents);
        let manifest = scene.manifest();
        let mut command = command();
        command.args(["run", "-f", manifest.to_str().unwrap(), &claim]).args(more);
        Ended::of(command.output().unwrap())
    };
    let all = [&named[..], s3, &connection("app", "app.db"), &no_secret];
    let ended = run(&all, &["-o", "json"]).expect(
        11,
        &[
            "BackupStorage/backups: spec.s3.credentials.accessKeyIdSecretKeyRef: Secret s3 is not there (SecretMissing)",
            "spec.s3.credentials.secretAccessKeySecretKeyRef",
            "DatabaseConnection/app: spec.sqlite.claimName: the volume claim app-data stands for no folder here",
            "EncryptionProfile/imported-a: spec.aes256Gcm.secretKeyRef: Secret imported-a-secret is not there",
            "hint: SecretMissing: ",
            "hint: TargetNotFound: ",
        ],
    );
    let report = ended.json();
    assert_eq!([&report["name"], &report["outcome"], &report["targetModified"]], ["demo", "Failed", "False"]);
    assert_eq!(report["failure"]["stage"], "Resolve");
    run(&[&named], &[]).expect(
        11,
        &[
            "BackupStorage backups is not there in namespace default (ReferenceNotFound)",
            "DatabaseConnection app is not there",
            "EncryptionProfile imported-a is not there",
        ],
    );
    let unknown = named.replace("mode: Restore", "").replace("  target:", "  taget:");
    run(&[&unknown], &[]).expect(2, &["restore.yaml, document 1, DatabaseRestore demo: spec.taget"]);
    assert_eq!(scene.files(), Vec::<String>::new());
}

#[test]
fn several_restores_run_in_their_order_and_one_that_cannot_start_stops_them_all() {
    let scene = Scene::new();
    let second = |path: &str| request("second", &format!("path: {path}"), "connectionRef: {name: other}", "");
    let plain = "sqlite-none-plain/sqlite_none_plain_2026-11-23_01-13-52.db";
    let write = |second: &str, connection: &str| {
        scene.write(&[&restore("first", BACKUP, ""), second, &objects(), connection, &keys()]);
    };
    write(&second(plain), "");
    scene.run(&[]).expect(11, &["DatabaseRestore second cannot start; nothing was written"]);
    assert_eq!(scene.files(), Vec::<String>::new());
    write(&second(plain), &connection("other", "other.db"));
    scene.run(&["--name", "second"]).expect(0, &["Restored second"]);
    assert_eq!(scene.files(), ["other.db"]);
    scene.run(&["--name", "third"]).expect(2, &["no DatabaseRestore named \"third\"", "first, second"]);
    std::fs::remove_file(scene.data().join("other.db")).unwrap();
    let both = scene.run(&[]).expect(0, &["Restored first", "Restored second"]);
    assert!(both.out.find("first") < both.out.find("second"), "{}", both.out);
    assert_eq!(scene.files(), ["app.db", "other.db"]);
    // The first one asks now: the second does not begin.
    std::fs::remove_file(scene.data().join("other.db")).unwrap();
    scene.run(&[]).expect(3, &["first waits for a confirmation"]);
    assert_eq!(scene.files(), ["app.db"]);
}

#[test]
fn a_folder_that_is_missing_or_closed_is_told_before_the_backup_is_read() {
    let scene = Scene::new();
    std::fs::remove_dir(scene.data()).unwrap();
    scene.run(&[]).expect(11, &["TargetNotFound", scene.data().to_str().unwrap()]);
    let scene = Scene { backups: "/nonexistent".into(), ..Scene::new() };
    scene.run(&[]).expect(11, &["SourceNotFound", "there is no folder /nonexistent"]);

    // A damaged backup would be told instead, had it been read.
    let backups = tempfile::tempdir().unwrap();
    std::fs::write(backups.path().join("b.db"), "damaged").unwrap();
    let scene = Scene { backups: backups.path().into(), ..Scene::of("b.db", "") };
    scene.run(&[]).expect(10, &["UnsupportedFormat"]);
    for folder in [backups.path(), scene.folder.path()] {
        set_mode(folder, 0o755);
    }
    set_mode(&scene.manifest(), 0o644);
    set_mode(&scene.data(), 0o555);
    as_nobody(&scene).expect(11, &["PermissionDenied", "may not create files in"]);
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The run as a user for whom modes count; root gives up its rights for it.
fn as_nobody(scene: &Scene) -> Ended {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_reinstate")]);
        command
    } else {
        command()
    };
    Ended::of(command.args(scene.arguments()).output().unwrap())
}

//! Runs that are stopped or killed in the middle: what they say, and what the next one finds.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Ended, Scene, command, reinstate, request, snapshot};
use crate::parts::wait_until;

/// MiB in the synthetic backup: enough that a run is met in its middle.
const MEBIBYTES: usize = 192;

/// A database of many pages under zstd, which is small when stored.
pub(crate) fn large_backup(folder: &Path) -> String {
    let file = folder.join("large.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE blobs(b); INSERT INTO blobs WITH RECURSIVE \
             n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{MEBIBYTES}) SELECT zeroblob(1048576) FROM n;"
        ))
        .unwrap();
    connection.close().unwrap();
    let stored = folder.join("large.db.zst");
    let mut encoder = zstd::Encoder::new(std::fs::File::create(&stored).unwrap(), 1).unwrap();
    std::io::copy(&mut std::fs::File::open(&file).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
    std::fs::remove_file(file).unwrap();
    super::sha256(&stored)
}

struct Large {
    _backups: tempfile::TempDir,
    scene: Scene,
}

fn large(spec: &str) -> Large {
    let backups = tempfile::tempdir().unwrap();
    let sha256 = large_backup(backups.path());
    let scene = Scene { backups: backups.path().into(), ..Scene::new() };
    let backup = format!("path: large.db.zst, checksum: {{sha256: {sha256}}}");
    scene.write(&[&request("demo", &backup, "connectionRef: {name: app}", spec), &super::objects()]);
    Large { _backups: backups, scene }
}

/// Starts the run and waits until it writes beside the target.
fn in_the_middle(scene: &Scene) -> Child {
    let child =
        command().args(scene.arguments()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the run loads", || scene.files().iter().any(|name| name.ends_with(".shadow")));
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_signal_in_the_middle_ends_the_run_untouched_and_leaves_nothing() {
    let Large { scene, _backups } = large("  overwrite: {confirm: [app.db]}");
    scene.make_old();
    let old = snapshot(&scene.data());
    for signal in [Signal::INT, Signal::TERM] {
        let child = in_the_middle(&scene);
        send(&child, signal);
        Ended::of(child.wait_with_output().unwrap())
            .expect(30, &["Interrupted", "the target was not touched", "stopping at the next safe place"]);
        assert_eq!(snapshot(&scene.data()), old);
    }
}

#[test]
fn after_a_kill_the_target_is_whole_and_the_next_run_cleans_up_and_says_so() {
    let Large { scene, _backups } = large("  overwrite: {confirm: [app.db]}\n  keepPrevious: 0s");
    scene.make_old();
    let old = super::sha256(&scene.target());
    let mut child = in_the_middle(&scene);
    send(&child, Signal::KILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(super::sha256(&scene.target()), old);
    let left = scene.files();
    assert!(left.iter().any(|name| name.ends_with(".shadow")), "{left:?}");
    scene.run(&["--plan"]).expect(0, &["a run that died left .app.db.reinstate-", "it will be removed"]);
    let shadows = |files: &[String]| files.iter().filter(|name| name.contains(".shadow")).count();
    assert_eq!(shadows(&scene.files()), shadows(&left), "a plan removes nothing");
    scene.run(&[]).expect(0, &["Restored demo", "a run that died left"]);
    assert_eq!(scene.files(), ["app.db"]);
}

#[test]
fn verify_and_extract_stop_at_a_signal_and_leave_nothing() {
    let Large { scene, _backups } = large("");
    let backup = scene.backups.join("large.db.zst");
    let folder = scene.folder.path().join("out");
    let sha256 = super::sha256(&backup);
    let child = command()
        .args(["extract", "--sha256", &sha256, "-d"])
        .args([&folder, &backup])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("it writes", || folder.is_dir() && !super::names(&folder).is_empty());
    send(&child, Signal::INT);
    Ended::of(child.wait_with_output().unwrap()).expect(30, &["Interrupted"]);
    assert_eq!(super::names(&folder), Vec::<String>::new());
    let paths = ["extract", "--sha256", &sha256, "-d", folder.to_str().unwrap(), backup.to_str().unwrap()];
    reinstate(&paths).expect(0, &["wrote "]);
}

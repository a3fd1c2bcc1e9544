//! A backup of some GiB restored by `reinstate run`: how much memory that takes, and which files grow.
//! Not part of a run without names: it takes minutes.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;

use crate::data::{Random, make_keys, root};
use crate::measure::{number, once, output, reinstate};
use crate::memory::written_files;
use crate::table::{Goal, Table};

/// What the runner may take beside the codec's window (8 MiB at zstd -3 and at brotli -q 5: 4 MiB).
const PROMISED_MIB: f64 = 96.0;

const MANIFESTS: &str = r"apiVersion: reinstate.dev/v1alpha1
kind: DatabaseRestore
metadata: {name: large}
spec:
  backup: {storageRef: {name: backups}, path: FILE}
  target: {connectionRef: {name: app}}
---
apiVersion: reinstate.dev/v1alpha1
kind: BackupStorage
metadata: {name: backups}
spec: {volume: {claimName: backups}}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: app}
spec: {engine: SQLite, sqlite: {claimName: target, path: app.db}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: key}
spec: {age: {identitySecretKeyRef: {name: key, key: identity}}}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {identity: IDENTITY}
";

/// A small and a large one, so that growth would show.
pub fn run(table: &mut Table) {
    let large = number("REINSTATE_BENCH_LARGE_MIB", 4096);
    let mut peaks = Vec::new();
    for mib in [large / 16, large] {
        let folder = root().join(format!("sqlite-{mib}-mib"));
        if !folder.join("sha256").is_file() {
            println!("making a SQLite backup of {mib} MiB …");
            make(&folder, mib);
        }
        peaks.push(restore(table, &folder, mib));
    }
    let ratio = peaks[1] / peaks[0];
    let figures = (format!("{:.1} MiB", peaks[1]), format!("{:.1} MiB", peaks[0]));
    table.add("large: peak, large by 1/16 of it", figures, ratio, Goal::AtMost(1.1));
}

fn make(folder: &Path, mib: usize) {
    make_keys(folder);
    write_database(&folder.join("app.db"), mib << 20);
    output(
        folder,
        "zstd -q -3 -f app.db && age -R recipient.txt -o app.db.zst.age app.db.zst && rm app.db.zst
         ls -l app.db* >&2
         sha256sum < app.db | cut -d' ' -f1 > sha256.new && rm app.db && mv sha256.new sha256",
    );
    let identity = output(folder, "grep AGE-SECRET-KEY identity.txt");
    let manifests = MANIFESTS.replace("FILE", "app.db.zst.age").replace("IDENTITY", identity.trim());
    std::fs::write(folder.join("restore.yaml"), manifests).unwrap();
}

fn write_database(path: &Path, bytes: usize) {
    let _ = std::fs::remove_file(path);
    let mut database = Connection::open(path).unwrap();
    database
        .execute_batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             CREATE TABLE events (id INTEGER PRIMARY KEY, ref TEXT NOT NULL, note TEXT NOT NULL);",
        )
        .unwrap();
    let (mut random, mut note, mut size) = (Random(0x1a46e), String::new(), 0);
    while size < bytes {
        let batch = database.transaction().unwrap();
        let mut insert = batch.prepare_cached("INSERT INTO events (ref, note) VALUES (?1, ?2)").unwrap();
        for _ in 0..20_000 {
            note.clear();
            for _ in 0..24 {
                let number = random.next();
                write!(note, "item {:x} of order {} was shipped; ", number >> 40, number & 0xfff).unwrap();
            }
            insert.execute((format!("{:016x}", random.next()), &note)).unwrap();
        }
        drop(insert);
        batch.commit().unwrap();
        size = usize::try_from(path.metadata().unwrap().len()).unwrap();
    }
}

fn restore(table: &mut Table, folder: &Path, mib: usize) -> f64 {
    println!("\nlarge: app.db.zst.age of {mib} MiB restored by `reinstate run`");
    let binary = reinstate("run").split(" --keys").next().unwrap().to_owned();
    let command = format!("{binary} -f restore.yaml --claim backups=. --claim target=target -o json");
    output(folder, "rm -rf target && mkdir target");
    let timed = once(folder, &format!("{command} >report.json"));
    let peak = timed.peak_mib.expect("the peak is told");
    println!(
        "  wall {:.1} s, CPU {:.1} s, peak {peak:.1} MiB, others {:.2} cores",
        timed.wall, timed.cpu, timed.others
    );
    println!("  {}", output(folder, "node -e \"const r = JSON.parse(require('fs').readFileSync('report.json')); console.log(r.outcome, JSON.stringify(r.stages))\"").trim());
    let equal = output(folder, "sha256sum <target/app.db | cut -d' ' -f1").trim()
        == std::fs::read_to_string(folder.join("sha256")).unwrap().trim();
    println!(
        "  the restored file is the one that was backed up: {equal}; left in the folder: {:?}",
        output(folder, "ls -A target").split_whitespace().collect::<Vec<_>>()
    );
    assert!(equal, "the restored file differs");
    output(folder, "rm -rf target && mkdir target");
    let touched = written_files(folder, &command);
    println!("  files made or written, by strace: {touched:?}");
    let elsewhere =
        touched.iter().filter(|path| !path.contains("/target/") && !path.starts_with("target")).count();
    table.add(
        &format!("large {mib} MiB: peak, MiB"),
        (format!("{peak:.1}"), format!("{PROMISED_MIB}")),
        peak,
        Goal::AtMost(PROMISED_MIB),
    );
    table.add(
        &format!("large {mib} MiB: files made or written outside of the target's folder"),
        (elsewhere.to_string(), "0".to_owned()),
        elsewhere as f64,
        Goal::AtMost(0.0),
    );
    output(folder, "rm -rf target");
    peak
}

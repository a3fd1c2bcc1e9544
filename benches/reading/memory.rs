//! G4 and G5: memory that does not grow with the backup, and no file but the target.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::{Data, Kinds, of_size, usual};
use crate::link::{Bucket, Link};
use crate::measure::{once, output, part, reinstate};
use crate::table::{Goal, Table};

/// How many times the large backup is the small one.
const GROWTH: usize = 4;
/// What a slow consumer takes: plain SQL into a database of two cores.
const SLOW_MB_PER_SECOND: usize = 60;

/// Peak memory of a small and a large backup: many connections to S3, one, and none.
pub fn g4(table: &mut Table) {
    let small = usual();
    let large = of_size(small.mib * GROWTH, Kinds::Age);
    println!("\nG4: peak memory at {} and {} MiB", small.mib, large.mib);
    for file in ["dump.sql.gz.age", "dump.sql.zst.age"] {
        let peak = |data: &Data, script: &str| {
            println!("  $ {script}");
            let peak = once(&data.folder, script).peak_mib.expect("the peak is told");
            println!("  {:>6} MiB decoded: peak {peak:.1} MiB", data.mib);
            peak
        };
        let both =
            |script: &dyn Fn(&Data) -> String| [peak(&small, &script(&small)), peak(&large, &script(&large))];
        let local = both(&|_| format!("{} >/dev/null", reinstate(&format!("verify {file}"))));
        rows(table, &format!("G4 {file} verify from a folder"), local, 48.0);
        let twice = both(&|_| format!("{} >/dev/null", reinstate(&format!("extract {file} -d -"))));
        rows(table, &format!("G4 {file} extract from a folder"), twice, 48.0);
        let bucket = Bucket::new();
        let limited = bucket.behind(&Link::like_s3());
        let many = both(&|data| {
            bucket.put_file(&data.folder.join(file), file);
            format!("{limited} {} >/dev/null", reinstate(&bucket.command("verify", file)))
        });
        rows(table, &format!("G4 {file} verify from S3, up to 8 connections"), many, 96.0);
        let direct = bucket.direct();
        let few = both(&|data| {
            bucket.put_file(&data.folder.join(file), file);
            let sip = part("sip", &SLOW_MB_PER_SECOND.to_string());
            format!("{direct} {} | {sip} 2>/dev/null", part("pipeline", &format!("s3:{file}")))
        });
        rows(table, &format!("G4 {file} one reading from S3, slow consumer"), few, 48.0);
    }
}

fn rows(table: &mut Table, what: &str, [small, large]: [f64; 2], limit: f64) {
    let most = small.max(large);
    table.add(
        &format!("{what}: peak, MiB"),
        (format!("{small:.1}"), format!("{large:.1}")),
        most,
        Goal::AtMost(limit),
    );
    table.add(
        &format!("{what}: large by small"),
        (format!("{large:.1}"), format!("{small:.1}")),
        large / small,
        Goal::AtMost(1.1),
    );
}

/// The files that reading a backup makes or opens for writing.
pub fn g5(table: &mut Table) {
    let data = usual();
    println!("\nG5: files that are made or written while dump.sql.gz.age is verified and extracted");
    for command in ["verify dump.sql.gz.age", "extract dump.sql.gz.age -d -"] {
        let touched = written_files(&data.folder, &reinstate(command));
        println!("  {command}: {touched:?}");
        table.add(
            &format!("G5 {command}: files made or written"),
            (touched.len().to_string(), "0".to_owned()),
            touched.len() as f64,
            Goal::AtMost(0.0),
        );
    }
}

/// The paths that `command` made, renamed to or opened for writing, by tracing its system calls.
/// Memory files count too: they could hold a backup.
pub fn written_files(folder: &Path, command: &str) -> BTreeSet<String> {
    const CALLS: &str = "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,memfd_create,truncate";
    let trace = folder.join("trace");
    output(
        folder,
        &format!(
            "strace -f --seccomp-bpf -qq -e signal=none -e trace={CALLS} -o {} {command} >{}",
            trace.display(),
            "/dev/null"
        ),
    );
    let text = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(&trace).unwrap();
    text.lines()
        .filter(|line| !line.contains("= -1 "))
        .filter(|line| {
            !line.contains("open")
                || ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE"].iter().any(|flag| line.contains(flag))
        })
        .filter_map(|line| Some(line.split('"').nth(1)?.to_owned()))
        .filter(|path| path != "/dev/null")
        .collect()
}

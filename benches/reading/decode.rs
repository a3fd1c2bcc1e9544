//! G1, G2, G3 and G10: decoding, from a file of this machine to a pipe.

use crate::data::{Data, usual};
use crate::measure::{interleave, output, part, reinstate};
use crate::table::{Goal, Table};

const SINK: &str = "| cat >/dev/null";

/// Every side must give the dump itself before its time counts.
fn check(data: &Data, pipelines: &[&str]) {
    for pipeline in pipelines {
        let found = output(&data.folder, &format!("{pipeline} 2>/dev/null | sha256sum | cut -d' ' -f1"));
        assert_eq!(found.trim(), data.sha256, "wrong bytes: {pipeline}");
    }
}

fn against_shell(
    table: &mut Table,
    goal: &str,
    theirs: &str,
    (file, once, twice): (&str, [Goal; 2], [Goal; 2]),
) {
    let data = usual();
    println!("\n{goal}: {file} of {} MiB decoded to a pipe", data.mib);
    let (pipeline, extract) = (part("pipeline", file), reinstate(&format!("extract {file} -d -")));
    check(&data, &[theirs, &pipeline, &extract]);
    let medians = interleave(
        &data.folder,
        &[
            ("theirs", format!("{theirs} {SINK}")),
            ("ours, one reading", format!("{pipeline} {SINK}")),
            ("ours, verify then extract", format!("{extract} {SINK}")),
            ("ours, verify alone", format!("{} >/dev/null", reinstate(&format!("verify {file}")))),
        ],
    );
    let short = |index: usize| (&medians[index], &medians[0]);
    table.compare(&format!("{goal} one reading"), short(1), (once[0], once[1]));
    table.compare(&format!("{goal} proven first (two readings)"), short(2), (twice[0], twice[1]));
    table.compare(&format!("{goal} verify alone (no output)"), short(3), (Goal::Told, Goal::Told));
}

/// gzip under age, against `age | gzip`.
pub fn g1(table: &mut Table) {
    let theirs = "age -d -i identity.txt dump.sql.gz.age | gzip -dc";
    let goals = [Goal::AtLeast(2.5), Goal::AtMost(0.5)];
    against_shell(table, "G1 gzip+age", theirs, ("dump.sql.gz.age", goals, [Goal::Told; 2]));
}

/// zstd under age, against `tee sha256sum | age | zstd`.
pub fn g2(table: &mut Table) {
    // A named pipe, so that the shell waits for sha256sum and counts it.
    let theirs =
        "rm -f p; mkfifo p; sha256sum <p >sum & tee p <dump.sql.zst.age | age -d -i identity.txt | zstd -dc";
    let goals = [Goal::AtLeast(1.4), Goal::AtMost(0.8)];
    against_shell(table, "G2 zstd+age", theirs, ("dump.sql.zst.age", goals, [Goal::Told; 2]));
}

/// AES-256-GCM over gzip and brotli, against a restore that stages every step in a file.
pub fn g3(table: &mut Table) {
    for (file, least) in [("dump.sql.gz.enc", 4.0), ("dump.sql.br.enc", 3.5)] {
        let data = usual();
        println!("\nG3: {file} of {} MiB decoded to a pipe", data.mib);
        let theirs = format!("node staged.js {file}");
        let (pipeline, extract) = (part("pipeline", file), reinstate(&format!("extract {file} -d -")));
        check(&data, &[&theirs, &pipeline, &extract]);
        let medians = interleave(
            &data.folder,
            &[
                ("Node, staged", format!("{theirs} {SINK}")),
                ("ours, one reading", format!("{pipeline} {SINK}")),
                ("ours, verify then extract", format!("{extract} {SINK}")),
            ],
        );
        let goals = (Goal::AtLeast(least), Goal::Told);
        table.compare(&format!("G3 {file} one reading"), (&medians[1], &medians[0]), goals);
        let told = (Goal::Told, Goal::Told);
        table.compare(&format!("G3 {file} proven first"), (&medians[2], &medians[0]), told);
    }
}

/// What proving an AES-256-GCM backup before its first byte is used costs.
pub fn g10(table: &mut Table) {
    let data = usual();
    println!("\nG10: reading dump.sql.gz.enc of {} MiB twice", data.mib);
    let file = "dump.sql.gz.enc";
    let medians = interleave(
        &data.folder,
        &[
            ("decode to nowhere", part("decode", file)),
            ("hash and tag alone", part("prove", file)),
            ("verify", format!("{} >/dev/null", reinstate(&format!("verify {file}")))),
            ("one reading", format!("{} {SINK}", part("pipeline", file))),
            ("verify then extract", format!("{} {SINK}", reinstate(&format!("extract {file} -d -")))),
        ],
    );
    let seconds = |a: f64, b: f64| (format!("{a:.2} s"), format!("{b:.2} s"));
    let [decode, prove, verify, once, twice] = [0, 1, 2, 3, 4].map(|index| medians[index].cpu);
    table.add(
        "G10 proof alone (hash and tag), share of one decoding's CPU",
        seconds(prove, decode),
        prove / decode,
        Goal::AtMost(0.25),
    );
    table.add(
        "G10 pass 1 with inventory and content hash, share of one decoding's CPU",
        seconds(verify, decode),
        verify / decode,
        Goal::Told,
    );
    table.add(
        "G10 both passes, share of one reading's CPU",
        seconds(twice, once),
        twice / once,
        Goal::AtMost(1.25),
    );
}

//! A restore into PostgreSQL beside `psql` and `pg_restore`.
//!
//! `cargo bench --bench loading -- [plain gzip custom small]` makes a database, dumps it, and restores the same
//! dump by turns with each program into a new database of the same server; it prints medians and ratios.
//! The server is that of the tests, with durable settings. `REINSTATE_BENCH_MIB` is the size of the dump.
#![expect(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a benchmark starts the tools it compares with, prints, and stops at the first surprise"
)]

mod data;
#[expect(dead_code, reason = "shared with the benchmark of the reading side, which uses more of it")]
#[path = "../reading/measure.rs"]
mod measure;
#[expect(dead_code, reason = "the servers are shared with the tests, which use more of them")]
#[path = "../../tests/it/parts/mod.rs"]
mod parts;
mod plot;
mod programs;
#[expect(dead_code, reason = "shared with the benchmark of the reading side, which uses more of it")]
#[path = "../reading/table.rs"]
mod table;
mod turns;

use data::Data;
use programs::{ours, pg_restore, pipeline, psql};
use table::{Goal, Table};
use turns::{Medians, Variant, take_turns};

/// Milliseconds that the far server's answers take longer.
const LATENCY: u32 = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let known = ["plain", "gzip", "custom", "small"];
    if let Some(unknown) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        eprintln!("{unknown} is no part; known are {}", known.join(", "));
        std::process::exit(2);
    }
    println!(
        "{}",
        measure::output(
            std::path::Path::new("/"),
            "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs; nproc; uname -r; cut -d' ' -f1-3 /proc/loadavg; date -u +%FT%RZ"
        )
    );
    let data = Data::new();
    let mut table = Table::default();
    let mut bars = Vec::new();
    for (part, run) in [
        ("plain", plain as fn(&Data, &mut Table) -> Medians),
        ("gzip", gzip),
        ("custom", custom),
        ("small", small),
    ] {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == part) {
            bars.push((part, run(&data, &mut table)));
        }
    }
    table.print();
    let file = data.folder.join("loading.svg");
    std::fs::write(&file, plot::bars(&bars)).unwrap();
    println!("\nplot: {}", file.display());
}

/// A plain dump.
fn plain(data: &Data, table: &mut Table) -> Medians {
    data.large();
    println!("\nplain: {} MiB", data.mib("large.sql"));
    let medians = take_turns(
        data,
        &[
            Variant::new("reinstate run", ours(data, "large.sql", false)),
            Variant::new("reinstate run, load alone", ours(data, "large.sql", true)),
            Variant::new("psql -f", psql(data, "large.sql")),
        ],
    );
    medians.compare(table, "plain", (0, 2), Goal::AtMost(0.7));
    medians.compare(table, "plain, load alone", (1, 2), Goal::Told);
    medians
}

/// The plain dump under gzip, which is what `pg_dump | gzip` leaves.
fn gzip(data: &Data, table: &mut Table) -> Medians {
    data.large();
    data.pack("large.sql");
    println!("\ngzip: {} MiB", data.mib("large.sql.gz"));
    let medians = take_turns(
        data,
        &[
            Variant::new("reinstate run", ours(data, "large.sql.gz", false)),
            Variant::new("gzip -dc | psql", pipeline(data, "large.sql.gz", false)),
            Variant::new("gzip -t, gzip -dc | psql", pipeline(data, "large.sql.gz", true)),
        ],
    );
    medians.compare(table, "gzip against gzip -dc | psql", (0, 1), Goal::Told);
    medians.compare_client(table, "gzip, proven first on both sides", (0, 2), Goal::AtMost(0.6));
    medians
}

/// A custom archive.
fn custom(data: &Data, table: &mut Table) -> Medians {
    data.large();
    println!("\ncustom: {} MiB", data.mib("large.dump"));
    let medians = take_turns(
        data,
        &[
            Variant::new("reinstate run", ours(data, "large.dump", false)),
            Variant::new("reinstate run, load alone", ours(data, "large.dump", true)),
            Variant::new("pg_restore", pg_restore(data, "large.dump", "")),
            Variant::new("pg_restore -j 2", pg_restore(data, "large.dump", "--jobs=2")),
        ],
    );
    medians.compare(table, "custom against pg_restore", (0, 2), Goal::Told);
    medians.compare(table, "custom against pg_restore -j 2", (0, 3), Goal::AtMost(1.0));
    medians.compare(table, "custom, load alone, against pg_restore -j 2", (1, 3), Goal::Told);
    medians
}

/// Many small objects, far away.
fn small(data: &Data, table: &mut Table) -> Medians {
    data.small();
    let far = data.behind(LATENCY);
    println!("\nsmall: 10,000 objects, answers {LATENCY} ms later");
    let medians = take_turns(
        &far,
        &[
            Variant::new("reinstate run", ours(&far, "small.dump", false)),
            Variant::new("pg_restore", pg_restore(&far, "small.dump", "")),
            Variant::new("pg_restore -j 2", pg_restore(&far, "small.dump", "--jobs=2")),
        ],
    );
    medians.compare(table, "small objects against pg_restore", (0, 1), Goal::AtMost(0.5));
    medians.compare(table, "small objects against pg_restore -j 2", (0, 2), Goal::Told);
    medians
}

//! The reading side of a restore beside the shell pipelines and clients that people use today.
//!
//! `cargo bench --bench reading -- [g1 g2 …]` makes its own data, runs whole processes in turns and
//! prints medians and their ratios. What is printed was measured now, on this machine; results with
//! their date lie in `docs/results`.
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

mod child;
mod data;
mod decode;
mod large;
mod link;
mod measure;
mod memory;
#[expect(dead_code, reason = "the servers are shared with the tests, which use more of them")]
#[path = "../../tests/it/parts/mod.rs"]
mod parts;
mod table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some((mode, rest)) = arguments.split_first()
        && mode == "child"
    {
        return child::run(rest);
    }
    let wanted = |goal: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == goal);
    let known = ["g1", "g2", "g3", "g4", "g5", "g6", "g10", "large"];
    if let Some(unknown) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        eprintln!("{unknown} is not a goal; known are {}", known.join(", "));
        std::process::exit(2);
    }
    println!("{}\n", measure::machine());
    let mut table = table::Table::default();
    for (goal, run) in [
        ("g1", decode::g1 as fn(&mut table::Table)),
        ("g2", decode::g2),
        ("g3", decode::g3),
        ("g4", memory::g4),
        ("g5", memory::g5),
        ("g6", link::g6),
        ("g10", decode::g10),
    ] {
        if wanted(goal) {
            run(&mut table);
        }
    }
    // Minutes long and some GiB of disk: only when it is asked for.
    if arguments.iter().any(|argument| argument == "large") {
        large::run(&mut table);
    }
    table.print();
}

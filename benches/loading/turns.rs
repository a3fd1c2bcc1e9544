//! Runs the variants by turns, each into a new database.

use crate::data::Data;
use crate::measure::{median, once, output, rounds};
use crate::table::{Goal, Table};

/// A program with its command.
pub struct Variant {
    name: &'static str,
    command: String,
}

impl Variant {
    pub const fn new(name: &'static str, command: String) -> Self {
        Self { name, command }
    }
}

/// The medians of one variant.
#[derive(Clone, Debug)]
pub struct Median {
    pub name: &'static str,
    /// Seconds.
    pub wall: f64,
    /// Seconds of the program.
    pub client: f64,
    /// Seconds of the server.
    pub server: f64,
}

/// The medians of all, in the order of the variants; and the ratios within each round.
pub struct Medians {
    pub all: Vec<Median>,
    walls: Vec<Vec<f64>>,
}

/// Runs the variants by turns, so that a slow minute of the machine meets all of them.
pub fn take_turns(data: &Data, variants: &[Variant]) -> Medians {
    for variant in variants {
        println!("  $ {}", variant.command);
    }
    let mut runs = vec![Vec::new(); variants.len()];
    for round in 0..=rounds() {
        for (index, variant) in variants.iter().enumerate() {
            let clean = format!(
                "{env} psql -X -q -d postgres -c 'drop database if exists restored' && {env} psql -X -q -d postgres -c 'select 1' >/dev/null",
                env = data.environment()
            );
            output(&data.folder, &clean);
            data.server.sql("postgres", "checkpoint");
            let before = data.server_seconds();
            let run = once(&data.folder, &variant.command);
            let server = data.server_seconds() - before;
            // The first round fills the page cache.
            if round > 0 {
                println!(
                    "  {:<28} wall {:7.2} s, client {:6.2} s, server {server:6.2} s, peak {:5.1} MiB",
                    variant.name,
                    run.wall,
                    run.cpu,
                    run.peak_mib.unwrap_or_default()
                );
                runs[index].push((run, server));
            }
        }
    }
    let all = variants.iter().zip(&runs).map(|(variant, runs)| Median {
        name: variant.name,
        wall: median(runs.iter().map(|(run, _)| run.wall)),
        client: median(runs.iter().map(|(run, _)| run.cpu)),
        server: median(runs.iter().map(|(_, server)| *server)),
    });
    let walls = runs.iter().map(|runs| runs.iter().map(|(run, _)| run.wall).collect()).collect();
    Medians { all: all.collect(), walls }
}

impl Medians {
    /// Our part of the CPU time of another program.
    pub fn compare_client(&self, table: &mut Table, what: &str, (ours, theirs): (usize, usize), goal: Goal) {
        let (ours, theirs) = (self.all[ours].client, self.all[theirs].client);
        let seconds = (format!("{ours:.2} s"), format!("{theirs:.2} s"));
        table.add(&format!("{what}: CPU of the client"), seconds, ours / theirs, goal);
    }

    /// Our part of the time of another: the median of the ratios within the rounds.
    pub fn compare(&self, table: &mut Table, what: &str, (ours, theirs): (usize, usize), goal: Goal) {
        let ratio =
            median(self.walls[ours].iter().zip(&self.walls[theirs]).map(|(ours, theirs)| ours / theirs));
        let (ours, theirs) = (&self.all[ours], &self.all[theirs]);
        let seconds = |ours: f64, theirs: f64| (format!("{ours:.2} s"), format!("{theirs:.2} s"));
        table.add(&format!("{what}: wall"), seconds(ours.wall, theirs.wall), ratio, goal);
        let (client, server) = (ours.client / theirs.client, ours.server / theirs.server);
        table.add(
            &format!("{what}: CPU of the client"),
            seconds(ours.client, theirs.client),
            client,
            Goal::Told,
        );
        table.add(
            &format!("{what}: CPU of the server"),
            seconds(ours.server, theirs.server),
            server,
            Goal::Told,
        );
    }
}

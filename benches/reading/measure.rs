//! Whole processes, timed: wall, CPU of everything they start, and how busy the machine was beside
//! them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for a machine that others keep busy.
const PATIENCE: Duration = Duration::from_secs(4);
/// Cores in use by others below which a run may start.
const QUIET_CORES: f64 = 0.3;

/// One run of a shell command.
#[derive(Clone, Debug)]
pub struct Run {
    /// Seconds.
    pub wall: f64,
    /// User and system seconds of all its processes.
    pub cpu: f64,
    /// Cores that others used meanwhile.
    pub others: f64,
    /// Peak resident memory of our process, if it took part, in MiB.
    pub peak_mib: Option<f64>,
}

/// The medians of several runs.
#[derive(Clone, Debug)]
pub struct Median {
    /// Seconds.
    pub wall: f64,
    /// Seconds.
    pub cpu: f64,
}

/// Runs of each variant after which their medians are compared.
pub fn rounds() -> usize {
    number("REINSTATE_BENCH_ROUNDS", 5)
}

/// A number from the environment.
pub fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Tells the peak of resident memory of the command behind it.
const PEAK: &str = "/usr/bin/time -f 'peak %M'";

/// A part of the reading side alone, as a process.
pub fn part(mode: &str, file: &str) -> String {
    format!("{PEAK} {} child {mode} {file}", std::env::current_exe().unwrap().display())
}

/// The `reinstate` binary, with the keys of the data.
pub fn reinstate(command: &str) -> String {
    format!("{PEAK} {} {command} --keys master.key --keys identity.txt", env!("CARGO_BIN_EXE_reinstate"))
}

/// Runs `script` in bash in `folder`; it must succeed.
pub fn once(folder: &Path, script: &str) -> Run {
    let before = busy_ticks();
    let start = Instant::now();
    let output = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; TIMEFORMAT='time %R %U %S'; time {{ {script}\n}}")])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let elapsed = start.elapsed().as_secs_f64();
    let busy = (busy_ticks() - before) as f64 / 100.0;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "failed: {script}\n{told}");
    let times = told.lines().rev().find_map(|line| line.strip_prefix("time ")).expect("bash tells the times");
    let times: Vec<f64> = times.split(' ').map(|field| field.parse().unwrap()).collect();
    let cpu = times[1] + times[2];
    let peak_mib =
        told.lines().find_map(|line| Some(line.strip_prefix("peak ")?.parse::<f64>().ok()? / 1024.0));
    Run { wall: times[0], cpu, others: ((busy - cpu) / elapsed).max(0.0), peak_mib }
}

/// What `script` writes to standard output.
pub fn output(folder: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {script}")])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "failed: {script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the scripts in turns, so that a slow minute of the machine meets all of them.
pub fn interleave(folder: &Path, variants: &[(&str, String)]) -> Vec<Median> {
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); variants.len()];
    for (_, script) in variants {
        println!("  $ {}", script.replace(PEAK, "").trim());
        // Page cache, binaries, lazy start.
        once(folder, script);
    }
    for _ in 0..rounds() {
        for (index, (_, script)) in variants.iter().enumerate() {
            settle();
            runs[index].push(once(folder, script));
        }
    }
    variants.iter().zip(runs).map(|((name, _), runs)| median_of(name, &runs)).collect()
}

fn median_of(name: &str, runs: &[Run]) -> Median {
    let wall = median(runs.iter().map(|run| run.wall));
    let cpu = median(runs.iter().map(|run| run.cpu));
    let peak = runs.iter().filter_map(|run| run.peak_mib).fold(0.0_f64, f64::max);
    let others = median(runs.iter().map(|run| run.others));
    let (least, most) =
        runs.iter().fold((f64::MAX, 0.0_f64), |(a, b), run| (a.min(run.wall), b.max(run.wall)));
    println!(
        "  {name:<34} wall {wall:6.3} s ({least:.3} to {most:.3}), CPU {cpu:6.3} s, peak {peak:5.1} MiB, others {others:.2} cores"
    );
    Median { wall, cpu }
}

/// The middle value.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Waits for others to be quiet, but not for ever.
fn settle() {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let (before, from) = (busy_ticks(), Instant::now());
        std::thread::sleep(Duration::from_millis(250));
        let cores = (busy_ticks() - before) as f64 / 100.0 / from.elapsed().as_secs_f64();
        if cores < QUIET_CORES {
            return;
        }
    }
}

/// Ticks (1/100 s) that all cores of the machine were not idle.
fn busy_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<u64> =
        stat.lines().next().unwrap().split_whitespace().skip(1).map(|field| field.parse().unwrap()).collect();
    // user, nice, system, irq, softirq, steal; not idle and iowait, and guest is in user.
    fields[0] + fields[1] + fields[2] + fields[5] + fields[6] + fields[7]
}

/// The machine and the tools, for the head of the report.
pub fn machine() -> String {
    output(
        Path::new("/"),
        r#"echo "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs), $(nproc) cores, Linux $(uname -r), load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u +%FT%RZ)"
echo "age $(age --version), $(gzip --version | head -1), $(zstd --version | grep -o 'v[0-9.]*'), $(brotli --version), Node $(node --version)""#,
    )
}

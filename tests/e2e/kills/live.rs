//! The life of one restore: what a person does to it, what is killed meanwhile, until its end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use reinstate::api::DatabaseRestore;
use reinstate::api::restore::RestoreStatus;
use reinstate::api::restore::status::Phase;
use rustix::process::{Pid, Signal, kill_process};

use super::bench::{Bench, Case, Kill, Life};
use crate::harness::{PATIENCE, Process, operator};

/// How a life ended.
pub(super) struct Ended {
    /// `None`: the object is gone.
    pub(super) status: Option<RestoreStatus>,
    /// What was killed, and where.
    pub(super) killed: Option<String>,
    pub(super) span: Duration,
    /// How long each runner's process lived, where that was watched.
    pub(super) runners: Vec<Duration>,
    /// What the operators said.
    pub(super) log: String,
}

impl Ended {
    /// The status as it stands on the cluster.
    pub(super) fn told(&self) -> String {
        serde_json::to_string_pretty(&self.status).unwrap()
    }
}

pub(super) struct Live<'a> {
    bench: &'a Bench<'a>,
    case: Case,
    number: usize,
    name: String,
    operator: Process,
    begun: Instant,
    /// Since when the Job is recorded.
    recorded: Option<Instant>,
    is_nudged: bool,
    killed: Option<String>,
    runners: Option<Runners>,
    log: String,
}

impl<'a> Live<'a> {
    /// Starts an operator behind the proxy and creates the restore.
    pub(super) fn begin(bench: &'a Bench<'a>, case: Case, number: usize) -> Self {
        let name = format!("r{number}");
        let operator = operator::run(&bench.proxied, &bench.arguments);
        let step = match case.kill {
            Kill::Step(number, side) => Some((number, side)),
            Kill::Nothing | Kill::Operator(..) | Kill::Runner(..) => None,
        };
        bench.proxy.watch(operator.id(), step);
        let runners = match case.kill {
            Kill::Runner(which, moment) => {
                Some(Runners::watch(bench.scene.volume.path(""), Some((which, moment))))
            }
            Kill::Nothing => Some(Runners::watch(bench.scene.volume.path(""), None)),
            Kill::Step(..) | Kill::Operator(..) => None,
        };
        let confirm = match case.life {
            Life::Create | Life::Ask => String::new(),
            Life::Replace | Life::Hold | Life::Cancel | Life::Delete => {
                format!("overwrite: {{confirm: [{name}.db]}}")
            }
        };
        // With an operator that is away, the Job may be gone before its journal was read.
        let ttl = if matches!(case.kill, Kill::Operator(..)) { "jobTTL: 1s" } else { "jobTTL: 1h" };
        let switch = if case.life == Life::Hold { "switch: Hold" } else { "switch: Auto" };
        bench.scene.restore(
            &name,
            &format!(
                "backup: {{storageRef: {{name: backups}}, path: new.db, allowUnproven: true}}\n\
                 target: {{connectionRef: {{name: {name}}}}}\n{ttl}\n{switch}\n{confirm}"
            ),
        );
        let begun = Instant::now();
        let (recorded, is_nudged, killed, log) = (None, false, None, String::new());
        Self { bench, case, number, name, operator, begun, recorded, is_nudged, killed, runners, log }
    }

    /// Follows it to its end: the verdict is there and everything is put away, or the object is gone.
    pub(super) fn follow(mut self) -> Ended {
        let status = loop {
            self.kill_where_due();
            let restore: Option<DatabaseRestore> = self.bench.scene.namespace.get(&self.name);
            match restore {
                None if self.case.life == Life::Delete => break None,
                None => panic!("{} is gone", self.name),
                Some(restore) => {
                    let status = restore.status.clone().unwrap_or_default();
                    let is_over = status.completion_time.is_some() && restore.finalizers().is_empty();
                    if is_over && self.case.life != Life::Delete {
                        break Some(status);
                    }
                    self.nudge(&status);
                    assert!(
                        self.begun.elapsed() < PATIENCE,
                        "no end of {:?}, killed {:?}: {}\n{}{}",
                        self.case,
                        self.killed,
                        serde_json::to_string_pretty(&restore).unwrap(),
                        self.log,
                        self.operator.log()
                    );
                }
            }
            sleep(Duration::from_millis(20));
        };
        let span = self.begun.elapsed();
        let seen = self.runners.take().map(Runners::end).unwrap_or_default();
        self.log.push_str(&self.operator.log());
        let shot = seen.shot.map(|at| format!("runner {} after {at:?}", seen.spans.len()));
        Ended { status, killed: self.killed.or(shot), span, runners: seen.spans, log: self.log }
    }

    /// Sees to it that an operator is killed, and that there is one again.
    fn kill_where_due(&mut self) {
        if self.killed.is_some() {
            return;
        }
        self.killed = match self.case.kill {
            Kill::Nothing | Kill::Runner(..) => None,
            Kill::Step(number, side) => {
                self.bench.proxy.killed().map(|write| format!("operator {side:?} write {number}, {write}"))
            }
            Kill::Operator(moment, _) => {
                (self.begun.elapsed() >= moment).then(|| format!("operator after {:?}", self.begun.elapsed()))
            }
        };
        if self.killed.is_some() {
            self.operator.kill();
            if let Kill::Operator(_, away) = self.case.kill {
                sleep(away);
            }
            self.log.push_str(&self.operator.log());
            self.log.push_str("--- killed; the next one:\n");
            self.operator = operator::run(&self.bench.direct, &self.bench.arguments);
        }
    }

    /// Does once what a person does in this life.
    fn nudge(&mut self, status: &RestoreStatus) {
        let is_recorded = status.attempts.first().is_some_and(|attempt| attempt.job_uid.is_some());
        if is_recorded && self.recorded.is_none() {
            self.recorded = Some(Instant::now());
        }
        // Before the pod starts, while it does, while it works.
        let pause = Duration::from_millis(900) * u32::try_from(self.number % 3).unwrap();
        let is_time = self.recorded.is_some_and(|since| since.elapsed() >= pause);
        let is_due = match self.case.life {
            Life::Create | Life::Replace => false,
            Life::Ask => status.phase == Some(Phase::AwaitingConfirmation),
            Life::Hold => status.phase == Some(Phase::Holding),
            Life::Cancel | Life::Delete => is_time || status.completion_time.is_some(),
        };
        if !is_due || self.is_nudged {
            return;
        }
        self.is_nudged = true;
        let scene = &self.bench.scene;
        match self.case.life {
            Life::Create | Life::Replace => {}
            Life::Ask => {
                scene.change(&self.name, &format!(r#"{{"overwrite": {{"confirm": ["{}.db"]}}}}"#, self.name));
            }
            Life::Hold => scene.change(&self.name, r#"{"switch": "Auto"}"#),
            Life::Cancel => scene.change(&self.name, r#"{"cancel": true}"#),
            Life::Delete => {
                scene.namespace.kubectl(&["delete", "dbr", &self.name, "--wait=false"]).expect(0, &[]);
            }
        }
    }
}

/// Watches for the runners that have a volume, one after the other, and kills one where that is wanted.
struct Runners {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen of them.
#[derive(Default)]
struct Seen {
    spans: Vec<Duration>,
    /// How long the last one had run when it was killed; it is the last that was looked for.
    shot: Option<Duration>,
}

impl Runners {
    fn watch(volume: PathBuf, kill: Option<(usize, Duration)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            let (mut known, mut seen) = (HashMap::new(), Seen::default());
            while !stopped.load(Ordering::Relaxed) && seen.shot.is_none() {
                if let Some(runner) = find(&volume, &mut known) {
                    let moment =
                        kill.filter(|(which, _)| *which == seen.spans.len()).map(|(_, moment)| moment);
                    let (span, shot) = hunt(runner, moment);
                    seen.spans.push(span);
                    seen.shot = shot;
                }
                sleep(Duration::from_millis(4));
            }
            seen
        });
        Self { stop, thread }
    }

    fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The runner's process whose target is in `volume`. A process that is old was looked at often enough.
fn find(volume: &Path, known: &mut HashMap<i32, Instant>) -> Option<i32> {
    let all = Path::new("/proc").read_dir().unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers {
        let since = known.entry(number).or_insert_with(Instant::now);
        if since.elapsed() > Duration::from_secs(5) {
            continue;
        }
        let folder = Path::new("/proc").join(number.to_string());
        let command = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let mounts = || std::fs::read_to_string(folder.join("mountinfo")).unwrap_or_default();
        let volume = volume.file_name().unwrap().to_str().unwrap();
        if command == b"/reinstate\0runner\0" && mounts().contains(volume) {
            return Some(number);
        }
    }
    None
}

/// Waits for the end of a runner, and sees to it where that is wanted: how long it lived, and when it was
/// killed.
fn hunt(runner: i32, moment: Option<Duration>) -> (Duration, Option<Duration>) {
    let begun = Instant::now();
    let is_alive = || Path::new("/proc").join(runner.to_string()).exists();
    let mut shot = None;
    while is_alive() {
        if shot.is_none() && moment.is_some_and(|moment| begun.elapsed() >= moment) {
            let killed = kill_process(Pid::from_raw(runner).unwrap(), Signal::KILL);
            shot = killed.is_ok().then(|| begun.elapsed());
        }
        sleep(Duration::from_micros(500));
    }
    (begun.elapsed(), shot)
}

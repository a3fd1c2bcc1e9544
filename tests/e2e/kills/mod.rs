//! `kill -9` of the operator at each of its writes and at any moment, and of the runner at any moment:
//! never a second write, never a verdict that the target contradicts, never a missing verdict.
//!
//! Every run takes a sample of the moments; the environment asks for more:
//!
//! | environment | meaning |
//! |---|---|
//! | `REINSTATE_SOAK_STEPS` | writes of the operator at which it is killed, in each kind of run; from the number that there are on, all, on both sides |
//! | `REINSTATE_SOAK_OPERATOR_KILLS` | random moments at which the operator is killed |
//! | `REINSTATE_SOAK_RUNNER_KILLS` | random moments at which the runner is killed |

mod bench;
mod judge;
mod live;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::harness::proxy::Side;
use crate::harness::target::Start;
use crate::harness::{Namespace, cluster};
use crate::support::{Seeded, count};
use bench::{Bench, Case, Done, Kill, Life};

/// Runs at the same time, each in a namespace of its own.
const WORKERS: usize = 3;

/// Makes as many namespaces as are wanted and hands them to `test`.
fn with_benches(name: &str, test: impl FnOnce(&[Bench<'_>])) {
    let namespaces: Vec<Namespace> = (0..WORKERS).map(|_| Namespace::new(name)).collect();
    let benches: Vec<Bench<'_>> = namespaces.iter().map(Bench::new).collect();
    test(&benches);
}

/// After so many further runs each one is looked at once more.
const LATER: usize = 3;

/// Runs all cases, and later looks once more at each. A case that fails does not stop the others.
fn run_all(benches: &[Bench<'_>], cases: Vec<Case>) -> Vec<Done> {
    let total = cases.len();
    let cases = Mutex::new(cases.into_iter().rev().collect::<Vec<_>>());
    let all = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for bench in benches {
            let (cases, all) = (&cases, &all);
            scope.spawn(move || {
                // Takes this thread into the cluster's network.
                cluster();
                let (mut fresh, mut mine) = (VecDeque::new(), Vec::new());
                loop {
                    let next = cases.lock().unwrap().pop();
                    fresh.extend(
                        next.and_then(|case| catch_unwind(AssertUnwindSafe(|| bench.run(case))).ok()),
                    );
                    if next.is_none() || fresh.len() > LATER {
                        let Some(done) = fresh.pop_front() else { break };
                        let same = catch_unwind(AssertUnwindSafe(|| bench.look_again(&done)));
                        bench.forget(&done);
                        tell(&done);
                        mine.extend(same.is_ok().then_some(done));
                    }
                }
                all.lock().unwrap().extend(mine);
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert_eq!(all.len(), total, "what the others did wrong is told above");
    all
}

fn tell(done: &Done) {
    let killed = done.killed.as_deref().unwrap_or("nothing killed");
    println!("{:?} {:?}: {killed}: {}, {:?}", done.case.life, done.case.start, done.end, done.span);
}

/// What is there at first, in turn.
fn start_of(life: Life, number: usize) -> Start {
    match life {
        Life::Create => Start::Absent,
        _ if number.is_multiple_of(2) => Start::Rollback,
        _ => Start::Wal,
    }
}

/// The shortest of so many undisturbed runs of each life; the first of all is the longest.
fn measured(benches: &[Bench<'_>], lives: &[Life], times: usize) -> Vec<Done> {
    let all = lives.iter().cycle().take(lives.len() * times);
    let cases = all.map(|life| Case { life: *life, start: start_of(*life, 0), kill: Kill::Nothing });
    let mut done = run_all(benches, cases.collect());
    done.sort_by_key(|done| (lives.iter().position(|life| *life == done.case.life), done.span));
    done.dedup_by_key(|done| done.case.life);
    done
}

#[test]
fn an_operator_killed_at_a_write_is_followed_by_one_that_ends_the_run_as_it_would_have_ended() {
    const LIVES: [Life; 5] = [Life::Create, Life::Ask, Life::Hold, Life::Cancel, Life::Delete];
    with_benches("steps", |benches| {
        let (mut seeded, mut cases) = (Seeded(4), Vec::new());
        for done in measured(benches, &LIVES, 1) {
            println!("{:?} writes {:#?}", done.case.life, done.writes);
            let life = done.case.life;
            let sides = [Side::Before, Side::After];
            let mut all: Vec<(usize, Side)> =
                (1..=done.writes.len()).flat_map(|write| sides.map(|side| (write, side))).collect();
            let wanted = count("REINSTATE_SOAK_STEPS", 2);
            while wanted < done.writes.len() && all.len() > wanted {
                all.swap_remove(seeded.below(all.len()));
            }
            cases.extend(all.into_iter().enumerate().map(|(number, (write, side))| Case {
                life,
                start: start_of(life, number / 2 + number),
                kill: Kill::Step(write, side),
            }));
        }
        let done = run_all(benches, cases);
        let killed = done.iter().filter(|done| done.killed.is_some()).count();
        println!("{killed} of {} operators were killed at a write", done.len());
        assert!(killed * 10 >= done.len() * 8, "most of the writes come in every run");
    });
}

/// Runs cases of each life in turn until as many were killed as are wanted; `kill` chooses the moment.
fn at_random(
    benches: &[Bench<'_>],
    lives: &[Done],
    wanted: usize,
    mut kill: impl FnMut(&Done, usize) -> Kill,
) {
    let (mut killed, mut runs) = (0, 0);
    while killed < wanted {
        assert!(runs < 10 * wanted, "most runs end before they are hit");
        let cases = (runs..runs + wanted - killed).map(|number| {
            let (life, round) = (&lives[number % lives.len()], number / lives.len());
            Case { life: life.case.life, start: start_of(life.case.life, round), kill: kill(life, round) }
        });
        let done = run_all(benches, cases.collect());
        runs += done.len();
        killed += done.iter().filter(|done| done.killed.is_some()).count();
    }
    println!("killed {killed} in {runs} runs");
}

/// A moment within `span`.
fn moment(seeded: &mut Seeded, span: Duration) -> Duration {
    span * u32::try_from(seeded.below(1000)).unwrap() / 1000
}

#[test]
fn an_operator_killed_at_any_moment_is_followed_by_one_that_ends_the_run_as_it_would_have_ended() {
    with_benches("moments", |benches| {
        let wanted = count("REINSTATE_SOAK_OPERATOR_KILLS", 3);
        let lives =
            measured(benches, &[Life::Create, Life::Ask, Life::Hold], if wanted > 10 { 3 } else { 1 });
        let mut seeded = Seeded(5);
        let kill = |life: &Done, _| {
            // Back at once, or after the run and its Job may have ended.
            let away = Duration::from_secs(5) * u32::from(seeded.below(2) == 1);
            Kill::Operator(moment(&mut seeded, life.span), away)
        };
        at_random(benches, &lives, wanted, kill);
    });
}

#[test]
fn a_runner_killed_at_any_moment_leaves_a_verdict_that_the_target_does_not_contradict() {
    if cluster().node().is_none() {
        println!("nothing was killed: the processes of this cluster's node are not ours");
        return;
    }
    with_benches("runner", |benches| {
        let wanted = count("REINSTATE_SOAK_RUNNER_KILLS", 3);
        let lives =
            measured(benches, &[Life::Create, Life::Replace, Life::Hold], if wanted > 10 { 3 } else { 1 });
        let mut seeded = Seeded(6);
        let kill = |life: &Done, round| {
            // The one that loads, and where there is one, the one that only switches.
            let which = (round / 2) % life.runners.len();
            Kill::Runner(which, moment(&mut seeded, life.runners[which]))
        };
        at_random(benches, &lives, wanted, kill);
    });
}

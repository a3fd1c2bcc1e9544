//! The state machine as tables: what is observed, and what is said and done.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Command, Decision, Resolved, decide};
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::status::{Attempt, Truth};
use crate::api::{BackupStorage, DatabaseConnection};
use crate::journal::{self, Entry};
use crate::operator::names::FINALIZER_RUN;
use crate::operator::queue::Queue;
use crate::operator::test_support;
use crate::operator::view::{Container, Job, JobFacts, Load, Place, Pod, View};
use crate::plan::{Objects, Problem, resolve};
use crate::reason::Reason;
use crate::report::{FailureReport, Outcome, RestoreReport, TargetModified};

pub(super) fn now() -> Timestamp {
    "2026-11-24T00:10:00Z".parse().unwrap()
}

fn object<T: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &serde_json::Value) -> T {
    let object = serde_json::json!({
        "apiVersion": "reinstate.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": 1}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

pub(super) fn resolved(restore: &DatabaseRestore) -> Result<Resolved, Vec<Problem>> {
    let connection: DatabaseConnection = object(
        "DatabaseConnection",
        "app",
        &serde_json::json!({"engine": "SQLite", "sqlite": {"claimName": "data", "path": "app.db"}}),
    );
    let storage: BackupStorage =
        object("BackupStorage", "backups", &serde_json::json!({"volume": {"claimName": "backups"}}));
    let objects =
        Objects { storages: vec![storage], connections: vec![connection.clone()], profiles: vec![] };
    let plan = resolve(restore, &objects)?;
    let queue = Queue::of(&plan, Some(&connection));
    Ok(Resolved { plan, queue })
}

fn restore() -> DatabaseRestore {
    test_support::restore("r", "u1")
}

pub(super) fn attempt(uid: Option<&str>) -> Attempt {
    Attempt {
        number: 1,
        job_name: "r-job".into(),
        job_uid: uid.map(str::to_owned),
        start_time: Some(Time(now())),
        completion_time: None,
        outcome: None,
        reason: None,
        touched: None,
    }
}

fn ended(outcome: &str, reason: &str, touched: Truth) -> Attempt {
    Attempt {
        completion_time: Some(Time(now())),
        outcome: Some(outcome.into()),
        reason: Some(reason.into()),
        touched: Some(touched),
        ..attempt(Some("j1"))
    }
}

pub(super) fn with(attempts: Vec<Attempt>) -> DatabaseRestore {
    let mut restore = restore();
    restore.metadata.finalizers = Some(vec![FINALIZER_RUN.into()]);
    restore.status = Some(RestoreStatus { observed_generation: 1, attempts, ..RestoreStatus::default() });
    restore
}

pub(super) fn job(facts: JobFacts) -> Job {
    Job::There(JobFacts { uid: "j1".into(), start_time: Some(now()), ..facts })
}

pub(super) fn run(restore: &DatabaseRestore, view: &View) -> Decision {
    decide(restore, &resolved(restore), view, now())
}

pub(super) fn ready(decision: &Decision) -> (String, String) {
    let ready = decision.status.conditions.iter().find(|it| it.type_ == "Ready").unwrap();
    (ready.status.clone(), ready.reason.clone())
}

pub(super) fn says(decision: &Decision, kind: &str) -> Option<String> {
    decision.status.conditions.iter().find(|it| it.type_ == kind).map(|it| it.status.clone())
}

/// A pod that has ended with this journal.
pub(super) fn over(entries: &[Entry], reason: &str, code: i32) -> Pod {
    let text: Vec<u8> = entries.iter().flat_map(journal::line).collect();
    Pod {
        name: "p".into(),
        uid: "p1".into(),
        is_kept: true,
        is_terminal: true,
        container: Container::Ended {
            code,
            reason: reason.into(),
            journal: String::from_utf8(text).unwrap(),
        },
        ..Pod::default()
    }
}

fn entry(touched: TargetModified, verdict: Option<RestoreReport>) -> Entry {
    Entry { uid: "u1".into(), attempt: 1, touched, verdict }
}

pub(super) fn verdict(outcome: Outcome, touched: TargetModified, reason: Option<Reason>) -> Entry {
    let mut report = RestoreReport::begun("ns", "r", now());
    report.outcome = outcome;
    report.target_modified = touched;
    report.failure = reason.map(|reason| FailureReport {
        stage: "Restore".into(),
        reason,
        message: "it failed".into(),
        engine_error: None,
        hint: reason.hint().into(),
        retryable: reason.is_retryable(),
    });
    entry(touched, Some(report))
}

#[test]
fn a_start_goes_through_its_steps_in_this_order_and_each_is_recorded_first() {
    let queue = resolved(&restore()).unwrap().queue.unwrap();
    let free = run(&restore(), &View { place: Place::Free, ..View::default() });
    assert_eq!(free.commands, [Command::TakePlace(queue)]);
    assert!(free.status.attempts.is_empty());

    let held = View { place: Place::Held, ..View::default() };
    let begun = run(&restore(), &held);
    assert_eq!(begun.commands, [Command::Mark], "the attempt is recorded before anything is made");
    assert_eq!(begun.status.attempts.len(), 1);

    let create = run(&with(vec![attempt(None)]), &View { job: Job::Missing, ..held.clone() });
    assert_eq!(create.commands, [Command::CreateJob]);

    let suspended = job(JobFacts { suspended: true, ..JobFacts::default() });
    let record = run(&with(vec![attempt(None)]), &View { job: suspended.clone(), ..held.clone() });
    assert_eq!(record.commands, [Command::Unsuspend("j1".into())]);
    assert_eq!(
        record.status.attempts[0].job_uid.as_deref(),
        Some("j1"),
        "its uid is recorded before it may run"
    );

    let again = run(&with(vec![attempt(Some("j1"))]), &View { job: suspended, ..held });
    assert_eq!(again.commands, [Command::Unsuspend("j1".into())]);
}

#[test]
fn a_recorded_job_that_is_gone_is_never_made_again() {
    for job in
        [Job::Missing, Job::Foreign, Job::There(JobFacts { uid: "another".into(), ..JobFacts::default() })]
    {
        let decision = run(&with(vec![attempt(Some("j1"))]), &View { job: job.clone(), ..View::default() });
        assert!(!decision.commands.contains(&Command::CreateJob), "{job:?}");
        assert_eq!(ready(&decision), ("False".into(), "RunnerLost".into()), "{job:?}");
        assert_eq!(says(&decision, "TargetModified").unwrap(), "Unknown", "{job:?}");
    }
}

#[test]
fn the_end_of_an_attempt_is_what_its_journal_says() {
    use TargetModified::{False, True, Unknown};
    let not_retried = |restore: &mut DatabaseRestore| restore.spec.retries = 0;
    for (pod, expected_ready, modified) in [
        (
            over(&[entry(False, None), verdict(Outcome::Restored, True, None)], "Completed", 0),
            ("True", "Restored"),
            "True",
        ),
        (over(&[verdict(Outcome::Restored, False, None)], "Completed", 0), ("True", "Restored"), "False"),
        (
            over(&[verdict(Outcome::Failed, False, Some(Reason::NoRoom))], "Error", 11),
            ("False", "NoRoom"),
            "False",
        ),
        (
            over(&[verdict(Outcome::Failed, True, Some(Reason::RestoreFailed))], "Error", 20),
            ("False", "RestoreFailed"),
            "True",
        ),
        (
            over(&[verdict(Outcome::Failed, False, Some(Reason::Interrupted))], "Error", 30),
            ("False", "Interrupted"),
            "False",
        ),
        (over(&[entry(False, None)], "OOMKilled", 137), ("False", "OutOfMemory"), "False"),
        (over(&[entry(False, None), entry(True, None)], "OOMKilled", 137), ("False", "OutOfMemory"), "True"),
        (over(&[entry(False, None), entry(Unknown, None)], "Error", 137), ("False", "RunnerLost"), "Unknown"),
        (over(&[], "Error", 137), ("False", "RunnerLost"), "Unknown"),
        (over(&[], "StartError", 128), ("False", "ContainerNotStarted"), "False"),
        (over(&[], "Completed", 0), ("False", "RunnerLost"), "Unknown"),
    ] {
        let mut restore = with(vec![attempt(Some("j1"))]);
        not_retried(&mut restore);
        let view = View {
            job: job(JobFacts::default()),
            pods: vec![pod.clone()],
            place: Place::Held,
            ..View::default()
        };
        let decision = run(&restore, &view);
        let (status, reason) = ready(&decision);
        assert_eq!((status.as_str(), reason.as_str()), expected_ready, "{pod:?}");
        assert_eq!(says(&decision, "TargetModified").unwrap(), modified, "{pod:?}");
        assert!(decision.status.completion_time.is_some(), "{pod:?}");
        assert_eq!(
            decision.commands.first(),
            Some(&Command::ReleasePod { name: "p".into(), uid: "p1".into() })
        );
        assert_eq!(decision.commands.last(), Some(&Command::Unmark));
    }
}

#[test]
fn only_an_untouched_attempt_with_a_retryable_reason_is_retried() {
    for (reason, touched, earlier, expected) in [
        (Reason::SourceUnavailable, Truth::False, 0, true),
        (Reason::SourceUnavailable, Truth::False, 2, false),
        (Reason::SourceUnavailable, Truth::True, 0, false),
        (Reason::SourceUnavailable, Truth::Unknown, 0, false),
        (Reason::ChecksumMismatch, Truth::False, 0, false),
        (Reason::SecretMissing, Truth::False, 5, true),
        (Reason::TargetLocked, Truth::False, 5, true),
        (Reason::TargetLocked, Truth::Unknown, 0, false),
    ] {
        let attempts = vec![ended("Failed", reason.name(), touched); earlier + 1];
        let decision = run(&with(attempts), &View { place: Place::Held, ..View::default() });
        assert_eq!(decision.status.completion_time.is_none(), expected, "{reason} {touched:?} {earlier}");
        assert!(decision.commands.iter().any(|it| matches!(it, Command::FreePlace { .. })), "{reason}");
    }
}

#[test]
fn what_holds_the_start_is_said_and_starts_nothing() {
    type Change = fn(&mut DatabaseRestore);
    let taken = || Place::Taken { by: "ns/other".into() };
    let full = Load { all: 3, here: 1, limit_all: 3, limit_here: 0 };
    let none = Load::default();
    let cases: [(Change, Place, Load, &str, &str); 6] = [
        (|it| it.spec.suspend = true, Place::Free, none, "Suspended", "Suspended"),
        (|it| it.spec.cancel = true, Place::Free, none, "Cancelled", "Cancelled"),
        (|_| {}, taken(), none, "WaitingForTarget", "WaitingForTarget"),
        (|_| {}, Place::Free, full, "Pending", "ConcurrencyLimit"),
        (
            |it| it.spec.backup.storage_ref.name = "gone".into(),
            Place::Free,
            none,
            "Pending",
            "ReferenceNotFound",
        ),
        (
            |it| it.spec.starting_deadline = "5m".parse().unwrap(),
            Place::Free,
            none,
            "Failed",
            "StartingDeadlineExceeded",
        ),
    ];
    for (change, place, load, phase, reason) in cases {
        let mut restore = restore();
        change(&mut restore);
        let decision = run(&restore, &View { place, load, ..View::default() });
        assert_eq!(format!("{:?}", decision.status.phase.unwrap()), phase);
        assert_eq!(ready(&decision).1, reason);
        assert!(decision.status.attempts.is_empty() && decision.commands.is_empty(), "{reason}");
    }
}

#[test]
fn a_run_is_stopped_by_suspending_its_job_and_ends_by_its_journal() {
    let mut restore = with(vec![attempt(Some("j1"))]);
    restore.spec.cancel = true;
    let alive = Pod { name: "p".into(), container: Container::Running, ..Pod::default() };
    let running = View { job: job(JobFacts::default()), pods: vec![alive], ..View::default() };
    assert_eq!(run(&restore, &running).commands, [Command::Suspend("j1".into())]);

    let pod =
        over(&[verdict(Outcome::Failed, TargetModified::False, Some(Reason::Interrupted))], "Error", 30);
    let stopped = View { pods: vec![pod], ..running.clone() };
    let decision = run(&restore, &stopped);
    assert_eq!(ready(&decision), ("False".into(), "Cancelled".into()));
    assert_eq!(format!("{:?}", decision.status.phase.unwrap()), "Cancelled");

    let idle = job(JobFacts { suspended: true, is_idle: true, ..JobFacts::default() });
    let never = run(&restore, &View { job: idle, ..View::default() });
    assert_eq!(says(&never, "TargetModified").unwrap(), "False");
    assert!(never.commands.contains(&Command::DeleteJob("j1".into())), "{:?}", never.commands);

    restore.spec.cancel = false;
    restore.metadata.deletion_timestamp = Some(Time(now()));
    assert_eq!(run(&restore, &running).commands, [Command::Suspend("j1".into())]);
    let gone = run(&restore, &stopped);
    assert_eq!(gone.commands.last(), Some(&Command::Unmark), "the object may go when its pod is over");
}

#[test]
fn a_missing_secret_is_waited_for_and_then_a_person_is_asked() {
    let mut restore = with(vec![ended("Failed", "SecretMissing", Truth::False); 4]);
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let attempts = &mut restore.status.as_mut().unwrap().attempts;
    for (attempt, end) in attempts.iter_mut().zip(["00:08:30", "00:08:40", "00:09:00", "00:09:50"]) {
        attempt.completion_time = Some(Time(at(&format!("2026-11-24T{end}Z"))));
    }
    // The next attempt is due at 00:11:10, but a person shall hear of it two minutes after the first.
    let early = run(&restore, &View::default());
    assert_eq!(says(&early, "Stalled"), None);
    assert_eq!(early.again.unwrap().as_secs(), 30);
    let late = decide(&restore, &resolved(&restore), &View::default(), at("2026-11-24T00:10:30Z"));
    assert_eq!(says(&late, "Stalled").unwrap(), "True");
    assert_eq!(late.again.unwrap().as_secs(), 40);
    // Each of these attempts says the same: their Jobs are not kept for long.
    let view = View { job: job(JobFacts { complete: true, ..JobFacts::default() }), ..View::default() };
    let put_away = decide(&restore, &resolved(&restore), &view, at("2026-11-24T00:10:30Z"));
    assert!(put_away.commands.contains(&Command::SetTtl("j1".into(), 600)), "{:?}", put_away.commands);
}

#[test]
fn an_end_that_is_put_away_asks_for_nothing_more() {
    let mut restore = with(vec![ended("Restored", "Restored", Truth::True)]);
    restore.metadata.finalizers = None;
    let done = run(&restore, &View::default()).status;
    restore.status = Some(done.clone());
    let again = run(
        &restore,
        &View {
            job: job(JobFacts { complete: true, ttl_seconds: Some(604_800), ..JobFacts::default() }),
            ..View::default()
        },
    );
    assert_eq!((again.status, again.commands, again.again), (done, vec![], None));
}

//! Runners that do not start, go away, or are not heard of any more.

use jiff::Timestamp;

use super::tests::{attempt, job, now, over, ready, resolved, run, says, verdict, with};
use super::{Command, decide};
use crate::operator::view::{Container, Job, JobFacts, Place, Pod, View, Warning};
use crate::plan::Mode;
use crate::reason::Reason;
use crate::report::{Outcome, TargetModified};

#[test]
fn a_container_that_does_not_start_is_explained_and_given_up_in_time() {
    let waiting = Warning { reason: "ImagePullBackOff".into(), message: "no such image".into() };
    let pod = Pod { name: "p".into(), container: Container::Waiting(waiting), ..Pod::default() };
    let view = View { job: job(JobFacts::default()), pods: vec![pod.clone()], ..View::default() };
    let mut restore = with(vec![attempt(Some("j1"))]);
    assert_eq!(ready(&run(&restore, &view)), ("Unknown".into(), "ImagePullFailed".into()));

    let late: Timestamp = "2026-11-24T00:25:00Z".parse().unwrap();
    let stop = decide(&restore, &resolved(&restore), &view, late);
    assert_eq!(stop.commands, [Command::Suspend("j1".into())]);
    assert_eq!(ready(&stop), ("Unknown".into(), "ImagePullFailed".into()), "it is still the reason");
    let told = &stop.status.conditions.iter().find(|it| it.type_ == "Ready").unwrap().message;
    assert!(told.contains(Reason::ImagePullFailed.hint()), "what to do about it is still told: {told}");

    // The kubelet forgets why the container waited, and a suspended Job may forget when it began.
    restore.status = Some(stop.status);
    let suspended = JobFacts { uid: "j1".into(), suspended: true, is_idle: true, ..JobFacts::default() };
    let deleted =
        Pod { is_terminal: true, deleting: Some(late), is_kept: true, container: Container::Created, ..pod };
    for pods in [vec![deleted], vec![]] {
        let view = View { job: Job::There(suspended.clone()), pods, ..View::default() };
        let end = decide(&restore, &resolved(&restore), &view, late);
        assert_eq!(ready(&end), ("False".into(), "ImagePullFailed".into()), "{view:?}");
        assert_eq!(says(&end, "TargetModified").unwrap(), "False");
        assert!(end.status.failure.unwrap().message.ends_with("it was waited for 15m"));
    }
}

#[test]
fn a_container_of_which_nobody_says_why_it_does_not_start_is_given_up_too() {
    let mut restore = with(vec![attempt(Some("j1"))]);
    let view = View { job: job(JobFacts::default()), ..View::default() };
    let late: Timestamp = "2026-11-24T00:25:00Z".parse().unwrap();
    let stop = decide(&restore, &resolved(&restore), &view, late);
    assert_eq!(stop.commands, [Command::Suspend("j1".into())]);
    restore.status = Some(stop.status);
    let idle = job(JobFacts { suspended: true, is_idle: true, ..JobFacts::default() });
    let end = decide(&restore, &resolved(&restore), &View { job: idle, ..View::default() }, late);
    assert_eq!(ready(&end), ("False".into(), "StartTimeout".into()));
    assert_eq!(end.status.failure.unwrap().message, "the runner did not start within 15m");
}

#[test]
fn a_pod_that_went_with_its_node_before_it_was_seen_to_start_may_have_written() {
    let taken = |reason: &str| Pod {
        name: "p".into(),
        is_terminal: true,
        disruption: Some(Warning { reason: reason.into(), message: "words".into() }),
        ..Pod::default()
    };
    for (reason, expected, modified) in
        [("EvictionByEvictionAPI", "Evicted", "False"), ("DeletionByPodGC", "NodeLost", "Unknown")]
    {
        let mut restore = with(vec![attempt(Some("j1"))]);
        restore.spec.retries = 0;
        let view = View { job: job(JobFacts::default()), pods: vec![taken(reason)], ..View::default() };
        let end = run(&restore, &view);
        assert_eq!(ready(&end), ("False".into(), expected.into()), "{reason}");
        assert_eq!(says(&end, "TargetModified").unwrap(), modified, "{reason}");
    }
}

#[test]
fn a_run_that_only_reads_has_changed_nothing_whatever_became_of_it() {
    for (mode, modified) in [(Mode::Restore, "Unknown"), (Mode::Plan, "False")] {
        let mut restore = with(vec![attempt(Some("j1"))]);
        restore.spec.mode = mode;
        restore.spec.retries = 0;
        let end = run(&restore, &View { job: Job::Missing, ..View::default() });
        assert_eq!(ready(&end), ("False".into(), "RunnerLost".into()), "{mode:?}");
        assert_eq!(says(&end, "TargetModified").unwrap(), modified, "{mode:?}");
    }
}

#[test]
fn a_run_whose_job_was_deleted_says_so() {
    let journal = [verdict(Outcome::Failed, TargetModified::False, Some(Reason::Interrupted))];
    let pod = Pod { deleting: Some(now()), ..over(&journal, "Error", 30) };
    let mut restore = with(vec![attempt(Some("j1"))]);
    restore.spec.retries = 0;
    let end = run(&restore, &View { job: Job::Missing, pods: vec![pod], ..View::default() });
    assert_eq!(ready(&end), ("False".into(), "Evicted".into()));
    assert!(end.status.failure.unwrap().message.contains("Job r-job was deleted"));
}

#[test]
fn a_node_that_does_not_answer_keeps_the_run_alive_until_it_must_have_ended() {
    let pod = Pod { name: "p".into(), container: Container::Running, is_unreachable: true, ..Pod::default() };
    let view = View { job: job(JobFacts::default()), pods: vec![pod], place: Place::Held, ..View::default() };
    let restore = with(vec![attempt(Some("j1"))]);
    let lost = run(&restore, &view);
    assert_eq!(ready(&lost), ("Unknown".into(), "NodeLost".into()));
    assert!(lost.commands.is_empty() && lost.status.completion_time.is_none());
    let later: Timestamp = "2026-11-25T00:40:00Z".parse().unwrap();
    let fenced = decide(&restore, &resolved(&restore), &view, later);
    assert_eq!(ready(&fenced), ("False".into(), "NodeLost".into()));
    assert_eq!(says(&fenced, "TargetModified").unwrap(), "Unknown");
}

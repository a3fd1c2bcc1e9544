//! Every way that a restore can go, through a real operator, with the real runner's image.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use reinstate::api::DatabaseRestore;
use reinstate::api::restore::status::Truth;
use reinstate::operator::names::FINALIZER_JOURNAL;

use crate::harness::scene::{BACKUP, PLAIN, Scene, condition, message};
use crate::harness::sealed::put_brotli;
use crate::harness::{Namespace, Operator};
use crate::support::fixtures;

#[test]
fn an_encrypted_backup_is_restored_to_a_volume_and_the_status_tells_it() {
    let namespace = Namespace::new("first");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.restore("r", "");
    let status = scene.ended("r");
    for (kind, expected) in [
        ("Ready", "True/Restored"),
        ("Complete", "True/Restored"),
        ("Failed", "False/Restored"),
        ("ArtifactVerified", "True/Tag"),
        ("PreflightPassed", "True/Passed"),
        ("TargetModified", "False/Created"),
        ("Reconciling", "absent"),
        ("Stalled", "absent"),
    ] {
        assert_eq!(condition(&status, kind), expected, "{kind}");
    }
    let backup = status.backup.unwrap();
    assert_eq!(backup.path.as_deref(), Some(BACKUP));
    assert_eq!((backup.profile.as_deref(), backup.discovered), (Some("key-a"), Some(false)));
    assert_eq!(status.verification.unwrap().rows, Some(325));
    assert_eq!(scene.tables("app.db"), ["item", "note"]);
    // Everything is put away: nothing holds the object, the pod or the place.
    let put_away = |restore: &DatabaseRestore| restore.finalizers().is_empty();
    namespace.wait_for::<DatabaseRestore>("r", "is let go", put_away);
    assert!(scene.pods("r").iter().all(|pod| !pod.finalizers().contains(&FINALIZER_JOURNAL.to_owned())));
    let job: Job = namespace.get(&status.job_ref.unwrap().name).unwrap();
    assert_eq!(job.spec.unwrap().ttl_seconds_after_finished, Some(604_800));
}

#[test]
fn a_backup_under_brotli_and_a_seal_is_restored_under_another_name() {
    let namespace = Namespace::new("brotli");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let plain = std::fs::read(fixtures().join("dbackup/sqlite-none-plain").join(PLAIN)).unwrap();
    let path = put_brotli(&scene.bucket, "app", &plain);
    let further = format!(
        "backup: {{storageRef: {{name: backups}}, path: {path}, encryption: {{profileRef: {{name: key-a}}}}}}\n\
         target: {{connectionRef: {{name: app}}, databases: [{{from: app.sqlite, to: copies/app.db}}]}}\n"
    );
    std::fs::create_dir(scene.volume.path("copies")).unwrap();
    scene.volume.give(&scene.volume.path("copies"));
    scene.restore("r", &further);
    let status = scene.ended("r");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!(std::fs::read(scene.volume.path("copies/app.db")).unwrap(), plain);
    let backup = status.backup.unwrap();
    assert_eq!(format!("{:?}", backup.compression.unwrap()), "Brotli");
    assert_eq!(status.target.unwrap().summary.as_deref(), Some("app/copies/app.db"));
}

#[test]
fn data_is_replaced_only_after_a_person_has_confirmed_what_was_shown() {
    let namespace = Namespace::new("confirm");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.database("app.db", 7);
    scene.restore("r", "");
    let asked = scene.phase("r", "AwaitingConfirmation");
    assert_eq!(condition(&asked, "Ready"), "Unknown/ConfirmationRequired");
    assert_eq!(condition(&asked, "Stalled"), "True/ConfirmationRequired");
    let text = message(&asked, "Ready");
    for part in ["replaces app.db", "1 table", "≈7 rows", BACKUP, "add \"app.db\""] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert_eq!(scene.tables("app.db"), ["old"]);
    // The application goes on, which changes nothing of what was asked.
    scene.database("app.db", 3);
    scene.change("r", r#"{"overwrite": {"confirm": ["App.db"]}}"#);
    scene.change("r", r#"{"overwrite": {"confirm": ["app.db"]}}"#);
    let status = scene.ended("r");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!(condition(&status, "TargetModified"), "True/Modified");
    assert_eq!(status.attempts.len(), 2);
    let target = status.target.unwrap();
    let previous = target.databases[0].previous.clone().unwrap();
    assert_eq!(scene.tables(&previous.name), ["old"], "the replaced database is kept under the shown name");
}

#[test]
fn a_plan_that_changed_since_it_was_shown_is_asked_about_again() {
    let namespace = Namespace::new("changed");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.database("app.db", 1);
    scene.restore("r", "");
    let asked = scene.phase("r", "AwaitingConfirmation");
    // Another backup under the same name.
    scene.bucket.put(BACKUP, b"another");
    scene.change("r", r#"{"overwrite": {"confirm": ["app.db"]}}"#);
    let again = scene.when("r", "asks again", |status| {
        status.attempts.len() == 2 && status.attempts[1].completion_time.is_some()
    });
    assert_eq!(condition(&again, "Ready"), "Unknown/PlanChanged", "{}", message(&again, "Ready"));
    let (old, new) = (asked.plan.unwrap().token.unwrap(), again.plan.unwrap().token.unwrap());
    assert_ne!(old, new);
    scene.change("r", &format!(r#"{{"overwrite": {{"confirmedPlan": "{old}"}}}}"#));
    scene.change("r", &format!(r#"{{"overwrite": {{"confirmedPlan": "{new}"}}}}"#));
    let status = scene.ended("r");
    assert_eq!(condition(&status, "TargetModified"), "False/Untouched", "the other backup is no good");
    assert_eq!(scene.tables("app.db"), ["old"]);
}

#[test]
fn refuse_plan_and_verify_end_without_a_write() {
    let namespace = Namespace::new("modes");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.database("app.db", 1);
    for (name, further, kind, expected) in [
        ("refuse", "overwrite: {policy: Refuse}", "Failed", "True/TargetNotEmpty"),
        ("plan", "mode: Plan", "Complete", "True/Planned"),
        ("verify", "mode: Verify", "Complete", "True/Verified"),
    ] {
        scene.restore(name, further);
        let status = scene.ended(name);
        assert_eq!(condition(&status, kind), expected, "{name}: {}", message(&status, "Ready"));
        assert_eq!(condition(&status, "TargetModified"), "False/Untouched", "{name}");
    }
    assert_eq!(scene.tables("app.db"), ["old"]);
    let planned = scene.ended("plan").plan.unwrap();
    assert_eq!(planned.confirmation_required, Some(true));
    assert_eq!(planned.databases[0].holds.as_ref().unwrap().rows_estimate, Some(1));
}

#[test]
fn a_suspended_run_starts_when_it_is_let_go_and_a_cancelled_one_never() {
    let namespace = Namespace::new("suspend");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.restore("r", "suspend: true");
    scene.restore("c", "suspend: true");
    scene.phase("r", "Suspended");
    scene.phase("c", "Suspended");
    scene.change("c", r#"{"cancel": true}"#);
    let cancelled = scene.ended("c");
    assert_eq!(condition(&cancelled, "Failed"), "True/Cancelled");
    assert!(cancelled.attempts.is_empty());
    scene.change("r", r#"{"suspend": false}"#);
    assert_eq!(condition(&scene.ended("r"), "Complete"), "True/Restored");
}

#[test]
fn a_missing_reference_is_waited_for_and_wakes_the_run() {
    let namespace = Namespace::new("reference");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.restore("r", "target: {connectionRef: {name: later}}");
    let waits = scene.phase("r", "Pending");
    assert_eq!(condition(&waits, "Stalled"), "True/ReferenceNotFound");
    assert!(message(&waits, "Ready").contains("DatabaseConnection later is not there"));
    scene.connection("later", "later.db");
    assert_eq!(condition(&scene.ended("r"), "Complete"), "True/Restored");
}

#[test]
fn two_restores_of_one_target_run_one_after_the_other() {
    let namespace = Namespace::new("queue");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    for (name, path) in [("one", "one.db"), ("two", "two.db"), ("three", "three.db")] {
        scene.connection(name, path);
        scene.restore(name, &format!("target: {{connectionRef: {{name: {name}}}}}"));
    }
    let mut spans: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            let status = scene.ended(name);
            assert_eq!(condition(&status, "Complete"), "True/Restored", "{name}");
            (status.start_time.unwrap().0, status.completion_time.unwrap().0)
        })
        .collect();
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
}

#[test]
fn an_object_that_was_deleted_and_made_anew_asks_before_it_overwrites_again() {
    let namespace = Namespace::new("anew");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.database("app.db", 1);
    let further = "overwrite: {confirm: [app.db]}\nrecreateToken: '1'\n";
    scene.restore("r", further);
    assert_eq!(condition(&scene.ended("r"), "Complete"), "True/Restored", "it is confirmed by its review");
    namespace.kubectl(&["delete", "dbr", "r"]).expect(0, &[]);
    scene.restore("r", further);
    let asked = scene.phase("r", "AwaitingConfirmation");
    assert_eq!(condition(&asked, "Ready"), "Unknown/AlreadyExecuted");
    let token = asked.plan.unwrap().token.unwrap();
    scene.change("r", &format!(r#"{{"overwrite": {{"confirmedPlan": "{token}"}}}}"#));
    assert_eq!(condition(&scene.ended("r"), "Complete"), "True/Restored");
    // Another token is another request.
    namespace.kubectl(&["delete", "dbr", "r"]).expect(0, &[]);
    scene.restore("r", &further.replace("'1'", "'2'"));
    assert_eq!(condition(&scene.ended("r"), "Complete"), "True/Restored");
}

#[test]
fn an_object_that_comes_back_without_its_status_asks_before_it_overwrites_again() {
    let namespace = Namespace::new("comeback");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.database("app.db", 1);
    scene.restore("r", "overwrite: {confirm: [app.db]}");
    scene.ended("r");
    // As a backup tool does: the object with its annotations, without its status, on a cluster whose
    // operator remembers nothing.
    let kept = namespace.kubectl(&["get", "dbr", "r", "--output=json"]).expect(0, &[]);
    let mut object = kept.json();
    object.as_object_mut().unwrap().remove("status");
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers"]
    {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    namespace.kubectl(&["delete", "dbr", "r"]).expect(0, &[]);
    namespace.kubectl(&["delete", "lease", "--all"]).expect(0, &[]);
    namespace.apply(&object.to_string());
    let asked = scene.phase("r", "AwaitingConfirmation");
    assert_eq!(condition(&asked, "Ready"), "Unknown/AlreadyExecuted");
}

#[test]
fn a_run_that_is_cancelled_or_deleted_stops_and_frees_the_queue() {
    let namespace = Namespace::new("stop");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    // A pod that no node takes runs for as long as a test needs it.
    let stuck = "runner: {nodeSelector: {no: such-node}}";
    scene.restore("cancelled", stuck);
    scene.when("cancelled", "runs", |status| status.attempts.first().is_some_and(|it| it.job_uid.is_some()));
    scene.change("cancelled", r#"{"cancel": true}"#);
    let status = scene.ended("cancelled");
    assert_eq!(condition(&status, "Failed"), "True/Cancelled");
    assert_eq!(status.attempts[0].touched, Some(Truth::False));

    scene.restore("deleted", stuck);
    scene.when("deleted", "runs", |status| status.attempts.first().is_some_and(|it| it.job_uid.is_some()));
    scene.restore("next", "");
    scene.phase("next", "WaitingForTarget");
    namespace.kubectl(&["delete", "dbr", "deleted", "--timeout=60s"]).expect(0, &[]);
    assert_eq!(condition(&scene.ended("next"), "Complete"), "True/Restored");
    namespace.wait_gone::<DatabaseRestore>("deleted");
}

#[test]
fn a_retry_is_made_only_of_a_run_that_did_not_touch_the_target() {
    let namespace = Namespace::new("retry");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.restore("r", "runner: {nodeSelector: {no: such-node}}\nretries: 1\n");
    for attempt in 1..=2 {
        scene.when("r", "has a pod", |status| {
            status.attempts.len() == attempt && status.attempts[attempt - 1].job_uid.is_some()
        });
        let job = scene.get("r").status.unwrap().attempts[attempt - 1].job_name.clone();
        let selector = format!("--selector=batch.kubernetes.io/job-name={job}");
        crate::parts::wait_until("there is a pod", || {
            !scene
                .pods("r")
                .iter()
                .filter(|pod| pod.labels().get("batch.kubernetes.io/job-name") == Some(&job))
                .collect::<Vec<_>>()
                .is_empty()
        });
        namespace.kubectl(&["delete", "pod", &selector, "--wait=false"]).expect(0, &[]);
    }
    let status = scene.ended("r");
    assert_eq!(condition(&status, "Failed"), "True/Evicted", "{}", message(&status, "Ready"));
    assert_eq!(status.attempts.len(), 2);
    assert!(status.attempts.iter().all(|attempt| attempt.touched == Some(Truth::False)));
}

#[test]
fn the_newest_backup_is_taken_and_one_that_is_too_old_fails() {
    let namespace = Namespace::new("latest");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let backup = |latest: &str| format!("backup: {{storageRef: {{name: backups}}, latest: {{{latest}}}}}");
    scene.restore("newest", &backup("prefix: sqlite_none"));
    let status = scene.ended("newest");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!(status.backup.unwrap().path.as_deref(), Some(PLAIN));
    scene.connection("other", "other.db");
    let further = backup("maxAge: 1h") + "\ntarget: {connectionRef: {name: other}}";
    scene.restore("old", &further);
    assert_eq!(condition(&scene.ended("old"), "Failed"), "True/BackupTooOld");
}

#[test]
fn two_operators_run_a_restore_once() {
    let namespace = Namespace::new("two");
    let scene = Scene::new(&namespace);
    // Neither is elected: the protocol alone keeps them apart.
    let _one = Operator::start(&namespace);
    let _other = Operator::start(&namespace);
    scene.database("app.db", 1);
    for name in ["a", "b", "c"] {
        scene.restore(name, "overwrite: {confirm: [app.db]}");
    }
    for name in ["a", "b", "c"] {
        let status = scene.ended(name);
        assert_eq!(condition(&status, "Complete"), "True/Restored", "{name}: {}", message(&status, "Ready"));
        assert_eq!(status.attempts.len(), 1, "{name}");
        assert_eq!(scene.pods(name).len(), 1, "{name}");
    }
    let kept = std::fs::read_dir(scene.volume.path("")).unwrap();
    let kept =
        kept.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("previous"));
    assert_eq!(kept.count(), 3, "each has replaced the database once");
}

#[test]
fn a_leader_that_is_killed_is_followed_by_the_other() {
    let namespace = Namespace::new("leader");
    let scene = Scene::new(&namespace);
    let elected = ["--leader-election=true", "--identity"];
    let mut one = Operator::start_with(&namespace, &[elected[0], elected[1], "one"]);
    scene.restore("first", "");
    assert_eq!(condition(&scene.ended("first"), "Complete"), "True/Restored");
    let _other = Operator::start_with(&namespace, &[elected[0], elected[1], "other"]);
    one.process.kill();
    scene.restore("second", "mode: Verify");
    assert_eq!(condition(&scene.ended("second"), "Complete"), "True/Verified");
}

#[test]
fn the_job_and_its_log_go_after_their_time_and_the_record_stays() {
    let namespace = Namespace::new("ttl");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    scene.restore("r", "jobTTL: 1s");
    let status = scene.ended("r");
    namespace.wait_gone::<Job>(&status.job_ref.as_ref().unwrap().name);
    assert_eq!(scene.get("r").status.unwrap(), status);
}

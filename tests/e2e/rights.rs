//! The operator's rights, both ways: it asks for nothing that the table does not grant, and everything in
//! the table is asked for. [`Operator`](crate::harness::Operator) holds every other test to the first.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use reinstate::api::DatabaseRestore;
use reinstate::operator::names::LEADER_LEASE;
use reinstate::operator::rbac::{RULES, Scope, allows};

use crate::harness::operator::{ACCOUNT, grant};
use crate::harness::scene::{Scene, condition};
use crate::harness::{Audit, Namespace, Operator, Process, RUNNER_IMAGE, Request};
use crate::parts::wait_until;

/// Writes of a status that a run needs: its attempt, the uid of its Job, its end. All others show progress.
const STATUS_WRITES: usize = 3;

fn resource(request: &Request) -> String {
    match request.subresource.as_str() {
        "" => request.resource.clone(),
        subresource => format!("{}/{subresource}", request.resource),
    }
}

/// An operator with what the table grants and no more: in `watched`, and in its own namespace.
fn start(own: &Namespace, watched: &Namespace) -> Process {
    grant(watched, own, RULES.iter().filter(|rule| rule.scope == Scope::Watched));
    grant(own, own, RULES.iter().filter(|rule| rule.scope == Scope::Own));
    let namespaces = ["operator", "--namespace", &own.name, "--watch-namespace", &watched.name];
    let further = ["--listen", "127.0.0.1:0", "--runner-image", RUNNER_IMAGE, "--leader-election=true"];
    Process::start(&own.kubeconfig_of(ACCOUNT), &[&namespaces[..], &further].concat())
}

/// Lets an operator do everything that it ever does.
fn play(scene: &Scene) {
    let namespace = scene.namespace;
    scene.restore("good", "");
    assert_eq!(condition(&scene.ended("good"), "Complete"), "True/Restored");
    // An ended object that is changed is read anew.
    let let_go = |restore: &DatabaseRestore| restore.finalizers().is_empty();
    namespace.wait_for("good", "is let go", let_go);
    scene.change("good", r#"{"jobTTL": "1h"}"#);
    let job = scene.get("good").status.unwrap().job_ref.unwrap().name;
    namespace.wait_for::<Job>(&job, "lives for another time", |job| {
        job.spec.as_ref().unwrap().ttl_seconds_after_finished == Some(3600)
    });
    // The same is told twice, once for each attempt.
    namespace.apply(
        "
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: none}
spec: {aes256Gcm: {secretKeyRef: {name: none, key: none}}}
",
    );
    let backup = "backup: {storageRef: {name: backups}, path: x, encryption: {profileRef: {name: none}}}";
    scene.restore("secret", &format!("mode: Verify\n{backup}"));
    scene.when("secret", "was tried twice", |status| {
        status.attempts.len() > 1 && status.attempts[1].completion_time.is_some()
    });
    scene.change("secret", r#"{"cancel": true}"#);
    // A Job whose pod is refused is looked into, stopped and deleted; of one that was deleted nobody knows.
    let refused = "mode: Verify\nretries: 0\nrunner: {serviceAccountName: nobody}";
    for name in ["stopped", "deleted"] {
        scene.restore(name, refused);
    }
    for name in ["stopped", "deleted"] {
        scene.when(name, "is refused", |status| condition(status, "Ready") == "Unknown/AdmissionDenied");
    }
    scene.change("stopped", r#"{"cancel": true}"#);
    assert_eq!(condition(&scene.ended("stopped"), "Failed"), "True/Cancelled");
    let job = scene.get("deleted").status.unwrap().job_ref.unwrap().name;
    namespace.kubectl(&["delete", "job", &job]).expect(0, &[]);
    assert_eq!(condition(&scene.ended("deleted"), "Failed"), "True/RunnerLost");
    scene.ended("secret");
}

#[test]
fn every_right_is_used_and_no_other_is_asked_for() {
    let Some(audit) = Audit::from_now() else { return };
    let (own, watched) = (Namespace::new("own"), Namespace::new("watched"));
    let scene = Scene::new(&watched);
    let mut operator = start(&own, &watched);
    play(&scene);
    assert!(operator.terminate().success(), "{}", operator.log());
    let mut used = BTreeSet::new();
    for request in audit.of_account(&own.name, ACCOUNT) {
        let scope = match &request.namespace {
            namespace if *namespace == own.name => Scope::Own,
            namespace if *namespace == watched.name => Scope::Watched,
            _ => panic!("it looks elsewhere: {request:?}"),
        };
        let resource = resource(&request);
        assert!(allows(scope, &request.group, &resource, &request.verb), "{request:?}");
        assert_ne!(request.code, 403, "{request:?}");
        used.insert((request.group, resource, request.verb));
    }
    let mut unused = Vec::new();
    for rule in RULES {
        for resource in rule.resources {
            for verb in rule.verbs {
                if !used.contains(&(rule.group.to_owned(), (*resource).to_owned(), (*verb).to_owned())) {
                    unused.push(format!("{verb} {resource} of {:?}", rule.group));
                }
            }
        }
    }
    assert!(unused.is_empty(), "granted, and not used: {unused:#?}");
}

#[test]
fn a_restore_costs_the_api_server_few_requests() {
    let namespace = Namespace::new("cost");
    let scene = Scene::new(&namespace);
    let operator = Operator::start(&namespace);
    let put_away = |name: &str| {
        scene.ended(name);
        let let_go = |restore: &DatabaseRestore| restore.finalizers().is_empty();
        namespace.wait_for(name, "is let go", let_go);
    };
    // Its queue is there from the second on.
    scene.restore("first", "");
    put_away("first");
    let Some(audit) = Audit::from_now() else { return };
    scene.connection("other", "other.db");
    scene.restore("second", "target: {connectionRef: {name: other}}");
    put_away("second");
    let asked = || -> Vec<Request> {
        let requests = audit.of_account(&namespace.name, ACCOUNT).into_iter();
        // The audit log may be late with the last request for the first.
        let is_of_second = |it: &Request| it.verb != "watch" && it.name != LEADER_LEASE && it.name != "first";
        requests.filter(is_of_second).collect()
    };
    let mut last = asked();
    wait_until("it is quiet", || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let now = asked();
        std::mem::replace(&mut last, now.clone()) == now
    });
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for request in &last {
        *kinds.entry(format!("{} {}", request.verb, resource(request))).or_default() += 1;
    }
    println!("{} requests for one restore: {kinds:#?}", last.len());
    let shown = kinds["patch databaserestores/status"].saturating_sub(STATUS_WRITES);
    assert!(last.len() - shown <= 12, "{last:#?}");
    drop(operator);
}

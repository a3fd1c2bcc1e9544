//! Many restores: what the operator asks of the API server for each, its memory beside many finished
//! ones, and its silence where nothing happens.
//!
//! The pods are not run: no node takes them, and the test itself writes the end that a kubelet would
//! write. Small counts here; `tests/soak/run.sh` has the large ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use reinstate::api::DatabaseRestore;
use reinstate::journal::{self, Entry};
use reinstate::report::{Outcome, RestoreReport, TargetModified};
use serde_json::json;

use crate::harness::operator::ACCOUNT;
use crate::harness::scene::Scene;
use crate::harness::{Audit, Namespace, Operator, cluster};
use crate::parts::wait_until;
use crate::support::count;

/// Requests at the same time from this test.
const AT_ONCE: usize = 16;

/// Makes restores of mode Verify that no node runs.
fn make(namespace: &Namespace, name: &str, number: usize) {
    let api: Api<DatabaseRestore> = namespace.api();
    let text = Scene::manifest("x", "mode: Verify\nrunner: {nodeSelector: {no: such-node}}\n");
    let template: DatabaseRestore = serde_saphyr::from_str(&text).unwrap();
    let made = stream::iter(0..number).map(|index| {
        let (api, mut restore) = (api.clone(), template.clone());
        restore.metadata.name = Some(format!("{name}-{index:05}"));
        async move { api.create(&PostParams::default(), &restore).await.map(drop).unwrap() }
    });
    cluster().wait(made.buffer_unordered(AT_ONCE).for_each(async |()| {}));
}

/// Gives every restore the end that an operator would have written.
fn finish_all(namespace: &Namespace) {
    let api: Api<DatabaseRestore> = namespace.api();
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Verified", "message": "the backup is good",
               "lastTransitionTime": "2026-11-24T00:00:03Z", "observedGeneration": 1})
    };
    let status = json!({"status": {
        "observedGeneration": 1, "phase": "Succeeded", "startTime": "2026-11-24T00:00:00Z",
        "completionTime": "2026-11-24T00:00:03Z", "duration": "3s",
        "conditions": [condition("Complete", "True"), condition("Failed", "False"), condition("Ready", "True")],
        "attempts": [{"number": 1, "jobName": "gone", "jobUID": "gone", "outcome": "Verified", "touched": "False",
                      "startTime": "2026-11-24T00:00:00Z", "completionTime": "2026-11-24T00:00:03Z"}],
        "stages": [{"name": "Check backup", "duration": "2.5s", "bytes": 1_000_000}],
    }});
    cluster().wait(async {
        let all = api.list_metadata(&ListParams::default()).await.unwrap();
        let names = all.items.iter().map(ResourceExt::name_any);
        let written = stream::iter(names).map(|name| {
            let (api, status) = (api.clone(), &status);
            async move {
                api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                    .await
                    .map(drop)
                    .unwrap();
            }
        });
        written.buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
    });
}

/// Ends the pods as a kubelet would, until `number` restores have ended.
fn play_kubelet(namespace: &Namespace, number: usize, limit: Duration) {
    let begun = Instant::now();
    let (pods, restores): (Api<Pod>, Api<DatabaseRestore>) = (namespace.api(), namespace.api());
    cluster().wait(async {
        loop {
            let open = pods.list(&ListParams::default().fields("status.phase=Pending")).await.unwrap();
            stream::iter(open.items)
                .map(|pod| end(pods.clone(), pod))
                .buffer_unordered(AT_ONCE)
                .for_each(async |()| {})
                .await;
            let all = restores.list(&ListParams::default()).await.unwrap();
            let ended = all
                .items
                .iter()
                .filter(|it| it.status.as_ref().is_some_and(|it| it.completion_time.is_some()));
            if ended.count() >= number {
                return;
            }
            assert!(begun.elapsed() < limit, "not all have ended within {limit:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

/// Writes the end of one pod: the journal of a good verification.
async fn end(api: Api<Pod>, pod: Pod) {
    let uid = pod.labels().get("reinstate.dev/restore-uid").cloned().unwrap_or_default();
    let mut report = RestoreReport::begun("", "", "2026-11-24T00:00:00Z".parse().unwrap());
    report.outcome = Outcome::Verified;
    let entry = Entry { uid, attempt: 1, touched: TargetModified::False, verdict: Some(report) };
    let journal = String::from_utf8(journal::line(&entry)).unwrap();
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [{
        "name": "restore", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "reason": "Completed", "message": journal}},
    }]}});
    // A pod that went meanwhile needs no end.
    let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
}

/// Resident memory of a process, in MiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn is_ready(operator: &Operator) -> bool {
    operator.process.log().contains("the operator works")
}

/// What the operator asked for, without watches, its Lease and reads of whole lists at the start.
fn asked(audit: &Audit, namespace: &Namespace) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for request in audit.of_account(&namespace.name, ACCOUNT) {
        if matches!(request.verb.as_str(), "watch" | "list") && request.name.is_empty() {
            continue;
        }
        let resource = [request.resource.as_str(), request.subresource.as_str()].join("/");
        *kinds.entry(format!("{} {}", request.verb, resource.trim_end_matches('/'))).or_default() += 1;
    }
    kinds
}

#[test]
fn finished_restores_cost_little_memory_and_no_request() {
    let finished = count("REINSTATE_SOAK_FINISHED", 50);
    let quiet = Duration::from_secs(count("REINSTATE_SOAK_QUIET_SECONDS", 5) as u64);
    let namespace = Namespace::new("finished");
    let _scene = Scene::new(&namespace);
    make(&namespace, "done", finished);
    finish_all(&namespace);
    let audit = Audit::from_now();
    let operator = Operator::start(&namespace);
    wait_until("the operator works", || is_ready(&operator));
    let begun = Instant::now();
    wait_until("it has been quiet for a while", || begun.elapsed() >= quiet.min(Duration::from_secs(55)));
    while begun.elapsed() < quiet {
        std::thread::sleep(Duration::from_secs(1));
    }
    println!("{finished} finished restores: {} MiB, quiet for {quiet:?}", memory(operator.process.id()));
    if let Some(audit) = audit {
        let asked = asked(&audit, &namespace);
        assert!(asked.is_empty(), "the operator has asked for {asked:?}");
    }
    assert!(memory(operator.process.id()) <= 64, "{} MiB", memory(operator.process.id()));
}

#[test]
fn a_restore_costs_few_requests() {
    let number = count("REINSTATE_SOAK_RUNS", 8);
    let namespace = Namespace::new("many");
    let _scene = Scene::new(&namespace);
    let Some(audit) = Audit::from_now() else { return };
    let operator = Operator::start(&namespace);
    wait_until("the operator works", || is_ready(&operator));
    let begun = Instant::now();
    make(&namespace, "run", number);
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = namespace.api();
    let counted = || cluster().wait(jobs.list_metadata(&ListParams::default())).unwrap().items.len();
    while counted() < number {
        assert!(begun.elapsed() < Duration::from_mins(10), "not all Jobs are there");
        std::thread::sleep(Duration::from_millis(100));
    }
    let all_there = begun.elapsed();
    play_kubelet(&namespace, number, Duration::from_mins(20));
    let restores: Api<DatabaseRestore> = namespace.api();
    wait_until("all are put away", || {
        let all = cluster().wait(restores.list(&ListParams::default())).unwrap();
        all.items.iter().all(|restore| restore.finalizers().is_empty())
    });
    let asked = asked(&audit, &namespace);
    let sum: usize = asked.values().sum();
    println!(
        "{number} restores: all Jobs after {all_there:?}, all ended after {:?}, {} MiB, {:.1} requests each: {asked:#?}",
        begun.elapsed(),
        memory(operator.process.id()),
        sum as f64 / number as f64,
    );
    assert!(sum <= 14 * number, "{sum} requests for {number} restores: {asked:#?}");
}

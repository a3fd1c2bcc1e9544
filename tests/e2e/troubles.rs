//! What can happen to a runner's pod, made for real: the reason, what the message names, how soon it is
//! told, what is said of the target, and that the place in the queue is free at the end.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, EvictParams, PostParams};
use reinstate::api::DatabaseRestore;
use reinstate::api::restore::RestoreStatus;
use reinstate::api::restore::status::Truth;

use crate::harness::scene::{Scene, USER, condition, message};
use crate::harness::{Namespace, Operator, PATIENCE, Volume, cluster};
use crate::parts::{noise, wait_until};

/// Longest time from what the API says to what we say.
const SOON: SignedDuration = SignedDuration::from_secs(30);
/// A backup that takes a while, and needs memory before it is known how much.
const BIG: &str = "big.db.zst";
/// A processor so slow that a run lasts.
const SLOW: &str = "limits: {memory: 256Mi, cpu: 10m}, requests: {memory: 64Mi, cpu: 10m}";

/// A restore that meets a trouble.
struct Trouble {
    name: &'static str,
    /// Further lines of its spec.
    further: String,
    reason: &'static str,
    /// What the message holds: the object, the cluster's words.
    says: &'static [&'static str],
}

fn trouble(
    name: &'static str,
    further: impl Into<String>,
    reason: &'static str,
    says: &'static [&'static str],
) -> Trouble {
    Trouble { name, further: further.into(), reason, says }
}

impl Trouble {
    /// Makes the restore, with a connection of its own so that it waits for no other.
    fn make<'a>(&self, namespace: &'a Namespace) -> Volume<'a> {
        let volume = Volume::new(namespace, self.name, USER);
        connect(namespace, self.name, self.name);
        let further = format!("target: {{connectionRef: {{name: {}}}}}\n{}", self.name, self.further);
        namespace.apply(&Scene::manifest(self.name, &further));
        volume
    }

    /// Holds a status to what it should say.
    fn check(&self, status: &RestoreStatus) {
        let text = message(status, "Ready");
        for part in self.says {
            assert!(text.contains(part), "{}: {part:?} is not in {text}", self.name);
        }
        let hint = reinstate::reason::Reason::from_name(self.reason).unwrap().hint();
        assert!(text.contains(hint), "{}: {hint:?} is not in {text}", self.name);
    }

    /// Waits for the end, and holds it to what it should say.
    fn ends(&self, scene: &Scene) -> RestoreStatus {
        let status = scene.ended(self.name);
        let expected = format!("True/{}", self.reason);
        assert_eq!(condition(&status, "Failed"), expected, "{}: {}", self.name, message(&status, "Ready"));
        assert_eq!(condition(&status, "Stalled"), expected, "{}", self.name);
        assert_eq!(condition(&status, "TargetModified"), "False/Untouched", "{}", self.name);
        let last = status.attempts.last().unwrap();
        assert_eq!(
            (last.touched, last.reason.as_deref()),
            (Some(Truth::False), Some(self.reason)),
            "{}",
            self.name
        );
        self.check(&status);
        status
    }

    /// That the event of this reason came within [`SOON`] of `fact`.
    fn came_soon(&self, scene: &Scene, fact: Timestamp) {
        let told = |event: &Event| {
            event.involved_object.kind.as_deref() == Some("DatabaseRestore")
                && event.involved_object.name.as_deref() == Some(self.name)
                && event.reason.as_deref() == Some(self.reason)
        };
        let mut found = None;
        wait_until("the event is there", || {
            found = events(scene.namespace).iter().find(|event| told(event)).map(time);
            found.is_some()
        });
        let late = found.unwrap().duration_since(fact);
        println!("{}: {} told {late:#} after the fact", self.name, self.reason);
        assert!(late <= SOON, "{}: told {late:#} after the fact", self.name);
    }
}

fn connect(namespace: &Namespace, name: &str, claim: &str) {
    namespace.apply(&format!(
        "
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {{name: {name}}}
spec: {{engine: SQLite, sqlite: {{claimName: {claim}, path: app.db, runAsUser: {USER}, runAsGroup: {USER}}}}}
"
    ));
}

fn events(namespace: &Namespace) -> Vec<Event> {
    namespace.list("")
}

/// When an event was first told.
fn time(event: &Event) -> Timestamp {
    let first = event.first_timestamp.as_ref().map(|time| time.0);
    first.or_else(|| event.event_time.as_ref().map(|time| time.0)).unwrap()
}

/// When the cluster first warned about the Job or the pod of a restore.
fn warned(namespace: &Namespace, status: &RestoreStatus) -> Timestamp {
    let job = &status.attempts.last().unwrap().job_name;
    let of_it = |event: &&Event| {
        event.type_.as_deref() == Some("Warning")
            && event.involved_object.name.as_ref().is_some_and(|name| name.starts_with(job.as_str()))
    };
    events(namespace).iter().filter(of_it).map(time).min().unwrap_or_else(|| panic!("no warning about {job}"))
}

/// Waits until the Ready condition has this reason.
fn when_reason(scene: &Scene, name: &str, reason: &str) -> RestoreStatus {
    scene.when(name, &format!("is {reason}"), |status| {
        condition(status, "Ready").ends_with(&format!("/{reason}"))
    })
}

/// Waits until the runner's container runs, and gives its pod.
fn running(scene: &Scene, name: &str) -> Pod {
    let mut found = None;
    wait_until("the container runs", || {
        found =
            scene.namespace.get::<DatabaseRestore>(name).and_then(|_| scene.pods(name).pop()).filter(|pod| {
                let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
                let state = status.and_then(|all| all.first()).and_then(|one| one.state.as_ref());
                state.is_some_and(|state| state.running.is_some())
            });
        found.is_some()
    });
    found.unwrap()
}

/// That nothing is held any more: no place, no pod, no object.
fn nothing_is_held(namespace: &Namespace) {
    wait_until("all places are free", || {
        let leases: Vec<Lease> = namespace.list("app.kubernetes.io/managed-by=reinstate");
        leases
            .iter()
            .all(|lease| lease.annotations().get("reinstate.dev/holders").is_none_or(|it| it == "[]"))
    });
    wait_until("all objects are let go", || {
        let restores: Vec<DatabaseRestore> = namespace.list("");
        restores.iter().all(|restore| restore.finalizers().is_empty())
    });
    wait_until("all pods are let go", || {
        let pods: Vec<Pod> = namespace.list("app.kubernetes.io/managed-by=reinstate");
        pods.iter().all(|pod| !pod.finalizers().iter().any(|it| it == "reinstate.dev/journal"))
    });
}

/// A SQLite database that compresses well under a window larger than small limits.
fn big() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big.db");
    let mut database = rusqlite::Connection::open(&file).unwrap();
    let transaction = database.transaction().unwrap();
    transaction.execute_batch("CREATE TABLE data (number INTEGER PRIMARY KEY, value BLOB)").unwrap();
    let value = noise(3500, 1);
    for _ in 0..16_000 {
        transaction.execute("INSERT INTO data (value) VALUES (?1)", [&value]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(26).unwrap();
    encoder.long_distance_matching(true).unwrap();
    std::io::copy(&mut std::fs::File::open(&file).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

fn of_big(further: &str) -> String {
    format!("backup: {{storageRef: {{name: backups}}, path: {BIG}}}\nretries: 0\n{further}")
}

/// Limits of the namespace that some of the pods below do not keep.
fn limits(namespace: &Namespace) {
    let name = &namespace.name;
    namespace.apply(&format!(
        "
apiVersion: v1
kind: ResourceQuota
metadata: {{name: processors}}
spec: {{hard: {{requests.cpu: '20'}}}}
---
apiVersion: v1
kind: LimitRange
metadata: {{name: memory}}
spec: {{limits: [{{type: Container, max: {{memory: 1Gi}}}}]}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
    resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]
  validations: [{{expression: \"!('odd' in object.metadata.labels)\", message: no odd pods here}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"
    ));
    namespace.wait_for::<ResourceQuota>("processors", "is counted", |quota| {
        quota.status.as_ref().is_some_and(|status| status.hard.is_some())
    });
    // The API server hears of a policy a moment later.
    let odd: Pod = serde_saphyr::from_str(&pod("odd", "none")).unwrap();
    let (pods, tried) = (namespace.api::<Pod>(), PostParams { dry_run: true, ..PostParams::default() });
    wait_until("the policy holds", || {
        let refused = cluster().wait(pods.create(&tried, &odd)).err();
        refused.is_some_and(|error| error.to_string().contains("no odd pods here"))
    });
}

/// A pod that meets every limit, with a claim. Its image is nowhere: nothing of it has to run.
fn pod(name: &str, claim: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{name}: 'yes'}}}}
spec:
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: main
      image: localhost/none
      imagePullPolicy: Never
      resources: {{requests: {{cpu: 10m}}}}
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
      volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]
"
    )
}

/// A claim that one pod alone may use, and a pod that has it.
fn used_volume(namespace: &Namespace) -> Volume<'_> {
    let volume = Volume::exclusive(namespace, "held", USER);
    namespace.apply(&pod("holder", "held"));
    namespace.wait_for::<Pod>("holder", "is on a node", |pod| pod.spec.as_ref().unwrap().node_name.is_some());
    connect(namespace, "held", "held");
    volume
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_soon_and_given_up_in_time() {
    let namespace = Namespace::new("stuck");
    let scene = Scene::new(&namespace);
    limits(&namespace);
    let _held = used_volume(&namespace);
    connect(&namespace, "nowhere", "nowhere");
    let _operator = Operator::start(&namespace);
    let patience = "startTimeout: 30s";
    let target = |name: &str| format!("target: {{connectionRef: {{name: {name}}}}}\n{patience}");
    let runner = |fields: &str| format!("{patience}\nrunner: {{{fields}}}");
    let resources = |limits: &str, requests: &str| {
        runner(&format!("resources: {{limits: {{{limits}}}, requests: {{{requests}}}}}"))
    };
    let own = [
        trouble(
            "nonode",
            runner("nodeSelector: {no: such-node}"),
            "Unschedulable",
            &["pod nonode-", "node affinity/selector"],
        ),
        trouble(
            "nofolder",
            patience,
            "VolumeMountFailed",
            &["pod nofolder-", "FailedMount", "is not a directory"],
        ),
        trouble(
            "quota",
            resources("memory: 256Mi", "cpu: '40'"),
            "QuotaExceeded",
            &["Job quota-", "exceeded quota: processors", "requests.cpu=40"],
        ),
        trouble(
            "range",
            resources("memory: 2Gi", "cpu: 10m"),
            "QuotaExceeded",
            &["Job range-", "maximum memory usage per Container is 1Gi"],
        ),
        trouble(
            "policy",
            runner("podLabels: {odd: 'yes'}"),
            "AdmissionDenied",
            &["Job policy-", "ValidatingAdmissionPolicy", "no odd pods here"],
        ),
        trouble(
            "security",
            runner("podAnnotations: {container.apparmor.security.beta.kubernetes.io/restore: unconfined}"),
            "AdmissionDenied",
            &["Job security-", "violates PodSecurity \"restricted:latest\"", "AppArmor"],
        ),
        trouble(
            "account",
            runner("serviceAccountName: nobody"),
            "AdmissionDenied",
            &["Job account-", "serviceaccount \"nobody\" not found"],
        ),
        trouble(
            "priority",
            runner("priorityClassName: nothing"),
            "AdmissionDenied",
            &["Job priority-", "no PriorityClass with name nothing"],
        ),
    ];
    let shared = [
        trouble(
            "noclaim",
            target("nowhere"),
            "Unschedulable",
            &["pod noclaim-", "persistentvolumeclaim \"nowhere\" not found"],
        ),
        trouble("inuse", target("held"), "VolumeInUse", &["pod inuse-", "ReadWriteOncePod"]),
    ];
    let volumes: BTreeMap<_, _> = own
        .iter()
        .map(|row| {
            let volume = Volume::new(&namespace, row.name, USER);
            if row.name == "nofolder" {
                std::fs::remove_dir(volume.path("")).unwrap();
            }
            connect(&namespace, row.name, row.name);
            (row.name, volume)
        })
        .collect();
    for row in &own {
        scene.restore(
            row.name,
            &format!("target: {{connectionRef: {{name: {}}}}}\n{}", row.name, row.further),
        );
    }
    for row in &shared {
        scene.restore(row.name, &row.further);
    }
    let all: Vec<&Trouble> = own.iter().chain(&shared).collect();
    for row in &all {
        let status = when_reason(&scene, row.name, row.reason);
        row.check(&status);
    }
    for row in &all {
        let status = row.ends(&scene);
        assert_eq!(status.attempts.len(), 1, "{}", row.name);
        assert!(message(&status, "Ready").contains("it was waited for 30s"), "{}", message(&status, "Ready"));
        row.came_soon(&scene, warned(&namespace, &status));
        let file = volumes.get(row.name).map(|volume| volume.path("app.db"));
        assert!(file.is_none_or(|file| !file.exists()), "{}", row.name);
    }
    nothing_is_held(&namespace);
    for kind in ["validatingadmissionpolicy", "validatingadmissionpolicybinding"] {
        cluster().kubectl(&["delete", kind, &namespace.name]).expect(0, &[]);
    }
}

#[test]
fn an_image_that_cannot_be_had_or_does_not_start_is_told() {
    let mut rows = vec![
        (
            "localhost/reinstate/none:1",
            trouble(
                "image",
                "startTimeout: 30s",
                "ImagePullFailed",
                &["pod image-", "localhost/reinstate/none:1"],
            ),
        ),
        (
            "NO:IMAGE",
            trouble(
                "image",
                "startTimeout: 30s",
                "ImagePullFailed",
                &["pod image-", "InvalidImageName", "NO:IMAGE"],
            ),
        ),
    ];
    if cluster().folder.is_some() {
        // It holds one program, and that is another one.
        let row = trouble("image", "", "ContainerNotStarted", &["pod image-", "/reinstate", "no such file"]);
        rows.push(("localhost/reinstate/pause:test", row));
    }
    let namespaces: Vec<Namespace> = rows.iter().map(|_| Namespace::new("image")).collect();
    let scenes: Vec<Scene> = namespaces.iter().map(Scene::new).collect();
    let rows: Vec<_> = rows
        .into_iter()
        .zip(&scenes)
        .map(|((image, row), scene)| {
            let operator = Operator::start_with(scene.namespace, &["--runner-image", image]);
            let volume = row.make(scene.namespace);
            (operator, volume, row, scene)
        })
        .collect();
    for (_operator, _volume, row, scene) in &rows {
        if row.reason == "ImagePullFailed" {
            row.check(&when_reason(scene, row.name, row.reason));
        }
        let status = row.ends(scene);
        row.came_soon(scene, warned(scene.namespace, &status));
        nothing_is_held(scene.namespace);
    }
}

/// When the container of a restore ended.
fn finished(scene: &Scene, name: &str) -> Timestamp {
    let pods = scene.pods(name);
    let statuses =
        pods.iter().flat_map(|pod| pod.status.as_ref().unwrap().container_statuses.iter().flatten());
    let ended = statuses.filter_map(|one| one.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ended.map(|time| time.0).max().unwrap()
}

#[test]
fn a_run_that_is_killed_or_runs_out_of_time_says_so_and_what_became_of_the_target() {
    let namespace = Namespace::new("killed");
    let scene = Scene::new(&namespace);
    scene.bucket.put(BIG, &big());
    let _operator = Operator::start(&namespace);
    let resources = |text: &str| format!("runner: {{resources: {{{text}}}}}");
    let small = "limits: {memory: 24Mi}, requests: {memory: 8Mi, cpu: 10m}";
    let rows = [
        trouble("memory", of_big(&resources(small)), "OutOfMemory", &["pod memory-", "24Mi"]),
        trouble("refused", resources(small), "LimitExceeded", &["MiB of memory", "24 MiB"]),
        trouble(
            "deadline",
            of_big(&format!("timeout: 1s\n{}", resources(SLOW))),
            "DeadlineExceeded",
            &["timeout"],
        ),
        trouble("poddeleted", of_big(&resources(SLOW)), "Evicted", &["pod poddeleted-", "was deleted"]),
        trouble("evicted", of_big(&resources(SLOW)), "Evicted", &["pod evicted-", "EvictionByEvictionAPI"]),
        trouble("jobdeleted", of_big(&resources(SLOW)), "Evicted", &["Job jobdeleted-", "was deleted"]),
    ];
    let volumes: Vec<Volume> = rows.iter().map(|row| row.make(&namespace)).collect();
    let background = ["--wait=false", "--cascade=background"];
    let pod = running(&scene, "poddeleted");
    namespace.kubectl(&["delete", "pod", &pod.name_any(), background[0]]).expect(0, &[]);
    let pod = running(&scene, "evicted");
    let pods: Api<Pod> = namespace.api();
    cluster().wait(pods.evict(&pod.name_any(), &EvictParams::default())).unwrap();
    running(&scene, "jobdeleted");
    let job = scene.get("jobdeleted").status.unwrap().attempts[0].job_name.clone();
    namespace.kubectl(&["delete", "job", &job, background[0], background[1]]).expect(0, &[]);
    for (row, volume) in rows.iter().zip(&volumes) {
        let status = row.ends(&scene);
        assert_eq!(status.attempts.len(), 1, "{}", row.name);
        assert!(!volume.path("app.db").exists(), "{}", row.name);
        // A pod that was deleted is gone by now, and told before it went.
        if !row.name.ends_with("deleted") && row.name != "evicted" {
            row.came_soon(&scene, finished(&scene, row.name));
        }
    }
    nothing_is_held(&namespace);
    assert!(namespace.get::<Job>(&job).is_none(), "it is not made again");
}

#[test]
fn a_pod_or_job_that_is_deleted_before_the_start_was_never_a_run() {
    let namespace = Namespace::new("early");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let stuck = "retries: 0\nrunner: {nodeSelector: {no: such-node}}";
    let rows = [
        trouble("pod", stuck, "Evicted", &["pod pod-", "before the run started"]),
        trouble("job", stuck, "Evicted", &["pod job-", "before the run started"]),
    ];
    let _volumes: Vec<Volume> = rows.iter().map(|row| row.make(&namespace)).collect();
    for row in &rows {
        wait_until("there is a pod", || {
            namespace.get::<DatabaseRestore>(row.name).is_some() && !scene.pods(row.name).is_empty()
        });
        let label = format!("--selector=reinstate.dev/restore={}", row.name);
        namespace.kubectl(&["delete", row.name, &label, "--wait=false"]).expect(0, &[]);
    }
    for row in &rows {
        row.ends(&scene);
    }
    nothing_is_held(&namespace);
}

#[test]
fn a_missing_secret_is_waited_for_and_the_run_goes_on_when_it_comes() {
    let namespace = Namespace::new("secret");
    let scene = Scene::new(&namespace);
    for (name, secret, key) in
        [("late", "late", "master.key"), ("later", "later", "master.key"), ("other", "key-a", "other")]
    {
        namespace.apply(&format!(
            "
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {{name: {name}}}
spec: {{aes256Gcm: {{secretKeyRef: {{name: {secret}, key: {key}}}}}}}
"
        ));
    }
    let _operator = Operator::start(&namespace);
    let with = |profile: &str| {
        format!(
            "backup: {{storageRef: {{name: backups}}, path: {}, encryption: {{profileRef: {{name: {profile}}}, discovery: Disabled}}}}",
            crate::harness::scene::BACKUP
        )
    };
    let rows = [
        trouble("soon", with("late"), "SecretMissing", &["Secret late is not there"]),
        trouble("patient", with("later"), "SecretMissing", &["Secret later is not there"]),
        trouble("key", with("other"), "SecretKeyMissing", &["Secret key-a has no key other"]),
    ];
    let _volumes: Vec<Volume> = rows.iter().map(|row| row.make(&namespace)).collect();
    for row in &rows {
        let status = when_reason(&scene, row.name, row.reason);
        row.check(&status);
        assert_eq!(condition(&status, "TargetModified"), "False/Untouched", "{}", row.name);
        assert_eq!(condition(&status, "Stalled"), "absent", "{}: it may just be being made", row.name);
        row.came_soon(&scene, finished(&scene, row.name));
    }
    // None of them is in the way of another restore of its target.
    scene.restore("passing", "target: {connectionRef: {name: patient}}");
    assert_eq!(condition(&scene.ended("passing"), "Complete"), "True/Restored");
    let key = crate::support::PROFILE_A.2;
    let secret = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, stringData: {{master.key: {key}}}}}"
        )
    };
    namespace.apply(&secret("late"));
    assert_eq!(condition(&scene.ended("soon"), "Complete"), "True/Restored");
    let stalled = scene
        .when("patient", "asks for a person", |status| condition(status, "Stalled") == "True/SecretMissing");
    let first = stalled.attempts[0].completion_time.as_ref().unwrap().0;
    let grace = Timestamp::now().duration_since(first);
    assert!(grace >= SignedDuration::from_mins(2) && grace < SignedDuration::from_mins(3), "{grace:#}");
    assert!(stalled.completion_time.is_none());
    namespace.apply(&secret("later"));
    let restored = namespace.wait_within::<DatabaseRestore>(2 * PATIENCE, "patient", "goes on", |restore| {
        restore.status.as_ref().is_some_and(|status| {
            condition(status, "Complete") == "True/Restored"
                || condition(status, "Ready").contains("Confirmation")
        })
    });
    // Its target was restored meanwhile, so it asks; what it asks is that it could start.
    assert_eq!(condition(&restored.status.unwrap(), "Ready"), "Unknown/ConfirmationRequired");
    for name in ["patient", "key"] {
        scene.change(name, r#"{"cancel": true}"#);
        assert_eq!(condition(&scene.ended(name), "Failed"), "True/Cancelled");
    }
    nothing_is_held(&namespace);
}

#[test]
fn a_node_that_does_not_answer_keeps_the_run_and_its_place_until_it_comes_back() {
    let Some(node) = cluster().node() else { return };
    let namespace = Namespace::alone("lost");
    let scene = Scene::new(&namespace);
    scene.bucket.put(BIG, &big());
    let _operator = Operator::start(&namespace);
    let row = trouble("r", of_big(&format!("runner: {{resources: {{{SLOW}}}}}")), "NodeLost", &["pod r-"]);
    scene.restore(row.name, &row.further);
    let pod = running(&scene, "r");
    scene.restore("next", "");
    scene.phase("next", "WaitingForTarget");
    let stopped = node.stop_kubelet();
    let lost = when_reason(&scene, "r", "NodeLost");
    assert!(message(&lost, "Ready").contains(&pod.name_any()), "{}", message(&lost, "Ready"));
    let ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().unwrap().conditions.as_ref().unwrap();
        conditions.iter().find(|it| it.type_ == "Ready").unwrap().last_transition_time.as_ref().unwrap().0
    };
    row.came_soon(&scene, ready(&namespace.get(&pod.name_any()).unwrap()));
    // The run goes on without it, and nothing else starts. When it comes back, it ends what is still running.
    wait_until("the run is through", || scene.volume.path("app.db").exists());
    let status = scene.get("r").status.unwrap();
    assert_eq!((status.completion_time, status.attempts.len()), (None, 1));
    assert_eq!(scene.pods("r").len(), 1);
    assert_eq!(condition(&scene.get("next").status.unwrap(), "Ready"), "Unknown/WaitingForTarget");
    drop(stopped);
    let status = scene.ended("r");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!((status.attempts.len(), scene.pods("r").len()), (1, 1));
    assert!(scene.volume.path("app.db").exists());
    // Only now the next may look, and there is something to ask about.
    scene.phase("next", "AwaitingConfirmation");
}

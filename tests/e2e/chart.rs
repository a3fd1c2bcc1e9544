//! The chart on the node: installed, tested, upgraded and uninstalled with the real images; every
//! combination of its values shown to the API server; its policies tried; the way out of an uninstall
//! in the midst of a run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use reinstate::api::DatabaseRestore;

use crate::chart_table::{COMBINATIONS, project, template};
use crate::harness::scene::{Scene, condition};
use crate::harness::{Namespace, Operator, cluster};
use crate::parts::{installed, installed_folder};
use crate::support::Ended;

/// Values that use the images of the tests.
const IMAGES: &str = "image: {pullPolicy: Never, operator: {registry: localhost, tag: test}, \
                      runner: {registry: localhost, tag: test}}";

/// Where the definitions of the Prometheus operator lie.
fn monitoring_definitions() -> String {
    installed_folder("prometheus-operator").to_str().unwrap().to_owned()
}

#[test]
fn every_combination_of_values_is_taken_by_the_api_server() {
    let (release, shop, staging) =
        (Namespace::new("chart"), Namespace::new("chart"), Namespace::new("chart"));
    let definitions = monitoring_definitions();
    for arguments in [
        &["apply", "--server-side", "-f", &definitions][..],
        &["wait", "--for=condition=Established", "--timeout=60s", "-f", &definitions],
    ] {
        cluster().kubectl(arguments).expect(0, &[]);
    }
    for combination in COMBINATIONS {
        let values = combination
            .values
            .replace("namespace: system", &format!("namespace: {}", release.name))
            .replace("shop", &shop.name)
            .replace("staging", &staging.name);
        let text = template(&values, &["--namespace", &release.name]).unwrap();
        let ended = pipe(
            &[
                "apply",
                "--server-side",
                "--force-conflicts",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ],
            &text,
        );
        assert_eq!(ended.code, 0, "{}\n{}", combination.name, ended.err);
        assert!(!ended.err.contains("Warning"), "{}\n{}", combination.name, ended.err);
    }
}

/// Runs kubectl with `input`.
fn pipe(arguments: &[&str], input: &str) -> Ended {
    let mut command = cluster().kubectl_command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ended::of(child.wait_with_output().unwrap())
}

/// Helm on the release `reinstate` of a namespace.
fn helm(namespace: &Namespace, verb: &[&str], more: &[&str]) -> Ended {
    let mut arguments = verb.to_vec();
    arguments.extend(["--namespace", &namespace.name]);
    arguments.extend(more);
    namespace.cluster.helm(&arguments)
}

/// The operator's pods that are ready, by address.
fn operators(namespace: &Namespace) -> Vec<String> {
    let pods = namespace.list::<Pod>("app.kubernetes.io/component=operator");
    let ready = |pod: &&Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|it| it.type_ == "Ready" && it.status == "True"))
            && pod.metadata.deletion_timestamp.is_none()
    };
    pods.iter().filter(ready).map(|pod| pod.status.as_ref().unwrap().pod_ip.clone().unwrap()).collect()
}

fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect((address, 8080)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_chart_that_is_installed_upgraded_and_uninstalled_restores_and_keeps_the_records() {
    let namespace = Namespace::new("install");
    let scene = Scene::new(&namespace);
    let chart = project("charts/reinstate");
    let chart = chart.to_str().unwrap();
    let watch = format!("watchNamespaces={{{}}}", namespace.name);
    let values = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(values.path(), IMAGES).unwrap();
    let values = ["--values", values.path().to_str().unwrap(), "--set", &watch, "--take-ownership"];
    let waiting = ["--wait", "--timeout=3m"];

    let told = helm(&namespace, &["install", "reinstate", chart], &[&values[..], &waiting].concat())
        .expect(0, &["STATUS: deployed", "watches the namespaces", "kubectl apply -f -"]);
    assert!(!told.out.contains("<no value>"), "{}", told.out);
    scene.restore("first", "");
    let status = scene.ended("first");
    assert_eq!(condition(&status, "Complete"), "True/Restored");
    let uid = scene.get("first").uid();
    let address = operators(&namespace).pop().unwrap();
    let metrics = page(&address, "/metrics");
    for line in [
        "reinstate_runs_total{engine=\"SQLite\",result=\"Complete\",reason=\"Restored\"} 1",
        "reinstate_leader 1",
        &format!("reinstate_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }

    let upgrade = ["upgrade", "reinstate", chart, "--set", "replicas=2"];
    helm(&namespace, &upgrade, &[&values[..], &waiting].concat()).expect(0, &["STATUS: deployed"]);
    assert!(namespace.get::<PodDisruptionBudget>("reinstate").is_some());
    namespace.wait_for::<Deployment>("reinstate", "has two ready replicas", |deployment| {
        deployment.status.as_ref().is_some_and(|status| status.ready_replicas == Some(2))
    });
    let address = format!("tests.address={}:8080", operators(&namespace).pop().unwrap());
    let upgrade = ["upgrade", "reinstate", chart, "--set", "replicas=2", "--set", &address];
    helm(&namespace, &upgrade, &[&values[..], &waiting].concat()).expect(0, &[]);
    helm(&namespace, &["test", "reinstate"], &["--timeout=2m"]).expect(0, &["Phase:          Succeeded"]);
    assert_eq!(scene.get("first").uid(), uid);
    assert_eq!(scene.get("first").status, Some(status.clone()), "an upgrade changes no record");

    helm(&namespace, &["uninstall", "reinstate"], &waiting)
        .expect(0, &["kept due to the resource policy", "databaserestores.reinstate.dev"]);
    assert!(namespace.get::<Deployment>("reinstate").is_none());
    let kept: DatabaseRestore = namespace.get("first").unwrap();
    assert_eq!((kept.uid(), kept.status), (uid, Some(status)), "an uninstall changes no record");
    namespace.kubectl(&["delete", "dbr", "first", "--timeout=30s"]).expect(0, &[]);
}

#[test]
fn the_policies_of_the_chart_refuse_what_they_say() {
    let namespace = Namespace::new("policies");
    let text = template(
        "{commonLabels: {test: policies}, policies: {namespaceSelector: {matchLabels: {narrow: POLICIES}}, \
          confirm: {enabled: true}, serviceAccounts: {enabled: true, allowed: [default, reader]}, \
          storages: {enabled: true, endpoints: ['', 'https://minio.example:9000'], buckets: [backups], \
          claims: [backups]}, connections: {enabled: true, hosts: ['*.staging.svc', 10.1.0.5], claims: [data]}, \
          runner: {enabled: true, priorityClasses: [low], placement: false}}}"
            .replace("POLICIES", &namespace.name)
            .as_str(),
        &[
            "--namespace",
            &namespace.name,
            "--show-only=templates/policies/*.yaml",
            "--show-only=templates/rbac/aggregated.yaml",
        ],
    )
    .unwrap();
    let _gone = Gone(text.clone());
    pipe(&["apply", "--server-side", "-f", "-"], &text).expect(0, &[]);
    cluster()
        .kubectl(&["label", "namespace", &namespace.name, &format!("narrow={}", namespace.name)])
        .expect(0, &[]);
    for role in ["edit", "admin"] {
        let (role_name, user) = (format!("--clusterrole={role}"), format!("--user={role}"));
        namespace.kubectl(&["create", "rolebinding", role, &role_name, &user]).expect(0, &[]);
    }
    // Policies come into force a moment after they were made.
    crate::parts::wait_until("the policies are in force", || {
        try_as(&namespace, "admin", &storage("s3: {bucket: other}")).code != 0
    });
    let confirmations = "only who has the RBAC verb confirm on databaserestores may write overwrite.confirm";
    for (user, manifest, refusal) in [
        ("edit", restore("plain", ""), None),
        ("edit", restore("sure", "overwrite: {confirm: [x]}"), Some(confirmations)),
        ("admin", restore("sure", "overwrite: {confirm: [x]}"), None),
        ("edit", restore("sure", "suspend: true, overwrite: {confirm: [x]}"), None),
        (
            "edit",
            restore("sure", "overwrite: {confirm: [x], confirmUntil: '2099-01-01T00:00:00Z'}"),
            Some(confirmations),
        ),
        ("edit", restore("sure", "overwrite: {confirm: [other]}"), Some(confirmations)),
        ("edit", restore("plain", "overwrite: {confirmedPlan: abc}"), Some(confirmations)),
        ("admin", restore("plain", "overwrite: {confirmedPlan: abc}"), None),
        (
            "admin",
            restore("account", "runner: {serviceAccountName: root}"),
            Some("restores may not use the service account root"),
        ),
        ("admin", restore("account", "runner: {serviceAccountName: reader}"), None),
        (
            "admin",
            restore("memory", "runner: {resources: {limits: {memory: 5Gi}}}"),
            Some("at most 4Gi of memory"),
        ),
        ("admin", restore("memory", "runner: {resources: {limits: {memory: 4096Mi}}}"), None),
        ("admin", restore("cpu", "runner: {resources: {requests: {cpu: 4001m}}}"), Some("at most 4 CPUs")),
        ("admin", restore("cpu", "runner: {resources: {requests: {cpu: '4'}}}"), None),
        (
            "admin",
            restore("priority", "runner: {priorityClassName: high}"),
            Some("runner.priorityClassName is not one of"),
        ),
        (
            "admin",
            restore("place", "runner: {nodeSelector: {a: b}}"),
            Some("nodeSelector and affinity may not"),
        ),
        ("edit", storage("s3: {bucket: backups}"), None),
        ("edit", storage("s3: {bucket: other}"), Some("s3.bucket is not one of the allowed buckets")),
        (
            "edit",
            storage("s3: {bucket: backups, endpoint: 'https://evil.example'}"),
            Some("s3.endpoint is not one of the allowed endpoints"),
        ),
        ("edit", storage("s3: {bucket: backups, endpoint: 'https://minio.example:9000'}"), None),
        ("edit", storage("volume: {claimName: other}"), Some("volume.claimName is not one of the allowed")),
        ("edit", connection("engine: PostgreSQL, host: pg.staging.svc"), None),
        (
            "edit",
            connection("engine: PostgreSQL, host: staging.svc"),
            Some("host is not one of the allowed hosts"),
        ),
        ("edit", connection("engine: PostgreSQL, host: 10.1.0.5"), None),
        (
            "edit",
            connection("engine: SQLite, sqlite: {claimName: other, path: a}"),
            Some("sqlite.claimName is not one of the allowed claims"),
        ),
    ] {
        let ended = try_as(&namespace, user, &manifest);
        match refusal {
            None => assert_eq!(ended.code, 0, "{manifest}\n{}", ended.err),
            Some(says) => {
                assert!(
                    ended.code != 0 && ended.err.contains(says),
                    "{manifest}\n{}{}",
                    ended.out,
                    ended.err
                );
            }
        }
    }
}

/// Removes cluster-wide objects at the end.
struct Gone(String);

impl Drop for Gone {
    fn drop(&mut self) {
        pipe(&["delete", "--wait=false", "-f", "-"], &self.0);
    }
}

fn try_as(namespace: &Namespace, user: &str, manifest: &str) -> Ended {
    let at = [
        "--namespace",
        &namespace.name,
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
        "--as",
        user,
    ];
    pipe(&at, manifest)
}

fn restore(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: reinstate.dev/v1alpha1, kind: DatabaseRestore, metadata: {{name: {name}}}, \
         spec: {{backup: {{storageRef: {{name: s}}, path: a}}, target: {{connectionRef: {{name: c}}}}, {spec}}}}}"
    )
}

fn storage(spec: &str) -> String {
    format!(
        "{{apiVersion: reinstate.dev/v1alpha1, kind: BackupStorage, metadata: {{name: s}}, spec: {{{spec}}}}}"
    )
    .replace("{name: s}", if spec.starts_with("volume") { "{name: v}" } else { "{name: s}" })
}

fn connection(spec: &str) -> String {
    let name = if spec.contains("SQLite") { "file" } else { "server" };
    format!(
        "{{apiVersion: reinstate.dev/v1alpha1, kind: DatabaseConnection, metadata: {{name: {name}}}, spec: {{{spec}}}}}"
    )
}

/// The commands that `docs/install.md` gives for an operator that is gone in the midst of a run, on
/// the test's namespace alone.
#[test]
fn what_an_uninstall_in_the_midst_of_a_run_leaves_goes_with_the_commands_of_the_page() {
    let namespace = Namespace::new("uninstall");
    let scene = Scene::new(&namespace);
    // A runner whose image is nowhere: its pod is there and never ends.
    let mut operator =
        Operator::start_with(&namespace, &["--runner-image", "localhost/reinstate/nothing:test"]);
    scene.restore("stuck", "");
    namespace.wait_for::<DatabaseRestore>("stuck", "is held by the finalizer", |restore| {
        restore.finalizers().iter().any(|it| it == "reinstate.dev/run")
    });
    crate::parts::wait_until("its pod is there", || !scene.pods("stuck").is_empty());
    operator.process.kill();
    namespace.kubectl(&["delete", "dbr", "stuck", "--wait=false"]).expect(0, &[]);

    let page = std::fs::read_to_string(project("docs/install.md")).unwrap();
    let (_, page) = page.split_once("no operator is to come back").unwrap();
    let commands = page.split("```").nth(1).unwrap().trim_start_matches("sh\n");
    let commands = commands.replace(" -A ", &format!(" -n {} ", namespace.name));
    assert!(!commands.contains("-A"), "{commands}");
    let path =
        format!("{}:{}", installed("kubectl").parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands])
        .env("PATH", path)
        .env("KUBECONFIG", &namespace.cluster.kubeconfig)
        .output()
        .unwrap();
    Ended::of(output).expect(0, &[]);
    namespace.wait_gone::<DatabaseRestore>("stuck");
    crate::parts::wait_until("its pods are gone", || {
        namespace.list::<Pod>("app.kubernetes.io/managed-by=reinstate").is_empty()
    });
}

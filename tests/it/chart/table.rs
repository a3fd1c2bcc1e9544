//! Combinations of the chart's values, with what they render, and Helm. The tests without a cluster
//! and those on one read the same table.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::parts::installed;

/// Helm takes the version of the cluster from here where it asks none.
pub(crate) const KUBE_VERSION: &str = "1.35.0";

/// Values, and the objects that they add to those of the defaults (`-Kind/name` takes one away).
pub(crate) struct Combination {
    pub(crate) name: &'static str,
    pub(crate) values: &'static str,
    pub(crate) adds: &'static [&'static str],
}

/// What the defaults render, of release `r` in namespace `system`.
pub(crate) const DEFAULTS: &[&str] = &[
    "ClusterRole/system-r-reinstate",
    "ClusterRole/system-r-reinstate-admin",
    "ClusterRole/system-r-reinstate-edit",
    "ClusterRole/system-r-reinstate-view",
    "ClusterRoleBinding/system-r-reinstate",
    "CustomResourceDefinition/backupstorages.reinstate.dev",
    "CustomResourceDefinition/databaseconnections.reinstate.dev",
    "CustomResourceDefinition/databaserestores.reinstate.dev",
    "CustomResourceDefinition/encryptionprofiles.reinstate.dev",
    "Deployment/r-reinstate",
    "Pod/r-reinstate-test-ready",
    "Role/r-reinstate-own",
    "RoleBinding/r-reinstate-own",
    "Service/r-reinstate",
    "ServiceAccount/r-reinstate",
];

/// Every value of the chart that changes what is rendered stands in one of these.
pub(crate) const COMBINATIONS: &[Combination] = &[
    Combination { name: "the defaults", values: "{}", adds: &[] },
    Combination { name: "two replicas", values: "replicas: 2", adds: &["PodDisruptionBudget/r-reinstate"] },
    Combination {
        name: "two replicas without a budget",
        values: "{replicas: 2, podDisruptionBudget: {enabled: false}}",
        adds: &[],
    },
    Combination { name: "no election", values: "leaderElection: false", adds: &[] },
    Combination {
        name: "watched namespaces",
        values: "watchNamespaces: [shop, staging]",
        adds: &[
            "-ClusterRole/system-r-reinstate",
            "-ClusterRoleBinding/system-r-reinstate",
            "Role/shop/r-reinstate",
            "Role/staging/r-reinstate",
            "RoleBinding/shop/r-reinstate",
            "RoleBinding/staging/r-reinstate",
        ],
    },
    Combination {
        name: "nothing that is cluster-wide",
        values: "{watchNamespaces: [shop], crds: {enabled: false}, rbac: {aggregate: false}}",
        adds: &[
            "-ClusterRole/system-r-reinstate",
            "-ClusterRole/system-r-reinstate-admin",
            "-ClusterRole/system-r-reinstate-edit",
            "-ClusterRole/system-r-reinstate-view",
            "-ClusterRoleBinding/system-r-reinstate",
            "-CustomResourceDefinition/backupstorages.reinstate.dev",
            "-CustomResourceDefinition/databaseconnections.reinstate.dev",
            "-CustomResourceDefinition/databaserestores.reinstate.dev",
            "-CustomResourceDefinition/encryptionprofiles.reinstate.dev",
            "Role/shop/r-reinstate",
            "RoleBinding/shop/r-reinstate",
        ],
    },
    Combination { name: "definitions that go with the chart", values: "crds: {keep: false}", adds: &[] },
    Combination {
        name: "an account of one's own",
        values: "{serviceAccount: {create: false, name: mine}, rbac: {create: false}}",
        adds: &[
            "-ServiceAccount/r-reinstate",
            "-ClusterRole/system-r-reinstate",
            "-ClusterRoleBinding/system-r-reinstate",
            "-Role/r-reinstate-own",
            "-RoleBinding/r-reinstate-own",
        ],
    },
    Combination {
        name: "other names",
        values: "{fullnameOverride: restores, nameOverride: other, serviceAccount: {name: named}, service: {enabled: false}}",
        adds: &[
            "-ClusterRole/system-r-reinstate",
            "-ClusterRole/system-r-reinstate-admin",
            "-ClusterRole/system-r-reinstate-edit",
            "-ClusterRole/system-r-reinstate-view",
            "-ClusterRoleBinding/system-r-reinstate",
            "-Deployment/r-reinstate",
            "-Pod/r-reinstate-test-ready",
            "-Role/r-reinstate-own",
            "-RoleBinding/r-reinstate-own",
            "-Service/r-reinstate",
            "-ServiceAccount/r-reinstate",
            "ClusterRole/system-restores",
            "ClusterRole/system-restores-admin",
            "ClusterRole/system-restores-edit",
            "ClusterRole/system-restores-view",
            "ClusterRoleBinding/system-restores",
            "Deployment/restores",
            "Pod/restores-test-ready",
            "Role/restores-own",
            "RoleBinding/restores-own",
            "ServiceAccount/named",
        ],
    },
    Combination {
        name: "images",
        values: "{image: {pullPolicy: Always, pullSecrets: [{name: pull}], \
                  operator: {registry: registry.example, tag: '7'}, \
                  runner: {registry: registry.example/, repository: team/runner, \
                  digest: 'sha256:0123456789012345678901234567890123456789012345678901234567890123'}}}",
        adds: &[],
    },
    Combination {
        name: "the pod",
        values: "{podAnnotations: {a: b}, podLabels: {c: d}, nodeSelector: {kubernetes.io/os: linux}, \
                  tolerations: [{key: a, operator: Exists}], \
                  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}, \
                  topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, \
                  whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}], priorityClassName: system-cluster-critical, \
                  resources: {limits: {cpu: 1, memory: 1Gi}}, terminationGracePeriodSeconds: 5, \
                  extraArgs: [--identity=me], extraEnv: [{name: X, value: 'y'}], \
                  extraVolumes: [{name: v, emptyDir: {}}], extraVolumeMounts: [{name: v, mountPath: /v}], \
                  logLevel: 'reinstate=debug', port: 9090, concurrency: {total: 5, perNamespace: 2}, \
                  podSecurityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}}",
        adds: &[],
    },
    Combination {
        name: "labels and annotations everywhere",
        values: "{commonLabels: {team: data}, commonAnnotations: {example.com/owner: data}, \
                  service: {annotations: {a: b}}, serviceAccount: {annotations: {c: d}}}",
        adds: &[],
    },
    Combination {
        name: "monitoring",
        values: "{metrics: {force: true, serviceMonitor: {enabled: true, labels: {release: prometheus}, \
                  interval: 15s, relabelings: [{action: labeldrop, regex: pod}], \
                  metricRelabelings: [{action: drop, sourceLabels: [__name__], regex: x}]}, \
                  podMonitor: {enabled: true, labels: {release: prometheus}, interval: 15s, \
                  relabelings: [{action: labeldrop, regex: pod}], \
                  metricRelabelings: [{action: drop, sourceLabels: [__name__], regex: x}]}, \
                  prometheusRule: {enabled: true, labels: {release: prometheus}, alertLabels: {team: data}, \
                  stuckFor: 1h, lastSuccessSeconds: 90000}, \
                  dashboard: {enabled: true, labels: {grafana_dashboard: '1'}, annotations: {folder: Databases}}}}",
        adds: &[
            "ConfigMap/r-reinstate-dashboard",
            "PodMonitor/r-reinstate",
            "PrometheusRule/r-reinstate",
            "ServiceMonitor/r-reinstate",
        ],
    },
    Combination {
        name: "monitoring that the cluster does not know",
        values: "{metrics: {serviceMonitor: {enabled: true}, podMonitor: {enabled: true}, \
                  prometheusRule: {enabled: true}}}",
        adds: &[],
    },
    Combination {
        name: "network policies",
        values: "{networkPolicy: {enabled: true}, \
                  runnerNetworkPolicy: {enabled: true, namespaces: [shop, staging], \
                  egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 5432}]}]}}",
        adds: &[
            "NetworkPolicy/r-reinstate",
            "NetworkPolicy/shop/r-reinstate-runner",
            "NetworkPolicy/staging/r-reinstate-runner",
        ],
    },
    Combination {
        name: "a narrow network policy",
        values: "{watchNamespaces: [shop], networkPolicy: {enabled: true, apiServerCIDRs: [10.0.0.1/32], \
                  apiServerPorts: [6443], \
                  ingressFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}}",
        adds: &[
            "-ClusterRole/system-r-reinstate",
            "-ClusterRoleBinding/system-r-reinstate",
            "NetworkPolicy/r-reinstate",
            "Role/shop/r-reinstate",
            "RoleBinding/shop/r-reinstate",
        ],
    },
    Combination {
        name: "policies",
        values: "{policies: {actions: [Warn, Audit], namespaceSelector: {matchLabels: {a: b}}, \
                  confirm: {enabled: true}, \
                  serviceAccounts: {enabled: true, allowed: [default, reader]}, \
                  storages: {enabled: true, endpoints: [''], buckets: [backups], claims: [c]}, \
                  connections: {enabled: true, hosts: ['*.svc'], claims: [c]}, \
                  runner: {enabled: true, maxCPU: '2', maxMemory: 1Gi, priorityClasses: [low], placement: false}}}",
        adds: &[
            "ValidatingAdmissionPolicy/system-r-reinstate-confirm",
            "ValidatingAdmissionPolicy/system-r-reinstate-connections",
            "ValidatingAdmissionPolicy/system-r-reinstate-runner",
            "ValidatingAdmissionPolicy/system-r-reinstate-service-accounts",
            "ValidatingAdmissionPolicy/system-r-reinstate-storages",
            "ValidatingAdmissionPolicyBinding/system-r-reinstate-confirm",
            "ValidatingAdmissionPolicyBinding/system-r-reinstate-connections",
            "ValidatingAdmissionPolicyBinding/system-r-reinstate-runner",
            "ValidatingAdmissionPolicyBinding/system-r-reinstate-service-accounts",
            "ValidatingAdmissionPolicyBinding/system-r-reinstate-storages",
        ],
    },
    Combination {
        name: "further objects",
        values: "{tests: {address: '10.1.2.3:8080'}, global: {any: thing}, extraObjects: [\
                  {apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-extra', namespace: system}}, \
                  \"apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: text, namespace: system}\\n\"]}",
        adds: &["ConfigMap/r-extra", "ConfigMap/text"],
    },
];

pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs Helm with `values`, as a file, behind the arguments.
pub(crate) fn helm(arguments: &[&str], values: &str) -> Output {
    let mut child = Command::new(installed("helm"))
        .args(arguments)
        .args(["--values", "-"])
        .current_dir(project(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(values.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What the chart renders, or what Helm says against it.
pub(crate) fn template(values: &str, more: &[&str]) -> Result<String, String> {
    let mut arguments =
        vec!["template", "r", "charts/reinstate", "--namespace", "system", "--kube-version", KUBE_VERSION];
    arguments.extend(more);
    let output = helm(&arguments, values);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The rendered objects.
pub(crate) fn render(values: &str) -> Vec<Value> {
    parse(&template(values, &[]).unwrap_or_else(|error| panic!("{values}\n{error}")))
}

/// The documents of a stream of YAML.
pub(crate) fn parse(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Value>(text)
        .unwrap()
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

/// `Kind/name`, with the namespace between them where it is not the release's.
pub(crate) fn key(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let (kind, name) = (text("/kind").unwrap(), text("/metadata/name").unwrap());
    match text("/metadata/namespace") {
        Some(namespace) if namespace != "system" => format!("{kind}/{namespace}/{name}"),
        _ => format!("{kind}/{name}"),
    }
}

/// The one object of this key.
pub(crate) fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects.iter().find(|object| key(object) == wanted).unwrap_or_else(|| panic!("{wanted} is not there"))
}

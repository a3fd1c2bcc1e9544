//! What the chart renders.

use std::collections::BTreeSet;

use reinstate::operator::metrics::{End, Metrics};
use reinstate::operator::rbac::{RULES, Rule, Scope};
use reinstate::report::TargetModified;
use serde_json::{Value, json};

use super::table::{COMBINATIONS, DEFAULTS, find, key, project, render, template};

#[test]
fn every_combination_renders_the_objects_it_should() {
    for combination in COMBINATIONS {
        let mut expected: BTreeSet<String> = DEFAULTS.iter().map(|key| (*key).to_owned()).collect();
        for added in combination.adds {
            match added.strip_prefix('-') {
                Some(gone) => assert!(expected.remove(gone), "{}: {gone}", combination.name),
                None => assert!(expected.insert((*added).to_owned()), "{}: {added}", combination.name),
            }
        }
        let objects = render(combination.values);
        let found: BTreeSet<String> = objects.iter().map(key).collect();
        assert_eq!(found, expected, "{}", combination.name);
        assert_eq!(found.len(), objects.len(), "{}: an object stands twice", combination.name);
    }
}

#[test]
fn what_cannot_work_is_refused_with_a_word_about_it() {
    for (values, says) in [
        ("{replicas: 2, leaderElection: false}", "replicas above 1 need leaderElection"),
        (
            "{service: {enabled: false}, metrics: {force: true, serviceMonitor: {enabled: true}}}",
            "metrics.serviceMonitor.enabled needs service.enabled",
        ),
        ("runnerNetworkPolicy: {enabled: true}", "needs runnerNetworkPolicy.namespaces"),
    ] {
        let error = template(values, &[]).unwrap_err();
        assert!(error.contains(says), "{values}\n{error}");
    }
    let error = template("{}", &["--kube-version", "1.29.0"]).unwrap_err();
    assert!(error.contains("chart requires kubeVersion: >=1.30.0-0"), "{error}");
}

#[test]
fn monitors_are_rendered_where_the_cluster_knows_them() {
    let values = "metrics: {serviceMonitor: {enabled: true}}";
    assert!(!template(values, &[]).unwrap().contains("kind: ServiceMonitor"));
    let known = template(values, &["--api-versions", "monitoring.coreos.com/v1"]).unwrap();
    assert!(known.contains("kind: ServiceMonitor"));
}

#[test]
fn every_object_carries_the_labels_and_those_of_the_user() {
    let values = format!(
        "{{replicas: 2, commonLabels: {{team: data}}, commonAnnotations: {{owner: me}}, {}, {}, {}}}",
        "metrics: {force: true, serviceMonitor: {enabled: true}, podMonitor: {enabled: true}, \
         prometheusRule: {enabled: true}, dashboard: {enabled: true}}",
        "networkPolicy: {enabled: true}, runnerNetworkPolicy: {enabled: true, namespaces: [shop]}",
        "policies: {confirm: {enabled: true}, serviceAccounts: {enabled: true}, storages: {enabled: true}, \
         connections: {enabled: true}, runner: {enabled: true}}",
    );
    let objects = render(&values);
    assert!(objects.len() > 30, "{}", objects.len());
    for object in &objects {
        let metadata = &object["metadata"];
        for (label, expected) in [
            ("app.kubernetes.io/name", "reinstate"),
            ("app.kubernetes.io/instance", "r"),
            ("app.kubernetes.io/part-of", "reinstate"),
            ("app.kubernetes.io/version", env!("CARGO_PKG_VERSION")),
            ("app.kubernetes.io/managed-by", "Helm"),
            ("helm.sh/chart", concat!("reinstate-", env!("CARGO_PKG_VERSION"))),
            ("team", "data"),
        ] {
            assert_eq!(metadata["labels"][label], expected, "{} {label}", key(object));
        }
        assert_eq!(metadata["annotations"]["owner"], "me", "{}", key(object));
    }
    let pod = &find(&objects, "Deployment/r-reinstate")["spec"]["template"]["metadata"];
    assert_eq!((&pod["labels"]["team"], &pod["annotations"]["owner"]), (&json!("data"), &json!("me")));
    let role = find(&objects, "ClusterRole/system-r-reinstate-view");
    assert_eq!(role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], "true");
}

#[test]
fn definitions_stay_when_the_chart_goes_unless_told_otherwise() {
    for (values, keep) in [("{}", json!("keep")), ("crds: {keep: false}", Value::Null)] {
        let objects = render(values);
        let mut definitions = 0;
        for object in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
            definitions += 1;
            assert_eq!(object["metadata"]["annotations"]["helm.sh/resource-policy"], keep, "{}", key(object));
            let plain =
                project("crds").join(format!("{}.yaml", object["spec"]["names"]["plural"].as_str().unwrap()));
            let plain = super::table::parse(&std::fs::read_to_string(plain).unwrap());
            assert_eq!(object["spec"], plain[0]["spec"], "{}", key(object));
        }
        assert_eq!(definitions, 4);
    }
}

/// The rules of the table, as a role has them.
fn rules(scope: Scope) -> Value {
    let rule =
        |rule: &Rule| json!({"apiGroups": [rule.group], "resources": rule.resources, "verbs": rule.verbs});
    RULES.iter().filter(|it| it.scope == scope).map(rule).collect()
}

#[test]
fn the_operator_gets_what_the_table_says_and_nothing_else() {
    for (values, watched) in [
        ("{}", &["ClusterRole/system-r-reinstate"][..]),
        ("watchNamespaces: [shop, staging]", &["Role/shop/r-reinstate", "Role/staging/r-reinstate"]),
    ] {
        let objects = render(values);
        for role in watched {
            assert_eq!(find(&objects, role)["rules"], rules(Scope::Watched), "{role}");
            let binding = find(&objects, &role.replacen("Role/", "RoleBinding/", 1));
            let expected = json!([{"kind": "ServiceAccount", "name": "r-reinstate", "namespace": "system"}]);
            assert_eq!(binding["subjects"], expected, "{role}");
        }
        assert_eq!(find(&objects, "Role/r-reinstate-own")["rules"], rules(Scope::Own));
    }
}

#[test]
fn no_role_opens_secrets_config_maps_or_logs() {
    for combination in COMBINATIONS {
        for object in render(combination.values) {
            for rule in object["rules"].as_array().into_iter().flatten() {
                for resource in rule["resources"].as_array().unwrap() {
                    let resource = resource.as_str().unwrap();
                    let closed = ["secrets", "configmaps", "pods/log", "pods/exec", "*"];
                    assert!(!closed.contains(&resource), "{}: {rule}", key(&object));
                }
                assert!(!rule["verbs"].as_array().unwrap().contains(&json!("*")), "{}: {rule}", key(&object));
            }
        }
    }
}

#[test]
fn with_watched_namespaces_nothing_is_granted_cluster_wide() {
    let objects = render("watchNamespaces: [shop]");
    for object in objects.iter().filter(|object| object["metadata"].get("namespace").is_none()) {
        let is_aggregated = object["metadata"]["labels"]
            .as_object()
            .unwrap()
            .keys()
            .any(|label| label.starts_with("rbac.authorization.k8s.io/aggregate-to-"));
        assert!(is_aggregated || object["kind"] == "CustomResourceDefinition", "{}", key(object));
    }
}

#[test]
fn only_the_admin_role_may_confirm() {
    let objects = render("{}");
    for (role, confirms) in [("view", false), ("edit", false), ("admin", true)] {
        let rules = find(&objects, &format!("ClusterRole/system-r-reinstate-{role}"))["rules"].to_string();
        assert_eq!(rules.contains("confirm"), confirms, "{role}: {rules}");
    }
}

#[test]
fn images_follow_the_version_a_tag_or_a_digest() {
    let digest = format!("sha256:{}", "0123456789".repeat(7).split_at(64).0);
    let version = env!("CARGO_PKG_VERSION");
    for (values, operator, runner) in [
        ("{}".to_owned(), format!("reinstate/operator:{version}"), format!("reinstate/runner:{version}")),
        (
            "image: {operator: {tag: edge}, runner: {registry: registry.example}}".to_owned(),
            "reinstate/operator:edge".to_owned(),
            format!("registry.example/reinstate/runner:{version}"),
        ),
        (
            format!(
                "image: {{operator: {{registry: r/, digest: '{digest}'}}, runner: {{tag: x, digest: '{digest}'}}}}"
            ),
            format!("r/reinstate/operator@{digest}"),
            format!("reinstate/runner@{digest}"),
        ),
    ] {
        let objects = render(&values);
        let container =
            &find(&objects, "Deployment/r-reinstate")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], operator.as_str(), "{values}");
        let argument = json!(format!("--runner-image={runner}"));
        assert!(container["args"].as_array().unwrap().contains(&argument), "{values}: {container}");
        let test = &find(&objects, "Pod/r-reinstate-test-ready")["spec"]["containers"][0];
        assert_eq!(test["image"], operator.as_str(), "{values}");
    }
}

#[test]
fn arguments_say_what_the_values_say() {
    let objects = render(
        "{watchNamespaces: [a, b], concurrency: {total: 5, perNamespace: 2}, port: 9090, leaderElection: false, \
         image: {pullPolicy: Never}, extraArgs: [--identity=me]}",
    );
    let deployment = find(&objects, "Deployment/r-reinstate");
    let expected = json!([
        "operator",
        "--namespace=$(POD_NAMESPACE)",
        format!("--runner-image=reinstate/runner:{}", env!("CARGO_PKG_VERSION")),
        "--image-pull-policy=Never",
        "--listen=0.0.0.0:9090",
        "--leader-election=false",
        "--watch-namespace=a",
        "--watch-namespace=b",
        "--max-concurrent=5",
        "--max-concurrent-per-namespace=2",
        "--identity=me",
    ]);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["args"], expected);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate", "two must never act at once");
}

#[test]
fn the_pods_meet_pod_security_restricted() {
    for combination in COMBINATIONS {
        for object in render(combination.values) {
            let spec = match object["kind"].as_str().unwrap() {
                "Deployment" => &object["spec"]["template"]["spec"],
                "Pod" => &object["spec"],
                _ => continue,
            };
            let name = format!("{}: {}", combination.name, key(&object));
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert!(spec.get("hostNetwork").is_none(), "{name}");
            for container in spec["containers"].as_array().unwrap() {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            }
        }
    }
}

/// Every metric by its name on the page that is served.
fn metrics() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.run_ended("SQLite", End::Failed, "X", TargetModified::True);
    metrics.stage("Restore", 1.0, 1);
    metrics.last_success("a", "b", jiff::Timestamp::UNIX_EPOCH);
    let page = metrics.encode().unwrap();
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_are_there_and_the_page_explains_all() {
    let known = metrics();
    let name = regex::Regex::new(r"\breinstate_[a-z_]+").unwrap();
    let names = |text: &str| -> BTreeSet<String> {
        name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
    };
    let objects = render(
        "metrics: {force: true, prometheusRule: {enabled: true, lastSuccessSeconds: 1}, dashboard: {enabled: true}}",
    );
    let alerts = find(&objects, "PrometheusRule/r-reinstate").to_string();
    let dashboard =
        find(&objects, "ConfigMap/r-reinstate-dashboard")["data"]["reinstate.json"].as_str().unwrap();
    serde_json::from_str::<Value>(dashboard).unwrap();
    for (what, text, least) in [("alerts", alerts.as_str(), 6), ("dashboard", dashboard, 12)] {
        let asked = names(text);
        assert!(asked.len() >= least, "{what}: {asked:?}");
        assert!(asked.is_subset(&known), "{what}: {:?}", asked.difference(&known));
    }
    let page = std::fs::read_to_string(project("docs/metrics.md")).unwrap();
    for metric in known {
        let family = metric.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_sum");
        assert!(page.contains(&format!("| `{family}` |")), "docs/metrics.md lacks {family}");
    }
}

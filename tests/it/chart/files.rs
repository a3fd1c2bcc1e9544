//! Files that are made from the chart: its README, the one-file install, the sample policies, and the
//! package.

use std::process::Command;

use serde_json::Value;

use super::table::{key, parse, project, template};
use crate::generated::write_or_compare;
use crate::parts::installed;

/// A line that Helm needs and nobody else does.
fn is_helms(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("# Source: ")
        || line.starts_with("helm.sh/chart:")
        || line == "app.kubernetes.io/managed-by: Helm"
}

/// What the chart renders, without what is Helm's.
fn plain(values: &str, more: &[&str]) -> String {
    let mut arguments = vec!["--skip-tests"];
    arguments.extend(more);
    let text = template(values, &arguments).unwrap();
    text.lines().filter(|line| !is_helms(line)).map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_readme_is_what_helm_docs_writes() {
    let output = Command::new(installed("helm-docs"))
        .args(["--chart-search-root", "charts/reinstate", "--dry-run", "--log-level", "warn"])
        .current_dir(project(""))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("|  |"), "a value has no description:\n{text}");
    write_or_compare("charts/reinstate/README.md".as_ref(), &format!("{}\n", text.trim_end()));
}

#[test]
fn the_one_file_install_is_what_the_chart_renders() {
    const HEAD: &str = "# Generated from charts/reinstate; do not edit.\n\
        # Install and upgrade: kubectl apply --server-side -f install.yaml\n\
        ---\n\
        apiVersion: v1\n\
        kind: Namespace\n\
        metadata:\n  name: reinstate-system\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n";
    let values = "{fullnameOverride: reinstate, crds: {keep: false}}";
    let text = plain(values, &["--namespace", "reinstate-system"]);
    let text = text.replace("app.kubernetes.io/instance: r\n", "app.kubernetes.io/instance: reinstate\n");
    assert!(!text.contains("helm.sh"), "{text}");
    write_or_compare("config/install.yaml".as_ref(), &format!("{HEAD}{text}"));
}

/// One program writes `1`, another `1.0`: the same number to the API server.
fn as_floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(as_floats),
        Value::Object(fields) => fields.values_mut().for_each(as_floats),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn kustomize_builds_the_one_file_install() {
    let output = Command::new(installed("kubectl"))
        .args(["kustomize", "config"])
        .current_dir(project(""))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sorted = |text: &str| {
        let mut all: Vec<Value> = parse(text);
        all.iter_mut().for_each(as_floats);
        all.sort_by_key(key);
        all
    };
    let file = std::fs::read_to_string(project("config/install.yaml")).unwrap();
    assert_eq!(sorted(&text), sorted(&file));
}

#[test]
fn the_sample_policies_are_what_the_chart_renders() {
    let values = std::fs::read_to_string(project("contrib/policies/values.yaml")).unwrap();
    let only: Vec<String> = ["confirm", "connections", "runner", "serviceaccounts", "storages"]
        .iter()
        .map(|name| format!("--show-only=templates/policies/{name}.yaml"))
        .collect();
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    let text = plain(&values, &only)
        .replace("system-r-reinstate", "reinstate")
        .replace("instance: r\n", "instance: reinstate\n");
    write_or_compare(
        "contrib/policies/policies.yaml".as_ref(),
        &format!("# Generated from charts/reinstate with contrib/policies/values.yaml; do not edit.\n{text}"),
    );
}

#[test]
fn the_package_renders_what_the_folder_renders() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(installed("helm"))
        .args(["package", "charts/reinstate", "--destination"])
        .arg(folder.path())
        .current_dir(project(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let package = folder.path().join(format!("reinstate-{}.tgz", env!("CARGO_PKG_VERSION")));
    let output = Command::new(installed("helm"))
        .args([
            "template",
            "r",
            package.to_str().unwrap(),
            "--namespace",
            "system",
            "--kube-version",
            super::table::KUBE_VERSION,
        ])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "no link is left: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), template("{}", &[]).unwrap());
}

#[test]
fn versions_are_the_programs() {
    let chart: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(project("charts/reinstate/Chart.yaml")).unwrap())
            .unwrap();
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field}");
    }
}

//! What the operator may do on a cluster: one table, each row with its reason.
//!
//! The chart's rules and `docs/rbac.md` are written from it, and the tests hold every request to it.
//! There is no row for Secrets, ConfigMaps or logs of pods, and there must never be one.

use std::fmt::Write as _;

/// Where a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the namespaces that are watched: all of them, or those of `watchNamespaces`.
    Watched,
    /// In the operator's own namespace.
    Own,
}

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub scope: Scope,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// Resources, or `resource/subresource`.
    pub resources: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// What it is needed for.
    pub reason: &'static str,
}

/// All that the operator may do.
pub const RULES: &[Rule] = &[
    Rule {
        scope: Scope::Watched,
        group: "reinstate.dev",
        resources: &["databaserestores"],
        verbs: &["get", "list", "patch", "watch"],
        reason: "Reads what is wanted. Patches metadata only: the finalizer while a Job may run, and the \
                 annotation that remembers a run on an object that comes back without its status.",
    },
    Rule {
        scope: Scope::Watched,
        group: "reinstate.dev",
        resources: &["databaserestores/status"],
        verbs: &["patch"],
        reason: "Writes conditions and the record of the run.",
    },
    Rule {
        scope: Scope::Watched,
        group: "reinstate.dev",
        resources: &["backupstorages", "databaseconnections", "encryptionprofiles"],
        verbs: &["list", "watch"],
        reason: "Resolves references, and wakes restores that wait for one. They hold names of Secrets, \
                 never values.",
    },
    Rule {
        scope: Scope::Watched,
        group: "batch",
        resources: &["jobs"],
        verbs: &["create", "delete", "get", "list", "patch", "watch"],
        reason: "Runs the runner: creates a suspended Job, unsuspends it once its uid is recorded, sets its \
                 TTL after the verdict, deletes it when a run is aborted.",
    },
    Rule {
        scope: Scope::Watched,
        group: "",
        resources: &["pods"],
        verbs: &["list", "patch", "watch"],
        reason: "Reads the verdict and what keeps a pod from starting. Patches metadata only: it takes its own \
                 finalizer off once the verdict was read.",
    },
    Rule {
        scope: Scope::Watched,
        group: "",
        resources: &["events"],
        verbs: &["list"],
        reason: "Reads the events of one Job or pod that does not start (FailedCreate, FailedMount): the API \
                 tells the cause nowhere else.",
    },
    Rule {
        scope: Scope::Watched,
        group: "events.k8s.io",
        resources: &["events"],
        verbs: &["create", "patch"],
        reason: "Tells the story of a run on its object, at most eight events a run.",
    },
    Rule {
        scope: Scope::Own,
        group: "coordination.k8s.io",
        resources: &["leases"],
        verbs: &["create", "get", "list", "update", "watch"],
        reason: "Elects one replica, and keeps one queue for each database server.",
    },
];

/// Whether a rule of this scope allows the request.
pub fn allows(scope: Scope, group: &str, resource: &str, verb: &str) -> bool {
    RULES.iter().any(|rule| {
        rule.scope == scope
            && rule.group == group
            && rule.resources.contains(&resource)
            && rule.verbs.contains(&verb)
    })
}

/// `charts/reinstate/files/rules.yaml`.
pub fn chart_file() -> String {
    let mut text = String::from("# Generated from `src/operator/rbac.rs`; do not edit.\n");
    for (name, scope) in [("watched", Scope::Watched), ("own", Scope::Own)] {
        let _ = writeln!(text, "{name}:");
        for rule in RULES.iter().filter(|rule| rule.scope == scope) {
            let _ = writeln!(
                text,
                "# {}\n- apiGroups: [{:?}]\n  resources: {:?}\n  verbs: {:?}",
                rule.reason, rule.group, rule.resources, rule.verbs
            );
        }
    }
    text
}

/// `docs/rbac.md`.
pub fn page() -> String {
    let mut text = String::from(
        "<!-- Generated from `src/operator/rbac.rs`. Do not edit. -->\n# What the operator may do\n\n\
         There is no right on Secrets, ConfigMaps or logs of pods: the kubelet mounts the Secrets of a run, and\n\
         the operator never sees them. The runner's pod has no API token at all.\n",
    );
    for (scope, title, where_it_holds) in [
        (
            Scope::Watched,
            "Where it watches",
            "A ClusterRole; with `watchNamespaces` a Role in each of these namespaces, and nothing cluster-wide.",
        ),
        (Scope::Own, "In its own namespace", "A Role."),
    ] {
        let _ = write!(
            text,
            "\n## {title}\n\n{where_it_holds}\n\n| group | resources | verbs | why |\n|---|---|---|---|\n"
        );
        for rule in RULES.iter().filter(|rule| rule.scope == scope) {
            let group = if rule.group.is_empty() { "(core)" } else { rule.group };
            let _ = writeln!(
                text,
                "| {group} | `{}` | {} | {} |",
                rule.resources.join("`, `"),
                rule.verbs.join(", "),
                rule.reason
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_may_hold_a_secret_can_be_read() {
        for rule in RULES {
            for resource in rule.resources {
                for forbidden in ["secrets", "configmaps", "pods/log", "pods/exec", "serviceaccounts", "*"] {
                    assert!(!resource.starts_with(forbidden), "{rule:?}");
                }
            }
            assert!(!rule.verbs.contains(&"*") && rule.group != "*", "{rule:?}");
        }
    }

    #[test]
    fn every_row_says_why_and_no_right_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for rule in RULES {
            assert!(rule.reason.len() > 20 && rule.reason.ends_with('.'), "{rule:?}");
            assert!(rule.resources.is_sorted() && rule.verbs.is_sorted(), "{rule:?}");
            for resource in rule.resources {
                for verb in rule.verbs {
                    assert!(
                        seen.insert((rule.scope == Scope::Own, rule.group, *resource, *verb)),
                        "{rule:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_request_is_allowed_in_its_scope_only() {
        for (scope, group, resource, verb, expected) in [
            (Scope::Watched, "batch", "jobs", "create", true),
            (Scope::Own, "batch", "jobs", "create", false),
            (Scope::Own, "coordination.k8s.io", "leases", "update", true),
            (Scope::Watched, "coordination.k8s.io", "leases", "update", false),
            (Scope::Watched, "", "pods", "delete", false),
            (Scope::Watched, "", "pods/log", "get", false),
            (Scope::Watched, "", "secrets", "get", false),
        ] {
            assert_eq!(allows(scope, group, resource, verb), expected, "{group}/{resource} {verb}");
        }
    }
}

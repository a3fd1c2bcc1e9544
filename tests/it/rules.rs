//! The CEL rules and the shape of the schemas, as an API server would apply them.

use std::collections::BTreeSet;

use kube::core::cel::{ErrorKind, Validator, compile_schema, estimate_rule_cost};
use reinstate::api::schema::Kind;
use serde_json::json;

use crate::rule_cases::{self, Case, walk};

/// Holds the client's check to the table.
fn check(cases: Vec<Case>) {
    assert!(!cases.is_empty());
    for Case { name, kind, new, old, expected } in cases {
        let schema = kind.schema().unwrap();
        let found = match Validator::new().validate(&schema, &new, old.as_ref()) {
            Ok(()) => Vec::new(),
            Err(errors) => errors
                .into_iter()
                .map(|error| {
                    assert_eq!(error.kind, ErrorKind::ValidationFailure, "{error}: {}", error.rule);
                    (error.field_path, error.message)
                })
                .collect(),
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_restore_keeps_the_rules_between_its_fields() {
    check(rule_cases::fields());
}

#[test]
fn what_was_asked_for_cannot_be_changed_added_or_removed() {
    check(rule_cases::changed());
}

#[test]
fn what_a_person_decides_on_the_way_can_be_changed() {
    check(rule_cases::decided());
}

#[test]
fn an_end_never_changes() {
    check(rule_cases::ends());
}

#[test]
fn unions_take_exactly_one() {
    check(rule_cases::unions());
}

#[test]
fn a_connection_is_a_server_or_a_file() {
    check(rule_cases::connections());
}

#[test]
fn every_rule_has_a_manifest_that_breaks_it() {
    let broken: BTreeSet<(&str, String, String)> = rule_cases::all()
        .into_iter()
        .flat_map(|case| case.expected.into_iter().map(move |(field, text)| (case.kind.name(), field, text)))
        .collect();
    let rules = rule_cases::rules();
    let unbroken: Vec<_> = rules.difference(&broken).collect();
    assert!(
        unbroken.is_empty() && rules.len() > 40,
        "{} rules; no manifest breaks {unbroken:#?}",
        rules.len()
    );
}

const MUTABLE: [&str; 6] = ["cancel", "jobTTL", "overwrite", "sessions", "suspend", "switch"];

#[test]
fn every_field_of_the_spec_is_known_to_be_mutable_or_not() {
    let schema = Kind::DatabaseRestore.schema().unwrap();
    let mut all: Vec<&str> =
        schema["properties"]["spec"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    all.sort_unstable();
    let changes = rule_cases::changes();
    let mut known: Vec<&str> = changes.iter().map(|(field, _, _)| *field).chain(MUTABLE).collect();
    known.sort_unstable();
    assert_eq!(all, known);
}

#[test]
fn every_string_list_and_map_has_a_maximum_and_no_field_takes_null() {
    let mut seen = 0;
    for kind in Kind::ALL {
        walk(&kind.schema().unwrap(), kind.name(), &mut |schema, path| {
            seen += 1;
            let has = |keyword: &str| schema.get(keyword).is_some();
            assert!(!has("nullable"), "{path} takes null");
            assert!(!has("anyOf") && !has("oneOf") && !has("allOf"), "{path} is not plain");
            assert!(!has("$ref"), "{path} refers elsewhere");
            if has("x-kubernetes-int-or-string") {
                return;
            }
            let bounded = match schema["type"].as_str() {
                Some("string") => has("maxLength") || has("enum") || schema["format"] == "date-time",
                Some("array") => has("maxItems") && has("items"),
                Some("object") => has("properties") || has("maxProperties"),
                Some("integer" | "boolean") => true,
                other => panic!("{path} has type {other:?}"),
            };
            assert!(bounded, "{path} has no maximum: {schema}");
        });
    }
    assert!(seen > 200, "{seen} schemas were looked at");
}

#[test]
fn defaults_are_those_of_the_design() {
    let schema = Kind::DatabaseRestore.schema().unwrap();
    assert_eq!(schema["properties"]["status"]["default"], json!({"observedGeneration": -1}));
    for (field, value) in [
        ("mode", json!("Restore")),
        ("strategy", json!("Auto")),
        ("overwrite", json!({"policy": "Ask"})),
        ("confirmationTimeout", json!("168h")),
        ("startingDeadline", json!("24h")),
        ("sessions", json!("Fail")),
        ("switch", json!("Auto")),
        ("swap", json!({"objectWindow": "Forbid"})),
        ("keepPrevious", json!("24h")),
        ("versionGuard", json!("Enforce")),
        ("statements", json!("Known")),
        ("statistics", json!("Analyze")),
        ("verification", json!({"rows": "Exact", "content": "None"})),
        ("timeout", json!("24h")),
        ("startTimeout", json!("15m")),
        ("retries", json!(2)),
        ("suspend", json!(false)),
        ("cancel", json!(false)),
        ("jobTTL", json!("168h")),
    ] {
        assert_eq!(schema["properties"]["spec"]["properties"][field]["default"], value, "{field}");
    }
    let backup = &schema["properties"]["spec"]["properties"]["backup"]["properties"];
    assert_eq!(backup["format"]["default"], "Auto");
    assert_eq!(backup["compression"]["default"], "Auto");
    assert_eq!(backup["encryption"]["default"], json!({"discovery": "Enabled"}));
}

/// What the estimator of the rules' cost can say: none is near the API server's limit.
#[test]
fn every_rule_is_cheap() {
    for kind in Kind::ALL {
        walk(&kind.schema().unwrap(), kind.name(), &mut |schema, path| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let rule = rule["rule"].as_str().unwrap();
                let warnings = estimate_rule_cost(rule, &compile_schema(schema));
                assert!(warnings.is_empty(), "{path}: {rule}: {warnings:?}");
            }
        });
    }
}

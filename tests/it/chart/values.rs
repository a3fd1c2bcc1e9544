//! The values: each is documented, each is in the schema, and nothing else is taken.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::table::{COMBINATIONS, helm, project, template};

fn schema() -> Value {
    serde_json::from_str(&std::fs::read_to_string(project("charts/reinstate/values.schema.json")).unwrap())
        .unwrap()
}

fn defaults() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(project("charts/reinstate/values.yaml")).unwrap())
        .unwrap()
}

/// A part of the schema, with its definition in the place of a reference to it.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    part["$ref"].as_str().map_or(part, |reference| schema.pointer(reference.trim_start_matches('#')).unwrap())
}

/// Calls `see` with the path of every object of the schema that lists its properties.
fn walk(schema: &Value, part: &Value, path: &mut Vec<String>, see: &mut impl FnMut(&[String], &Value)) {
    let part = resolved(schema, part);
    let Some(properties) = part["properties"].as_object() else { return };
    see(path, part);
    for (name, property) in properties {
        path.push(name.clone());
        walk(schema, property, path, see);
        path.pop();
    }
}

/// `value` under the keys of `path`.
fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

#[test]
fn a_value_that_is_not_known_is_refused_at_every_level() {
    let schema = schema();
    let mut places = Vec::new();
    walk(&schema, &schema, &mut Vec::new(), &mut |path, part| {
        assert_eq!(part["additionalProperties"], false, "{path:?}");
        places.push(path.to_vec());
    });
    assert!(places.len() > 20, "{places:?}");
    // One call of Helm tells all of them.
    let mut values = json!({});
    for place in &places {
        merge(&mut values, nested(place, json!({"unknown": 1})));
    }
    let error = template(&values.to_string(), &[]).unwrap_err();
    for place in &places {
        let at = format!("'{}'", place.iter().map(|key| format!("/{key}")).collect::<String>());
        let says = format!("at {at}: additional properties 'unknown' not allowed");
        assert!(error.contains(&says), "{says}\n{error}");
    }
}

fn merge(into: &mut Value, from: Value) {
    let (Some(target), Value::Object(from)) = (into.as_object_mut(), from) else { return };
    for (key, value) in from {
        let place = target.entry(key).or_insert_with(|| json!({}));
        if value.is_object() { merge(place, value) } else { *place = value }
    }
}

#[test]
fn a_value_of_a_wrong_kind_is_refused() {
    for values in [
        "replicas: two",
        "replicas: -1",
        "port: 80",
        "watchNamespaces: [Shop]",
        "watchNamespaces: [a, a]",
        "image: {pullPolicy: Sometimes}",
        "image: {operator: {digest: sha256:short}}",
        "image: {runner: {tag: 'a b'}}",
        "concurrency: {total: -1}",
        "commonLabels: {a: {b: c}}",
        "metrics: {prometheusRule: {stuckFor: soon}}",
        "policies: {actions: []}",
        "policies: {runner: {maxMemory: much}}",
        "tolerations: [{keys: a}]",
        "extraObjects: [1]",
    ] {
        let error = template(values, &[]).unwrap_err();
        assert!(error.contains("values don't meet the specifications of the schema"), "{values}\n{error}");
    }
}

#[test]
fn the_schema_knows_the_defaults_and_only_these() {
    let (schema, defaults) = (schema(), defaults());
    walk(&schema, &schema, &mut Vec::new(), &mut |path, part| {
        let pointer: String = path.iter().map(|key| format!("/{key}")).collect();
        // What Kubernetes defines is listed in the schema only.
        if ["/resources"].contains(&pointer.as_str()) {
            return;
        }
        let values = defaults.pointer(&pointer).unwrap_or_else(|| panic!("values.yaml lacks {pointer}"));
        let names =
            |object: &Value| -> BTreeSet<String> { object.as_object().unwrap().keys().cloned().collect() };
        let mut known = names(&part["properties"]);
        known.remove("global");
        assert_eq!(names(values), known, "{pointer}");
    });
}

/// Every value stands in the table of combinations, so that no template is left untried.
#[test]
fn every_value_is_tried_by_a_combination() {
    let defaults = defaults();
    let mut leaves = Vec::new();
    collect(&defaults, &mut Vec::new(), &mut leaves);
    let tried: Vec<Value> =
        COMBINATIONS.iter().map(|it| serde_saphyr::from_str(it.values).unwrap()).collect();
    // The default is what every combination tries.
    let same_everywhere =
        ["/securityContext", "/image/operator/repository", "/image/operator/digest", "/image/runner/tag"];
    for leaf in leaves {
        let is_tried = tried.iter().any(|values| values.pointer(&leaf).is_some());
        assert!(is_tried || same_everywhere.contains(&leaf.as_str()), "no combination tries {leaf}");
    }
}

fn collect(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<String>) {
    let pointer: String = path.iter().map(|key| format!("/{key}")).collect();
    match value.as_object() {
        // Free maps are one value.
        Some(map) if !map.is_empty() && !is_free(&pointer) => {
            for (key, inner) in map {
                path.push(key.clone());
                collect(inner, path, leaves);
                path.pop();
            }
        }
        _ => leaves.push(pointer),
    }
}

fn is_free(pointer: &str) -> bool {
    ["/resources", "/podSecurityContext", "/securityContext", "/metrics/dashboard/labels"].contains(&pointer)
}

#[test]
fn helm_has_nothing_against_the_chart() {
    for combination in COMBINATIONS {
        let output = helm(&["lint", "--strict", "charts/reinstate"], combination.values);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("0 chart(s) failed"),
            "{}\n{text}",
            combination.name
        );
        assert!(!text.contains("[WARNING]"), "{}\n{text}", combination.name);
    }
}

//! What the API server checks of an object beside the CEL rules: types, enums, patterns, maxima,
//! unique keys, and that every field is known.
//!
//! It is applied where there is no API server. A message shows field names and limits and at most a
//! short piece of the value, which in these kinds is never a secret.

use regex::Regex;
use serde_json::Value;

use super::common;

/// One value that does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `spec.target.databases[0].to`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
    /// The field is not part of the schema at all.
    pub unknown: bool,
}

/// Objects nest less deeply than this; what is deeper is refused.
const MAX_DEPTH: usize = 32;

/// All places where `value` does not fit `schema`; `path` is the name of `value`.
pub fn check(schema: &Value, value: &Value, path: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    visit(schema, value, &Place { path, depth: 0 }, &mut found);
    found
}

struct Place<'a> {
    path: &'a str,
    depth: usize,
}

impl Place<'_> {
    fn violation(&self, message: impl Into<String>) -> Violation {
        Violation { path: self.path.to_owned(), message: message.into(), unknown: false }
    }
}

fn visit(schema: &Value, value: &Value, place: &Place<'_>, found: &mut Vec<Violation>) {
    if place.depth > MAX_DEPTH {
        found.push(place.violation("is nested too deeply"));
        return;
    }
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        if !(value.is_i64() || value.is_u64() || value.is_string()) {
            found.push(place.violation("must be a number or text"));
        }
        return;
    }
    if let Some(expected) = schema.get("type").and_then(Value::as_str)
        && let Err(message) = check_type(expected, value)
    {
        found.push(place.violation(message));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        found.push(place.violation(format!("{} is not one of {}", short(value), names.join(", "))));
        return;
    }
    match value {
        Value::String(text) => check_text(schema, text, place, found),
        Value::Number(_) => check_number(schema, value, place, found),
        Value::Array(items) => check_array(schema, items, place, found),
        Value::Object(fields) => check_object(schema, fields, place, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_type(expected: &str, value: &Value) -> Result<(), String> {
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let (wanted, quote) = match expected {
        "object" => ("a mapping", ""),
        "array" => ("a list", ""),
        "string" => ("text", if value.is_array() || value.is_object() { "" } else { " (put it in quotes)" }),
        "boolean" => ("true or false", ""),
        "integer" => ("a whole number", ""),
        _ => ("a number", ""),
    };
    let given = match value {
        Value::Null => return Err(format!("has no value: write {wanted}, or remove the field")),
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    };
    Err(format!("must be {wanted}, not {given}{quote}"))
}

fn check_text(schema: &Value, text: &str, place: &Place<'_>, found: &mut Vec<Violation>) {
    let length = text.chars().count() as u64;
    if limit(schema, "maxLength").is_some_and(|max| length > max) {
        let max = limit(schema, "maxLength").unwrap_or_default();
        found.push(place.violation(format!("is longer than {max} characters")));
        return;
    }
    if limit(schema, "minLength").is_some_and(|min| length < min) {
        let message = match limit(schema, "minLength") {
            Some(1) => "must not be empty".to_owned(),
            min => format!("is shorter than {} characters", min.unwrap_or_default()),
        };
        found.push(place.violation(message));
        return;
    }
    let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else { return };
    match Regex::new(pattern) {
        Ok(regex) if regex.is_match(text) => {}
        Ok(_) => {
            let value = short(&Value::String(text.to_owned()));
            found.push(place.violation(format!("{value} {}", mismatch(pattern))));
        }
        Err(_) => found.push(place.violation("cannot be checked: its pattern is not readable")),
    }
}

/// What is wrong with a text that does not match `pattern`, in words where there are any.
fn mismatch(pattern: &str) -> String {
    match pattern {
        common::DURATION => "is not a duration such as 90s, 26h or 1h30m".to_owned(),
        common::OBJECT_NAME => "is not a name: lower-case letters, digits, `-` and `.` only".to_owned(),
        common::SECRET_KEY => "is not a key: letters, digits, `-`, `_` and `.` only".to_owned(),
        common::SHA256 => "is not 64 hexadecimal digits".to_owned(),
        common::ONE_LINE => "holds control characters".to_owned(),
        _ => format!("does not match {pattern}"),
    }
}

fn check_number(schema: &Value, value: &Value, place: &Place<'_>, found: &mut Vec<Violation>) {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let number = value.as_f64().unwrap_or(f64::NAN);
    if let Some(min) = bound("minimum").filter(|min| number < *min) {
        found.push(place.violation(format!("{} is less than {min}", short(value))));
    }
    if let Some(max) = bound("maximum").filter(|max| number > *max) {
        found.push(place.violation(format!("{} is more than {max}", short(value))));
    }
}

fn check_array(schema: &Value, items: &[Value], place: &Place<'_>, found: &mut Vec<Violation>) {
    let count = items.len() as u64;
    if let Some(max) = limit(schema, "maxItems").filter(|max| count > *max) {
        found.push(place.violation(format!("has {count} entries, more than {max}")));
        return;
    }
    if let Some(min) = limit(schema, "minItems").filter(|min| count < *min) {
        found.push(place.violation(format!("needs at least {min} entries")));
    }
    if let Some(inner) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", place.path);
            visit(inner, item, &Place { path: &path, depth: place.depth + 1 }, found);
        }
    }
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    if let Some(keys) = keys {
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let id: Vec<String> = keys
                .iter()
                .filter_map(Value::as_str)
                .map(|key| item.get(key).map(Value::to_string).unwrap_or_default())
                .collect();
            if !seen.insert(id) {
                let names: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
                let path = format!("{}[{index}]", place.path);
                let message = format!("has the same {} as an entry before it", names.join(" and "));
                found.push(Violation { path, message, unknown: false });
            }
        }
    }
}

fn check_object(
    schema: &Value,
    fields: &serde_json::Map<String, Value>,
    place: &Place<'_>,
    found: &mut Vec<Violation>,
) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties").filter(|inner| inner.is_object());
    let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
        || (properties.is_none() && others.is_none());
    if let Some(max) = limit(schema, "maxProperties").filter(|max| fields.len() as u64 > *max) {
        found.push(place.violation(format!("has {} entries, more than {max}", fields.len())));
        return;
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = required.as_str().filter(|name| !fields.contains_key(*name)) {
            let path = format!("{}.{name}", place.path);
            found.push(Violation { path, message: "is required".to_owned(), unknown: false });
        }
    }
    for (name, value) in fields {
        let path = format!("{}.{}", place.path, shown(name));
        let inner = properties.and_then(|properties| properties.get(name)).or(others);
        match inner {
            Some(inner) => visit(inner, value, &Place { path: &path, depth: place.depth + 1 }, found),
            None if open => {}
            None => {
                let known = properties.into_iter().flat_map(serde_json::Map::keys);
                let message = unknown_field(name, known.map(String::as_str));
                found.push(Violation { path, message, unknown: true });
            }
        }
    }
}

/// `unknown field`, with the known field that was probably meant.
pub(crate) fn unknown_field<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let meant = known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match meant {
        Some((_, candidate)) => format!("is not a known field; did you mean {candidate}?"),
        None => "is not a known field".to_owned(),
    }
}

/// Edits between two names, letter case aside; long names are not compared.
fn distance(left: &str, right: &str) -> usize {
    const LONGEST: usize = 48;
    if left.len() > LONGEST || right.len() > LONGEST {
        return usize::MAX;
    }
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().flat_map(char::to_lowercase).enumerate() {
        let mut next = vec![index + 1];
        for ((other, substituted), deleted) in right.iter().zip(&row).zip(row.iter().skip(1)) {
            let inserted = next.last().copied().unwrap_or(usize::MAX);
            let replaced = substituted + usize::from(*other != letter);
            next.push(replaced.min(deleted + 1).min(inserted.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

fn limit(schema: &Value, keyword: &str) -> Option<u64> {
    schema.get(keyword).and_then(Value::as_u64)
}

/// A field name as a path may show it.
pub(crate) fn shown(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    short.escape_debug().to_string()
}

/// A value as a message may show it.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > 48 => {
            let start: String = text.chars().take(48).collect();
            format!("{start:?}…")
        }
        Value::String(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_limit_is_applied_with_the_path_of_the_field() {
        let schema = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 4, "pattern": "^[a-z]*$"},
                "mode": {"type": "string", "enum": ["Ask", "Refuse"]},
                "count": {"type": "integer", "minimum": 1, "maximum": 3},
                "list": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties":
                    {"from": {"type": "string"}}}, "x-kubernetes-list-map-keys": ["from"]},
                "map": {"type": "object", "maxProperties": 1, "additionalProperties":
                    {"type": "string", "maxLength": 2}},
                "size": {"x-kubernetes-int-or-string": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
            }
        });
        for (value, path, message) in [
            (json!({}), "o.name", "is required"),
            (json!({"name": ""}), "o.name", "must not be empty"),
            (json!({"name": "abcde"}), "o.name", "is longer than 4 characters"),
            (json!({"name": "äöüßx"}), "o.name", "is longer than 4 characters"),
            (json!({"name": "A"}), "o.name", "\"A\" does not match ^[a-z]*$"),
            (json!({"name": 5}), "o.name", "must be text, not a number (put it in quotes)"),
            (json!({"name": null}), "o.name", "has no value: write text, or remove the field"),
            (json!({"name": "a", "mode": "ask"}), "o.mode", "\"ask\" is not one of Ask, Refuse"),
            (json!({"name": "a", "count": 0}), "o.count", "0 is less than 1"),
            (json!({"name": "a", "count": 4}), "o.count", "4 is more than 3"),
            (json!({"name": "a", "count": 1.5}), "o.count", "must be a whole number, not a number"),
            (json!({"name": "a", "list": [{}, {}, {}]}), "o.list", "has 3 entries, more than 2"),
            (
                json!({"name": "a", "list": [{"from": "x"}, {"from": "x"}]}),
                "o.list[1]",
                "has the same from as an entry before it",
            ),
            (
                json!({"name": "a", "list": [{"form": "x"}]}),
                "o.list[0].form",
                "is not a known field; did you mean from?",
            ),
            (json!({"name": "a", "map": {"x": "1", "y": "2"}}), "o.map", "has 2 entries, more than 1"),
            (json!({"name": "a", "map": {"x": "123"}}), "o.map.x", "is longer than 2 characters"),
            (json!({"name": "a", "size": []}), "o.size", "must be a number or text"),
            (json!({"name": "a", "zzz": 1}), "o.zzz", "is not a known field"),
            (json!({"name": "a", "b\u{1b}[0m": 1}), "o.b\\u{1b}[0m", "is not a known field"),
            (json!("x"), "o", "must be a mapping, not text"),
        ] {
            let found = check(&schema, &value, "o");
            let found: Vec<(&str, &str)> =
                found.iter().map(|it| (it.path.as_str(), it.message.as_str())).collect();
            assert_eq!(found, [(path, message)], "{value}");
        }
        let good = json!({"name": "abc", "mode": "Ask", "count": 3, "list": [{"from": "x"}, {"from": "y"}],
            "map": {"x": "12"}, "size": "1Gi", "free": {"any": [1]}});
        assert_eq!(check(&schema, &good, "o"), []);
    }

    #[test]
    fn deep_nesting_ends_with_an_error() {
        let mut schema = json!({"type": "string"});
        let mut value = json!("x");
        for _ in 0..40 {
            schema = json!({"type": "array", "items": schema});
            value = json!([value]);
        }
        let found = check(&schema, &value, "o");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "is nested too deeply");
    }
}

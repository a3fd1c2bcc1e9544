//! The CEL rules and the shape of the schemas, as an API server would apply them.

use kube::core::cel::{ErrorKind, Validator, compile_schema, estimate_rule_cost};
use reinstate::api::schema::Kind;
use serde_json::{Value, json};

type Broken = Vec<(String, String)>;

/// Field path and message of every rule that `new` breaks.
fn broken(kind: Kind, new: &Value, old: Option<&Value>) -> Broken {
    let schema = kind.schema().unwrap();
    match Validator::new().validate(&schema, new, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_iter()
            .map(|error| {
                assert_eq!(error.kind, ErrorKind::ValidationFailure, "{error}: {}", error.rule);
                (error.field_path, error.message)
            })
            .collect(),
    }
}

fn expect(case: &str, found: &Broken, expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(found, expected, "{case}");
}

/// `base` with the value at `pointer` set, or removed for `null`.
fn with(base: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = base.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = changed.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")).as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name)
    } else {
        parent.insert(name.to_owned(), value)
    };
    changed
}

fn restore() -> Value {
    json!({"spec": {
        "backup": {"storageRef": {"name": "backups"}, "path": "shop/shop.db.gz.enc"},
        "target": {"connectionRef": {"name": "staging"}}
    }})
}

const PATH: &str = "must be a relative path without `..`";

#[test]
fn a_restore_keeps_the_rules_between_its_fields() {
    expect("the smallest", &broken(Kind::DatabaseRestore, &restore(), None), &[]);
    let verify = with(&with(&restore(), "/spec/target", Value::Null), "/spec/mode", json!("Verify"));
    expect("verify", &broken(Kind::DatabaseRestore, &verify, None), &[]);
    let target = "mode Verify reads the backup alone and forbids target; Restore and Plan need it";
    let one = "set exactly one of path, latest";
    let hooks = json!({"beforeSwitch": [{"database": "a", "sql": "select 1"}]});
    let direct = with(&with(&restore(), "/spec/hooks", hooks.clone()), "/spec/strategy", json!("Direct"));
    let hook = "hooks.beforeSwitch runs between load and switch: it needs strategy Swap or Auto";
    for (case, object, expected) in [
        ("no target", with(&restore(), "/spec/target", Value::Null), ("spec.target", target)),
        ("verify with target", with(&restore(), "/spec/mode", json!("Verify")), ("spec.target", target)),
        ("path and latest", with(&restore(), "/spec/backup/latest", json!({})), ("spec.backup", one)),
        ("neither", with(&restore(), "/spec/backup/path", Value::Null), ("spec.backup", one)),
        ("absolute", with(&restore(), "/spec/backup/path", json!("/etc/shadow")), ("spec.backup.path", PATH)),
        ("up", with(&restore(), "/spec/backup/path", json!("a/../../b")), ("spec.backup.path", PATH)),
        ("only up", with(&restore(), "/spec/backup/path", json!("..")), ("spec.backup.path", PATH)),
        ("hooks with Direct", direct, ("spec.hooks", hook)),
    ] {
        expect(case, &broken(Kind::DatabaseRestore, &object, None), &[expected]);
    }
    for (case, object) in [
        ("dots in a name", with(&restore(), "/spec/backup/path", json!("a..b/...c"))),
        ("hooks with Auto", with(&restore(), "/spec/hooks", hooks)),
        (
            "no hooks with Direct",
            with(&with(&restore(), "/spec/hooks", json!({})), "/spec/strategy", json!("Direct")),
        ),
    ] {
        expect(case, &broken(Kind::DatabaseRestore, &object, None), &[]);
    }
}

/// A spec with every field set, and for each another value.
fn changes() -> Vec<(&'static str, Value, Value)> {
    let sql = json!([{"database": "a", "sql": "select 1"}]);
    vec![
        ("mode", json!("Restore"), json!("Plan")),
        ("recreateToken", json!("1"), json!("2")),
        (
            "backup",
            restore()["spec"]["backup"].clone(),
            json!({"storageRef": {"name": "backups"}, "path": "other"}),
        ),
        ("target", restore()["spec"]["target"].clone(), json!({"connectionRef": {"name": "prod"}})),
        ("strategy", json!("Auto"), json!("Swap")),
        ("confirmationTimeout", json!("168h"), json!("1h")),
        ("startingDeadline", json!("24h"), json!("1h")),
        ("swap", json!({"objectWindow": "Forbid"}), json!({"objectWindow": "Allow"})),
        ("keepPrevious", json!("24h"), json!("0s")),
        ("versionGuard", json!("Enforce"), json!("Warn")),
        ("statements", json!("Known"), json!("All")),
        ("statistics", json!("Analyze"), json!("Skip")),
        ("parallelism", json!(4), json!(5)),
        ("verification", json!({"rows": "Exact"}), json!({"rows": "Exact", "queries": sql})),
        ("hooks", json!({"beforeSwitch": sql}), json!({})),
        ("timeout", json!("24h"), json!("1h")),
        ("startTimeout", json!("15m"), json!("1h")),
        ("connectTimeout", json!("1m"), json!("2m")),
        ("statementTimeout", json!("1m"), json!("2m")),
        ("stallTimeout", json!("1m"), json!("2m")),
        ("retries", json!(2), json!(3)),
        ("runner", json!({"serviceAccountName": "a"}), json!({"serviceAccountName": "b"})),
    ]
}

const OPTIONAL: [&str; 7] =
    ["recreateToken", "parallelism", "hooks", "connectTimeout", "statementTimeout", "stallTimeout", "runner"];
const MUTABLE: [&str; 6] = ["cancel", "jobTTL", "overwrite", "sessions", "suspend", "switch"];

fn immutable(field: &str) -> (String, String) {
    (
        format!("spec.{field}"),
        format!("{field} is immutable: create a new DatabaseRestore under another name instead"),
    )
}

#[test]
fn what_was_asked_for_cannot_be_changed_added_or_removed() {
    for (field, value, other) in changes() {
        let pointer = format!("/spec/{field}");
        let old = with(&restore(), &pointer, value);
        let found = broken(Kind::DatabaseRestore, &with(&old, &pointer, other), Some(&old));
        assert_eq!(found, [immutable(field)], "{field} changed");
        if OPTIONAL.contains(&field) {
            let without = with(&old, &pointer, Value::Null);
            assert_eq!(
                broken(Kind::DatabaseRestore, &old, Some(&without)),
                [immutable(field)],
                "{field} added"
            );
            assert_eq!(
                broken(Kind::DatabaseRestore, &without, Some(&old)),
                [immutable(field)],
                "{field} removed"
            );
        }
    }
}

#[test]
fn every_field_of_the_spec_is_known_to_be_mutable_or_not() {
    let schema = Kind::DatabaseRestore.schema().unwrap();
    let mut all: Vec<&str> =
        schema["properties"]["spec"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    all.sort_unstable();
    let changes = changes();
    let mut known: Vec<&str> = changes.iter().map(|(field, _, _)| *field).chain(MUTABLE).collect();
    known.sort_unstable();
    assert_eq!(all, known);
}

#[test]
fn what_a_person_decides_on_the_way_can_be_changed() {
    let decided = with(
        &restore(),
        "/spec/overwrite",
        json!({"policy": "Ask", "confirm": ["app.db"],
        "confirmUntil": "2026-12-01T00:00:00Z", "confirmedPlan": "abc"}),
    );
    for (case, new) in [
        ("confirmed", decided.clone()),
        ("sessions", with(&restore(), "/spec/sessions", json!("Terminate"))),
        ("switch", with(&restore(), "/spec/switch", json!("Hold"))),
        ("suspend", with(&restore(), "/spec/suspend", json!(true))),
        ("cancel", with(&restore(), "/spec/cancel", json!(true))),
        ("jobTTL", with(&restore(), "/spec/jobTTL", json!("1h"))),
    ] {
        expect(case, &broken(Kind::DatabaseRestore, &new, Some(&restore())), &[]);
    }
    expect("withdrawn", &broken(Kind::DatabaseRestore, &restore(), Some(&decided)), &[]);
    let cancelled = with(&restore(), "/spec/cancel", json!(true));
    let back = [("spec.cancel", "cancel cannot be taken back: create a new DatabaseRestore instead")];
    expect("cancel taken back", &broken(Kind::DatabaseRestore, &restore(), Some(&cancelled)), &back);
    let refusing = with(&restore(), "/spec/overwrite", json!({"policy": "Refuse"}));
    let policy = [(
        "spec.overwrite.policy",
        "policy is immutable: create a new DatabaseRestore under another name instead",
    )];
    expect("policy", &broken(Kind::DatabaseRestore, &refusing, Some(&restore())), &policy);
    expect("policy back", &broken(Kind::DatabaseRestore, &restore(), Some(&refusing)), &policy);
}

#[test]
fn an_end_never_changes() {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-11-23T00:00:00Z"})
    };
    let ended = |conditions: Value| {
        let mut object = restore();
        object["status"] = json!({"observedGeneration": 1, "conditions": conditions,
            "completionTime": "2026-11-23T00:00:00Z"});
        object
    };
    let complete = condition("Complete", "True", "Restored");
    let old = ended(json!([complete, condition("Ready", "True", "Restored")]));
    let fixed = ("status.conditions", "the outcome is fixed once completionTime is set");
    let time = ("status.completionTime", "completionTime is fixed once it is set");
    let both = ("status.conditions", "Complete and Failed are never both True");
    let running = with(&old, "/status/completionTime", Value::Null);
    for (case, new, expected) in [
        ("the same", old.clone(), vec![]),
        ("another condition", ended(json!([complete, condition("Ready", "False", "Gone")])), vec![]),
        ("outcome turned", ended(json!([condition("Complete", "False", "Restored")])), vec![fixed]),
        ("reason changed", ended(json!([condition("Complete", "True", "Planned")])), vec![fixed]),
        ("outcome removed", ended(json!([])), vec![fixed]),
        ("outcome added", ended(json!([complete, condition("Failed", "False", "Restored")])), vec![fixed]),
        ("both", ended(json!([complete, condition("Failed", "True", "X")])), vec![fixed, both]),
        ("time removed", running.clone(), vec![time]),
        ("time moved", with(&old, "/status/completionTime", json!("2026-11-24T00:00:00Z")), vec![time]),
        ("status wiped", with(&old, "/status", Value::Null), vec![time, fixed]),
    ] {
        expect(case, &broken(Kind::DatabaseRestore, &new, Some(&old)), &expected);
    }
    expect("it ends", &broken(Kind::DatabaseRestore, &old, Some(&running)), &[]);
}

#[test]
fn unions_take_exactly_one() {
    let key = json!({"name": "kit", "key": "master.key"});
    let s3 = json!({"bucket": "backups"});
    let volume = json!({"claimName": "backups"});
    let profile = "set exactly one of aes256Gcm, age, recoveryKit";
    let age = "set exactly one of identitySecretKeyRef, passphraseSecretKeyRef";
    let kit = "a Recovery Kit brings the ids of its keys: remove id";
    for (kind, spec, expected) in [
        (Kind::BackupStorage, json!({"s3": s3}), vec![]),
        (Kind::BackupStorage, json!({"volume": volume}), vec![]),
        (Kind::BackupStorage, json!({}), vec![("spec", "set exactly one of s3, volume")]),
        (
            Kind::BackupStorage,
            json!({"s3": s3, "volume": volume}),
            vec![("spec", "set exactly one of s3, volume")],
        ),
        (
            Kind::BackupStorage,
            json!({"s3": {"bucket": "abc", "prefix": "../x"}}),
            vec![("spec.s3.prefix", PATH)],
        ),
        (
            Kind::BackupStorage,
            json!({"volume": {"claimName": "a", "path": "/x"}}),
            vec![("spec.volume.path", PATH)],
        ),
        (Kind::EncryptionProfile, json!({"aes256Gcm": {"secretKeyRef": key}, "id": "a"}), vec![]),
        (Kind::EncryptionProfile, json!({"age": {"identitySecretKeyRef": key}}), vec![]),
        (Kind::EncryptionProfile, json!({"age": {}}), vec![("spec.age", age)]),
        (
            Kind::EncryptionProfile,
            json!({"age": {"identitySecretKeyRef": key, "passphraseSecretKeyRef": key}}),
            vec![("spec.age", age)],
        ),
        (Kind::EncryptionProfile, json!({"id": "a"}), vec![("spec", profile)]),
        (
            Kind::EncryptionProfile,
            json!({"aes256Gcm": {"secretKeyRef": key},
            "recoveryKit": {"secretName": "kit"}}),
            vec![("spec", profile)],
        ),
        (Kind::EncryptionProfile, json!({"recoveryKit": {"secretName": "kit"}}), vec![]),
        (
            Kind::EncryptionProfile,
            json!({"recoveryKit": {"secretName": "kit"}, "id": "a"}),
            vec![("spec.id", kit)],
        ),
    ] {
        expect(&format!("{kind:?} {spec}"), &broken(kind, &json!({"spec": spec}), None), &expected);
    }
}

#[test]
fn a_connection_is_a_server_or_a_file() {
    let file = json!({"claimName": "data", "path": "app.db"});
    let sqlite = ("spec.sqlite", "engine SQLite needs sqlite, and no other engine may have it");
    let host = ("spec.host", "every engine but SQLite needs host, and SQLite has none");
    let server = (
        "spec",
        "SQLite is a file: port, maintenanceDatabase, credentials, privilegedCredentials, tls and \
        expectIdentity are for servers",
    );
    for (spec, expected) in [
        (json!({"engine": "SQLite", "sqlite": file}), vec![]),
        (json!({"engine": "PostgreSQL", "host": "pg"}), vec![]),
        (json!({"engine": "SQLite"}), vec![sqlite]),
        (json!({"engine": "MySQL", "host": "db", "sqlite": file}), vec![sqlite]),
        (json!({"engine": "MySQL"}), vec![host]),
        (json!({"engine": "SQLite", "sqlite": file, "host": "db"}), vec![host]),
        (json!({"engine": "SQLite", "sqlite": file, "tls": {"mode": "Disable"}}), vec![server]),
        (json!({"engine": "SQLite", "sqlite": file, "expectIdentity": "x"}), vec![server]),
        (
            json!({"engine": "SQLite", "sqlite": {"claimName": "data", "path": "../app.db"}}),
            vec![("spec.sqlite.path", PATH)],
        ),
        (
            json!({"engine": "SQLite", "sqlite": {"claimName": "data", "path": "db/"}}),
            vec![("spec.sqlite.path", "must be the path of a file")],
        ),
    ] {
        let found = broken(Kind::DatabaseConnection, &json!({"spec": spec}), None);
        expect(&spec.to_string(), &found, &expected);
    }
}

/// Calls `see` with every schema inside `schema` and its path.
fn walk(schema: &Value, path: &str, see: &mut dyn FnMut(&Value, &str)) {
    see(schema, path);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(inner, &format!("{path}.{name}"), see);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&schema[key], &format!("{path}[]"), see);
        }
    }
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
        ("verification", json!({"rows": "Exact"})),
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

//! Manifests that keep or break the rules in the kinds, with what an API server says to each: one table
//! for the check in the client and for a real API server.

use std::collections::BTreeSet;

use reinstate::api::schema::Kind;
use serde_json::{Value, json};

/// One object, created or changed.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) new: Value,
    /// What it was before.
    pub(crate) old: Option<Value>,
    /// Field and message of every rule that it breaks.
    pub(crate) expected: Vec<(String, String)>,
}

impl Case {
    fn new(kind: Kind, name: impl Into<String>, new: Value, expected: &[(&str, &str)]) -> Self {
        let expected = expected.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned()));
        Self { name: name.into(), kind, new, old: None, expected: expected.collect() }
    }

    fn restore(name: impl Into<String>, new: Value, expected: &[(&str, &str)]) -> Self {
        Self::new(Kind::DatabaseRestore, name, new, expected)
    }

    fn after(mut self, old: Value) -> Self {
        self.old = Some(old);
        self
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [fields(), changed(), decided(), ends(), unions(), connections()].into_iter().flatten().collect()
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

/// The rules between the fields of a restore.
pub(crate) fn fields() -> Vec<Case> {
    let verify = with(&with(&restore(), "/spec/target", Value::Null), "/spec/mode", json!("Verify"));
    let target = "mode Verify reads the backup alone and forbids target; Restore and Plan need it";
    let one = "set exactly one of path, latest";
    let hooks = json!({"beforeSwitch": [{"database": "a", "sql": "select 1"}]});
    let direct = with(&with(&restore(), "/spec/hooks", hooks.clone()), "/spec/strategy", json!("Direct"));
    let latest = json!({"storageRef": {"name": "backups"}, "latest": {"prefix": "../other"}});
    let latest = with(&restore(), "/spec/backup", latest);
    let hook = "hooks.beforeSwitch runs between load and switch: it needs strategy Swap or Auto";
    let broken = [
        ("no target", with(&restore(), "/spec/target", Value::Null), ("spec.target", target)),
        ("verify with target", with(&restore(), "/spec/mode", json!("Verify")), ("spec.target", target)),
        ("path and latest", with(&restore(), "/spec/backup/latest", json!({})), ("spec.backup", one)),
        ("neither", with(&restore(), "/spec/backup/path", Value::Null), ("spec.backup", one)),
        ("absolute", with(&restore(), "/spec/backup/path", json!("/etc/shadow")), ("spec.backup.path", PATH)),
        ("up", with(&restore(), "/spec/backup/path", json!("a/../../b")), ("spec.backup.path", PATH)),
        ("only up", with(&restore(), "/spec/backup/path", json!("..")), ("spec.backup.path", PATH)),
        ("latest, up", latest, ("spec.backup.latest.prefix", PATH)),
        ("hooks with Direct", direct, ("spec.hooks", hook)),
    ];
    let kept = [
        ("the smallest", restore()),
        ("verify", verify),
        ("dots in a name", with(&restore(), "/spec/backup/path", json!("a..b/...c"))),
        ("hooks with Auto", with(&restore(), "/spec/hooks", hooks)),
        (
            "no hooks with Direct",
            with(&with(&restore(), "/spec/hooks", json!({})), "/spec/strategy", json!("Direct")),
        ),
    ];
    let broken = broken.into_iter().map(|(name, new, rule)| Case::restore(name, new, &[rule]));
    broken.chain(kept.map(|(name, new)| Case::restore(name, new, &[]))).collect()
}

/// Every field of a restore that cannot be changed, with a value and another one.
pub(crate) fn changes() -> Vec<(&'static str, Value, Value)> {
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

/// What was asked for is changed, added, removed.
pub(crate) fn changed() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, value, other) in changes() {
        let pointer = format!("/spec/{field}");
        let immutable =
            format!("{field} is immutable: create a new DatabaseRestore under another name instead");
        let field = format!("spec.{field}");
        let rule = [(field.as_str(), immutable.as_str())];
        let old = with(&restore(), &pointer, value);
        let new = with(&old, &pointer, other);
        cases.push(Case::restore(format!("{field} changed"), new, &rule).after(old.clone()));
        if OPTIONAL.iter().any(|it| pointer.ends_with(&format!("/{it}"))) {
            let without = with(&old, &pointer, Value::Null);
            let added = Case::restore(format!("{field} added"), old.clone(), &rule);
            cases.push(added.after(without.clone()));
            cases.push(Case::restore(format!("{field} removed"), without, &rule).after(old));
        }
    }
    cases
}

/// What a person decides on the way.
pub(crate) fn decided() -> Vec<Case> {
    let overwrite = json!({"policy": "Ask", "confirm": ["app.db"], "confirmUntil": "2026-12-01T00:00:00Z",
        "confirmedPlan": "abc"});
    let decided = with(&restore(), "/spec/overwrite", overwrite);
    let cancelled = with(&restore(), "/spec/cancel", json!(true));
    let back = [("spec.cancel", "cancel cannot be taken back: create a new DatabaseRestore instead")];
    let refusing = with(&restore(), "/spec/overwrite", json!({"policy": "Refuse"}));
    let policy = [(
        "spec.overwrite.policy",
        "policy is immutable: create a new DatabaseRestore under another name instead",
    )];
    let asking = with(&restore(), "/spec/overwrite", json!({"policy": "Ask"}));
    vec![
        Case::restore("confirmed", decided.clone(), &[]).after(restore()),
        Case::restore("withdrawn", restore(), &[]).after(decided),
        Case::restore("sessions", with(&restore(), "/spec/sessions", json!("Terminate")), &[])
            .after(restore()),
        Case::restore("switch", with(&restore(), "/spec/switch", json!("Hold")), &[]).after(restore()),
        Case::restore("suspend", with(&restore(), "/spec/suspend", json!(true)), &[]).after(restore()),
        Case::restore("cancel", cancelled.clone(), &[]).after(restore()),
        Case::restore("jobTTL", with(&restore(), "/spec/jobTTL", json!("1h")), &[]).after(restore()),
        Case::restore("cancel taken back", restore(), &back).after(cancelled),
        Case::restore("policy", refusing.clone(), &policy).after(restore()),
        Case::restore("policy back", asking, &policy).after(refusing),
    ]
}

/// An end, and what must not become of it.
pub(crate) fn ends() -> Vec<Case> {
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
    let changes = [
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
    ];
    let ended = Case::restore("it ends", old.clone(), &[]).after(running);
    changes
        .into_iter()
        .map(|(name, new, rules)| Case::restore(name, new, &rules).after(old.clone()))
        .chain([ended])
        .collect()
}

/// Unions take exactly one.
pub(crate) fn unions() -> Vec<Case> {
    let key = json!({"name": "kit", "key": "master.key"});
    let s3 = json!({"bucket": "backups"});
    let volume = json!({"claimName": "backups"});
    let profile = "set exactly one of aes256Gcm, age, recoveryKit";
    let age = "set exactly one of identitySecretKeyRef, passphraseSecretKeyRef";
    let kit = "a Recovery Kit brings the ids of its keys: remove id";
    [
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
    ]
    .into_iter()
    .map(|(kind, spec, expected)| {
        Case::new(kind, format!("{kind:?} {spec}"), json!({"spec": spec}), &expected)
    })
    .collect()
}

/// A connection is a server or a file.
pub(crate) fn connections() -> Vec<Case> {
    let file = json!({"claimName": "data", "path": "app.db"});
    let sqlite = ("spec.sqlite", "engine SQLite needs sqlite, and no other engine may have it");
    let host = ("spec.host", "every engine but SQLite needs host, and SQLite has none");
    let server = (
        "spec",
        "SQLite is a file: port, maintenanceDatabase, credentials, privilegedCredentials, tls and \
        expectIdentity are for servers",
    );
    [
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
    ]
    .into_iter()
    .map(|(spec, expected)| {
        Case::new(Kind::DatabaseConnection, spec.to_string(), json!({"spec": spec}), &expected)
    })
    .collect()
}

/// Kind, field and message of every rule in the schemas.
pub(crate) fn rules() -> BTreeSet<(&'static str, String, String)> {
    let mut rules = BTreeSet::new();
    for kind in Kind::ALL {
        walk(&kind.schema().unwrap(), "", &mut |schema, path| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let field = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
                let message = rule["message"].as_str().expect("every rule says what is wrong").to_owned();
                rules.insert((kind.name(), field.trim_start_matches('.').to_owned(), message));
            }
        });
    }
    rules
}

/// Calls `see` with every schema inside `schema` and its path.
pub(crate) fn walk(schema: &Value, path: &str, see: &mut dyn FnMut(&Value, &str)) {
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

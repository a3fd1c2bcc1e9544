//! What is shipped for GitOps, run for real: the Lua of Argo CD, the CEL of Flux, the samples.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cel::{Context, Program};
use serde_json::{Value, json};

use crate::generated::write_or_compare;

/// A serialiser in Lua, for what a script gives back.
const TO_JSON: &str = r#"
local function text(value)
  return '"' .. value:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end
local function json(value)
  if type(value) == "string" then return text(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  if #value > 0 then
    for _, inner in ipairs(value) do table.insert(parts, json(inner)) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, inner in pairs(value) do table.insert(parts, text(key) .. ":" .. json(inner)) end
  return "{" .. table.concat(parts, ",") .. "}"
end
"#;

fn folder() -> PathBuf {
    root().join("contrib/argocd/resource_customizations/reinstate.dev/DatabaseRestore")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `value` as a constant of Lua.
fn lua_value(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            format!("\"{}\"", text.bytes().map(|byte| format!("\\{byte:03}")).collect::<String>())
        }
        Value::Array(all) => format!("{{{}}}", all.iter().map(lua_value).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("[{}]={}", lua_value(&json!(key)), lua_value(value))
            };
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}

/// What a script of Argo CD gives back for an object. Argo CD's Lua is 5.1, so this one is.
fn run(script: &Path, object: &Value) -> Value {
    let program = format!("{TO_JSON}\nobj = {}\nio.write(json(dofile(arg[1])))\n", lua_value(object));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(program.as_bytes()).unwrap();
    let output = Command::new("lua5.1")
        .arg(file.path())
        .arg(script)
        .stdin(Stdio::null())
        .output()
        .expect("lua5.1 is missing: run tests/parts/install.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn argo_cd_shows_the_health_that_its_test_data_says() {
    let tests = yaml(&folder().join("health_test.yaml"));
    let mut seen = Vec::new();
    for test in tests["tests"].as_array().unwrap() {
        let input = test["inputPath"].as_str().unwrap();
        let found = run(&folder().join("health.lua"), &yaml(&folder().join(input)));
        assert_eq!(found, test["healthStatus"], "{input}");
        seen.push(Path::new(input).file_name().unwrap().to_owned());
    }
    for entry in folder().join("testdata").read_dir().unwrap() {
        let name = entry.unwrap().file_name();
        assert!(seen.contains(&name), "no test reads {}", name.display());
    }
}

#[test]
fn argo_cd_offers_the_actions_that_its_test_data_says() {
    let folder = folder().join("actions");
    let tests = yaml(&folder.join("action_test.yaml"));
    for test in tests["discoveryTests"].as_array().unwrap() {
        let input = test["inputPath"].as_str().unwrap();
        let found = run(&folder.join("discovery.lua"), &yaml(&folder.join(input)));
        let expected = test["result"].as_array().unwrap().iter().map(|action| {
            let mut facts = action.as_object().unwrap().clone();
            let name = facts.remove("name").unwrap();
            (name.as_str().unwrap().to_owned(), Value::Object(facts))
        });
        assert_eq!(found, expected.collect::<Value>(), "{input}");
    }
    for test in tests["actionTests"].as_array().unwrap() {
        let script = folder.join(test["action"].as_str().unwrap()).join("action.lua");
        let path = |key: &str| folder.join(test[key].as_str().unwrap());
        assert_eq!(run(&script, &yaml(&path("inputPath"))), yaml(&path("expectedOutputPath")), "{test}");
    }
}

#[test]
fn the_config_map_of_argo_cd_holds_the_same_scripts() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let indented = |text: &str, by: usize| -> String {
        let blank = " ".repeat(by);
        text.lines()
            .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{blank}{line}\n") })
            .collect()
    };
    let mut actions =
        format!("discovery.lua: |\n{}definitions:\n", indented(&read("actions/discovery.lua"), 2));
    for name in ["confirm", "cancel"] {
        let script = indented(&read(&format!("actions/{name}/action.lua")), 4);
        actions.push_str(&format!("- name: {name}\n  action.lua: |\n{script}"));
    }
    let text = format!(
        "# Generated from resource_customizations/; do not edit.\n\
         data:\n  resource.customizations.health.reinstate.dev_DatabaseRestore: |\n{}  \
         resource.customizations.actions.reinstate.dev_DatabaseRestore: |\n{}  \
         # What a person changes on the cluster; self-healing would take it back.\n  \
         resource.customizations.ignoreDifferences.reinstate.dev_DatabaseRestore: |\n    \
         jsonPointers: [/spec/overwrite/confirm, /spec/overwrite/confirmUntil, /spec/overwrite/confirmedPlan, \
         /spec/switch, /spec/suspend, /spec/cancel]\n",
        indented(&read("health.lua"), 4),
        indented(&actions, 4),
    );
    write_or_compare("contrib/argocd/argocd-cm.yaml".as_ref(), &text);
    let map: Value = serde_saphyr::from_str(&text).unwrap();
    let health = &map["data"]["resource.customizations.health.reinstate.dev_DatabaseRestore"];
    assert_eq!(health.as_str().unwrap(), read("health.lua"));
    let actions =
        map["data"]["resource.customizations.actions.reinstate.dev_DatabaseRestore"].as_str().unwrap();
    let actions: Value = serde_saphyr::from_str(actions).unwrap();
    assert_eq!(actions["definitions"][0]["action.lua"].as_str().unwrap(), read("actions/confirm/action.lua"));
}

/// As Flux evaluates them: a generation that was not observed is in progress, then the expressions in
/// this order, and in progress when none of them holds.
fn flux_health(check: &Value, object: &Value) -> &'static str {
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    for (name, health) in [("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")] {
        let Some(text) = check[name].as_str() else { continue };
        let mut context = Context::default();
        for field in ["metadata", "spec", "status"] {
            context.add_variable(field, &object[field]).unwrap();
        }
        if Program::compile(text).unwrap().execute(&context).unwrap() == cel::Value::Bool(true) {
            return health;
        }
    }
    "InProgress"
}

#[test]
fn flux_waits_for_a_person_and_sees_every_end() {
    let kustomization = yaml(&root().join("contrib/flux/kustomization.yaml"));
    let checks = kustomization["spec"]["healthCheckExprs"].as_array().unwrap();
    assert_eq!((checks.len(), &checks[0]["kind"]), (1, &json!("DatabaseRestore")));
    for (input, expected) in [
        ("new", "InProgress"),
        ("queued", "InProgress"),
        ("restoring", "InProgress"),
        ("awaiting-confirmation", "InProgress"),
        ("holding", "InProgress"),
        ("suspended", "InProgress"),
        ("change-not-seen", "InProgress"),
        ("reference-missing", "InProgress"),
        ("failed", "Failed"),
        ("restored", "Current"),
    ] {
        let object = yaml(&folder().join("testdata").join(format!("{input}.yaml")));
        assert_eq!(flux_health(&checks[0], &object), expected, "{input}");
    }
}

/// The samples are manifests that the program takes, with what keeps them from firing twice.
#[test]
fn the_samples_for_git_are_good_manifests_and_carry_their_guards() {
    for (path, guards) in [
        (
            "contrib/argocd/restore.yaml",
            &[("argocd.argoproj.io/sync-options", "Prune=false,Delete=false")][..],
        ),
        (
            "contrib/flux/restore.yaml",
            &[
                ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
                ("kustomize.toolkit.fluxcd.io/force", "disabled"),
            ],
        ),
    ] {
        let object = yaml(&root().join(path));
        let restore: reinstate::api::DatabaseRestore = serde_json::from_value(object.clone()).unwrap();
        assert!(restore.spec.overwrite.confirm_until.is_some(), "{path}");
        for (annotation, value) in guards {
            assert_eq!(object["metadata"]["annotations"][annotation], *value, "{path}");
        }
    }
}

//! Manifests are read strictly, all problems at once, and no message shows a secret.

use std::io::Read;
use std::path::Path;

use reinstate::cli::manifest::{FILE_LIMIT_BYTES, ManifestProblem, ManifestReader, Manifests};
use reinstate::plan::{SecretKey, SecretReader as _};

fn read(text: &str) -> Result<Manifests, Vec<ManifestProblem>> {
    let mut reader = ManifestReader::default();
    reader.add("m.yaml", &mut text.as_bytes());
    reader.finish()
}

fn problems(text: &str) -> Vec<String> {
    read(text).expect_err(text).iter().map(ToString::to_string).collect()
}

const STORAGE: &str = "
apiVersion: reinstate.dev/v1alpha1
kind: BackupStorage
metadata: {name: backups}
spec:
  volume: {claimName: backups}
";

const RESTORE: &str = "
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseRestore
metadata: {name: shop, namespace: staging, labels: {team: a}}
spec:
  backup:
    storageRef: {name: backups}
    latest: {prefix: shop/, maxAge: 26h, notAfter: 2026-12-01T00:00:00Z}
  target:
    connectionRef: {name: staging}
    databases:
    - {from: production, to: copy.db}
  overwrite: {confirm: [copy.db], confirmUntil: 2026-12-01T00:00:00Z}
  runner:
    resources: {limits: {memory: 1Gi, cpu: 1}}
    tolerations: [{key: a, operator: Exists}]
    affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
      {matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]}}}
    podLabels: {a: b}
";

const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: kit, annotations: {a: b}}
type: Opaque
immutable: true
data:
  binary: AAH/
  both: b2xk
  wrapped: |
    aGVs
    bG8=
stringData:
  text: hunter2
  both: new
";

#[test]
fn documents_of_all_kinds_are_read() {
    let all = format!("---\n{STORAGE}\n---\n# nothing\n---\n{RESTORE}\n---\n{SECRET}");
    let manifests = read(&all).unwrap();
    assert_eq!(manifests.objects.storages.len(), 1);
    let restore = &manifests.restores[0];
    assert_eq!(restore.spec.target.as_ref().unwrap().databases.as_ref().unwrap()[0].from, "production");
    assert_eq!(restore.spec.backup.latest.as_ref().unwrap().max_age.unwrap().to_string(), "26h");
    assert_eq!(restore.spec.retries, 2, "defaults are filled in");
    let secrets = manifests.secrets("default");
    for (key, value) in
        [("binary", &[0u8, 1, 255][..]), ("both", b"new"), ("wrapped", b"hello"), ("text", b"hunter2")]
    {
        let read = secrets.read(&SecretKey { secret: "kit".into(), key: key.into() }).unwrap();
        assert_eq!(read.expose(), value, "{key}");
    }
    assert!(manifests.secrets("staging").keys("kit").is_err(), "another namespace has its own");
}

#[test]
fn a_manifest_may_be_what_the_cluster_gives_back() {
    let exported = RESTORE.replace(
        "labels: {team: a}",
        "uid: abc, resourceVersion: '5', generation: 1, \
        creationTimestamp: 2026-11-23T00:00:00Z, managedFields: [{manager: kubectl, operation: Update}]",
    );
    let exported = format!("{exported}status:\n  observedGeneration: 1\n  phase: Succeeded\n");
    let manifests = read(&exported).unwrap();
    assert_eq!(manifests.restores[0].status, None, "the record of another run is not taken over");
}

#[test]
fn every_unknown_field_is_named_at_once() {
    let text = RESTORE
        .replace("maxAge: 26h", "maxage: 26h")
        .replace("to: copy.db}", "To: copy.db}")
        .replace("namespace: staging,", "namespace: staging, lables: {},")
        .replace("spec:\n", "spce: {}\nspec:\n  hook: {}\n")
        .replace("limits:", "limit:");
    let mut found = problems(&text);
    found.sort();
    let place = "m.yaml, document 1, DatabaseRestore";
    assert_eq!(
        found,
        [
            format!("{place} shop: spce is not a known field; did you mean spec?"),
            format!("{place} shop: spec.backup.latest.maxage is not a known field; did you mean maxAge?"),
            format!("{place} shop: spec.hook is not a known field; did you mean hooks?"),
            format!("{place} shop: spec.runner.resources.limit is not a known field; did you mean limits?"),
            format!("{place} shop: spec.target.databases[0].To is not a known field; did you mean to?"),
            format!("{place}: metadata.lables is not a known field"),
        ]
    );
}

#[test]
fn each_fault_is_named_with_its_place() {
    let place = "m.yaml, document 1, BackupStorage backups";
    let edit = |from: &str, to: &str| {
        assert!(STORAGE.contains(from), "{from}");
        STORAGE.replace(from, to)
    };
    for (text, expected) in [
        (
            edit("v1alpha1", "v2"),
            "m.yaml, document 1: \"BackupStorage\" of \"reinstate.dev/v2\" is not known here; \
            known are DatabaseRestore, BackupStorage, DatabaseConnection, EncryptionProfile of \
            reinstate.dev/v1alpha1, and Secret of v1"
                .to_owned(),
        ),
        (
            edit("apiVersion: reinstate.dev/v1alpha1", ""),
            "m.yaml, document 1: apiVersion is required, as text".into(),
        ),
        (edit("kind: BackupStorage", "kind: 5"), "m.yaml, document 1: kind is required, as text".into()),
        (
            edit("{name: backups}", "{}"),
            "m.yaml, document 1, BackupStorage: metadata.name is required".into(),
        ),
        (
            edit("{name: backups}", "{name: Back_ups}"),
            "m.yaml, document 1, BackupStorage: metadata.name is not a \
            name: at most 253 lower-case letters, digits, `-` and `.`"
                .into(),
        ),
        (
            edit("{name: backups}", "{name: a, namespace: a.b}"),
            "m.yaml, document 1, BackupStorage: \
            metadata.namespace is not a namespace: at most 63 lower-case letters, digits and `-`"
                .into(),
        ),
        (
            edit("metadata: {name: backups}", ""),
            "m.yaml, document 1, BackupStorage: metadata is required".into(),
        ),
        (edit("spec:\n  volume: {claimName: backups}", ""), format!("{place}: spec is required")),
        (
            edit("{claimName: backups}", ""),
            format!(
                "{place}: spec.volume has no value: write a mapping, or remove \
            the field"
            ),
        ),
        (edit("{claimName: backups}", "{}"), format!("{place}: spec.volume.claimName is required")),
        (
            edit("claimName: backups", "claimName: 5"),
            format!(
                "{place}: spec.volume.claimName must be text, not a \
            number (put it in quotes)"
            ),
        ),
        (
            edit("claimName: backups", "claimName: A"),
            format!(
                "{place}: spec.volume.claimName \"A\" is not a name: \
            lower-case letters, digits, `-` and `.` only"
            ),
        ),
        (
            edit("claimName: backups", "claimName: a, path: ../x"),
            format!(
                "{place}: spec.volume.path breaks a rule: \
            must be a relative path without `..`"
            ),
        ),
        (
            edit("volume:", "s3: {bucket: abc}\n  volume:"),
            format!(
                "{place}: spec breaks a rule: set exactly one of \
            s3, volume"
            ),
        ),
        (format!("{STORAGE}status: {{}}\n"), format!("{place}: status is not a known field")),
        ("just text".into(), "m.yaml, document 1: is not a mapping".into()),
        ("[1, 2]".into(), "m.yaml, document 1: is not a mapping".into()),
        ("a: [".into(), String::new()),
        ("a: 1\na: 2".into(), "m.yaml: has the same key twice in one mapping, at line 2, column 1".into()),
        (
            format!("{STORAGE}---{STORAGE}"),
            "m.yaml, document 2, BackupStorage backups: is there twice in namespace \
            default"
                .into(),
        ),
    ] {
        let found = problems(&text);
        if expected.is_empty() {
            assert!(found[0].starts_with("m.yaml: is not valid YAML ("), "{found:?}");
        } else {
            assert_eq!(found, [expected], "{text}");
        }
    }
}

#[test]
fn values_of_a_restore_are_checked() {
    let edit = |from: &str, to: &str| {
        assert!(RESTORE.contains(from), "{from}");
        RESTORE.replace(from, to)
    };
    let long = format!("prefix: {}", "a".repeat(1025));
    let duplicate = "- {from: production, to: copy.db}\n    - {from: production}";
    for (text, expected) in [
        (
            edit("26h", "5 days"),
            "spec.backup.latest.maxAge \"5 days\" is not a duration such as 90s, 26h or 1h30m",
        ),
        (
            edit("26h", "999999h"),
            "spec.backup.latest.maxAge cannot be read: not a duration: write numbers with the \
            units h, m, s or ms, such as 90s, 26h or 1h30m, up to ten years",
        ),
        (
            edit("notAfter: 2026-12-01T00:00:00Z", "notAfter: tomorrow"),
            "spec.backup.latest.notAfter cannot be read: ",
        ),
        (edit("prefix: shop/", &long), "spec.backup.latest.prefix is longer than 1024 characters"),
        (
            edit("overwrite: {", "overwrite: {policy: ask, "),
            "spec.overwrite.policy \"ask\" is not one of Ask, Refuse",
        ),
        (
            edit("spec:\n", "spec:\n  mode: Verify\n"),
            "spec.target breaks a rule: mode Verify reads the backup alone \
            and forbids target; Restore and Plan need it",
        ),
        (edit("spec:\n", "spec:\n  retries: 11\n"), "spec.retries 11 is more than 10"),
        (edit("spec:\n", "spec:\n  retries: 1.5\n"), "spec.retries must be a whole number, not a number"),
        (edit("spec:\n", "spec:\n  retries: 99999999999999999999\n"), "spec.retries "),
        (edit("spec:\n", "spec:\n  suspend: \"true\"\n"), "spec.suspend must be true or false, not text"),
        (
            edit("- {from: production, to: copy.db}", duplicate),
            "spec.target.databases[1] has the same from as an \
            entry before it",
        ),
        (edit("memory: 1Gi", "memory: [1]"), "spec.runner.resources.limits.memory must be a number or text"),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        let expected = format!("m.yaml, document 1, DatabaseRestore shop: {expected}");
        assert!(found[0].starts_with(&expected), "{}\n{expected}", found[0]);
    }
}

#[test]
fn no_message_shows_the_value_of_a_secret() {
    const VALUE: &str = "hunter2correcthorse";
    let secret = |line: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: kit}}\n{line}\n");
    for line in [
        format!("data:\n  key: {VALUE}*"),
        format!("data: {VALUE}"),
        format!("stringData: [{VALUE}]"),
        format!("stringData:\n  key: [{VALUE}]"),
        format!("stringData:\n  key: {{a: {VALUE}}}"),
        format!("stringData:\n  key: *{VALUE}"),
        format!("stringData:\n  key: !{VALUE}"),
        format!("stringData:\n  key: !{VALUE} x\n  other: 5"),
        format!("stringData:\n  key: &{VALUE}"),
        format!("stringData:\n  key: @{VALUE}"),
        format!("stringData:\n  key: %{VALUE}"),
        format!("stringData:\n  key: `{VALUE}"),
        format!("stringData:\n  key: \"{VALUE}"),
        format!("stringData:\n  key: '{VALUE}"),
        format!("stringData:\n  key: \"\\{VALUE}\""),
        format!("stringData:\n  key: {VALUE}: x"),
        format!("stringData:\n  key: {VALUE}\n   more: {VALUE}"),
        format!("stringData:\n  key: |\n{VALUE}"),
        format!("stringData:\n\tkey: {VALUE}"),
        format!("stringdata:\n  key: {VALUE}"),
        format!("stringData:\n  key: {VALUE}\ntype: [{VALUE}]"),
        format!("stringData:\n  key: {VALUE}\nimmutable: {VALUE}"),
        format!("stringData:\n  key: {VALUE}\n  key: {VALUE}"),
        format!("stringData:\n  'a/b': {VALUE}"),
        format!("stringData:\n  key: {VALUE}\n---\n%{VALUE}\n"),
        format!("stringData:\n  key: {VALUE}\n]"),
    ] {
        for problem in problems(&secret(&line)) {
            assert!(!problem.contains("hunter2"), "{line}\n{problem}");
        }
    }
    let good = read(&secret(&format!("stringData:\n  key: {VALUE}"))).unwrap();
    assert!(!format!("{good:?}").contains("hunter2"));
}

#[test]
fn faults_of_a_secret_are_named_by_key() {
    let place = "m.yaml, document 1, Secret kit";
    let secret = |line: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: kit}}\n{line}\n");
    let large = format!("stringData: {{a: {}}}", "x".repeat(1024 * 1024 + 1));
    for (line, expected) in [
        ("data: {a: '!!'}", "data.a is not base64; write plain text under stringData"),
        ("data: {a: YQ}", "data.a is not base64; write plain text under stringData"),
        ("data: []", "data must be a mapping"),
        ("stringData: {a: 5}", "stringData.a must be text; put numbers, true and false in quotes"),
        ("stringData: {a: yes}", "stringData.a must be text; put numbers, true and false in quotes"),
        (
            "stringData: {'a/b': x}",
            "stringData has a key that is not made of letters, digits, `-`, `_` and `.`",
        ),
        ("stringdata: {a: x}", "stringdata is not a known field; did you mean stringData?"),
        ("spec: {}", "spec is not a known field"),
        (&large, "is larger than 1 MiB, the most that a Secret can hold"),
    ] {
        assert_eq!(problems(&secret(line)), [format!("{place}: {expected}")], "{line:.60}");
    }
    assert!(read(&secret("data:\nstringData: {}")).is_ok(), "empty parts are nothing");
}

#[test]
fn hostile_text_ends_with_an_error_in_bounded_time() {
    let scalar = "x".repeat(1024 * 1024);
    let laughs: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|level| {
            let alias = format!("*a{}", level - 1);
            format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", "))
        }))
        .collect();
    let aliases = format!("a: &a {scalar}\nb: [{}]\n", ["*a"; 200].join(", "));
    for (case, text) in [
        ("billion laughs", laughs),
        ("large scalars repeated", aliases),
        ("deep flow", "[".repeat(100_000)),
        ("deep blocks", "- ".repeat(10_000)),
        ("deep mappings", (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect()),
        ("many documents", "---\na: 1\n".repeat(10_000)),
        ("many nodes", format!("a: [{}]", "1,".repeat(200_000))),
        ("control bytes", "a: \u{0}\u{1}".to_owned()),
    ] {
        let found = read(&text).expect_err(case);
        assert_eq!(found.len(), 1, "{case}");
        let message = found[0].to_string();
        assert!(
            message.contains("is over a limit") || message.contains("is not valid YAML"),
            "{case}: {message}"
        );
        assert!(found.iter().all(|problem| problem.to_string().len() < 500), "{case}: {}", found[0]);
    }
    assert!(read("").unwrap().restores.is_empty(), "nothing is nothing");
    assert!(read("---\n---\n# x\n").unwrap().restores.is_empty());
}

#[test]
fn a_file_that_is_too_large_not_text_or_not_there_is_named() {
    let mut reader = ManifestReader::default();
    reader.add("endless", &mut std::io::repeat(b'#'));
    reader.add("exact", &mut std::io::repeat(b'#').take(FILE_LIMIT_BYTES));
    reader.add("binary", &mut &b"a: \xff"[..]);
    reader.add_file(Path::new("/nowhere/restore.yaml"));
    let found: Vec<String> = reader.finish().unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(found[0], "endless: is larger than 8 MiB");
    assert_eq!(found[1], "binary: is not UTF-8 text, from byte 3");
    assert!(found[2].starts_with("/nowhere/restore.yaml: failed to open: "), "{}", found[2]);
    assert_eq!(found.len(), 3);
}

#[test]
fn problems_of_several_files_come_together() {
    let mut reader = ManifestReader::default();
    reader.add("a.yaml", &mut STORAGE.as_bytes());
    reader.add("b.yaml", &mut STORAGE.as_bytes());
    reader.add("c.yaml", &mut "kind: X\napiVersion: v9".as_bytes());
    let places: Vec<String> = reader.finish().unwrap_err().into_iter().map(|problem| problem.place).collect();
    assert_eq!(places, ["b.yaml, document 1, BackupStorage backups", "c.yaml, document 1"]);
}

#[test]
fn a_manifest_cut_or_mistyped_anywhere_ends_without_a_panic_and_without_the_secret() {
    let all = format!("{STORAGE}---{RESTORE}---{SECRET}");
    for end in (0..all.len()).step_by(7) {
        let _ = read(&all[..end]);
    }
    let text = SECRET.replace("  both: new\n", "").replace("hunter2", "hunter2horse");
    for position in 0..=text.len() {
        for typed in [
            "*", "&", "!", "%", "@", "`", ":", "- ", "{", "}", "[", "]", "\"", "'", "|", ">", "#", "\t",
            "\n", "\0",
        ] {
            let mistyped = format!("{}{typed}{}", &text[..position], &text[position..]);
            for problem in read(&mistyped).err().into_iter().flatten() {
                let message = problem.to_string();
                assert!(!message.contains("hunt") && !message.contains("orse"), "{mistyped}\n{message}");
            }
        }
    }
}

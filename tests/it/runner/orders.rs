//! Orders that are carried out, and orders that cannot be.

use reinstate::plan::{Binding, pod};
use reinstate::reason::Reason;
use reinstate::report::{Outcome, TargetModified};
use serde_json::Value;

use super::{Pod, UID};
use crate::cli::{BACKUP, CONTENT, backups, keys, objects, request, restore, sha256, snapshot};

fn pod_with(spec: &str) -> Pod {
    let pod = Pod::new(&backups());
    pod.order(&[&restore("demo", BACKUP, spec), &objects(), &keys()], |_| ());
    pod
}

#[test]
fn an_order_is_carried_out_and_its_verdict_stands_in_the_journal() {
    let pod = pod_with("");
    let ended = pod.run().expect(0, &[]);
    assert_eq!(ended.out, "");
    assert_eq!(sha256(&pod.target()), CONTENT);
    assert_eq!(pod.files(), ["app.db"]);
    // Between the rename and the verdict a database is there and nothing says so yet.
    assert_eq!(pod.lines(), ["False", "Unknown", "False Restored"]);
    let verdict = pod.verdict();
    assert_eq!((verdict.namespace.as_str(), verdict.name.as_str()), ("default", "demo"));
    let target = verdict.target.unwrap();
    assert_eq!(target.place, pod.target().display().to_string());
    assert_eq!(target.databases[0].rows, Some(325));
    assert_eq!(verdict.backup.unwrap().profile.as_deref(), Some("imported-a"));
}

#[test]
fn every_line_of_the_log_is_json_that_names_the_restore() {
    let pod = pod_with("");
    let ended = pod.run().expect(0, &[]);
    let lines: Vec<Value> = ended.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let span = &line["span"];
        assert_eq!([&span["namespace"], &span["restore"], &span["uid"]], ["default", "demo", UID], "{line}");
        assert_eq!(span["attempt"], 1);
        assert!(line["level"] != "ERROR" && line["timestamp"].is_string(), "{line}");
    }
    let said = |text: &str| lines.iter().any(|line| line["message"] == text);
    for text in ["begin: Resolve", "end: Resolve", "begin: Switch", "end: Switch", "ended"] {
        assert!(said(text), "{text}: {}", ended.err);
    }
}

#[test]
fn over_data_the_journal_says_first_that_it_may_change_and_then_that_it_did() {
    let pod = pod_with("  overwrite: {confirm: [app.db]}");
    pod.make_old();
    pod.run().expect(0, &[]);
    assert_eq!(pod.lines(), ["False", "Unknown", "True", "True Restored"]);
    let verdict = pod.verdict();
    assert_eq!((verdict.outcome, verdict.target_modified), (Outcome::Restored, TargetModified::True));
}

#[test]
fn what_nobody_confirmed_waits_with_all_that_a_person_decides_on() {
    let shown = pod_with("");
    shown.make_old();
    let before = snapshot(&shown.at("/claims/app-data"));
    shown.run().expect(3, &["ConfirmationRequired"]);
    assert_eq!(snapshot(&shown.at("/claims/app-data")), before);
    assert_eq!(shown.lines(), ["False", "False AwaitingConfirmation"]);
    let verdict = shown.verdict();
    let backup = verdict.backup.unwrap();
    assert_eq!(
        (backup.path.as_str(), backup.size),
        (BACKUP, std::fs::metadata(backups().join(BACKUP)).unwrap().len())
    );
    assert!(backup.timestamp.is_some());
    let target = verdict.target.unwrap();
    assert!(target.confirmation_required && target.databases[0].holds.is_some());
    // The token of what was shown lets the same run through, once the name is confirmed too.
    for (token, code) in [("0000000000000000", 3), (target.plan_token.as_str(), 0)] {
        let spec = restore("demo", BACKUP, "  overwrite: {confirm: [app.db]}");
        shown.order(&[&spec, &objects(), &keys()], |order| {
            order.plan.overwrite.binding = Binding::Shown(token.to_owned());
        });
        shown.run().expect(code, &[]);
    }
}

type Change = fn(&Pod);

/// The folder of the one Secret that the order names.
fn folder(pod: &Pod) -> std::path::PathBuf {
    pod.at(pod::SECRETS_FOLDER).join("imported-a-secret")
}

#[test]
fn a_secret_or_key_that_is_missing_is_told_by_its_name() {
    let named = format!("path: {BACKUP}, encryption: {{profileRef: {{name: imported-a}}}}");
    let spec = request("demo", &named, "connectionRef: {name: app}", "");
    let pod = || {
        let pod = Pod::new(&backups());
        pod.order(&[&spec, &objects(), &keys()], |_| ());
        pod
    };
    let cases: [(Change, Reason); 4] = [
        (|pod| std::fs::remove_file(folder(pod).join("value")).unwrap(), Reason::SecretMissing),
        (|pod| std::fs::remove_dir_all(folder(pod)).unwrap(), Reason::SecretMissing),
        (
            |pod| std::fs::rename(folder(pod).join("value"), folder(pod).join("other")).unwrap(),
            Reason::SecretKeyMissing,
        ),
        (|pod| std::fs::write(folder(pod).join("value"), "").unwrap(), Reason::SecretKeyMissing),
    ];
    for (change, reason) in cases {
        let pod = pod();
        change(&pod);
        pod.run().expect(11, &[reason.name(), "imported-a-secret"]);
        let verdict = pod.verdict();
        let failure = verdict.failure.unwrap();
        assert_eq!((failure.reason, failure.stage.as_str()), (reason, "Resolve"));
        assert_eq!(verdict.target_modified, TargetModified::False);
        assert_eq!(pod.files(), Vec::<String>::new());
    }
}

#[test]
fn an_order_that_cannot_be_read_ends_in_a_verdict_too() {
    let whole =
        serde_json::to_value(super::order(&[&restore("demo", BACKUP, ""), &objects(), &keys()])).unwrap();
    let changed = |field: &str, value: Value| {
        let mut order = whole.clone();
        order[field] = value;
        order.to_string()
    };
    for (text, uid, attempt, says) in [
        (Some(changed("version", 2.into())), UID, 1, "plan version 2"),
        (Some(changed("anything", true.into())), UID, 1, "unknown field `anything`"),
        (Some("not JSON".to_owned()), "", 0, "expected ident"),
        (Some(String::new()), "", 0, "EOF"),
        (None, "", 0, "No such file"),
    ] {
        let pod = Pod::new(&backups());
        if let Some(text) = &text {
            std::fs::write(pod.at(pod::ORDER_FILE), text).unwrap();
        }
        pod.run().expect(11, &[says, "of one version"]);
        let entry = reinstate::journal::last(&pod.message(), uid, attempt).unwrap();
        let failure = entry.verdict.unwrap().failure.unwrap();
        assert_eq!(failure.reason, Reason::InternalError);
        assert!(failure.hint.contains("of one version"), "{}", failure.hint);
        assert_eq!(pod.files(), Vec::<String>::new());
    }
}

#[test]
fn without_a_journal_nothing_is_done() {
    let pod = pod_with("");
    std::fs::create_dir(pod.at(pod::JOURNAL_FILE)).unwrap();
    pod.run().expect(11, &["failed to begin the journal", "InternalError"]);
    assert_eq!(pod.files(), Vec::<String>::new());
}

#[test]
fn a_verdict_of_any_size_fits_into_the_message() {
    let pod = Pod::new(&backups());
    let path = vec!["\u{1f4a5}".repeat(60); 4].join("/");
    pod.order(&[&restore("demo", BACKUP, ""), &objects(), &keys()], |order| {
        order.plan.backup.selector = reinstate::plan::Selector::Path(path);
        order.plan.name = "n".repeat(253);
    });
    pod.run().expect(11, &[]);
    assert_eq!(pod.verdict().failure.unwrap().reason, Reason::SourceNotFound);
}

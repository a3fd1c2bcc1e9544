//! Passwords of publishers in what a run prints, logs and reports, with several databases of one dump.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::restores::{databases, fresh};
use super::subscriptions::{CANARY, MADE};
use crate::parts::postgres::{PASSWORD, Postgres, postgres};

/// The objects of a run as `login`, which restores two databases of the script `dumped.sql`.
fn manifest(server: &Postgres, login: &str, targets: [&str; 2], subscriptions: &str) -> String {
    let [first, second] = targets;
    let port = server.port;
    let key = |key: &str| format!("{{name: server, key: {key}}}");
    format!(
        "{{apiVersion: reinstate.dev/v1alpha1, kind: DatabaseRestore, metadata: {{name: subscribed}}, spec: {{
           backup: {{storageRef: {{name: backups}}, path: dumped.sql}},
           target: {{connectionRef: {{name: server}}, objects: {{subscriptions: {subscriptions}}},
                    databases: [{{from: one, to: {first}}}, {{from: two, to: {second}}}]}}}}}}
---
{{apiVersion: reinstate.dev/v1alpha1, kind: BackupStorage, metadata: {{name: backups}}, spec: {{volume: {{claimName: backups}}}}}}
---
{{apiVersion: reinstate.dev/v1alpha1, kind: DatabaseConnection, metadata: {{name: server}}, spec: {{
   engine: PostgreSQL, host: localhost, port: {port}, tls: {{mode: Disable}},
   credentials: {{usernameSecretKeyRef: {}, passwordSecretKeyRef: {}}}}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: server}}, stringData: {{username: {login}, password: {PASSWORD}}}}}
",
        key("username"),
        key("password")
    )
}

/// A script as `pg_dumpall` writes it, with a subscription in each of two databases.
fn script(connections: [&str; 2]) -> String {
    let [one, two] = connections;
    let database = |name: &str, connection: &str| {
        format!(
            "\\connect {name}\n\nCREATE TABLE public.{name}_table (a integer);\n\
             CREATE SUBSCRIPTION sub_{name} CONNECTION '{connection}' PUBLICATION p WITH (connect = false, slot_name = 'slot_{name}');\n\
             COMMENT ON SUBSCRIPTION sub_{name} IS 'of {name}';\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
        )
    };
    format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\n-- Dumped from database version 16.1\n\n{}{}\
         --\n-- PostgreSQL database cluster dump complete\n--\n",
        database("one", one),
        database("two", two)
    )
}

/// Runs it with everything logged; the report, and that nothing shows the password.
fn run(folder: &Path, manifest: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reinstate"));
    command.env("RUST_LOG", "trace").args(["run", "-o", "json", "-f", "-", "--claim"]);
    command.arg(format!("backups={}", folder.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    std::io::Write::write_all(&mut process.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(err.contains("end: Switch") || err.contains("end: Restore"), "nothing was logged: {err}");
    for text in [&out, &err] {
        assert!(!text.contains(CANARY) && !text.contains("canary"), "{text}");
    }
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {err}"))
}

#[test]
fn nothing_that_a_run_writes_shows_the_password_of_a_publisher() {
    let server = postgres(16);
    let login = fresh("silent");
    server.sql(
        "postgres",
        &format!("create role {login} login createdb password '{PASSWORD}'; grant pg_create_subscription to {login}"),
    );
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (fresh("silent_one"), fresh("silent_two"));
    let good = format!("host=publisher.invalid password={CANARY}");
    let write =
        |second: &str| std::fs::write(folder.path().join("dumped.sql"), script([&good, second])).unwrap();

    // The second one fails: neither is switched, and nothing is left.
    for (broken, expected) in [
        (
            format!("host=''unterminated password={CANARY}"),
            "(SQLSTATE 42601: its connection string cannot be read)",
        ),
        (format!("host={CANARY}"), "(SQLSTATE 2F003: who is no superuser needs a password"),
    ] {
        write(&broken);
        let report = run(folder.path(), &manifest(server, &login, [&one, &two], "Backup"));
        assert_eq!(report["failure"]["reason"], "RestoreFailed", "{report}");
        assert!(report["failure"]["message"].as_str().unwrap().contains(expected), "{report}");
        assert_eq!(report["leftovers"].as_array().map_or(0, Vec::len), 0, "{report}");
        assert_eq!((databases(server, &one), databases(server, &two)), (Vec::new(), Vec::new()));
    }

    write(&good);
    let report = run(folder.path(), &manifest(server, &login, [&one, &two], "Backup"));
    assert_eq!(report["outcome"], "Restored", "{report}");
    for (name, target) in [("one", &one), ("two", &two)] {
        assert_eq!(server.sql(target, MADE), format!("sub_{name}|f|"));
        let told = format!(
            "subscription sub_{name} of {target} is made disabled and without its slot (in the backup: slot_{name})"
        );
        assert!(report["warnings"].to_string().contains(&told), "{report}");
    }
    let (third, fourth) = (fresh("silent_three"), fresh("silent_four"));
    let report = run(folder.path(), &manifest(server, &login, [&third, &fourth], "Skip"));
    assert_eq!(report["outcome"], "Restored", "{report}");
    assert_eq!(server.sql(&third, MADE), "");
}

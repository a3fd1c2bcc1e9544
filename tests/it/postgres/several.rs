//! Several databases in one run: each goes where the mapping says, and all are switched together or none.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::Postgres as Target;
use reinstate::runner::engine::{Context, Engine, Incoming};
use reinstate::runner::fault::Result;
use reinstate::runner::inventory::DatabaseEntry;
use reinstate::runner::journal::Touched;
use serde_json::{Value, json};

use super::restores::{Backup, databases, fresh, session_in, settings};
use crate::parts::postgres::{CREATOR, PASSWORD, Postgres, own_postgres, postgres};
use crate::parts::wait_until;
use crate::support::fixtures;

/// A backup of three databases, and its key.
const MULTI: &str = "postgres-multi-gzip-enc/postgres_multi_gzip_enc_2026-11-23_01-13-46.tar.gz.enc";
const KEY: &str = "0efc75cce138bd8f1675fec7a15d09b02142809106cac1918c8961fdaafd4995";
const HARBOUR: [&str; 3] = ["harbour_berths", "harbour_crew", "harbour-tolls"];

/// Objects of a run on `server`; `spec` is added to what every run needs.
fn manifest(server: &Postgres, path: &str, spec: &Value) -> String {
    let secret = |name: &str, key: &str| json!({"name": name, "key": key});
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "reinstate.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let mut wanted = json!({
        "backup": {"storageRef": {"name": "backups"}, "path": path},
        "target": {"connectionRef": {"name": "server"}},
    });
    for (field, value) in spec.as_object().unwrap() {
        wanted[field] = value.clone();
    }
    if let Some(rows) = spec.get("target") {
        wanted["target"] = json!({"connectionRef": {"name": "server"}, "databases": rows});
    }
    let login = json!({
        "usernameSecretKeyRef": secret("server", "username"),
        "passwordSecretKeyRef": secret("server", "password"),
    });
    let connection = json!({
        "engine": "PostgreSQL", "host": "localhost", "port": server.port, "credentials": login,
        "allowHooks": true, "tls": {"mode": "Require"},
    });
    let key = json!({"aes256Gcm": {"secretKeyRef": secret("key", "master.key")}});
    let data = json!({"username": CREATOR, "password": PASSWORD});
    let secrets = [("server", data), ("key", json!({"master.key": KEY}))].map(|(name, data)| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
    });
    let mut all = vec![
        object("DatabaseRestore", "several", wanted),
        object("BackupStorage", "backups", json!({"volume": {"claimName": "backups"}})),
        object("DatabaseConnection", "server", connection),
        object("EncryptionProfile", "production", key),
    ];
    all.extend(secrets);
    all.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// Runs a manifest with the binary, on a folder of backups.
fn run_in(folder: &Path, manifest: &str) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reinstate"));
    command.args(["run", "-o", "json", "-f", "-", "--claim"]).arg(format!("backups={}", folder.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    std::io::Write::write_all(&mut process.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = process.wait_with_output().unwrap();
    let report = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    (status.code().unwrap(), report)
}

fn run(server: &Postgres, spec: &Value) -> (i32, Value) {
    run_in(&fixtures().join("dbackup"), &manifest(server, MULTI, spec))
}

/// The names in the target, and one field of each.
fn column(report: &Value, field: &str) -> Vec<(String, Value)> {
    let rows = report["target"]["databases"].as_array().unwrap();
    rows.iter().map(|row| (row["to"].as_str().unwrap().to_owned(), row[field].clone())).collect()
}

#[test]
fn all_databases_of_a_backup_are_restored_under_their_own_names_and_replaced_only_when_each_is_confirmed() {
    let server = own_postgres(15, &[]);
    let (code, report) = run(&server, &json!({}));
    assert_eq!((code, &report["outcome"]), (0, &json!("Restored")), "{report}");
    let created: Vec<(String, Value)> = HARBOUR.map(|name| (name.to_owned(), json!("Create"))).to_vec();
    assert_eq!(column(&report, "action"), created);
    for table in report["verification"]["tables"].as_array().unwrap() {
        assert_eq!(table["rows"], table["expected"], "{table}");
        assert!(HARBOUR.contains(&table["database"].as_str().unwrap()), "{table}");
    }
    let rows: u64 = column(&report, "rows").iter().map(|(_, rows)| rows.as_u64().unwrap()).sum();
    assert!(rows > 0, "{report}");

    server.sql("harbour_crew", "create table written_since (a integer)");
    for (confirm, code, outcome) in [
        (json!([]), 3, "AwaitingConfirmation"),
        (json!(["harbour_berths", "harbour_crew"]), 3, "AwaitingConfirmation"),
        (json!(HARBOUR), 0, "Restored"),
    ] {
        let (found, report) = run(&server, &json!({"overwrite": {"confirm": confirm}}));
        assert_eq!((found, &report["outcome"]), (code, &json!(outcome)), "{confirm}: {report}");
        let message = report["failure"]["message"].as_str().unwrap_or_default();
        assert_eq!(message.contains("harbour-tolls holds"), code == 3, "{message}");
        assert_eq!(message.contains("harbour_crew holds"), confirm == json!([]), "{message}");
        for (name, previous) in column(&report, "previous").iter().filter(|_| code == 0) {
            let previous = previous["name"].as_str().unwrap();
            assert!(previous.starts_with(&format!("{name}.reinstate-previous-")), "{previous}");
        }
    }
    let left = server.sql("harbour_crew", "select to_regclass('written_since') is null");
    assert_eq!(left, "t");
    assert_eq!(databases(&server, "harbour").len(), 6);
}

#[test]
fn each_row_of_the_mapping_has_its_queries_and_hooks_and_a_failing_one_leaves_all_as_they_were() {
    let server = postgres(15);
    let names = ["crew", "tolls"].map(|name| fresh(&format!("several_{name}")));
    let rows = json!([{"from": "harbour_crew", "to": names[0]}, {"from": "harbour-tolls", "to": names[1]}]);
    let spec = |sql: &str| {
        json!({
            "target": rows,
            "verification": {"queries": [{"database": names[1], "sql": "select count(*) > 0 from pg_class"}]},
            "hooks": {"beforeSwitch": [
                {"database": names[0], "sql": "create table masked (a integer)"},
                {"database": names[1], "sql": sql},
            ]},
        })
    };
    let (code, report) = run(server, &spec("create table masked (a no_such_type)"));
    assert_eq!((code, &report["failure"]["reason"]), (11, &json!("HookFailed")), "{report}");
    assert_eq!((&report["targetModified"], &report["leftovers"]), (&json!("False"), &json!([])));
    assert_eq!(databases(server, &fresh("several")), Vec::<String>::new());
    assert!(names.iter().all(|name| databases(server, name).is_empty()), "nothing was made");

    let (code, report) = run(server, &spec("create table other (a integer)"));
    assert_eq!((code, &report["outcome"]), (0, &json!("Restored")), "{report}");
    assert_eq!(report["target"]["summary"], format!("server/{} +1", names[0]));
    for (name, table) in [(&names[0], "masked"), (&names[1], "other")] {
        assert_eq!(server.sql(name, &format!("select to_regclass('{table}') is not null")), "t");
    }
    let checks = report["verification"]["checks"].to_string();
    assert!(checks.contains(&format!("{}: every index is valid", names[0])), "{checks}");
}

#[test]
fn what_the_mapping_or_the_backup_cannot_mean_is_refused_before_anything_is_made() {
    let server = postgres(15);
    let name = fresh("refused");
    let row = |from: &str, to: &str| json!({"from": from, "to": to});
    for (spec, reason) in [
        (json!({"target": [row("harbour_crew", &name), row("no such", "b")]}), "DatabaseNotInBackup"),
        (
            json!({"verification": {"queries": [{"database": "no such", "sql": "select true"}]}}),
            "InvalidSpec",
        ),
    ] {
        let (code, report) = run(server, &spec);
        assert_ne!(code, 0, "{spec}");
        assert_eq!(report["failure"]["reason"], reason, "{report}");
        assert_eq!(report["targetModified"], "False");
    }
    assert_eq!(databases(server, &name), Vec::<String>::new());
}

/// `pg_dumpall` of a cluster with two databases of this content beside what every server has.
fn cluster(server: &Postgres, names: &[String; 2]) -> Vec<u8> {
    let mut text = String::from("--\n-- PostgreSQL database cluster dump\n--\n\n");
    let mut dump = |name: &str| {
        let sql = String::from_utf8(server.dump(15, name, &["--create"])).unwrap();
        text += &sql;
    };
    dump("postgres");
    for name in names {
        server.sql("postgres", &format!("create database {name}"));
        server.sql(name, &format!("create table {name}_t (a) as select generate_series(1, 10)"));
        dump(name);
        server.sql("postgres", &format!("drop database {name}"));
    }
    text += "\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    text.into_bytes()
}

#[test]
fn a_script_of_a_whole_cluster_is_read_once_for_all_its_databases() {
    let server = own_postgres(15, &[]);
    let names = ["one".to_owned(), "two".to_owned()];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.sql"), cluster(&server, &names)).unwrap();
    let (code, report) = run_in(folder.path(), &manifest(&server, "all.sql", &json!({})));
    assert_eq!((code, &report["outcome"]), (0, &json!("Restored")), "{report}");
    let rows: Vec<(String, Value)> = names.iter().map(|name| (name.clone(), json!(10))).collect();
    assert_eq!(column(&report, "rows"), rows);
    assert!(report["warnings"].to_string().contains("left out, database postgres"), "{report}");
    for name in &names {
        assert_eq!(
            server.sql(
                name,
                "select string_agg(relname, ',') from pg_class where relkind = 'r' and \
                                     relnamespace = 'public'::regnamespace"
            ),
            format!("{name}_t")
        );
    }
    // Not known before it is read, and asked about all the same.
    let (code, report) = run_in(folder.path(), &manifest(&server, "all.sql", &json!({})));
    assert_eq!((code, &report["outcome"]), (3, &json!("AwaitingConfirmation")), "{report}");
}

/// An engine for two databases, and what goes into them.
fn two(server: &Postgres, names: &[String; 2]) -> (Target, Context, Vec<u8>, Vec<DatabaseEntry>) {
    let source = [fresh("part_one"), fresh("part_two")];
    let bytes = cluster(server, &source);
    let whole = Backup::new(bytes.clone());
    let entries = source.iter().map(|name| whole.entry.of_database(name).unwrap()).collect();
    let context = Context::default();
    let mut settings = settings(server, CREATOR, "");
    settings.sessions_timeout = std::time::Duration::from_millis(300);
    (Target::of_several(&settings, names, context.clone()), context, bytes, entries)
}

fn load(engine: &mut Target, bytes: &[u8], entries: &[DatabaseEntry]) -> Result<()> {
    engine.survey()?;
    let incoming: Vec<Incoming<'_>> =
        entries.iter().enumerate().map(|(target, entry)| Incoming { target, entry }).collect();
    for part in &incoming {
        engine.preflight(*part)?;
    }
    engine.load(&incoming, &mut &*bytes)?;
    incoming.iter().try_for_each(|part| engine.verify(*part).map(drop))
}

#[test]
fn where_one_target_is_in_use_none_is_replaced() {
    let server = postgres(15);
    let names = ["free", "used"].map(|name| fresh(&format!("together_{name}")));
    for name in &names {
        server.sql("postgres", &format!("create database {name} owner {CREATOR}"));
        server.sql(name, "create table old (a integer)");
    }
    let (mut engine, context, bytes, entries) = two(server, &names);
    load(&mut engine, &bytes, &entries).unwrap();
    let mut busy = session_in(server, CREATOR, &names[1]);
    let fault = engine.switch().unwrap_err();
    assert_eq!((fault.reason, context.journal.touched()), (Reason::TargetBusy, Touched::No));
    let old = |name: &String| server.sql(name, "select to_regclass('old') is not null");
    assert!(names.iter().all(|name| old(name) == "t"));
    busy.run(b"select 1").unwrap();
    drop(busy);
    wait_until("the session is gone", || {
        server
            .sql("postgres", &format!("select count(*) from pg_stat_activity where datname = '{}'", names[1]))
            == "0"
    });
    let previous = engine.switch().unwrap();
    assert!(previous.iter().all(Option::is_some), "{previous:?}");
    assert_eq!(context.journal.touched(), Touched::Yes);
    assert!(names.iter().all(|name| old(name) == "f"));
    assert_eq!(engine.discard(), Vec::<String>::new());
}

#[test]
fn what_is_held_of_several_is_taken_up_and_switched_together_by_a_later_run() {
    let server = postgres(15);
    let names = ["one", "two"].map(|name| fresh(&format!("held_{name}")));
    let (mut engine, _, bytes, entries) = two(server, &names);
    load(&mut engine, &bytes, &entries).unwrap();
    let held = engine.hold().unwrap();
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert!(held.iter().all(|name| databases(server, name).len() == 1), "{held:?}");

    let mut engine = Target::of_several(&settings(server, CREATOR, ""), &names, Context::default());
    engine.survey().unwrap();
    for (target, name) in held.iter().enumerate() {
        engine.take_up(target, name).unwrap();
    }
    assert_eq!(engine.switch().unwrap(), [None, None]);
    assert_eq!(engine.discard(), Vec::<String>::new());
    for (name, entry) in names.iter().zip(&entries) {
        let table = &entry.facts.tables.as_ref().unwrap()[0].name;
        assert_eq!(server.sql(name, &format!("select count(*) from {table}")), "10");
        assert_eq!(databases(server, name).len(), 1);
    }
}

#[test]
fn a_second_run_on_one_of_the_targets_is_kept_away_and_what_fails_in_one_leaves_none() {
    let server = postgres(15);
    let names = ["one", "two"].map(|name| fresh(&format!("locked_{name}")));
    let (mut engine, context, bytes, entries) = two(server, &names);
    engine.survey().unwrap();
    let mut other = Target::new(settings(server, CREATOR, &names[1]), Context::default());
    assert_eq!(other.survey().unwrap_err().reason, Reason::TargetLocked);

    // The last row of the last table.
    let text = String::from_utf8(bytes).unwrap();
    let (before, behind) = text.rsplit_once("\n10\n").unwrap();
    let broken = format!("{before}\nnot a number\n{behind}").into_bytes();
    let fault = load(&mut engine, &broken, &entries).unwrap_err();
    assert_eq!(fault.reason, Reason::RestoreFailed, "{}", fault.full_message());
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(context.journal.touched(), Touched::No);
    assert!(names.iter().all(|name| databases(server, name).is_empty()));
    other.survey().unwrap();
}

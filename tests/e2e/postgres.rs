//! A real backup of PostgreSQL, restored by the operator into a real server that pods reach over TLS.

use crate::harness::scene::{Scene, condition, message};
use crate::harness::{Namespace, Operator, cluster};
use crate::parts::postgres::{CREATOR, PASSWORD, Postgres, own_postgres};
use crate::support::fixtures;

/// A sealed, compressed backup that DBackup made of the database `harbour_main`: 3 tables, 346 rows.
const BACKUP: &str = "postgres_single_gzip_enc_2026-11-23_01-13-43.sql.gz.enc";

/// A plain one of three databases, and their names.
const SEVERAL: &str = "postgres_multi_none_plain_2026-11-23_01-13-48.tar";
const HARBOUR: [&str; 3] = ["harbour_berths", "harbour_crew", "harbour-tolls"];

/// A server in the cluster's network, the backups in the bucket, and the connection `pg`.
fn prepare(scene: &Scene) -> Postgres {
    for (folder, backup) in [("postgres-single-gzip-enc", BACKUP), ("postgres-multi-none-plain", SEVERAL)] {
        for name in [backup.to_owned(), format!("{backup}.meta.json")] {
            let path = fixtures().join("dbackup").join(folder).join(&name);
            scene.bucket.put(&name, &std::fs::read(path).unwrap());
        }
    }
    // Takes this thread into the cluster's network, and with it what it starts.
    let host = cluster().host();
    let server = own_postgres(15, &["listen_addresses = '*'"]);
    let ca = String::from_utf8(server.ca.clone().unwrap()).unwrap();
    let ca = ca.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    scene.namespace.apply(&format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: pg}}
stringData:
  username: {CREATOR}
  password: {PASSWORD}
  wrong: not-the-password
  ca.crt: |
{ca}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {{name: pg}}
spec:
  engine: PostgreSQL
  host: {host}
  port: {port}
  credentials: {{usernameSecretKeyRef: {{name: pg, key: username}}, passwordSecretKeyRef: {{name: pg, key: password}}}}
  # Its certificate is for another name.
  tls: {{mode: VerifyCa, caSecretKeyRef: {{name: pg, key: ca.crt}}}}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {{name: wrong}}
spec:
  engine: PostgreSQL
  host: {host}
  port: {port}
  credentials: {{usernameSecretKeyRef: {{name: pg, key: username}}, passwordSecretKeyRef: {{name: pg, key: wrong}}}}
  tls: {{mode: VerifyCa, caSecretKeyRef: {{name: pg, key: ca.crt}}}}
",
        port = server.port
    ));
    server
}

fn restore(scene: &Scene, name: &str, connection: &str) {
    let backup = format!("backup: {{storageRef: {{name: backups}}, path: {BACKUP}}}");
    let target = format!(
        "target: {{connectionRef: {{name: {connection}}}, databases: [{{from: harbour_main, to: staging}}]}}"
    );
    scene.restore(name, &format!("{backup}\n{target}"));
}

#[test]
fn a_backup_is_restored_into_a_server_and_replaces_it_only_when_confirmed() {
    let namespace = Namespace::new("postgres");
    let scene = Scene::new(&namespace);
    let server = prepare(&scene);
    let _operator = Operator::start(&namespace);
    restore(&scene, "first", "pg");
    let status = scene.ended("first");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!(condition(&status, "TargetModified"), "False/Created");
    assert_eq!(server.sql("staging", "select count(*) from store.item"), "260");
    server.sql("staging", "drop table store.note");

    restore(&scene, "second", "pg");
    scene.phase("second", "AwaitingConfirmation");
    assert_eq!(server.sql("staging", "select count(*) from store.item"), "260");
    scene.change("second", r#"{"overwrite": {"confirm": ["staging"]}}"#);
    let status = scene.ended("second");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    let target = status.target.unwrap();
    assert_eq!(target.summary.as_deref(), Some("pg/staging"));
    let row = &target.databases[0];
    assert_eq!((row.tables, row.rows), (Some(3), Some(346)));
    let previous = &row.previous.as_ref().unwrap().name;
    assert!(previous.starts_with("staging.reinstate-previous-"), "{previous}");
    assert_eq!(server.sql("staging", "select count(*) from store.note"), "86");
    assert_eq!(server.sql(previous, "select count(*) from pg_tables where schemaname = 'store'"), "1");

    restore(&scene, "third", "wrong");
    let status = scene.ended("third");
    assert_eq!(condition(&status, "Failed"), "True/TargetAccessDenied", "{}", message(&status, "Ready"));
    let told = serde_json::to_string(&status).unwrap();
    assert!(!told.contains("not-the-password") && !told.contains(PASSWORD), "{told}");
}

#[test]
fn all_databases_of_a_backup_are_asked_about_together_and_replaced_together() {
    let namespace = Namespace::new("several");
    let scene = Scene::new(&namespace);
    let server = prepare(&scene);
    let _operator = Operator::start(&namespace);
    let all = format!(
        "backup: {{storageRef: {{name: backups}}, path: {SEVERAL}}}\ntarget: {{connectionRef: {{name: pg}}}}"
    );
    scene.restore("first", &all);
    let status = scene.ended("first");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!(condition(&status, "TargetModified"), "False/Created");
    let target = status.target.unwrap();
    assert_eq!(target.summary.as_deref(), Some("pg/harbour_berths +2"));
    assert_eq!(target.databases.iter().map(|row| row.to.as_str()).collect::<Vec<_>>(), HARBOUR);
    for name in HARBOUR {
        server.sql(name, "create table written_since (a integer)");
    }

    scene.restore("second", &all);
    let question = scene.phase("second", "AwaitingConfirmation");
    let question = message(&question, "Ready");
    assert!(HARBOUR.iter().all(|name| question.contains(name)), "{question}");
    scene.change("second", &format!(r#"{{"overwrite": {{"confirm": {HARBOUR:?}}}}}"#));
    let status = scene.ended("second");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    for row in status.target.unwrap().databases {
        let previous = row.previous.unwrap().name;
        assert!(previous.starts_with(&format!("{}.reinstate-previous-", row.to)), "{previous}");
        let written = "select to_regclass('written_since') is not null";
        assert_eq!([server.sql(&row.to, written), server.sql(&previous, written)], ["f", "t"]);
    }
}

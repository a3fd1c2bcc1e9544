//! A real backup of PostgreSQL, restored by the operator into a real server that pods reach over TLS.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::scene::{Scene, condition, message};
use crate::harness::{Namespace, Operator, cluster};
use crate::kubectl::Plugin;
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

    // One of them is put back, and what no run needs any more is cleared away.
    let plugin = Plugin::new(&namespace);
    plugin.run("revert second").expect(2, &["say which of them with --database", HARBOUR[0], HARBOUR[2]]);
    let one = HARBOUR[1];
    plugin.run(&format!("revert second --database {one} --yes {one}")).expect(0, &["Restored", one]);
    let written = "select to_regclass('written_since') is not null";
    assert_eq!(HARBOUR.map(|name| server.sql(name, written)), ["f", "t", "f"]);
    let dead = "harbour_crew.reinstate-shadow-00000000";
    server.sql("postgres", &format!("create database \"{dead}\" owner {CREATOR}"));
    plugin.run("discard second").expect(0, &["removed", dead]);
    let left = "select count(*) from pg_database where datname ~ 'reinstate-shadow'";
    assert_eq!(server.sql("postgres", left), "0");
}

/// A file system of so many MiB, which goes when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(folder: PathBuf, mib: u32) -> Self {
        // As the server's user, who owns the folder.
        let options = format!("size={mib}m,mode=0700,uid=65534,gid=65534");
        Self::mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], &folder);
        Self(folder)
    }

    fn grow(&self, mib: u32) {
        Self::mount(&["-o", &format!("remount,size={mib}m")], &self.0);
    }

    fn mount(arguments: &[&str], folder: &Path) {
        assert!(Command::new("mount").args(arguments).arg(folder).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still have files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_server_whose_disk_is_full_keeps_the_old_data_and_what_is_left_goes_once_there_is_room() {
    let namespace = Namespace::new("full");
    let scene = Scene::new(&namespace);
    let server = prepare(&scene);
    let _operator = Operator::start(&namespace);
    let disk = SmallDisk::at(server.folder_for("small"), 32);
    server.sql("postgres", &format!("create tablespace small location '{}'", disk.0.display()));
    server.sql("postgres", &format!("grant create on tablespace small to {CREATOR}"));
    server.sql("postgres", &format!("create database staging owner {CREATOR} tablespace small"));
    server.sql("staging", &format!("set role {CREATOR}; create table old as select 1 as a"));
    let mut dump =
        String::from("--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.1\n");
    dump += "CREATE TABLE public.large (a integer, b text);\nCOPY public.large (a, b) FROM stdin;\n";
    for row in 0..400_000 {
        writeln!(dump, "{row}\t{row:064}").unwrap();
    }
    dump += "\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
    scene.bucket.put("large.sql", dump.as_bytes());
    let large = "backup: {storageRef: {name: backups}, path: large.sql}\noverwrite: {confirm: [staging]}\n\
                 target: {connectionRef: {name: pg}, databases: [{from: large, to: staging}]}";
    scene.restore("large", large);
    let status = scene.ended("large");
    assert_eq!(condition(&status, "Failed"), "True/NoRoom", "{}", message(&status, "Ready"));
    assert!(condition(&status, "TargetModified").starts_with("False"), "{}", message(&status, "Ready"));
    assert_eq!(server.sql("staging", "select a from old"), "1");
    // A server that cannot write cannot drop a database either: what is left is told.
    let shadows = "select count(*) from pg_database where datname ~ 'reinstate-shadow'";
    assert_eq!(server.sql("postgres", shadows), status.leftovers.len().to_string(), "{:?}", status.leftovers);

    disk.grow(256);
    scene.restore("again", large);
    let status = scene.ended("again");
    assert_eq!(condition(&status, "Complete"), "True/Restored", "{}", message(&status, "Ready"));
    assert_eq!(server.sql("staging", "select count(*) from large"), "400000");
    assert_eq!(server.sql("postgres", shadows), "0");
}

//! Requests resolve to plans, or to all that is wrong with them.

use std::time::Duration;

use reinstate::cli::manifest::{ManifestReader, Manifests};
use reinstate::plan::{
    DatabaseMapping, EngineSettings, Kept, KeyKind, MissingRoles, Mode, Owners, Privileges, Problem,
    RestorePlan, RoleMapping, SecretKey, Selector, Storage, TlsMode, refuse_locally, resolve,
};
use reinstate::reason::Reason;

const OBJECTS: &str = "
apiVersion: reinstate.dev/v1alpha1
kind: BackupStorage
metadata: {name: bucket}
spec:
  s3:
    bucket: backups
    prefix: dbackup
    endpoint: https://minio.example:9000
    region: us-east-1
    forcePathStyle: true
    credentials:
      accessKeyIdSecretKeyRef: {name: s3, key: id}
      secretAccessKeySecretKeyRef: {name: s3, key: secret}
    tls: {caSecretKeyRef: {name: ca, key: ca.crt}}
---
apiVersion: reinstate.dev/v1alpha1
kind: BackupStorage
metadata: {name: folder}
spec: {volume: {claimName: backups, path: dbackup}}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: app}
spec: {engine: SQLite, sqlite: {claimName: data, path: app.db, runAsUser: 1000, runAsGroup: 0, replaceBy: Rename}}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: prod}
spec: {engine: SQLite, restores: Forbidden, sqlite: {claimName: data, path: prod.db}}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: mysql}
spec: {engine: MySQL, host: mysql}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: pg}
spec:
  engine: PostgreSQL
  host: pg.staging.svc
  credentials: {usernameSecretKeyRef: {name: pg, key: user}, passwordSecretKeyRef: {name: pg, key: password}}
  privilegedCredentials: {usernameSecretKeyRef: {name: pg-admin, key: u}, passwordSecretKeyRef: {name: pg-admin, key: p}}
  tls: {mode: VerifyCa, caSecretKeyRef: {name: pg-ca, key: ca.crt}, clientCertificateSecretName: pg-client}
  expectIdentity: '7311'
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: hollow}
spec: {engine: PostgreSQL, host: pg, tls: {mode: Disable, clientCertificateSecretName: pg-client}}
---
apiVersion: reinstate.dev/v1alpha1
kind: DatabaseConnection
metadata: {name: away, namespace: other}
spec: {engine: SQLite, sqlite: {claimName: data, path: prod.db}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: b-age}
spec: {age: {identitySecretKeyRef: {name: age, key: identity}}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: a-kit}
spec: {recoveryKit: {secretName: kit}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: c-aes}
spec: {id: b0ede092, aes256Gcm: {secretKeyRef: {name: kit, key: master.key}}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: d-pass}
spec: {age: {passphraseSecretKeyRef: {name: age, key: passphrase}}}
---
apiVersion: reinstate.dev/v1alpha1
kind: EncryptionProfile
metadata: {name: e-away, namespace: other}
spec: {recoveryKit: {secretName: kit}}
";

fn manifests(spec: &str) -> Manifests {
    let restore = format!(
        "apiVersion: reinstate.dev/v1alpha1\nkind: DatabaseRestore\nmetadata: {{name: shop}}\nspec: {spec}\n"
    );
    let mut reader = ManifestReader::default();
    reader.add("objects", &mut OBJECTS.as_bytes());
    reader.add("restore", &mut restore.as_bytes());
    reader.finish().unwrap_or_else(|problems| panic!("{spec}: {problems:?}"))
}

fn plan(spec: &str) -> Result<RestorePlan, Vec<Problem>> {
    let manifests = manifests(spec);
    resolve(&manifests.restores[0], &manifests.objects)
}

fn key(secret: &str, key: &str) -> SecretKey {
    SecretKey { secret: secret.into(), key: key.into() }
}

const BACKUP: &str = "storageRef: {name: folder}, path: shop.db";

#[test]
fn a_request_with_all_it_refers_to_becomes_a_plan() {
    let plan = plan(
        "{backup: {storageRef: {name: bucket}, latest: {prefix: shop/, database: shop, maxAge: 26h},
            checksum: {sha256: ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB},
            encryption: {profileRef: {name: c-aes}}},
          target: {connectionRef: {name: app}}, overwrite: {confirm: [app.db]}, parallelism: 3, stallTimeout: 1m}",
    )
    .unwrap();
    assert_eq!((plan.namespace.as_str(), plan.name.as_str(), plan.mode), ("default", "shop", Mode::Restore));
    let Storage::S3(s3) = &plan.backup.storage else { panic!("{:?}", plan.backup.storage) };
    assert_eq!(s3.prefix, "dbackup/", "a folder ends in a slash");
    assert_eq!(s3.credentials.as_ref().unwrap().secret_access_key, key("s3", "secret"));
    assert_eq!(s3.ca, Some(key("ca", "ca.crt")));
    let Selector::Latest(latest) = &plan.backup.selector else { panic!("{:?}", plan.backup.selector) };
    assert_eq!(latest.max_age.unwrap().get(), Duration::from_hours(26));
    assert_eq!(plan.backup.sha256.as_deref(), Some("ab".repeat(32).as_str()), "in lower case");
    let names: Vec<&str> = plan.keys.iter().map(|profile| profile.name.as_str()).collect();
    assert_eq!(
        names,
        ["c-aes", "a-kit", "b-age", "d-pass"],
        "the named one first, none of another namespace"
    );
    assert_eq!(plan.keys[0].kind, KeyKind::Aes256Gcm(key("kit", "master.key")));
    assert_eq!(plan.keys[1].kind, KeyKind::RecoveryKit { secret: "kit".into() });
    assert_eq!(plan.keys[2].kind, KeyKind::AgeIdentity(key("age", "identity")));
    assert_eq!(plan.keys[3].kind, KeyKind::AgePassphrase(key("age", "passphrase")));
    let target = plan.target.as_ref().unwrap();
    let EngineSettings::Sqlite(sqlite) = &target.settings else { panic!("{:?}", target.settings) };
    assert_eq!(
        (sqlite.path.as_str(), sqlite.run_as_user, sqlite.run_as_group),
        ("app.db", Some(1000), Some(0))
    );
    assert!(target.databases.is_empty());
    assert_eq!(plan.parallelism, Some(3));
    assert_eq!(plan.timeouts.stall.unwrap().to_string(), "1m");
}

#[test]
fn keys_follow_the_profile_and_discovery() {
    for (encryption, expected) in [
        ("{}", vec!["a-kit", "b-age", "c-aes", "d-pass"]),
        ("{profileRef: {name: d-pass}}", vec!["d-pass", "a-kit", "b-age", "c-aes"]),
        ("{profileRef: {name: d-pass}, discovery: Disabled}", vec!["d-pass"]),
        ("{discovery: Disabled}", vec![]),
    ] {
        let plan =
            plan(&format!("{{mode: Verify, backup: {{{BACKUP}, encryption: {encryption}}}}}")).unwrap();
        let names: Vec<&str> = plan.keys.iter().map(|profile| profile.name.as_str()).collect();
        assert_eq!(names, expected, "{encryption}");
        assert!(plan.target.is_none());
    }
}

#[test]
fn a_mapping_moves_the_file_of_sqlite() {
    for (databases, path, mapped) in [
        ("", "app.db", None),
        (", databases: [{from: shop}]", "app.db", Some("app.db")),
        (", databases: [{from: shop, to: copies/shop.db}]", "copies/shop.db", Some("copies/shop.db")),
    ] {
        let spec = format!("{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: app}}{databases}}}}}");
        let target = plan(&spec).unwrap().target.unwrap();
        let EngineSettings::Sqlite(sqlite) = &target.settings else { panic!("{:?}", target.settings) };
        assert_eq!(sqlite.path, path, "{databases}");
        assert_eq!(target.databases.first().map(|row| row.to.as_str()), mapped, "{databases}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let to = |target: &str, more: &str| {
        format!("{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: {target}}}}}{more}}}")
    };
    let app = |more: &str| to("app", more);
    let many = |count: usize| (0..count).map(|i| format!("{{from: d{i}}}")).collect::<Vec<_>>().join(", ");
    let of = |name: &str, more: &str| {
        format!("{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: {name}}}, {more}}}}}")
    };
    let pg = |row: &str, more: &str| {
        format!("{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: pg}}, databases: [{row}]}}{more}}}")
    };
    for (spec, reason, field) in [
        (to("gone", ""), Reason::ReferenceNotFound, "spec.target.connectionRef.name"),
        (to("away", ""), Reason::ReferenceNotFound, "spec.target.connectionRef.name"),
        (to("prod", ""), Reason::RestoresForbidden, "spec.target.connectionRef.name"),
        (to("mysql", ""), Reason::NotSupported, "DatabaseConnection/mysql: spec.engine"),
        (pg(&many(17), ""), Reason::NotSupported, "spec.target.databases"),
        (pg("{from: a}, {from: b, to: a}", ""), Reason::InvalidSpec, "spec.target.databases[1].to"),
        (pg("{from: a}, {from: postgres}", ""), Reason::InvalidSpec, "spec.target.databases[1].to"),
        (pg("{from: a, to: template1}", ""), Reason::InvalidSpec, "spec.target.databases[0].to"),
        (pg("{from: a, to: postgres}", ""), Reason::InvalidSpec, "spec.target.databases[0].to"),
        (
            pg(&format!("{{from: a, to: {}}}", "a".repeat(64)), ""),
            Reason::InvalidSpec,
            "spec.target.databases[0].to",
        ),
        (pg("{from: a}", ", strategy: Direct, switch: Hold"), Reason::InvalidSpec, "spec.switch"),
        (
            pg("{from: a, to: b}", ", verification: {queries: [{database: a, sql: x}]}"),
            Reason::InvalidSpec,
            "spec.verification.queries[0].database",
        ),
        (
            pg("{from: a}", "").replace("path: shop.db", "path: shop.db, format: SQLiteFile"),
            Reason::EngineMismatch,
            "spec.backup.format",
        ),
        (
            pg("{from: a}", ", hooks: {beforeSwitch: [{database: a, sql: b}]}"),
            Reason::HooksForbidden,
            "spec.hooks.beforeSwitch",
        ),
        (app(", sessions: Terminate"), Reason::NotSupported, "spec.sessions"),
        (of("app", "roles: {owners: Backup}"), Reason::NotSupported, "spec.target.roles"),
        (of("app", "objects: {}"), Reason::NotSupported, "spec.target.objects"),
        (
            of(
                "pg",
                "databases: [{from: a}], roles: {map: [{from: a, to: üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü}]}",
            ),
            Reason::InvalidSpec,
            "spec.target.roles.map[0].to",
        ),
        (app(", swap: {objectWindow: Allow}"), Reason::NotSupported, "spec.swap.objectWindow"),
        (
            app(", hooks: {beforeSwitch: [{database: a, sql: b}]}"),
            Reason::NotSupported,
            "spec.hooks.beforeSwitch",
        ),
        (
            app(", verification: {queries: [{database: app.db, sql: a}, {database: other.db, sql: b}]}"),
            Reason::InvalidSpec,
            "spec.verification.queries[1].database",
        ),
        (app(", timeout: 0s"), Reason::InvalidSpec, "spec.timeout"),
        (app(", stallTimeout: 0s"), Reason::InvalidSpec, "spec.stallTimeout"),
        (
            format!("{{backup: {{{BACKUP}, format: MySQLDump}}, target: {{connectionRef: {{name: app}}}}}}"),
            Reason::EngineMismatch,
            "spec.backup.format",
        ),
        (
            format!(
                "{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: app}}, databases: [{{from: a, to: ../b}}]}}}}"
            ),
            Reason::InvalidSpec,
            "spec.target.databases[0].to",
        ),
        (
            format!(
                "{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: app}}, databases: [{{from: a, to: b/}}]}}}}"
            ),
            Reason::InvalidSpec,
            "spec.target.databases[0].to",
        ),
        (
            format!(
                "{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: app}}, databases: [{{from: a}}, {{from: b}}]}}}}"
            ),
            Reason::NotSupported,
            "spec.target.databases",
        ),
        (
            format!(
                "{{mode: Verify, backup: {{{BACKUP}}}, verification: {{queries: [{{database: a, sql: b}}]}}}}"
            ),
            Reason::InvalidSpec,
            "spec.verification.queries",
        ),
        (
            format!("{{mode: Verify, backup: {{{BACKUP}}}, verification: {{content: Digest}}}}"),
            Reason::InvalidSpec,
            "spec.verification.content",
        ),
        (app(", verification: {content: Digest}"), Reason::InvalidSpec, "spec.verification.content"),
        (
            format!("{{mode: Verify, backup: {{{BACKUP}, encryption: {{profileRef: {{name: e-away}}}}}}}}"),
            Reason::ReferenceNotFound,
            "spec.backup.encryption.profileRef.name",
        ),
    ] {
        let problems = plan(&spec).expect_err(&spec);
        let found: Vec<(Reason, &str)> =
            problems.iter().map(|problem| (problem.reason, problem.field.as_str())).collect();
        assert_eq!(found, [(reason, field)], "{spec}");
    }
}

#[test]
fn a_server_takes_up_to_sixteen_databases_or_all_of_the_backup() {
    for count in [0, 1, 16] {
        let rows: Vec<String> = (0..count).map(|i| format!("{{from: d{i}}}")).collect();
        let mapping = if count == 0 { String::new() } else { format!(", databases: [{}]", rows.join(", ")) };
        let spec = format!("{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: pg}}{mapping}}}}}");
        assert_eq!(plan(&spec).unwrap().target.unwrap().databases.len(), count, "{spec}");
    }
}

#[test]
fn targets_that_an_earlier_attempt_has_found_stand_in_for_a_mapping_that_is_not_there() {
    let found = || vec![DatabaseMapping { from: "a".into(), to: "a".into() }];
    for (target, expected) in [
        ("{connectionRef: {name: pg}}", vec!["a"]),
        ("{connectionRef: {name: pg}, databases: [{from: b, to: c}]}", vec!["c"]),
        // A file is named by its connection.
        ("{connectionRef: {name: app}}", vec![]),
    ] {
        let mut plan = plan(&format!("{{backup: {{{BACKUP}}}, target: {target}}}")).unwrap();
        let target = plan.target.as_mut().unwrap();
        target.name(found());
        let names: Vec<&str> = target.databases.iter().map(|row| row.to.as_str()).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn a_server_is_named_with_its_secrets_and_never_their_values() {
    let spec = format!(
        "{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: pg}}, databases: [{{from: shop, to: staging}}]}}}}"
    );
    let target = plan(&spec).unwrap().target.unwrap();
    let EngineSettings::Postgres(server) = &target.settings else { panic!("{:?}", target.settings) };
    assert_eq!((server.host.as_str(), server.port), ("pg.staging.svc", 5432));
    assert_eq!(server.maintenance_database, "postgres");
    assert_eq!(server.secrets(), ["pg", "pg", "pg-admin", "pg-admin", "pg-ca", "pg-client"]);
    assert_eq!((server.tls.mode, server.expect_identity.as_deref()), (TlsMode::VerifyCa, Some("7311")));
    assert_eq!(target.databases[0].to, "staging");
    let problems = plan(&spec.replace("name: pg}", "name: hollow}")).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    let of = ["credentials", "tls"].map(|field| format!("DatabaseConnection/hollow: spec.{field}"));
    assert_eq!(fields, of);
}

#[test]
fn optional_parts_of_a_postgres_dump_are_as_the_manifest_says_or_by_default() {
    let server = |more: &str| {
        let target = format!("{{connectionRef: {{name: pg}}, databases: [{{from: a}}]{more}}}");
        let plan = plan(&format!("{{backup: {{{BACKUP}}}, target: {target}}}")).unwrap();
        let EngineSettings::Postgres(server) = plan.target.unwrap().settings else { panic!("{more}") };
        server
    };
    let plain = server("");
    assert_eq!(
        (plain.roles.owners, plain.roles.privileges, plain.roles.missing),
        (Owners::Login, Privileges::Skip, MissingRoles::Fail)
    );
    assert_eq!((plain.objects.comments, plain.objects.publications), (Kept::Backup, Kept::Backup));
    assert_eq!(plain.objects.subscriptions, Kept::Skip);
    assert_eq!((plain.objects.security_labels, plain.objects.tablespaces), (Kept::Skip, Kept::Skip));
    assert_eq!(server(", objects: {}, roles: {}"), plain, "empty is as absent");
    let all = server(
        ", roles: {owners: Backup, privileges: Backup, missing: Skip, map: [{from: a, to: \"B c\"}]}, \
         objects: {comments: Skip, publications: Skip, subscriptions: Backup, securityLabels: Backup, tablespaces: Backup}",
    );
    assert_eq!(
        (all.roles.owners, all.roles.privileges, all.roles.missing),
        (Owners::Backup, Privileges::Backup, MissingRoles::Skip)
    );
    assert_eq!(all.roles.map, [RoleMapping { from: "a".into(), to: "B c".into() }]);
    assert_eq!((all.objects.comments, all.objects.publications), (Kept::Skip, Kept::Skip));
    assert_eq!(all.objects.subscriptions, Kept::Backup);
    assert_eq!((all.objects.security_labels, all.objects.tablespaces), (Kept::Backup, Kept::Backup));
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = plan(
        "{backup: {storageRef: {name: gone}, path: a, encryption: {profileRef: {name: gone}}},
          target: {connectionRef: {name: away}}, hooks: {beforeSwitch: [{database: a, sql: b}]}, timeout: 0s}",
    )
    .unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "ReferenceNotFound: spec.backup.storageRef.name: BackupStorage gone is not there in namespace default",
            "ReferenceNotFound: spec.backup.encryption.profileRef.name: EncryptionProfile gone is not there in \
                namespace default",
            "ReferenceNotFound: spec.target.connectionRef.name: DatabaseConnection away is not there in namespace \
                default; there is one in namespace other, but references stay in their own",
            "InvalidSpec: spec.timeout: must be more than 0s",
        ]
    );
}

#[test]
fn objects_that_no_api_server_checked_are_checked_here() {
    let mut manifests =
        manifests(&format!("{{backup: {{{BACKUP}}}, target: {{connectionRef: {{name: app}}}}}}"));
    manifests.restores[0].spec.mode = Mode::Verify;
    manifests.restores[0].spec.backup.path = Some("../../etc/shadow".into());
    manifests.objects.storages[1].spec.volume.as_mut().unwrap().path = Some("/etc".into());
    manifests.objects.connections[0].spec.sqlite.as_mut().unwrap().path = "a/../../b".into();
    manifests.objects.profiles[0].spec.age = None;
    let problems = resolve(&manifests.restores[0], &manifests.objects).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.backup.path",
            "BackupStorage/folder: spec.volume.path",
            "EncryptionProfile/b-age: spec",
            "DatabaseConnection/app: spec.sqlite.path",
            "spec.target",
        ]
    );
}

#[test]
fn what_waits_or_was_cancelled_is_not_run_here() {
    for (more, expected) in [
        ("", vec![]),
        (", suspend: true", vec!["spec.suspend"]),
        (", switch: Hold", vec!["spec.switch"]),
        (", cancel: true", vec!["spec.cancel"]),
    ] {
        let manifests = manifests(&format!("{{mode: Verify, backup: {{{BACKUP}}}{more}}}"));
        let problems = refuse_locally(&manifests.restores[0]);
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, expected, "{more}");
    }
}

#[test]
fn a_plan_round_trips_and_is_read_strictly() {
    let plan = plan(
        "{backup: {storageRef: {name: bucket}, latest: {notAfter: 2026-12-01T00:00:00Z}},
          target: {connectionRef: {name: app}, databases: [{from: a, to: b}]},
          overwrite: {confirmUntil: 2026-12-01T00:00:00Z}, keepPrevious: 0s}",
    )
    .unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<RestorePlan>(&text).unwrap(), plan);
    assert!(text.starts_with("{\"version\":1,"), "{text}");
    for (case, from, to, expected) in [
        (
            "another version",
            "\"version\":1",
            "\"version\":2",
            "plan version 2 is not the one that this program reads, 1",
        ),
        ("an unknown field", "\"mode\":", "\"more\":1,\"mode\":", "unknown field `more`"),
        ("an unknown field inside", "\"bucket\":", "\"more\":1,\"bucket\":", "unknown field `more`"),
        ("a missing field", "\"strategy\":\"Auto\",", "", "missing field `strategy`"),
    ] {
        assert!(text.contains(from), "{case}");
        let error = serde_json::from_str::<RestorePlan>(&text.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(expected), "{case}: {error}");
    }
}

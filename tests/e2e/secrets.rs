//! Secrets stay where they are: each holds a canary, and while runs go well and badly, and after, no
//! canary is seen anywhere but in its Secret. And what the runner's process could do if it were taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use age::secrecy::SecretString;
use base64::Engine as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::harness::operator::granted;
use crate::harness::scene::{BACKUP, PLAIN, Scene, USER, condition, message};
use crate::harness::{Namespace, Process, RUNNER_IMAGE, Volume, cluster};
use crate::parts::minio::{Bucket, Minio};
use crate::parts::{Server, installed, server_folder, wait_until};
use crate::support::{PROFILE_A, fixtures};

const KEY_ID: &str = "canary-key-id-d41c7";
const SECRET: &str = "canary-secret-key-98a2b";
const PASSPHRASE: &str = "canary passphrase of three words";
const WRONG_ID: &str = "canary-wrong-id-50c1e";
const WRONG_SECRET: &str = "canary-wrong-secret-6e0f4";
const TOKEN: &str = "canary-session-token-13b9d";
const WRONG_PASSPHRASE: &str = "canary passphrase that opens nothing";
const WRONG_KEY: &str = "ca9a71ca9a71ca9a71ca9a71ca9a71ca9a71ca9a71ca9a71ca9a71ca9a71ca9a";
const NO_KEY: &str = "canary-that-is-no-key-77e3a";
const NO_IDENTITY: &str = "AGE-SECRET-KEY-1CANARYQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
const NO_CERTIFICATE: &str = "canary-that-is-no-certificate-f8d26";

/// What must not be seen, in every form that it could have.
fn canaries() -> Vec<(&'static str, Vec<u8>)> {
    let words = [
        KEY_ID,
        SECRET,
        PASSPHRASE,
        WRONG_ID,
        WRONG_SECRET,
        TOKEN,
        WRONG_PASSPHRASE,
        WRONG_KEY,
        NO_KEY,
        NO_IDENTITY,
        NO_CERTIFICATE,
        PROFILE_A.2,
    ];
    let coded = |word: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(word);
    // The last characters of the code depend on what follows.
    let code = |word: &str| coded(word).as_bytes()[..word.len() / 3 * 4].to_vec();
    words.into_iter().flat_map(|word| [(word, word.as_bytes().to_vec()), (word, code(word))]).collect()
}

/// The canary that stands in `content`, if one does.
fn seen(canaries: &[(&'static str, Vec<u8>)], content: &[u8]) -> Option<&'static str> {
    let holds = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
    canaries.iter().find(|(_, form)| holds(form)).map(|(word, _)| *word)
}

/// A MinIO whose keys nobody else has.
fn storage() -> (Server, Bucket) {
    let (folder, host) = (server_folder("minio-canary"), cluster().host());
    let (certificates, given) = (folder.join("certs"), cluster().certificates());
    std::fs::create_dir_all(&certificates).unwrap();
    for (from, to) in [("apiserver.crt", "public.crt"), ("apiserver.key", "private.key")] {
        std::fs::copy(given.join(from), certificates.join(to)).unwrap();
    }
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
    let server = cluster().serve(&installed("minio"), &folder.join("log"), |command| {
        command.args(["server", "--quiet", "--address", &format!("{host}:{port}"), "--certs-dir"]);
        command.arg(&certificates).arg(folder.join("data"));
        command.envs([("MINIO_ROOT_USER", KEY_ID), ("MINIO_ROOT_PASSWORD", SECRET)]);
        command.envs([("MINIO_SITE_REGION", "us-east-1"), ("MINIO_BROWSER", "off")]);
    });
    let ca = std::fs::read(given.join("ca.crt")).unwrap();
    let minio: &'static Minio = Box::leak(Box::new(Minio::running_with(&host, port, ca, (KEY_ID, SECRET))));
    (server, minio.bucket())
}

/// A backup that a passphrase opens.
fn sealed_with_passphrase(plain: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(PASSPHRASE.to_owned()));
    recipient.set_work_factor(15);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap();
    sealed
}

/// The objects: storages `backups` and three that fail, and a profile for each key.
fn objects(namespace: &Namespace, bucket: &Bucket) {
    namespace.storage("backups", bucket);
    let options = bucket.options();
    let ca = String::from_utf8(options.ca_pem.unwrap()).unwrap();
    let mut all = Vec::new();
    let secret = |name: &str, values: serde_json::Value| serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values});
    for (name, id, key, token, ca) in [
        ("wrong", WRONG_ID, WRONG_SECRET, None, ca.as_str()),
        ("wrong-secret", KEY_ID, WRONG_SECRET, None, &ca),
        ("wrong-token", KEY_ID, SECRET, Some(TOKEN), &ca),
        ("wrong-ca", KEY_ID, SECRET, None, NO_CERTIFICATE),
    ] {
        all.push(secret(
            name,
            serde_json::json!({"id": id, "secret": key, "token": token.unwrap_or("-"), "ca.crt": ca}),
        ));
        let reference = |key: &str| serde_json::json!({"name": name, "key": key});
        let mut credentials = serde_json::json!({
            "accessKeyIdSecretKeyRef": reference("id"), "secretAccessKeySecretKeyRef": reference("secret"),
        });
        if token.is_some() {
            credentials["sessionTokenSecretKeyRef"] = reference("token");
        }
        all.push(serde_json::json!({
            "apiVersion": "reinstate.dev/v1alpha1", "kind": "BackupStorage", "metadata": {"name": name},
            "spec": {"s3": {
                "bucket": bucket.name, "endpoint": options.endpoint, "region": "us-east-1", "forcePathStyle": true,
                "credentials": credentials, "tls": {"caSecretKeyRef": reference("ca.crt")},
            }},
        }));
    }
    for (name, field, value) in [
        ("key", "aes256Gcm.secretKeyRef", PROFILE_A.2),
        ("passphrase", "age.passphraseSecretKeyRef", PASSPHRASE),
        ("wrong-key", "aes256Gcm.secretKeyRef", WRONG_KEY),
        ("no-key", "aes256Gcm.secretKeyRef", NO_KEY),
        ("wrong-passphrase", "age.passphraseSecretKeyRef", WRONG_PASSPHRASE),
        ("no-identity", "age.identitySecretKeyRef", NO_IDENTITY),
    ] {
        all.push(secret(name, serde_json::json!({"value": value})));
        let (kind, field) = field.split_once('.').unwrap();
        all.push(serde_json::json!({
            "apiVersion": "reinstate.dev/v1alpha1", "kind": "EncryptionProfile", "metadata": {"name": name},
            "spec": {kind: {field: {"name": name, "key": "value"}}},
        }));
    }
    let text: Vec<String> = all.iter().map(ToString::to_string).collect();
    namespace.apply(&text.join("\n---\n"));
}

/// What a process of a runner may do, and sees.
#[derive(Debug)]
struct Taken {
    /// Fields of `/proc/PID/status`.
    status: BTreeMap<String, String>,
    /// Options of the mount of its root.
    root: String,
    /// Files that can be run.
    programs: BTreeSet<PathBuf>,
    /// Whether there is an API token.
    has_token: bool,
    limits: String,
}

fn taken(process: &Path) -> Option<Taken> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    let mounts = std::fs::read_to_string(process.join("mountinfo")).ok()?;
    let root =
        mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|it| it[4] == "/")?[5].to_owned();
    let mut programs = BTreeSet::new();
    for folder in
        ["", "bin", "sbin", "usr", "usr/bin", "usr/local/bin", "lib", "lib64", "lib/x86_64-linux-gnu", "etc"]
    {
        let Ok(entries) = process.join("root").join(folder).read_dir() else { continue };
        for entry in entries.flatten() {
            let is_program = entry.metadata().is_ok_and(|it| {
                it.is_file() && std::os::unix::fs::PermissionsExt::mode(&it.permissions()) & 0o111 != 0
            });
            if is_program {
                programs.insert(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    // The root is that of a process that may be gone by now.
    let is_there = process.join("root/reinstate").exists();
    let has_token =
        ["var/run/secrets", "run/secrets"].iter().any(|it| process.join("root").join(it).exists());
    is_there.then(|| Taken {
        status: fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
        root,
        programs,
        has_token,
        limits: std::fs::read_to_string(process.join("limits")).unwrap_or_default(),
    })
}

/// The uid of the pod that a runner's process is of.
fn pod_of(process: &Path) -> Option<String> {
    let command = std::fs::read(process.join("cmdline")).ok()?;
    let groups = std::fs::read_to_string(process.join("cgroup")).ok()?;
    command
        .starts_with(b"/reinstate\0runner")
        .then(|| groups.split("/pod").nth(1)?.get(..36).map(str::to_owned))?
}

/// Looks at every process of the machine until `stop`: for canaries, and at runners. `known` holds a
/// canary by right.
fn watch(stop: &AtomicBool, known: u32) -> (BTreeSet<String>, BTreeMap<String, Taken>, usize) {
    let (canaries, mut found, mut runners, mut looked) = (canaries(), BTreeSet::new(), BTreeMap::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        for entry in Path::new("/proc").read_dir().unwrap().flatten() {
            let (process, name) = (entry.path(), entry.file_name());
            let Some(number) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if number == known {
                continue;
            }
            for file in ["cmdline", "environ"] {
                let Ok(content) = std::fs::read(process.join(file)) else { continue };
                looked += 1;
                if let Some(word) = seen(&canaries, &content) {
                    found.insert(format!("{word} in {file} of {}", String::from_utf8_lossy(&content)));
                }
            }
            if let Some(pod) = pod_of(&process)
                && !runners.contains_key(&pod)
                && let Some(facts) = taken(&process)
            {
                runners.insert(pod, facts);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (found, runners, looked)
}

/// The answer to `GET path`.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Everything that the API and the operator show of the namespace, but its Secrets.
fn shown(namespace: &Namespace, operator: &Process, port: u16) -> Vec<(String, String)> {
    let kinds = "jobs,pods,events,events.v1.events.k8s.io,leases,configmaps,serviceaccounts,databaserestores,\
                 backupstorages,databaseconnections,encryptionprofiles";
    let mut all = vec![
        ("the operator's log".to_owned(), operator.log()),
        ("metrics".to_owned(), get(port, "/metrics")),
        ("objects".to_owned(), namespace.kubectl(&["get", kinds, "--output=json"]).expect(0, &[]).out),
        ("descriptions".to_owned(), namespace.kubectl(&["describe", kinds]).expect(0, &[]).out),
    ];
    for pod in namespace.list::<Pod>("app.kubernetes.io/managed-by=reinstate") {
        let name = pod.name_any();
        let log = namespace.kubectl(&["logs", &name]).expect(0, &[]).out;
        assert!(!log.is_empty(), "{name} has no log");
        all.push((format!("log of {name}"), log));
    }
    all
}

#[test]
fn no_secret_is_seen_anywhere_and_a_runner_can_do_nothing_else() {
    if cluster().folder.is_none() {
        return;
    }
    let namespace = Namespace::new("secrets");
    let (server, bucket) = storage();
    let backups = fixtures().join("dbackup");
    for (folder, name) in [("sqlite-gzip-enc", BACKUP), ("sqlite-none-plain", PLAIN)] {
        for name in [name.to_owned(), format!("{name}.meta.json")] {
            bucket.put(&name, &std::fs::read(backups.join(folder).join(&name)).unwrap());
        }
    }
    let plain = std::fs::read(backups.join("sqlite-none-plain").join(PLAIN)).unwrap();
    bucket.put("sealed.db.age", &sealed_with_passphrase(&plain));
    objects(&namespace, &bucket);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        &["operator", "--namespace", &namespace.name, "--watch-namespace", &namespace.name][..],
        &["--listen", &listen, "--runner-image", RUNNER_IMAGE, "--leader-election=false"],
    ];
    let scene = Scene { namespace: &namespace, volume: Volume::new(&namespace, "data", USER), bucket };
    let stop = AtomicBool::new(false);
    let (operator, (found, runners, looked)) = std::thread::scope(|threads| {
        let watching = threads.spawn(|| watch(&stop, server.id()));
        let operator = Process::start(&granted(&namespace), &arguments.concat());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runs(&scene)));
        stop.store(true, Ordering::Relaxed);
        let watched = watching.join().unwrap();
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
        (operator, watched)
    });
    assert!(looked > 1000, "{looked} files of processes were read");
    assert!(found.is_empty(), "{found:#?}");
    let canaries = canaries();
    wait_until("metrics tell of the runs", || get(port, "/metrics").contains("reinstate_runs_total"));
    for (place, text) in shown(&namespace, &operator, port) {
        assert_eq!(seen(&canaries, text.as_bytes()), None, "{place}: {text}");
    }
    let secrets = namespace.kubectl(&["get", "secrets", "--output=json"]).out;
    assert!(seen(&canaries, secrets.as_bytes()).is_some(), "a canary is found where it is");
    let pods: Vec<Pod> = namespace.list("app.kubernetes.io/managed-by=reinstate");
    let ours: Vec<&Taken> = pods.iter().filter_map(|pod| runners.get(&pod.uid()?)).collect();
    assert!(ours.len() >= 2, "{} of {} runners were seen", ours.len(), pods.len());
    for facts in ours {
        check(facts);
    }
}

/// Runs that end well and badly; each meets a canary.
fn runs(scene: &Scene) {
    let slow = "retries: 0\nrunner: {resources: {limits: {memory: 256Mi, cpu: 50m}, requests: {memory: 64Mi, cpu: 10m}}}";
    let rows = [
        ("good-key", "backups", BACKUP, "key", "True/Restored"),
        ("good-passphrase", "backups", "sealed.db.age", "passphrase", "True/Restored"),
        ("wrong", "wrong", BACKUP, "key", "SourceAccessDenied"),
        ("wrong-secret", "wrong-secret", BACKUP, "key", "SourceAccessDenied"),
        ("wrong-token", "wrong-token", BACKUP, "key", "SourceAccessDenied"),
        ("wrong-ca", "wrong-ca", BACKUP, "key", ""),
        ("wrong-key", "backups", BACKUP, "wrong-key", "NoProfileFits"),
        ("no-key", "backups", BACKUP, "no-key", "InvalidKey"),
        ("wrong-passphrase", "backups", "sealed.db.age", "wrong-passphrase", "NoProfileFits"),
        ("no-identity", "backups", "sealed.db.age", "no-identity", "InvalidKey"),
    ];
    for (name, storage, path, profile, _) in rows {
        scene.connection(name, &format!("{name}.db"));
        let backup = format!(
            "backup: {{storageRef: {{name: {storage}}}, path: {path}, encryption: {{profileRef: {{name: {profile}}}, discovery: Disabled}}}}"
        );
        // Those that write stand in one queue; the others read only.
        let target = if name.starts_with("good") {
            format!("target: {{connectionRef: {{name: {name}}}}}")
        } else {
            "mode: Verify".to_owned()
        };
        scene.restore(name, &format!("{backup}\n{target}\n{slow}"));
    }
    for (name, .., expected) in rows {
        let status = scene.ended(name);
        let (text, ready) = (message(&status, "Ready"), condition(&status, "Ready"));
        println!("{name}: {ready}: {text}");
        assert!(ready.ends_with(expected), "{name}: {ready}: {text}");
        assert!(!ready.ends_with("/InternalError"), "{name}: {text}");
    }
}

/// What a runner that was taken over could do: nothing.
fn check(facts: &Taken) {
    for (field, expected) in [
        ("Uid", "ID\tID\tID\tID"),
        ("Gid", "ID\tID\tID\tID"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let found = &facts.status[field];
        let is_user = expected.starts_with("ID");
        // A run that touches no target's files is of the image's user.
        let fits = if is_user {
            [USER, 65532].iter().any(|id| *found == expected.replace("ID", &id.to_string()))
        } else {
            found == expected
        };
        assert!(fits, "{field}: {found}");
    }
    assert!(facts.root.split(',').any(|option| option == "ro"), "{}", facts.root);
    assert!(!facts.has_token, "there is a token of the API server");
    let core = facts.limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let is_library = |path: &Path| path.to_str().unwrap().contains(".so");
    let programs: Vec<&PathBuf> = facts.programs.iter().filter(|path| !is_library(path)).collect();
    assert_eq!(programs, [Path::new("reinstate")], "{:?}", facts.programs);
}

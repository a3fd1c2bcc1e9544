//! The command line as its users meet it: the real binary, its texts, documents and exit codes, and
//! what it leaves in the folders it works on.

mod extract;
mod kinds;
mod list;
mod ready;
mod remote;
mod run;
mod secrets;
pub(super) mod signals;
mod terminal;
mod verify;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(super) use crate::support::Ended;
use crate::support::{PROFILE_A, PROFILE_B, fixtures, without_credentials};

pub(super) const BACKUP: &str = "sqlite-gzip-enc/sqlite_gzip_enc_2026-11-23_01-13-52.db.gz.enc";
/// SHA-256 of the database file in [`BACKUP`].
pub(super) const CONTENT: &str = "55bad03d22517d0c42a01c96ede30ba1396aa67d50eddf97569b3c6fa15f35bf";

/// The real binary, with nothing of this machine's cloud credentials.
pub(super) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reinstate"));
    without_credentials(&mut command);
    command.stdin(Stdio::null());
    command
}

pub(super) fn reinstate<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Ended {
    Ended::of(command().args(arguments).output().unwrap())
}

pub(super) fn backups() -> PathBuf {
    fixtures().join("dbackup")
}

pub(super) fn sha256(path: &Path) -> String {
    hex::encode(reinstate::runner::meter::sha256(&std::fs::read(path).unwrap()))
}

/// Everything in a folder that a run could change: names, times, modes, content. The times of folders
/// are left out: the lock comes and goes.
pub(super) fn snapshot(folder: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let data = entry.metadata().unwrap();
        let content = if data.is_dir() {
            snapshot(&entry.path()).join(" ")
        } else {
            format!("{}.{} {}", data.mtime(), data.mtime_nsec(), sha256(&entry.path()))
        };
        all.push(format!("{} {} {:o} {content}", entry.file_name().display(), data.ino(), data.mode()));
    }
    all.sort();
    all
}

/// Names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A folder with a manifest and the folder of the target.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
    pub(super) backups: PathBuf,
}

impl Scene {
    /// One restore of [`BACKUP`] into `app.db`, with the keys of the fixtures.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let scene = Self { folder, backups: backups() };
        scene.write(&[&restore("demo", BACKUP, ""), &objects(), &keys()]);
        scene
    }

    /// The same with another path below the destination and more lines of the spec.
    pub(super) fn of(path: &str, spec: &str) -> Self {
        let scene = Self::new();
        scene.write(&[&restore("demo", path, spec), &objects(), &keys()]);
        scene
    }

    /// The same over a target that holds data.
    pub(super) fn over_data(spec: &str) -> Self {
        let scene = Self::of(BACKUP, spec);
        scene.make_old();
        scene
    }

    pub(super) fn make_old(&self) {
        let old = rusqlite::Connection::open(self.target()).unwrap();
        old.execute_batch("CREATE TABLE old(a); INSERT INTO old VALUES (1), (2), (3);").unwrap();
        old.close().unwrap();
    }

    pub(super) fn write(&self, documents: &[&str]) {
        std::fs::write(self.manifest(), documents.join("\n---\n")).unwrap();
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.folder.path().join("restore.yaml")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.data().join("app.db")
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            "run".into(),
            "-f".into(),
            text(&self.manifest()),
            format!("--claim=backups={}", text(&self.backups)),
            format!("--claim=app-data={}", text(&self.data())),
        ]
    }

    pub(super) fn run(&self, more: &[&str]) -> Ended {
        Ended::of(command().args(self.arguments()).args(more).output().unwrap())
    }

    /// Names in the target's folder.
    pub(super) fn files(&self) -> Vec<String> {
        names(&self.data())
    }

    /// Whether the target is the fixture's database, byte for byte.
    pub(super) fn is_restored(&self) -> bool {
        sha256(&self.target()) == CONTENT
    }
}

/// A `DatabaseRestore`; `spec` is more lines, two blanks in.
pub(super) fn restore(name: &str, path: &str, spec: &str) -> String {
    request(name, &format!("path: {path}"), "connectionRef: {name: app}", spec)
}

/// A `DatabaseRestore` with these fields of `backup` and `target`, in flow style.
pub(super) fn request(name: &str, backup: &str, target: &str, spec: &str) -> String {
    format!(
        "apiVersion: reinstate.dev/v1alpha1\nkind: DatabaseRestore\nmetadata: {{name: {name}}}\nspec:\n  \
         backup: {{storageRef: {{name: backups}}, {backup}}}\n  target: {{{target}}}\n{spec}\n"
    )
}

/// The destination and the target's connection.
pub(super) fn objects() -> String {
    "apiVersion: reinstate.dev/v1alpha1\nkind: BackupStorage\nmetadata: {name: backups}\n\
     spec: {volume: {claimName: backups}}\n---\n"
        .to_owned()
        + &connection("app", "app.db")
}

pub(super) fn connection(name: &str, path: &str) -> String {
    format!(
        "apiVersion: reinstate.dev/v1alpha1\nkind: DatabaseConnection\nmetadata: {{name: {name}}}\n\
         spec: {{engine: SQLite, sqlite: {{claimName: app-data, path: {path}}}}}\n"
    )
}

/// An `EncryptionProfile` and its Secret.
pub(super) fn profile(name: &str, kind: &str, value: &str) -> String {
    let reference = format!("secretKeyRef: {{name: {name}-secret, key: value}}");
    let spec = match kind {
        "aes256Gcm" => format!("aes256Gcm: {{{reference}}}"),
        "identity" => format!("age: {{identitySecretKeyRef: {{name: {name}-secret, key: value}}}}"),
        "passphrase" => format!("age: {{passphraseSecretKeyRef: {{name: {name}-secret, key: value}}}}"),
        other => panic!("{other}"),
    };
    let value = Value::from(value);
    format!(
        "apiVersion: reinstate.dev/v1alpha1\nkind: EncryptionProfile\nmetadata: {{name: {name}}}\n\
         spec: {{{spec}}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-secret}}\n\
         stringData: {{value: {value}}}\n"
    )
}

/// Both keys of the fixtures, as imported: under other names, without ids.
pub(super) fn keys() -> String {
    format!(
        "{}---\n{}",
        profile("imported-b", "aes256Gcm", PROFILE_B.2),
        profile("imported-a", "aes256Gcm", PROFILE_A.2)
    )
}

/// The output of an installed tool; one that is missing fails the test.
pub(super) fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

//! `reinstate runner` as a pod meets it: the real binary over a folder that stands for `/`, its journal,
//! its log, its progress, its exit code.

mod ends;
mod holds;
mod kills;
mod orders;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use reinstate::cli::manifest::ManifestReader;
use reinstate::journal::{Entry, LIMIT_BYTES, last};
use reinstate::plan::{Order, PlanVersion, Task, pod, resolve};
use reinstate::report::RestoreReport;
use serde_json::Value;

use crate::cli::{Ended, command, names};
use crate::support::{PROFILE_A, PROFILE_B};

pub(super) const UID: &str = "5d1a3a5e-0000-4000-8000-000000000001";

/// The folder that stands for the `/` of a pod.
pub(super) struct Pod {
    pub(super) root: tempfile::TempDir,
}

impl Pod {
    /// A pod whose claim `backups` is `backups`, with the keys of the fixtures.
    pub(super) fn new(backups: &Path) -> Self {
        let pod = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["/dev", "/run/reinstate/order", "/claims/app-data"] {
            std::fs::create_dir_all(pod.at(folder)).unwrap();
        }
        symlink(backups, pod.at("/claims/backups")).unwrap();
        pod.secret("imported-a-secret", &[("value", PROFILE_A.2)]);
        pod.secret("imported-b-secret", &[("value", PROFILE_B.2)]);
        pod
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub(super) fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let folder = self.at(pod::SECRETS_FOLDER).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (key, value) in values {
            std::fs::write(folder.join(key), value).unwrap();
        }
    }

    /// Writes the order of the first restore of these manifests, changed by `change`.
    pub(super) fn order(&self, documents: &[&str], change: impl FnOnce(&mut Order)) {
        let mut order = order(documents);
        change(&mut order);
        std::fs::write(self.at(pod::ORDER_FILE), serde_json::to_vec(&order).unwrap()).unwrap();
    }

    pub(super) fn target(&self) -> PathBuf {
        self.at("/claims/app-data/app.db")
    }

    pub(super) fn files(&self) -> Vec<String> {
        names(&self.at("/claims/app-data"))
    }

    /// A target that holds three rows.
    pub(super) fn make_old(&self) {
        let old = rusqlite::Connection::open(self.target()).unwrap();
        old.execute_batch("CREATE TABLE old(a); INSERT INTO old VALUES (1), (2), (3);").unwrap();
        old.close().unwrap();
    }

    pub(super) fn start(&self, listen: &str) -> Child {
        let mut command = command();
        command.args(["runner", "--listen", listen, "--root"]).arg(self.root.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(super) fn run(&self) -> Ended {
        Ended::of(self.start("127.0.0.1:0").wait_with_output().unwrap())
    }

    /// What the kubelet would hand on: the end of the termination file.
    pub(super) fn message(&self) -> String {
        let text = std::fs::read(self.at(pod::JOURNAL_FILE)).unwrap_or_default();
        let from = text.len().saturating_sub(LIMIT_BYTES);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    /// What the operator would read.
    pub(super) fn last(&self) -> Option<Entry> {
        last(&self.message(), UID, 1)
    }

    #[track_caller]
    pub(super) fn verdict(&self) -> RestoreReport {
        let message = self.message();
        let entry = self.last().unwrap_or_else(|| panic!("no line in {message:?}"));
        let verdict = entry.verdict.unwrap_or_else(|| panic!("no verdict in {message:?}"));
        assert_eq!(verdict.target_modified, entry.touched);
        verdict
    }

    /// All lines of the journal so far: `touched`, and the outcome where there is one.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.at(pod::JOURNAL_FILE)).unwrap_or_default();
        text.lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let outcome = line["verdict"]["outcome"].as_str().unwrap_or_default();
                format!("{} {outcome}", line["touched"].as_str().unwrap()).trim_end().to_owned()
            })
            .collect()
    }
}

/// The order for the first restore of these manifests.
pub(super) fn order(documents: &[&str]) -> Order {
    let mut reader = ManifestReader::default();
    reader.add("order", &mut documents.join("\n---\n").as_bytes());
    let manifests = reader.finish().unwrap();
    let plan = resolve(&manifests.restores[0], &manifests.objects).unwrap();
    Order {
        version: PlanVersion,
        uid: UID.into(),
        attempt: 1,
        nonce: "b4f1d2".into(),
        task: Task::Restore,
        pinned: None,
        held: None,
        plan,
    }
}

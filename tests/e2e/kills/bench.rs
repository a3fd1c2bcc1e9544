//! One place where restores are run and something is killed: a namespace with its volume, a proxy
//! before the API server, and for each case a target of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reinstate::api::DatabaseRestore;
use reinstate::api::restore::RestoreStatus;

use super::judge::judge;
use super::live::Live;
use crate::harness::proxy::{Proxy, Side};
use crate::harness::scene::Scene;
use crate::harness::target::{Content, FolderLog, Found, Start, Target, make};
use crate::harness::{Namespace, Operator};

/// Rows of the backup: 21 MiB, so that a run takes long enough to be hit in all its stages.
const NEW_ROWS: u32 = 6000;

/// What happens to a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// The target is not there.
    Create,
    /// A database is replaced, as the manifest confirms.
    Replace,
    /// A database is replaced after the question.
    Ask,
    /// Loaded, looked at, then switched.
    Hold,
    /// Cancelled once its Job is recorded.
    Cancel,
    /// Deleted once its Job is recorded.
    Delete,
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Nothing,
    /// The operator, at the write of this number.
    Step(usize, Side),
    /// The operator, so long after the restore was created; the next one comes so long after that.
    Operator(Duration, Duration),
    /// The runner of this number, from 0, so long after its program began.
    Runner(usize, Duration),
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) life: Life,
    pub(super) start: Start,
    pub(super) kill: Kill,
}

/// What came of it.
pub(super) struct Done {
    pub(super) case: Case,
    /// What the operator wrote through the proxy.
    pub(super) writes: Vec<String>,
    /// What was killed, and where.
    pub(super) killed: Option<String>,
    /// From the creation to the end.
    pub(super) span: Duration,
    /// How long each runner's process lived.
    pub(super) runners: Vec<Duration>,
    /// The end, in words.
    pub(super) end: String,
    name: String,
    target: Target,
    found: Found,
    status: Option<RestoreStatus>,
}

pub(super) struct Bench<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) proxy: Proxy,
    /// The operator's way to the API server without the proxy.
    pub(super) direct: PathBuf,
    pub(super) proxied: PathBuf,
    pub(super) arguments: Vec<String>,
    log: FolderLog,
    new: Content,
}

impl<'a> Bench<'a> {
    pub(super) fn new(namespace: &'a Namespace) -> Self {
        let scene = Scene::new(namespace);
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("new.db");
        make(&backup, "", "new", NEW_ROWS);
        let new = Content::read(&backup).unwrap();
        scene.bucket.put("new.db", &std::fs::read(&backup).unwrap());
        let proxy = Proxy::start(namespace.cluster);
        let Operator { arguments, kubeconfig: direct, .. } = Operator::start(namespace);
        let proxied = proxy.kubeconfig(&direct);
        let log = FolderLog::of(&scene.volume.path(""));
        Self { scene, proxy, direct, proxied, arguments, log, new }
    }

    /// Runs one case to its end and holds it to the promises.
    pub(super) fn run(&self, case: Case) -> Done {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("r{number}");
        let file = format!("{name}.db");
        self.scene.connection(&name, &file);
        let target = Target::prepare(self.scene.volume.path(&file), case.start, &self.new);
        if case.start != Start::Absent {
            self.scene.volume.give(&target.path);
        }
        // What the preparation did is no news.
        self.log.news();
        let ended = Live::begin(self, case, number).follow();
        let found = target.look(&self.log.news());
        let judged = judge(case, &target, &found, &ended);
        let end = judged.unwrap_or_else(|wrong| {
            panic!("{wrong}: {case:?}, killed {:?}: {found:?}\n{}\n{}", ended.killed, ended.told(), ended.log)
        });
        Done {
            case,
            writes: self.proxy.writes(),
            killed: ended.killed,
            span: ended.span,
            runners: ended.runners,
            end,
            name,
            target,
            found,
            status: ended.status,
        }
    }

    /// Looks once more, long after the verdict: neither it nor the target has changed.
    pub(super) fn look_again(&self, done: &Done) {
        let restore: Option<DatabaseRestore> = self.scene.namespace.get(&done.name);
        let status = restore.and_then(|restore| restore.status);
        assert_eq!(status, done.status, "{}: an end never changes", done.name);
        let now = Content::read(&done.target.path);
        assert_eq!(now, done.found.content, "{}: written after the verdict", done.name);
    }
}

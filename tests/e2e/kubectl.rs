//! `kubectl reinstate` through a real operator, with an account that may do no more than a user needs.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::scene::{BACKUP, PLAIN, Scene};
use crate::harness::{Namespace, Operator, RUNNER_IMAGE};
use crate::parts::wait_until;
use crate::support::{Ended, without_credentials};

/// What `docs/kubectl.md` says that a user needs.
const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: user}
rules:
- {apiGroups: [reinstate.dev], resources: [databaserestores], verbs: [get, list, watch, create, patch]}
- {apiGroups: [reinstate.dev], resources: [backupstorages, databaseconnections, encryptionprofiles], verbs: [get, list]}
- {apiGroups: [''], resources: [pods], verbs: [get, list]}
- {apiGroups: [''], resources: [pods/log], verbs: [get]}
- {apiGroups: [''], resources: [events], verbs: [list]}
- {apiGroups: [batch], resources: [jobs], verbs: [create, delete, list]}
";

/// The plugin as a user of the namespace runs it.
pub(crate) struct Plugin<'a> {
    namespace: &'a Namespace,
    kubeconfig: PathBuf,
}

impl<'a> Plugin<'a> {
    pub(crate) fn new(namespace: &'a Namespace) -> Self {
        let binding = format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: user}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: user}}\n\
             subjects: [{{kind: ServiceAccount, name: user, namespace: {}}}]\n",
            namespace.name
        );
        namespace.apply(&format!("{ROLE}{binding}"));
        Self { namespace, kubeconfig: namespace.kubeconfig_of("user") }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reinstate"));
        without_credentials(&mut command);
        command
            .arg0("/usr/local/bin/kubectl-reinstate")
            .args(line.split(' '))
            .args(["--namespace", &self.namespace.name])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ended {
        Ended::of(self.command(line).output().unwrap())
    }
}

#[test]
fn one_command_restores_and_its_receipt_and_history_tell_it() {
    let namespace = Namespace::new("plugin");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let plugin = Plugin::new(&namespace);
    let ended = plugin.run(&format!("restore backups:{BACKUP} --to app --name first --follow --timeout 2m"));
    let ended = ended.expect(0, &["first: Restored after", "opened by profile key-a", "2 tables, 325 rows"]);
    assert!(ended.err.contains("DatabaseRestore first is made"), "{}", ended.err);
    assert_eq!(scene.tables("app.db"), ["item", "note"]);
    plugin.run("history").expect(0, &["first", "app/app.db", "Restored"]);
    plugin.run("status").expect(0, &["first", "Succeeded"]);
    plugin.run("status first -o json").expect(0, &["\"completionTime\""]);
    plugin.run("logs first").expect(0, &["INFO  end: Check backup", "outcome=Restored"]);
    plugin.run("report first").expect(0, &["**Restored.**", "| Proof |", "The target held nothing before"]);
    plugin.run("plan first").expect(0, &["Plan of first", "token"]);
    let again = plugin.run("new --from-run first --name again --plan").expect(0, &["sha256:", "profileRef:"]);
    namespace.apply(&again.out);
    plugin
        .run("status again --follow --timeout 2m")
        .expect(0, &["again: Planned", "asks for a confirmation first"]);
    plugin.run("confirm first").expect(11, &["nothing is to be confirmed"]);
    plugin.run("cancel first").expect(11, &["it is over already"]);
}

#[test]
fn data_is_replaced_only_by_its_exact_name() {
    let namespace = Namespace::new("plugin-confirm");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let plugin = Plugin::new(&namespace);
    scene.database("app.db", 7);
    let asked = plugin.run(&format!("restore backups:{PLAIN} --to app --name r --follow --timeout 2m"));
    asked.expect(
        3,
        &["app.db, which holds 1 table, ≈7 rows", "r waits, and nothing was written", "confirm r"],
    );
    plugin.run("confirm r").expect(3, &["--yes app.db"]);
    plugin.run("confirm r --yes APP.db").expect(2, &["it asks about app.db, and --yes names APP.db"]);
    assert_eq!(scene.tables("app.db"), ["old"]);
    plugin
        .run("confirm r --yes app.db --follow")
        .expect(0, &["confirmed", "r: Restored", "which was replaced"]);
    assert_eq!(scene.tables("app.db"), ["item", "note"]);
    let confirmed = scene.get("r");
    let shown = confirmed.status.unwrap().plan.unwrap().token;
    assert_eq!(confirmed.spec.overwrite.confirmed_plan, shown);
    plugin.run("report r").expect(0, &["| Confirmed | `app.db` |", "is kept as"]);
}

#[test]
fn what_is_wrong_with_a_command_is_told_before_anything_is_made() {
    let namespace = Namespace::new("plugin-wrong");
    let _scene = Scene::new(&namespace);
    let plugin = Plugin::new(&namespace);
    for (line, code, expected) in [
        ("restore backups:x.db --to ap", 11, "DatabaseConnection \"ap\" is not there in namespace"),
        ("restore backups:x.db --to ap", 11, "there is app"),
        ("restore backup:x.db --to app", 11, "BackupStorage \"backup\" is not there"),
        ("restore backups:x.db --to app --profile key", 11, "there are key-a, key-b"),
        ("restore backups:../x.db --to app", 2, "must be a relative path without `..`"),
        ("restore backups --to app", 2, "is not STORAGE:PATH"),
        ("restore backups:x.db", 2, "--to CONNECTION"),
        ("status nope", 11, "there is none"),
        ("backups backup", 11, "there is backups"),
    ] {
        plugin.run(line).expect(code, &[expected]);
    }
    assert!(namespace.list::<reinstate::api::DatabaseRestore>("").is_empty());
    // Nobody works here: the restore goes on without a look, and the command says so.
    let left = plugin.run("restore backups:x.db --to app --name r --follow --timeout 1s");
    left.expect(40, &["r goes on on the cluster", "status --follow r"]);
    plugin.run("cancel r --no-wait").expect(0, &["is being stopped"]);
}

#[test]
fn the_exit_code_of_a_followed_run_is_the_runs() {
    let namespace = Namespace::new("plugin-codes");
    let _scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let plugin = Plugin::new(&namespace);
    for (line, code, expected) in [
        ("restore backups:none.db --to app", 11, "SourceNotFound"),
        ("restore backups:latest/none --verify", 11, "SourceNotFound"),
        (&*format!("restore backups:{PLAIN} --verify"), 0, "Verified"),
        (&*format!("restore backups:{PLAIN} --verify --sha256 {}", "0".repeat(64)), 10, "ChecksumMismatch"),
        (&*format!("plan backups:{PLAIN} --to app"), 0, "Planned"),
    ] {
        let follow = if line.starts_with("plan") { "" } else { " --follow" };
        plugin.run(&format!("{line} --name {} --timeout 2m{follow}", name(line))).expect(code, &[expected]);
    }
}

/// A name that differs for every line.
fn name(line: &str) -> String {
    format!("r-{}", line.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())))
}

#[test]
fn a_job_of_the_user_lists_the_backups_and_is_gone_afterwards() {
    let namespace = Namespace::new("plugin-backups");
    let _scene = Scene::new(&namespace);
    let plugin = Plugin::new(&namespace);
    let line = format!("backups backups --image {RUNNER_IMAGE} --timeout 2m");
    plugin.run(&line).expect(0, &[BACKUP, PLAIN, "SQLite 3.40.1", "to restore the newest"]);
    let one = plugin.run(&format!("{line} --prefix sqlite_none -o json")).expect(0, &[]).json();
    assert_eq!(one["backups"].as_array().unwrap().len(), 1);
    assert_eq!(one["backups"][0]["path"], PLAIN);
    namespace.kubectl(&["delete", "secret", "--all"]).expect(0, &[]);
    plugin.run(&line).expect(11, &["SecretMissing"]);
    plugin
        .run("backups backups --image localhost/none:1 --timeout 8s")
        .expect(11, &["not started within 8s", "Image"]);
    assert!(jobs(&namespace).is_empty());
}

#[test]
fn replaced_data_is_put_back_by_its_name_and_what_runs_left_is_removed() {
    let namespace = Namespace::new("plugin-revert");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let plugin = Plugin::new(&namespace);
    scene.database("app.db", 7);
    plugin
        .run(&format!("restore backups:{PLAIN} --to app --name r --confirm app.db --follow --timeout 2m"))
        .expect(0, &["r: Restored", "The replaced data is kept as", "revert r"]);
    assert_eq!(scene.tables("app.db"), ["item", "note"]);
    plugin.run("revert r").expect(3, &["app.db, which holds 2 tables", "--yes app.db"]);
    plugin.run("revert r --yes other").expect(2, &["it replaces app.db, and --yes names other"]);
    assert_eq!(scene.tables("app.db"), ["item", "note"]);
    plugin.run("revert r --yes app.db").expect(0, &["Restored r", "The replaced data is kept as"]);
    assert_eq!(scene.tables("app.db"), ["old"]);
    std::fs::write(scene.volume.path(".app.db.reinstate-dead.shadow"), "x").unwrap();
    scene.volume.give(&scene.volume.path(".app.db.reinstate-dead.shadow"));
    plugin.run("discard r").expect(0, &["removed", ".app.db.reinstate-dead.shadow"]);
    assert_eq!(scene.tables("app.db"), ["old"]);
    // Kept data whose time is not over stays.
    plugin.run("revert r --yes app.db").expect(0, &["Restored r"]);
    assert_eq!(scene.tables("app.db"), ["old"]);
}

#[test]
fn a_revert_that_does_not_start_is_taken_back_and_never_runs() {
    let namespace = Namespace::new("plugin-late");
    let scene = Scene::new(&namespace);
    let _operator = Operator::start(&namespace);
    let plugin = Plugin::new(&namespace);
    scene.database("app.db", 7);
    plugin
        .run(&format!("restore backups:{PLAIN} --to app --name r --confirm app.db --follow --timeout 2m"))
        .expect(0, &["r: Restored", "The replaced data is kept as"]);
    let revert = "revert r --yes app.db --image localhost/none:1 --timeout";
    plugin
        .run(&format!("{revert} 8s"))
        .expect(11, &["was taken back before it began", "not started within 8s", "Image"]);
    nothing_is_left(&namespace);

    let mut stopped = plugin.command(&format!("{revert} 2m"));
    let stopped = stopped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("its Job is there", || !jobs(&namespace).is_empty());
    kill_process(Pid::from_child(&stopped), Signal::INT).unwrap();
    let stopped = Ended::of(stopped.wait_with_output().unwrap());
    stopped.expect(11, &["was taken back before it began", "stopped"]);
    nothing_is_left(&namespace);
    assert_eq!(scene.tables("app.db"), ["item", "note"]);
}

/// Jobs of the plugin that are not being deleted.
fn jobs(namespace: &Namespace) -> Vec<Job> {
    let mut jobs = namespace.list::<Job>("app.kubernetes.io/managed-by=kubectl-reinstate");
    jobs.retain(|job| job.metadata.deletion_timestamp.is_none());
    jobs
}

fn nothing_is_left(namespace: &Namespace) {
    let left = jobs(namespace);
    assert!(left.is_empty(), "{left:?}");
    let left = namespace.list::<Pod>("app.kubernetes.io/managed-by=kubectl-reinstate");
    assert!(left.is_empty(), "{left:?}");
}

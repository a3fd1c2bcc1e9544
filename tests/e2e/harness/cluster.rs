//! The cluster: the tests' own of `tests/cluster`, or the user's.
//!
//! | environment | meaning |
//! |---|---|
//! | `REINSTATE_TEST_CLUSTER` | folder of a cluster that `tests/cluster/up.sh` has started |
//! | `KUBECONFIG` | a cluster of the user's, into which the user has loaded the two images |
//! | `REINSTATE_TEST_HOST` | with `KUBECONFIG`: where pods reach this machine |
//! | `REINSTATE_TEST_VOLUMES` | with `KUBECONFIG`: a folder that this machine and the node have at the same path |

use std::fs::{File, TryLockError};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::Runtime;

use super::PATIENCE;
use crate::parts::{Server, installed, server_folder, start, tied, wait_until};
use crate::support::Ended;

/// A running cluster.
pub(crate) struct Cluster {
    /// Folder of `up.sh`; `None` for a cluster of the user's.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) kubeconfig: PathBuf,
    /// Its workers are in the cluster's network.
    runtime: Runtime,
    client: Client,
}

/// The cluster that this process uses; the calling thread is in its network then.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::reach).as_ref().unwrap_or_else(|error| panic!("{error}"));
    if let Some(folder) = &cluster.folder {
        enter(folder).unwrap();
    }
    cluster
}

impl Cluster {
    fn reach() -> Result<Self, String> {
        if let Some(kubeconfig) = environment("KUBECONFIG") {
            println!("the cluster is that of KUBECONFIG={kubeconfig}");
            let cluster = Self::connect(None, kubeconfig.into())?;
            cluster.define()?;
            return Ok(cluster);
        }
        let folder = environment("REINSTATE_TEST_CLUSTER")
            .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster"), PathBuf::from);
        if !runs(&folder) {
            bring_up(&folder)?;
        }
        load_images(&folder)?;
        enter(&folder)?;
        let kubeconfig = folder.join("admin.kubeconfig");
        let cluster = Self::connect(Some(folder), kubeconfig)?;
        cluster.define()?;
        Ok(cluster)
    }

    /// Makes the kinds known.
    fn define(&self) -> Result<(), String> {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
        for arguments in [
            &["apply", "--server-side", "--force-conflicts", "-f", crds][..],
            &["wait", "--for=condition=Established", "--timeout=60s", "-f", crds][..],
        ] {
            let ended = self.kubectl(arguments);
            if ended.code != 0 {
                return Err(format!("the kinds are not accepted: {}{}", ended.out, ended.err));
            }
        }
        Ok(())
    }

    fn connect(folder: Option<PathBuf>, kubeconfig: PathBuf) -> Result<Self, String> {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let read = Kubeconfig::read_from(&kubeconfig).map_err(|error| error.to_string())?;
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(read, &options).await;
            Client::try_from(config.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
        })?;
        Ok(Self { folder, kubeconfig, runtime, client })
    }

    /// A client with all rights. Its futures are for [`Self::wait`] alone.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Where pods reach the servers that a test starts.
    pub(crate) fn host(&self) -> String {
        if self.folder.is_some() {
            return "192.168.77.1".to_owned();
        }
        environment("REINSTATE_TEST_HOST").expect("REINSTATE_TEST_HOST says where pods reach this machine")
    }

    /// The folder in which volumes are made.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.folder.as_ref().map_or_else(
            || {
                let folder = environment("REINSTATE_TEST_VOLUMES");
                folder.expect("REINSTATE_TEST_VOLUMES is a folder that the node has at the same path").into()
            },
            |folder| folder.join("volumes"),
        )
    }

    /// The key and certificates of a server at [`Self::host`] lie in this folder, and `ca.crt`.
    pub(crate) fn certificates(&self) -> PathBuf {
        static MADE: OnceLock<PathBuf> = OnceLock::new();
        if let Some(folder) = &self.folder {
            return folder.join("pki");
        }
        let made = MADE.get_or_init(|| {
            let folder = server_folder("pki");
            let mut command = Command::new(script("certificates.sh"));
            Ended::of(command.arg(&folder).arg(self.host()).output().unwrap()).expect(0, &[]);
            folder
        });
        made.clone()
    }

    /// Runs kubectl.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.kubectl_command().args(arguments).output().unwrap())
    }

    pub(crate) fn kubectl_command(&self) -> Command {
        let mut command = Command::new(installed("kubectl"));
        command.env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// Runs helm.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(installed("helm"));
        command.env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        Ended::of(command.args(arguments).output().unwrap())
    }

    /// Starts a server of a test in the cluster's network. It ends with this process.
    pub(crate) fn serve(&self, program: &Path, log: &Path, set_up: impl FnOnce(&mut Command)) -> Server {
        let Some(folder) = &self.folder else {
            let mut command = tied(program);
            set_up(&mut command);
            return start(command, log);
        };
        let mut command = tied(Path::new("nsenter"));
        command.arg(format!("--net={}", network_of(folder).unwrap().display())).arg("--").arg(program);
        set_up(&mut command);
        start(command, log)
    }

    /// The own node, which a test may harm; `None` on a cluster of the user's.
    pub(crate) fn node(&self) -> Option<Node<'_>> {
        self.folder.as_deref().map(|folder| Node { cluster: self, folder })
    }
}

/// What a test can do to the own node, beside the API.
pub(crate) struct Node<'a> {
    cluster: &'a Cluster,
    folder: &'a Path,
}

impl<'a> Node<'a> {
    /// Runs a command among the node's processes and mounts.
    pub(crate) fn run(&self, command: &[&str]) -> Ended {
        Ended::of(Command::new(script("enter.sh")).arg(self.folder).args(command).output().unwrap())
    }

    /// Loads an image archive into the node.
    pub(crate) fn load_image(&self, archive: &Path) {
        let archive = archive.to_str().unwrap();
        self.run(&["ctr", "--namespace", "k8s.io", "images", "import", archive]).expect(0, &[]);
    }

    /// Kills a container's first process. `id` is the container's, as a pod's status tells it.
    pub(crate) fn kill_container(&self, id: &str) -> Ended {
        let id = id.trim_start_matches("containerd://");
        self.run(&["ctr", "--namespace", "k8s.io", "task", "kill", "--signal", "SIGKILL", id])
    }

    /// Stops the kubelet until the answer is dropped. Only for a test that is alone: see
    /// [`super::Namespace::alone`].
    pub(crate) fn stop_kubelet(self) -> StoppedKubelet<'a> {
        self.signal_kubelet("STOP");
        StoppedKubelet(self)
    }

    fn signal_kubelet(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("kubelet.pid")).unwrap();
        self.run(&["bash", "-c", &format!("kill -{signal} {}", pid.trim())]).expect(0, &[]);
    }
}

/// The kubelet does nothing while this lives. Then it goes on, and is waited for.
pub(crate) struct StoppedKubelet<'a>(Node<'a>);

impl Drop for StoppedKubelet<'_> {
    fn drop(&mut self) {
        self.0.signal_kubelet("CONT");
        let ready = ["wait", "--for=condition=Ready", "node/node", "--timeout=60s"];
        let ended = self.0.cluster.kubectl(&ready);
        assert!(ended.code == 0 || thread::panicking(), "the node does not come back: {}", ended.err);
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(name)
}

/// Whether a cluster runs in the folder; one that is starting up counts, and is waited for.
fn runs(folder: &Path) -> bool {
    let Ok(lock) = File::open(folder.join("lock")) else { return false };
    if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
        return false;
    }
    wait_until("the cluster that is starting is ready", || folder.join("ready").exists());
    true
}

/// Starts the cluster. The kernel ends it with this process, however that ends: a child is tied to the
/// thread that started it, so that thread never ends.
fn bring_up(folder: &Path) -> Result<(), String> {
    let log = folder.with_extension("log");
    std::fs::create_dir_all(folder).unwrap();
    // What an earlier cluster has left.
    let _ = std::fs::remove_file(folder.join("ready"));
    let mut command = tied(Path::new("bash"));
    command.arg(script("up.sh")).arg("--tied").arg(folder).stdin(Stdio::null());
    let output = File::create(&log).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let (sender, started) = channel::<Child>();
    thread::spawn(move || {
        sender.send(command.spawn().expect("setpriv and bash are there")).unwrap();
        loop {
            thread::park();
        }
    });
    let mut child = started.recv().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() && begun.elapsed() < 2 * PATIENCE {
        if folder.join("ready").exists() {
            return Ok(());
        }
        thread::sleep(std::time::Duration::from_millis(100));
    }
    let _ = child.kill();
    Err(format!("the cluster does not come up: {}", std::fs::read_to_string(log).unwrap()))
}

/// Builds the images from the binary of this build, unless they are there, and loads them.
fn load_images(folder: &Path) -> Result<(), String> {
    let archives = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let mut command = Command::new(script("images.sh"));
    command.arg(env!("CARGO_BIN_EXE_reinstate")).arg(archives).arg(folder);
    let ended = Ended::of(command.output().unwrap());
    if ended.code == 0 { Ok(()) } else { Err(format!("no images: {}{}", ended.out, ended.err)) }
}

fn network_of(folder: &Path) -> Result<PathBuf, String> {
    let pid = std::fs::read_to_string(folder.join("pid")).map_err(|error| error.to_string())?;
    Ok(Path::new("/proc").join(pid.trim()).join("ns/net"))
}

/// Takes the calling thread into the network of the cluster in `folder`.
fn enter(folder: &Path) -> Result<(), String> {
    let network =
        File::open(network_of(folder)?).map_err(|error| format!("the cluster has ended: {error}"))?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| error.to_string())
}

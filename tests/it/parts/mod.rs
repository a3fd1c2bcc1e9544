//! Real servers for the tests. Each is started at its first use, on a free port of the loopback
//! interface, and ends with the test process.

pub(crate) mod child;
pub(crate) mod minio;
pub(crate) mod postgres;
pub(crate) mod tamper;
pub(crate) mod toxiproxy;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use reinstate::runner::engine::Incoming;
use reinstate::runner::inventory::DatabaseEntry;

/// What goes into the only target of a run.
pub(crate) const fn only(entry: &DatabaseEntry) -> Incoming<'_> {
    Incoming { target: 0, entry }
}

/// Waits until `condition` holds, looking every few milliseconds; a test that waits in vain fails.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    const LIMIT: Duration = Duration::from_mins(1);
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A binary that `tests/parts/install.sh` has brought.
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = brought(name);
    assert!(path.is_file(), "{} is missing: run tests/parts/install.sh", path.display());
    path
}

/// A folder that `tests/parts/install.sh` has brought.
pub(crate) fn installed_folder(name: &str) -> PathBuf {
    let path = brought(name);
    assert!(path.is_dir(), "{} is missing: run tests/parts/install.sh", path.display());
    path
}

fn brought(name: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("reinstate/bin").join(name)
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A folder for the files of a server that lives as long as the test process. Folders of processes
/// that are gone are removed first.
pub(crate) fn server_folder(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("servers");
    std::fs::create_dir_all(&root).unwrap();
    for entry in root.read_dir().unwrap().flatten() {
        let process = entry.file_name().to_string_lossy().split('-').next().unwrap_or_default().to_owned();
        if !PathBuf::from("/proc").join(&process).exists() {
            // Another test process may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = root.join(format!("{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A server process. It is killed when dropped, and by the kernel when the test process ends.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts `command`, with its output in `log`.
///
/// The kernel ties a child to the thread that started it, and test threads end early: all servers
/// are started by one thread that never ends.
pub(crate) fn start(mut command: Command, log: &std::path::Path) -> Server {
    static STARTER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let log = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let (answer, child) = channel();
    starter.lock().unwrap().send((command, answer)).unwrap();
    Server(child.recv().unwrap().expect("the server starts (setpriv is of util-linux)"))
}

/// The command for `program` that dies with the thread that starts it.
pub(crate) fn tied(program: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Bytes without a pattern that a compressor or a cut could hide in; the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

//! Applications that hold the target open and write while it is replaced, in processes of their own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reinstate::reason::Reason;
use reinstate::runner::journal::Touched;
use rusqlite::Connection;

use super::harness::{Backup, Bench, make};

/// Names the role of a test process that is a child of a test; the part after `:` is its path.
const ROLE: &str = "REINSTATE_TEST_APP";
const LOG: &str = "CREATE TABLE log(n INTEGER PRIMARY KEY);";

/// Starts this test program again as an application on `path`.
fn start(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["sqlite::apps::application", "--exact", "--ignored", "--nocapture"])
        .env(ROLE, format!("{role}:{}", path.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "runs as the child process of other tests"]
fn application() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, path) = role.split_once(':').unwrap();
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_millis(500)).unwrap();
    if role == "hold" {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        println!("ACK 0");
        // The parent closes the pipe when it is done.
        std::io::stdin().lines().for_each(drop);
        return;
    }
    connection.execute_batch(&format!("PRAGMA journal_mode={role}; PRAGMA synchronous=OFF;")).unwrap();
    let mut out = std::io::stdout();
    for n in 0.. {
        let line = match connection.execute("INSERT INTO log VALUES(?1)", [n]) {
            Ok(_) => format!("ACK {n}\n"),
            Err(error) => format!("ERR {n} {error}\n"),
        };
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
        // The pace of an application that does something else too.
        std::thread::park_timeout(Duration::from_micros(300));
    }
}

fn read_log(path: &Path) -> BTreeSet<i64> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT n FROM log").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Reads acknowledged writes until `count` more of them came.
fn acknowledged(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
    count: usize,
    all: &mut BTreeSet<i64>,
) {
    let mut seen = 0;
    while seen < count {
        let line = lines.next().expect("the application goes on").unwrap();
        if let Some(n) = line.strip_prefix("ACK ") {
            all.insert(n.parse().unwrap());
            seen += 1;
        }
    }
}

#[test]
fn no_acknowledged_write_is_lost_in_any_journal_mode() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF", "WAL"] {
        let bench = Bench::new();
        make(&bench.target(), &format!("PRAGMA journal_mode={mode}; {LOG}"));
        let backup = Backup::of(&format!("{LOG} CREATE TABLE fresh(a); INSERT INTO log VALUES(-1);"));
        let mut app = start(mode, &bench.target());
        let mut lines = BufReader::new(app.stdout.take().unwrap()).lines();
        let mut acks = BTreeSet::new();
        acknowledged(&mut lines, 100, &mut acks);
        let previous = bench.restore(&backup).unwrap().previous.unwrap();
        // The application goes on with the connection it had before.
        acknowledged(&mut lines, 400, &mut acks);
        app.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(n) = line.strip_prefix("ACK ").and_then(|n| n.parse().ok()) {
                acks.insert(n);
            }
        }
        app.wait().unwrap();
        let (old, new) = (read_log(Path::new(&previous.name)), read_log(&bench.target()));
        let lost: Vec<_> = acks.iter().filter(|n| !old.contains(n) && !new.contains(n)).collect();
        assert!(lost.is_empty(), "{mode}: lost {lost:?} of {}", acks.len());
        assert!(new.contains(&-1) && !old.contains(&-1), "{mode}: the new database is not the backup's");
        assert!(new.len() > 1, "{mode}: the application never reached the new database");
        let check: String = Connection::open(bench.target())
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok", "{mode}");
    }
}

#[test]
fn an_application_that_does_not_let_go_ends_the_run_untouched() {
    for mode in ["DELETE", "WAL"] {
        let mut bench = Bench::new();
        bench.settings.sessions_timeout = Duration::from_millis(300);
        make(&bench.target(), &format!("PRAGMA journal_mode={mode}; {LOG}"));
        let mut app = start("hold", &bench.target());
        let mut lines = BufReader::new(app.stdout.take().unwrap()).lines();
        acknowledged(&mut lines, 1, &mut BTreeSet::new());
        let fault = bench.restore(&Backup::of("CREATE TABLE new(a)")).unwrap_err();
        assert_eq!(fault.reason, Reason::TargetBusy, "{mode}: {}", fault.full_message());
        assert_eq!(bench.context.journal.touched(), Touched::No, "{mode}");
        drop(app.stdin.take());
        app.wait().unwrap();
        assert_eq!(read_log(&bench.target()), BTreeSet::new(), "{mode}");
        assert!(!bench.files().iter().any(|name| name.contains("reinstate")), "{mode}: {:?}", bench.files());
    }
}

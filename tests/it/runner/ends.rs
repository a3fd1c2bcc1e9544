//! Runs that are met in their middle: asked how far they are, and asked to stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Child;

use reinstate::plan::pod;
use reinstate::reason::Reason;
use reinstate::report::{Outcome, ProgressReport};
use rustix::process::{Pid, Signal, kill_process};

use super::Pod;
use crate::cli::signals::large_backup;
use crate::cli::{Ended, objects, request, snapshot};
use crate::parts::wait_until;

/// A pod with a backup that takes a while, and the folder of it.
fn large() -> (tempfile::TempDir, Pod) {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = large_backup(folder.path());
    let backup = format!("path: large.db.zst, checksum: {{sha256: {sha256}}}");
    let spec = request("demo", &backup, "connectionRef: {name: app}", "  overwrite: {confirm: [app.db]}");
    let pod = Pod::new(folder.path());
    pod.order(&[&spec, &objects()], |_| ());
    pod.make_old();
    (folder, pod)
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn in_the_middle(pod: &Pod, listen: &str) -> Child {
    let child = pod.start(listen);
    wait_until("the run loads", || pod.files().iter().any(|name| name.ends_with(".shadow")));
    child
}

fn get(address: SocketAddr, nonce: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let path = pod::PROGRESS_PATH;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pod\r\n{}: {nonce}\r\n\r\n", pod::NONCE_HEADER).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_run_tells_who_knows_its_nonce_how_far_it_is_and_stops_when_asked() {
    let (_backups, pod) = large();
    let old = snapshot(&pod.at("/claims/app-data"));
    let address = free_address();
    let child = in_the_middle(&pod, &address.to_string());
    let text = get(address, "b4f1d2");
    let report: ProgressReport = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert!(report.stage == "Restore" && report.total > 0 && report.done <= report.total, "{report:?}");
    assert!(get(address, "b4f1d3").starts_with("HTTP/1.1 403 "));
    for _ in 0..3 {
        // More of them change nothing.
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    }
    Ended::of(child.wait_with_output().unwrap()).expect(30, &["asked to stop", "Interrupted"]);
    assert_eq!(pod.lines(), ["False", "False Failed"]);
    assert_eq!(pod.verdict().failure.unwrap().reason, Reason::Interrupted);
    assert_eq!(snapshot(&pod.at("/claims/app-data")), old);
}

#[test]
fn a_port_that_is_taken_does_not_stop_the_run() {
    let (_backups, pod) = large();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let child = pod.start(&taken.local_addr().unwrap().to_string());
    Ended::of(child.wait_with_output().unwrap()).expect(0, &["the progress is not served"]);
    assert_eq!(pod.verdict().outcome, Outcome::Restored);
}

#[test]
fn a_switch_that_has_begun_is_not_broken_off() {
    let (_backups, pod) = large();
    let child = pod.start("127.0.0.1:0");
    wait_until("the switch begins", || pod.lines().iter().any(|line| line == "Unknown"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    Ended::of(child.wait_with_output().unwrap()).expect(0, &[]);
    assert_eq!(pod.lines(), ["False", "Unknown", "True", "True Restored"]);
}

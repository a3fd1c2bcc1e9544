//! toxiproxy: a TCP proxy with faults that are switched on and off while a test runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Server, free_port, installed, server_folder, start, tied, wait_until};

struct Toxiproxy {
    _server: Server,
    port: u16,
}

fn toxiproxy() -> &'static Toxiproxy {
    static TOXIPROXY: OnceLock<Toxiproxy> = OnceLock::new();
    TOXIPROXY.get_or_init(|| {
        let port = free_port();
        let mut command = tied(&installed("toxiproxy-server"));
        command.args(["-host", "127.0.0.1", "-port", &port.to_string()]);
        let server = start(command, &server_folder("toxiproxy").join("log"));
        wait_until("toxiproxy answers", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Toxiproxy { _server: server, port }
    })
}

/// A proxy of one test in front of `127.0.0.1:PORT`.
pub(crate) struct FaultyLink {
    name: String,
    /// The port to connect to.
    pub(crate) port: u16,
}

impl FaultyLink {
    pub(crate) fn to(upstream: u16) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("link-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let body = serde_json::json!({
            "name": name, "listen": "127.0.0.1:0", "upstream": format!("127.0.0.1:{upstream}"), "enabled": true,
        });
        let answer = call("POST", "/proxies", &body);
        let port = answer["listen"].as_str().and_then(|listen| listen.rsplit(':').next()?.parse().ok());
        Self { name, port: port.unwrap_or_else(|| panic!("no port in {answer}")) }
    }

    /// Switches a fault on for what the server sends.
    pub(crate) fn add(&self, kind: &str, attributes: &serde_json::Value) {
        let body = serde_json::json!({
            "name": kind, "type": kind, "stream": "downstream", "toxicity": 1.0, "attributes": attributes,
        });
        call("POST", &format!("/proxies/{}/toxics", self.name), &body);
    }

    /// Switches a fault off again.
    pub(crate) fn remove(&self, kind: &str) {
        call("DELETE", &format!("/proxies/{}/toxics/{kind}", self.name), &serde_json::Value::Null);
    }

    /// Cuts all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        call("POST", &format!("/proxies/{}", self.name), &serde_json::json!({"enabled": false}));
    }
}

fn call(method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, toxiproxy().port)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 2"), "{method} {path}: {answer}");
    if content.is_empty() { serde_json::Value::Null } else { serde_json::from_str(content).unwrap() }
}

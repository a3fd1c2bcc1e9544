//! A reverse proxy that lies: it stands in front of a MinIO without TLS and may answer in its
//! place, or exchange the bytes of an object under an unchanged ETag.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the proxy does with one request.
pub(crate) enum Action {
    /// Passes it on.
    Forward,
    /// Passes it on, and puts the same range of these bytes in the place of the body.
    Exchange(Arc<Vec<u8>>),
    /// Passes it on, and lets this change the head of the answer.
    Edit(fn(&str) -> String),
    /// Passes it on, and closes after this many bytes of the body.
    Cut(usize),
    /// Answers with this status line, these header lines and this body.
    Answer(&'static str, &'static str, &'static str),
}

/// A request as the proxy sees it.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    /// How many GETs there were before this one.
    pub(crate) gets_before: usize,
}

type Rule = Box<dyn FnMut(&Seen<'_>) -> Action + Send>;

/// A running proxy; it ends with the test process.
pub(crate) struct Tamper {
    /// The port to connect to.
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    upstream: u16,
    rule: Mutex<Rule>,
    gets: AtomicUsize,
    active: AtomicUsize,
    most_active: AtomicUsize,
}

impl Tamper {
    pub(crate) fn in_front_of(upstream: u16, rule: impl FnMut(&Seen<'_>) -> Action + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            upstream,
            rule: Mutex::new(Box::new(rule)),
            gets: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            most_active: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away in the middle is nothing to report.
                thread::spawn(move || state.serve(client));
            }
        });
        Self { port, state }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// GETs so far.
    pub(crate) fn gets(&self) -> usize {
        self.state.gets.load(Ordering::SeqCst)
    }

    /// GETs that are being answered.
    pub(crate) fn active(&self) -> usize {
        self.state.active.load(Ordering::SeqCst)
    }

    /// The most GETs at the same time so far.
    pub(crate) fn most_parallel(&self) -> usize {
        self.state.most_active.load(Ordering::SeqCst)
    }
}

impl State {
    /// Serves the requests of one connection.
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let mut requests = BufReader::new(client.try_clone()?);
        let mut client = client;
        loop {
            let head = read_head(&mut requests)?;
            if head.is_empty() {
                return Ok(());
            }
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let is_get = method == "GET";
            let gets_before = if is_get {
                self.gets.fetch_add(1, Ordering::SeqCst)
            } else {
                self.gets.load(Ordering::SeqCst)
            };
            let action = (self.rule.lock().unwrap())(&Seen { method, target, gets_before });
            if is_get {
                let active = self.active.fetch_add(1, Ordering::SeqCst) + 1;
                self.most_active.fetch_max(active, Ordering::SeqCst);
            }
            let done = self.answer(&head, method, &action, &mut client);
            if is_get {
                self.active.fetch_sub(1, Ordering::SeqCst);
            }
            if !done? {
                return Ok(());
            }
        }
    }

    /// Answers one request; false where the connection must end.
    fn answer(&self, head: &str, method: &str, action: &Action, client: &mut TcpStream) -> io::Result<bool> {
        if let Action::Answer(status, headers, body) = action {
            let body = if method == "HEAD" { "" } else { body };
            write!(client, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())?;
            return Ok(true);
        }
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream))?;
        server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
        let mut answer = BufReader::new(server);
        let from_server = read_head(&mut answer)?;
        let kept: String =
            from_server.split_inclusive("\r\n").filter(|line| !line.starts_with("Connection:")).collect();
        let length = if method == "HEAD" { 0 } else { number_in(&kept, "content-length:") };
        let to_client = if let Action::Edit(edit) = action { edit(&kept) } else { kept.clone() };
        client.write_all(to_client.as_bytes())?;
        match action {
            Action::Exchange(bytes) if length > 0 && kept.contains(" 206 ") => {
                let start = number_in(&kept, "content-range: bytes");
                client.write_all(&bytes[start..start + length])?;
                Ok(true)
            }
            Action::Cut(limit) if length > *limit => {
                io::copy(&mut answer.take(*limit as u64), client)?;
                Ok(false)
            }
            _ => {
                io::copy(&mut answer.take(length as u64), client)?;
                Ok(true)
            }
        }
    }
}

/// The head of a message with its empty line; empty at the end of the connection.
fn read_head(from: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head)? == 0 {
            return Ok(String::new());
        }
    }
    Ok(head)
}

/// The number that follows `name` in a head.
fn number_in(head: &str, name: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let Some((_, rest)) = lower.split_once(name) else { return 0 };
    rest.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default()
}

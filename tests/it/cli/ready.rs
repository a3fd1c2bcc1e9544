//! `reinstate ready` against servers that answer well, badly, late and never.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use super::reinstate;

/// A server that gives these answers one after the other, the last one again and again; `None`
/// holds the connection open without a word. Its URL.
fn server(answers: &'static [Option<&'static str>]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    thread::spawn(move || {
        let last = answers.last().unwrap();
        let mut held = Vec::new();
        for answer in answers.iter().chain(std::iter::repeat(last)) {
            let (mut stream, _) = listener.accept().unwrap();
            match answer {
                None => held.push(stream),
                Some(status) => {
                    let _ = stream.read(&mut [0; 1024]);
                    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(text.as_bytes());
                }
            }
        }
    });
    url
}

#[test]
fn it_asks_until_the_answer_is_good() {
    for (answers, timeout, code, says) in [
        (&[Some("200 OK")][..], "1", 0, "is ready"),
        (&[Some("503 Service Unavailable"), Some("200 OK")], "10", 0, "is ready"),
        (&[Some("503 Service Unavailable")], "1", 11, "it answers 503 Service Unavailable"),
        (&[Some("404 Not Found")], "1", 11, "it answers 404 Not Found"),
        (&[None], "1", 11, "no answer"),
    ] {
        let url = server(answers);
        reinstate(&["ready", "--url", &url, "--timeout", timeout]).expect(code, &[&url, says]);
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/readyz");
    reinstate(&["ready", "--url", &url, "--timeout", "1"]).expect(11, &["Connection refused"]);
    reinstate(&["ready", "--url", "no url at all"]).expect(2, &["invalid"]);
}

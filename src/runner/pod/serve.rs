//! Serves the progress to who knows the run's nonce. It is for showing: it may fail, and then says
//! so; the run goes on and never waits for it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use crate::plan::pod;
use crate::report::ProgressReport;
use crate::runner::progress::Progress;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 8;
/// Longest life of a connection, so that silent ones do not keep others out.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a request's head; hyper allows no less than 8 KiB.
const HEAD_LIMIT_BYTES: usize = 8 << 10;
const HEADERS_LIMIT: usize = 32;
/// Pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves until it is dropped.
pub(super) struct Serving(Option<oneshot::Sender<()>>);

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(stop) = self.0.take() {
            // Where the server could not be started, nobody listens.
            let _ = stop.send(());
        }
    }
}

/// Begins to serve `progress` on `address`.
pub(super) fn start(address: SocketAddr, nonce: &str, progress: &Progress) -> Serving {
    let (stop, stopped) = oneshot::channel();
    let desk = Arc::new(Desk { nonce: nonce.to_owned(), progress: progress.clone() });
    let serve = move || {
        let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    result = accept(address, desk) => result,
                    _ = stopped => Ok(()),
                }
            })
        });
        if let Err(error) = served {
            tracing::warn!("the progress is not served on {address}: {error}; the run goes on");
        }
    };
    if let Err(error) = thread::Builder::new().name("serving".into()).spawn(serve) {
        tracing::warn!("the progress is not served: {error}; the run goes on");
    }
    Serving(Some(stop))
}

async fn accept(address: SocketAddr, desk: Arc<Desk>) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            // One that breaks off or takes too long is of no interest.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, answer(stream, desk)).await;
            drop(place);
        });
    }
}

async fn answer(stream: TcpStream, desk: Arc<Desk>) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = desk.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_LIMIT_BYTES)
        .max_headers(HEADERS_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Who answers.
struct Desk {
    nonce: String,
    progress: Progress,
}

impl Desk {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.uri().path() != pod::PROGRESS_PATH || request.method() != Method::GET {
            return plain(StatusCode::NOT_FOUND);
        }
        let given = request.headers().get(pod::NONCE_HEADER).map(HeaderValue::as_bytes);
        // An empty nonce would let everybody in.
        let known = given.is_some_and(|given| bool::from(given.ct_eq(self.nonce.as_bytes())));
        if self.nonce.is_empty() || !known {
            return plain(StatusCode::FORBIDDEN);
        }
        let now = self.progress.snapshot();
        let report = ProgressReport {
            stage: now.stage.name().to_owned(),
            what: now.what,
            done: now.done,
            total: now.total,
            step: now.step,
        };
        let Ok(body) = serde_json::to_vec(&report) else { return plain(StatusCode::INTERNAL_SERVER_ERROR) };
        let response = Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header(CACHE_CONTROL, "no-store")
            .body(Full::new(Bytes::from(body)));
        response.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::runner::fault::Stage;

    #[test]
    fn only_who_knows_the_nonce_learns_the_progress() {
        let progress = Progress::default();
        progress.begin(Stage::Download, "checking the backup", 100);
        progress.advance(40);
        let ask = |method: &str, path: &str, given: Option<&str>, nonce: &str| {
            let desk = Desk { nonce: nonce.into(), progress: progress.clone() };
            let mut request = Request::builder().method(method).uri(path);
            if let Some(given) = given {
                request = request.header("X-Reinstate-Nonce", given);
            }
            desk.answer(&request.body(()).unwrap()).status().as_u16()
        };
        for (method, path, given, nonce, expected) in [
            ("GET", "/progress", Some("n-1"), "n-1", 200),
            ("GET", "/progress?x=1", Some("n-1"), "n-1", 200),
            ("GET", "/progress", None, "n-1", 403),
            ("GET", "/progress", Some("n-2"), "n-1", 403),
            ("GET", "/progress", Some("n-11"), "n-1", 403),
            ("GET", "/progress", Some(""), "", 403),
            ("POST", "/progress", Some("n-1"), "n-1", 404),
            ("GET", "/", Some("n-1"), "n-1", 404),
            ("GET", "/progress/", Some("n-1"), "n-1", 404),
        ] {
            assert_eq!(ask(method, path, given, nonce), expected, "{method} {path} {given:?} {nonce:?}");
        }
    }

    fn free_address() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn get(address: SocketAddr, head: &str) -> String {
        let mut stream = (0..100)
            .find_map(|_| {
                thread::sleep(Duration::from_millis(20));
                std::net::TcpStream::connect(address).ok()
            })
            .unwrap();
        let _ = stream.write_all(head.as_bytes());
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    #[test]
    fn a_real_request_is_answered_and_a_hostile_one_is_not() {
        let progress = Progress::default();
        progress.begin(Stage::Restore, "loading app.db", 7);
        let address = free_address();
        let serving = start(address, "n-1", &progress);
        let head = "GET /progress HTTP/1.1\r\nHost: x\r\nX-Reinstate-Nonce: n-1\r\n\r\n";
        // Silent connections do not keep others out while there are places.
        let text = get(address, head);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        let report: ProgressReport = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!((report.stage.as_str(), report.total, report.step), ("Restore", 7, 1));
        let huge = format!("GET /progress HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(100_000));
        for head in [huge.as_str(), "\0\0\0\r\n\r\n", "GET /progress HTTP/1.1\r\nHost: x\r\n\r\n"] {
            assert!(!get(address, head).contains(" 200 "), "{}", head.get(..20).unwrap_or(head));
        }
        drop(serving);
    }

    #[test]
    fn a_port_that_is_taken_does_no_harm() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        drop(start(taken.local_addr().unwrap(), "n-1", &Progress::default()));
    }
}

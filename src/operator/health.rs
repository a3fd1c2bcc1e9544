//! The operator's own little server: `/metrics`, `/livez` and `/readyz`.
//!
//! The operator tells [`Health`] what it sees, the kubelet asks. Ready says that this replica knows
//! the cluster's state, not that it leads: a replica that waits for its turn is ready too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::{self, Metrics};

/// Without a word from the API server for so long, a replica is not ready. Leases are renewed every
/// few seconds, so this is many failures in a row and not one.
const API_SILENCE: Duration = Duration::from_mins(1);
/// Without a beat of the main loop for so long, the process is stuck and is to be restarted.
const LOOP_SILENCE: Duration = Duration::from_mins(2);

/// What is known of the operator's own state.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    synced: AtomicBool,
    api: Mark,
    beat: Mark,
}

/// The time of the last time, in milliseconds after the start.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn set(&self, since: Duration) {
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_max(millis, Ordering::Relaxed);
    }

    /// How long ago it was set; never set counts from the start.
    fn age(&self, since: Duration) -> Duration {
        since.saturating_sub(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// That of a process that starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            synced: AtomicBool::new(false),
            api: Mark::default(),
            beat: Mark::default(),
        }
    }

    /// The caches hold the cluster's state.
    pub fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
        self.reached_api();
    }

    /// The API server has answered.
    pub fn reached_api(&self) {
        self.api.set(self.started.elapsed());
    }

    /// The loop that hands objects to the reconciler was passed.
    pub fn beat(&self) {
        self.beat.set(self.started.elapsed());
    }

    /// Why the operator is not ready, if it is not.
    fn not_ready(&self, since: Duration) -> Option<String> {
        if !self.synced.load(Ordering::Relaxed) {
            return Some("the caches are not filled yet".to_owned());
        }
        let silence = self.api.age(since);
        (silence > API_SILENCE)
            .then(|| format!("the API server has not answered for {} s", silence.as_secs()))
    }

    /// Why the operator is to be restarted, if it is.
    fn not_alive(&self, since: Duration) -> Option<String> {
        let silence = self.beat.age(since);
        (silence > LOOP_SILENCE).then(|| format!("the main loop has stood still for {} s", silence.as_secs()))
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until `stop` is done; requests that are being answered then are answered.
pub async fn serve<S>(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: S,
) -> io::Result<()>
where
    S: Future<Output = ()> + Send + 'static,
{
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .with_state(Shared { health, metrics });
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

async fn livez(State(shared): State<Shared>) -> Response {
    verdict(shared.health.not_alive(shared.health.started.elapsed()))
}

async fn readyz(State(shared): State<Shared>) -> Response {
    verdict(shared.health.not_ready(shared.health.started.elapsed()))
}

async fn numbers(State(shared): State<Shared>) -> Response {
    match shared.metrics.encode() {
        Ok(page) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn verdict(trouble: Option<String>) -> Response {
    match trouble {
        None => "ok\n".into_response(),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_pages_are_served_until_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (health, metrics) = (Arc::new(Health::new()), Arc::new(Metrics::new()));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, health.clone(), metrics.clone(), async {
            let _ = stopped.await;
        }));

        let answer = ask(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("the caches are not filled yet\n"), "{answer}");
        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200 "));

        health.synced();
        let answer = ask(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");

        metrics.running(7);
        let answer = ask(address, "/metrics").await;
        assert!(answer.contains(&format!("content-type: {}", metrics::CONTENT_TYPE)), "{answer}");
        assert!(answer.contains("\nreinstate_running 7\n"), "{answer}");
        assert!(answer.ends_with("# EOF\n"), "{answer}");
        assert!(ask(address, "/").await.starts_with("HTTP/1.1 404 "));

        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "the port is free again");
    }

    #[test]
    fn silence_makes_not_ready_and_a_loop_that_stands_still_not_alive() {
        let second = Duration::from_secs;
        let health = Health::new();
        health.synced();
        health.api.set(second(100));
        health.beat.set(second(100));
        for (since, ready, alive) in
            [(100, true, true), (160, true, true), (161, false, true), (221, false, false)]
        {
            assert_eq!(health.not_ready(second(since)).is_none(), ready, "ready at {since}");
            assert_eq!(health.not_alive(second(since)).is_none(), alive, "alive at {since}");
        }
        assert_eq!(
            health.not_ready(second(200)).unwrap(),
            "the API server has not answered for 100 s",
            "the reason is told"
        );
        health.api.set(second(50));
        assert!(health.not_ready(second(160)).is_none(), "a late word of an earlier time changes nothing");
    }
}

//! Asks a runner for its progress. What it answers is shown and decides nothing; it is small, comes
//! soon, and leads nowhere else, or it counts as silence.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::operator::view::Progress;
use crate::plan::pod as places;

/// Largest answer, in bytes.
const ANSWER_LIMIT_BYTES: usize = 16 << 10;
/// Longest wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the runner at `address`.
pub(super) async fn ask(address: &str, nonce: &str) -> Progress {
    match tokio::time::timeout(PATIENCE, answer(address, nonce)).await {
        Ok(Some(progress)) => progress,
        Ok(None) | Err(_) => Progress::Silent,
    }
}

async fn answer(address: &str, nonce: &str) -> Option<Progress> {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let uri = format!("http://{host}:{}{}", places::PROGRESS_PORT, places::PROGRESS_PATH);
    let request =
        axum::http::Request::get(uri).header(places::NONCE_HEADER, nonce).body(Empty::<Bytes>::new()).ok()?;
    // This client follows no redirects.
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client.request(request).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok().map(Progress::Told)
}

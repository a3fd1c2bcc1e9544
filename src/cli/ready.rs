//! `reinstate ready`: asks a server until it answers well. The images hold no other program that
//! could, so `helm test` uses it.

use std::time::Duration;

use axum::body::Body;
use axum::http::Uri;
use clap::Args;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, sleep, timeout_at};

use super::exit::ExitCode;
use super::output;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks a URL until it answers 200 OK
#[derive(Args, Clone, Debug)]
pub struct Ready {
    /// What is asked, such as `http://10.1.2.3:8080/readyz`
    #[arg(long, value_name = "URL")]
    pub url: Uri,
    /// Seconds after which it gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
}

/// Runs the command.
pub fn ready(arguments: &Ready) -> ExitCode {
    let asked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(ask(arguments)));
    match asked {
        Ok(()) => {
            output::out(&format!("{} is ready\n", arguments.url));
            ExitCode::Success
        }
        Err(trouble) => {
            output::note(&format!("error: {} is not ready: {}", arguments.url, output::clean(&trouble)));
            ExitCode::Untouched
        }
    }
}

/// Asks until the answer is good; else what stood in the way at last.
async fn ask(arguments: &Ready) -> Result<(), String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let until = Instant::now() + Duration::from_secs(arguments.timeout);
    let mut trouble = "no answer".to_owned();
    loop {
        match timeout_at(until, client.get(arguments.url.clone())).await {
            Err(_) => return Err(trouble),
            Ok(Ok(answer)) if answer.status().is_success() => return Ok(()),
            Ok(Ok(answer)) => trouble = format!("it answers {}", answer.status()),
            Ok(Err(error)) => trouble = format!("{:#}", anyhow::Error::from(error)),
        }
        if Instant::now() + PAUSE >= until {
            return Err(trouble);
        }
        sleep(PAUSE).await;
    }
}

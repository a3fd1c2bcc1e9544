//! `reinstate operator`: runs the operator against the cluster that it is in, or that `KUBECONFIG` names.

use std::net::SocketAddr;

use clap::Args;
use kube::Client;

use super::exit::ExitCode;
use super::{now, output};
use crate::operator::build::RunnerImage;
use crate::operator::context::Settings;
use crate::operator::{self, Options};

/// Runs the operator
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    /// The operator's own namespace: its Leases are there
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: String,
    /// The runner's image, by tag or digest
    #[arg(long, value_name = "IMAGE")]
    pub runner_image: String,
    /// When the runner's image is pulled
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// A namespace to watch, as often as there are some; without it, all
    #[arg(long, value_name = "NAMESPACE")]
    pub watch_namespace: Vec<String>,
    /// Restores that may run at the same time; 0: no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub max_concurrent: usize,
    /// Restores that may run at the same time in one namespace; 0: no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub max_concurrent_per_namespace: usize,
    /// Where /metrics, /livez and /readyz are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Whether one of several operators is elected to work
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_election: bool,
    /// Name of this process, in events and as the leader; the host's name (the pod's) by default
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &OperatorArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("failed to start: {error}")),
    };
    runtime.block_on(async {
        let client = match Client::try_default().await {
            Ok(client) => client,
            Err(error) => return fail(&format!("failed to find the cluster: {error}")),
        };
        let options = Options { listen: arguments.listen, leader_election: arguments.leader_election };
        match operator::run(client, settings(arguments), options, stopped()).await {
            Ok(()) => ExitCode::Success,
            Err(error) => fail(&format!("{:#}", anyhow::Error::from(error))),
        }
    })
}

fn fail(message: &str) -> ExitCode {
    output::note(&format!("error: {message}"));
    ExitCode::Untouched
}

fn settings(arguments: &OperatorArgs) -> Settings {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    Settings {
        namespace: arguments.namespace.clone(),
        identity: arguments.identity.clone().unwrap_or_else(|| format!("{}_{}", host(), std::process::id())),
        watch: arguments.watch_namespace.clone(),
        runner: RunnerImage {
            image: arguments.runner_image.clone(),
            pull_policy: arguments.image_pull_policy.clone(),
        },
        max_concurrent: arguments.max_concurrent,
        max_concurrent_per_namespace: arguments.max_concurrent_per_namespace,
        clock: now,
    }
}

/// Done when the process is asked to stop.
async fn stopped() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

//! `kubectl reinstate logs`: the runner's log, one readable line for each of its JSON lines.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use serde_json::{Map, Value};

use super::cluster::Cluster;
use super::error::{Error, Result};
use crate::api::DatabaseRestore;
use crate::cli::exit::ExitCode;
use crate::cli::output::{self, clean};
use crate::operator::names::{LABEL_ATTEMPT, LABEL_UID};
use crate::operator::observe::was_never_made;
use crate::plan::pod::CONTAINER;

/// Time between two looks whether the container has started.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Fields that every line has and nobody reads.
const DULL: [&str; 5] = ["timestamp", "level", "message", "target", "span"];

/// Shows the log of a restore
#[derive(Args, Clone, Debug)]
pub struct Logs {
    /// The `DatabaseRestore`
    pub name: String,
    /// Wait for its start, and go on until its end
    #[arg(short, long)]
    pub follow: bool,
    /// Of this attempt instead of the newest
    #[arg(long, value_name = "NUMBER")]
    pub attempt: Option<u32>,
    /// The lines as the runner wrote them, in JSON
    #[arg(long)]
    pub raw: bool,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Logs) -> Result<ExitCode> {
    let restore: DatabaseRestore = cluster.find(&arguments.name).await?;
    let mut said = String::new();
    let pod = loop {
        let found = pod(cluster, &restore, arguments.attempt).await?;
        let waits = match &found {
            Some(pod) if has_started(pod) => break pod.name_any(),
            Some(pod) => waiting(pod),
            None => nothing(&restore, arguments.attempt),
        };
        if !arguments.follow || found.is_none() && is_over(cluster, arguments).await? {
            return Err(Error::refused(waits, ""));
        }
        if waits != said {
            output::note(&clean(&waits));
            said = waits;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let parameters =
        LogParams { container: Some(CONTAINER.to_owned()), follow: arguments.follow, ..LogParams::default() };
    let failed = || format!("read the log of pod {pod}");
    let log = cluster.api::<Pod>().log_stream(&pod, &parameters).await.map_err(Error::request(failed()))?;
    let mut lines = pin!(log.lines());
    while let Some(line) =
        lines.try_next().await.map_err(|error| Error::refused(format!("{}: {error}", failed()), ""))?
    {
        let line = if arguments.raw { line } else { readable(&line) };
        output::out(&format!("{line}\n"));
    }
    Ok(ExitCode::Success)
}

/// The pod of the newest attempt, or of attempt `number`.
async fn pod(cluster: &Cluster, restore: &DatabaseRestore, number: Option<u32>) -> Result<Option<Pod>> {
    let uid = restore.metadata.uid.clone().unwrap_or_default();
    let selected = ListParams::default().labels(&format!("{LABEL_UID}={uid}"));
    let pods = cluster.api::<Pod>().list(&selected).await.map_err(Error::request("list pods"))?.items;
    let attempt = |pod: &Pod| pod.labels().get(LABEL_ATTEMPT).and_then(|text| text.parse::<u32>().ok());
    let fits = |pod: &Pod| number.is_none() || attempt(pod) == number;
    Ok(pods.into_iter().filter(fits).max_by_key(attempt))
}

async fn is_over(cluster: &Cluster, arguments: &Logs) -> Result<bool> {
    let restore: DatabaseRestore = cluster.find(&arguments.name).await?;
    Ok(super::state::exit_code(&restore).is_some())
}

fn nothing(restore: &DatabaseRestore, number: Option<u32>) -> String {
    let name = restore.name_any();
    let attempts = restore.status.as_ref().map_or(0, |status| status.attempts.len());
    match (attempts, number) {
        (0, _) => format!("{name} has not started a run yet"),
        (_, Some(number)) => {
            format!("{name} has no pod of attempt {number}; a pod and its log go with its Job (spec.jobTTL)")
        }
        (_, None) => format!("the pod of {name} is gone, and its log with it (spec.jobTTL)"),
    }
}

/// The state of the runner's container, if there is or was one.
pub(super) fn container(pod: &Pod) -> Option<&ContainerState> {
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    all.iter().find(|it| it.name == CONTAINER && !was_never_made(it))?.state.as_ref()
}

/// Whether the container runs or has run.
pub(super) fn has_started(pod: &Pod) -> bool {
    container(pod).is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

/// What a pod waits for, in the cluster's words.
pub(super) fn waiting(pod: &Pod) -> String {
    let name = pod.name_any();
    let waiting = container(pod).and_then(|state| state.waiting.as_ref());
    let of_kubelet =
        waiting.and_then(|it| Some((it.reason.clone()?, it.message.clone().unwrap_or_default())));
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let of_scheduler = conditions
        .filter(|it| it.type_ == "PodScheduled" && it.status == "False")
        .find_map(|it| Some((it.reason.clone()?, it.message.clone().unwrap_or_default())));
    match of_kubelet.or(of_scheduler) {
        Some((reason, message)) => {
            format!("pod {name} has not started: {reason} {message}").trim_end().to_owned()
        }
        None => format!("pod {name} has not started"),
    }
}

/// A line of the log for people; one that is no JSON object stays as it is.
pub(super) fn readable(line: &str) -> String {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(line) else { return clean(line) };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("timestamp");
    // `2026-11-24T22:46:38.324613Z`: the day is that of the run.
    let time = time.split_once('T').map_or(time, |(_, time)| time.split('.').next().unwrap_or(time));
    let mut readable = format!("{time} {:<5} {}", text("level"), text("message"));
    for (name, value) in fields.iter().filter(|(name, _)| !DULL.contains(&name.as_str())) {
        let value = match value {
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or_default()),
            other => other.to_string(),
        };
        let _ = write!(readable, "  {name}={value}");
    }
    clean(&readable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_becomes_one_for_people() {
        for (line, expected) in [
            (
                r#"{"timestamp":"2026-11-24T22:46:38.324613Z","level":"INFO","message":"end: Check backup","stage":"Download","seconds":0.051378853,"bytes":18168,"good":true,"target":"reinstate::runner::run","span":{"attempt":1,"name":"run"}}"#,
                "22:46:38 INFO  end: Check backup  stage=Download  seconds=0.051  bytes=18168  good=true",
            ),
            (
                r#"{"timestamp":"2026-11-24T22:46:38Z","level":"ERROR","message":"no\u001b[2J","engine_error":""}"#,
                "22:46:38Z ERROR no\u{fffd}[2J",
            ),
            ("plain\ttext", "plain\u{fffd}text"),
            ("{cut", "{cut"),
        ] {
            assert_eq!(readable(line), expected);
        }
    }

    #[test]
    fn a_pod_that_waits_says_for_what() {
        let pod = |status: Value| -> Pod {
            serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "status": status})).unwrap()
        };
        for (status, expected) in [
            (serde_json::json!({}), "pod p has not started"),
            (
                serde_json::json!({"containerStatuses": [{"name": "restore", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}),
                "pod p has not started: ImagePullBackOff no such image",
            ),
            (
                serde_json::json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
                "pod p has not started: Unschedulable 0/1 nodes",
            ),
        ] {
            assert_eq!(waiting(&pod(status)), expected);
        }
    }

    #[test]
    fn a_container_that_was_never_made_has_not_started() {
        for (id, expected) in [(Value::Null, false), ("".into(), false), ("containerd://a".into(), true)] {
            let pod: Pod = serde_json::from_value(serde_json::json!({
                "metadata": {"name": "p"},
                "status": {"phase": "Failed", "containerStatuses": [{
                    "name": "restore", "ready": false, "restartCount": 0, "image": "", "imageID": "", "containerID": id,
                    "state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}},
                }]},
            }))
            .unwrap();
            assert_eq!(has_started(&pod), expected, "{id}");
        }
    }
}

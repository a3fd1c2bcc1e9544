//! The pod of a Job of the user's own: waiting for its start, its log, its last word; and taking back one
//! that has not begun.

use std::pin::pin;
use std::time::Duration;

use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use tokio::time::Instant;

use super::Flags;
use crate::cli::kubectl::cluster::Cluster;
use crate::cli::kubectl::error::{Error, Result};
use crate::cli::kubectl::logs;
use crate::cli::output::{self, clean};
use crate::plan::pod::CONTAINER;

/// Label of Kubernetes: the Job of a pod.
const LABEL_JOB: &str = "batch.kubernetes.io/job-name";
/// Time between two looks at the pod.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Without a pod for so long, the events say why.
const POD_WITHIN: Duration = Duration::from_secs(5);
/// How long the pod of a Job that is taken back may take to go.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// Follows the Job to the end of its pod; gives back the termination message.
pub(super) async fn to_its_end(
    cluster: &Cluster,
    job: &str,
    flags: &Flags,
    mut hear: impl FnMut(&str),
) -> Result<String> {
    let pod = started(cluster, job, flags).await?;
    let parameters =
        LogParams { container: Some(CONTAINER.to_owned()), follow: true, ..LogParams::default() };
    let log = cluster.api::<Pod>().log_stream(&pod, &parameters).await;
    let mut lines = pin!(log.map_err(Error::request(format!("read the log of pod {pod}")))?.lines());
    loop {
        match lines.try_next().await {
            Ok(Some(line)) => hear(&line),
            Ok(None) => break,
            Err(error) => {
                return Err(Error::refused(format!("failed to read the log of pod {pod}: {error}"), ""));
            }
        }
    }
    message(cluster, &pod).await
}

/// The pod, once its container has started.
async fn started(cluster: &Cluster, job: &str, flags: &Flags) -> Result<String> {
    let (begun, mut said) = (Instant::now(), String::new());
    loop {
        let waits = match pods(cluster, job).await?.first() {
            Some(pod) if logs::has_started(pod) => return Ok(pod.name_any()),
            Some(pod) => logs::waiting(pod),
            None if begun.elapsed() < POD_WITHIN => String::new(),
            None => refusal(cluster, job).await,
        };
        if begun.elapsed() >= flags.timeout.get() {
            let waits = [waits, said, format!("Job {job} has no pod")]
                .into_iter()
                .find(|it| !it.is_empty())
                .unwrap_or_default();
            return Err(Error::refused(
                format!("not started within {}: {waits}", flags.timeout),
                "Name another image with --image, or more time with --timeout.",
            ));
        }
        // A pod that is just being started says so too; that is not worth a line.
        if waits != said && begun.elapsed() >= POD_WITHIN {
            output::note(&clean(&waits));
            said = waits;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why the Job has no pod, in the cluster's words.
async fn refusal(cluster: &Cluster, job: &str) -> String {
    let about = ListParams::default().fields(&format!("involvedObject.name={job},type=Warning"));
    let events = cluster.api::<Event>().list(&about).await.map(|list| list.items).unwrap_or_default();
    let words = events.into_iter().rev().find_map(|event| event.message);
    words
        .map_or_else(|| format!("Job {job} has no pod yet"), |words| format!("Job {job} has no pod: {words}"))
}

/// The termination message of the pod, once the kubelet has read it.
async fn message(cluster: &Cluster, pod: &str) -> Result<String> {
    for _ in 0..20 {
        let found =
            cluster.api::<Pod>().get_opt(pod).await.map_err(Error::request(format!("read pod {pod}")))?;
        let ended = found.as_ref().and_then(logs::container).and_then(|state| state.terminated.as_ref());
        if let Some(ended) = ended {
            return Ok(ended.message.clone().unwrap_or_default());
        }
        if found.is_none() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Error::refused(format!("pod {pod} is gone, and with it what it had to say"), ""))
}

async fn pods(cluster: &Cluster, job: &str) -> Result<Vec<Pod>> {
    let selected = ListParams::default().labels(&format!("{LABEL_JOB}={job}"));
    Ok(cluster.api::<Pod>().list(&selected).await.map_err(Error::request("list pods"))?.items)
}

/// Deletes a Job that changes a target, unless it has begun: what was not done now must not be done
/// later, when nobody looks. One that has begun is left to its end.
pub(super) async fn take_back(cluster: &Cluster, job: &str) -> Result<()> {
    let follow = format!("kubectl logs -f job/{job} -n {}", cluster.namespace);
    if pods(cluster, job).await?.iter().any(logs::has_started) {
        output::note(&format!("Job {job} has begun, and is not stopped from here: {follow}"));
        return Ok(());
    }
    if let Err(error) = super::delete(cluster, job).await {
        output::note(&format!("{}; it may still begin: {follow}", error.words()));
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        let left = pods(cluster, job).await?;
        let words = if left.iter().any(logs::has_started) {
            "had just begun when it was taken back: it stops at the next safe point; look at the target"
        } else if left.is_empty() {
            "was taken back before it began; nothing was changed"
        } else if begun.elapsed() >= GONE_WITHIN {
            "was taken back; its pod has not begun, and is not gone yet"
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        output::note(&format!("Job {job} {words}"));
        return Ok(());
    }
}

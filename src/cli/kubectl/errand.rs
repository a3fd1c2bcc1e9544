//! A Job of the user's own, for what neither this program nor the operator may do: it alone sees the
//! Secrets of a storage or the files of a target. Its pod is built as that of a restore. It is deleted
//! when its log was read, and goes by itself where that fails.

mod watch;

use clap::Args;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{LocalObjectReference, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::Cluster;
use super::error::{Error, Result};
use crate::api::LocalRef;
use crate::api::restore::runner::Runner;
use crate::cli::output;
use crate::operator::build::{RunnerImage, pod};
use crate::operator::names::{ANNOTATION_ORDER, LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_NAME, SELECTOR};
use crate::plan::RestorePlan;
use crate::plan::pod::CONTAINER;

/// The runner's image where nothing else says which: that of the chart's values, of this version.
const DEFAULT_IMAGE: &str = concat!("reinstate/runner:", env!("CARGO_PKG_VERSION"));
/// Who made the Job.
const MANAGER: &str = "kubectl-reinstate";
/// How long a finished Job stays that could not be deleted, in seconds.
const TTL_SECONDS: i32 = 300;
/// The same for one whose verdict nobody has read.
const TTL_OF_WRITERS_SECONDS: i32 = 7 * 24 * 3600;
/// How long one that only reads may take from its start, in seconds.
const READING_SECONDS: u64 = 600;

/// How the Job is run
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Job")]
pub struct Flags {
    /// The runner's image [default: that of the namespace's newest restore, else of this version]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Service account of the pod: its cloud identity reads the storage
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// How long its pod may take to start
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub timeout: crate::api::Duration,
}

/// What the Job is to do.
#[derive(Clone, Debug)]
pub struct Errand {
    /// One word for its name.
    pub verb: &'static str,
    /// What its pod needs: Secrets, claims, user.
    pub plan: RestorePlan,
    /// What it finds in its order file.
    pub order: String,
    /// Arguments of the program.
    pub arguments: Vec<String>,
    /// Whether it may change a target: then it is left to its end, whatever happens here.
    pub is_writing: bool,
}

/// Runs the Job; `hear` gets each line of its log. Gives back the termination message of its pod.
pub async fn run(
    cluster: &Cluster,
    flags: &Flags,
    errand: &Errand,
    hear: impl FnMut(&str),
) -> Result<String> {
    let job = job(flags, errand, newest(cluster).await?);
    // Listened to before there is a Job: a Ctrl-C must not end this program and leave that one.
    let mut interrupted = signal(SignalKind::interrupt())
        .map_err(|error| Error::refused(format!("failed to listen to Ctrl-C: {error}"), ""))?;
    let made = cluster.api::<Job>().create(&PostParams::default(), &job).await;
    let name = made.map_err(Error::request("make the Job"))?.name_any();
    let ended = tokio::select! {
        ended = Box::pin(watch::to_its_end(cluster, &name, flags, hear)) => ended,
        _ = interrupted.recv() => Err(Error::refused("stopped", "")),
    };
    if errand.is_writing && ended.is_err() {
        watch::take_back(cluster, &name).await?;
        return ended;
    }
    if let Err(error) = delete(cluster, &name).await {
        output::note(&format!("{}; it goes by itself once it is over", error.words()));
    }
    ended
}

async fn delete(cluster: &Cluster, job: &str) -> Result<()> {
    let deleted = cluster.api::<Job>().delete(job, &DeleteParams::background()).await;
    deleted.map(drop).map_err(Error::request(format!("delete Job {job}")))
}

/// The container of the namespace's newest runner, and the Secrets that its image is pulled with.
async fn newest(cluster: &Cluster) -> Result<Option<(RunnerImage, Vec<LocalRef>)>> {
    let jobs = cluster.api::<Job>().list(&ListParams::default().labels(SELECTOR)).await;
    let jobs = jobs.map_err(Error::request("list Jobs"))?.items;
    let newest =
        jobs.into_iter().max_by_key(|job| job.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let pod = newest.and_then(|job| job.spec?.template.spec);
    Ok(pod.and_then(|pod| {
        let container = pod.containers.into_iter().find(|it| it.name == CONTAINER)?;
        let pull_policy = container.image_pull_policy.unwrap_or_else(|| "IfNotPresent".to_owned());
        let secrets = pod.image_pull_secrets.unwrap_or_default();
        let secrets = secrets.into_iter().map(|LocalObjectReference { name }| LocalRef { name });
        Some((RunnerImage { image: container.image?, pull_policy }, secrets.collect()))
    }))
}

/// The Job. It carries none of the labels by which the operator knows its own.
fn job(flags: &Flags, errand: &Errand, newest: Option<(RunnerImage, Vec<LocalRef>)>) -> Job {
    let default = || RunnerImage { image: DEFAULT_IMAGE.to_owned(), pull_policy: "IfNotPresent".to_owned() };
    let (mut image, image_pull_secrets) = newest.unwrap_or_else(|| (default(), Vec::new()));
    if let Some(given) = &flags.image {
        image.image.clone_from(given);
    }
    let runner = Runner {
        service_account_name: flags.service_account.clone(),
        image_pull_secrets,
        ..Runner::default()
    };
    let mut spec = pod::spec(&errand.plan, &runner, &image);
    for container in &mut spec.containers {
        let program = "/reinstate".to_owned();
        container.command = Some([vec![program], errand.arguments.clone()].concat());
    }
    let labels = [
        (LABEL_MANAGED_BY, MANAGER.to_owned()),
        (LABEL_NAME, format!("reinstate-{}", errand.verb)),
        (LABEL_COMPONENT, errand.verb.to_owned()),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value));
    let seconds = flags.timeout.get().as_secs().saturating_add(READING_SECONDS);
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    // One that writes ends itself by the plan's own timeout, and never in the midst of a switch.
    let (seconds, ttl) =
        if errand.is_writing { (None, TTL_OF_WRITERS_SECONDS) } else { (Some(seconds), TTL_SECONDS) };
    Job {
        metadata: ObjectMeta {
            generate_name: Some(format!("reinstate-{}-", errand.verb)),
            labels: Some(labels.clone().into()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: seconds,
            ttl_seconds_after_finished: Some(ttl),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels.into()),
                    annotations: Some([(ANNOTATION_ORDER.to_owned(), errand.order.clone())].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::backups;

    fn made(flags: &Flags, newest: Option<(RunnerImage, Vec<LocalRef>)>) -> serde_json::Value {
        let storage = serde_json::json!({
            "apiVersion": crate::api::API_VERSION, "kind": "BackupStorage", "metadata": {"name": "minio", "namespace": "shop"},
            "spec": {"s3": {"bucket": "backups", "credentials": {
                "accessKeyIdSecretKeyRef": {"name": "keys", "key": "id"},
                "secretAccessKeySecretKeyRef": {"name": "keys", "key": "secret"},
            }}},
        });
        let errand = backups::errand(&serde_json::from_value(storage).unwrap(), "shop/", Some(50)).unwrap();
        serde_json::to_value(job(flags, &errand, newest)).unwrap()
    }

    #[test]
    fn the_job_sees_the_secrets_of_the_storage_and_has_no_rights() {
        let flags = Flags { image: None, service_account: None, timeout: "1m".parse().unwrap() };
        let job = made(&flags, None);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let container = &pod["containers"][0];
        assert_eq!(container["image"], DEFAULT_IMAGE);
        assert_eq!(
            container["command"],
            serde_json::json!(["/reinstate", "list", "--pod", "/", "--limit", "50"])
        );
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        let mounts: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["mountPath"].as_str())
            .collect();
        assert_eq!(mounts, ["/run/reinstate/order", "/tmp", "/run/reinstate/secrets/keys"]);
        assert_eq!(
            (&job["spec"]["activeDeadlineSeconds"], &job["spec"]["backoffLimit"]),
            (&660.into(), &0.into())
        );
        // The operator's own Jobs and pods are selected by these.
        assert_ne!(job["metadata"]["labels"]["app.kubernetes.io/managed-by"], "reinstate");
        assert_ne!(job["metadata"]["labels"]["app.kubernetes.io/name"], "reinstate-runner");
    }

    #[test]
    fn the_image_is_the_one_given_then_the_newest_runners() {
        let newest = || {
            Some((
                RunnerImage { image: "r/runner@sha256:1".into(), pull_policy: "Never".into() },
                vec![LocalRef { name: "pull".into() }],
            ))
        };
        let flags = |image: Option<&str>| Flags { image: image.map(str::to_owned), ..Flags::default() };
        for (image, expected) in [(None, "r/runner@sha256:1"), (Some("mine:1"), "mine:1")] {
            let job = made(&flags(image), newest());
            let pod = &job["spec"]["template"]["spec"];
            assert_eq!(pod["containers"][0]["image"], expected);
            assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
        }
    }
}

//! From the API's Jobs and pods to plain facts.

use k8s_openapi::api::batch::v1::Job as ApiJob;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod as ApiPod, PodCondition};
use kube::ResourceExt;

use crate::api::DatabaseRestore;
use crate::operator::names::{FINALIZER_JOURNAL, has_finalizer};
use crate::operator::view::{Container, Job, JobFacts, Pod, Warning};
use crate::plan::pod as places;

/// A kubelet's reason where the runtime knows nothing of a container.
const STATUS_UNKNOWN: &str = "ContainerStatusUnknown";

/// Facts of a Job of the name that the attempt has.
pub(super) fn job(job: &ApiJob, restore: &DatabaseRestore) -> Job {
    let owner = job.owner_references().iter().any(|it| Some(&it.uid) == restore.metadata.uid.as_ref());
    if !owner {
        return Job::Foreign;
    }
    let status = job.status.clone().unwrap_or_default();
    let condition = |kind: &str| {
        status.conditions.iter().flatten().find(|it| it.type_ == kind && it.status == "True").cloned()
    };
    let spec = job.spec.as_ref();
    Job::There(JobFacts {
        uid: job.uid().unwrap_or_default(),
        suspended: spec.and_then(|spec| spec.suspend).unwrap_or(false),
        is_idle: condition("Suspended").is_some() && status.active.unwrap_or(0) == 0,
        start_time: status.start_time.map(|time| time.0),
        failed: condition("Failed").map(|it| Warning {
            reason: it.reason.unwrap_or_default(),
            message: it.message.unwrap_or_default(),
        }),
        complete: condition("Complete").is_some(),
        deleting: job.metadata.deletion_timestamp.is_some(),
        ttl_seconds: spec.and_then(|spec| spec.ttl_seconds_after_finished),
    })
}

/// Facts of a runner's pod; `job` is the uid of the recorded Job.
pub(super) fn pod(pod: &ApiPod, job: Option<&str>) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or_default();
    let container = status.container_statuses.iter().flatten().find(|it| it.name == places::CONTAINER);
    let state = container.map(state).unwrap_or_default();
    let deleting = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let condition = |kind: &str, value: &str| {
        status.conditions.iter().flatten().find(|it| it.type_ == kind && it.status == value).map(warning)
    };
    let is_placed = spec.node_name.is_some();
    let owned = pod.owner_references().iter().any(|it| Some(it.uid.as_str()) == job);
    let evicted = status
        .reason
        .clone()
        .filter(|reason| reason == "Evicted")
        .map(|reason| Warning { reason, message: status.message.clone().unwrap_or_default() });
    let running = matches!(state, Container::Running);
    let limits =
        spec.containers.iter().find(|it| it.name == places::CONTAINER).and_then(|it| it.resources.clone());
    Pod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        is_kept: has_finalizer(&pod.metadata, FINALIZER_JOURNAL),
        // A pod that no kubelet has yet is never made terminal by one.
        is_terminal: matches!(phase, "Succeeded" | "Failed") || (deleting.is_some() && !is_placed),
        deleting,
        unschedulable: condition("PodScheduled", "False").map(|it| it.message).filter(|_| !is_placed),
        disruption: evicted.or_else(|| condition("DisruptionTarget", "True")),
        is_unreachable: running
            && deleting.is_none()
            && phase == "Running"
            && condition("Ready", "False").is_some(),
        address: status.pod_ip.filter(|_| owned && spec.host_network != Some(true)),
        memory_limit: limits.and_then(|it| it.limits).and_then(|it| it.get("memory").map(|it| it.0.clone())),
        container: state,
    }
}

fn warning(condition: &PodCondition) -> Warning {
    Warning {
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    }
}

/// Whether a container that is told to have ended was never made: so a kubelet tells it where the pod
/// was deleted before.
pub fn was_never_made(status: &ContainerStatus) -> bool {
    let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    status.container_id.as_deref().unwrap_or_default().is_empty()
        && ended.is_some_and(|ended| ended.reason.as_deref() == Some(STATUS_UNKNOWN))
}

fn state(status: &ContainerStatus) -> Container {
    if was_never_made(status) {
        return Container::Created;
    }
    match status.state.clone().unwrap_or_default() {
        ContainerState { terminated: Some(ended), .. } => Container::Ended {
            code: ended.exit_code,
            reason: ended.reason.unwrap_or_default(),
            journal: ended.message.unwrap_or_default(),
        },
        ContainerState { running: Some(_), .. } => Container::Running,
        ContainerState { waiting: Some(waiting), .. } => Container::Waiting(Warning {
            reason: waiting.reason.unwrap_or_default(),
            message: waiting.message.unwrap_or_default(),
        }),
        _ => Container::Created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_was_never_made_has_not_ended() {
        let status = |id: &str, reason: &str| {
            let json = serde_json::json!({
                "name": places::CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "containerID": id,
                "state": {"terminated": {"exitCode": 137, "reason": reason, "message": "words"}},
            });
            state(&serde_json::from_value(json).unwrap())
        };
        let ended =
            |reason: &str| Container::Ended { code: 137, reason: reason.into(), journal: "words".into() };
        assert_eq!(status("", STATUS_UNKNOWN), Container::Created);
        assert_eq!(status("containerd://a", STATUS_UNKNOWN), ended(STATUS_UNKNOWN), "it may have run");
        assert_eq!(status("", "Error"), ended("Error"));
    }
}

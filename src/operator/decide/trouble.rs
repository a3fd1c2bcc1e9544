//! Why the runner's container does not start, in the cluster's own words and with a stable reason.

use crate::operator::view::{Container, Pod, View, Warning};
use crate::reason::Reason;

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// What keeps the newest attempt's container from starting, if anything is known. `job` is its Job.
pub(super) fn explain(view: &View, job: &str) -> Option<Trouble> {
    let Some(pod) = view.pods.iter().find(|pod| pod.deleting.is_none()) else {
        let failed = view.troubles.iter().find(|it| it.reason == "FailedCreate")?;
        let message = format!("Job {job} cannot create its pod: {}", cause(&failed.message));
        return Some(Trouble { reason: refusal(&failed.message), message });
    };
    if let Container::Waiting(waiting) = &pod.container
        && let Some(reason) = of_waiting(&waiting.reason)
    {
        return Some(Trouble { reason, message: sentence(pod, waiting) });
    }
    if let Some(words) = &pod.unschedulable {
        let reason =
            if words.contains("ReadWriteOncePod") { Reason::VolumeInUse } else { Reason::Unschedulable };
        let words = words.trim_end_matches('.');
        return Some(Trouble { reason, message: format!("pod {} cannot be scheduled: {words}", pod.name) });
    }
    let volume =
        view.troubles.iter().find(|it| it.reason.contains("Mount") || it.reason.contains("AttachVolume"))?;
    let in_use = volume.message.contains("Multi-Attach") || volume.message.contains("in use");
    let reason = if in_use { Reason::VolumeInUse } else { Reason::VolumeMountFailed };
    Some(Trouble { reason, message: sentence(pod, volume) })
}

fn sentence(pod: &Pod, warning: &Warning) -> String {
    format!("pod {}: {}: {}", pod.name, warning.reason, warning.message.trim_end_matches('.'))
}

/// Why a pod was refused, without the name that it would have had: each try has another one.
fn cause(message: &str) -> &str {
    let words = message.split_once("\" is forbidden: ").map_or(message, |(_, words)| words);
    words.trim_start_matches("Error creating: ").trim_end_matches('.')
}

/// Why a pod was refused when it was to be created.
fn refusal(message: &str) -> Reason {
    let quota =
        ["exceeded quota", "failed quota", "usage per Container", "usage per Pod", "limit to request ratio"];
    if quota.iter().any(|words| message.contains(words)) {
        Reason::QuotaExceeded
    } else {
        Reason::AdmissionDenied
    }
}

/// The stable reason of a kubelet's waiting reason; `None` for those that are no trouble.
fn of_waiting(reason: &str) -> Option<Reason> {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(Reason::ImagePullFailed),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "StartError" => {
            Some(Reason::ContainerNotStarted)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(reason: &str, message: &str) -> Warning {
        Warning { reason: reason.into(), message: message.into() }
    }

    #[test]
    fn a_refused_pod_has_no_name_so_that_each_try_is_told_in_the_same_words() {
        for (message, expected) in [
            (r#"Error creating: pods "j-x66xp" is forbidden: exceeded quota: none"#, "exceeded quota: none"),
            (
                r#"Error creating: admission webhook "a.example" denied the request: no."#,
                r#"admission webhook "a.example" denied the request: no"#,
            ),
            ("something else", "something else"),
        ] {
            assert_eq!(cause(message), expected);
        }
    }

    #[test]
    fn each_trouble_has_its_reason_and_names_its_object() {
        let pod = |pod: Pod| vec![Pod { name: "p-1".into(), ..pod }];
        let waiting = |reason: &str| {
            pod(Pod { container: Container::Waiting(warning(reason, "words")), ..Pod::default() })
        };
        let quota = r#"pods "j-" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0"#;
        let policy = r#"pods "j-" is forbidden: violates PodSecurity "restricted:latest": …"#;
        let unschedulable = |words: &str| pod(Pod { unschedulable: Some(words.into()), ..Pod::default() });
        for (pods, troubles, expected) in [
            (vec![], vec![], None),
            (vec![], vec![warning("FailedCreate", quota)], Some((Reason::QuotaExceeded, "Job j"))),
            (vec![], vec![warning("FailedCreate", policy)], Some((Reason::AdmissionDenied, "Job j"))),
            (waiting("ContainerCreating"), vec![], None),
            (waiting("ImagePullBackOff"), vec![], Some((Reason::ImagePullFailed, "pod p-1"))),
            (waiting("CreateContainerError"), vec![], Some((Reason::ContainerNotStarted, "pod p-1"))),
            (unschedulable("0/1 nodes are available"), vec![], Some((Reason::Unschedulable, "pod p-1"))),
            (
                unschedulable(
                    "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
                ),
                vec![],
                Some((Reason::VolumeInUse, "pod p-1")),
            ),
            (
                waiting("ContainerCreating"),
                vec![warning("FailedMount", "timed out")],
                Some((Reason::VolumeMountFailed, "pod p-1")),
            ),
            (
                waiting("ContainerCreating"),
                vec![warning("FailedAttachVolume", "Multi-Attach error for volume")],
                Some((Reason::VolumeInUse, "pod p-1")),
            ),
        ] {
            let view = View { pods, troubles, ..View::default() };
            let found = explain(&view, "j");
            assert_eq!(found.as_ref().map(|it| it.reason), expected.map(|it| it.0), "{view:?}");
            if let Some((found, (_, object))) = found.zip(expected) {
                assert!(found.message.contains(object), "{}", found.message);
            }
        }
    }
}

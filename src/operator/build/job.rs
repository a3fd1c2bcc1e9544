//! The Job of one attempt: suspended at first, one pod at most, never started again.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use super::{RunnerImage, order, pod};
use crate::api::{DatabaseRestore, Duration};
use crate::operator::decide::{GRACE_SECONDS, SPARE_SECONDS};
use crate::operator::names::{
    ANNOTATION_ORDER, FINALIZER_JOURNAL, LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_NAME,
    LABEL_RESTORE, LABEL_UID, MANAGER, RUNNER, RUNNER_NAME, label_value,
};
use crate::plan::RestorePlan;

/// Largest order, in bytes; annotations of an object may have 256 KiB in all.
pub const ORDER_LIMIT_BYTES: usize = 192 << 10;

/// The suspended Job of the attempt that is under way; `None` where there is none.
///
/// `activeDeadlineSeconds` is for a runner that does not end itself: `startTimeout`, `timeout`, the grace
/// and a minute.
pub fn job(restore: &DatabaseRestore, plan: &RestorePlan, image: &RunnerImage) -> Option<Job> {
    let attempt = restore.status.as_ref()?.attempts.last()?;
    let order = order::order(restore, plan)?;
    let json = serde_json::to_string(&order).ok()?;
    let spec = &restore.spec;
    let seconds = spec.start_timeout.get().as_secs().saturating_add(spec.timeout.get().as_secs());
    let deadline = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(GRACE_SECONDS + SPARE_SECONDS);
    let labels = labels(restore, attempt.number);
    let runner = spec.runner.clone().unwrap_or_default();
    let mut pod_labels = runner.pod_labels.clone();
    pod_labels.extend(labels.clone());
    let mut annotations = annotations();
    annotations.extend(runner.pod_annotations.clone());
    annotations.insert(ANNOTATION_ORDER.to_owned(), json);
    Some(Job {
        metadata: ObjectMeta {
            name: Some(attempt.job_name.clone()),
            namespace: restore.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: restore.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(true),
            parallelism: Some(1),
            completions: Some(1),
            backoff_limit: Some(0),
            active_deadline_seconds: Some(deadline),
            // The pod waits until its journal was read, so the Job may go at any time.
            ttl_seconds_after_finished: Some(ttl_seconds(spec.job_ttl)),
            pod_replacement_policy: Some("Failed".to_owned()),
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    annotations: Some(annotations),
                    finalizers: Some(vec![FINALIZER_JOURNAL.to_owned()]),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod::spec(plan, &runner, image)),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// `jobTTL` as a Job has it.
pub fn ttl_seconds(ttl: Duration) -> i32 {
    i32::try_from(ttl.get().as_secs()).unwrap_or(i32::MAX)
}

/// The labels of Job and pod.
fn labels(restore: &DatabaseRestore, attempt: i32) -> BTreeMap<String, String> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    [
        (LABEL_MANAGED_BY, MANAGER.to_owned()),
        (LABEL_NAME, RUNNER_NAME.to_owned()),
        (LABEL_COMPONENT, RUNNER.to_owned()),
        (LABEL_RESTORE, label_value(&text(&restore.metadata.name))),
        (LABEL_UID, text(&restore.metadata.uid)),
        (LABEL_ATTEMPT, attempt.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A restore must not be moved to another node, and a mesh's sidecar would outlive it; the user's own
/// annotations win.
fn annotations() -> BTreeMap<String, String> {
    [
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
        ("karpenter.sh/do-not-disrupt", "true"),
        ("sidecar.istio.io/inject", "false"),
        ("linkerd.io/inject", "disabled"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A pod that the cluster takes away is not replaced: the operator decides from its journal.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: Some("True".to_owned()),
            }]),
            on_exit_codes: None,
        }],
    }
}

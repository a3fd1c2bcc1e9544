//! Names that leave the process: labels, annotations, finalizers, and the name of a Job.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Field manager of everything that the operator writes.
pub const MANAGER: &str = "reinstate";
/// Label: who made a Job or pod.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: what it is.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Label: its part.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`LABEL_NAME`].
pub const RUNNER_NAME: &str = "reinstate-runner";
/// Value of [`LABEL_COMPONENT`].
pub const RUNNER: &str = "runner";
/// Label: name of the `DatabaseRestore`, cut to a label's length.
pub const LABEL_RESTORE: &str = "reinstate.dev/restore";
/// Label: uid of the `DatabaseRestore`.
pub const LABEL_UID: &str = "reinstate.dev/restore-uid";
/// Label: number of the attempt.
pub const LABEL_ATTEMPT: &str = "reinstate.dev/attempt";
/// Annotation of the pod: the order, as JSON.
pub const ANNOTATION_ORDER: &str = "reinstate.dev/order";
/// Annotation of a `DatabaseRestore`: uid of the object that was started under this name.
pub const ANNOTATION_EXECUTED: &str = "reinstate.dev/executed-uid";
/// Annotation of a queue's Lease: the server or claim that it is for.
pub const ANNOTATION_SERVER: &str = "reinstate.dev/server";
/// Annotation of a queue's Lease: who holds a place, as JSON.
pub const ANNOTATION_HOLDERS: &str = "reinstate.dev/holders";
/// Annotation of a queue's Lease: the runs that were started, as JSON.
pub const ANNOTATION_MEMORY: &str = "reinstate.dev/memory";
/// Finalizer of a `DatabaseRestore`, only while a Job of it may run.
pub const FINALIZER_RUN: &str = "reinstate.dev/run";
/// Finalizer of a runner's pod until its journal was read.
pub const FINALIZER_JOURNAL: &str = "reinstate.dev/journal";
/// The Lease that elects the leader.
pub const LEADER_LEASE: &str = "reinstate-operator";
/// Selects all Jobs and pods of the operator.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=reinstate,app.kubernetes.io/name=reinstate-runner";

/// Longest value of a label, in characters.
const LABEL_LIMIT: usize = 63;
/// How much of the restore's name stands in that of its Job.
const JOB_PREFIX_LIMIT: usize = 40;

/// The name of the Job of one attempt: the same for the same attempt of the same object, always.
pub fn job_name(name: &str, uid: &str, attempt: i32) -> String {
    let prefix = cut(name, JOB_PREFIX_LIMIT).replace('.', "-");
    let hash = digest(&format!("{uid}/{attempt}"), 5);
    format!("{}-{hash}", prefix.trim_end_matches('-'))
}

/// `name` as the value of a label.
pub fn label_value(name: &str) -> String {
    cut(name, LABEL_LIMIT).trim_end_matches(['-', '.', '_']).to_owned()
}

fn cut(text: &str, limit: usize) -> &str {
    // Names of objects are ASCII.
    text.get(..limit).unwrap_or(text)
}

/// The first `bytes` of the SHA-256 of `text`, as hexadecimal digits.
pub fn digest(text: &str, bytes: usize) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hex::encode(digest.as_ref().get(..bytes).unwrap_or_default())
}

/// Whether an object carries `finalizer`.
pub fn has_finalizer(metadata: &ObjectMeta, finalizer: &str) -> bool {
    metadata.finalizers.iter().flatten().any(|it| it == finalizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_job_fits_and_differs_for_every_attempt_of_every_object() {
        let long = "a".repeat(253);
        for (name, uid, attempt) in
            [("app", "u1", 1), ("app", "u1", 2), ("app", "u2", 1), (long.as_str(), "u1", 1)]
        {
            let job = job_name(name, uid, attempt);
            assert!(
                job.len() <= 63 && job.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
                "{job}"
            );
            assert_eq!(job, job_name(name, uid, attempt));
        }
        let dotted = job_name(&format!("{}.b", "a".repeat(39)), "u", 1);
        assert!(!dotted.contains("--") && !dotted.contains('.'), "{dotted}");
        assert_ne!(job_name("app", "u1", 1), job_name("app", "u1", 2));
        assert_ne!(job_name("app", "u1", 1), job_name("app", "u2", 1));
        assert_eq!(label_value(&format!("{}.x", "a".repeat(62))), "a".repeat(62));
    }
}

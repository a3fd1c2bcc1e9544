//! The runner's pod: what Pod Security `restricted` asks for, no API token, and every Secret as files.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, DownwardAPIVolumeFile, DownwardAPIVolumeSource,
    EmptyDirVolumeSource, LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::RunnerImage;
use crate::api::restore::runner::Runner;
use crate::operator::decide::GRACE_SECONDS;
use crate::operator::names::ANNOTATION_ORDER;
use crate::plan::{EngineSettings, KeyKind, RestorePlan, Storage, pod as places};

/// Who the runner is where the connection does not say.
const DEFAULT_ID: i64 = 65532;
/// The command of the runner's image.
const COMMAND: [&str; 2] = ["/reinstate", "runner"];
/// Readable for the runner's user without `fsGroup`, which would change the owner of the target's volume.
/// The files are in memory, in a pod of one container.
const SECRET_MODE: i32 = 0o444;

/// The pod's spec.
pub fn spec(plan: &RestorePlan, runner: &Runner, image: &RunnerImage) -> PodSpec {
    let (volumes, mounts) = volumes(plan);
    let (user, group) = ids(plan);
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        service_account_name: runner.service_account_name.clone(),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(group),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(runner, image, mounts)],
        volumes: Some(volumes),
        node_selector: Some(runner.node_selector.clone()).filter(|map| !map.is_empty()),
        tolerations: Some(runner.tolerations.clone()).filter(|list| !list.is_empty()),
        affinity: runner.affinity.clone(),
        priority_class_name: runner.priority_class_name.clone(),
        image_pull_secrets: Some(
            runner
                .image_pull_secrets
                .iter()
                .map(|it| LocalObjectReference { name: it.name.clone() })
                .collect(),
        )
        .filter(|list: &Vec<LocalObjectReference>| !list.is_empty()),
        ..PodSpec::default()
    }
}

fn container(runner: &Runner, image: &RunnerImage, mounts: Vec<VolumeMount>) -> Container {
    Container {
        name: places::CONTAINER.to_owned(),
        image: Some(image.image.clone()),
        image_pull_policy: Some(image.pull_policy.clone()),
        command: Some(COMMAND.map(str::to_owned).to_vec()),
        ports: Some(vec![ContainerPort {
            name: Some("progress".to_owned()),
            container_port: i32::from(places::PROGRESS_PORT),
            ..ContainerPort::default()
        }]),
        resources: Some(runner.resources.clone().unwrap_or_else(resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        termination_message_path: Some(places::JOURNAL_FILE.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// What a restore needs by default: memory does not grow with the backup.
fn resources() -> ResourceRequirements {
    let map = |rows: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        rows.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    ResourceRequirements {
        requests: Some(map(&[("cpu", "100m"), ("memory", "256Mi")])),
        limits: Some(map(&[("memory", "512Mi")])),
        claims: None,
    }
}

/// User and group of the runner: those that own the target's files.
fn ids(plan: &RestorePlan) -> (i64, i64) {
    let settings = plan.target.as_ref().map(|target| &target.settings);
    let (user, group) = match settings {
        Some(EngineSettings::Sqlite(sqlite)) => (sqlite.run_as_user, sqlite.run_as_group),
        Some(EngineSettings::Postgres(_)) | None => (None, None),
    };
    let user = user.map_or(DEFAULT_ID, i64::from);
    (user, group.map_or(user, i64::from))
}

fn volumes(plan: &RestorePlan) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![order(), scratch()];
    let mount = |name: &str, path: String, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path,
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let folder = places::ORDER_FILE.rsplit_once('/').map_or(places::ORDER_FILE, |(folder, _)| folder);
    let mut mounts = vec![mount("order", folder.to_owned(), true), mount("tmp", "/tmp".to_owned(), false)];
    for (number, secret) in secrets(plan).into_iter().enumerate() {
        let name = format!("secret-{number}");
        mounts.push(mount(&name, format!("{}/{secret}", places::SECRETS_FOLDER), true));
        volumes.push(Volume {
            name,
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret),
                // The runner itself tells what is missing: a pod that cannot start could not.
                optional: Some(true),
                default_mode: Some(SECRET_MODE),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    for (number, (claim, read_only)) in claims(plan).into_iter().enumerate() {
        let name = format!("claim-{number}");
        mounts.push(mount(&name, format!("{}/{claim}", places::CLAIMS_FOLDER), read_only));
        volumes.push(Volume {
            name,
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim,
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    (volumes, mounts)
}

fn order() -> Volume {
    let file = places::ORDER_FILE.rsplit_once('/').map_or(places::ORDER_FILE, |(_, file)| file);
    Volume {
        name: "order".to_owned(),
        downward_api: Some(DownwardAPIVolumeSource {
            items: Some(vec![DownwardAPIVolumeFile {
                path: file.to_owned(),
                field_ref: Some(ObjectFieldSelector {
                    field_path: format!("metadata.annotations['{ANNOTATION_ORDER}']"),
                    api_version: None,
                }),
                ..DownwardAPIVolumeFile::default()
            }]),
            default_mode: Some(SECRET_MODE),
            ..DownwardAPIVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn scratch() -> Volume {
    Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("16Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The Secrets that the plan names, each as a whole: only so can the runner tell a missing Secret from
/// a missing key.
fn secrets(plan: &RestorePlan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Storage::S3(s3) = &plan.backup.storage {
        names.extend(s3.ca.iter().map(|key| key.secret.clone()));
        if let Some(keys) = &s3.credentials {
            let all = [Some(&keys.access_key_id), Some(&keys.secret_access_key), keys.session_token.as_ref()];
            names.extend(all.into_iter().flatten().map(|key| key.secret.clone()));
        }
    }
    for profile in &plan.keys {
        names.insert(match &profile.kind {
            KeyKind::Aes256Gcm(key) | KeyKind::AgeIdentity(key) | KeyKind::AgePassphrase(key) => {
                key.secret.clone()
            }
            KeyKind::RecoveryKit { secret } => secret.clone(),
        });
    }
    if let Some(EngineSettings::Postgres(server)) = plan.target.as_ref().map(|target| &target.settings) {
        names.extend(server.secrets().into_iter().map(str::to_owned));
    }
    names
}

/// The claims that the plan names, each with whether it is only read.
fn claims(plan: &RestorePlan) -> BTreeMap<String, bool> {
    let mut claims = BTreeMap::new();
    if let Storage::Volume(volume) = &plan.backup.storage {
        claims.insert(volume.claim_name.clone(), true);
    }
    if let Some(EngineSettings::Sqlite(sqlite)) = plan.target.as_ref().map(|target| &target.settings) {
        claims.insert(sqlite.claim_name.clone(), false);
    }
    claims
}

//! From a `DatabaseRestore` and the objects of its namespace to a plan, or to all that is wrong.
//!
//! Pure: no clock, no file, no network, no secret value. What this version cannot do is refused here
//! by name; nothing that a manifest asks for is passed over in silence.

use std::collections::BTreeMap;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;

use super::{
    BackupPlan, Binding, KeyKind, KeyProfile, Latest, OverwritePlan, PlanVersion, RestorePlan, S3Keys,
    S3Storage, SecretKey, Selector, Storage, TargetSql, Timeouts, VolumeStorage,
};
use crate::api::restore::spec::{Content, Sql, Switch};
use crate::api::restore::{Backup, Discovery, Mode};
use crate::api::{
    BackupStorage, BackupStorageSpec, DatabaseConnection, DatabaseRestore, DatabaseRestoreSpec, Duration,
    EncryptionProfile, EncryptionProfileSpec, SecretKeySelector,
};
use crate::reason::Reason;

/// The objects that a request may refer to; those of other namespaces are never used.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Storage destinations.
    pub storages: Vec<BackupStorage>,
    /// Target sources.
    pub connections: Vec<DatabaseConnection>,
    /// Keys.
    pub profiles: Vec<EncryptionProfile>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable reason.
    pub reason: Reason,
    /// The field: of the `DatabaseRestore`, or of the object that its beginning names.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.reason, self.field, self.message)
    }
}

/// Resolves every reference of `restore`, or gives back all problems at once.
pub fn resolve(restore: &DatabaseRestore, objects: &Objects) -> Result<RestorePlan, Vec<Problem>> {
    let spec = &restore.spec;
    let namespace = namespace_of(&restore.metadata).to_owned();
    let mut resolver = Resolver { namespace: &namespace, objects, problems: Vec::new() };
    let backup = resolver.backup(&spec.backup);
    let keys = resolver.keys(&spec.backup);
    let target = spec.target.as_ref().and_then(|target| resolver.target(target, spec));
    resolver.check_mode(spec);
    resolver.check_abilities(spec);
    resolver.check_timeouts(spec);
    let problems = resolver.problems;
    let Some(backup) = backup.filter(|_| problems.is_empty()) else { return Err(problems) };
    let references = references(spec, &namespace, objects);
    Ok(RestorePlan {
        version: PlanVersion,
        namespace,
        name: restore.metadata.name.clone().unwrap_or_default(),
        mode: spec.mode,
        backup,
        keys,
        target,
        strategy: spec.strategy,
        overwrite: OverwritePlan {
            policy: spec.overwrite.policy,
            confirm: spec.overwrite.confirm.clone(),
            confirm_until: spec.overwrite.confirm_until.as_ref().map(|time| time.0),
            confirmed_plan: spec.overwrite.confirmed_plan.clone(),
            binding: Binding::default(),
        },
        sessions: spec.sessions,
        switch: spec.switch,
        keep_previous: spec.keep_previous,
        version_guard: spec.version_guard,
        statements: spec.statements,
        statistics: spec.statistics,
        rows: spec.verification.rows,
        content: spec.verification.content,
        queries: spec.verification.queries.iter().map(target_sql).collect(),
        hooks: spec.hooks.iter().flat_map(|hooks| &hooks.before_switch).map(target_sql).collect(),
        parallelism: spec.parallelism.and_then(|count| u32::try_from(count).ok()),
        timeouts: Timeouts {
            run: spec.timeout,
            start: spec.start_timeout,
            connect: spec.connect_timeout,
            statement: spec.statement_timeout,
            stall: spec.stall_timeout,
        },
        references,
    })
}

fn target_sql(Sql { database, sql }: &Sql) -> TargetSql {
    TargetSql { database: database.clone(), sql: sql.clone() }
}

/// Uid and generation of every object that `spec` names. Keys that are only tried are left out: one
/// more of them changes nothing of what was confirmed.
fn references(spec: &DatabaseRestoreSpec, namespace: &str, objects: &Objects) -> String {
    fn of<T: Resource<DynamicType = ()>>(all: &[T], namespace: &str, name: &str) -> Option<String> {
        let here = |object: &&T| {
            object.meta().name.as_deref() == Some(name) && namespace_of(object.meta()) == namespace
        };
        let meta = all.iter().find(here)?.meta();
        let uid = meta.uid.as_ref()?;
        Some(format!("{} {uid} {}", T::kind(&()), meta.generation.unwrap_or_default()))
    }
    let profile = spec.backup.encryption.profile_ref.as_ref();
    let target = spec.target.as_ref();
    let all = [
        of(&objects.storages, namespace, &spec.backup.storage_ref.name),
        profile.and_then(|it| of(&objects.profiles, namespace, &it.name)),
        target.and_then(|it| of(&objects.connections, namespace, &it.connection_ref.name)),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What only an operator can honour and a run without one must refuse: it cannot wait.
pub fn refuse_locally(restore: &DatabaseRestore) -> Vec<Problem> {
    let refuse = |set: bool, field: &str, message: &str| {
        set.then(|| Problem {
            reason: Reason::NotSupported,
            field: field.to_owned(),
            message: message.to_owned(),
        })
    };
    [
        refuse(restore.spec.suspend, "spec.suspend", "holds the start; set it to false to run it here"),
        refuse(
            restore.spec.switch == Switch::Hold,
            "spec.switch",
            "Hold waits for a person, which only the operator can; use Auto to run it here",
        ),
        refuse(restore.spec.cancel, "spec.cancel", "this request was cancelled; make one under another name"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The namespace of an object; `default` where it names none.
pub fn namespace_of(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or("default")
}

pub(super) struct Resolver<'a> {
    pub(super) namespace: &'a str,
    pub(super) objects: &'a Objects,
    problems: Vec<Problem>,
}

impl<'a> Resolver<'a> {
    pub(super) fn problem(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { reason, field: field.into(), message: message.into() });
    }

    /// The object that `field` names, of this namespace.
    pub(super) fn find<T>(&mut self, all: &'a [T], name: &str, field: &str) -> Option<&'a T>
    where
        T: Resource<DynamicType = ()>,
    {
        let named = |object: &&T| object.meta().name.as_deref() == Some(name);
        let here = |object: &&T| namespace_of(object.meta()) == self.namespace;
        if let Some(found) = all.iter().filter(here).find(named) {
            return Some(found);
        }
        let kind = T::kind(&());
        let mut message = format!("{kind} {name} is not there in namespace {}", self.namespace);
        if let Some(other) = all.iter().find(named) {
            let elsewhere = namespace_of(other.meta());
            message =
                format!("{message}; there is one in namespace {elsewhere}, but references stay in their own");
        }
        self.problem(Reason::ReferenceNotFound, field, message);
        None
    }

    fn backup(&mut self, backup: &Backup) -> Option<BackupPlan> {
        let selector = match (&backup.path, &backup.latest) {
            (Some(path), None) => {
                self.check_path("spec.backup.path", path);
                Some(Selector::Path(path.clone()))
            }
            (None, Some(latest)) => {
                let prefix = latest.prefix.clone().unwrap_or_default();
                self.check_path("spec.backup.latest.prefix", &prefix);
                Some(Selector::Latest(Latest {
                    prefix,
                    database: latest.database.clone(),
                    not_after: latest.not_after.as_ref().map(|time| time.0),
                    max_age: latest.max_age,
                }))
            }
            _ => {
                self.problem(Reason::InvalidSpec, "spec.backup", "set exactly one of path, latest");
                None
            }
        };
        let name = &backup.storage_ref.name;
        let found = self.find(&self.objects.storages, name, "spec.backup.storageRef.name");
        let storage = found.and_then(|found| self.storage(name, &found.spec));
        Some(BackupPlan {
            storage_name: name.clone(),
            storage: storage?,
            selector: selector?,
            format: backup.format,
            compression: backup.compression,
            sha256: backup.checksum.as_ref().map(|checksum| checksum.sha256.to_ascii_lowercase()),
            allow_unproven: backup.allow_unproven,
            profile: backup.encryption.profile_ref.as_ref().map(|profile| profile.name.clone()),
            discovery: backup.encryption.discovery == Discovery::Enabled,
        })
    }

    fn storage(&mut self, name: &str, spec: &BackupStorageSpec) -> Option<Storage> {
        match (&spec.s3, &spec.volume) {
            (Some(s3), None) => {
                let prefix = s3.prefix.clone().unwrap_or_default();
                self.check_path(&format!("BackupStorage/{name}: spec.s3.prefix"), &prefix);
                Some(Storage::S3(Box::new(S3Storage {
                    bucket: s3.bucket.clone(),
                    prefix: as_folder(prefix),
                    endpoint: s3.endpoint.clone(),
                    region: s3.region.clone(),
                    force_path_style: s3.force_path_style,
                    credentials: s3.credentials.as_ref().map(|keys| S3Keys {
                        access_key_id: secret_key(&keys.access_key_id_secret_key_ref),
                        secret_access_key: secret_key(&keys.secret_access_key_secret_key_ref),
                        session_token: keys.session_token_secret_key_ref.as_ref().map(secret_key),
                    }),
                    ca: s3.tls.as_ref().and_then(|tls| tls.ca_secret_key_ref.as_ref()).map(secret_key),
                })))
            }
            (None, Some(volume)) => {
                let path = volume.path.clone().unwrap_or_default();
                self.check_path(&format!("BackupStorage/{name}: spec.volume.path"), &path);
                Some(Storage::Volume(VolumeStorage { claim_name: volume.claim_name.clone(), path }))
            }
            _ => {
                let field = format!("BackupStorage/{name}: spec");
                self.problem(Reason::InvalidSpec, field, "set exactly one of s3, volume");
                None
            }
        }
    }

    /// The keys to try: the named profile, then all others by name where discovery is on.
    fn keys(&mut self, backup: &Backup) -> Vec<KeyProfile> {
        let named = backup.encryption.profile_ref.as_ref().and_then(|profile| {
            self.find(&self.objects.profiles, &profile.name, "spec.backup.encryption.profileRef.name")
        });
        let mut all: Vec<&EncryptionProfile> = named.into_iter().collect();
        if backup.encryption.discovery == Discovery::Enabled {
            let here = self
                .objects
                .profiles
                .iter()
                .filter(|profile| namespace_of(&profile.metadata) == self.namespace);
            let first = named.and_then(|profile| profile.metadata.name.as_deref());
            let mut others: Vec<_> =
                here.filter(|profile| first.is_none() || profile.metadata.name.as_deref() != first).collect();
            others.sort_by_key(|profile| profile.metadata.name.clone());
            all.extend(others);
        }
        all.into_iter().filter_map(|profile| self.key(profile)).collect()
    }

    fn key(&mut self, profile: &EncryptionProfile) -> Option<KeyProfile> {
        let name = profile.metadata.name.clone().unwrap_or_default();
        if let Some(kind) = key_kind(&profile.spec) {
            return Some(KeyProfile { name, id: profile.spec.id.clone(), kind });
        }
        let message = "set exactly one of aes256Gcm, age, recoveryKit, and in age one of \
            identitySecretKeyRef, passphraseSecretKeyRef";
        self.problem(Reason::InvalidSpec, format!("EncryptionProfile/{name}: spec"), message);
        None
    }

    fn check_mode(&mut self, spec: &DatabaseRestoreSpec) {
        match (spec.mode, &spec.target) {
            (Mode::Verify, None) | (Mode::Restore | Mode::Plan, Some(_)) => {}
            (Mode::Verify, Some(_)) => {
                self.problem(
                    Reason::InvalidSpec,
                    "spec.target",
                    "mode Verify reads the backup alone: remove it",
                );
            }
            (Mode::Restore | Mode::Plan, None) => {
                self.problem(Reason::InvalidSpec, "spec.target", "modes Restore and Plan need it");
            }
        }
    }

    /// What has no meaning without a target, or what no engine of this version can do yet.
    fn check_abilities(&mut self, spec: &DatabaseRestoreSpec) {
        if spec.mode == Mode::Verify && !spec.verification.queries.is_empty() {
            let message = "mode Verify loads nothing that could be asked: remove them";
            self.problem(Reason::InvalidSpec, "spec.verification.queries", message);
        }
        if spec.mode == Mode::Verify && spec.verification.content == Content::Digest {
            let message = "mode Verify loads nothing that could be compared: remove it";
            self.problem(Reason::InvalidSpec, "spec.verification.content", message);
        }
        if spec.mode == Mode::Verify
            && spec.hooks.as_ref().is_some_and(|hooks| !hooks.before_switch.is_empty())
        {
            let message = "mode Verify loads nothing that SQL could run in: remove them";
            self.problem(Reason::InvalidSpec, "spec.hooks.beforeSwitch", message);
        }
    }

    fn check_timeouts(&mut self, spec: &DatabaseRestoreSpec) {
        let all = [
            ("spec.timeout", Some(spec.timeout)),
            ("spec.startTimeout", Some(spec.start_timeout)),
            ("spec.connectTimeout", spec.connect_timeout),
            ("spec.statementTimeout", spec.statement_timeout),
            ("spec.stallTimeout", spec.stall_timeout),
        ];
        for (field, _) in all.into_iter().filter(|(_, time)| time.is_some_and(Duration::is_zero)) {
            self.problem(Reason::InvalidSpec, field, "must be more than 0s");
        }
    }

    /// Checked here too: a plan must never lead out of a volume, whoever wrote the object.
    pub(super) fn check_path(&mut self, field: &str, path: &str) {
        let leads_out = path.starts_with('/') || path.split('/').any(|part| part == "..");
        if leads_out || path.contains(char::is_control) {
            self.problem(Reason::InvalidSpec, field, "must be a relative path without `..`");
        }
    }
}

/// The keys of profiles without a request that names them, by namespace; what is not valid is left
/// out, because the reader of the manifests has refused it before.
pub fn profile_keys(profiles: &[EncryptionProfile]) -> BTreeMap<String, Vec<KeyProfile>> {
    let mut all: BTreeMap<String, Vec<KeyProfile>> = BTreeMap::new();
    for profile in profiles {
        if let Some(kind) = key_kind(&profile.spec) {
            let name = profile.metadata.name.clone().unwrap_or_default();
            let key = KeyProfile { name, id: profile.spec.id.clone(), kind };
            all.entry(namespace_of(&profile.metadata).to_owned()).or_default().push(key);
        }
    }
    all
}

fn key_kind(spec: &EncryptionProfileSpec) -> Option<KeyKind> {
    match (&spec.aes256_gcm, &spec.age, &spec.recovery_kit) {
        (Some(aes), None, None) => Some(KeyKind::Aes256Gcm(secret_key(&aes.secret_key_ref))),
        (None, Some(age), None) => match (&age.identity_secret_key_ref, &age.passphrase_secret_key_ref) {
            (Some(identity), None) => Some(KeyKind::AgeIdentity(secret_key(identity))),
            (None, Some(passphrase)) => Some(KeyKind::AgePassphrase(secret_key(passphrase))),
            _ => None,
        },
        (None, None, Some(kit)) => Some(KeyKind::RecoveryKit { secret: kit.secret_name.clone() }),
        _ => None,
    }
}

pub(super) fn secret_key(selector: &SecretKeySelector) -> SecretKey {
    SecretKey { secret: selector.name.clone(), key: selector.key.clone() }
}

fn as_folder(mut prefix: String) -> String {
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    prefix
}

//! What a run on this machine needs beside the objects: folders for the claims, and Secrets. All
//! that is missing is told at once, before anything begins.

use std::path::PathBuf;

use kube::Resource;

use super::manifest::Manifests;
use crate::api::{
    BackupStorageSpec, DatabaseConnectionSpec, DatabaseRestore, EncryptionProfileSpec, SecretKeySelector,
};
use crate::plan::{MemorySecrets, Problem, SecretKey, SecretReader, namespace_of};
use crate::reason::Reason;

/// What is missing for `restore` here. References that lead nowhere are told by the plan.
pub fn missing(
    restore: &DatabaseRestore,
    manifests: &Manifests,
    claims: &[(String, PathBuf)],
) -> Vec<Problem> {
    let namespace = namespace_of(&restore.metadata);
    let secrets = manifests.secrets(namespace);
    let mut check = Check { secrets: &secrets, claims, problems: Vec::new() };
    let spec = &restore.spec;
    let storage = &spec.backup.storage_ref.name;
    if let Some(found) = find(&manifests.objects.storages, namespace, storage) {
        check.storage(storage, &found.spec);
    }
    let connection = spec.target.as_ref().map(|target| &target.connection_ref.name);
    if let Some((name, found)) = connection
        .and_then(|name| find(&manifests.objects.connections, namespace, name).map(|found| (name, found)))
    {
        check.connection(name, &found.spec);
    }
    // The other profiles may be broken without harm to this run.
    let profile = spec.backup.encryption.profile_ref.as_ref().map(|profile| &profile.name);
    if let Some((name, found)) =
        profile.and_then(|name| find(&manifests.objects.profiles, namespace, name).map(|found| (name, found)))
    {
        check.profile(name, &found.spec);
    }
    check.problems
}

fn find<'a, T: Resource>(all: &'a [T], namespace: &str, name: &str) -> Option<&'a T> {
    all.iter().find(|object| {
        object.meta().name.as_deref() == Some(name) && namespace_of(object.meta()) == namespace
    })
}

struct Check<'a> {
    secrets: &'a MemorySecrets,
    claims: &'a [(String, PathBuf)],
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, reason: Reason, field: String, message: String) {
        self.problems.push(Problem { reason, field, message });
    }

    fn claim(&mut self, field: String, claim: &str) {
        if !self.claims.iter().any(|(name, _)| name == claim) {
            let message =
                format!("the volume claim {claim} stands for no folder here: add --claim {claim}=DIR");
            self.problem(Reason::TargetNotFound, field, message);
        }
    }

    fn secret(&mut self, field: String, selector: &SecretKeySelector) {
        let key = SecretKey { secret: selector.name.clone(), key: selector.key.clone() };
        if let Err(error) = self.secrets.read(&key) {
            self.problem(error.reason, field, error.message);
        }
    }

    fn storage(&mut self, name: &str, spec: &BackupStorageSpec) {
        let field = |path: &str| format!("BackupStorage/{name}: spec.{path}");
        if let Some(volume) = &spec.volume {
            self.claim(field("volume.claimName"), &volume.claim_name);
        }
        let Some(s3) = &spec.s3 else { return };
        if let Some(keys) = &s3.credentials {
            self.secret(field("s3.credentials.accessKeyIdSecretKeyRef"), &keys.access_key_id_secret_key_ref);
            self.secret(
                field("s3.credentials.secretAccessKeySecretKeyRef"),
                &keys.secret_access_key_secret_key_ref,
            );
            if let Some(token) = &keys.session_token_secret_key_ref {
                self.secret(field("s3.credentials.sessionTokenSecretKeyRef"), token);
            }
        }
        if let Some(ca) = s3.tls.as_ref().and_then(|tls| tls.ca_secret_key_ref.as_ref()) {
            self.secret(field("s3.tls.caSecretKeyRef"), ca);
        }
    }

    fn connection(&mut self, name: &str, spec: &DatabaseConnectionSpec) {
        if let Some(sqlite) = &spec.sqlite {
            self.claim(format!("DatabaseConnection/{name}: spec.sqlite.claimName"), &sqlite.claim_name);
        }
    }

    fn profile(&mut self, name: &str, spec: &EncryptionProfileSpec) {
        let field = |path: &str| format!("EncryptionProfile/{name}: spec.{path}");
        if let Some(aes) = &spec.aes256_gcm {
            self.secret(field("aes256Gcm.secretKeyRef"), &aes.secret_key_ref);
        }
        if let Some(age) = &spec.age {
            for (path, key) in [
                ("age.identitySecretKeyRef", &age.identity_secret_key_ref),
                ("age.passphraseSecretKeyRef", &age.passphrase_secret_key_ref),
            ] {
                if let Some(key) = key {
                    self.secret(field(path), key);
                }
            }
        }
        if let Some(kit) = &spec.recovery_kit
            && let Err(error) = self.secrets.keys(&kit.secret_name)
        {
            self.problem(error.reason, field("recoveryKit.secretName"), error.message);
        }
    }
}

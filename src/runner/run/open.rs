//! Opens the storage destination that a plan names, and reads its Secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::plan::{RestorePlan, S3Storage, SecretKey, SecretReader, Storage};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::source::{Folder, S3, S3Credentials, S3Options, Store};
use crate::secret::Secret;

/// The folders in which volume claims are mounted.
pub type Mounts = BTreeMap<String, PathBuf>;

pub(super) fn mount<'a>(mounts: &'a Mounts, claim: &str) -> Result<&'a PathBuf> {
    mounts.get(claim).ok_or_else(|| {
        let message =
            format!("the volume claim {claim:?} is not mounted; locally, map it with --claim {claim}=DIR");
        Fault::new(Stage::Resolve, Reason::TargetNotFound, message)
    })
}

/// Opens the storage destination.
pub fn store(plan: &RestorePlan, secrets: &dyn SecretReader, mounts: &Mounts) -> Result<Arc<dyn Store>> {
    match &plan.backup.storage {
        Storage::Volume(volume) => {
            let mut root = mount(mounts, &volume.claim_name)?.clone();
            if !volume.path.is_empty() {
                root.push(&volume.path);
            }
            Ok(Arc::new(Folder::new(root)))
        }
        Storage::S3(s3) => {
            let mut options = s3_options(s3, secrets)?;
            options.stall_timeout = plan.timeouts.stall.map(crate::plan::Duration::get);
            Ok(Arc::new(S3::connect(options)?))
        }
    }
}

pub(super) fn read(secrets: &dyn SecretReader, key: &SecretKey) -> Result<Secret<Vec<u8>>> {
    secrets.read(key).map_err(|error| Fault::new(Stage::Resolve, error.reason, error.message))
}

pub(super) fn read_text(secrets: &dyn SecretReader, key: &SecretKey) -> Result<Secret<String>> {
    let value = read(secrets, key)?;
    let text = std::str::from_utf8(value.expose()).map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    text.map(Secret::new).map_err(|_| {
        let message = format!("the key {} of Secret {} is not text", key.key, key.secret);
        Fault::new(Stage::Resolve, Reason::InvalidKey, message)
    })
}

fn s3_options(s3: &S3Storage, secrets: &dyn SecretReader) -> Result<S3Options> {
    let credentials = match &s3.credentials {
        None => None,
        Some(keys) => Some(S3Credentials {
            access_key_id: read_text(secrets, &keys.access_key_id)?.expose().clone(),
            secret_access_key: read_text(secrets, &keys.secret_access_key)?,
            session_token: keys.session_token.as_ref().map(|key| read_text(secrets, key)).transpose()?,
        }),
    };
    let ca = s3.ca.as_ref().map(|key| read(secrets, key)).transpose()?;
    Ok(S3Options {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        force_path_style: s3.force_path_style,
        credentials,
        ca_pem: ca.map(|pem| pem.expose().clone()),
        stall_timeout: None,
    })
}

/// Until when replaced data is kept; `None`: it is not kept.
pub(super) fn keep_until(plan: &RestorePlan, now: Timestamp) -> Option<Timestamp> {
    let keep = SignedDuration::try_from(plan.keep_previous.get()).ok().filter(|keep| !keep.is_zero())?;
    now.checked_add(keep).ok()
}

/// Short, and another one for every run: part of the names of this run's own files.
pub(super) fn run_id(plan: &RestorePlan, now: Timestamp) -> String {
    let text = format!("{}/{} {} {}", plan.namespace, plan.name, now.as_nanosecond(), std::process::id());
    hex::encode(crate::runner::meter::sha256(text.as_bytes()).get(..4).unwrap_or_default())
}

//! Real backups in a bucket: listed and read as from a folder, and refused when somebody exchanges
//! them between the two passes.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reinstate::reason::Reason;
use reinstate::runner::catalog::{Beside, Entry, backups};
use reinstate::runner::engine::Context;
use reinstate::runner::fault::Fault;
use reinstate::runner::format::dbackup::{INDEX_SUFFIX, SIDECAR_SUFFIX};
use reinstate::runner::meter::sha256;
use reinstate::runner::read::{Examined, Options, Request, examine};
use reinstate::runner::source::{Artifact, Folder, S3, S3Options, Store};

use super::fault_of;
use crate::parts::minio::{Bucket, minio, plain_minio};
use crate::parts::tamper::{Action, Tamper};
use crate::support::{PROFILE_A, PROFILE_B, fixtures, ring};

/// Small ones of each generation: whole and plain, whole and sealed, seekable and sealed.
const SAMPLES: [&str; 3] = ["mariadb-single-gzip-plain", "sqlite-gzip-enc", "v2-dbonly-mariadb-brotli-enc"];

fn upload(folder: &Path, bucket: &Bucket, prefix: &str) {
    for object in Folder::new(folder).list("", 1_000).unwrap() {
        bucket.put(&format!("{prefix}{}", object.path), &std::fs::read(folder.join(&object.path)).unwrap());
    }
}

fn examine_in(store: &Arc<dyn Store>, path: &str) -> Result<Examined, Fault> {
    let artifact = Artifact { store: Arc::clone(store), path: path.to_owned() };
    let (keys, options) = (ring(&[PROFILE_A, PROFILE_B], true), Options::default());
    examine(Request {
        artifact: &artifact,
        stat: None,
        keys: &keys,
        options: &options,
        context: &Context::default(),
    })
}

fn dump(examined: &Examined, index: usize) -> (Vec<u8>, Option<Fault>) {
    let mut content = Vec::new();
    let fault = match examined.open_database(index, &Context::default()) {
        Ok(mut reader) => reader.read_to_end(&mut content).err().map(fault_of),
        Err(fault) => Some(fault),
    };
    (content, fault)
}

#[test]
fn every_backup_is_listed_and_proven_from_a_bucket_as_from_a_folder() {
    let (bucket, folder) = (minio().bucket(), fixtures().join("dbackup"));
    upload(&folder, &bucket, "dbackup/");
    let options = S3Options { prefix: "dbackup/".into(), ..bucket.options() };
    let remote: Arc<dyn Store> = Arc::new(S3::connect(options).unwrap());
    let local: Arc<dyn Store> = Arc::new(Folder::new(&folder));
    let made = |entry: &Entry| (entry.path.clone(), entry.size, entry.timestamp());
    let listed = backups(remote.as_ref(), "").unwrap();
    let beside: Vec<_> =
        listed.iter().filter(|entry| matches!(entry.beside, Beside::Sidecar(_))).map(made).collect();
    let expected: Vec<_> =
        backups(local.as_ref(), "").unwrap().iter().filter(|e| e.sidecar().is_some()).map(made).collect();
    assert!(beside.len() >= 33, "{}", beside.len());
    assert_eq!(beside, expected);
    for (path, _, _) in beside {
        let here = examine_in(&local, &path).unwrap();
        let there =
            examine_in(&remote, &path).unwrap_or_else(|fault| panic!("{path}: {}", fault.full_message()));
        let hashes = |examined: &Examined| {
            examined.databases.iter().map(|entry| (entry.name.clone(), entry.sha256)).collect::<Vec<_>>()
        };
        assert_eq!(hashes(&there), hashes(&here), "{path}");
        for (index, entry) in there.databases.iter().enumerate() {
            let (content, fault) = dump(&there, index);
            assert!(fault.is_none() && sha256(&content) == entry.sha256, "{path} {index}: {fault:?}");
        }
    }
}

/// The data file of a sample that was uploaded to `bucket`.
fn uploaded(sample: &str, bucket: &Bucket) -> (String, Vec<u8>) {
    let folder = fixtures().join("dbackup").join(sample);
    upload(&folder, bucket, "");
    let beside = |path: &String| path.ends_with(SIDECAR_SUFFIX) || path.ends_with(INDEX_SUFFIX);
    let mut objects = Folder::new(&folder).list("", 10).unwrap().into_iter().map(|object| object.path);
    let path = objects.find(|path| !beside(path)).unwrap();
    let content = std::fs::read(folder.join(&path)).unwrap();
    (path, content)
}

#[test]
fn an_object_exchanged_between_the_passes_under_its_own_etag_is_refused_before_a_byte_is_loaded() {
    for sample in SAMPLES {
        let bucket = plain_minio().bucket();
        let (path, mut content) = uploaded(sample, &bucket);
        for byte in &mut content {
            *byte ^= 1;
        }
        let (exchanged, on) = (Arc::new(content), Arc::new(AtomicBool::new(false)));
        let switch = Arc::clone(&on);
        let tamper = Tamper::in_front_of(plain_minio().port, move |_| {
            if switch.load(Ordering::SeqCst) {
                Action::Exchange(Arc::clone(&exchanged))
            } else {
                Action::Forward
            }
        });
        let stall_timeout = Some(Duration::from_secs(5));
        let options = S3Options { endpoint: Some(tamper.endpoint()), stall_timeout, ..bucket.options() };
        let store: Arc<dyn Store> = Arc::new(S3::connect(options).unwrap());
        let examined = examine_in(&store, &path).unwrap();
        assert!(dump(&examined, 0).1.is_none(), "{sample}: untouched, it is read");
        on.store(true, Ordering::SeqCst);
        let (loaded, fault) = dump(&examined, 0);
        let fault = fault.unwrap_or_else(|| panic!("{sample}: the exchanged object was read"));
        assert_eq!(fault.reason, Reason::SourceChanged, "{sample}: {}", fault.full_message());
        assert!(loaded.is_empty(), "{sample}: {} bytes came through", loaded.len());
    }
}

#[test]
fn an_object_replaced_between_the_passes_is_refused_by_its_etag() {
    for sample in SAMPLES {
        let bucket = minio().bucket();
        let (path, mut content) = uploaded(sample, &bucket);
        let store: Arc<dyn Store> = Arc::new(bucket.store());
        let examined = examine_in(&store, &path).unwrap();
        content.reverse();
        bucket.put(&path, &content);
        let (loaded, fault) = dump(&examined, 0);
        assert_eq!(fault.map(|fault| fault.reason), Some(Reason::SourceChanged), "{sample}");
        assert!(loaded.is_empty(), "{sample}: {} bytes came through", loaded.len());
    }
}

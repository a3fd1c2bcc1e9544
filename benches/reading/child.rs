//! Parts of the reading side as processes of their own, for what no command of `reinstate` shows
//! alone: this program started again.
//!
//! `pipeline` is one reading through the stages as `runner::read` joins them, `decode` the same to
//! nowhere, `prove` without the decompression, `fetch` the stored bytes. `sip` is a slow consumer.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reinstate::runner::cancel::Cancel;
use reinstate::runner::cipher::{AesKey, AgeFile, AgeKey, GcmReader, OnMismatch, TagPlace, is_age};
use reinstate::runner::codec::{Codec, Limits, decode};
use reinstate::runner::meter::Meter;
use reinstate::runner::pipe::{Shared, drain, on_thread};
use reinstate::runner::progress::Progress;
use reinstate::runner::read::read_sidecar;
use reinstate::runner::source::{Artifact, Folder, S3, S3Credentials, S3Options, Store};
use reinstate::runner::{fault::Stage, pipe::BUFFER_BYTES};
use reinstate::{reason::Reason, secret::Secret};

type Stream = Box<dyn Read + Send>;

/// Runs one mode: `MODE FILE`, where FILE is in this folder, or `s3:KEY`; or `sip MB_PER_SECOND`.
pub fn run(arguments: &[String]) {
    let [mode, file] = arguments else { panic!("a mode and a file are needed: {arguments:?}") };
    match mode.as_str() {
        "sip" => sip(file.parse().unwrap()),
        "fetch" => to_stdout(&mut source(&artifact(file))),
        "pipeline" => to_stdout(&mut decoded(&artifact(file))),
        "decode" => drain(decoded(&artifact(file))).unwrap(),
        "prove" => drain(unsealed(&artifact(file))).unwrap(),
        other => panic!("there is no mode {other}"),
    }
}

/// Takes standard input no faster than this, as a database does.
fn sip(megabytes_per_second: f64) {
    let (start, mut taken, mut buffer) = (Instant::now(), 0, vec![0; BUFFER_BYTES]);
    let mut input = std::io::stdin().lock();
    loop {
        let count = input.read(&mut buffer).unwrap();
        if count == 0 {
            return;
        }
        taken += count;
        let due = Duration::from_secs_f64(taken as f64 / (megabytes_per_second * 1e6));
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}

fn artifact(file: &str) -> Artifact {
    let (store, path): (Arc<dyn Store>, _) = match file.strip_prefix("s3:") {
        Some(key) => (Arc::new(s3()), key),
        None => (Arc::new(Folder::new(".")), file),
    };
    Artifact { store, path: path.to_owned() }
}

fn s3() -> S3 {
    let of = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    S3::connect(S3Options {
        bucket: of("BENCH_BUCKET"),
        endpoint: Some(of("BENCH_ENDPOINT")),
        region: Some("us-east-1".to_owned()),
        force_path_style: true,
        credentials: Some(S3Credentials {
            access_key_id: of("AWS_ACCESS_KEY_ID"),
            secret_access_key: Secret::new(of("AWS_SECRET_ACCESS_KEY")),
            session_token: None,
        }),
        ..S3Options::default()
    })
    .unwrap()
}

fn source(artifact: &Artifact) -> Stream {
    let stat = artifact.store.stat(&artifact.path).unwrap();
    artifact.store.open(&artifact.path, &stat.pin, 0..stat.size, &Cancel::never()).unwrap()
}

fn aes_key() -> Option<AesKey> {
    let text = std::fs::read_to_string("master.key").ok()?;
    Some(Secret::new(hex::decode(text.trim()).unwrap().try_into().unwrap()))
}

fn age_key() -> Option<AgeKey> {
    let text = std::fs::read_to_string("identity.txt").ok()?;
    let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    Some(AgeKey::parse_identity(line).unwrap())
}

/// Read and hashed on one thread, decrypted on another.
fn unsealed(artifact: &Artifact) -> Stream {
    let sidecar = read_sidecar(artifact).unwrap();
    let mut head = Vec::new();
    source(artifact).take(64).read_to_end(&mut head).unwrap();
    let meter = Meter::new(source(artifact), 0, Progress::default());
    let stored = on_thread("read", Shared::new(meter, Stage::Download, Reason::SourceUnavailable));
    let plain: Stream = match sidecar.and_then(|sidecar| sidecar.encryption) {
        Some(seal) => {
            let tag = TagPlace::Known(seal.tag);
            Box::new(GcmReader::new(stored, &aes_key().unwrap(), &seal.iv, tag, OnMismatch::KeyInDoubt))
        }
        None if is_age(&head) => {
            Box::new(AgeFile::open(stored).unwrap().decrypt(&age_key().unwrap()).unwrap())
        }
        None => Box::new(stored),
    };
    Box::new(Shared::new(plain, Stage::Decrypt, Reason::CorruptBackup))
}

/// Decompressed on the third thread.
fn decoded(artifact: &Artifact) -> Stream {
    let codec = Codec::from_name(&artifact.path).unwrap_or(Codec::None);
    let stream = on_thread("decrypt", unsealed(artifact));
    Box::new(on_thread("decode", decode(codec, stream, Limits::default()).unwrap()))
}

fn to_stdout(reader: &mut dyn Read) {
    let mut output = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned().unwrap());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            return output.flush().unwrap();
        }
        output.write_all(&buffer[..count]).unwrap();
    }
}

//! Our side: this program started again as the one process that is measured.
//!
//! `pipeline` is one reading through the stages as `runner::read` joins them; `verify` is pass 1,
//! `extract` pass 1 and pass 2. The peak of memory is told at the end.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use reinstate::runner::cancel::Cancel;
use reinstate::runner::cipher::{AesKey, AgeFile, AgeKey, GcmReader, OnMismatch, TagPlace, is_age};
use reinstate::runner::codec::{Codec, Limits, decode};
use reinstate::runner::engine::Context;
use reinstate::runner::keys::{Candidate, Key, KeyRing};
use reinstate::runner::meter::Meter;
use reinstate::runner::pipe::{Shared, drain, on_thread};
use reinstate::runner::progress::Progress;
use reinstate::runner::read::{Options, Request, examine, read_sidecar};
use reinstate::runner::source::{Artifact, Folder, S3, S3Credentials, S3Options, Store};
use reinstate::runner::{fault::Stage, pipe::BUFFER_BYTES};
use reinstate::{reason::Reason, secret::Secret};

type Stream = Box<dyn Read + Send>;

/// Runs one mode: `MODE FILE`, where FILE is in this folder, or `s3:KEY`.
pub fn run(arguments: &[String]) {
    let [mode, file, rest @ ..] = arguments else { panic!("a mode and a file are needed: {arguments:?}") };
    let artifact = artifact(file);
    match mode.as_str() {
        "fetch" => to_stdout(&mut source(&artifact)),
        "pipeline" => to_stdout(&mut decoded(&artifact)),
        "decode" => drain(decoded(&artifact)).unwrap(),
        "prove" => drain(unsealed(&artifact)).unwrap(),
        "verify" => drop(examined(&artifact)),
        "extract" => to_stdout(&mut second_pass(&artifact)),
        "restore" => {
            let mut target = std::fs::File::create(&rest[0]).unwrap();
            copy(&mut second_pass(&artifact), &mut target);
        }
        other => panic!("there is no mode {other}"),
    }
    tell_peak();
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
        ca_pem: std::env::var("BENCH_CA").ok().map(|path| std::fs::read(path).unwrap()),
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

fn examined(artifact: &Artifact) -> reinstate::runner::read::Examined {
    let candidate = |key| Candidate { profile: "bench".to_owned(), id: Some("bench".to_owned()), key };
    let keys = aes_key().map(Key::Aes).into_iter().chain(age_key().map(Key::Age)).map(candidate).collect();
    let keys = KeyRing::new(keys, None);
    let (options, context) = (Options::default(), Context::default());
    examine(Request { artifact, keys: &keys, options: &options, context: &context }).unwrap()
}

fn second_pass(artifact: &Artifact) -> Stream {
    examined(artifact).open_database(0, &Context::default()).unwrap()
}

fn to_stdout(reader: &mut dyn Read) {
    copy(reader, &mut std::io::stdout().lock());
}

fn copy(reader: &mut dyn Read, writer: &mut dyn Write) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            return writer.flush().unwrap();
        }
        writer.write_all(&buffer[..count]).unwrap();
    }
}

fn tell_peak() {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    eprintln!("peak {}", peak.trim().trim_end_matches("kB").trim());
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    for line in io.lines().filter(|line| line.starts_with("write_bytes") || line.starts_with("wchar")) {
        eprintln!("io {line}");
    }
}

//! Whole-file backups: one stream under at most one seal and at most one compression.

use std::io::{BufRead, Read};
use std::sync::Arc;

use super::again::Again;
use super::chain::{Metered, TagAt, find_key, threaded};
use super::walk::{Known, Walked, walk};
use super::{Encryption, Examined, Layout, Opened, Unseal};
use crate::reason::Reason;
use crate::runner::cipher::{AesKey, AgeFile, GcmReader, OnMismatch, TagPlace, is_age};
use crate::runner::codec::{Codec, Limits, decode};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::sidecar::WholeFileSeal;
use crate::runner::inventory::Proof;
use crate::runner::keys::Candidate;
use crate::runner::meter::{Meter, Region};
use crate::runner::pipe::{Peek, Shared};

/// Bytes of the stored head that show whether it is an age file.
const HEAD_BYTES: u64 = 4096;

/// One reading of the whole file.
struct Pass {
    region: Region,
    decoded: Decoded,
}

/// What one reading found below the seal.
struct Decoded {
    codec: Codec,
    window_bytes: u64,
    walked: Walked,
}

pub(super) fn examine(opened: &Opened<'_>) -> Result<Examined> {
    let head = opened.bytes(0..opened.stat.size.min(HEAD_BYTES))?;
    let seal = opened.sidecar.as_ref().and_then(|sidecar| sidecar.encryption.clone());
    if seal.is_none()
        && !is_age(&head)
        && opened.sidecar.is_none()
        && opened.request.artifact.path.strip_suffix(".enc").is_some()
    {
        let message =
            format!("{} has no .meta.json beside it, so its IV and tag are not known", opened.describe());
        return Err(Fault::new(Stage::Decrypt, Reason::SidecarMissing, message));
    }
    match seal {
        Some(seal) => examine_gcm(opened, &seal),
        None if is_age(&head) => examine_age(opened),
        None => {
            opened.judged(|| opened.check_sealed(false))?;
            Ok(finish(opened, pass(opened, &Unseal::Plain)?, (Unseal::Plain, None)))
        }
    }
}

fn examine_gcm(opened: &Opened<'_>, seal: &WholeFileSeal) -> Result<Examined> {
    let id = seal.profile_id.as_deref();
    let candidates = opened.request.keys.aes(id);
    let unseal = |key: &AesKey| Unseal::Gcm { key: key.clone(), iv: seal.iv.clone(), tag: seal.tag };
    let done = |(candidate, key): (&Candidate, &AesKey), pass: Pass| {
        finish(opened, pass, (unseal(key), Some(opened.encryption(candidate, "AES-256-GCM", id))))
    };
    let Some(&likely) = candidates.first() else {
        return opened.judged(|| Err(opened.key_missing()));
    };
    // The likely key gets the one reading that is needed anyway; only if it does not fit, or nothing
    // makes one key likelier than the others, the tags of all are computed in a reading of its own.
    let guess = opened.request.keys.has_favourite(id);
    if guess {
        match pass(opened, &unseal(likely.1)) {
            Ok(pass) => return Ok(done(likely, pass)),
            Err(fault) if fault.reason != Reason::NoProfileFits => return Err(fault),
            Err(_) => {}
        }
    }
    let rest: Vec<_> = candidates.iter().skip(usize::from(guess)).copied().collect();
    let keys: Vec<&AesKey> = rest.iter().map(|(_, key)| *key).collect();
    let found = find_key(opened, &keys, (&seal.iv, TagAt::Known(seal.tag)), 0..opened.stat.size)?;
    match found.and_then(|at| rest.get(at)) {
        Some(&fitting) => Ok(done(fitting, pass(opened, &unseal(fitting.1))?)),
        None => opened.judged(|| Err(opened.no_profile_fits(candidates.len()))),
    }
}

fn examine_age(opened: &Opened<'_>) -> Result<Examined> {
    let (candidate, key) = opened.judged(|| {
        let file = AgeFile::open(opened.open(0..opened.stat.size)?)?;
        let candidates = opened.request.keys.age();
        for (candidate, key) in &candidates {
            if file.fits(key)? {
                return Ok((*candidate, *key));
            }
        }
        if file.only_unsupported_recipients() {
            let message =
                format!("{} is encrypted to keys of a type that cannot be used here", opened.describe());
            return Err(Fault::new(Stage::Decrypt, Reason::UnsupportedKeyType, message));
        }
        if candidates.is_empty() {
            return Err(opened.key_missing());
        }
        Err(opened.no_profile_fits(candidates.len()))
    })?;
    let unseal = Unseal::Age { key: key.clone() };
    let encryption = opened.encryption(candidate, "age", None);
    Ok(finish(opened, pass(opened, &unseal)?, (unseal, Some(encryption))))
}

impl Unseal {
    /// Whether what is decoded is what is stored, byte for byte: one hash then proves both.
    pub(super) const fn is_identity(&self, codec: Codec) -> bool {
        matches!((self, codec), (Self::Plain, Codec::None))
    }

    /// The plain stream below the seal.
    pub(super) fn open<R: Read + Send + 'static>(
        &self,
        stored: R,
        on_mismatch: OnMismatch,
    ) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(stored),
            Self::Gcm { key, iv, tag } => {
                Box::new(GcmReader::new(stored, key, iv, TagPlace::Known(*tag), on_mismatch))
            }
            Self::Age { key } => Box::new(AgeFile::open(stored)?.decrypt(key)?),
        })
    }
}

/// Reads all of the file: twice where an archive's table of contents stands behind data, which cannot be
/// counted without it.
fn pass(opened: &Opened<'_>, unseal: &Unseal) -> Result<Pass> {
    let first = reading(opened, unseal, None)?;
    let contents = first.decoded.walked.late_contents();
    if contents.is_none() {
        return Ok(first);
    }
    let second = reading(opened, unseal, contents)?;
    if second.region.sha256 == first.region.sha256 {
        return Ok(second);
    }
    let message = format!("{} is not the one that was read before", opened.describe());
    Err(Fault::new(Stage::Download, Reason::SourceChanged, message))
}

/// Reads all of the file. Whatever fails, the file is read to its end, so that the verdict is the
/// one of the first stage that has something to say: source, checksum, seal, compression, content.
fn reading(opened: &Opened<'_>, unseal: &Unseal, contents: Option<Arc<[u8]>>) -> Result<Pass> {
    let context = opened.request.context;
    context.progress.begin(Stage::Download, "checking the backup", opened.stat.size);
    let metered = opened.metered(0..opened.stat.size)?;
    let again = Again::of(opened, &metered);
    let known = Known { contents, again, ..known(opened) };
    let read = read(opened, unseal, &metered, &known);
    let (sealed, outcome) = match read {
        Ok((sealed, outcome)) => (Some(sealed), outcome),
        Err(fault) => (None, Err(fault)),
    };
    let seal_verdict = sealed.map_or(Ok(()), |sealed| sealed.finish());
    metered.finish()?;
    let region = metered.with(Meter::region);
    opened.check(region.sha256)?;
    let mut decoded = match outcome {
        Err(fault) if fault.stage <= Stage::Decrypt => return Err(fault),
        outcome => {
            seal_verdict?;
            outcome?
        }
    };
    if unseal.is_identity(decoded.codec) {
        decoded.walked.hashed_as(region.sha256);
    }
    Ok(Pass { region, decoded })
}

type Sealed = Shared<Box<dyn Read + Send>>;

fn read(
    opened: &Opened<'_>,
    unseal: &Unseal,
    metered: &Metered,
    known: &Known,
) -> Result<(Sealed, Result<Decoded>)> {
    let stored = threaded("read", metered.clone());
    let plain = unseal.open(stored, OnMismatch::KeyInDoubt)?;
    let sealed = Shared::new(plain, Stage::Decrypt, Reason::CorruptBackup);
    let stream: Box<dyn BufRead + Send> = threaded("decrypt", sealed.clone());
    let outcome = decode_and_walk(opened, stream, unseal, known);
    Ok((sealed, outcome))
}

fn decode_and_walk(
    opened: &Opened<'_>,
    stream: Box<dyn BufRead + Send>,
    unseal: &Unseal,
    known: &Known,
) -> Result<Decoded> {
    let mut stream = Peek::new(stream);
    let head = stream.peek(18).map_err(|error| {
        Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, "failed to read the backup")
    })?;
    let codec = choose_codec(opened, head)?;
    let window_bytes = codec.window_bytes(head);
    let decoded = open_codec(codec, stream, opened.limits(!matches!(unseal, Unseal::Plain)))?;
    let is_stored = unseal.is_identity(codec);
    let again = known.again.clone().filter(|_| is_stored);
    let known = Known { is_stored, again, ..known.clone() };
    Ok(Decoded { codec, window_bytes, walked: walk(decoded, &known)? })
}

/// The decoded stream, on a thread of its own where there is something to decode.
pub(super) fn open_codec(
    codec: Codec,
    stream: Peek<Box<dyn BufRead + Send>>,
    limits: Limits,
) -> Result<Box<dyn Read + Send>> {
    let decoded = decode(codec, stream, limits).map_err(|error| {
        Fault::from_io(error, Stage::Decompress, Reason::InternalError, "failed to start the decoder")
    })?;
    Ok(if codec == Codec::None { decoded } else { Box::new(threaded("decode", decoded)) })
}

/// The request's word, then the sidecar's, then the magic number, then the name. A stated
/// compression that the magic number contradicts is an error: nothing is guessed.
fn choose_codec(opened: &Opened<'_>, head: &[u8]) -> Result<Codec> {
    let magic = Codec::from_magic(head);
    let by_sidecar = opened.sidecar.as_ref().map(|sidecar| sidecar.compression.unwrap_or(Codec::None));
    let Some(stated) = opened.request.options.compression.or(by_sidecar) else {
        return Ok(magic.or_else(|| Codec::from_name(&opened.request.artifact.path)).unwrap_or(Codec::None));
    };
    let contradicts = match stated {
        Codec::Gzip | Codec::Zstd => magic != Some(stated),
        Codec::Brotli | Codec::None => false,
    };
    if contradicts {
        let message = format!("the content is not the {} stream that was stated", stated.name());
        return Err(Fault::new(Stage::Decompress, Reason::UnsupportedFormat, message));
    }
    Ok(stated)
}

fn known(opened: &Opened<'_>) -> Known {
    let name = opened.sidecar.as_ref().and_then(|sidecar| match sidecar.databases.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    });
    let engine = opened.sidecar.as_ref().and_then(|sidecar| sidecar.engine);
    let options = opened.request.options;
    Known { engine, name, format: options.format, digests: options.digests, ..Known::default() }
}

fn finish(opened: &Opened<'_>, pass: Pass, seal: (Unseal, Option<Encryption>)) -> Examined {
    let (unseal, encryption) = seal;
    let Pass { region, decoded: Decoded { codec, window_bytes, walked } } = pass;
    let sidecar = opened.sidecar.clone();
    let mut warnings = Vec::new();
    if let Some((stated, found)) = sidecar.as_ref().and_then(|s| s.engine).zip(walked.engine)
        && stated != found
    {
        warnings.push(format!("the sidecar says {stated:?}, but the content is a {found:?} backup"));
    }
    let limits = opened.limits(encryption.is_some());
    let proof =
        if encryption.is_some() { Some(Proof::Tag) } else { opened.expected().map(|_| Proof::Checksum) };
    let stated_version = sidecar.as_ref().and_then(|sidecar| sidecar.engine_version.clone());
    let (databases, places) = walked.databases.into_iter().unzip();
    Examined {
        artifact: opened.request.artifact.clone(),
        size: opened.stat.size,
        pin: opened.stat.pin.clone(),
        dbackup: sidecar.is_some() || walked.manifest,
        sidecar,
        stored_sha256: Some(region.sha256),
        codec,
        window_bytes,
        encryption,
        proof,
        engine: walked.engine,
        engine_version: walked.engine_version.or(stated_version),
        decoded: Some((walked.sha256, walked.bytes)),
        databases,
        files: None,
        warnings,
        layout: Layout::Whole { region: Arc::new(region), unseal, places, limits },
    }
}

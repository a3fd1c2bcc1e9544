//! age files (age-encryption.org/v1): X25519 identities and passphrases, armored or not.
//!
//! Every 64 KiB are authenticated before they leave; the last block carries a mark, so a cut file
//! is an error at its end.

use std::io::{self, Read};
use std::iter::once;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity};

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::Peek;
use crate::secret::Secret;

/// First bytes of a binary age file of any version.
const MAGIC: &[u8] = b"age-encryption.org/";
/// First bytes of an armored age file.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// Longest header that is read. One recipient takes about 100 bytes.
const HEADER_LIMIT_BYTES: usize = 256 * 1024;
/// Highest scrypt work factor that is tried: 4 GiB-seconds-class factors of a hostile header end
/// as an error instead of a hang. The age tool itself accepts up to 22.
const MAX_WORK_FACTOR: u8 = 22;

/// A key for age files.
#[derive(Clone)]
pub enum AgeKey {
    /// An X25519 identity, `AGE-SECRET-KEY-1…`.
    Identity(age::x25519::Identity),
    /// A passphrase.
    Passphrase(Secret<String>),
}

impl AgeKey {
    /// Reads the text of an identity: one line of an identity file.
    pub fn parse_identity(line: &str) -> Result<Self> {
        let line = line.trim();
        let upper = line.to_ascii_uppercase();
        if upper.starts_with("AGE-SECRET-KEY-PQ-1") || upper.starts_with("AGE-PLUGIN-") {
            let message = "post-quantum and plugin identities cannot be used";
            return Err(Fault::new(Stage::Resolve, Reason::UnsupportedKeyType, message));
        }
        line.parse().map(Self::Identity).map_err(|_| {
            let message = "the text is not an age identity (AGE-SECRET-KEY-1…)";
            Fault::new(Stage::Resolve, Reason::InvalidKey, message)
        })
    }

    fn with_identity<T>(&self, action: impl FnOnce(&dyn Identity) -> T) -> T {
        match self {
            Self::Identity(identity) => action(identity),
            Self::Passphrase(passphrase) => {
                let text = SecretString::from(passphrase.expose().clone());
                let mut identity = age::scrypt::Identity::new(text);
                identity.set_max_work_factor(MAX_WORK_FACTOR);
                action(&identity)
            }
        }
    }
}

/// Whether a stream with this head is an age file.
pub fn is_age(head: &[u8]) -> bool {
    head.starts_with(MAGIC) || head.trim_ascii_start().starts_with(ARMOR)
}

/// An age file whose header was read.
pub struct AgeFile<R: Read> {
    body: Peek<ArmoredReader<io::BufReader<R>>>,
    header: Vec<u8>,
}

impl<R: Read> AgeFile<R> {
    /// Reads the header of `inner`.
    pub fn open(inner: R) -> Result<Self> {
        let mut body = Peek::new(ArmoredReader::new(inner));
        let mut wanted = 4096;
        let header = loop {
            let head = body.peek(wanted).map_err(|error| {
                Fault::from_io(error, Stage::Decrypt, Reason::CorruptBackup, "failed to read the age header")
            })?;
            if let Some(end) = header_end(head) {
                break head.get(..end.min(head.len())).unwrap_or_default().to_vec();
            }
            if head.len() < wanted {
                let message = "the age header ends too early";
                return Err(Fault::new(Stage::Decrypt, Reason::Truncated, message));
            }
            wanted *= 2;
            if wanted > HEADER_LIMIT_BYTES {
                let message = format!("the age header is longer than {HEADER_LIMIT_BYTES} bytes");
                return Err(Fault::new(Stage::Decrypt, Reason::LimitExceeded, message));
            }
        };
        let file = Self { body, header };
        Decryptor::new(file.header.as_slice()).map_err(|error| fault(&error))?;
        Ok(file)
    }

    /// Whether `key` opens this file, by the header alone.
    pub fn fits(&self, key: &AgeKey) -> Result<bool> {
        let decryptor = Decryptor::new(self.header.as_slice()).map_err(|error| fault(&error))?;
        match key.with_identity(|identity| decryptor.decrypt(once(identity)).map(|_| ())) {
            Ok(()) => Ok(true),
            Err(
                DecryptError::NoMatchingKeys
                | DecryptError::DecryptionFailed
                | DecryptError::KeyDecryptionFailed,
            ) => Ok(false),
            Err(error) => Err(fault(&error)),
        }
    }

    /// Whether any recipient is of a type that cannot be used here.
    pub fn only_unsupported_recipients(&self) -> bool {
        let mut kinds = self
            .header
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"-> "))
            .map(|stanza| stanza.split(|byte| *byte == b' ').next().unwrap_or_default())
            .peekable();
        kinds.peek().is_some() && kinds.all(|kind| kind != b"X25519" && kind != b"scrypt")
    }

    /// The plain text, under a key that fits.
    pub fn decrypt(self, key: &AgeKey) -> Result<AgeReader<impl Read + use<R>>> {
        let decryptor = Decryptor::new(self.body).map_err(|error| fault(&error))?;
        let reader = key.with_identity(|identity| decryptor.decrypt(once(identity)));
        reader.map(|inner| AgeReader { inner }).map_err(|error| fault(&error))
    }
}

/// End of header and nonce: the line that starts with `--- `, its MAC, and 16 bytes.
fn header_end(head: &[u8]) -> Option<usize> {
    let mark = head.windows(5).position(|window| window == b"\n--- ")?;
    let after = head.get(mark + 5..)?;
    let line_end = after.iter().position(|byte| *byte == b'\n')?;
    let end = mark + 5 + line_end + 1 + 16;
    (end <= head.len()).then_some(end)
}

fn fault(error: &DecryptError) -> Fault {
    let (reason, message) = match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            (Reason::NoProfileFits, "no key opens the age header".to_owned())
        }
        DecryptError::InvalidMac => (Reason::Tampered, "the age header fails its authentication".to_owned()),
        DecryptError::InvalidHeader => (Reason::CorruptBackup, "the age header is not valid".to_owned()),
        DecryptError::UnknownFormat => {
            (Reason::UnsupportedFormat, "the age file is of an unknown version".to_owned())
        }
        DecryptError::ExcessiveWork { required, .. } => (
            Reason::LimitExceeded,
            format!("the passphrase needs a work factor of {required}, over {MAX_WORK_FACTOR}"),
        ),
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            (Reason::Truncated, "the age header ends too early".to_owned())
        }
        other => (Reason::CorruptBackup, format!("the age header cannot be read: {other}")),
    };
    Fault::new(Stage::Decrypt, reason, message)
}

/// Plain text of an age file; a block that fails its authentication is an error before its bytes.
pub struct AgeReader<R> {
    inner: R,
}

impl<R: Read> Read for AgeReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.inner.read(target).map_err(|error| {
            // A fault of the stages before travels through as it is.
            if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync + 'static>::is::<Fault>) {
                return error;
            }
            let (reason, message) = if error.kind() == io::ErrorKind::UnexpectedEof {
                (Reason::Truncated, "the age file ends before its last block")
            } else {
                (
                    Reason::Tampered,
                    "a block of the age file fails its authentication, or the file is cut in it",
                )
            };
            Fault::new(Stage::Decrypt, reason, message).caused_by(error).into_io()
        })
    }
}

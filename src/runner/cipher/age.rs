//! age files (age-encryption.org/v1): X25519 identities and passphrases, armored or not.
//!
//! Every 64 KiB are authenticated before they leave; the last block carries a mark, so a cut file
//! is an error at its end. Checked against the test vectors of C2SP.

use std::io::{self, BufRead, Read};
use std::iter::once;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity};

use super::armor::{ARMOR, Unarmored, WHITESPACE_LIMIT_BYTES};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pipe::Peek;
use crate::secret::Secret;

/// First bytes of a binary age file of any version.
const MAGIC: &[u8] = b"age-encryption.org/";
/// First line of a file of the version that is read.
const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";
/// Bytes of a full line of a stanza's body.
const FULL_LINE_BYTES: usize = 64;
/// Bytes between the header and the first block.
const NONCE_BYTES: usize = 16;
/// Longest header that is read. One recipient takes about 100 bytes.
const HEADER_LIMIT_BYTES: usize = 256 * 1024;
/// Highest scrypt work factor that is tried, 1 GiB of memory; the age tool writes 18 (256 MiB). The
/// header that states it is not authenticated.
const MAX_WORK_FACTOR: u8 = 20;

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
    body: Peek<Unarmored<R>>,
    header: Vec<u8>,
}

impl<R: Read> AgeFile<R> {
    /// Reads the header of `inner`.
    pub fn open(inner: R) -> Result<Self> {
        let mut stored = Peek::new(inner);
        let start = peek(&mut stored, WHITESPACE_LIMIT_BYTES + ARMOR.len())?;
        let whitespace = start.len() - start.trim_ascii_start().len();
        let unarmored = if start.trim_ascii_start().starts_with(ARMOR) {
            Unarmored::armored(stored, whitespace)?
        } else {
            Unarmored::Binary(stored)
        };
        let mut body = Peek::new(unarmored);
        check_version(peek(&mut body, FIRST_LINE.len())?)?;
        let mut wanted = 4096;
        let header = loop {
            let head = peek(&mut body, wanted)?;
            if let Some(end) = header_end(head) {
                break head.get(..end).unwrap_or_default().to_vec();
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
        file.decryptor()?;
        check_stanzas(&file.header)?;
        Ok(file)
    }

    fn decryptor(&self) -> Result<Decryptor<AtOnce<&[u8]>>> {
        let input = AtOnce { inner: self.header.as_slice(), left: header_length(&self.header) };
        Decryptor::new_buffered(input).map_err(|error| fault(&error))
    }

    /// Whether `key` opens this file, by the header alone.
    pub fn fits(&self, key: &AgeKey) -> Result<bool> {
        let decryptor = self.decryptor()?;
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

    /// Whether all recipients are of types that cannot be used here.
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
        let input = AtOnce { inner: self.body, left: header_length(&self.header) };
        let decryptor = Decryptor::new_buffered(input).map_err(|error| fault(&error))?;
        let reader = key.with_identity(|identity| decryptor.decrypt(once(identity)));
        reader.map(|inner| AgeReader { inner }).map_err(|error| fault(&error))
    }
}

fn peek<R: Read>(reader: &mut Peek<R>, count: usize) -> Result<&[u8]> {
    reader.peek(count).map_err(|error| {
        Fault::from_io(error, Stage::Decrypt, Reason::CorruptBackup, "failed to read the age header")
    })
}

/// Other versions may look different from their second line on: only this one is looked at further.
fn check_version(start: &[u8]) -> Result<()> {
    let (reason, message) = if start == FIRST_LINE {
        return Ok(());
    } else if FIRST_LINE.starts_with(start) {
        (Reason::Truncated, "the age header ends too early")
    } else if start.starts_with(MAGIC) && start.ends_with(b"\r") {
        (Reason::CorruptBackup, "the lines of the age header end in CR LF: it was copied as a text")
    } else if start.starts_with(MAGIC) {
        (Reason::UnsupportedFormat, "the age file is of an unknown version")
    } else {
        (Reason::CorruptBackup, "the content is not an age file")
    };
    Err(Fault::new(Stage::Decrypt, reason, message))
}

/// End of header and nonce: the line that starts with `--- `, its MAC, and 16 bytes.
fn header_end(head: &[u8]) -> Option<usize> {
    let mark = head.windows(5).position(|window| window == b"\n--- ")?;
    let after = head.get(mark + 5..)?;
    let line_end = after.iter().position(|byte| *byte == b'\n')?;
    let end = mark + 5 + line_end + 1 + NONCE_BYTES;
    (end <= head.len()).then_some(end)
}

/// Every stanza ends with a line shorter than a full one. The library lets this pass for files of
/// its beta versions, where a cut stanza looks like a whole one.
fn check_stanzas(header: &[u8]) -> Result<()> {
    let mut open = false;
    for line in header.split(|byte| *byte == b'\n') {
        let begins = line.starts_with(b"-> ") || line.starts_with(b"--- ");
        if begins && open {
            let message = "a stanza of the age header does not end";
            return Err(Fault::new(Stage::Decrypt, Reason::CorruptBackup, message));
        }
        if line.starts_with(b"--- ") {
            break;
        }
        open = begins || (open && line.len() >= FULL_LINE_BYTES);
    }
    Ok(())
}

/// Bytes of the header alone, as [`header_end`] found it.
fn header_length(header: &[u8]) -> usize {
    header.len().saturating_sub(NONCE_BYTES)
}

/// Gives the whole header where its next line is asked for: the library parses all it has after
/// each line, and a header of many short lines would keep it busy for minutes.
struct AtOnce<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for AtOnce<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.inner.read(target)
    }
}

impl<R: Read> BufRead for AtOnce<R> {
    /// Gives nothing: the header is read as lines, all else as bytes.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&[])
    }

    fn consume(&mut self, _: usize) {}

    fn read_until(&mut self, _: u8, line: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.inner.by_ref().take(self.left as u64).read_to_end(line)?;
        self.left -= count;
        Ok(count)
    }
}

fn fault(error: &DecryptError) -> Fault {
    let (reason, message) = match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            (Reason::NoProfileFits, "no key opens the age header".to_owned())
        }
        DecryptError::InvalidMac => (Reason::Tampered, "the age header fails its authentication".to_owned()),
        // The version was looked at before: a header that cannot be read counts as unknown too.
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
            (Reason::CorruptBackup, "the age header is not valid".to_owned())
        }
        DecryptError::ExcessiveWork { required, .. } => (
            Reason::LimitExceeded,
            format!("the passphrase needs a work factor of {required}, over {MAX_WORK_FACTOR}"),
        ),
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
            if Fault::is_in(&error) {
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

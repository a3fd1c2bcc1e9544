//! AES-256-GCM over a stream, with an IV of any length.
//!
//! One-shot AEAD crates hold the whole message in memory; a backup is larger than memory. This is
//! the composition that NIST SP 800-38D writes down (CTR + GHASH), from RustCrypto's parts, checked
//! against NIST's vectors and real backups. Plain text leaves before the tag is known: pass 1 only
//! looks at it, and pass 2 reads nothing that pass 1 did not prove.

use std::io::{self, Read};

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use ctr::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};
use crate::secret::Secret;

/// A raw AES-256 key.
pub type Key = Secret<[u8; 32]>;

/// Bytes of a full tag; shorter ones are refused.
pub const TAG_BYTES: usize = 16;

/// Most bytes under one key and IV: 2^32 - 2 blocks (SP 800-38D, 5.2.1.1).
pub const MAX_MESSAGE_BYTES: u64 = (1 << 36) - 32;

const BLOCK: usize = 16;

/// Where the tag of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagPlace {
    /// Known from elsewhere (DBackup's sidecar).
    Known([u8; TAG_BYTES]),
    /// The last 16 bytes of the stream (DBackup's sealed entries).
    Last,
}

/// Computes the tag of a ciphertext under one key.
pub struct Tagger {
    hash: GHash,
    mask: [u8; BLOCK],
    partial: [u8; BLOCK],
    partial_length: usize,
    length: u64,
}

struct Start {
    hash: GHash,
    counter0: [u8; BLOCK],
    mask: [u8; BLOCK],
}

fn start(key: &Key, iv: &[u8]) -> Start {
    let aes = Aes256::new(key.expose().into());
    let mut h = [0; BLOCK];
    aes.encrypt_block((&mut h).into());
    let hash = GHash::new((&h).into());
    let counter0 = initial_counter(&hash, iv);
    let mut mask = counter0;
    aes.encrypt_block((&mut mask).into());
    Start { hash, counter0, mask }
}

/// J0 of SP 800-38D, 7.1: 12 bytes are taken as they are, any other length is hashed.
fn initial_counter(hash: &GHash, iv: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    if iv.len() == 12 {
        for (to, from) in block.iter_mut().zip(iv) {
            *to = *from;
        }
        block[BLOCK - 1] = 1;
        return block;
    }
    let mut hash = hash.clone();
    hash.update_padded(iv);
    let bits = (iv.len() as u128) * 8;
    hash.update(&[bits.to_be_bytes().into()]);
    hash.finalize().into()
}

fn increment(counter: [u8; BLOCK]) -> [u8; BLOCK] {
    let number = u128::from_be_bytes(counter);
    let low = u128::from(u32::MAX);
    // Only the last 32 bits count, and they wrap (inc32 of SP 800-38D, 6.2).
    ((number & !low) | (number.wrapping_add(1) & low)).to_be_bytes()
}

impl Tagger {
    /// Begins a message.
    pub fn new(key: &Key, iv: &[u8]) -> Self {
        let start = start(key, iv);
        Self { hash: start.hash, mask: start.mask, partial: [0; BLOCK], partial_length: 0, length: 0 }
    }

    /// Adds ciphertext.
    pub fn update(&mut self, mut data: &[u8]) {
        self.length += data.len() as u64;
        if self.partial_length > 0 {
            let (head, rest) = data.split_at(data.len().min(BLOCK - self.partial_length));
            self.keep(head);
            data = rest;
            if self.partial_length < BLOCK {
                return;
            }
            self.hash.update(&[self.partial.into()]);
            self.partial_length = 0;
        }
        let whole = data.len() / BLOCK * BLOCK;
        let (blocks, rest) = data.split_at(whole);
        self.hash.update_padded(blocks);
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        for (to, from) in self.partial.iter_mut().skip(self.partial_length).zip(bytes) {
            *to = *from;
        }
        self.partial_length += bytes.len();
    }

    /// Whether `tag` is the tag of what was added; compared in constant time.
    pub fn matches(mut self, tag: &[u8; TAG_BYTES]) -> bool {
        let rest = self.partial;
        if let Some(rest) = rest.get(..self.partial_length).filter(|rest| !rest.is_empty()) {
            self.hash.update_padded(rest);
        }
        // No additional data: its length, the upper half, is zero.
        let lengths = u128::from(self.length * 8).to_be_bytes();
        self.hash.update(&[lengths.into()]);
        let mut computed: [u8; TAG_BYTES] = self.hash.finalize().into();
        for (byte, mask) in computed.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        computed.ct_eq(tag).into()
    }
}

/// What a failed tag means; it depends on what else is known of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// The key may be wrong (whole-file backups): `NoProfileFits`.
    KeyInDoubt,
    /// The key is proven by another message: `Tampered`.
    KeyProven,
}

/// Decrypts a stream; at its end the tag is checked, and a wrong one is an error instead of the end.
pub struct GcmReader<R> {
    inner: R,
    tagger: Option<Tagger>,
    cipher: Ctr32BE<Aes256>,
    tag: TagPlace,
    /// Ciphertext held back because it may be the tag.
    held: Vec<u8>,
    length: u64,
    on_mismatch: OnMismatch,
}

impl<R: Read> GcmReader<R> {
    /// Opens a message sealed under `key` and `iv`.
    pub fn new(inner: R, key: &Key, iv: &[u8], tag: TagPlace, on_mismatch: OnMismatch) -> Self {
        let first = increment(start(key, iv).counter0);
        Self {
            inner,
            tagger: Some(Tagger::new(key, iv)),
            cipher: Ctr32BE::new(key.expose().into(), (&first).into()),
            tag,
            held: Vec::new(),
            length: 0,
            on_mismatch,
        }
    }

    fn open(&mut self, data: &mut [u8]) -> io::Result<()> {
        self.length += data.len() as u64;
        if self.length > MAX_MESSAGE_BYTES {
            let message = format!("more than {MAX_MESSAGE_BYTES} bytes under one AES-GCM tag");
            return Err(Fault::new(Stage::Decrypt, Reason::LimitExceeded, message).into_io());
        }
        if let Some(tagger) = &mut self.tagger {
            tagger.update(data);
        }
        self.cipher.apply_keystream(data);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<usize> {
        let Some(tagger) = self.tagger.take() else { return Ok(0) };
        let tag = match self.tag {
            TagPlace::Known(tag) => tag,
            TagPlace::Last => {
                if let Ok(tag) = <[u8; TAG_BYTES]>::try_from(self.held.as_slice()) {
                    tag
                } else {
                    let message = "the sealed part is shorter than its tag";
                    return Err(Fault::new(Stage::Decrypt, Reason::Truncated, message).into_io());
                }
            }
        };
        if tagger.matches(&tag) {
            return Ok(0);
        }
        let fault = match self.on_mismatch {
            OnMismatch::KeyInDoubt => Fault::new(
                Stage::Decrypt,
                Reason::NoProfileFits,
                "the AES-256-GCM tag does not fit under this key",
            ),
            OnMismatch::KeyProven => {
                let message = "the AES-256-GCM tag does not fit although the key is right";
                Fault::new(Stage::Decrypt, Reason::Tampered, message)
            }
        };
        Err(fault.into_io())
    }

    /// Reads ciphertext into `target`, keeping the last 16 bytes back.
    fn read_before_tag(&mut self, target: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.inner.read(target)?;
            if count == 0 {
                return Ok(0);
            }
            self.held.extend_from_slice(target.get(..count).unwrap_or_default());
            let ready = self.held.len().saturating_sub(TAG_BYTES).min(target.len());
            if ready > 0 {
                for (to, from) in target.iter_mut().zip(self.held.drain(..ready)) {
                    *to = from;
                }
                return Ok(ready);
            }
        }
    }
}

impl<R: Read> Read for GcmReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        let count = match self.tag {
            TagPlace::Known(_) => self.inner.read(target)?,
            TagPlace::Last => self.read_before_tag(target)?,
        };
        if count == 0 {
            return self.finish();
        }
        if let Some(data) = target.get_mut(..count) {
            self.open(data)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seals like OpenSSL does, with the parts under test used the other way round.
    fn seal(key: &Key, iv: &[u8], plain: &[u8]) -> (Vec<u8>, [u8; 16]) {
        let begun = start(key, iv);
        let mut data = plain.to_vec();
        let first = increment(begun.counter0);
        Ctr32BE::<Aes256>::new(key.expose().into(), (&first).into()).apply_keystream(&mut data);
        let mut hash = begun.hash;
        hash.update_padded(&data);
        hash.update(&[(data.len() as u128 * 8).to_be_bytes().into()]);
        let mut tag: [u8; 16] = hash.finalize().into();
        tag.iter_mut().zip(begun.mask).for_each(|(t, m)| *t ^= m);
        (data, tag)
    }

    fn key(hex_digits: &str) -> Key {
        Secret::new(hex::decode(hex_digits).unwrap().try_into().unwrap())
    }

    /// `McGrew` & Viega's GCM test cases 13 to 15 and 17 without additional data (AES-256), as NIST
    /// took them over: 12-byte IVs.
    #[test]
    fn published_vectors_open() {
        let zero = "0000000000000000000000000000000000000000000000000000000000000000";
        let feff = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        let cases = [
            (zero, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
            (
                zero,
                "000000000000000000000000",
                "cea7403d4d606b6e074ec5d3baf39d18",
                "00000000000000000000000000000000",
                "d0d1c8a799996bf0265b98b5d48ab919",
            ),
            (
                feff,
                "cafebabefacedbaddecaf888",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
                "b094dac5d93471bdec1a502270e3cc6c",
            ),
        ];
        for (key_hex, iv, cipher, plain, tag) in cases {
            let tag = TagPlace::Known(hex::decode(tag).unwrap().try_into().unwrap());
            let data = hex::decode(cipher).unwrap();
            let iv = hex::decode(iv).unwrap();
            let mut reader = GcmReader::new(&data[..], &key(key_hex), &iv, tag, OnMismatch::KeyInDoubt);
            let mut opened = Vec::new();
            reader.read_to_end(&mut opened).unwrap();
            assert_eq!(hex::encode(opened), plain);
        }
    }

    #[test]
    fn any_iv_length_chunking_and_tag_place_opens_to_the_same_text() {
        let key = key("0efc75cce138bd8f1675fec7a15d09b02142809106cac1918c8961fdaafd4995");
        let plain: Vec<u8> = (0..10_007_u32).map(|i| (i % 253) as u8).collect();
        for iv_length in [1, 12, 16, 17, 60] {
            let iv = vec![0x5a; iv_length];
            let (data, tag) = seal(&key, &iv, &plain);
            let appended = [&data[..], &tag[..]].concat();
            for step in [1, 15, 16, 17, 1000, 20_000] {
                for (stream, place) in [(&data, TagPlace::Known(tag)), (&appended, TagPlace::Last)] {
                    let mut reader = GcmReader::new(&stream[..], &key, &iv, place, OnMismatch::KeyProven);
                    let mut opened = Vec::new();
                    let mut buffer = vec![0; step];
                    loop {
                        let count = reader.read(&mut buffer).unwrap();
                        if count == 0 {
                            break;
                        }
                        opened.extend_from_slice(&buffer[..count]);
                    }
                    assert!(opened == plain, "iv {iv_length}, step {step}, {place:?}");
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error_instead_of_the_end() {
        let key = key("39856ad38531c6b98a6da7917e2b5846c90ca74e3f94b808a935abd294ca5e48");
        let (data, tag) = seal(&key, &[9; 16], b"attack at dawn, and then home for tea");
        let sealed = [&data[..], &tag[..]].concat();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut reader =
                GcmReader::new(&changed[..], &key, &[9; 16], TagPlace::Last, OnMismatch::KeyProven);
            let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
            let fault = Fault::from_io(error, Stage::Decrypt, Reason::InternalError, "");
            assert_eq!(fault.reason, Reason::Tampered, "bit {bit}");
        }
    }
}

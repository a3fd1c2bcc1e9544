//! Properties of the envelope and the codec chain: what was written reads back however it is cut,
//! and damage is never a success with other bytes.

use std::io::{BufReader, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use reinstate::reason::Reason;
use reinstate::runner::cipher::{AgeFile, AgeKey};
use reinstate::runner::codec::{Codec, Limits, decode};
use reinstate::runner::fault::{Fault, Stage};

/// Gives at most `step` bytes a read.
struct Trickle<'a> {
    data: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(target.len());
        self.data.read(&mut target[..count])
    }
}

fn compress(codec: Codec, data: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => data.to_vec(),
        Codec::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Brotli => {
            let mut encoded = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams { quality: 2, ..Default::default() };
            brotli::BrotliCompress(&mut &*data, &mut encoded, &parameters).unwrap();
            encoded
        }
        Codec::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn reason(error: std::io::Error) -> Reason {
    Fault::from_io(error, Stage::CleanUp, Reason::InternalError, "").reason
}

/// The bytes that were given, and how the stream ended.
fn read(reader: std::io::Result<impl Read>) -> (Vec<u8>, Result<(), Reason>) {
    let mut plain = Vec::new();
    let outcome = reader.and_then(|mut reader| reader.read_to_end(&mut plain)).map(|_| ()).map_err(reason);
    (plain, outcome)
}

fn decoded(codec: Codec, stored: &[u8], step: usize) -> (Vec<u8>, Result<(), Reason>) {
    let buffered = BufReader::with_capacity(step, Trickle { data: stored, step });
    read(decode(codec, buffered, Limits { output_bytes: 1 << 20, ratio: 1000 }))
}

fn seal(data: &[u8], identity: &age::x25519::Identity, armored: bool) -> Vec<u8> {
    let recipient = identity.to_public();
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let format = if armored { age::armor::Format::AsciiArmor } else { age::armor::Format::Binary };
    let armor = age::armor::ArmoredWriter::wrap_output(Vec::new(), format).unwrap();
    let mut writer = encryptor.wrap_output(armor).unwrap();
    writer.write_all(data).unwrap();
    writer.finish().and_then(age::armor::ArmoredWriter::finish).unwrap()
}

fn opened(stored: &[u8], key: &AgeKey, step: usize) -> (Vec<u8>, Result<(), Reason>) {
    let file = AgeFile::open(Trickle { data: stored, step });
    match file.and_then(|file| file.decrypt(key)) {
        Ok(reader) => read(Ok(reader)),
        Err(fault) => (Vec::new(), Err(fault.reason)),
    }
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(vec![Codec::None, Codec::Gzip, Codec::Brotli, Codec::Zstd])
}

/// Bytes with repetitions, up to some 140 KiB: three age blocks.
fn content() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..600), 1_usize..240).prop_map(|(part, times)| part.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_compressed_and_sealed_reads_back_however_it_is_cut(
        data in content(), codec in any_codec(), armored in any::<bool>(), step in 1_usize..5000,
    ) {
        let identity = age::x25519::Identity::generate();
        let stored = seal(&compress(codec, &data), &identity, armored);
        let (compressed, outcome) = opened(&stored, &AgeKey::Identity(identity), step);
        prop_assert_eq!(outcome, Ok(()));
        let (plain, outcome) = decoded(codec, &compressed, step);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert!(plain == data);
    }

    #[test]
    fn a_sealed_file_with_a_flipped_bit_or_a_cut_gives_an_error_after_a_true_beginning(
        data in content(), place in any::<prop::sample::Index>(), cut in any::<bool>(),
    ) {
        let identity = age::x25519::Identity::generate();
        let mut stored = seal(&data, &identity, false);
        if cut {
            stored.truncate(place.index(stored.len()));
        } else {
            let bit = place.index(stored.len() * 8);
            stored[bit / 8] ^= 1 << (bit % 8);
        }
        let (given, outcome) = opened(&stored, &AgeKey::Identity(identity), 4096);
        prop_assert!(outcome.is_err());
        prop_assert_ne!(outcome, Err(Reason::InternalError));
        prop_assert!(data.starts_with(&given));
    }

    #[test]
    fn a_damaged_stream_with_a_check_sum_is_never_other_bytes(
        data in content(), place in any::<prop::sample::Index>(), codec in prop::sample::select(vec![Codec::Gzip, Codec::Zstd]),
    ) {
        let mut stored = compress(codec, &data);
        let bit = place.index(stored.len() * 8);
        stored[bit / 8] ^= 1 << (bit % 8);
        let (plain, outcome) = decoded(codec, &stored, 997);
        match outcome {
            Ok(()) => prop_assert!(plain == data, "{:?}, bit {}", codec, bit),
            Err(reason) => prop_assert_ne!(reason, Reason::InternalError),
        }
    }

    #[test]
    fn any_bytes_end_in_a_stream_or_a_fault(data in prop::collection::vec(any::<u8>(), 0..2000), codec in any_codec()) {
        let (plain, outcome) = decoded(codec, &data, 64);
        prop_assert!(plain.len() <= 1 << 20);
        prop_assert_ne!(outcome, Err(Reason::InternalError));
        for head in ["", "age-encryption.org/v1\n", "-----BEGIN AGE ENCRYPTED FILE-----\n"] {
            let file = [head.as_bytes(), &data].concat();
            prop_assert!(AgeFile::open(file.as_slice()).is_err());
        }
    }
}

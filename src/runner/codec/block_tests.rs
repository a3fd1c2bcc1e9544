use std::io::Write;

use super::*;

/// An LZ4 frame as the reference library writes it by default: linked parts of 64 KiB.
fn lz4_frame(data: &[u8], linked: bool, checksums: bool) -> Vec<u8> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new()
        .block_mode(if linked { BlockMode::Linked } else { BlockMode::Independent })
        .block_size(BlockSize::Max64KB)
        .block_checksums(checksums)
        .content_checksum(checksums);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn encoded(codec: BlockCodec, data: &[u8]) -> Vec<u8> {
    match codec {
        BlockCodec::None => data.to_vec(),
        BlockCodec::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        BlockCodec::Lz4 => lz4_frame(data, true, false),
        BlockCodec::Zstd => ::zstd::encode_all(data, 3).unwrap(),
        BlockCodec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn decoded(codec: BlockCodec, stored: &[u8], step: usize) -> Result<Vec<u8>, Reason> {
    let mut decoder = BlockDecoder::new(codec).unwrap();
    let mut plain = Vec::new();
    for piece in stored.chunks(step) {
        let fed = decoder.feed(piece, &mut |part| {
            plain.extend_from_slice(part);
            Ok(())
        });
        fed.map_err(|fault| fault.reason)?;
    }
    decoder.finish().map_err(|fault| fault.reason)?;
    Ok(plain)
}

const COMPRESSED: [BlockCodec; 4] = [BlockCodec::Zlib, BlockCodec::Lz4, BlockCodec::Zstd, BlockCodec::Gzip];

fn sample() -> Vec<u8> {
    (0..100_000_u32).flat_map(|i| (i * i / 77).to_le_bytes()).collect()
}

#[test]
fn every_codec_gives_back_what_was_compressed_however_it_is_cut() {
    for codec in [&COMPRESSED[..], &[BlockCodec::None]].concat() {
        for data in [Vec::new(), b"x".to_vec(), vec![b'a'; 300_000], sample()] {
            let stored = encoded(codec, &data);
            for step in [97, 4096, 1 << 20] {
                assert!(decoded(codec, &stored, step) == Ok(data.clone()), "{codec:?} by {step}");
            }
        }
    }
}

#[test]
fn members_of_gzip_are_one_block_and_their_checksums_are_kept() {
    let stored = [&b"one "[..], b"", b"two"].map(|part| encoded(BlockCodec::Gzip, part)).concat();
    for step in [1, 7, 1 << 20] {
        assert_eq!(decoded(BlockCodec::Gzip, &stored, step), Ok(b"one two".to_vec()), "by {step}");
    }
    for from_end in 1..=8 {
        let mut damaged = stored.clone();
        let at = damaged.len() - from_end;
        damaged[at] ^= 1;
        assert_eq!(decoded(BlockCodec::Gzip, &damaged, 5), Err(Reason::CorruptBackup), "{from_end}");
    }
}

#[test]
fn a_block_may_come_byte_by_byte() {
    for codec in COMPRESSED {
        let data = &sample()[..3000];
        assert!(decoded(codec, &encoded(codec, data), 1) == Ok(data.to_vec()), "{codec:?}");
    }
}

#[test]
fn every_kind_of_lz4_frame_is_read_and_its_checksums_are_kept() {
    let data = [sample(), vec![0; 200_000], sample()].concat();
    for (linked, checksums) in [(true, false), (true, true), (false, false), (false, true)] {
        let stored = lz4_frame(&data, linked, checksums);
        for step in [997, 1 << 20] {
            assert!(decoded(BlockCodec::Lz4, &stored, step) == Ok(data.clone()), "{linked} {checksums}");
        }
    }
    let mut damaged = lz4_frame(&data, true, true);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(decoded(BlockCodec::Lz4, &damaged, 1 << 20), Err(Reason::CorruptBackup));
}

#[test]
fn a_block_cut_anywhere_is_truncated() {
    for codec in COMPRESSED {
        let stored = encoded(codec, &sample()[..1500]);
        for end in 0..stored.len() {
            assert_eq!(decoded(codec, &stored[..end], 1 << 20), Err(Reason::Truncated), "{codec:?} at {end}");
        }
    }
}

#[test]
fn anything_behind_the_end_is_an_error() {
    for codec in COMPRESSED {
        for step in [1, 1 << 20] {
            let stored = [encoded(codec, b"rows"), b"x".to_vec()].concat();
            assert_eq!(decoded(codec, &stored, step), Err(Reason::CorruptBackup), "{codec:?} by {step}");
        }
    }
}

#[test]
fn a_block_that_grows_without_measure_is_stopped() {
    let mut decoder = BlockDecoder::new(BlockCodec::Zstd).unwrap();
    decoder.bytes_in = 100;
    decoder.bytes_out = RATIO_FROM_BYTES;
    let fault = decoder.feed(&encoded(BlockCodec::Zstd, &vec![0; 5_000_000]), &mut |_| Ok(())).unwrap_err();
    assert_eq!(fault.reason, Reason::LimitExceeded);
}

#[test]
fn a_zstd_window_over_128_mib_is_refused() {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&sample()).unwrap();
    let stored = encoder.finish().unwrap();
    assert_eq!(decoded(BlockCodec::Zstd, &stored, 1 << 20), Err(Reason::LimitExceeded));
}

#[test]
fn the_window_of_a_zstd_block_is_told_and_can_be_limited() {
    for (log, fits) in [(20, true), (23, true), (24, false)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&vec![7; 40 << 20]).unwrap();
        let stored = encoder.finish().unwrap();
        let mut decoder = BlockDecoder::new(BlockCodec::Zstd).unwrap();
        decoder.feed(&stored, &mut |_| Ok(())).unwrap();
        assert_eq!(decoder.window_bytes(), 1 << log);
        let mut limited = BlockDecoder::with_window(BlockCodec::Zstd, 23).unwrap();
        assert_eq!(limited.feed(&stored, &mut |_| Ok(())).is_ok(), fits, "{log}");
    }
    let mut plain = BlockDecoder::new(BlockCodec::None).unwrap();
    plain.feed(b"x", &mut |_| Ok(())).unwrap();
    assert_eq!(plain.window_bytes(), 0);
}

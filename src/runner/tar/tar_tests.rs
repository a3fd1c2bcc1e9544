use std::io::Read;

use proptest::prelude::*;

use super::header::number;
use super::{Kind, Member, Piece, TarFeed, TarReader};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

fn archive(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn read_all(data: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut reader = TarReader::new(data);
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        reader
            .read_to_end(&mut content)
            .map_err(|error| Fault::from_io(error, Stage::Inspect, Reason::InternalError, ""))?;
        assert_eq!(content.len() as u64, member.size);
        assert_eq!(&data[usize::try_from(member.offset).unwrap()..][..content.len()], &content[..]);
        members.push((member.name, content));
    }
    Ok(members)
}

proptest! {
    #[test]
    fn archives_of_another_writer_read_back(
        members in proptest::collection::vec(("[a-zA-Z0-9ž_-][a-zA-Z0-9ž_.-]{0,299}", proptest::collection::vec(any::<u8>(), 0..2000)), 0..6)
    ) {
        let members: Vec<(String, Vec<u8>)> = members;
        prop_assert_eq!(read_all(&archive(&members)).unwrap(), members);
    }

    #[test]
    fn any_bytes_end_in_members_or_a_fault(data in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read_all(&data);
    }

    #[test]
    fn a_flipped_bit_never_panics(position in 0_usize..5 * 512 * 8) {
        let mut data = archive(&[("a".repeat(150), vec![1; 700]), ("b".into(), vec![2; 30])]);
        if let Some(byte) = data.get_mut(position / 8) { *byte ^= 1 << (position % 8); }
        let _ = read_all(&data);
    }
}

#[test]
fn an_archive_cut_anywhere_is_truncated() {
    let data = archive(&[("one.sql".into(), vec![7; 1300]), ("two.sql".into(), vec![8; 10])]);
    for end in 0..data.len() {
        assert_eq!(read_all(&data[..end]).unwrap_err().reason, Reason::Truncated, "{end}");
    }
}

#[test]
fn what_follows_the_end_must_be_zeros() {
    let mut data = archive(&[("a".into(), vec![1])]);
    data.extend_from_slice(&[0; 8192]);
    assert_eq!(read_all(&data).unwrap().len(), 1);
    data.push(1);
    assert_eq!(read_all(&data).unwrap_err().reason, Reason::CorruptBackup);
}

#[test]
fn sizes_over_8_gib_and_absurd_ones_are_numbers_or_faults() {
    assert_eq!(number(b"77777777777\0").unwrap(), 0o77_777_777_777);
    assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]).unwrap(), 2 << 32);
    assert_eq!(number(&[0xff; 12]).unwrap_err().reason, Reason::CorruptBackup);
    assert_eq!(number(b"12x\0").unwrap_err().reason, Reason::CorruptBackup);
}

/// All that a feed gives, cut into pieces of `step` bytes.
fn feed_all(data: &[u8], step: usize) -> Result<Vec<(String, Kind, Vec<u8>)>> {
    let mut feed = TarFeed::default();
    let mut members = Vec::new();
    let mut open: Option<(Member, Vec<u8>)> = None;
    for part in data.chunks(step) {
        feed.feed(part, &mut |piece| {
            match (piece, &mut open) {
                (Piece::Begin(member), None) => open = Some((member.clone(), Vec::new())),
                (Piece::Bytes(bytes), Some((_, content))) => content.extend_from_slice(bytes),
                (Piece::End, Some(_)) => {
                    let (member, content) = open.take().unwrap();
                    assert_eq!(member.size, content.len() as u64);
                    let start = usize::try_from(member.offset).unwrap();
                    assert_eq!(&data[start..start + content.len()], &content[..]);
                    members.push((member.name, member.kind, content));
                }
                other => panic!("{other:?}"),
            }
            Ok(())
        })?;
    }
    feed.finish()?;
    Ok(members)
}

proptest! {
    #[test]
    fn what_is_fed_gives_the_same_members_as_what_is_read(
        members in proptest::collection::vec(("[a-z]{1,299}", proptest::collection::vec(any::<u8>(), 0..2000)), 0..6),
        step in 1_usize..3000,
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut data = archive(&members);
        if let Some((at, byte)) = damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let read = read_all(&data).map_err(|fault| fault.reason);
        let fed = feed_all(&data, step).map_err(|fault| fault.reason);
        let fed = fed.map(|all| all.into_iter().map(|(name, _, content)| (name, content)).collect());
        prop_assert_eq!(fed, read);
    }
}

#[test]
fn an_archive_that_is_fed_and_cut_anywhere_is_truncated() {
    let data = archive(&[("a".repeat(200), vec![7; 1300]), ("two.sql".into(), vec![8; 10])]);
    for end in 0..data.len() {
        for step in [7, 4096] {
            assert_eq!(feed_all(&data[..end], step).unwrap_err().reason, Reason::Truncated, "{end}");
        }
    }
}

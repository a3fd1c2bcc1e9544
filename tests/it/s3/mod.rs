//! The S3 source against a real MinIO: what is read, pinned and listed; in the modules below what
//! it refuses, what it does on faulty links and what it makes of answers that lie.

mod answers;
mod backups;
mod links;
mod refusals;

use std::io::{self, Read};
use std::time::Duration;

use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::fault::{Fault, Stage};
use reinstate::runner::source::{Pin, S3, S3Options, Store};

use crate::parts::minio::{Bucket, minio};
use crate::parts::noise;
use crate::parts::tamper::Tamper;
use crate::parts::toxiproxy::FaultyLink;

const PART: usize = 4 * 1024 * 1024;

fn read_all(store: &S3, path: &str) -> Result<Vec<u8>, Fault> {
    let stat = store.stat(path)?;
    read_range(store, path, &stat.pin, 0..stat.size)
}

fn read_range(store: &S3, path: &str, pin: &Pin, range: std::ops::Range<u64>) -> Result<Vec<u8>, Fault> {
    let mut content = Vec::new();
    let mut reader = store.open(path, pin, range, &Cancel::never())?;
    reader.read_to_end(&mut content).map_err(fault_of)?;
    Ok(content)
}

fn fault_of(error: io::Error) -> Fault {
    Fault::from_io(error, Stage::Inspect, Reason::InternalError, "not a fault of the source")
}

/// Reads up to a fault, which must come; what came before it must be what was stored.
fn read_to_fault(reader: &mut dyn Read, stored: &[u8]) -> Fault {
    let (mut position, mut buffer) = (0, vec![0; 256 * 1024]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => panic!("the end came at {position} of {} bytes instead of a fault", stored.len()),
            Ok(count) => {
                assert!(buffer[..count] == stored[position..position + count], "wrong bytes at {position}");
                position += count;
            }
            Err(error) => {
                let again = fault_of(reader.read(&mut buffer).expect_err("a failed reader stays failed"));
                let fault = fault_of(error);
                assert_eq!(again.reason, fault.reason);
                return fault;
            }
        }
    }
}

fn through(link: &FaultyLink, bucket: &Bucket) -> S3Options {
    let endpoint = bucket.options().endpoint.unwrap();
    let scheme = endpoint.split("://").next().unwrap();
    S3Options { endpoint: Some(format!("{scheme}://127.0.0.1:{}", link.port)), ..bucket.options() }
}

fn behind(tamper: &Tamper, bucket: &Bucket) -> S3 {
    let stall_timeout = Some(Duration::from_secs(5));
    S3::connect(S3Options { endpoint: Some(tamper.endpoint()), stall_timeout, ..bucket.options() }).unwrap()
}

#[test]
fn what_is_read_over_tls_equals_what_was_stored() {
    let bucket = minio().bucket();
    let store = bucket.store();
    for size in [0, 1, PART - 1, PART, PART + 1, 33 * 1024 * 1024] {
        let content = noise(size, size as u64);
        bucket.put("object", &content);
        assert_eq!(store.stat("object").unwrap().size, size as u64);
        assert!(read_all(&store, "object").unwrap() == content, "{size} bytes");
    }
}

#[test]
fn ranges_give_exactly_their_bytes() {
    let bucket = minio().bucket();
    let content = noise(3 * PART + 17, 7);
    bucket.put("object", &content);
    let store = bucket.store();
    let pin = store.stat("object").unwrap().pin;
    let end = content.len();
    for range in
        [0..1, 5..5, 1..PART, PART - 1..PART + 1, 3 * PART..end, end - 1..end, end..end, 100..2 * PART + 3]
    {
        let read = read_range(&store, "object", &pin, range.start as u64..range.end as u64).unwrap();
        assert!(read == content[range.clone()], "{range:?}");
    }
    let outside = store.open("object", &pin, 0..end as u64 + 1, &Cancel::never());
    assert_eq!(outside.map(|_| ()).unwrap_err().reason, Reason::InternalError);
}

#[test]
fn a_store_sees_only_what_is_below_its_prefix() {
    let bucket = minio().bucket();
    bucket.put("dbackup/shop/a.sql", b"inside");
    bucket.put("shop/a.sql", b"outside");
    let store = S3::connect(S3Options { prefix: "dbackup/".into(), ..bucket.options() }).unwrap();
    assert_eq!(store.describe(), format!("s3://{}/dbackup/", bucket.name));
    assert_eq!(read_all(&store, "shop/a.sql").unwrap(), b"inside");
    let rows = store.list("", 10).unwrap();
    assert_eq!(rows.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["shop/a.sql"]);
}

#[test]
fn an_object_that_is_replaced_or_removed_after_it_was_looked_at_is_not_read() {
    let bucket = minio().bucket();
    let store = bucket.store();
    for (case, size) in [("another size", 10), ("the same size", 7)] {
        bucket.put("object", b"content");
        let pin = store.stat("object").unwrap().pin;
        bucket.put("object", &noise(size, 1));
        let fault = read_range(&store, "object", &pin, 0..7).unwrap_err();
        assert_eq!(fault.reason, Reason::SourceChanged, "{case}: {}", fault.full_message());
    }
    bucket.put("empty", b"");
    let pin = store.stat("empty").unwrap().pin;
    bucket.put("empty", b"no more");
    let fault = read_range(&store, "empty", &pin, 0..0).unwrap_err();
    assert_eq!(fault.reason, Reason::SourceChanged, "{}", fault.full_message());

    bucket.put("object", b"content");
    let pin = store.stat("object").unwrap().pin;
    bucket.delete("object");
    let fault = read_range(&store, "object", &pin, 0..7).unwrap_err();
    assert_eq!(fault.reason, Reason::SourceNotFound, "{}", fault.full_message());
}

#[test]
fn an_object_that_is_replaced_in_the_middle_of_a_read_ends_it_without_one_wrong_byte() {
    let bucket = minio().bucket();
    let content = noise(8 * PART, 1);
    bucket.put("object", &content);
    let store = bucket.store();
    let stat = store.stat("object").unwrap();
    let mut reader = store.open("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    let mut first = vec![0; 100];
    reader.read_exact(&mut first).unwrap();
    bucket.put("object", &noise(8 * PART, 2));
    let fault = read_to_fault(&mut reader, &content[100..]);
    assert!(first == content[..100]);
    assert_eq!(fault.reason, Reason::SourceChanged, "{}", fault.full_message());
}

#[test]
fn a_version_stays_readable_after_it_was_replaced_and_after_it_was_deleted() {
    let bucket = minio().versioned_bucket();
    let content = noise(PART + 5, 1);
    bucket.put("object", &content);
    let store = bucket.store();
    let stat = store.stat("object").unwrap();
    assert!(matches!(&stat.pin, Pin::Object { version_id: Some(_), .. }), "{:?}", stat.pin);
    bucket.put("object", b"newer");
    assert!(read_range(&store, "object", &stat.pin, 0..stat.size).unwrap() == content);
    bucket.delete("object");
    assert!(read_range(&store, "object", &stat.pin, 0..stat.size).unwrap() == content);
    assert_eq!(store.stat("object").unwrap_err().reason, Reason::SourceNotFound);
}

#[test]
fn a_listing_of_many_pages_is_complete_sorted_and_bounded() {
    let bucket = minio().bucket();
    let keys: Vec<String> = (0..2_100).map(|index| format!("many/{index:05}")).collect();
    bucket.put_all(&keys);
    bucket.put("manual", b"123");
    let store = bucket.store();
    let rows = store.list("many/", 5_000).unwrap();
    assert!(rows.iter().map(|row| &row.path).eq(keys.iter()), "{} rows", rows.len());
    assert_eq!(store.list("many/0000", 10).unwrap().len(), 10);
    assert_eq!(store.list("many/", 2_099).unwrap_err().reason, Reason::LimitExceeded);
    assert!(store.list("none/", 10).unwrap().is_empty());
    let manual = store.list("man", 5_000).unwrap().into_iter().find(|row| row.path == "manual").unwrap();
    assert_eq!((manual.size, manual.modified.is_some()), (3, true));
}

#[test]
fn keys_are_exact_whatever_is_in_them() {
    let bucket = minio().bucket();
    let store = bucket.store();
    let segment = "long-".repeat(40);
    let longest =
        format!("{segment}/{segment}/{segment}/{segment}/{segment}/{}", "x".repeat(1_024 - 5 * 201));
    assert_eq!(longest.len(), 1_024);
    let mut keys = [
        "a b+c",
        "a%2Fb",
        "a%20b",
        "plus+",
        "Ünïcødé/日本語/🦀.sql",
        "quote\"'`",
        "&<>;:@=,$!*()~",
        "?query#part",
        "tab\there",
        "[brackets]{braces}",
        longest.as_str(),
    ];
    for key in keys {
        bucket.put(key, key.as_bytes());
        assert_eq!(read_all(&store, key).unwrap(), key.as_bytes(), "{key}");
    }
    keys.sort_unstable();
    let rows = store.list("", 100).unwrap();
    assert_eq!(rows.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), keys);
    let too_long = "x/".repeat(600);
    assert_eq!(store.stat(&too_long).unwrap_err().reason, Reason::InvalidSpec);
}

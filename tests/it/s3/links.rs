//! Links that cut, stall and lag, and how many connections a reader opens over them.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::source::{S3, S3Options, Store};
use serde_json::json;

use super::{PART, behind, fault_of, read_all, read_to_fault, through};
use crate::parts::minio::{minio, plain_minio};
use crate::parts::tamper::{Action, Tamper};
use crate::parts::toxiproxy::FaultyLink;
use crate::parts::{noise, wait_until};

#[test]
fn connections_that_are_cut_again_and_again_cost_no_byte() {
    let bucket = minio().bucket();
    let content = noise(3 * PART + 1, 3);
    bucket.put("object", &content);
    let link = FaultyLink::to(minio().port);
    let store = S3::connect(through(&link, &bucket)).unwrap();
    link.add("limit_data", &json!({"bytes": 1_500_000}));
    assert!(read_all(&store, "object").unwrap() == content);
}

#[test]
fn a_link_that_stays_cut_ends_the_read_in_time() {
    let bucket = minio().bucket();
    let content = noise(4 * PART, 3);
    bucket.put("object", &content);
    let link = FaultyLink::to(minio().port);
    let stall_timeout = Some(Duration::from_secs(2));
    let store = S3::connect(S3Options { stall_timeout, ..through(&link, &bucket) }).unwrap();
    let stat = store.stat("object").unwrap();
    let mut reader = store.open("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    link.cut();
    let fault = read_to_fault(&mut reader, &content[10..]);
    assert_eq!(fault.reason, Reason::SourceUnavailable, "{}", fault.full_message());
    assert!(fault.message.contains("attempts"), "{}", fault.message);
}

#[test]
fn a_server_that_stops_sending_is_given_up_within_the_stall_timeout() {
    let bucket = minio().bucket();
    let content = noise(4 * PART, 4);
    bucket.put("object", &content);
    let link = FaultyLink::to(minio().port);
    let stall_timeout = Some(Duration::from_secs(3));
    let store = S3::connect(S3Options { stall_timeout, ..through(&link, &bucket) }).unwrap();
    let stat = store.stat("object").unwrap();
    let mut reader = store.open("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    link.add("timeout", &json!({"timeout": 0}));
    let clock = Instant::now();
    let fault = read_to_fault(&mut reader, &content[10..]);
    assert_eq!(fault.reason, Reason::SourceUnavailable, "{}", fault.full_message());
    assert!(clock.elapsed() < Duration::from_secs(8), "{:?}", clock.elapsed());
}

#[test]
fn a_stall_that_ends_is_survived() {
    let bucket = plain_minio().bucket();
    let content = noise(4 * PART, 4);
    bucket.put("object", &content);
    let tamper = Tamper::in_front_of(plain_minio().port, |_| Action::Forward);
    let link = FaultyLink::to(tamper.port);
    let store = S3::connect(through(&link, &bucket)).unwrap();
    let stat = store.stat("object").unwrap();
    let mut reader = store.open_range("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    let mut read = vec![0; 10];
    reader.read_exact(&mut read).unwrap();
    wait_until("the link is idle", || reader.ready_parts().unwrap() > 0);
    let before = tamper.gets();
    // Nothing comes through for half a second, then the connection is closed.
    link.add("timeout", &json!({"timeout": 500}));
    let reading = thread::spawn(move || reader.read_to_end(&mut read).map(|_| read));
    wait_until("it has asked twice more", || tamper.gets() >= before + 2);
    link.remove("timeout");
    assert!(reading.join().unwrap().unwrap() == content);
}

#[test]
fn a_cancel_is_honoured_while_nothing_arrives() {
    let bucket = minio().bucket();
    bucket.put("object", &noise(4 * PART, 4));
    let link = FaultyLink::to(minio().port);
    let store = S3::connect(through(&link, &bucket)).unwrap();
    let stat = store.stat("object").unwrap();
    link.add("timeout", &json!({"timeout": 0}));
    let cancel = Cancel::never();
    let mut reader = store.open("object", &stat.pin, 0..stat.size, &cancel).unwrap();
    let reading = thread::spawn(move || fault_of(reader.read(&mut [0; 10]).unwrap_err()));
    cancel.cancel();
    let clock = Instant::now();
    assert_eq!(reading.join().unwrap().reason, Reason::Interrupted);
    assert!(clock.elapsed() < Duration::from_secs(1), "{:?}", clock.elapsed());
}

#[test]
fn a_consumer_that_is_slower_than_the_network_has_one_connection() {
    let bucket = plain_minio().bucket();
    let content = noise(10 * PART, 5);
    bucket.put("object", &content);
    let tamper = Tamper::in_front_of(plain_minio().port, |_| Action::Forward);
    let store = behind(&tamper, &bucket);
    let stat = store.stat("object").unwrap();
    let mut reader = store.open_range("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    let mut part = vec![0; PART];
    for index in 0..10 {
        reader.read_exact(&mut part).unwrap();
        assert!(part == content[index * PART..(index + 1) * PART], "part {index}");
        if index < 9 {
            wait_until("the next part lies ready", || reader.ready_parts().unwrap() > 0);
        }
    }
    assert_eq!((reader.most_parallel(), tamper.most_parallel()), (1, 1));
}

#[test]
fn a_consumer_that_starves_gets_more_connections_but_never_more_than_eight() {
    let bucket = plain_minio().bucket();
    let content = noise(24 * PART, 6);
    bucket.put("object", &content);
    let tamper = Tamper::in_front_of(plain_minio().port, |_| Action::Forward);
    let link = FaultyLink::to(tamper.port);
    link.add("latency", &json!({"latency": 100}));
    let store = S3::connect(through(&link, &bucket)).unwrap();
    let stat = store.stat("object").unwrap();
    let mut reader = store.open_range("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == content);
    assert!((4..=8).contains(&tamper.most_parallel()), "{}", tamper.most_parallel());
    assert!((4..=8).contains(&reader.most_parallel()), "{}", reader.most_parallel());
}

#[test]
fn a_reader_that_is_dropped_stops_asking() {
    let bucket = plain_minio().bucket();
    bucket.put("object", &noise(24 * PART, 6));
    let tamper = Tamper::in_front_of(plain_minio().port, |_| Action::Forward);
    let store = behind(&tamper, &bucket);
    let stat = store.stat("object").unwrap();
    let mut reader = store.open("object", &stat.pin, 0..stat.size, &Cancel::never()).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    drop(reader);
    wait_until("nothing is asked any more", || tamper.active() == 0);
    assert!(tamper.gets() <= 3, "{}", tamper.gets());
    assert_eq!(store.stat("object").unwrap().pin, stat.pin, "the store itself still works");
}

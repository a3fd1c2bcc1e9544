//! Answers that are no answers: errors that pass, errors that stay, heads and bodies that lie.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reinstate::reason::Reason;
use reinstate::runner::fault::Fault;
use reinstate::runner::source::Store;

use super::{PART, behind, read_all, read_range};
use crate::parts::minio::{Bucket, plain_minio};
use crate::parts::noise;
use crate::parts::tamper::{Action, Seen, Tamper};

/// What a request ends with behind a proxy that answers by `rule`.
fn outcome(
    bucket: &Bucket,
    rule: impl FnMut(&Seen<'_>) -> Action + Send + 'static,
) -> Result<Vec<u8>, Fault> {
    let tamper = Tamper::in_front_of(plain_minio().port, rule);
    read_all(&behind(&tamper, bucket), "object")
}

#[test]
fn answers_that_pass_cost_no_byte() {
    let bucket = plain_minio().bucket();
    let content = noise(PART + 100, 7);
    bucket.put("object", &content);
    let first = |seen: &Seen<'_>, count: usize, action: Action| {
        if seen.method == "GET" && seen.gets_before < count { action } else { Action::Forward }
    };
    let read = outcome(&bucket, move |seen| {
        first(seen, 3, Action::Answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>"))
    });
    assert!(read.unwrap() == content, "three times SlowDown");
    let read = outcome(&bucket, move |seen| first(seen, 2, Action::Cut(100_000)));
    assert!(read.unwrap() == content, "two short bodies");
}

/// The text is a part of the message; the rule decides about each request.
type Case = (&'static str, Reason, &'static str, fn(&Seen<'_>) -> Action);

#[rustfmt::skip]
const CASES: [Case; 9] = [
    ("always SlowDown", Reason::SourceUnavailable, "overloaded",
        |_| Action::Answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>")),
    ("archived", Reason::SourceUnavailable, "archived",
        |seen| only_get(seen, Action::Answer("403 Forbidden", "", "<Error><Code>InvalidObjectState</Code></Error>"))),
    ("an expired token", Reason::SourceAccessDenied, "token",
        |_| Action::Answer("400 Bad Request", "", "<Error><Code>ExpiredToken</Code></Error>")),
    ("a redirect", Reason::InvalidSpec, "region eu-west-1",
        |_| Action::Answer("301 Moved Permanently", "x-amz-bucket-region: eu-west-1\r\nLocation: http://127.0.0.1:1/\r\n",
            "<Error><Code>PermanentRedirect</Code></Error>")),
    ("another ETag", Reason::SourceChanged, "ETag",
        |seen| only_get(seen, Action::Edit(|head| edit_line(head, "etag:", "ETag: \"another\"")))),
    ("another range", Reason::SourceUnavailable, "another range",
        |seen| only_get(seen, Action::Edit(|head| edit_line(head, "content-range:", "Content-Range: bytes 1-4194304/4194404")))),
    ("another total", Reason::SourceChanged, "another size",
        |seen| only_get(seen, Action::Edit(|head| edit_line(head, "content-range:", "Content-Range: bytes 0-4194303/4194304")))),
    ("always short bodies", Reason::SourceUnavailable, "attempts",
        |seen| only_get(seen, Action::Cut(1_000))),
    ("not HTTP", Reason::SourceUnavailable, "attempts",
        |seen| only_get(seen, Action::Edit(|_| "SSH-2.0-server\r\n\r\n".to_owned()))),
];

fn only_get(seen: &Seen<'_>, action: Action) -> Action {
    if seen.method == "GET" { action } else { Action::Forward }
}

#[test]
fn answers_that_stay_wrong_end_with_their_reason_and_in_time() {
    let bucket = plain_minio().bucket();
    bucket.put("object", &noise(PART + 100, 7));
    for (case, reason, says, rule) in CASES {
        let clock = Instant::now();
        let fault = outcome(&bucket, rule).unwrap_err();
        assert_eq!(fault.reason, reason, "{case}: {}", fault.full_message());
        assert!(fault.full_message().contains(says), "{case}: {}", fault.full_message());
        assert!(clock.elapsed() < Duration::from_secs(12), "{case}: {:?}", clock.elapsed());
    }
}

/// A head with another line in the place of the one that starts with `name`.
fn edit_line(head: &str, name: &str, with: &str) -> String {
    head.split_inclusive("\r\n")
        .map(|line| {
            if line.to_ascii_lowercase().starts_with(name) { format!("{with}\r\n") } else { line.to_owned() }
        })
        .collect()
}

#[test]
fn without_the_right_to_read_versions_the_etag_is_the_pin() {
    let bucket = plain_minio().versioned_bucket();
    let content = noise(2 * PART, 8);
    bucket.put("object", &content);
    let tamper = Tamper::in_front_of(plain_minio().port, |seen| {
        if seen.target.contains("versionId=") {
            Action::Answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>")
        } else {
            Action::Forward
        }
    });
    let store = behind(&tamper, &bucket);
    let stat = store.stat("object").unwrap();
    assert!(read_range(&store, "object", &stat.pin, 0..stat.size).unwrap() == content);
    bucket.put("object", b"newer");
    let fault = read_range(&store, "object", &stat.pin, 0..stat.size).unwrap_err();
    assert_eq!(fault.reason, Reason::SourceChanged, "{}", fault.full_message());
}

#[test]
fn bytes_exchanged_under_an_unchanged_etag_pass_the_source_and_are_left_to_the_hashes() {
    let bucket = plain_minio().bucket();
    let (content, other) = (noise(2 * PART, 9), noise(2 * PART, 10));
    bucket.put("object", &content);
    let exchanged = Arc::new(other.clone());
    let tamper = Tamper::in_front_of(plain_minio().port, move |seen| {
        if seen.gets_before >= 2 { Action::Exchange(Arc::clone(&exchanged)) } else { Action::Forward }
    });
    let store = behind(&tamper, &bucket);
    assert!(read_all(&store, "object").unwrap() == content);
    assert!(read_all(&store, "object").unwrap() == other);
}

//! What the storage refuses: every refusal names its reason, the object and what to do.

use std::process::Command;

use reinstate::reason::Reason;
use reinstate::runner::source::{S3, S3Options, Store};

use crate::parts::minio::{KEY_ID, SECRET, credentials, make_ca, minio, plain_minio};

/// Changes good options into ones that are refused; the text is a part of the message.
type Case = (&'static str, Reason, &'static str, fn(S3Options) -> S3Options);

#[rustfmt::skip]
const CASES: [Case; 10] = [
    ("a missing bucket", Reason::SourceNotFound, "no such bucket",
        |good| S3Options { bucket: "missing".into(), ..good }),
    ("a wrong key id", Reason::SourceAccessDenied, "access key id is not known",
        |good| S3Options { credentials: Some(credentials("nobody", SECRET)), ..good }),
    ("a wrong secret", Reason::SourceAccessDenied, "secret access key",
        |good| S3Options { credentials: Some(credentials(KEY_ID, "wrong-secret")), ..good }),
    ("a wrong CA", Reason::SourceTLSFailed, "certificate",
        |good| S3Options { ca_pem: Some(make_ca(tempfile::tempdir().unwrap().path())), ..good }),
    ("no CA", Reason::SourceTLSFailed, "certificate",
        |good| S3Options { ca_pem: None, ..good }),
    ("a wrong region", Reason::InvalidSpec, "region",
        |good| S3Options { region: Some("eu-west-1".into()), ..good }),
    ("http to a port of https", Reason::InvalidSpec, "https or http",
        |good| S3Options { endpoint: Some(format!("http://127.0.0.1:{}", minio().port)), ..good }),
    ("https to a port of http", Reason::SourceTLSFailed, "https against http",
        |good| S3Options { endpoint: Some(format!("https://127.0.0.1:{}", plain_minio().port)), ..good }),
    ("a closed port", Reason::SourceUnavailable, "4 attempts",
        |good| S3Options { endpoint: Some("https://127.0.0.1:1".into()), ..good }),
    ("an unknown host", Reason::SourceUnavailable, "host name",
        |good| S3Options { endpoint: Some("https://storage.invalid".into()), ..good }),
];

#[test]
fn every_refusal_names_its_reason_the_object_and_what_to_do() {
    let bucket = minio().bucket();
    bucket.put("object", b"content");
    for (case, reason, says, spoil) in CASES {
        let store = S3::connect(spoil(bucket.options())).unwrap();
        for fault in [store.stat("object").unwrap_err(), store.list("", 10).unwrap_err()] {
            let message = fault.full_message();
            assert_eq!(fault.reason, reason, "{case}: {message}");
            assert!(message.contains(says) && message.contains("s3://"), "{case}: {message}");
            assert!(!message.contains(SECRET) && !message.contains("wrong-secret"), "{case}: {message}");
        }
    }
}

#[test]
fn what_is_not_there_is_named_with_its_bucket_and_key() {
    let bucket = minio().bucket();
    let store = bucket.store();
    let missing = store.stat("missing").unwrap_err();
    assert_eq!(missing.reason, Reason::SourceNotFound);
    let says = format!("s3://{}/missing: there is no such object", bucket.name);
    assert!(missing.message.contains(&says), "{}", missing.message);
    assert!(store.read_small("missing", 10).unwrap().is_none());
    bucket.put("object", b"content");
    assert_eq!(store.read_small("object", 7).unwrap().unwrap(), b"content");
    assert_eq!(store.read_small("object", 6).unwrap_err().reason, Reason::LimitExceeded);
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let bucket = minio().bucket();
    bucket.put("object", b"content");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    std::fs::write(&ca, minio().ca.as_ref().unwrap()).unwrap();
    let output = Command::new("faketime")
        .args(["-f", "+1h"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "s3::refusals::child_under_a_shifted_clock", "--ignored", "--nocapture"])
        .env("REINSTATE_TEST_BUCKET", &bucket.name)
        .env("REINSTATE_TEST_ENDPOINT", &minio().endpoint)
        .env("REINSTATE_TEST_CA", &ca)
        .output()
        .expect("faketime is installed: run tests/parts/install.sh");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs under `faketime`, started by the test above.
#[test]
#[ignore = "needs the shifted clock that its parent gives it"]
fn child_under_a_shifted_clock() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let store = S3::connect(S3Options {
        bucket: variable("REINSTATE_TEST_BUCKET"),
        endpoint: Some(variable("REINSTATE_TEST_ENDPOINT")),
        region: Some("us-east-1".into()),
        force_path_style: true,
        credentials: Some(credentials(KEY_ID, SECRET)),
        ca_pem: Some(std::fs::read(variable("REINSTATE_TEST_CA")).unwrap()),
        ..S3Options::default()
    })
    .unwrap();
    let fault = store.stat("object").unwrap_err();
    assert_eq!(fault.reason, Reason::SourceAccessDenied);
    assert!(fault.message.contains("clocks"), "{}", fault.full_message());
}

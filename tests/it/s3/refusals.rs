//! What the storage refuses: every refusal names its reason, the object and what to do.

use std::process::Command;

use reinstate::cli::list::{self, ListArguments, ListFormat};
use reinstate::cli::storage_url::StorageFlags;
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

/// Runs one of the ignored tests below in a process of its own, which `prepare` gives its clock or
/// its environment.
fn child(program: &str, test: &str, prepare: impl FnOnce(&mut Command)) {
    let bucket = minio().bucket();
    bucket.put("shop/object", b"content");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    std::fs::write(&ca, minio().ca.as_ref().unwrap()).unwrap();
    let mut command = Command::new(program);
    prepare(&mut command);
    let output = command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("s3::refusals::{test}"), "--ignored", "--nocapture"])
        .env("REINSTATE_TEST_BUCKET", &bucket.name)
        .env("REINSTATE_TEST_ENDPOINT", &minio().endpoint)
        .env("REINSTATE_TEST_CA", &ca)
        // Nothing of the machine that the tests run on.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; run tests/parts/install.sh"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    child("faketime", "child_under_a_shifted_clock", |command| {
        command.args(["-f", "+1h"]);
    });
}

#[test]
#[ignore = "needs the shifted clock that the test above gives it"]
fn child_under_a_shifted_clock() {
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
    let fault = store.stat("shop/object").unwrap_err();
    assert_eq!(fault.reason, Reason::SourceAccessDenied);
    assert!(fault.message.contains("clocks"), "{}", fault.full_message());
}

#[test]
fn for_urls_the_environment_gives_credentials_and_region() {
    child("env", "child_with_an_environment_of_aws", |command| {
        let (id, secret) = (format!("AWS_ACCESS_KEY_ID={KEY_ID}"), format!("AWS_SECRET_ACCESS_KEY={SECRET}"));
        command.args([id.as_str(), secret.as_str(), "AWS_REGION=us-east-1"]);
    });
}

#[test]
#[ignore = "needs the environment that the test above gives it"]
fn child_with_an_environment_of_aws() {
    let text = list::run(&list_arguments()).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["backups"][0]["path"], "object", "{document}");
    assert_eq!(document["destination"], format!("s3://{}/shop/", variable("REINSTATE_TEST_BUCKET")));
}

#[test]
fn without_any_credentials_the_message_says_where_they_are_looked_for() {
    child("env", "child_without_credentials", |command| {
        command.args(["-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY", "-u", "AWS_PROFILE"]);
        command.args(["AWS_EC2_METADATA_DISABLED=true"]);
    });
}

#[test]
#[ignore = "needs the environment that the test above gives it"]
fn child_without_credentials() {
    let fault = list::run(&list_arguments()).unwrap_err();
    assert_eq!(fault.reason, Reason::SourceAccessDenied, "{}", fault.full_message());
    assert!(fault.message.contains("no credentials were found"), "{}", fault.full_message());
}

/// `reinstate list s3://BUCKET/shop/ -o json` with the storage's flags.
fn list_arguments() -> ListArguments {
    ListArguments {
        location: Some(format!("s3://{}/shop/", variable("REINSTATE_TEST_BUCKET"))),
        output: ListFormat::Json,
        storage: StorageFlags {
            endpoint: Some(variable("REINSTATE_TEST_ENDPOINT")),
            region: None,
            path_style: true,
            ca_file: Some(variable("REINSTATE_TEST_CA").into()),
        },
        ..ListArguments::default()
    }
}

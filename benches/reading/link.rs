//! G6: reading from an S3 service whose connections are limited one by one, as those of real S3 are.
//! MinIO stands for the service, toxiproxy for the link.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::data::root;
use crate::measure::{interleave, part};
use crate::parts::minio::{self, KEY_ID, SECRET, plain_minio};
use crate::parts::noise;
use crate::parts::toxiproxy::FaultyLink;
use crate::table::{Goal, Table};

/// KB/s of one connection.
const RATE: u32 = 30_000;
/// Milliseconds until an answer begins.
const LATENCY: u32 = 30;
/// Bytes of the object that is fetched.
const OBJECT_BYTES: usize = 128 << 20;

/// A link to the service.
pub struct Link(FaultyLink);

impl Link {
    /// 30 MB/s each connection, 30 ms.
    pub fn like_s3() -> Self {
        let link = FaultyLink::to(plain_minio().port);
        link.add("bandwidth", &json!({"rate": RATE}));
        link.add("latency", &json!({"latency": LATENCY}));
        Self(link)
    }
}

/// A bucket of the benchmark, and how the processes under measurement reach it.
pub struct Bucket {
    bucket: minio::Bucket,
    endpoint: String,
}

impl Bucket {
    pub fn new() -> Self {
        Self { bucket: plain_minio().bucket(), endpoint: plain_minio().endpoint.clone() }
    }

    /// Uploads a file under `key`.
    pub fn put_file(&self, file: &Path, key: &str) {
        self.bucket.put(key, &std::fs::read(file).unwrap());
    }

    /// The environment of a process that reads without a proxy.
    pub fn direct(&self) -> String {
        self.environment(&self.endpoint)
    }

    /// The environment of a process that reads through `link`.
    pub fn behind(&self, link: &Link) -> String {
        self.environment(&format!("http://127.0.0.1:{}", link.0.port))
    }

    fn environment(&self, endpoint: &str) -> String {
        format!(
            "export AWS_ACCESS_KEY_ID={KEY_ID} AWS_SECRET_ACCESS_KEY={SECRET} AWS_DEFAULT_REGION=us-east-1 BENCH_ENDPOINT={endpoint} BENCH_BUCKET={};",
            self.bucket.name
        )
    }

    /// `reinstate COMMAND` on an object of this bucket.
    pub fn command(&self, command: &str, key: &str) -> String {
        format!(
            "{command} s3://{}/{key} --endpoint $BENCH_ENDPOINT --region us-east-1 --path-style",
            self.bucket.name
        )
    }
}

/// The AWS command line, from PATH or from the folder of the tests' tools.
fn aws() -> String {
    let home = || format!("{}/.cache", std::env::var("HOME").expect("HOME is set"));
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| home());
    let own = format!("{cache}/reinstate/awscli/bin/aws");
    let program = if Path::new(&own).is_file() { own } else { "aws".to_owned() };
    let version = Command::new(&program).arg("--version").output();
    let version = version.expect("the AWS command line is installed: pip install awscli");
    println!("  {}", String::from_utf8_lossy(&version.stdout).trim());
    program
}

/// Our reader against one GET and the AWS command line.
pub fn g6(table: &mut Table) {
    println!("\nG6: {} MiB from S3, {RATE} KB/s each connection, {LATENCY} ms", OBJECT_BYTES >> 20);
    let (bucket, link) = (Bucket::new(), Link::like_s3());
    bucket.bucket.put("object", &noise(OBJECT_BYTES, 6));
    let environment = bucket.behind(&link);
    let folder = root();
    std::fs::create_dir_all(&folder).unwrap();
    // One GET, whatever the size.
    std::fs::write(folder.join("single"), "[default]\ns3 =\n  multipart_threshold = 10GB\n").unwrap();
    let aws = format!("{} --endpoint-url $BENCH_ENDPOINT s3 cp --quiet s3://$BENCH_BUCKET/object -", aws());
    let curl = format!(
        "curl -sS --fail --aws-sigv4 aws:amz:us-east-1:s3 --user {KEY_ID}:{SECRET} $BENCH_ENDPOINT/$BENCH_BUCKET/object"
    );
    let medians = interleave(
        &folder,
        &[
            ("ours", format!("{environment} {} | cat >/dev/null", part("fetch", "s3:object"))),
            ("one GET (curl)", format!("{environment} {curl} | cat >/dev/null")),
            ("aws s3 cp, one GET", format!("{environment} AWS_CONFIG_FILE=single {aws} | cat >/dev/null")),
            ("aws s3 cp", format!("{environment} {aws} | cat >/dev/null")),
        ],
    );
    for (index, what, least) in [
        (1, "G6 against one GET (curl)", Goal::AtLeast(5.0)),
        (2, "G6 against aws s3 cp, one GET", Goal::Told),
        (3, "G6 against aws s3 cp", Goal::AtLeast(2.0)),
    ] {
        table.compare(what, (&medians[0], &medians[index]), (least, Goal::Told));
    }
}

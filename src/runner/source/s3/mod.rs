//! S3 and everything that speaks its protocol.
//!
//! [`S3`] is a bucket below a prefix. Every read names the ETag (and where known the version) that
//! [`Store::stat`] saw, so a replaced object is an error and never a mixture. The SDK is
//! asynchronous; the runtime for it is kept here and no caller sees it.

mod client;
mod errors;
mod listing;
mod part;
mod reader;
mod retry;

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use jiff::Timestamp;

use super::{ListedObject, ObjectStat, Pin, Readers, Store};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};
use crate::secret::Secret;

use client::Core;
use errors::{Failure, Trouble};
use part::Object;
pub use reader::RangeReader;
use retry::{Patience, retry};

/// Longest time without a byte before a read is given up.
pub const DEFAULT_STALL: Duration = Duration::from_mins(1);

/// Readers of one object at the same time: more would have too few buffers each to keep a connection busy. A
/// new one waits for an answer, and some of what it reads is read by its neighbours, too.
const READERS: Readers = Readers { limit: 4, worth_bytes: 32 << 20, is_near: false };
/// Longest key, in bytes. Source: Amazon S3, "Naming Amazon S3 objects".
const KEY_LIMIT_BYTES: usize = 1024;

/// Keys written out in a Secret.
#[derive(Clone, Debug)]
pub struct S3Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token of temporary keys.
    pub session_token: Option<Secret<String>>,
}

/// A bucket and how to reach it.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    /// Bucket name.
    pub bucket: String,
    /// Path below which everything lies; empty, or ending in `/`.
    pub prefix: String,
    /// Endpoint URL; `None`: AWS.
    pub endpoint: Option<String>,
    /// Region; `None`: from the environment, else `us-east-1`.
    pub region: Option<String>,
    /// The bucket in the path instead of in the host name.
    pub force_path_style: bool,
    /// Keys; `None`: AWS's default chain (environment, profile, web identity, container, instance).
    pub credentials: Option<S3Credentials>,
    /// PEM of the CA to trust instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Longest time without a byte before a read is given up; `None`: [`DEFAULT_STALL`].
    pub stall_timeout: Option<Duration>,
}

/// An S3 bucket below a prefix.
pub struct S3 {
    client: Client,
    core: Arc<Core>,
    bucket: String,
    prefix: String,
    stall: Duration,
}

impl S3 {
    /// Prepares the client. Nothing is asked of the storage yet; AWS's default chain may be.
    pub fn connect(options: S3Options) -> Result<Self> {
        check_options(&options)?;
        let core = Arc::new(Core::start()?);
        let bucket = options.bucket.clone();
        let prefix = options.prefix.clone();
        let stall = options.stall_timeout.unwrap_or(DEFAULT_STALL);
        let client = core.wait(client::connect(options))?;
        Ok(Self { client, core, bucket, prefix, stall })
    }

    /// [`Store::open`] with the reader's own type, which can be asked about its connections.
    pub fn open_range(
        &self,
        path: &str,
        pin: &Pin,
        range: Range<u64>,
        cancel: &Cancel,
    ) -> Result<RangeReader> {
        self.open_range_shared(path, pin, range, (1, cancel))
    }

    fn open_range_shared(
        &self,
        path: &str,
        pin: &Pin,
        range: Range<u64>,
        (readers, cancel): (usize, &Cancel),
    ) -> Result<RangeReader> {
        let Pin::Object { etag, version_id, size } = pin else {
            let message = format!("the pin of {path} is not one of an object store");
            return Err(Fault::new(Stage::Download, Reason::InternalError, message));
        };
        if range.end > *size || range.start > range.end {
            let message = format!("bytes {}..{} of {path} lie outside of its {size}", range.start, range.end);
            return Err(Fault::new(Stage::Download, Reason::InternalError, message));
        }
        if range.is_empty() && self.stat(path)?.pin != *pin {
            let failure = Failure::new(Trouble::Changed("the object was replaced since it was looked at"));
            return Err(failure.into_fault(&format!("read {}", self.name(path)), 1));
        }
        let object = Object {
            client: self.client.clone(),
            bucket: self.bucket.clone(),
            key: self.key(path)?,
            etag: etag.clone(),
            version_id: version_id.clone(),
            size: *size,
            stall: self.stall,
            by_version: AtomicBool::new(true),
        };
        Ok(RangeReader::new(Arc::clone(&self.core), object, range, (readers, cancel)))
    }

    fn key(&self, path: &str) -> Result<String> {
        let key = format!("{}{path}", self.prefix);
        if path.is_empty() || key.len() > KEY_LIMIT_BYTES {
            let message = format!(
                "the path of an object in {} is empty or longer than the {KEY_LIMIT_BYTES} bytes of S3",
                self.describe()
            );
            return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
        }
        Ok(key)
    }

    fn name(&self, path: &str) -> String {
        format!("{}{path}", self.describe())
    }
}

impl Store for S3 {
    fn describe(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    fn stat(&self, path: &str) -> Result<ObjectStat> {
        let (client, bucket, key) = (self.client.clone(), self.bucket.clone(), self.key(path)?);
        let (tried, stall) = (format!("look at {}", self.name(path)), self.stall);
        self.core.wait(async move {
            let head = retry(Patience::for_first(stall), &tried, || head(&client, &bucket, &key)).await?;
            read_head(&head).map_err(|trouble| Failure::new(trouble).into_fault(&tried, 1))
        })
    }

    fn open(
        &self,
        path: &str,
        pin: &Pin,
        range: Range<u64>,
        cancel: &Cancel,
    ) -> Result<Box<dyn Read + Send>> {
        self.open_shared(path, pin, range, (1, cancel))
    }

    fn readers(&self) -> Option<Readers> {
        Some(READERS)
    }

    fn open_shared(
        &self,
        path: &str,
        pin: &Pin,
        range: Range<u64>,
        shared: (usize, &Cancel),
    ) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.open_range_shared(path, pin, range, shared)?))
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<ListedObject>> {
        let place = listing::Place {
            client: self.client.clone(),
            bucket: self.bucket.clone(),
            root: self.prefix.clone(),
            prefix: prefix.to_owned(),
            name: self.name(prefix),
            stall: self.stall,
        };
        self.core.wait(listing::list(place, limit))
    }
}

fn check_options(options: &S3Options) -> Result<()> {
    let refuse = |message: String| Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
    if options.bucket.is_empty() {
        return refuse("the bucket has no name".to_owned());
    }
    if !options.prefix.is_empty() && !options.prefix.ends_with('/') {
        return refuse(format!("the prefix {:?} of the bucket does not end in /", options.prefix));
    }
    if let Some(endpoint) = &options.endpoint
        && !endpoint.starts_with("https://")
        && !endpoint.starts_with("http://")
    {
        return refuse(format!("the endpoint {endpoint:?} starts neither with https:// nor with http://"));
    }
    Ok(())
}

/// Looks at one object. The answer to HEAD has no body, so what the storage says of a refusal is
/// asked for with a GET of one byte.
async fn head(client: &Client, bucket: &str, key: &str) -> Result<HeadObjectOutput, Failure> {
    let refused = match client.head_object().bucket(bucket).key(key).send().await {
        Ok(head) => return Ok(head),
        Err(error) => Failure::from_sdk(&error),
    };
    if !matches!(refused.trouble, Trouble::Answer { status: 300..=499, .. }) {
        return Err(refused);
    }
    match client.get_object().bucket(bucket).key(key).range("bytes=0-0").send().await {
        Err(error) => Err(Failure::from_sdk(&error)),
        Ok(_) => Err(refused),
    }
}

fn read_head(head: &HeadObjectOutput) -> Result<ObjectStat, Trouble> {
    let size = head.content_length().and_then(|length| u64::try_from(length).ok());
    let (Some(size), Some(etag)) = (size, head.e_tag()) else {
        return Err(Trouble::Broken("the storage gives no size or no ETag, so reads cannot be pinned"));
    };
    let version_id = head.version_id().map(str::to_owned);
    let modified = head.last_modified().and_then(|time| Timestamp::from_second(time.secs()).ok());
    Ok(ObjectStat { size, pin: Pin::Object { etag: etag.to_owned(), version_id, size }, modified })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_refused_before_anything_is_sent() {
        let good = S3Options { bucket: "b".into(), region: Some("r".into()), ..S3Options::default() };
        for (says, options) in [
            ("no name", S3Options { bucket: String::new(), ..good.clone() }),
            ("does not end in /", S3Options { prefix: "dbackup".into(), ..good.clone() }),
            ("neither with https", S3Options { endpoint: Some("minio:9000".into()), ..good.clone() }),
            ("no PEM certificate", S3Options { ca_pem: Some(b"hello".to_vec()), ..good }),
        ] {
            let fault = S3::connect(options).map(|_| ()).unwrap_err();
            assert_eq!(fault.reason, Reason::InvalidSpec, "{says}");
            assert!(fault.message.contains(says), "{says}: {}", fault.message);
        }
    }
}

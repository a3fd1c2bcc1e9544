//! One part of an object: fetched as a whole, resumed where it broke off, and never of another
//! object than the pinned one.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use tokio::time::{Instant, timeout, timeout_at};

use super::errors::{Failure, Trouble};
use super::retry::Patience;
use crate::runner::fault::Result;

/// Bytes that count as progress between two failures. A server that cuts after fewer is given up.
const PROGRESS_BYTES: usize = 16 * 1024;

/// The pinned object that parts are fetched of.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) client: Client,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) version_id: Option<String>,
    pub(super) size: u64,
    pub(super) stall: Duration,
    /// Whether the version is named in requests: it needs a right of its own, which many lack.
    pub(super) by_version: AtomicBool,
}

impl Object {
    /// The object for messages.
    pub(super) fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Fetches exactly `range` into `buffer`, which comes in empty.
    pub(super) async fn fetch(&self, range: Range<u64>, mut buffer: Vec<u8>) -> Result<Vec<u8>> {
        let mut patience = Patience::for_read(self.stall);
        let mut counted = 0;
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        buffer.reserve_exact(wanted);
        while buffer.len() < wanted {
            let from = range.start + buffer.len() as u64;
            let Err(failure) = self.attempt(from..range.end, &mut buffer, patience.silence()).await else {
                continue;
            };
            if self.version_refused(&failure) {
                continue;
            }
            if buffer.len() >= counted + PROGRESS_BYTES {
                counted = buffer.len();
                patience.progressed();
            }
            tokio::time::sleep(patience.after(failure, &format!("read {}", self.name()))?).await;
        }
        Ok(buffer)
    }

    /// Reading by version needs `s3:GetObjectVersion`. Without it the ETag alone is the pin.
    fn version_refused(&self, failure: &Failure) -> bool {
        let denied = matches!(&failure.trouble, Trouble::Answer { status: 403, code, .. }
            if code.as_deref().is_none_or(|code| code == "AccessDenied"));
        denied && self.version_id.is_some() && self.by_version.swap(false, Ordering::Relaxed)
    }

    /// One request; what arrived before a failure stays in `buffer`.
    async fn attempt(
        &self,
        range: Range<u64>,
        buffer: &mut Vec<u8>,
        silence: Duration,
    ) -> Result<(), Failure> {
        let version = self.version_id.clone().filter(|_| self.by_version.load(Ordering::Relaxed));
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .set_version_id(version)
            .if_match(&self.etag)
            .range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let answer = match timeout(silence, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Failure::from_sdk(&error)),
            Err(_) => return Err(Failure::new(Trouble::TimedOut)),
        };
        check_answer(&Answer::of(&answer), &range, self).map_err(Failure::new)?;
        let end = buffer.len() + usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut body = answer.body;
        let mut deadline = Instant::now() + silence;
        while buffer.len() < end {
            let chunk = match timeout_at(deadline, body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => return Err(Failure::from_body(&error)),
                Ok(None) => return Err(Failure::new(Trouble::Broken("the answer ended early"))),
                Err(_) => return Err(Failure::new(Trouble::TimedOut)),
            };
            if chunk.len() > end - buffer.len() {
                return Err(Failure::new(Trouble::Broken("the answer is longer than what was asked for")));
            }
            // An empty chunk is no sign of life.
            if !chunk.is_empty() {
                deadline = Instant::now() + silence;
                buffer.extend_from_slice(&chunk);
            }
        }
        Ok(())
    }
}

/// What the head of an answer says about the bytes that follow.
struct Answer<'a> {
    etag: Option<&'a str>,
    length: Option<i64>,
    range: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(output: &'a GetObjectOutput) -> Self {
        Self { etag: output.e_tag(), length: output.content_length(), range: output.content_range() }
    }
}

/// Refuses an answer that is not about exactly `range` of exactly the pinned object.
fn check_answer(answer: &Answer<'_>, range: &Range<u64>, object: &Object) -> Result<(), Trouble> {
    if answer.etag != Some(object.etag.as_str()) {
        return Err(Trouble::Changed("the answer carries another ETag than the object that was looked at"));
    }
    let wanted = range.end - range.start;
    let whole = *range == (0..object.size);
    match answer.range.map(parse_content_range) {
        Some(Some((_, _, total))) if total != object.size => {
            return Err(Trouble::Changed("the object has another size than when it was looked at"));
        }
        Some(Some((first, last, _))) if first == range.start && last.checked_add(1) == Some(range.end) => {}
        Some(_) => return Err(Trouble::Broken("the answer is about another range than what was asked for")),
        // Some servers answer a range that is the whole object as if there were none.
        None if whole => {}
        None => return Err(Trouble::Broken("the storage does not answer ranges")),
    }
    match answer.length.map(u64::try_from) {
        Some(Ok(length)) if length == wanted => Ok(()),
        Some(_) if whole => Err(Trouble::Changed("the object has another size than when it was looked at")),
        Some(_) => Err(Trouble::Broken("the answer has another length than what was asked for")),
        // A chunked answer; its bytes are counted as they come.
        None => Ok(()),
    }
}

/// `bytes FIRST-LAST/TOTAL`.
fn parse_content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Object {
        let config =
            aws_sdk_s3::Config::builder().behavior_version(aws_config::BehaviorVersion::latest()).build();
        Object {
            client: Client::from_conf(config),
            bucket: "b".into(),
            key: "k".into(),
            etag: "\"one\"".into(),
            version_id: None,
            size: 100,
            stall: Duration::from_secs(1),
            by_version: AtomicBool::new(true),
        }
    }

    #[test]
    fn only_the_asked_bytes_of_the_pinned_object_are_taken() {
        enum End {
            Good,
            Changed,
            Broken,
        }
        let one = Some("\"one\"");
        for (case, range, etag, length, content_range, end) in [
            ("the asked part", 10..20, one, Some(10), Some("bytes 10-19/100"), End::Good),
            ("a chunked answer", 10..20, one, None, Some("bytes 10-19/100"), End::Good),
            ("the whole without a range", 0..100, one, Some(100), None, End::Good),
            ("another ETag", 10..20, Some("\"two\""), Some(10), Some("bytes 10-19/100"), End::Changed),
            ("no ETag", 10..20, None, Some(10), Some("bytes 10-19/100"), End::Changed),
            ("a shorter object", 10..20, one, Some(5), Some("bytes 10-14/15"), End::Changed),
            ("a longer object", 10..20, one, Some(10), Some("bytes 10-19/101"), End::Changed),
            ("a whole that is shorter", 0..100, one, Some(99), None, End::Changed),
            ("another start", 10..20, one, Some(10), Some("bytes 0-9/100"), End::Broken),
            ("another end", 10..20, one, Some(10), Some("bytes 10-29/100"), End::Broken),
            ("a short length", 10..20, one, Some(9), Some("bytes 10-19/100"), End::Broken),
            ("a negative length", 10..20, one, Some(-1), Some("bytes 10-19/100"), End::Broken),
            ("no range", 10..20, one, Some(100), None, End::Broken),
            ("nonsense", 10..20, one, Some(10), Some("bytes 10-18446744073709551616/x"), End::Broken),
        ] {
            let answer = Answer { etag, length, range: content_range };
            let result = check_answer(&answer, &range, &object());
            let fits = match end {
                End::Good => result.is_ok(),
                End::Changed => matches!(result, Err(Trouble::Changed(_))),
                End::Broken => matches!(result, Err(Trouble::Broken(_))),
            };
            assert!(fits, "{case}: {result:?}");
        }
    }
}

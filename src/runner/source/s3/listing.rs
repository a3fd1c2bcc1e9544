//! Lists a bucket below a prefix, page by page, with keys exactly as they are stored.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;
use jiff::Timestamp;

use super::super::ListedObject;
use super::super::folder::check_limit;
use super::errors::Failure;
use super::retry::{Patience, retry};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Where a listing looks.
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) bucket: String,
    /// The store's own prefix; rows are named without it.
    pub(super) root: String,
    /// What the rows start with, below the root.
    pub(super) prefix: String,
    pub(super) name: String,
    pub(super) stall: std::time::Duration,
}

/// All rows, sorted; more than `limit` are a fault.
pub(super) async fn list(place: Place, limit: usize) -> Result<Vec<ListedObject>> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    // Servers may send short pages; one that sends empty ones for ever is stopped here.
    for _ in 0..=limit.saturating_add(16) {
        let page = next_page(&place, token.clone()).await?;
        add_rows(&place, &page, &mut found);
        check_limit(found.len(), limit, &place.name)?;
        let next = page.next_continuation_token().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            found.sort_by(|a, b| a.path.cmp(&b.path));
            return Ok(found);
        }
        if next.is_none() || next == token {
            break;
        }
        token = next;
    }
    let message = format!("failed to list {}: the pages of the storage do not come to an end", place.name);
    Err(Fault::new(Stage::Download, Reason::SourceUnavailable, message))
}

async fn next_page(place: &Place, token: Option<String>) -> Result<ListObjectsV2Output> {
    let tried = format!("list {}", place.name);
    retry(Patience::for_first(place.stall), &tried, || {
        let request = place
            .client
            .list_objects_v2()
            .bucket(&place.bucket)
            .prefix(format!("{}{}", place.root, place.prefix))
            // XML cannot carry every key.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token.clone());
        async move { request.send().await.map_err(|error| Failure::from_sdk(&error)) }
    })
    .await
}

fn add_rows(place: &Place, page: &ListObjectsV2Output, found: &mut Vec<ListedObject>) {
    let encoded = page.encoding_type() == Some(&EncodingType::Url);
    for object in page.contents() {
        let Some(key) = object.key() else { continue };
        // A key that is not UTF-8 cannot be written in a manifest either.
        let Some(key) = (if encoded { decode(key) } else { Some(key.to_owned()) }) else { continue };
        let Some(path) = key.strip_prefix(&place.root).filter(|path| path.starts_with(&place.prefix)) else {
            continue;
        };
        let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        // Consoles make such objects to show a folder.
        if path.is_empty() || (path.ends_with('/') && size == 0) {
            continue;
        }
        let modified = object.last_modified().and_then(|time| Timestamp::from_second(time.secs()).ok());
        found.push(ListedObject { path: path.to_owned(), size, modified });
    }
}

/// Undoes the URL encoding of a key, in which `+` is a space.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_keys_become_what_they_were() {
        for (encoded, key) in [
            ("plain/key.sql", Some("plain/key.sql")),
            ("a+b%2Bc%20d", Some("a b+c d")),
            ("%252F", Some("%2F")),
            ("caf%C3%A9", Some("café")),
            ("%01", Some("\u{1}")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%FF", None),
            ("", Some("")),
        ] {
            assert_eq!(decode(encoded).as_deref(), key, "{encoded}");
        }
    }
}

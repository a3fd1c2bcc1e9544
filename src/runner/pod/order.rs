//! Reads the order of the pod. One that cannot be carried out still says whose it is, as far as that
//! can be known, so that its verdict finds the right object.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::plan::Order;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Stage};

/// Largest order, in bytes. All annotations of an object have at most 256 KiB.
const ORDER_LIMIT_BYTES: u64 = 256 << 10;

/// An order that cannot be carried out.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Uid of the `DatabaseRestore`; empty where it is not known.
    pub(super) uid: String,
    /// Number of the attempt; 0 where it is not known.
    pub(super) attempt: u32,
    /// What is wrong with it.
    pub(super) fault: Fault,
}

/// Reads the order in `path`.
pub(super) fn read(path: &Path) -> Result<Order, Box<Unreadable>> {
    let text = read_text(path).map_err(|error| {
        let message = format!("failed to read the order {}", path.display());
        Box::new(Unreadable { uid: String::new(), attempt: 0, fault: fault(message).caused_by(error) })
    })?;
    parse(&text)
}

fn fault(message: impl Into<String>) -> Fault {
    Fault::new(Stage::Resolve, Reason::InternalError, message)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(ORDER_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > ORDER_LIMIT_BYTES {
        return Err(io::Error::other(format!("it is larger than {ORDER_LIMIT_BYTES} bytes")));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Order, Box<Unreadable>> {
    serde_json::from_str(text).map_err(|error| {
        let whole: Value = serde_json::from_str(text).unwrap_or_default();
        let uid = whole.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let attempt = whole.get("attempt").and_then(Value::as_u64).and_then(|number| number.try_into().ok());
        let message = "failed to read the order: it is not one that this version writes";
        let fault = fault(message).caused_by(error);
        Box::new(Unreadable { uid, attempt: attempt.unwrap_or_default(), fault })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_cannot_be_carried_out_says_whose_it_is() {
        for (text, uid, attempt, says) in [
            ("", "", 0, "EOF"),
            ("{\"uid\": \"u-1\", \"attempt\": 2,", "", 0, "EOF"),
            ("[]", "", 0, "invalid"),
            ("{\"uid\": \"u-1\", \"attempt\": 2}", "u-1", 2, "missing field"),
            ("{\"version\": 2, \"uid\": \"u-1\", \"attempt\": 2}", "u-1", 2, "plan version 2"),
            ("{\"version\": 1, \"uid\": \"u-1\", \"attempt\": 99999999999}", "u-1", 0, "invalid value"),
            ("{\"version\": 1, \"uid\": 7, \"attempt\": -1, \"more\": {}}", "", 0, "invalid type"),
        ] {
            let unreadable = parse(text).unwrap_err();
            assert_eq!((unreadable.uid.as_str(), unreadable.attempt), (uid, attempt), "{text}");
            assert!(
                unreadable.fault.full_message().contains(says),
                "{text}: {}",
                unreadable.fault.full_message()
            );
        }
    }

    #[test]
    fn a_file_that_is_missing_or_too_large_is_no_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.json");
        assert!(read(&path).unwrap_err().fault.full_message().contains("No such file"));
        let size = usize::try_from(ORDER_LIMIT_BYTES).unwrap() + 1;
        std::fs::write(&path, " ".repeat(size)).unwrap();
        assert!(read(&path).unwrap_err().fault.full_message().contains("larger"));
    }
}

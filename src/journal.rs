//! The journal: what the runner writes into its pod's termination file, and what the operator decides
//! from. One line of JSON for each fact, the last whole line counts.
//!
//! The kubelet hands the file's last [`LIMIT_BYTES`] on even after SIGKILL, so a line is written in one
//! piece, and the verdict's line is made to fit. Both sides are untrusted to each other: a line that
//! cannot be read is no line.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::{RestoreReport, TargetModified};

/// What the kubelet keeps of the file, in bytes, from its end.
/// Source: Kubernetes, "Customizing the termination message".
pub const LIMIT_BYTES: usize = 4096;
/// Longest text of one field in a verdict, in bytes.
const TEXT_LIMIT_BYTES: usize = 1000;
/// Databases, warnings and leftovers that a verdict names at most.
const LIST_LIMIT: usize = 16;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Uid of the `DatabaseRestore`.
    pub uid: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Whether an existing target was changed, as it is known when the line is written.
    pub touched: TargetModified,
    /// How the run ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<RestoreReport>,
}

/// The line for `entry`, its end of line included, in at most [`LIMIT_BYTES`].
///
/// What does not fit is left out in this order: long texts are cut, lists shortened, then tables,
/// checks, stages, figures of databases, warnings and leftovers go.
pub fn line(entry: &Entry) -> Vec<u8> {
    let mut value = serde_json::to_value(entry).unwrap_or_default();
    remove_nulls(&mut value);
    if let Some(verdict) = value.get_mut("verdict") {
        // The object that is asked knows its own name.
        remove(verdict, "/verification/tables");
        cut_texts(verdict, TEXT_LIMIT_BYTES);
        for list in ["/warnings", "/leftovers", "/target/databases", "/stages"] {
            if let Some(list) = verdict.pointer_mut(list).and_then(Value::as_array_mut) {
                list.truncate(LIST_LIMIT);
            }
        }
    }
    for step in SHORTENINGS {
        if size(&value) < LIMIT_BYTES {
            break;
        }
        if let Some(verdict) = value.get_mut("verdict") {
            step(verdict);
        }
    }
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Ways to make a verdict shorter, the cheapest first.
const SHORTENINGS: &[fn(&mut Value)] = &[
    |verdict| cut_texts(verdict, TEXT_LIMIT_BYTES / 2),
    |verdict| remove(verdict, "/stages"),
    |verdict| remove(verdict, "/verification/checks"),
    |verdict| cut_texts(verdict, TEXT_LIMIT_BYTES / 4),
    compact_databases,
    |verdict| remove(verdict, "/warnings"),
    |verdict| remove(verdict, "/leftovers"),
    |verdict| cut_texts(verdict, TEXT_LIMIT_BYTES / 10),
    |verdict| remove(verdict, "/target/databases"),
    |verdict| remove(verdict, "/target"),
    |verdict| remove(verdict, "/backup"),
];

/// Leaves of each database what the next step of a person or the operator needs.
fn compact_databases(verdict: &mut Value) {
    let is_asking = verdict.get("outcome").and_then(Value::as_str) == Some("AwaitingConfirmation");
    let fields: &[&str] =
        if is_asking { &["tables", "rows", "bytes"] } else { &["tables", "rows", "bytes", "holds"] };
    let rows = verdict.pointer_mut("/target/databases").and_then(Value::as_array_mut);
    for row in rows.into_iter().flatten().filter_map(Value::as_object_mut) {
        row.retain(|name, _| !fields.contains(&name.as_str()));
        if row.get("from") == row.get("to") {
            row.remove("from");
        }
        // Until when data is kept stands in its name too.
        if let Some(previous) = row.get_mut("previous").and_then(Value::as_object_mut) {
            previous.remove("until");
        }
    }
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(field);
    }
}

fn cut_texts(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) if text.len() > limit => {
            let end = text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
            text.truncate(end);
            text.push('…');
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| cut_texts(field, limit)),
        Value::Array(items) => items.iter_mut().for_each(|item| cut_texts(item, limit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The last whole line of a termination message that is about attempt `attempt` of `uid`.
pub fn last(message: &str, uid: &str, attempt: u32) -> Option<Entry> {
    let end = message.len().saturating_sub(LIMIT_BYTES);
    let tail = message.get(message.ceil_char_boundary(end)..).unwrap_or_default();
    let entries = tail.lines().rev().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    entries.into_iter().find(|entry| entry.uid == uid && entry.attempt == attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use crate::report::{
        DatabaseReport, FailureReport, HoldsReport, Outcome, PreviousReport, StageReport, TargetReport,
    };

    fn verdict(message: &str, count: usize) -> RestoreReport {
        let mut report = RestoreReport::begun("ns", "name", jiff::Timestamp::UNIX_EPOCH);
        report.warnings = vec![message.to_owned(); count];
        report.stages =
            vec![StageReport { name: "Restore".into(), begin: 0.0, seconds: 1.5, bytes: Some(1) }; count];
        report.failure = Some(FailureReport {
            stage: "Restore".into(),
            reason: Reason::RestoreFailed,
            message: message.to_owned(),
            engine_error: Some(message.to_owned()),
            hint: message.to_owned(),
            retryable: false,
        });
        report
    }

    fn entry(verdict: Option<RestoreReport>) -> Entry {
        Entry { uid: "u-1".into(), attempt: 2, touched: TargetModified::True, verdict }
    }

    #[test]
    fn a_verdict_of_any_size_fits_and_is_read_back_with_its_failure() {
        for (message, count) in
            [("short", 1), ("\u{1f4a5}\"\n\\", 40), (&"é".repeat(5000), 64), (&"\0".repeat(9000), 64)]
        {
            let line = line(&entry(Some(verdict(message, count))));
            assert!(line.len() <= LIMIT_BYTES, "{} bytes", line.len());
            let text = String::from_utf8(line).unwrap();
            let read = last(&format!("{{\"cut\n{text}"), "u-1", 2).unwrap();
            let failure = read.verdict.unwrap().failure.unwrap();
            assert_eq!((failure.reason, read.touched), (Reason::RestoreFailed, TargetModified::True));
        }
    }

    #[test]
    fn all_databases_of_a_run_are_named_however_long_their_names_are() {
        let database = |number: usize| {
            let to = format!("{number:02}{}", "x".repeat(61));
            let holds = HoldsReport { tables: Some(9_999), rows_estimate: Some(u64::MAX), bytes: u64::MAX };
            DatabaseReport {
                from: Some(to.clone()),
                action: "Replace".into(),
                holds: Some(holds),
                tables: Some(9_999),
                rows: Some(u64::MAX),
                bytes: Some(u64::MAX),
                previous: Some(PreviousReport {
                    name: to.clone(),
                    until: Some(jiff::Timestamp::UNIX_EPOCH),
                    bytes: 1 << 40,
                }),
                to,
            }
        };
        for outcome in [Outcome::AwaitingConfirmation, Outcome::Restored] {
            let mut report = verdict(&"long ".repeat(300), 16);
            report.outcome = outcome;
            let mut target = TargetReport {
                summary: "x".repeat(100),
                engine: "PostgreSQL".into(),
                place: "x".repeat(100),
                plan_token: "0123456789abcdef".into(),
                ..TargetReport::default()
            };
            target.databases = (0..16).map(database).collect();
            match outcome {
                Outcome::Restored => report.failure = None,
                _ => target.databases.iter_mut().for_each(|row| row.previous = None),
            }
            report.target = Some(target);
            let line = String::from_utf8(line(&entry(Some(report)))).unwrap();
            assert!(line.len() <= LIMIT_BYTES, "{} bytes", line.len());
            let found = last(&line, "u-1", 2).unwrap().verdict.unwrap().target.unwrap().databases;
            assert_eq!(found.len(), 16, "{line}");
            let is_whole = |row: &DatabaseReport| match outcome {
                Outcome::AwaitingConfirmation => row.holds.is_some(),
                _ => row.previous.is_some(),
            };
            assert!(found.iter().all(is_whole), "{line}");
        }
    }

    #[test]
    fn the_last_whole_line_of_this_attempt_counts() {
        let text = |entry: &Entry| String::from_utf8(line(entry)).unwrap();
        let started = Entry { touched: TargetModified::False, ..entry(None) };
        let other = Entry { attempt: 1, ..entry(None) };
        let whole = text(&entry(Some(verdict("x", 1))));
        let cut = &whole[..whole.len() / 2];
        for (message, expected) in [
            (String::new(), None),
            (text(&other), None),
            (text(&started), Some((TargetModified::False, false))),
            (text(&started) + &text(&entry(None)), Some((TargetModified::True, false))),
            (text(&started) + &text(&entry(None)) + cut, Some((TargetModified::True, false))),
            (text(&entry(None)) + &whole, Some((TargetModified::True, true))),
            (whole.clone() + "goodbye", Some((TargetModified::True, true))),
        ] {
            let found = last(&message, "u-1", 2).map(|entry| (entry.touched, entry.verdict.is_some()));
            assert_eq!(found, expected, "{message}");
        }
        assert!(last(&whole, "another uid", 2).is_none());
    }
}

//! A digest of a table's rows that does not depend on their order, over the text that `COPY TO` writes.
//!
//! Every row is hashed by SHA-256 as it stands between line feeds; the first 128 bits of the hashes are
//! added modulo 2^128, beside the number of rows. A lost, changed or doubled row gives another sum (with
//! exclusive or, two equal rows would hide each other), and pieces of a table add up in any order. The sum
//! guards against what loads do wrong, not against a forger: who can write the backup can write any rows
//! into it.
//!
//! `pg_dump` leaves `TimeZone` as it finds it, so one moment has as many texts as there are zones. What has
//! the form of a `timestamp with time zone` is therefore hashed as its seconds in UTC, on both sides.

use aws_lc_rs::digest::{Context, SHA256, digest};
use memchr::{memchr, memchr_iter};

/// Bytes of a row that are kept until its end comes; of a longer one the beginning is hashed before.
const OPEN_LIMIT_BYTES: usize = 1024 * 1024;
/// More than the longest text of a moment.
const MOMENT_BYTES: usize = 64;
/// Digits of a year beyond four: servers know years up to 294276.
const MORE_YEAR_DIGITS: usize = 2;
/// Bytes of a moment before its first colon: `2026-11-29 17`.
const BEFORE_COLON: usize = 13;
/// Bytes from the blank before the hour to the colon behind it.
const HOUR_BYTES: usize = 3;
/// Stands before a moment's seconds. No text that a server writes holds this byte.
const MARK: u8 = 0;

/// What a table's rows add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSum {
    /// The hashes, added modulo 2^128.
    pub sum: u128,
    /// How many rows they are of.
    pub rows: u64,
}

impl RowSum {
    /// The sum of these rows and of others.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self { sum: self.sum.wrapping_add(other.sum), rows: self.rows.saturating_add(other.rows) }
    }

    /// The beginning of the sum, for people.
    pub fn short(self) -> String {
        format!("{:08x}", self.sum >> 96)
    }
}

/// Takes rows of `COPY` in text format, in pieces cut anywhere, in bounded memory.
#[derive(Debug, Default)]
pub struct RowHasher {
    done: RowSum,
    /// The beginning of the open row, less what was hashed already.
    open: Vec<u8>,
    /// The hash of an open row that is long.
    long: Option<Box<Long>>,
    scratch: Vec<u8>,
    carriage_returns: bool,
}

/// The hash of a long row so far.
struct Long(Context);

impl std::fmt::Debug for Long {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Long")
    }
}

impl RowHasher {
    /// Takes the next piece.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (row, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            self.carriage_returns |= row.last().or_else(|| self.open.last()) == Some(&b'\r');
            if self.open.is_empty() && self.long.is_none() {
                self.row(row);
            } else {
                self.open.extend_from_slice(row);
                self.end_open();
            }
        }
        for piece in bytes.chunks(OPEN_LIMIT_BYTES) {
            self.open.extend_from_slice(piece);
            if self.open.len() > OPEN_LIMIT_BYTES {
                self.spill();
            }
        }
    }

    /// What the whole rows so far add up to.
    pub const fn sum(&self) -> RowSum {
        self.done
    }

    /// Whether lines end as no server writes them: the rows would have another text there.
    pub const fn has_carriage_returns(&self) -> bool {
        self.carriage_returns
    }

    fn row(&mut self, row: &[u8]) {
        let hash = if memchr(b':', row).is_none() {
            digest(&SHA256, row)
        } else {
            self.scratch.clear();
            in_utc(row, true, &mut |part| self.scratch.extend_from_slice(part));
            digest(&SHA256, &self.scratch)
        };
        self.add(hash.as_ref());
    }

    fn end_open(&mut self) {
        let open = std::mem::take(&mut self.open);
        match self.long.take() {
            None => self.row(&open),
            Some(mut long) => {
                in_utc(&open, true, &mut |part| long.0.update(part));
                self.add(long.0.finish().as_ref());
            }
        }
        self.open = open;
        self.open.clear();
    }

    /// Hashes what is there of a long row but its last bytes, in which a moment may have begun.
    fn spill(&mut self) {
        let long = self.long.get_or_insert_with(|| Box::new(Long(Context::new(&SHA256))));
        let used = in_utc(&self.open, false, &mut |part| long.0.update(part));
        self.open.drain(..used);
    }

    fn add(&mut self, hash: &[u8]) {
        let sum = hash.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        self.done = self.done.with(RowSum { sum, rows: 1 });
    }
}

/// Gives `row` in parts, every moment in it as its seconds in UTC; gives back the bytes used, which are
/// all where the row ends here. However a row is cut, the parts put together are the same.
fn in_utc(row: &[u8], ends: bool, give: &mut dyn FnMut(&[u8])) -> usize {
    let horizon = if ends { row.len() } else { row.len().saturating_sub(MOMENT_BYTES) };
    let mut used = 0;
    for colon in memchr_iter(b':', row) {
        let Some(start) = colon.checked_sub(BEFORE_COLON).filter(|start| *start >= used) else { continue };
        if row.get(colon - HOUR_BYTES) != Some(&b' ') {
            continue;
        }
        if start >= horizon {
            break;
        }
        let year = start - more_digits(row, used, start);
        if let Some(found) = row.get(year..).and_then(|text| moment(text, start - year)) {
            give(row.get(used..year).unwrap_or_default());
            give(&[MARK]);
            give(&found.seconds.to_be_bytes());
            give(found.fraction);
            used = year + found.bytes;
        }
    }
    let end = used.max(horizon);
    // A year may begin there, and go on behind it.
    let end = if ends { end } else { end - more_digits(row, used, end) };
    give(row.get(used..end).unwrap_or_default());
    end
}

/// Digits right before `end`, as far as they may belong to a year; `used` is where to stop.
fn more_digits(row: &[u8], used: usize, end: usize) -> usize {
    let before = row.get(used..end).unwrap_or_default();
    before.iter().rev().take(MORE_YEAR_DIGITS).take_while(|byte| byte.is_ascii_digit()).count()
}

/// A moment in a text.
struct Moment<'a> {
    /// Seconds since the beginning of 1970 in UTC.
    seconds: i64,
    /// Parts of a second, with the point; no zone changes them.
    fraction: &'a [u8],
    /// Length of the text.
    bytes: usize,
}

/// Reads `2026-11-29 17:30:00.5+01`, as servers write it with `DateStyle` ISO, at the beginning of `text`. The
/// year has `more` digits than four.
fn moment(text: &[u8], more: usize) -> Option<Moment<'_>> {
    let (thousands, text) = text.split_at_checked(more)?;
    let thousands = thousands.iter().fold(0_i64, |all, digit| all * 10 + i64::from(digit - b'0'));
    let number = |at: usize, digits: usize| {
        let digits = text.get(at..at + digits)?;
        digits
            .iter()
            .try_fold(0_i64, |all, digit| digit.is_ascii_digit().then(|| all * 10 + i64::from(digit - b'0')))
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b' ') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (thousands * 10_000 + number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let mut at = 19;
    if is(at, b'.') {
        at += 1 + text.get(at + 1..)?.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    }
    let fraction = text.get(19..at)?;
    let sign = match text.get(at)? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut zone = number(at + 1, 2)? * 3600;
    at += 3;
    for unit in [60, 1] {
        match number(at + 1, 2).filter(|_| is(at, b':')) {
            Some(part) => {
                zone += part * unit;
                at += 3;
            }
            None => break,
        }
    }
    let before_christ = text.get(at..at + 3) == Some(b" BC");
    let year = if before_christ { 1 - year } else { year };
    let valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    // No server writes -00: it would be a second text for the same moment.
    if !valid || (sign < 0 && zone == 0) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - sign * zone;
    Some(Moment { seconds, fraction, bytes: more + at + if before_christ { 3 } else { 0 } })
}

/// Days since the beginning of 1970 of a date in the proleptic Gregorian calendar.
///
/// Source: H. Hinnant, *chrono-Compatible Low-Level Date Algorithms*, `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;

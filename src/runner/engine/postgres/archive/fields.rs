//! Numbers and strings of an archive, taken from the front of what has arrived.
//!
//! Every function gives `Ok(None)` where more bytes are needed; the caller then begins again with more.

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Fields at the front of some bytes.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    int_bytes: usize,
    /// Longest string in bytes.
    limit: u64,
}

/// A string, which may be absent: `NULL` in the sources.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text<'a> {
    Absent,
    Present(&'a [u8]),
}

impl<'a> Text<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Absent => &[],
            Self::Present(bytes) => bytes,
        }
    }
}

/// Fault for an archive that contradicts itself.
pub(super) fn corrupt(what: impl std::fmt::Display) -> Fault {
    Fault::new(Stage::Inspect, Reason::CorruptBackup, format!("the archive is damaged: {what}"))
}

/// Value of an integer: a sign byte, then its magnitude from the lowest byte on.
pub(super) fn integer(bytes: &[u8]) -> Result<i64> {
    let Some((sign, magnitude)) = bytes.split_first() else { return Ok(0) };
    let mut value = 0_i64;
    for byte in magnitude.iter().rev() {
        value = value
            .checked_mul(256)
            .and_then(|value| value.checked_add(i64::from(*byte)))
            .ok_or_else(|| corrupt("a number in it is too large"))?;
    }
    match sign {
        0 => Ok(value),
        1 => Ok(-value),
        _ => Err(corrupt("a number in it has no sign")),
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], int_bytes: u8, limit: u64) -> Self {
        Self { bytes, at: 0, int_bytes: usize::from(int_bytes), limit }
    }

    /// Bytes taken so far.
    pub(super) const fn used(&self) -> usize {
        self.at
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    pub(super) fn int(&mut self) -> Result<Option<i64>> {
        self.bytes(1 + self.int_bytes).map(integer).transpose()
    }

    /// An integer that must be positive, a number of an entry.
    pub(super) fn number(&mut self) -> Result<Option<u32>> {
        let Some(value) = self.int()? else { return Ok(None) };
        match u32::try_from(value) {
            Ok(value) if value > 0 => Ok(Some(value)),
            _ => Err(corrupt(format!("{value} stands where an entry's number should"))),
        }
    }

    pub(super) fn string(&mut self) -> Result<Option<Text<'a>>> {
        let Some(length) = self.int()? else { return Ok(None) };
        let Ok(length) = u64::try_from(length) else { return Ok(Some(Text::Absent)) };
        if length > self.limit {
            let what = format!("a text in the archive has {length} bytes; at most {} are read", self.limit);
            return Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, what));
        }
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let Some(text) = self.bytes(length) else { return Ok(None) };
        if memchr::memchr(0, text).is_some() {
            return Err(corrupt("a text in it holds a NUL byte"));
        }
        Ok(Some(Text::Present(text)))
    }

    /// A string, an absent one as empty.
    pub(super) fn text(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.string()?.map(|text| text.bytes().to_vec()))
    }

    /// A number that is written as a string.
    pub(super) fn number_text(&mut self) -> Result<Option<u32>> {
        self.string()?.map(|text| parse_number(text.bytes())).transpose()
    }
}

/// A number in decimal digits.
pub(super) fn parse_number(text: &[u8]) -> Result<u32> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| corrupt("a text stands where a number should"))
}

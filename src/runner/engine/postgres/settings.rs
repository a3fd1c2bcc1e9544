//! Settings of a dump that change how its own text is read.

use super::encoding::Encoding;
use super::script::HEAD_BYTES;
use super::subject::{Subject, subject};
use crate::reason::Reason;

/// How text is read from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `client_encoding`.
    pub encoding: Encoding,
    /// `standard_conforming_strings`: whether a backslash in `'…'` is only a backslash.
    pub standard_strings: bool,
}

impl Default for Settings {
    /// What a server has where a dump says nothing.
    fn default() -> Self {
        Self { encoding: Encoding::default(), standard_strings: true }
    }
}

impl Settings {
    /// Follows a `SET` statement of `bytes` bytes, of which `text` is the head; all others change nothing.
    /// The error says what the dump has, to be put behind where it has it.
    pub(super) fn follow(&mut self, text: &[u8], bytes: u64) -> Result<(), (Reason, String)> {
        if !text.get(..3).unwrap_or_default().eq_ignore_ascii_case(b"set") {
            return Ok(());
        }
        // A head must be enough, so that both passes read the same.
        if bytes > HEAD_BYTES as u64 {
            return Err((Reason::UnsafeContent, "a SET that is longer than any tool writes".to_owned()));
        }
        let Subject::Set(name, value) = subject(text) else { return Ok(()) };
        match name.as_slice() {
            b"standard_conforming_strings" => match value.to_ascii_lowercase().as_slice() {
                b"on" => self.standard_strings = true,
                b"off" => self.standard_strings = false,
                _ => {
                    let what = "standard_conforming_strings set to neither on nor off";
                    return Err((Reason::UnsafeContent, what.to_owned()));
                }
            },
            b"client_encoding" => {
                self.encoding = Encoding::from_name(&value).ok_or_else(|| {
                    let shown = String::from_utf8_lossy(value.get(..40).unwrap_or(&value)).into_owned();
                    let what = format!("the client encoding {shown:?}, which PostgreSQL does not have");
                    (Reason::UnsupportedEncoding, what)
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

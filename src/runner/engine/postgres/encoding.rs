//! Client encodings of dumps: which name is which, and how long a character is where its later bytes
//! may look like ASCII.
//!
//! In those seven, which PostgreSQL has for clients only, a quote or a backslash may be half of a
//! character; [`Mask`] hides such bytes from the lexer, as psql does. In all others a byte below 0x80
//! is itself. Source: PostgreSQL, *Character Set Support*; `encnames.c` and `wchar.c` for aliases and
//! lengths.

/// How a client encoding forms characters, as far as splitting text needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes below 0x80 are ASCII wherever they stand: UTF-8, the EUC family, all single-byte ones.
    #[default]
    Plain,
    /// SJIS and `SHIFT_JIS_2004`: two bytes, but half-width katakana 0xA1–0xDF is one.
    ShiftJis,
    /// BIG5, GBK and UHC: two bytes after a high first one.
    TwoBytes,
    /// GB18030: two bytes, or four where the second is a digit.
    Gb18030,
    /// JOHAB, with the lengths that PostgreSQL gives it: three bytes after 0x8F, else two.
    Johab,
}

/// Names and aliases of encodings whose later bytes are never ASCII, lower case, letters and digits only.
const PLAIN: &[&str] = &[
    "abc",
    "alt",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "iso88591",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "koi8",
    "koi8r",
    "koi8u",
    "latin1",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "muleinternal",
    "sqlascii",
    "tcvn",
    "tcvn5712",
    "unicode",
    "utf8",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
];

impl Encoding {
    /// The encoding of this name, read as the server reads it: case and punctuation do not count.
    /// `None` for a name that PostgreSQL does not have.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let clean: String = name
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
        match clean.as_str() {
            "sjis" | "mskanji" | "shiftjis" | "win932" | "windows932" | "shiftjis2004" => {
                Some(Self::ShiftJis)
            }
            "big5" | "win950" | "windows950" | "gbk" | "win936" | "windows936" | "uhc" | "win949"
            | "windows949" => Some(Self::TwoBytes),
            "gb18030" => Some(Self::Gb18030),
            "johab" => Some(Self::Johab),
            name => PLAIN.contains(&name).then_some(Self::Plain),
        }
    }

    /// Whether later bytes of a character may be ASCII.
    pub const fn embeds_ascii(self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Bytes that follow this first one; four-byte characters show only at their second byte.
    const fn more(self, first: u8) -> u8 {
        match (self, first) {
            (_, 0..0x80) | (Self::Plain, _) | (Self::ShiftJis, 0xA1..=0xDF) => 0,
            (Self::Johab, 0x8F) => 2,
            _ => 1,
        }
    }
}

/// Hides later bytes of characters, however the text is cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mask {
    /// Bytes of the current character that are still to come.
    pending: u8,
    /// The next byte is the second of its character.
    second: bool,
}

impl Mask {
    /// What stands for a hidden byte: a letter to the lexer.
    const HIDDEN: u8 = 0xFF;

    /// Puts `text`, a line or a part of one, into `masked` with hidden later bytes. A line feed ends
    /// every character, as psql reads line by line.
    pub fn apply(&mut self, encoding: Encoding, text: &[u8], masked: &mut Vec<u8>) {
        masked.clear();
        masked.extend(text.iter().map(|byte| self.one(encoding, *byte)));
    }

    fn one(&mut self, encoding: Encoding, byte: u8) -> u8 {
        if byte == b'\n' {
            *self = Self::default();
            return byte;
        }
        if self.pending == 0 {
            self.pending = encoding.more(byte);
            self.second = self.pending > 0;
            return byte;
        }
        self.pending -= 1;
        if self.second && encoding == Encoding::Gb18030 && byte.is_ascii_digit() {
            self.pending = 2;
        }
        self.second = false;
        Self::HIDDEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_server_reads_them() {
        for (name, expected) in [
            ("UTF8", Some(Encoding::Plain)),
            ("utf-8", Some(Encoding::Plain)),
            ("SQL_ASCII", Some(Encoding::Plain)),
            ("ISO_8859_5", Some(Encoding::Plain)),
            ("SJIS", Some(Encoding::ShiftJis)),
            ("Shift_JIS_2004", Some(Encoding::ShiftJis)),
            ("WIN932", Some(Encoding::ShiftJis)),
            ("BIG5", Some(Encoding::TwoBytes)),
            ("GBK", Some(Encoding::TwoBytes)),
            ("UHC", Some(Encoding::TwoBytes)),
            ("GB18030", Some(Encoding::Gb18030)),
            ("JOHAB", Some(Encoding::Johab)),
            ("EBCDIC", None),
            ("", None),
        ] {
            assert_eq!(Encoding::from_name(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn later_bytes_are_hidden_however_the_text_is_cut() {
        let cases: &[(Encoding, &[u8], &[u8])] = &[
            (Encoding::ShiftJis, b"\x95\x5c'\xb1'", b"\x95\xff'\xb1'"),
            (Encoding::TwoBytes, b"\xa5\x5cx\\", b"\xa5\xffx\\"),
            (Encoding::Gb18030, b"\x81\x30\x89\x5c'\x81\x5c'", b"\x81\xff\xff\xff'\x81\xff'"),
            (Encoding::Johab, b"\x8f\x5c\x5c\x5c\xd0\x27\x27", b"\x8f\xff\xff\x5c\xd0\xff\x27"),
            (Encoding::ShiftJis, b"\x95\n\\", b"\x95\n\\"),
            (Encoding::Plain, b"\xc3\x5c", b"\xc3\x5c"),
        ];
        for (encoding, text, expected) in cases {
            for step in 1..=text.len() {
                let (mut mask, mut part, mut all) = (Mask::default(), Vec::new(), Vec::new());
                for piece in text.chunks(step) {
                    mask.apply(*encoding, piece, &mut part);
                    all.extend_from_slice(&part);
                }
                assert_eq!(all, *expected, "{encoding:?} {text:?} by {step}");
            }
        }
    }
}

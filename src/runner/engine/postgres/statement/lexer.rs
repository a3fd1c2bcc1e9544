//! Cuts one whole SQL statement into tokens by PostgreSQL's rules, in time linear in its length.
//!
//! Any bytes may come; those from 0x80 on belong to words and are not looked at. Comments and white
//! space are passed over. Nothing is copied: a token points into the statement.

use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A bare word: keyword or name.
    Word(&'a [u8]),
    /// What stands between double quotes, doubled ones still doubled.
    Quoted(&'a [u8]),
    /// A string constant.
    Text(Text<'a>),
    /// `B'…'` or `X'…'`.
    Bits,
    /// A number, sign not included.
    Number(&'a [u8]),
    /// `U&"…"` or `U&'…'`: no dump tool writes one, so it is never decoded.
    Unicode,
    /// Any other single byte; an operator is several of them.
    Punct(u8),
    /// A quote or comment is not closed, or a NUL byte stands here. So it stays.
    Broken,
    /// The end of the statement.
    End,
}

/// A string constant as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    raw: &'a [u8],
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Only a doubled quote is special.
    Plain,
    /// Backslashes are special too.
    Escape,
    /// Nothing is.
    Dollar,
}

impl<'a> Text<'a> {
    /// The value; `None` for an escape that no dump tool writes.
    pub(super) fn value(self) -> Option<Cow<'a, [u8]>> {
        match self.style {
            Style::Dollar => Some(Cow::Borrowed(self.raw)),
            Style::Plain => Some(halved(self.raw, b'\'')),
            Style::Escape => {
                let mut value = Vec::with_capacity(self.raw.len());
                let mut bytes = self.raw.iter().copied();
                while let Some(byte) = bytes.next() {
                    if byte == b'\'' || byte == b'\\' {
                        let next = bytes.next().filter(|next| *next == b'\'' || *next == b'\\')?;
                        value.push(next);
                    } else {
                        value.push(byte);
                    }
                }
                Some(Cow::Owned(value))
            }
        }
    }
}

/// Text in which every doubled `quote` stands once.
pub(super) fn halved(raw: &[u8], quote: u8) -> Cow<'_, [u8]> {
    if !raw.contains(&quote) {
        return Cow::Borrowed(raw);
    }
    let mut value = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        value.push(byte);
        if byte == quote {
            bytes.next();
        }
    }
    Cow::Owned(value)
}

/// The tokenizer: a place in a statement. A copy is a place to come back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    /// The session's `standard_conforming_strings`.
    conforming: bool,
    broken: bool,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a [u8], conforming: bool) -> Self {
        Self { rest: text, conforming, broken: false }
    }

    /// Bytes that are not read yet.
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Token<'a> {
        if self.broken || !self.skip_blank() {
            return self.broken();
        }
        let Some(first) = self.byte(0) else { return Token::End };
        match first {
            b'\'' if self.conforming => self.text(1, Style::Plain),
            b'\'' => self.text(1, Style::Escape),
            b'"' => match self.close(1, b'"', false) {
                Some(raw) => Token::Quoted(raw),
                None => self.broken(),
            },
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            0 => self.broken(),
            byte if begins_word(byte) => self.word(),
            byte => {
                self.take(1);
                Token::Punct(byte)
            }
        }
    }

    /// What was not read yet.
    #[cfg(test)]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.rest.get(at).copied()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn broken(&mut self) -> Token<'a> {
        self.broken = true;
        Token::Broken
    }

    /// Passes white space and comments; `false` if a comment has no end.
    fn skip_blank(&mut self) -> bool {
        loop {
            let blank = self.rest.iter().position(|byte| !is_space(*byte)).unwrap_or(self.rest.len());
            self.take(blank);
            if self.rest.starts_with(b"--") {
                let end = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                self.take(end.unwrap_or(self.rest.len()));
            } else if self.rest.starts_with(b"/*") {
                if !self.skip_block() {
                    return false;
                }
            } else {
                return true;
            }
        }
    }

    /// Passes a block comment, which may hold others.
    fn skip_block(&mut self) -> bool {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with(b"/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with(b"*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return true;
                }
            } else if self.take(1).is_empty() {
                return false;
            }
        }
    }

    /// Takes all up to the closing `quote`, behind `opening` bytes; gives back what stands between.
    fn close(&mut self, opening: usize, quote: u8, escapes: bool) -> Option<&'a [u8]> {
        let body = self.rest.get(opening..)?;
        let special = |byte: &u8| *byte == quote || *byte == 0 || (escapes && *byte == b'\\');
        let mut at = 0;
        loop {
            at += body.get(at..)?.iter().position(special)?;
            let found = body.get(at)?;
            if *found == 0 {
                return None;
            }
            let ends = *found == quote && body.get(at + 1) != Some(&quote);
            if ends {
                break;
            }
            // A doubled quote, or a backslash and what it escapes.
            at += 2;
        }
        self.take(opening + at + 1);
        body.get(..at)
    }

    fn text(&mut self, opening: usize, style: Style) -> Token<'a> {
        match self.close(opening, b'\'', style == Style::Escape) {
            Some(raw) => Token::Text(Text { raw, style }),
            None => self.broken(),
        }
    }

    /// `$tag$ … $tag$`, or a lone dollar sign.
    fn dollar(&mut self) -> Token<'a> {
        let tag = self.rest.iter().skip(1).position(|byte| !continues_word(*byte) || *byte == b'$');
        let delimiter = tag.and_then(|length| self.rest.get(..length + 2));
        let Some(delimiter) = delimiter.filter(|found| {
            found.ends_with(b"$") && (found.len() == 2 || found.get(1).is_some_and(|byte| begins_word(*byte)))
        }) else {
            self.take(1);
            return Token::Punct(b'$');
        };
        self.take(delimiter.len());
        let body = self.rest;
        let mut at = 0;
        // No `$` is inside a tag, so all comparisons together are linear.
        while let Some(next) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'$')) {
            at += next;
            if body.get(at..).is_some_and(|rest| rest.starts_with(delimiter)) {
                self.take(at + delimiter.len());
                let raw = body.get(..at).unwrap_or_default();
                return Token::Text(Text { raw, style: Style::Dollar });
            }
            at += 1;
        }
        self.broken()
    }

    fn word(&mut self) -> Token<'a> {
        let length = self.rest.iter().position(|byte| !continues_word(*byte)).unwrap_or(self.rest.len());
        if length == 1 {
            match (self.byte(0).unwrap_or_default().to_ascii_uppercase(), self.byte(1), self.byte(2)) {
                (b'E', Some(b'\''), _) => return self.text(2, Style::Escape),
                (b'N', Some(b'\''), _) => return self.text(2, Style::Plain),
                (b'B' | b'X', Some(b'\''), _) => return self.opaque(2, b'\'', Token::Bits),
                (b'U', Some(b'&'), Some(quote @ (b'\'' | b'"'))) => {
                    return self.opaque(3, quote, Token::Unicode);
                }
                _ => {}
            }
        }
        Token::Word(self.take(length))
    }

    fn opaque(&mut self, opening: usize, quote: u8, token: Token<'a>) -> Token<'a> {
        if self.close(opening, quote, false).is_some() { token } else { self.broken() }
    }

    /// Digits, a fraction and an exponent, as far as they are one number for every server.
    fn number(&mut self) -> Token<'a> {
        let digits = |from: usize| -> usize {
            let rest = self.rest.get(from..).unwrap_or_default();
            from + rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'_').unwrap_or(rest.len())
        };
        let mut end = digits(0);
        if self.byte(end) == Some(b'.') {
            end = digits(end + 1);
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            if self.byte(end + 1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                end = digits(end + 1 + sign);
            }
        }
        Token::Number(self.take(end))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &[u8], conforming: bool) -> String {
        let mut lexer = Lexer::new(text, conforming);
        let mut all = Vec::new();
        loop {
            let token = lexer.next();
            let part = match token {
                Token::Word(word) => String::from_utf8_lossy(word).into_owned(),
                Token::Quoted(raw) => format!("q<{}>", String::from_utf8_lossy(&halved(raw, b'"'))),
                Token::Text(text) => match text.value() {
                    Some(value) => format!("t<{}>", String::from_utf8_lossy(&value)),
                    None => "t?".to_owned(),
                },
                Token::Bits => "bits".to_owned(),
                Token::Number(digits) => format!("#{}", String::from_utf8_lossy(digits)),
                Token::Unicode => "unicode".to_owned(),
                Token::Punct(byte) => char::from(byte).to_string(),
                Token::Broken => "broken".to_owned(),
                Token::End => return all.join(" "),
            };
            all.push(part);
            if token == Token::Broken {
                return all.join(" ");
            }
        }
    }

    #[test]
    fn tokens_follow_the_rules_of_postgresql() {
        for (text, expected) in [
            ("a B_1$x ünï", "a B_1$x ünï"),
            (r#""a ""b""" "x""#, r#"q<a "b"> q<x>"#),
            ("'it''s' 'a\\'", "t<it's> t<a\\>"),
            ("E'a\\'b' e'\\\\' E'\\n'", "t<a'b> t<\\> t?"),
            ("n'x' B'01' x'FF' U&'\\0061' u&\"\\0061\"", "t<x> bits bits unicode unicode"),
            ("abcE'x'", "abcE t<x>"),
            ("$$a'b$$ $t$ $$ $t $t$", "t<a'b> t< $$ $t >"),
            ("a$b$c $1 $", "a$b$c $ #1 $"),
            ("1.5e-3 .5 1e 1e5x 0E'\\''", "#1.5e-3 #.5 #1 e #1e5 x #0 t<'>"),
            ("a--b'\nc -- d", "a c"),
            ("a--b\rc", "a c"),
            ("a/* /* ' */ */b/**/::c", "a b : : c"),
            ("a-/*x*/-b", "a - - b"),
            ("", ""),
            ("'a", "broken"),
            ("x \"a", "x broken"),
            ("E'a\\'", "broken"),
            ("$a$ $b$", "broken"),
            ("/* /* */", "broken"),
            ("a\0b", "a broken"),
            ("'a\0b'", "broken"),
            ("U&\"x", "broken"),
        ] {
            assert_eq!(kinds(text.as_bytes(), true), expected, "{text}");
        }
    }

    #[test]
    fn backslashes_in_plain_strings_are_as_the_session_has_them() {
        assert_eq!(kinds(br"'a\' b", true), r"t<a\> b");
        assert_eq!(kinds(br"'a\' b'", false), "t<a' b>");
        assert_eq!(kinds(br"$$a\$$ b", false), r"t<a\> b");
    }

    #[test]
    fn a_broken_statement_stays_broken() {
        let mut lexer = Lexer::new(b"a 'b", true);
        assert_eq!(lexer.next(), Token::Word(b"a"));
        assert_eq!((lexer.next(), lexer.next()), (Token::Broken, Token::Broken));
    }

    #[test]
    fn long_hostile_texts_take_linear_time() {
        const MANY: usize = 1 << 20;
        for text in ["$a".repeat(MANY), "/*".repeat(MANY), "''".repeat(MANY), "$$ $a$".repeat(MANY)] {
            let mut lexer = Lexer::new(text.as_bytes(), true);
            let tokens = std::iter::from_fn(|| Some(lexer.next()))
                .take_while(|token| !matches!(token, Token::End | Token::Broken))
                .count();
            assert!(tokens <= text.len());
        }
    }
}

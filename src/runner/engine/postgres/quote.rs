//! Words, quotes and comments of SQL text, fed in pieces of any length: where a token ends, and
//! nothing of what it means.
//!
//! The rules are psql's (PostgreSQL, *Lexical Structure*; `psqlscan.l`): `'…'` with backslashes or
//! without, `E'…'`, `U&'…'`, `"…"`, dollar quotes, nested `/* */`, and `--` up to a line feed or a
//! carriage return. Two string constants that only a line feed separates are two tokens here, as in
//! psql, which reads line by line.

use memchr::{memchr, memchr2};

/// Bytes of a word that are kept, lower case: more than any keyword that matters has.
const WORD_BYTES: usize = 16;
/// Longest tag of a dollar quote in bytes; `pg_dump` writes tags such as `_`, people a word.
const TAG_LIMIT_BYTES: usize = 1024;

/// The end of a token, or what else a step met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// White space, or a part of a `/* */` comment.
    Blank,
    /// A part of a `--` comment, its end not among it; `retract`: the token that had begun with a dash
    /// is its beginning.
    Comment {
        retract: bool,
    },
    /// The same for a `/* */` comment that began with a slash.
    BlockComment {
        retract: bool,
    },
    /// The input ended within a token.
    Part,
    /// A word ended; see [`Lexer::word`].
    Word,
    Semicolon,
    Open,
    Close,
    Comma,
    Backslash,
    /// Any other token: a constant, a quoted name, an operator's byte.
    Other,
    /// A dollar quote's tag is longer than any tool's.
    LongTag,
}

/// What one step used and met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) used: usize,
    pub(super) event: Event,
}

/// Kinds of quotes with a closing character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    /// `'…'` without escapes.
    Plain,
    /// `'…'` with backslash escapes.
    Escape,
    /// `B'…'` and `X'…'`: a doubled quote ends it and begins another.
    Bits,
    /// `"…"`.
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    Word,
    Number,
    Dash,
    Slash,
    /// Behind `u&`, which may begin a quote.
    UnicodeMark,
    Quoted(Quote),
    /// Behind a backslash in [`Quote::Escape`].
    Escaped,
    /// Behind a closing quote, which another one would open again.
    Closed(Quote),
    /// Behind `$`, in what may be a dollar quote's tag.
    Tag,
    /// In a dollar quote, with so many bytes of its end seen.
    Dollar(usize),
    LineComment,
    /// Nested so deep; the byte before was `*` or `/`.
    BlockComment(u32, u8),
}

/// Cuts bytes into tokens; see the module.
#[derive(Clone, Debug)]
pub(super) struct Lexer {
    state: State,
    word: [u8; WORD_BYTES],
    /// Bytes of the word, also those that were not kept.
    word_len: usize,
    /// `$tag$`.
    tag: Vec<u8>,
    /// Whether `'…'` is without escapes.
    pub(super) standard_strings: bool,
}

impl Default for Lexer {
    fn default() -> Self {
        Self {
            state: State::Between,
            word: [0; WORD_BYTES],
            word_len: 0,
            tag: Vec::new(),
            standard_strings: true,
        }
    }
}

const fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// A step that used `used` bytes and met `event`.
const fn met(used: usize, event: Event) -> Step {
    Step { used, event }
}

impl Lexer {
    /// The word that ended, lower case; empty for one that is too long for a keyword.
    pub(super) fn word(&self) -> &[u8] {
        self.word.get(..self.word_len).unwrap_or_default()
    }

    /// What a text that ends here is in the middle of, for a message; `None` between tokens.
    pub(super) const fn open(&self) -> Option<&'static str> {
        match self.state {
            State::Between | State::LineComment => None,
            State::Quoted(Quote::Name) => Some("a quoted name"),
            State::Quoted(_) | State::Escaped => Some("a string"),
            State::Dollar(_) => Some("a dollar-quoted string"),
            State::BlockComment(..) => Some("a comment"),
            State::Word
            | State::Number
            | State::Dash
            | State::Slash
            | State::UnicodeMark
            | State::Closed(_)
            | State::Tag => Some("a word"),
        }
    }

    /// Reads on in `input`, which is not empty, up to the end of a token or of the input. A step may
    /// use nothing where a token ends only by what follows it.
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        match self.state {
            State::Between => self.begin(input),
            State::Word => self.in_word(input, 0),
            State::Number => self.in_number(input, 0),
            State::Dash => match input.first() {
                Some(b'-') => self.in_line_comment(input, true),
                _ => self.end(0, Event::Other),
            },
            State::Slash => match input.first() {
                Some(b'*') => self.in_block_comment(input, 1, true),
                _ => self.end(0, Event::Other),
            },
            State::UnicodeMark => self.behind_unicode_mark(input, 0),
            State::Quoted(quote) => self.in_quote(input, 0, quote),
            State::Escaped => self.in_quote(input, 1, Quote::Escape),
            State::Closed(quote) => match input.first() {
                Some(b'\'') => self.in_quote(input, 1, quote),
                _ => self.end(0, Event::Other),
            },
            State::Tag => self.in_tag(input, 0),
            State::Dollar(seen) => self.in_dollar(input, 0, seen),
            State::LineComment => self.in_line_comment(input, false),
            State::BlockComment(..) => self.in_block_comment(input, 0, false),
        }
    }

    fn end(&mut self, used: usize, event: Event) -> Step {
        self.state = State::Between;
        met(used, event)
    }

    fn part(&mut self, used: usize, state: State) -> Step {
        self.state = state;
        met(used, Event::Part)
    }

    /// At the first byte of a token.
    fn begin(&mut self, input: &[u8]) -> Step {
        let (Some(first), next) = (input.first().copied(), input.get(1).copied()) else {
            return met(0, Event::Part);
        };
        match (first, next) {
            (b';', _) => self.end(1, Event::Semicolon),
            (b'(', _) => self.end(1, Event::Open),
            (b')', _) => self.end(1, Event::Close),
            (b',', _) => self.end(1, Event::Comma),
            (b'\\', _) => self.end(1, Event::Backslash),
            (b'\'', _) if self.standard_strings => self.in_quote(input, 1, Quote::Plain),
            (b'\'', _) => self.in_quote(input, 1, Quote::Escape),
            (b'"', _) => self.in_quote(input, 1, Quote::Name),
            (b'$', _) => {
                self.tag.clear();
                self.tag.push(b'$');
                self.in_tag(input, 1)
            }
            (b'-', None) => self.part(1, State::Dash),
            (b'-', Some(b'-')) => self.in_line_comment(input, false),
            (b'/', None) => self.part(1, State::Slash),
            (b'/', Some(b'*')) => self.in_block_comment(input, 2, false),
            (b'0'..=b'9', _) => self.in_number(input, 1),
            _ if starts_word(first) => {
                self.word_len = 0;
                self.in_word(input, 0)
            }
            _ if is_blank(first) => {
                let used = input.iter().take_while(|byte| is_blank(**byte)).count();
                self.end(used, Event::Blank)
            }
            _ => self.end(1, Event::Other),
        }
    }

    fn in_word(&mut self, input: &[u8], from: usize) -> Step {
        for (at, byte) in input.iter().copied().enumerate().skip(from) {
            if !(starts_word(byte) || byte.is_ascii_digit() || byte == b'$') {
                return self.behind_word(input, at, byte);
            }
            if let Some(place) = self.word.get_mut(self.word_len) {
                *place = byte.to_ascii_lowercase();
            }
            self.word_len = self.word_len.saturating_add(1);
        }
        self.part(input.len(), State::Word)
    }

    /// At the byte behind a word: some words begin a quote.
    fn behind_word(&mut self, input: &[u8], at: usize, byte: u8) -> Step {
        match (self.word(), byte) {
            (b"e", b'\'') => self.in_quote(input, at + 1, Quote::Escape),
            (b"b" | b"x", b'\'') => self.in_quote(input, at + 1, Quote::Bits),
            (b"n", b'\'') if !self.standard_strings => self.in_quote(input, at + 1, Quote::Escape),
            (b"n", b'\'') => self.in_quote(input, at + 1, Quote::Plain),
            (b"u", b'&') => self.behind_unicode_mark(input, at + 1),
            _ => self.end(at, Event::Word),
        }
    }

    fn behind_unicode_mark(&mut self, input: &[u8], at: usize) -> Step {
        match input.get(at) {
            None => self.part(at, State::UnicodeMark),
            Some(b'\'') => self.in_quote(input, at + 1, Quote::Plain),
            Some(b'"') => self.in_quote(input, at + 1, Quote::Name),
            // The word `u` and an operator.
            Some(_) => self.end(at, Event::Word),
        }
    }

    fn in_number(&mut self, input: &[u8], from: usize) -> Step {
        let digits = input.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let at = from + digits;
        match input.get(at) {
            None => self.part(at, State::Number),
            Some(byte) if starts_word(*byte) => {
                // No keyword and no prefix of a quote: a number with letters, such as 1e5.
                self.word_len = WORD_BYTES + 1;
                self.in_word(input, at)
            }
            Some(_) => self.end(at, Event::Other),
        }
    }

    /// In a quote, at `at`.
    fn in_quote(&mut self, input: &[u8], mut at: usize, quote: Quote) -> Step {
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let found = match quote {
                Quote::Plain | Quote::Bits => memchr(b'\'', rest),
                Quote::Escape => memchr2(b'\'', b'\\', rest),
                Quote::Name => memchr(b'"', rest),
            };
            let Some(found) = found else { return self.part(input.len(), State::Quoted(quote)) };
            at += found + 1;
            if input.get(at - 1) == Some(&b'\\') {
                if at == input.len() {
                    return self.part(at, State::Escaped);
                }
                at += 1;
                continue;
            }
            if matches!(quote, Quote::Bits | Quote::Name) {
                // A doubled one ends one token and begins another of the same kind: no difference.
                return self.end(at, Event::Other);
            }
            match input.get(at) {
                None => return self.part(at, State::Closed(quote)),
                Some(b'\'') => at += 1,
                Some(_) => return self.end(at, Event::Other),
            }
        }
    }

    /// Behind `$`: a tag and another `$`, a parameter, or nothing of the kind.
    fn in_tag(&mut self, input: &[u8], from: usize) -> Step {
        for (at, byte) in input.iter().copied().enumerate().skip(from) {
            let first = self.tag.len() == 1;
            if byte == b'$' {
                self.tag.push(byte);
                return self.in_dollar(input, at + 1, 0);
            }
            if !(starts_word(byte) || (byte.is_ascii_digit() && !first)) {
                return self.not_a_tag(input, at, first);
            }
            if self.tag.len() > TAG_LIMIT_BYTES {
                return self.end(at, Event::LongTag);
            }
            self.tag.push(byte);
        }
        self.part(input.len(), State::Tag)
    }

    /// What stood behind `$` is a token of its own.
    fn not_a_tag(&mut self, input: &[u8], at: usize, bare: bool) -> Step {
        if bare {
            return self.end(at, Event::Other);
        }
        self.word_len = self.tag.len() - 1;
        for (place, byte) in self.word.iter_mut().zip(self.tag.iter().skip(1)) {
            *place = byte.to_ascii_lowercase();
        }
        self.in_word(input, at)
    }

    /// In a dollar quote. Its end holds `$` only first and last, so a failed match begins again there.
    fn in_dollar(&mut self, input: &[u8], mut at: usize, mut seen: usize) -> Step {
        while let Some(byte) = input.get(at).copied() {
            if seen == 0 {
                match memchr(b'$', input.get(at..).unwrap_or_default()) {
                    Some(found) => (at, seen) = (at + found + 1, 1),
                    None => break,
                }
                continue;
            }
            at += 1;
            if self.tag.get(seen) == Some(&byte) {
                seen += 1;
            } else {
                seen = usize::from(byte == b'$');
            }
            if seen == self.tag.len() {
                return self.end(at, Event::Other);
            }
        }
        self.part(input.len(), State::Dollar(seen))
    }

    fn in_line_comment(&mut self, input: &[u8], retract: bool) -> Step {
        if !retract && self.state == State::LineComment && matches!(input.first(), Some(b'\n' | b'\r')) {
            self.state = State::Between;
            return self.begin(input);
        }
        let used = memchr2(b'\n', b'\r', input).unwrap_or(input.len());
        self.state = State::LineComment;
        met(used, Event::Comment { retract })
    }

    /// In a comment, at `at`; what is before is its beginning.
    fn in_block_comment(&mut self, input: &[u8], mut at: usize, retract: bool) -> Step {
        let (mut depth, mut before) = match self.state {
            State::BlockComment(depth, before) => (depth, before),
            _ => (1, 0),
        };
        while let Some(byte) = input.get(at).copied() {
            at += 1;
            match (before, byte) {
                (b'*', b'/') => (depth, before) = (depth - 1, 0),
                (b'/', b'*') => (depth, before) = (depth.saturating_add(1), 0),
                (_, b'*' | b'/') => before = byte,
                _ => {
                    before = 0;
                    let rest = input.get(at..).unwrap_or_default();
                    at += memchr2(b'*', b'/', rest).unwrap_or(rest.len());
                }
            }
            if depth == 0 {
                return self.end(at, Event::BlockComment { retract });
            }
        }
        self.state = State::BlockComment(depth, before);
        met(at, Event::BlockComment { retract })
    }
}

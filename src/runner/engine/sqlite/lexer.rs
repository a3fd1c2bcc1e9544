//! Cuts SQL text into tokens by SQLite's own rules, byte by byte and in constant memory.
//!
//! Input may come in pieces of any size: the state lives in [`Lexer`]. Text need not be UTF-8.
//! Of a long token only the first bytes are kept; its end is found all the same.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word: keyword, name or function.
    Word,
    /// A number, sign not included.
    Number,
    /// Text in single quotes.
    Text,
    /// A name in double quotes, backticks or brackets.
    Quoted,
    /// Any other single byte.
    Punct(u8),
    /// A NUL byte, at which SQLite stops reading.
    Nul,
}

/// What one call of [`Lexer::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes of the input that were used; at least one.
    pub(super) consumed: usize,
    /// The token that ended here.
    pub(super) token: Option<Kind>,
    /// The bytes were white space or a comment.
    pub(super) blank: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Word,
    Number,
    /// After `e` in a number, where a sign may follow.
    Exponent,
    Inside(u8),
    /// A closing quote was read; another one makes it part of the text.
    Closing(u8),
    Dash,
    Slash,
    Line,
    Block,
    BlockStar,
}

/// The tokenizer.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    text: Vec<u8>,
    /// Bytes of a token's text that are kept.
    keep: usize,
    cut: bool,
    /// The token before ended exactly where this one began.
    adjacent: bool,
    gap: bool,
    number: Number,
}

/// What has to be known of a number while it is read.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    bytes: usize,
    /// It began with `0x`, so an `e` in it is a digit.
    hexadecimal: bool,
}

impl Default for Lexer {
    fn default() -> Self {
        Self {
            state: State::Start,
            text: Vec::new(),
            keep: 4096,
            cut: false,
            adjacent: false,
            gap: true,
            number: Number::default(),
        }
    }
}

impl Lexer {
    /// Text of the token that ended last, quotes removed and doubled ones undone.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether the text of that token was longer than what was kept.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether that token followed the one before without a gap.
    pub(super) fn is_adjacent(&self) -> bool {
        self.adjacent
    }

    /// Sets how much of the tokens to come is kept.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.keep = bytes;
    }

    /// Whether no token and no block comment is open.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Start | State::Line)
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.keep.saturating_sub(self.text.len());
        self.cut |= bytes.len() > room;
        self.text.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }

    fn token(&mut self, kind: Kind, consumed: usize) -> Step {
        self.state = State::Start;
        self.adjacent = !self.gap;
        self.gap = false;
        Step { consumed, token: Some(kind), blank: false }
    }

    fn blank(&mut self, state: State, consumed: usize) -> Step {
        self.state = state;
        self.gap = true;
        Step { consumed, token: None, blank: true }
    }

    fn part(&mut self, state: State, consumed: usize) -> Step {
        self.state = state;
        Step { consumed, token: None, blank: false }
    }

    /// Reads on; `input` must not be empty. A step ends at the latest where its token does, or
    /// where `input` does. A token that only ends because another byte follows uses 0 bytes of it.
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        let first = input.first().copied().unwrap_or_default();
        match self.state {
            State::Start => self.start(first, input),
            State::Word => self.word(input),
            State::Number | State::Exponent => self.number(input),
            State::Inside(close) => self.inside(close, input),
            State::Closing(close) if first == close && close != b']' => {
                self.push(&[close]);
                self.part(State::Inside(close), 1)
            }
            State::Closing(b'\'') => self.token(Kind::Text, 0),
            State::Closing(_) => self.token(Kind::Quoted, 0),
            State::Dash if first == b'-' => self.blank(State::Line, 1),
            State::Dash => self.token(Kind::Punct(b'-'), 0),
            State::Slash if first == b'*' => self.blank(State::Block, 1),
            State::Slash => self.token(Kind::Punct(b'/'), 0),
            State::Line => match input.iter().position(|byte| *byte == b'\n') {
                Some(end) => self.blank(State::Start, end + 1),
                None => self.blank(State::Line, input.len()),
            },
            State::Block => match input.iter().position(|byte| *byte == b'*') {
                Some(star) => self.blank(State::BlockStar, star + 1),
                None => self.blank(State::Block, input.len()),
            },
            State::BlockStar => match first {
                b'/' => self.blank(State::Start, 1),
                b'*' => self.blank(State::BlockStar, 1),
                _ => self.blank(State::Block, 1),
            },
        }
    }

    fn start(&mut self, first: u8, input: &[u8]) -> Step {
        if is_space(first) {
            let length = input.iter().position(|byte| !is_space(*byte)).unwrap_or(input.len());
            return self.blank(State::Start, length);
        }
        self.text.clear();
        self.cut = false;
        self.number = Number::default();
        match first {
            b'\'' | b'"' | b'`' => self.part(State::Inside(first), 1),
            b'[' => self.part(State::Inside(b']'), 1),
            b'-' => self.part(State::Dash, 1),
            b'/' => self.part(State::Slash, 1),
            b'0'..=b'9' => self.number(input),
            0 => self.token(Kind::Nul, 1),
            byte if is_word(byte) && byte != b'$' => self.word(input),
            byte => self.token(Kind::Punct(byte), 1),
        }
    }

    fn word(&mut self, input: &[u8]) -> Step {
        if let Some(end) = input.iter().position(|byte| !is_word(*byte)) {
            self.push(input.get(..end).unwrap_or_default());
            return self.token(Kind::Word, end);
        }
        self.push(input);
        self.part(State::Word, input.len())
    }

    fn number(&mut self, input: &[u8]) -> Step {
        let mut exponent = self.state == State::Exponent;
        for (at, byte) in input.iter().enumerate() {
            let sign = exponent && matches!(byte, b'+' | b'-');
            if !sign && !is_number(*byte) {
                self.push(input.get(..at).unwrap_or_default());
                return self.token(Kind::Number, at);
            }
            self.number.hexadecimal |= self.number.bytes == 1 && byte.eq_ignore_ascii_case(&b'x');
            self.number.bytes += 1;
            exponent = byte.eq_ignore_ascii_case(&b'e') && !self.number.hexadecimal;
        }
        self.push(input);
        self.part(if exponent { State::Exponent } else { State::Number }, input.len())
    }

    fn inside(&mut self, close: u8, input: &[u8]) -> Step {
        // SQLite ends its input at a NUL byte, wherever it stands.
        match input.iter().position(|byte| *byte == close || *byte == 0) {
            Some(at) if input.get(at) == Some(&0) => self.token(Kind::Nul, at + 1),
            Some(at) => {
                self.push(input.get(..at).unwrap_or_default());
                self.part(State::Closing(close), at + 1)
            }
            None => {
                self.push(input);
                self.part(State::Inside(close), input.len())
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_'
}

/// All tokens of a short text that is wholly there, or `None` where one of them is not closed.
pub(super) fn tokens(text: &[u8]) -> Option<Vec<(Kind, Vec<u8>)>> {
    let mut lexer = Lexer::default();
    lexer.keep(text.len());
    let mut all = Vec::new();
    // A closing line feed ends the last word or number.
    let mut rest = text;
    let mut closed = false;
    loop {
        let step = lexer.step(if rest.is_empty() { b"\n" } else { rest });
        if let Some(kind) = step.token {
            all.push((kind, lexer.text().to_vec()));
        }
        if rest.is_empty() {
            if closed {
                return lexer.is_between().then_some(all);
            }
            closed = step.consumed > 0;
        } else {
            rest = rest.get(step.consumed..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_at_every_byte(text: &str) -> Vec<(Kind, String)> {
        let mut lexer = Lexer::default();
        let mut all = Vec::new();
        for byte in text.bytes().chain([b'\n']) {
            loop {
                let step = lexer.step(&[byte]);
                if let Some(kind) = step.token {
                    all.push((kind, String::from_utf8_lossy(lexer.text()).into_owned()));
                }
                if step.consumed == 1 {
                    break;
                }
            }
        }
        all
    }

    #[test]
    fn tokens_are_the_same_however_the_input_is_cut() {
        for text in [
            "INSERT INTO \"a \"\"b\" VALUES(1,'it''s',X'00',-1.5e-10,0x1e+2);",
            "a/**/b--c\nd /* * ** */ e / f - g",
            "[a]]b] `x``y` 1e999 .5 1e 9_0 ünï $v ?1 @x",
            "'' '''' \"\" x''",
        ] {
            let whole: Vec<_> = tokens(text.as_bytes())
                .unwrap()
                .into_iter()
                .map(|(kind, text)| (kind, String::from_utf8_lossy(&text).into_owned()))
                .collect();
            assert_eq!(split_at_every_byte(text), whole, "{text}");
        }
    }

    #[test]
    fn quotes_comments_and_numbers_follow_the_rules_of_sqlite() {
        use Kind::{Number, Punct, Quoted, Text, Word};
        let kinds = |text: &str| -> Vec<Kind> {
            tokens(text.as_bytes()).unwrap().into_iter().map(|(kind, _)| kind).collect()
        };
        for (text, expected) in [
            ("'a;b'", vec![Text]),
            ("[a'b]", vec![Quoted]),
            ("1e-5", vec![Number]),
            ("0xe-5", vec![Number, Punct(b'-'), Number]),
            ("a-- 'x\nb", vec![Word, Word]),
            ("/* ; */ x", vec![Word]),
            ("x'00'", vec![Word, Text]),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn an_open_quote_or_comment_is_not_between_tokens() {
        for text in ["'a", "\"a", "[a", "/* a", "'a''"] {
            assert_eq!(tokens(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_long_token_keeps_only_its_beginning() {
        let mut lexer = Lexer::default();
        lexer.keep(4);
        let text = format!("'{}' ", "a".repeat(10_000));
        let mut rest = text.as_bytes();
        while let step = lexer.step(rest)
            && step.token.is_none()
        {
            rest = &rest[step.consumed..];
        }
        assert_eq!((lexer.text(), lexer.is_cut()), (&b"aaaa"[..], true));
    }
}

//! Follows the values of an INSERT token by token: only literals and the few functions that dump
//! tools wrap around them, counted by rows, without holding any of it.

use super::lexer::Kind;

/// Deepest nesting of functions around a value; dump tools write at most two.
const DEPTH_LIMIT: usize = 8;
/// Bytes of a word that are needed to know it.
pub(super) const WORD_BYTES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// After the table's name.
    Name,
    /// In the column list, where a name follows.
    Column,
    AfterColumn,
    /// After the column list.
    Values,
    /// Before the bracket of a row.
    Row,
    Value,
    /// After a sign.
    Signed,
    /// After `X`: a text must follow at once.
    Blob,
    /// After a function's name.
    Call,
    AfterValue,
    /// After `AS` in a cast.
    Type,
    AfterType,
    AfterRow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Function,
    Cast,
}

/// The state of one INSERT.
#[derive(Debug)]
pub(super) struct Rows {
    state: State,
    frames: Vec<Frame>,
    next: Frame,
    count: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Self { state: State::Name, frames: Vec::new(), next: Frame::Function, count: 0 }
    }
}

impl Rows {
    /// Rows seen so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether the statement may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::AfterRow
    }

    /// Whether values are being read, of which nothing need be kept.
    pub(super) fn is_in_values(&self) -> bool {
        !matches!(self.state, State::Name | State::Column | State::AfterColumn | State::Values)
    }

    /// Takes the next token; `false` where no dump tool would write it.
    pub(super) fn token(&mut self, kind: Kind, text: &[u8], adjacent: bool) -> bool {
        let next = match (self.state, kind) {
            (State::Name | State::Values, Kind::Word) if text.eq_ignore_ascii_case(b"VALUES") => State::Row,
            (State::Column, Kind::Word | Kind::Quoted | Kind::Text) => State::AfterColumn,
            (State::Name, Kind::Punct(b'(')) | (State::AfterColumn, Kind::Punct(b',')) => State::Column,
            (State::AfterColumn, Kind::Punct(b')')) => State::Values,
            (State::Row, Kind::Punct(b'(')) => {
                self.count += 1;
                State::Value
            }
            (State::Value | State::Signed, Kind::Number) | (State::Value, Kind::Text) => State::AfterValue,
            (State::Value, Kind::Punct(b'-' | b'+')) => State::Signed,
            (State::Value, Kind::Word) => match self.word(text) {
                Some(state) => state,
                None => return false,
            },
            (State::Blob, Kind::Text) if adjacent => State::AfterValue,
            (State::Call, Kind::Punct(b'(')) if self.frames.len() < DEPTH_LIMIT => {
                self.frames.push(self.next);
                State::Value
            }
            (State::AfterValue, Kind::Punct(b',')) if self.frames.last() != Some(&Frame::Cast) => {
                State::Value
            }
            (State::AfterValue, Kind::Punct(b')')) => match self.frames.pop() {
                Some(Frame::Function) => State::AfterValue,
                Some(Frame::Cast) => return false,
                None => State::AfterRow,
            },
            (State::AfterValue, Kind::Word)
                if self.frames.last() == Some(&Frame::Cast) && text.eq_ignore_ascii_case(b"AS") =>
            {
                State::Type
            }
            (State::Type, Kind::Word) if is_cast_type(text) => State::AfterType,
            (State::AfterType, Kind::Punct(b')')) => {
                self.frames.pop();
                State::AfterValue
            }
            (State::AfterRow, Kind::Punct(b',')) => State::Row,
            _ => return false,
        };
        self.state = next;
        true
    }

    fn word(&mut self, text: &[u8]) -> Option<State> {
        let is = |word: &[u8]| text.eq_ignore_ascii_case(word);
        if is(b"null") {
            return Some(State::AfterValue);
        }
        if is(b"x") {
            return Some(State::Blob);
        }
        self.next = if is(b"cast") { Frame::Cast } else { Frame::Function };
        (is(b"cast") || is(b"replace") || is(b"char") || is(b"unistr")).then_some(State::Call)
    }
}

fn is_cast_type(text: &[u8]) -> bool {
    [&b"text"[..], b"blob", b"integer", b"real"].iter().any(|known| text.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Lexer;
    use super::*;

    /// Rows of `INSERT INTO t` + `text`, or `None` where it is refused.
    fn rows(text: &str) -> Option<u64> {
        let mut lexer = Lexer::default();
        let mut rows = Rows::default();
        let text = format!("{text} ");
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let step = lexer.step(rest);
            if let Some(kind) = step.token
                && !rows.token(kind, lexer.text(), lexer.is_adjacent())
            {
                return None;
            }
            rest = &rest[step.consumed..];
        }
        rows.is_complete().then(|| rows.count())
    }

    #[test]
    fn rows_are_counted_by_their_brackets_and_not_by_their_text() {
        for (text, expected) in [
            ("VALUES(1)", 1),
            ("VALUES(1,'),(',X'00',NULL,-1.5e-3,+2)", 1),
            ("VALUES(1),(2),(3)", 3),
            ("(a,\"b c\",[d]) VALUES(1,2,3)", 1),
            ("VALUES(replace(replace('a\\nb','\\n',char(10)),'\\r',char(13)))", 1),
            ("VALUES(unistr('\\u001b'),CAST(X'00' AS TEXT))", 1),
            ("VALUES('it''s')", 1),
        ] {
            assert_eq!(rows(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_but_literals_is_refused() {
        for text in [
            "SELECT * FROM u",
            "DEFAULT VALUES",
            "VALUES((SELECT 1))",
            "VALUES(load_extension('x'))",
            "VALUES(readfile('/etc/passwd'))",
            "VALUES(1) RETURNING a",
            "VALUES(1) ON CONFLICT DO NOTHING",
            "VALUES(1+1)",
            "VALUES(x '00')",
            "VALUES(x)",
            "VALUES(\"column\")",
            "VALUES()",
            "VALUES(1,)",
            "VALUES(1",
            "VALUES",
            "VALUES(CAST(1,2 AS TEXT))",
            "VALUES(CAST(X'00'))",
            "VALUES(?1)",
            "VALUES(char(char(char(char(char(char(char(char(char(1))))))))))",
            ".x VALUES(1)",
        ] {
            assert_eq!(rows(text), None, "{text}");
        }
    }
}

//! Evaluates the literals of an INSERT, so that its rows are bound to one prepared statement.
//!
//! That is several times faster than compiling every row, loads text that is not UTF-8 as it is, and
//! reads numbers exactly. What is not evaluated here goes to SQLite as SQL.

use std::borrow::Cow;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// Largest value that is made here, as SQLite's own limit.
const VALUE_LIMIT_BYTES: usize = 1_000_000_000;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, [u8]>),
    Blob(Vec<u8>),
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// A row of an INSERT.
pub(super) type Row<'a> = Vec<Value<'a>>;

/// An INSERT taken apart.
#[derive(Debug)]
pub(super) struct Insert<'a> {
    /// Its text up to and with `VALUES`.
    pub(super) head: &'a str,
    next: Option<Row<'a>>,
    rest: Parser<'a>,
}

/// Takes an INSERT apart that the reader has accepted; `None` where a value has to be left to SQLite.
pub(super) fn parse(text: &[u8]) -> Option<Insert<'_>> {
    let mut parser = Parser { text, at: 0 };
    parser.skip_to_values()?;
    let head = std::str::from_utf8(text.get(..parser.at)?).ok()?;
    let first = parser.row()?;
    let rest = parser.clone();
    // All rows are evaluated before the first one is loaded, and thrown away: a statement of many
    // small rows would otherwise take many times its size.
    while parser.accept(b',') {
        parser.row()?;
    }
    parser.expect(b';')?;
    (parser.at == text.len()).then_some(Insert { head, next: Some(first), rest })
}

impl<'a> Iterator for Insert<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let row = self.next.take()?;
        self.next = if self.rest.accept(b',') { self.rest.row() } else { None };
        Some(row)
    }
}

#[derive(Clone, Debug)]
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&mut self) -> Option<u8> {
        while self.rest().first().is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)) {
            self.at += 1;
        }
        self.rest().first().copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.accept(byte).then_some(())
    }

    fn word(&mut self) -> &'a [u8] {
        self.peek();
        let rest = self.rest();
        let part =
            |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80;
        let length = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Steps over quoted names and the column list, behind the word `VALUES`. A comment leaves the
    /// statement to SQLite.
    fn skip_to_values(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                close @ (b'"' | b'\'' | b'`') => {
                    self.quoted(close)?;
                }
                b'[' => self.at += self.rest().iter().position(|byte| *byte == b']')? + 1,
                b'(' | b')' | b',' => self.at += 1,
                _ => {
                    let word = self.word();
                    if word.is_empty() {
                        return None;
                    }
                    if word.eq_ignore_ascii_case(b"VALUES") {
                        return Some(());
                    }
                }
            }
        }
    }

    fn row(&mut self) -> Option<Row<'a>> {
        self.expect(b'(')?;
        let mut row = vec![self.value()?];
        while self.accept(b',') {
            row.push(self.value()?);
        }
        self.expect(b')')?;
        Some(row)
    }

    /// The text between quotes, of which the first is next.
    fn quoted(&mut self, close: u8) -> Option<Cow<'a, [u8]>> {
        self.expect(close)?;
        let mut joined = Vec::new();
        loop {
            let rest = self.rest();
            let end = rest.iter().position(|byte| *byte == close)?;
            let part = rest.get(..end)?;
            self.at += end + 1;
            if self.rest().first() != Some(&close) {
                if joined.is_empty() {
                    return Some(Cow::Borrowed(part));
                }
                joined.extend_from_slice(part);
                return Some(Cow::Owned(joined));
            }
            joined.extend_from_slice(part);
            joined.push(close);
            self.at += 1;
        }
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'\'' => self.quoted(b'\'').map(Value::Text),
            b'-' | b'+' | b'0'..=b'9' => self.number(),
            _ => {
                let word = self.word();
                let is = |known: &[u8]| word.eq_ignore_ascii_case(known);
                if is(b"null") {
                    Some(Value::Null)
                } else if is(b"x") && self.rest().first() == Some(&b'\'') {
                    let digits = self.quoted(b'\'')?;
                    hex::decode(digits.as_ref()).ok().map(Value::Blob)
                } else if is(b"replace") {
                    self.replace()
                } else if is(b"char") {
                    self.char()
                } else if is(b"cast") {
                    self.cast()
                } else {
                    None
                }
            }
        }
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let negative = match self.peek()? {
            sign @ (b'-' | b'+') => {
                self.at += 1;
                sign == b'-'
            }
            _ => false,
        };
        self.peek();
        let rest = self.rest();
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            let sign =
                matches!(byte, b'+' | b'-') && matches!(rest.get(length.wrapping_sub(1)), Some(b'e' | b'E'));
            if !sign && !byte.is_ascii_alphanumeric() && *byte != b'.' && *byte != b'_' {
                break;
            }
            length += 1;
        }
        let digits = std::str::from_utf8(rest.get(..length)?).ok()?;
        self.at += length;
        if !digits.starts_with(|c: char| c.is_ascii_digit())
            || digits.contains(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
        {
            return None;
        }
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        match signed.parse::<i64>() {
            Ok(value) => Some(Value::Integer(value)),
            Err(_) => signed.parse::<f64>().ok().map(Value::Real),
        }
    }

    fn text(&mut self) -> Option<Cow<'a, [u8]>> {
        match self.value()? {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
        }
    }

    /// `replace(text, from, to)`, with which dump tools write line ends.
    fn replace(&mut self) -> Option<Value<'a>> {
        self.expect(b'(')?;
        let text = self.text()?;
        self.expect(b',')?;
        let from = self.text()?;
        self.expect(b',')?;
        let to = self.text()?;
        self.expect(b')')?;
        if from.is_empty() || from.contains(&0) {
            return None;
        }
        let mut result = Vec::with_capacity(text.len());
        let mut rest = text.as_ref();
        while let Some(first) = rest.first() {
            if let Some(after) = rest.strip_prefix(from.as_ref()) {
                result.extend_from_slice(&to);
                rest = after;
            } else {
                result.push(*first);
                rest = rest.get(1..).unwrap_or_default();
            }
            if result.len() > VALUE_LIMIT_BYTES {
                return None;
            }
        }
        Some(Value::Text(Cow::Owned(result)))
    }

    fn char(&mut self) -> Option<Value<'a>> {
        self.expect(b'(')?;
        let mut text = String::new();
        loop {
            let Value::Integer(number) = self.value()? else { return None };
            text.push(char::from_u32(u32::try_from(number).ok()?)?);
            if !self.accept(b',') {
                break;
            }
        }
        self.expect(b')')?;
        Some(Value::Text(Cow::Owned(text.into_bytes())))
    }

    /// `CAST(X'…' AS TEXT)`, with which newer tools write text that holds NUL.
    fn cast(&mut self) -> Option<Value<'a>> {
        self.expect(b'(')?;
        let Value::Blob(bytes) = self.value()? else { return None };
        let text = self.word().eq_ignore_ascii_case(b"AS") && self.word().eq_ignore_ascii_case(b"TEXT");
        self.expect(b')')?;
        text.then_some(Value::Text(Cow::Owned(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn evaluated(values: &str) -> Option<Vec<Vec<rusqlite::types::Value>>> {
        let text = format!("INSERT INTO t VALUES{values};");
        let insert = parse(text.as_bytes())?;
        let connection = Connection::open_in_memory().unwrap();
        let owned = |value: &Value<'_>| -> rusqlite::types::Value {
            connection.query_row("SELECT ?1", [value], |row| row.get(0)).unwrap()
        };
        Some(insert.map(|row| row.iter().map(owned).collect()).collect())
    }

    fn by_sqlite(values: &str) -> Vec<Vec<rusqlite::types::Value>> {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare(&format!("VALUES{values}")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn values_are_what_sqlite_makes_of_them() {
        for values in [
            "(1,-1,+1,0,9223372036854775807,-9223372036854775808,9223372036854775808)",
            "(1.5,-0.1,1e999,-1e999,1e-5,123456789012345678901234567890,0.10000000000000000555)",
            "(NULL,null,'',X'',x'00ff','it''s','''','a\nb')",
            "(replace('a\\nb\\n','\\n',char(10)),replace(replace('x\\r\\n','\\n',char(10)),'\\r',char(13)))",
            "(char(233,10),CAST(X'6100' AS TEXT),replace('aaa','aa','b'))",
            "( 1 , 'a' ) , ( 2 , 'b' )",
        ] {
            assert_eq!(evaluated(values), Some(by_sqlite(values)), "{values}");
        }
    }

    #[test]
    fn what_is_not_evaluated_is_left_to_sqlite() {
        for values in [
            "(unistr('\\u0041'))",
            "(0x10)",
            "(1_000)",
            "(char(55296))",
            "(1/**/)",
            "(X'0')",
            "(.5)",
            "(true)",
        ] {
            assert_eq!(evaluated(values), None, "{values}");
        }
    }

    #[test]
    fn the_head_keeps_names_and_columns_as_they_are() {
        for head in [
            "INSERT INTO t VALUES",
            "INSERT INTO \"VALUES (\"(rowid,[a b],\"c\"\"d\") VALUES",
            "insert into 'x' values",
        ] {
            let text = format!("{head}(1);");
            assert_eq!(parse(text.as_bytes()).map(|insert| insert.head.to_owned()), Some(head.to_owned()));
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_kept_byte_by_byte() {
        let insert = parse(b"INSERT INTO t VALUES('caf\xe9');").unwrap();
        assert_eq!(insert.collect::<Vec<_>>(), [[Value::Text(Cow::Borrowed(b"caf\xe9"))]]);
    }

    proptest! {
        #[test]
        fn texts_blobs_and_numbers_come_back(text in ".*", number in any::<i64>(), real in any::<f64>().prop_filter("finite", |x| x.is_finite()), blob in prop::collection::vec(any::<u8>(), 0..9)) {
            let sql = format!("INSERT INTO t VALUES('{}',{number},{real:e},X'{}');", text.replace('\'', "''"), hex::encode(&blob));
            let insert = parse(sql.as_bytes()).unwrap();
            let rows: Vec<_> = insert.collect();
            let [row] = &rows[..] else { panic!("one row") };
            prop_assert_eq!(&row[0], &Value::Text(text.as_bytes().into()));
            prop_assert_eq!(&row[1], &Value::Integer(number));
            match row[2] {
                Value::Real(value) => prop_assert!(value.to_bits() == real.to_bits()),
                Value::Integer(_) => prop_assert!(false, "an integer for {real:e}"),
                _ => prop_assert!(false),
            }
            prop_assert_eq!(&row[3], &Value::Blob(blob));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in prop::collection::vec(prop::sample::select(b"INSERT VALUES('\"`[]x,)(;-+.e019\0\xe9 \n".to_vec()), 0..60)) {
            let _ = parse(&[b"INSERT INTO t VALUES".to_vec(), text].concat());
        }
    }
}

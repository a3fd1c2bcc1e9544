//! What a statement of a plain dump is about, from its head: the table that it creates or fills, the
//! setting that it sets. Not what it may do: that is judged where it is run.

/// A table's name, unquoted, in the dump's encoding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Its schema; `None` where the statement leaves it to `search_path`.
    pub schema: Option<Vec<u8>>,
    /// Its name.
    pub table: Vec<u8>,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `CREATE [UNLOGGED] TABLE`.
    CreateTable(TableName),
    /// `COPY … FROM`.
    Copy(TableName),
    /// `INSERT INTO`.
    Insert(TableName),
    /// `SET name = value` of the session, the value of a single word or string as it would be.
    Set(Vec<u8>, Vec<u8>),
    /// Anything else.
    Other,
}

/// A token of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Lower case.
    Word(Vec<u8>),
    Name(Vec<u8>),
    Text(Vec<u8>),
    Punct(u8),
}

/// Reads the head of a statement, which may be cut.
pub fn subject(head: &[u8]) -> Subject {
    let mut tokens = Tokens(head);
    let Some(Token::Word(first)) = tokens.next() else { return Subject::Other };
    let found = match first.as_slice() {
        b"create" => create(&mut tokens).map(Subject::CreateTable),
        b"copy" => table_name(&mut tokens).map(Subject::Copy),
        b"insert" => match tokens.next() {
            Some(Token::Word(word)) if word == b"into" => table_name(&mut tokens).map(Subject::Insert),
            _ => None,
        },
        b"set" => set(&mut tokens),
        _ => None,
    };
    found.unwrap_or(Subject::Other)
}

fn create(tokens: &mut Tokens<'_>) -> Option<TableName> {
    loop {
        match tokens.next()? {
            Token::Word(word) if word == b"table" => break,
            Token::Word(word) if word == b"unlogged" => {}
            _ => return None,
        }
    }
    let before = tokens.0;
    if tokens.next() == Some(Token::Word(b"if".to_vec())) {
        // NOT EXISTS
        tokens.next();
        tokens.next();
    } else {
        tokens.0 = before;
    }
    table_name(tokens)
}

/// `[ONLY] [schema.]table`.
fn table_name(tokens: &mut Tokens<'_>) -> Option<TableName> {
    let mut first = tokens.next()?;
    if first == Token::Word(b"only".to_vec()) {
        first = tokens.next()?;
    }
    let (Token::Word(first) | Token::Name(first)) = first else { return None };
    let before = tokens.0;
    if tokens.next() != Some(Token::Punct(b'.')) {
        tokens.0 = before;
        return Some(TableName { schema: None, table: first });
    }
    let (Token::Word(table) | Token::Name(table)) = tokens.next()? else { return None };
    Some(TableName { schema: Some(first), table })
}

/// `SET [SESSION] name {= | TO} value`; of a list the first value.
fn set(tokens: &mut Tokens<'_>) -> Option<Subject> {
    let mut name = tokens.next()?;
    if name == Token::Word(b"session".to_vec()) {
        name = tokens.next()?;
    }
    let (Token::Word(name) | Token::Name(name)) = name else { return None };
    match tokens.next()? {
        Token::Punct(b'=') => {}
        Token::Word(word) if word == b"to" => {}
        _ => return None,
    }
    let value = match tokens.next()? {
        Token::Word(value) | Token::Name(value) | Token::Text(value) => value,
        // A number, or what no tool writes.
        Token::Punct(first) => vec![first],
    };
    Some(Subject::Set(name.to_ascii_lowercase(), value))
}

/// One word or `"name"` that is all of `text`; a word stays in its case, as in psql's `\connect`.
pub(super) fn keyword_or_name(text: &[u8]) -> Option<Vec<u8>> {
    let mut tokens = Tokens(text);
    let name = match tokens.next()? {
        Token::Word(word) => text.get(..word.len())?.to_vec(),
        Token::Name(name) => name,
        Token::Text(_) | Token::Punct(_) => return None,
    };
    tokens.0.is_empty().then_some(name)
}

/// The tokens of a head, one after the other; ends where something begins that heads do not hold.
struct Tokens<'a>(&'a [u8]);

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        self.0 = self.0.trim_ascii_start();
        let first = *self.0.first()?;
        match first {
            b'"' => self.quoted(b'"').map(Token::Name),
            b'\'' => self.quoted(b'\'').map(Token::Text),
            _ if first.is_ascii_alphabetic() || first == b'_' || first >= 0x80 => {
                let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
                let end = self.0.iter().position(|byte| !part(byte)).unwrap_or(self.0.len());
                let (word, rest) = self.0.split_at(end);
                self.0 = rest;
                Some(Token::Word(word.to_ascii_lowercase()))
            }
            _ => {
                self.0 = self.0.get(1..)?;
                Some(Token::Punct(first))
            }
        }
    }

    /// The content between two of `quote`, doubled ones inside as one.
    fn quoted(&mut self, quote: u8) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let mut rest = self.0.get(1..)?;
        loop {
            let end = rest.iter().position(|byte| *byte == quote)?;
            content.extend_from_slice(rest.get(..end)?);
            rest = rest.get(end + 1..)?;
            if rest.first() != Some(&quote) {
                self.0 = rest;
                return Some(content);
            }
            content.push(quote);
            rest = rest.get(1..)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: Option<&str>, table: &str) -> TableName {
        TableName {
            schema: schema.map(|schema| schema.as_bytes().to_vec()),
            table: table.as_bytes().to_vec(),
        }
    }

    #[test]
    fn heads_of_dumps_are_understood() {
        let set = |name: &str, value: &str| Subject::Set(name.into(), value.into());
        for (head, expected) in [
            ("CREATE TABLE public.t (a int", Subject::CreateTable(name(Some("public"), "t"))),
            ("CREATE UNLOGGED TABLE t (", Subject::CreateTable(name(None, "t"))),
            (
                "CREATE TABLE IF NOT EXISTS \"A\".\"b \"\"c\"\"\" (",
                Subject::CreateTable(name(Some("A"), "b \"c\"")),
            ),
            ("CREATE FOREIGN TABLE f (", Subject::Other),
            ("CREATE MATERIALIZED VIEW v AS", Subject::Other),
            ("COPY public.\"from\" (a, b) FROM stdin;", Subject::Copy(name(Some("public"), "from"))),
            ("COPY Šek FROM stdin;", Subject::Copy(name(None, "Šek"))),
            ("COPY (SELECT 1) TO stdout;", Subject::Other),
            ("INSERT INTO public.t VALUES (1);", Subject::Insert(name(Some("public"), "t"))),
            ("INSERT INTO ONLY t VALUES (1);", Subject::Insert(name(None, "t"))),
            ("SET client_encoding = 'UTF8';", set("client_encoding", "UTF8")),
            ("set session Standard_Conforming_Strings to OFF;", set("standard_conforming_strings", "off")),
            ("SET search_path = shop, pg_catalog;", set("search_path", "shop")),
            ("SET search_path = '';", set("search_path", "")),
            ("SET LOCAL x = y;", Subject::Other),
            ("COPY \"cut off", Subject::Other),
            ("", Subject::Other),
        ] {
            assert_eq!(subject(head.as_bytes()), expected, "{head}");
        }
    }
}

//! The meta-commands that dump tools write: `\restrict`, `\unrestrict`, `\connect`, and `\encoding`
//! before it. psql would run programs and read files for others, so all others are refused.

use super::encoding::Encoding;
use super::subject::keyword_or_name;

/// A meta-command, its backslash and arguments taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meta {
    /// No further meta-command until [`Meta::Unrestrict`] with the same token.
    Restrict(Vec<u8>),
    Unrestrict(Vec<u8>),
    Encoding(Encoding),
    /// What follows is for the database of this name.
    Connect(Vec<u8>),
}

/// What a meta-command changes for the script behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// The client encoding.
    Encoding(Encoding),
    /// The database.
    Database(Vec<u8>),
}

/// Keeps `\restrict` as psql does: behind it only the `\unrestrict` with its token is allowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard(Option<(Vec<u8>, u64)>);

impl Guard {
    /// Line of the `\restrict` that holds.
    pub(super) fn restricted_since(&self) -> Option<u64> {
        self.0.as_ref().map(|(_, line)| *line)
    }

    /// Takes the meta-command in `line`: what it changes; `Err` says why it is refused.
    pub(super) fn command(&mut self, text: &[u8], line: u64) -> Result<Change, String> {
        let refused = |what: &str| Err(format!("is {what}, which no dump tool writes there"));
        let parsed = match parse(text) {
            Ok(parsed) => parsed,
            Err(what) => return refused(&what),
        };
        match (parsed, self.0.take()) {
            (Meta::Unrestrict(token), Some((held, _))) if held == token => Ok(Change::Nothing),
            (Meta::Unrestrict(_), _) => refused("an \\unrestrict without its \\restrict"),
            (_, Some(_)) => refused("a psql command behind \\restrict"),
            (Meta::Restrict(token), None) => {
                self.0 = Some((token, line));
                Ok(Change::Nothing)
            }
            (Meta::Encoding(encoding), None) => Ok(Change::Encoding(encoding)),
            (Meta::Connect(name), None) => Ok(Change::Database(name)),
        }
    }
}

/// Reads a line behind its backslash; `Err` says in a few words what it is.
fn parse(line: &[u8]) -> Result<Meta, String> {
    let line = line.trim_ascii_end();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (command, rest) = line.split_at(end);
    let rest = rest.trim_ascii_start();
    match command {
        b"restrict" => token(rest).map(Meta::Restrict).ok_or_else(|| "a \\restrict without its token".into()),
        b"unrestrict" => {
            token(rest).map(Meta::Unrestrict).ok_or_else(|| "an \\unrestrict without its token".into())
        }
        b"encoding" => keyword_or_name(rest)
            .and_then(|name| Encoding::from_name(&name))
            .map(Meta::Encoding)
            .ok_or_else(|| "an \\encoding of no name that PostgreSQL has".into()),
        b"connect" => database(rest)
            .map(Meta::Connect)
            .ok_or_else(|| "a \\connect that says more than the name of a database".into()),
        _ => {
            // Shown up to a length, and never its arguments.
            let shown: Vec<u8> = command.iter().copied().take(20).collect();
            Err(format!("the psql command \\{}", shown.escape_ascii()))
        }
    }
}

/// A token of `\restrict`: letters and digits only, so that nothing in it is quoted or run.
fn token(rest: &[u8]) -> Option<Vec<u8>> {
    (!rest.is_empty() && rest.iter().all(u8::is_ascii_alphanumeric)).then(|| rest.to_vec())
}

/// The database of `\connect NAME` and `\connect -reuse-previous=on "dbname='NAME'"`, which is how
/// `pg_dump` writes a name that needs quoting.
fn database(rest: &[u8]) -> Option<Vec<u8>> {
    let name = if let Some(connection) = rest.strip_prefix(b"-reuse-previous=on ") {
        dbname(&keyword_or_name(connection.trim_ascii_start())?)?
    } else {
        let name = keyword_or_name(rest)?;
        // Such a name would be a connection string to psql.
        let is_uri = name.starts_with(b"postgresql://") || name.starts_with(b"postgres://");
        Some(name).filter(|name| !is_uri && !name.contains(&b'=') && name != b"-")?
    };
    Some(name).filter(|name| !name.is_empty())
}

/// The value of a connection string that holds `dbname` and nothing else.
fn dbname(connection: &[u8]) -> Option<Vec<u8>> {
    let value = connection.strip_prefix(b"dbname=")?;
    let Some(quoted) = value.strip_prefix(b"'") else {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        return value.iter().all(plain).then(|| value.to_vec());
    };
    let mut name = Vec::new();
    let mut bytes = quoted.iter().copied();
    loop {
        match bytes.next()? {
            b'\\' => name.push(bytes.next()?),
            b'\'' => return bytes.next().is_none().then_some(name),
            byte => name.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dump_tools_write_is_read_and_nothing_else() {
        let connect = |name: &str| Some(Meta::Connect(name.as_bytes().to_vec()));
        for (line, expected) in [
            ("restrict aB9", Some(Meta::Restrict(b"aB9".to_vec()))),
            ("unrestrict aB9\r", Some(Meta::Unrestrict(b"aB9".to_vec()))),
            ("encoding SQL_ASCII", Some(Meta::Encoding(Encoding::Plain))),
            ("encoding `id`", None),
            ("connect shop", connect("shop")),
            ("connect \"Shop \"\"2\"\"\"", connect("Shop \"2\"")),
            ("connect -reuse-previous=on \"dbname=shop.x\"", connect("shop.x")),
            ("connect -reuse-previous=on \"dbname='my-db'\"", connect("my-db")),
            ("connect -reuse-previous=on \"dbname='a\\'b\\\\c \"\"d\"\"'\"", connect("a'b\\c \"d\"")),
            ("connect -reuse-previous=on \"dbname='a' host=evil\"", None),
            ("connect -reuse-previous=on \"dbname=a host=evil\"", None),
            ("connect -reuse-previous=on \"host=evil\"", None),
            ("connect -reuse-previous=on \"dbname='a\"", None),
            ("connect \"host=evil\"", None),
            ("connect \"postgresql://evil/db\"", None),
            ("connect shop user evil 5432", None),
            ("connect `id`", None),
            ("connect", None),
            ("connect \"\"", None),
            ("connect 'a'", None),
            ("restrict", None),
            ("unrestrict `id`", None),
            ("restrict a b", None),
            ("! id", None),
            ("c shop", None),
            ("i /etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(parse(line.as_bytes()).ok(), expected, "{line}");
        }
    }

    #[test]
    fn a_refused_command_is_named_without_its_arguments() {
        assert_eq!(parse(b"set password hunter2").unwrap_err(), "the psql command \\set");
        assert_eq!(parse(b"\x1b[2J x").unwrap_err(), "the psql command \\\\x1b[2J");
    }
}

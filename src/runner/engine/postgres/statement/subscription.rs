//! A subscription of logical replication: read as `pg_dump` writes it, and written anew without what belongs
//! to the original.
//!
//! The copy is made without connecting, disabled and without the replication slot: the slot is the
//! original's, which would lose changes if a copy took it up, or be broken if dropping the copy dropped it.

use super::tokens::Tokens;
use super::{OTHER_FORM, Options, Part, Step, Verdict, send_part, skip};
use crate::runner::engine::postgres::names::{Name, quote_ident, quote_literal};
use crate::secret::Secret;

/// What a dump says with a new subscription about its first steps and its slot. A copy has its own answers.
const OF_THE_ORIGINAL: [&str; 4] = ["slot_name", "enabled", "create_slot", "copy_data"];
/// Options that a copy keeps, with the first release series that knows them (*Release Notes* 10 to 17).
const KEPT: [(&str, u16); 9] = [
    ("synchronous_commit", 10),
    ("binary", 14),
    ("streaming", 14),
    ("two_phase", 15),
    ("disable_on_error", 15),
    ("password_required", 16),
    ("run_as_owner", 16),
    ("origin", 16),
    ("failover", 17),
];
/// Since 16 changes may be applied in parallel while they are sent; before, `streaming` is yes or no.
const PARALLEL_SINCE: u16 = 16;
const CONNECTS: &str = "it would connect to another server at once; dump tools write `connect = false` first";

/// A subscription of a dump. Names are in the dump's encoding.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its name.
    pub name: Vec<u8>,
    /// The slot at the publisher that the original uses; `None`: it has none.
    pub slot: Option<Vec<u8>>,
    /// How the publisher is reached, often with a password.
    connection: Secret<Vec<u8>>,
    publications: Vec<Vec<u8>>,
    /// Names and values in the dump's order, of those that are kept.
    options: Vec<(&'static str, Vec<u8>)>,
}

impl Subscription {
    /// Reads a whole statement; `None`: it is no subscription that a dump tool writes.
    pub fn parse(text: &[u8], standard_conforming_strings: bool) -> Option<Self> {
        let mut tokens = Tokens::new(text, standard_conforming_strings);
        if tokens.words("CREATE SUBSCRIPTION") { Self::read(tokens) } else { None }
    }

    /// Reads from the name on.
    fn read(mut tokens: Tokens<'_>) -> Option<Self> {
        let name = tokens.ident()?;
        let connection = tokens.words("CONNECTION").then(|| tokens.text())??;
        let publications = tokens.words("PUBLICATION").then(|| tokens.list(Tokens::ident))??;
        if !(tokens.words("WITH") && does_not_connect(&mut tokens)) {
            return None;
        }
        let connection = Secret::new(connection);
        // Where none is named, the slot is called as the subscription is.
        let slot = Some(name.clone());
        let mut read = Self { name, slot, connection, publications, options: Vec::new() };
        while tokens.punct(b',') {
            read.option(&mut tokens)?;
        }
        (tokens.punct(b')') && tokens.end()).then_some(read)
    }

    /// Reads one option; each is written once.
    fn option(&mut self, tokens: &mut Tokens<'_>) -> Option<()> {
        let name = tokens.ident()?;
        let value = tokens.punct(b'=').then(|| tokens.text().or_else(|| tokens.ident()))??;
        if name == b"slot_name" {
            // The word for none, also in quotes.
            self.slot = Some(value).filter(|slot| slot != b"none");
            return Some(());
        }
        if OF_THE_ORIGINAL.iter().any(|known| known.as_bytes() == name) {
            return Some(());
        }
        let (known, _) = KEPT.iter().find(|(known, _)| known.as_bytes() == name)?;
        let is_word = value.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !is_word || self.options.iter().any(|(other, _)| other == known) {
            return None;
        }
        self.options.push((known, value));
        Some(())
    }

    /// The statement that makes the copy on a server of the release series `server`: disabled, without a slot,
    /// without a connection to the publisher. For sessions with `standard_conforming_strings` on.
    pub fn statement(&self, server: u16) -> Secret<Vec<u8>> {
        let publications: Vec<Vec<u8>> = self.publications.iter().map(|name| quote_ident(name)).collect();
        let mut sql = [
            b"CREATE SUBSCRIPTION ".as_slice(),
            &quote_ident(&self.name),
            b" CONNECTION ",
            &plain_literal(self.connection.expose()),
            b" PUBLICATION ",
            &publications.join(b", ".as_slice()),
            b" WITH (connect = false, slot_name = NONE",
        ]
        .concat();
        for (name, value) in self.options.iter().filter(|option| is_known(option, server)) {
            let option = [b", ".as_slice(), name.as_bytes(), b" = ", &quote_literal(value)].concat();
            sql.extend(option);
        }
        sql.push(b')');
        Secret::new(sql)
    }

    /// Options that a server of the release series `server` does not know, and a copy is made without.
    pub fn unknown(&self, server: u16) -> Vec<&'static str> {
        self.options.iter().filter(|option| !is_known(option, server)).map(|(name, _)| *name).collect()
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let names = self.publications.iter().chain(&self.slot).map(Vec::len).sum::<usize>();
        let options = self.options.iter().map(|(_, value)| value.len()).sum::<usize>();
        self.name.len() + self.connection.expose().len() + names + options
    }
}

fn is_known((name, value): &(&'static str, Vec<u8>), server: u16) -> bool {
    let since = if *name == "streaming" && value == b"parallel" {
        PARALLEL_SINCE
    } else {
        KEPT.iter().find(|(known, _)| known == name).map_or(u16::MAX, |(_, since)| *since)
    };
    server >= since
}

/// A constant in which backslashes are themselves: in some encodings one is the second byte of a letter, which the
/// server sees only where none is written before it. No encoding has a quote there.
fn plain_literal(text: &[u8]) -> Vec<u8> {
    let quoted = text.iter().flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b'\'' { 2 } else { 1 }));
    std::iter::once(b'\'').chain(quoted).chain([b'\'']).collect()
}

/// Reads `(connect = false`.
fn does_not_connect(tokens: &mut Tokens<'_>) -> bool {
    tokens.punct(b'(') && tokens.words("CONNECT") && tokens.punct(b'=') && tokens.words("FALSE")
}

/// Judges from behind `CREATE SUBSCRIPTION`.
pub(super) fn create(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    let start = tokens;
    let name = tokens.ident().ok_or(OTHER_FORM)?;
    let what = format!("subscription {}", Name::bare(name.clone()));
    let is_known = tokens.words("CONNECTION") && tokens.text().is_some() && tokens.find("WITH");
    if !(is_known && does_not_connect(&mut tokens)) {
        // Where all is sent it would be sent as it is, and connect.
        let left_out = options.all && options.skip.contains(&Part::Subscriptions);
        return if left_out { skip(what, "this run leaves it out") } else { Err(CONNECTS) };
    }
    if options.skip.contains(&Part::Subscriptions) || Subscription::read(start).is_some() {
        return send_part(Step::Subscription { name }, Part::Subscriptions, what, options);
    }
    Err(OTHER_FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: &str = "CONNECTION 'host=h password=it''s' PUBLICATION p, \"Odd \"\"p\"";

    fn made(options: &str, server: u16) -> Option<(String, String, Vec<&'static str>)> {
        let text = format!("CREATE SUBSCRIPTION \"S 1\" {CONNECTION} WITH (connect = false{options});");
        let read = Subscription::parse(text.as_bytes(), true)?;
        let slot = read.slot.as_ref().map_or_else(|| "-".to_owned(), |slot| shown(slot));
        let sql = String::from_utf8_lossy(read.statement(server).expose()).into_owned();
        let start = "CREATE SUBSCRIPTION \"S 1\" CONNECTION 'host=h password=it''s' PUBLICATION \"p\", \"Odd \"\"p\" \
                     WITH (connect = false, slot_name = NONE";
        let rest = sql.strip_prefix(start).expect(&sql).strip_suffix(')').expect(&sql);
        Some((rest.to_owned(), slot, read.unknown(server)))
    }

    fn shown(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_copy_has_the_options_of_the_original_but_not_its_slot() {
        let new = ", slot_name = 's', binary = true, streaming = parallel, two_phase = on, disable_on_error = true, \
                   password_required = false, run_as_owner = true, origin = none, failover = true";
        for (options, server, expected, slot, unknown) in [
            ("", 10, "", "S 1", ""),
            (", slot_name = NONE", 10, "", "-", ""),
            (", slot_name = 'S_1'", 10, "", "S_1", ""),
            (", slot_name = 'none'", 10, "", "-", ""),
            (", enabled = false, create_slot = false, copy_data = false, slot_name = 's'", 18, "", "s", ""),
            (", synchronous_commit = 'remote_write'", 10, ", synchronous_commit = 'remote_write'", "S 1", ""),
            (
                new,
                18,
                ", binary = 'true', streaming = 'parallel', two_phase = 'on', disable_on_error = 'true', \
                 password_required = 'false', run_as_owner = 'true', origin = 'none', failover = 'true'",
                "s",
                "",
            ),
            (
                new,
                15,
                ", binary = 'true', two_phase = 'on', disable_on_error = 'true'",
                "s",
                "streaming password_required run_as_owner origin failover",
            ),
            (", streaming = on", 15, ", streaming = 'on'", "S 1", ""),
            (", streaming = on", 12, "", "S 1", "streaming"),
        ] {
            let (rest, found, left_out) = made(options, server).expect(options);
            assert_eq!((rest.as_str(), found.as_str()), (expected, slot), "{options} {server}");
            assert_eq!(left_out.join(" "), unknown, "{options} {server}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_read() {
        for options in [
            ", retain = true",
            ", connect = true",
            ", binary",
            ", binary = 'a b'",
            ", binary = true, binary = false",
            ", origin = none) ; DROP TABLE t; (",
            ", slot_name = ",
        ] {
            assert_eq!(made(options, 18), None, "{options}");
        }
        for text in [
            "CREATE SUBSCRIPTION s CONNECTION 'x' WITH (connect = false)",
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (enabled = false)",
            "CREATE SUBSCRIPTION s SERVER x PUBLICATION p WITH (connect = false)",
            "CREATE PUBLICATION p",
        ] {
            assert!(Subscription::parse(text.as_bytes(), true).is_none(), "{text}");
        }
    }

    #[test]
    fn a_connection_string_means_the_same_and_is_not_shown() {
        for (written, conforming, sent) in [
            (&br"'a\b'"[..], true, &br"'a\b'"[..]),
            (br"'a\\b'", false, br"'a\b'"),
            (br"E'canary\'s'", true, b"'canary''s'"),
            // A letter of SJIS whose second byte is that of a backslash.
            (b"'\x83\x5c'", true, b"'\x83\x5c'"),
        ] {
            let text = [
                &b"CREATE SUBSCRIPTION s CONNECTION "[..],
                written,
                b" PUBLICATION p WITH (connect = false, slot_name = 's')",
            ]
            .concat();
            let read = Subscription::parse(&text, conforming).expect("it is one");
            let statement = read.statement(18);
            let expected = [b"CONNECTION ", sent, b" "].concat();
            assert!(memchr::memmem::find(statement.expose(), &expected).is_some(), "{}", shown(&text));
            assert!(!format!("{read:?} {statement:?}").contains("canary"));
        }
    }
}

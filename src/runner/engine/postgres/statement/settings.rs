//! Settings of the session, transactions, and who acts.

use super::lexer::Token;
use super::roles::Role;
use super::step::Step;
use super::tokens::Tokens;
use super::{NOT_WRITTEN, OTHER_FORM, Options, Part, Verdict, send, send_part, skip};

/// What becomes of a setting.
#[derive(Clone, Copy)]
enum Rule {
    Send,
    /// Sent unless the part is left out.
    Of(Part),
    /// Left out, for this reason.
    Skip(&'static str),
}

const OWN_LIMITS: &str = "the run has its own limits of time";

/// Settings that `pg_dump` and `pg_dumpall` write, with the first release series that knows them.
const SETTINGS: &[(&str, u16, Rule)] = &[
    ("client_encoding", 0, Rule::Send),
    ("standard_conforming_strings", 0, Rule::Send),
    ("search_path", 0, Rule::Send),
    ("check_function_bodies", 0, Rule::Send),
    ("xmloption", 0, Rule::Send),
    ("client_min_messages", 0, Rule::Send),
    ("escape_string_warning", 0, Rule::Send),
    ("row_security", 0, Rule::Send),
    ("default_tablespace", 0, Rule::Of(Part::Tablespaces)),
    ("default_table_access_method", 12, Rule::Of(Part::TableAccessMethods)),
    ("default_with_oids", 0, Rule::Skip("no server from 12 on makes tables with OIDs")),
    ("default_transaction_read_only", 0, Rule::Skip("the run's own connections may write")),
    ("statement_timeout", 0, Rule::Skip(OWN_LIMITS)),
    ("lock_timeout", 0, Rule::Skip(OWN_LIMITS)),
    ("idle_in_transaction_session_timeout", 0, Rule::Skip(OWN_LIMITS)),
    ("transaction_timeout", 0, Rule::Skip(OWN_LIMITS)),
];

const ONE_USER: &str = "the run acts as one user; owners follow from ALTER … OWNER TO";

pub(super) fn set(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if tokens.words("SESSION AUTHORIZATION") {
        // A name stands before grants; `--use-set-session-authorization` writes a constant before all else.
        let role = if tokens.words("DEFAULT") { None } else { Role::read(&mut tokens) };
        return match role {
            Some(role) if role.is_name() && tokens.end() => {
                grantor(Some(role), "SET SESSION AUTHORIZATION", options)
            }
            _ => skip("SET SESSION AUTHORIZATION", ONE_USER),
        };
    }
    if tokens.words("ROLE") {
        return skip("SET ROLE", ONE_USER);
    }
    let name = tokens.ident().ok_or(OTHER_FORM)?;
    let (name, since, rule) = SETTINGS
        .iter()
        .find(|(known, ..)| known.as_bytes() == name)
        .ok_or("it is no setting that dump tools make; find out where the dump comes from")?;
    if !tokens.punct(b'=') && !tokens.words("TO") {
        return Err(OTHER_FORM);
    }
    let values = tokens.list(value).ok_or(OTHER_FORM)?;
    if !tokens.end() {
        return Err(OTHER_FORM);
    }
    // How strings are read must be plain to both passes.
    let is_switch = |value: &Vec<u8>| value.eq_ignore_ascii_case(b"on") || value.eq_ignore_ascii_case(b"off");
    if *name == "standard_conforming_strings" && !values.first().is_some_and(is_switch) {
        return Err(OTHER_FORM);
    }
    let what = format!("SET {name}");
    if options.server < *since {
        return skip(what, "the target server does not know the setting");
    }
    // An empty path is one empty name; to the plan it is none.
    let values = if values.concat().is_empty() { Vec::new() } else { values };
    let step = Step::Setting { name, values };
    match rule {
        Rule::Send => send(step),
        Rule::Of(part) => send_part(step, *part, what, options),
        Rule::Skip(why) => skip(what, why),
    }
}

fn value(tokens: &mut Tokens<'_>) -> Option<Vec<u8>> {
    if let Token::Number(digits) = tokens.peek() {
        tokens.next();
        return Some(digits.to_vec());
    }
    tokens.text().or_else(|| tokens.ident())
}

/// Who makes the grants that follow.
fn grantor(role: Option<Role>, what: &str, options: &Options) -> Verdict {
    if options.skip.contains(&Part::Grants) {
        return skip(what, ONE_USER);
    }
    send(Step::Grantor { role })
}

pub(super) fn reset(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if tokens.words("SESSION AUTHORIZATION") && tokens.end() {
        return grantor(None, "RESET SESSION AUTHORIZATION", options);
    }
    Err(NOT_WRITTEN)
}

pub(super) fn begin(tokens: Tokens<'_>, _options: &Options) -> Verdict {
    if tokens.end() { send(Step::Begin) } else { Err(OTHER_FORM) }
}

pub(super) fn commit(tokens: Tokens<'_>, _options: &Options) -> Verdict {
    if tokens.end() { send(Step::Commit) } else { Err(OTHER_FORM) }
}

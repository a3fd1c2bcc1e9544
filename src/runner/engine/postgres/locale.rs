//! Whether the server can make a database of the encoding and locale that are wanted, and what of the
//! dump's text may not fit into it. Asked before anything is written; nothing asked here leaves a trace.

use super::create::{Shape, wanted};
use super::encoding::Encoding;
use super::server::{PostgresTarget, Server};
use super::survey::Seen;
use super::wire::WireError;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DatabaseEntry;

/// `invalid_parameter_value`: what a setting of a locale is refused with.
const NO_SUCH_VALUE: &str = "22023";
/// Locales of the provider `builtin`, with the first release series that has them.
const BUILTIN: [(&str, u32); 3] = [("C", 17), ("C.UTF-8", 17), ("PG_UNICODE_FAST", 18)];
/// The encoding that takes any bytes.
const ANY: &str = "SQL_ASCII";

/// Refuses what `CREATE DATABASE` or the load would fail with; gives back what a person should know.
pub(super) fn check(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    incoming: &DatabaseEntry,
) -> Result<Vec<String>> {
    let shape = wanted(seen, incoming, server.facts.major());
    if !seen.is_in_place() {
        let missing = missing(server, &shape)?;
        if !missing.is_empty() {
            let message = format!(
                "{} {}; install it there, or create the empty database {} with a locale that the server has, and restore into it",
                settings.server_name(),
                missing.join(", "),
                settings.database
            );
            return Err(Fault::new(Stage::Preflight, Reason::LocaleNotAvailable, message));
        }
    }
    match &incoming.facts.client_encoding {
        Some(encoding) => fits(server, encoding, shape.encoding.as_deref()),
        None => Ok(Vec::new()),
    }
}

/// What the server lacks for such a database, each to go on from its name.
fn missing(server: &mut Server, shape: &Shape) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    if let Some(encoding) = &shape.encoding {
        missing.extend(encoding_obstacle(server, encoding, shape)?);
    }
    let mut locales: Vec<&String> = [&shape.collate, &shape.ctype].into_iter().flatten().collect();
    locales.dedup();
    for locale in locales.into_iter().filter(|locale| !locale.is_empty()) {
        if !has_locale(server, locale)? {
            missing.push(format!("does not have the locale {locale:?}, which the backup's database has"));
        }
    }
    missing.extend(provider_obstacle(server, shape)?);
    Ok(missing)
}

/// Whether the operating system below the server has a locale: the server looks for it whenever a setting
/// names one, and this one is anybody's to set. It ends with the statement.
fn has_locale(server: &mut Server, locale: &str) -> Result<bool> {
    let sql = "SELECT pg_catalog.set_config('lc_monetary', $1, true)";
    match server.session.at(Stage::Preflight).connection.ask(sql, &[Some(locale)]) {
        Ok(_) => Ok(true),
        Err(WireError::Server(error)) if error.code == NO_SUCH_VALUE => Ok(false),
        Err(error) => {
            let what = format!("failed to look for the locale {locale}");
            Err(error.fault(Stage::Preflight, Reason::TargetUnavailable, &what))
        }
    }
}

fn encoding_obstacle(server: &mut Server, encoding: &str, shape: &Shape) -> Result<Option<String>> {
    let Some(number) = number(server, encoding)? else {
        return Ok(Some(format!("does not know the encoding {encoding:?}, which the backup's database has")));
    };
    if Encoding::from_name(encoding.as_bytes()).is_some_and(Encoding::embeds_ascii) {
        return Ok(Some(format!("has no databases of the encoding {encoding}, which is for clients only")));
    }
    let Some(ctype) = shape.ctype.as_ref().filter(|ctype| !is_plain(ctype)) else { return Ok(None) };
    if encoding.eq_ignore_ascii_case(ANY) {
        let refused = !server.facts.is_superuser;
        return Ok(refused
            .then(|| format!("lets only a superuser make a database of {ANY} with the locale {ctype:?}")));
    }
    // A locale says its encoding behind a point, if at all.
    let codeset = ctype.split_once('.').map(|(_, rest)| rest.split('@').next().unwrap_or(rest).to_owned());
    let of_locale = codeset.map(|codeset| self::number(server, &codeset)).transpose()?.flatten();
    let differs = of_locale.is_some_and(|other| other != number);
    Ok(differs.then(|| format!("makes no database of the encoding {encoding} with the locale {ctype:?}")))
}

/// Locales that go with every encoding.
fn is_plain(locale: &str) -> bool {
    ["C", "POSIX", ""].contains(&locale)
}

/// The number of an encoding at the server; `None`: it does not know the name.
fn number(server: &mut Server, encoding: &str) -> Result<Option<u32>> {
    let sql = "SELECT pg_catalog.pg_char_to_encoding($1::pg_catalog.name)";
    let row = server.session.at(Stage::Preflight).row("look for an encoding", sql, &[encoding])?;
    Ok(row.text(0).and_then(|text| text.parse().ok()))
}

fn provider_obstacle(server: &mut Server, shape: &Shape) -> Result<Option<String>> {
    let major = server.facts.major();
    match shape.provider.as_deref() {
        Some("icu") => {
            // Every server that was built with ICU has its collations from the beginning.
            let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'i')";
            let row = server.session.at(Stage::Preflight).row("look for ICU", sql, &[])?;
            let why = "was built without ICU, which the backup's database has its locale from";
            Ok((row.text(0) != Some("t")).then(|| why.to_owned()))
        }
        Some("builtin") => {
            let locale = shape.locale.as_deref().unwrap_or("C");
            let is_there = BUILTIN.iter().any(|(name, since)| *name == locale && major >= *since);
            let why =
                || format!("does not have the builtin locale {locale:?}, which the backup's database has");
            Ok((!is_there).then(why))
        }
        _ => Ok(None),
    }
}

/// Whether text of the dump's encoding fits into a database of the encoding `database`, or the server's own.
fn fits(server: &mut Server, dump: &str, database: Option<&str>) -> Result<Vec<String>> {
    let sql = "SELECT pg_catalog.pg_encoding_to_char(own.number), \
                      pg_catalog.pg_encoding_to_char(pg_catalog.pg_char_to_encoding($1::pg_catalog.name)), \
                      EXISTS (SELECT FROM pg_catalog.pg_conversion WHERE condefault AND contoencoding = own.number \
                              AND conforencoding = pg_catalog.pg_char_to_encoding($1::pg_catalog.name)) \
               FROM (SELECT CASE $2 WHEN '' THEN (SELECT encoding FROM pg_catalog.pg_database WHERE datname = 'template0') \
                                    ELSE pg_catalog.pg_char_to_encoding($2::pg_catalog.name) END) AS own(number)";
    let parameters = [dump, database.unwrap_or_default()];
    let row = server.session.at(Stage::Preflight).row("look at the dump's encoding", sql, &parameters)?;
    let (own, client) = (row.text(0).unwrap_or_default(), row.text(1).unwrap_or_default());
    let refused = |message: String| Err(Fault::new(Stage::Preflight, Reason::UnsupportedEncoding, message));
    if client.is_empty() {
        return refused(format!("the server does not know the dump's encoding, {dump}"));
    }
    Ok(match (client, own) {
        _ if client == own => Vec::new(),
        (_, ANY) => {
            vec![format!("the dump is in {client}, and the database, of {ANY}, takes its bytes as they are")]
        }
        (ANY, _) => vec![format!(
            "the dump is in {ANY}, so a text in it that is not {own} ends the load; nobody knows beforehand"
        )],
        _ if row.text(2) != Some("t") => {
            return refused(format!(
                "the server cannot convert the dump's text from {client} to {own}, the database's encoding"
            ));
        }
        (_, "UTF8") => Vec::new(),
        _ => vec![format!(
            "the dump is in {client}: a character that {own}, the database's encoding, lacks ends the load"
        )],
    })
}

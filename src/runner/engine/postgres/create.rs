//! Makes the database that is loaded: with the encoding and locale of the dump where it tells them,
//! else those of the database that is replaced, else the server's own.

use super::names::{ident, literal};
use super::server::{PostgresTarget, Server};
use super::statement::{DatabaseFact, Judged, Options, judge};
use super::survey::{Existing, Seen};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DatabaseEntry;

/// The first release series in which a database names its locale provider.
const PROVIDER_SINCE: u32 = 15;

/// Encoding and locale of a database; what is absent is the server's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) encoding: Option<String>,
    /// `LOCALE_PROVIDER`, from PostgreSQL 15 on.
    pub(super) provider: Option<String>,
    pub(super) collate: Option<String>,
    pub(super) ctype: Option<String>,
    /// `ICU_LOCALE` or `BUILTIN_LOCALE`, by the provider.
    pub(super) locale: Option<String>,
    /// `ICU_RULES`, from PostgreSQL 16 on.
    rules: Option<String>,
}

/// Makes the empty database `name`, which the login that restores owns.
pub(super) fn shadow(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    name: &str,
    incoming: &DatabaseEntry,
) -> Result<()> {
    let shape = wanted(seen, incoming, server.facts.major());
    let mut sql = statement(name, &settings.login.user, &shape);
    // Where the one lies that is replaced; else where the server puts new ones.
    let tablespace = seen.database.as_ref().and_then(|existing| existing.tablespace.as_ref());
    if let Some(tablespace) = tablespace.filter(|it| it.is_open) {
        sql = format!("{sql} TABLESPACE {}", ident(&tablespace.name));
    }
    let session = server.session.at(Stage::Restore);
    let Err(error) = session.try_run(&sql) else { return Ok(()) };
    let what = format!("failed to create the database {name}{}", shape.told());
    let fault = error.fault(Stage::Restore, Reason::RestoreFailed, &what);
    Err(if fault.reason == Reason::RestoreFailed && shape != Shape::default() {
        let message = format!(
            "{}; where the server does not know the locale of the backup, create the empty database {} with one that it knows, and restore into it",
            fault.full_message(),
            settings.database
        );
        Fault::new(Stage::Restore, fault.reason, message)
    } else {
        fault
    })
}

/// Makes the database `name` as a copy of `from`, inside the server.
pub(super) fn copy(settings: &PostgresTarget, server: &mut Server, from: &str, name: &str) -> Result<()> {
    let sql = format!(
        "CREATE DATABASE {} TEMPLATE {} OWNER {}",
        ident(name),
        ident(from),
        ident(&settings.login.user)
    );
    let session = server.session.at(Stage::Restore);
    session.run(&format!("copy database {from} to {name}"), &sql, Reason::PermissionDenied)
}

/// What the database that is loaded should be, or is where it is loaded in place.
pub(super) fn wanted(seen: &Seen, incoming: &DatabaseEntry, major: u32) -> Shape {
    shape(seen.database.as_ref(), of_dump(incoming, major))
}

/// An existing, empty target was made with a locale on purpose, so its own counts.
fn shape(existing: Option<&Existing>, told: Option<Shape>) -> Shape {
    let own = existing.map(|it| Shape {
        encoding: Some(it.encoding.clone()),
        collate: Some(it.collate.clone()),
        ctype: Some(it.ctype.clone()),
        provider: it.provider.as_ref().map(|provider| provider.name.to_owned()),
        locale: it.provider.as_ref().and_then(|provider| provider.locale.clone()),
        rules: it.provider.as_ref().and_then(|provider| provider.rules.clone()),
    });
    let is_empty = existing.is_some_and(|it| it.holds.is_none());
    own.clone().filter(|_| is_empty).or(told).or(own).unwrap_or_default()
}

/// What the dump's own `CREATE DATABASE` says.
fn of_dump(incoming: &DatabaseEntry, major: u32) -> Option<Shape> {
    let text = incoming.facts.create_statement.as_ref()?;
    let options = Options::new(u16::try_from(major).unwrap_or(u16::MAX));
    let Judged::Database(DatabaseFact::Create(told)) = judge(text, &options) else { return None };
    let text = |value: Option<Vec<u8>>| value.and_then(|value| String::from_utf8(value).ok());
    let told = *told;
    let locale = text(told.locale);
    Some(Shape {
        encoding: text(told.encoding),
        rules: text(told.icu_rules).filter(|_| major > PROVIDER_SINCE),
        provider: text(told.locale_provider).filter(|_| major >= PROVIDER_SINCE),
        collate: text(told.lc_collate).or_else(|| locale.clone()),
        ctype: text(told.lc_ctype).or(locale),
        locale: text(told.icu_locale)
            .or_else(|| text(told.builtin_locale))
            .filter(|_| major >= PROVIDER_SINCE),
    })
}

fn statement(name: &str, owner: &str, shape: &Shape) -> String {
    let options = [
        ("ENCODING", &shape.encoding),
        ("LOCALE_PROVIDER", &shape.provider),
        ("LC_COLLATE", &shape.collate),
        ("LC_CTYPE", &shape.ctype),
    ];
    let mut sql = format!("CREATE DATABASE {} TEMPLATE template0 OWNER {}", ident(name), ident(owner));
    for (option, value) in options {
        if let Some(value) = value {
            sql = format!("{sql} {option} {}", literal(value));
        }
    }
    if let Some(rules) = &shape.rules {
        sql = format!("{sql} ICU_RULES {}", literal(rules));
    }
    if let Some(locale) = &shape.locale {
        let option =
            if shape.provider.as_deref() == Some("builtin") { "BUILTIN_LOCALE" } else { "ICU_LOCALE" };
        sql = format!("{sql} {option} {}", literal(locale));
    }
    sql
}

impl Shape {
    fn told(&self) -> String {
        let parts: Vec<&str> =
            [&self.encoding, &self.collate].into_iter().flatten().map(String::as_str).collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_quoted() {
        let shape = Shape {
            encoding: Some("UTF8".into()),
            provider: Some("icu".into()),
            collate: Some("C".into()),
            ctype: Some("C".into()),
            locale: Some("de-'x".into()),
            rules: None,
        };
        assert_eq!(
            statement("a\"b", "o", &shape),
            "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 OWNER \"o\" ENCODING 'UTF8' LOCALE_PROVIDER 'icu' \
             LC_COLLATE 'C' LC_CTYPE 'C' ICU_LOCALE 'de-''x'"
        );
        assert_eq!(
            statement("a", "o", &Shape::default()),
            "CREATE DATABASE \"a\" TEMPLATE template0 OWNER \"o\""
        );
    }
}

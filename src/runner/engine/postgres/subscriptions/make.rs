//! Makes the subscriptions of a dump in the database that was loaded and verified.

use super::super::names::shown;
use super::super::server::{PostgresTarget, Session, Who};
use super::super::statement::Subscription;
use super::super::wire::WireError;
use super::{Piece, Waiting, What};
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// The stage that failures belong to.
const STAGE: Stage = Stage::Switch;
/// Subscriptions that the report names.
const SHOWN: usize = 10;
/// The first release series in which event triggers have a switch of their own.
const SWITCH_SINCE: u32 = 17;
/// Whether the session's role may switch triggers off.
const IS_SUPERUSER: &str = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
/// Subscriptions of the session's database: all, and those that are disabled and have no slot.
const COUNTS: &str = "
SELECT count(*), count(*) FILTER (WHERE NOT subenabled AND subslotname IS NULL) FROM pg_catalog.pg_subscription
WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

/// Makes all that waits in `database`, as the login that restores; gives back what a person should know.
pub(in super::super) fn make(
    settings: &PostgresTarget,
    database: &str,
    waiting: &Waiting,
    cancel: &Cancel,
) -> Result<Vec<String>> {
    if waiting.pieces.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = settings.session(Who::Restorer, database, STAGE, cancel)?;
    let major = session.connection.parameter("server_version").map_or(0, super::super::server::major_of);
    let major = u16::try_from(major).unwrap_or(u16::MAX);
    without_triggers(&mut session)?;
    let all = format!("make the subscriptions of {database}");
    session.run(&all, "BEGIN", Reason::RestoreFailed)?;
    let before = count(&mut session)?;
    for piece in &waiting.pieces {
        cancel.check(STAGE)?;
        adopt(&mut session, piece)?;
        send(&mut session, piece, major)?;
    }
    let after = count(&mut session)?;
    let made = waiting.subscriptions().count() as u64;
    if after != (before.0 + made, before.1 + made) {
        let message = format!(
            "{database} has {} of which {} are disabled and without a slot, after {made} were made so",
            counted(after.0, "subscription"),
            after.1
        );
        return Err(Fault::new(STAGE, Reason::VerificationFailed, message));
    }
    session.run(&all, "COMMIT", Reason::RestoreFailed)?;
    Ok(notes(settings, waiting, major))
}

/// Statements of our own are nothing that event triggers of the dump are for. Who is no superuser could not have
/// made any.
pub(super) fn without_triggers(session: &mut Session) -> Result<()> {
    let row = session.row("ask who makes subscriptions", IS_SUPERUSER, &[])?;
    if row.text(0) != Some("t") {
        return Ok(());
    }
    let major = session.connection.parameter("server_version").map_or(0, super::super::server::major_of);
    let sql = if major >= SWITCH_SINCE {
        "SET event_triggers = off"
    } else {
        "SET session_replication_role = replica"
    };
    session.run("switch event triggers off", sql, Reason::RestoreFailed)
}

fn count(session: &mut Session) -> Result<(u64, u64)> {
    let row = session.row("count the subscriptions", COUNTS, &[])?;
    let number = |index: usize| row.text(index).and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok((number(0), number(1)))
}

/// Makes the bytes of a statement mean what they mean in the dump.
fn adopt(session: &mut Session, piece: &Piece) -> Result<()> {
    for sql in &piece.settings {
        let what = format!("{}: the server refused the dump's settings", piece.place);
        let done = session.connection.run(sql);
        done.map_err(|error| error.fault(STAGE, Reason::RestoreFailed, &what))?;
    }
    Ok(())
}

fn send(session: &mut Session, piece: &Piece, major: u16) -> Result<()> {
    match &piece.what {
        What::Make(subscription) => {
            let plain = "SET standard_conforming_strings = on";
            session.run("read strings as they are", plain, Reason::RestoreFailed)?;
            let done = session.connection.run(subscription.statement(major).expose());
            done.map(drop).map_err(|error| refused(error, &piece.place, subscription))
        }
        What::Say(text) => {
            let what = format!("{}: the server refused what is said of a subscription", piece.place);
            let done = session.connection.run(text);
            done.map(drop).map_err(|error| error.fault(STAGE, Reason::RestoreFailed, &what))
        }
    }
}

/// A refusal, without the server's own words: they may repeat the connection string, which holds a password.
fn refused(error: WireError, place: &str, subscription: &Subscription) -> Fault {
    let what = format!("{place}: the server refused the subscription {}", shown(&subscription.name));
    let Some(code) = error.sqlstate().map(str::to_owned) else {
        return error.fault(STAGE, Reason::RestoreFailed, &what);
    };
    let reason = error.fault(STAGE, Reason::RestoreFailed, &what).reason;
    let message = format!(
        "{what} (SQLSTATE {code}: {}); or leave subscriptions out (target.objects.subscriptions: Skip)",
        why(&code)
    );
    Fault::new(STAGE, reason, message)
}

/// What a refusal means.
fn why(code: &str) -> &'static str {
    match code {
        "2F003" => "who is no superuser needs a password in the connection string",
        "42501" => "the login lacks a right; password_required = false is for superusers alone",
        "42601" => "its connection string cannot be read",
        "42710" => "there is one of that name already",
        _ => "its connection string, its publications or its options are not such as this server takes",
    }
}

/// What a person should know of what was made.
fn notes(settings: &PostgresTarget, waiting: &Waiting, major: u16) -> Vec<String> {
    let (target, user) = (&settings.database, &settings.login.user);
    let all: Vec<&Subscription> = waiting.subscriptions().collect();
    let mut notes: Vec<String> = all
        .iter()
        .take(SHOWN)
        .map(|it| {
            let slot = it.slot.as_ref().map_or_else(|| "none".to_owned(), |slot| shown(slot));
            let unknown = it.unknown(major);
            let without = if unknown.is_empty() {
                String::new()
            } else {
                format!("; without {}, which the server does not know", unknown.join(", "))
            };
            format!(
                "subscription {} of {target} is made disabled and without its slot (in the backup: {slot}){without}",
                shown(&it.name)
            )
        })
        .collect();
    if all.len() > SHOWN {
        notes.push(format!("and {} more are made in the same way", all.len() - SHOWN));
    }
    if !all.is_empty() {
        notes.push(format!(
            "subscriptions belong to {user}; to take one up, empty its tables, then ALTER SUBSCRIPTION … SET \
             (slot_name = …), ENABLE and REFRESH PUBLICATION, which copies them anew; never while the original uses \
             the slot"
        ));
    }
    notes
}

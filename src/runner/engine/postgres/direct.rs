//! `strategy: Direct`: what the target holds is dropped before the load, so that there need not be room
//! for both. Where the login may, the database itself is dropped, once the new one beside it is made;
//! else the objects in it are, all or none.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::carry::Carried;
use super::discard::{end_sessions, sessions_in};
use super::held::oid_in;
use super::names::ident;
use super::server::{PostgresTarget, Server, Session, Who};
use super::subscriptions::{are_idle, drop_idle, let_go};
use super::survey::{Extensions, contents_in};
use super::target::Target;
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::cancel::Cancel;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};

/// Time between two tries while others are in the database.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// `object_in_use`.
const OBJECT_IN_USE: &str = "55006";
/// Objects of others that a message names.
const SHOWN: usize = 5;

/// Drops the target. The database that is loaded instead of it is there already.
pub(super) fn drop_old(target: &mut Target, server: &mut Server, context: &Context) -> Result<()> {
    let shadow = target.shadow();
    let existing = target.seen()?.database.clone();
    let Some(existing) = existing else { return Ok(()) };
    target.carried = Some(Carried::read(&mut server.session, &existing, &shadow)?);
    let settings = &target.settings;
    let name = settings.database.as_str();
    let session = server.session.at(Stage::Restore);
    let sql = format!("DROP DATABASE {}", ident(name));
    let begun = Instant::now();
    loop {
        context.cancel.check(Stage::Restore)?;
        if oid_in(session, name)?.as_ref() != Some(&existing.oid) {
            let message = format!("{name} was replaced by somebody else since it was looked at");
            return Err(Fault::new(Stage::Restore, Reason::TargetChanged, message));
        }
        if settings.ends_sessions {
            end_sessions(session, name)?;
        }
        // They go once nothing else is in the way, since a database with one is not dropped.
        if sessions_in(session, name)?.is_empty() && are_idle(settings, session, name)? {
            let attempt = context.journal.attempt(Stage::Restore)?;
            match let_go(settings, session, name) {
                Ok(true) => attempt.done(),
                Ok(false) => attempt.undone(),
                Err(_) => attempt.in_doubt(),
            }
        }
        let attempt = context.journal.attempt(Stage::Restore)?;
        let Err(error) = session.try_run(&sql) else {
            attempt.done();
            break;
        };
        let is_busy = error.sqlstate() == Some(OBJECT_IN_USE);
        if session.connection.is_closed() {
            // Whether it was done cannot be known from here.
            attempt.in_doubt();
        } else {
            attempt.undone();
            if is_busy && begun.elapsed() < settings.sessions_timeout {
                sleep(TRY_EVERY);
                continue;
            }
        }
        let reason = if is_busy { Reason::TargetBusy } else { Reason::PermissionDenied };
        return Err(error.fault(Stage::Restore, reason, &format!("failed to drop database {name}")));
    }
    if let Some(seen) = &mut target.seen {
        seen.dropped();
    }
    Ok(())
}

/// What is in a database beside what every new one holds: what kind of object, its name in SQL, the role
/// that owns it, and whether the login may drop it as far as that is known: as its owner or its schema's.
/// Extensions stay, with their objects and schemas: an administrator has made them. What is a part of another
/// object, such as the sequence of an identity column, goes with that.
const OBJECTS: &str = "
WITH member AS (
    SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), object AS (
    SELECT 0 AS turn, 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid AS classid, oid AS objid,
           nspowner AS owner, nspowner AS container
    FROM pg_catalog.pg_namespace
    WHERE nspname::pg_catalog.text !~ '^pg_' AND nspname::pg_catalog.text NOT IN ('information_schema', 'public')
      AND oid NOT IN (SELECT extnamespace FROM pg_catalog.pg_extension)
    UNION ALL
    SELECT 1, d.classid, d.objid, coalesce(c.relowner, p.proowner, t.typowner), nspowner
    FROM pg_catalog.pg_namespace n
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                               AND d.refobjid = n.oid AND d.deptype = 'n'
                               AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass
    LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
    LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid
    LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.objid
    WHERE nspname = 'public' OR (nspname::pg_catalog.text !~ '^pg_'
                                 AND n.oid IN (SELECT extnamespace FROM pg_catalog.pg_extension))
    UNION ALL
    SELECT 2, 'pg_catalog.pg_publication'::pg_catalog.regclass, oid, pubowner, pubowner FROM pg_catalog.pg_publication
    UNION ALL
    SELECT 3, 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, oid, srvowner, srvowner FROM pg_catalog.pg_foreign_server
    UNION ALL
    SELECT 4, 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, oid, evtowner, evtowner FROM pg_catalog.pg_event_trigger
)
SELECT pg_catalog.upper(i.type), i.identity, pg_catalog.pg_get_userbyid(owner),
       owner IS NULL OR pg_catalog.pg_has_role(owner, 'USAGE') OR pg_catalog.pg_has_role(container, 'USAGE')
FROM object, pg_catalog.pg_identify_object(classid, objid, 0) i
WHERE (classid, objid) NOT IN (SELECT classid, objid FROM member)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend own WHERE own.classid = object.classid
                  AND own.objid = object.objid AND own.objsubid = 0 AND own.deptype = 'i')
ORDER BY turn, objid";

/// Drops all that the target holds, in one transaction.
pub(super) fn empty(target: &mut Target, server: &mut Server, context: &Context) -> Result<()> {
    let settings = &target.settings;
    if settings.ends_sessions {
        end_sessions(server.session.at(Stage::Restore), &settings.database)?;
    }
    let mut session = settings.session(Who::Restorer, &settings.database, Stage::Restore, &context.cancel)?;
    let what = format!("drop what {} holds", settings.database);
    session.run(&what, "BEGIN", Reason::RestoreFailed)?;
    // Who uses an object keeps it, and everybody else waits for the transaction.
    let wait = format!("SET LOCAL lock_timeout = {}", settings.sessions_timeout.as_millis());
    session.run(&what, &wait, Reason::RestoreFailed)?;
    drop_objects(&mut session, settings, &what)?;
    // Nothing was committed up to here: a session that is dropped rolls it back.
    let attempt = context.journal.attempt(Stage::Restore)?;
    if let Err(error) = session.try_run("COMMIT") {
        let fault = error.fault(Stage::Restore, Reason::RestoreFailed, &format!("failed to {what}"));
        if session.connection.is_closed() {
            attempt.in_doubt();
        } else {
            attempt.undone();
        }
        return Err(fault);
    }
    attempt.done();
    if let Some(seen) = &mut target.seen {
        seen.emptied();
    }
    Ok(())
}

fn drop_objects(session: &mut Session, settings: &PostgresTarget, what: &str) -> Result<()> {
    for row in session.rows("list what the target holds", OBJECTS, &[])? {
        let (Some(kind), Some(name)) = (row.text(0), row.text(1)) else { continue };
        // What hangs on another one may have gone with it.
        let sql = match kind {
            // They go with their tables.
            "STATISTICS OBJECT" => continue,
            "COMPOSITE TYPE" => format!("DROP TYPE IF EXISTS {name} CASCADE"),
            kind => format!("DROP {kind} IF EXISTS {name} CASCADE"),
        };
        session.run(what, &sql, Reason::PermissionDenied)?;
    }
    let sql = "SELECT count(pg_catalog.lo_unlink(oid)) FROM pg_catalog.pg_largeobject_metadata";
    session.rows(what, sql, &[])?;
    // Last, since it keeps others off the list of all subscriptions.
    drop_idle(session, &settings.database)?;
    if contents_in(session, &settings.database, Extensions::Leave)?.is_some() {
        let message = format!(
            "{} holds objects of a kind that is not dropped one by one; let somebody with CREATEDB replace it, or empty it yourself",
            settings.database
        );
        return Err(Fault::new(Stage::Restore, Reason::PermissionDenied, message));
    }
    Ok(())
}

/// Refuses to empty a target that holds what the login may not drop.
pub(super) fn check_owners(settings: &PostgresTarget, cancel: &Cancel) -> Result<String> {
    let mut session = settings.session(Who::Restorer, &settings.database, Stage::Preflight, cancel)?;
    let rows = session.rows("list what the target holds", OBJECTS, &[])?;
    let foreign: Vec<String> = rows
        .iter()
        .filter(|row| row.text(3) != Some("t"))
        .map(|row| {
            let text = |index: usize| row.text(index).unwrap_or_default();
            format!("{} {} of {}", text(0).to_lowercase(), text(1), text(2))
        })
        .collect();
    if foreign.is_empty() {
        return Ok(format!(
            "{} of {} are dropped before the load, because {} may not make another database: if the load fails, neither old nor new data is there",
            counted(rows.len() as u64, "object"),
            settings.database,
            settings.administrator()
        ));
    }
    let more = foreign.len().saturating_sub(SHOWN);
    let mut named = foreign.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        named = format!("{named} and {more} more");
    }
    let message = format!("{} may not drop what {} holds: {named}", settings.login.user, settings.database);
    Err(Fault::new(Stage::Preflight, Reason::PermissionDenied, message))
}

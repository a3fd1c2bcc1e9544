//! Subscriptions of databases that are replaced or dropped.
//!
//! Nothing hangs on one that is disabled and has no slot. Any other stays: an enabled one replicates, and to
//! drop one with a slot is to drop the slot at its publisher.

use super::super::names::ident;
use super::super::server::{PostgresTarget, Server, Session, Who};
use super::super::survey::{Seen, Way};
use crate::reason::Reason;
use crate::report::counted;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// How long to wait for who reads the list of subscriptions, which is one for the whole server: whoever else
/// wants to read it waits as long.
const LIST_WAIT: &str = "SET LOCAL lock_timeout = '2s'";

/// Those of a database: enabled; disabled with a slot; disabled without one; of these, not the login's to drop.
/// And what else keeps the database: prepared transactions, and slots of its own.
const IN_DATABASE: &str = "
SELECT count(*) FILTER (WHERE subenabled),
       count(*) FILTER (WHERE NOT subenabled AND subslotname IS NOT NULL),
       count(*) FILTER (WHERE NOT subenabled AND subslotname IS NULL),
       count(*) FILTER (WHERE NOT subenabled AND subslotname IS NULL
                        AND NOT pg_catalog.pg_has_role($2::pg_catalog.name, subowner, 'USAGE')),
       (SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = $1::pg_catalog.name)
       + (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE database = $1::pg_catalog.name)
FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE datname = $1::pg_catalog.name";

/// Names of those in the session's database that the login may drop and on which nothing hangs: a table that is
/// not in step yet may have a slot of its own at the publisher.
const IDLE: &str = "
SELECT subname FROM pg_catalog.pg_subscription
WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND NOT subenabled AND subslotname IS NULL AND pg_catalog.pg_has_role(subowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel WHERE srsubstate <> 'r')
ORDER BY subname";

/// Subscriptions of a database, by what hangs on them.
struct Counts {
    enabled: u64,
    slotted: u64,
    idle: u64,
    /// Idle, and of others.
    foreign: u64,
    /// What else keeps the database.
    keepers: u64,
}

impl Counts {
    /// Those that stay in a database that is emptied, and with which it cannot be dropped.
    const fn staying(&self) -> u64 {
        self.enabled + self.slotted + self.foreign
    }
}

fn count(settings: &PostgresTarget, session: &mut Session, database: &str) -> Result<Counts> {
    let parameters = [database, settings.login.user.as_str()];
    let row = session.row(&format!("look for subscriptions of {database}"), IN_DATABASE, &parameters)?;
    let number = |index: usize| row.text(index).and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok(Counts {
        enabled: number(0),
        slotted: number(1),
        idle: number(2),
        foreign: number(3),
        keepers: number(4),
    })
}

/// Refuses a target whose subscriptions are in the way of what is done to it; or what a person should know.
pub(in super::super) fn in_the_way(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
) -> Result<Option<String>> {
    let database = settings.database.as_str();
    let found = count(settings, server.session.at(Stage::Preflight), database)?;
    let reason = if seen.way == Way::Beside { Reason::SwapNotPossible } else { Reason::TargetBusy };
    let refuse = |message| Err(Fault::new(Stage::Preflight, reason, message));
    if seen.is_in_place() {
        if found.staying() > 0 {
            return refuse(format!(
                "{database} has subscriptions of its own that are enabled, have a slot, or that {} may not drop; \
                 drop them first",
                settings.login.user
            ));
        }
        let number = counted(found.idle, "disabled subscription");
        let note = format!("{database} has {number}, which are dropped with all else that it holds");
        return Ok((found.idle > 0).then_some(note));
    }
    if found.enabled > 0 {
        return refuse(format!(
            "{database} has {}, whose workers are always in it; drop or disable them first",
            counted(found.enabled, "enabled subscription")
        ));
    }
    let holds = seen.database.as_ref().is_some_and(|it| it.holds.is_some());
    let is_kept = seen.way == Way::Beside && holds && settings.keep_until.is_some();
    if !is_kept && found.slotted > 0 {
        return refuse(format!(
            "{database} has {} with a slot at the publisher, with which it cannot be dropped; let go of the slot \
             (ALTER SUBSCRIPTION … SET (slot_name = NONE)) and drop it there, or keep the replaced database",
            counted(found.slotted, "disabled subscription")
        ));
    }
    if !is_kept && found.foreign > 0 {
        return refuse(format!(
            "{database} has {} that {} may not drop, and with which it cannot be dropped",
            counted(found.foreign, "subscription"),
            settings.login.user
        ));
    }
    Ok((found.slotted + found.idle > 0).then(|| {
        let number = counted(found.slotted + found.idle, "disabled subscription");
        let fate = if is_kept { "stay with" } else { "are dropped with" };
        format!("{database} has {number}, which {fate} the replaced database")
    }))
}

/// Whether a database has subscriptions, nothing hangs on any of them, and nothing else keeps it.
pub(in super::super) fn are_idle(
    settings: &PostgresTarget,
    administrator: &mut Session,
    database: &str,
) -> Result<bool> {
    let found = count(settings, administrator, database)?;
    Ok(found.idle > 0 && found.staying() + found.keepers == 0)
}

/// Drops the subscriptions of a database that is to be dropped, if nothing hangs on any; whether it did. Where
/// it cannot, the server keeps the database, and says so. A fault: it is not known whether it did.
pub(in super::super) fn let_go(
    settings: &PostgresTarget,
    administrator: &mut Session,
    database: &str,
) -> Result<bool> {
    if !are_idle(settings, administrator, database).unwrap_or_default() {
        return Ok(false);
    }
    let session = settings.session(Who::Restorer, database, Stage::CleanUp, &Cancel::never());
    let Ok(mut session) = session else { return Ok(false) };
    match drop_all(&mut session, database) {
        Ok(dropped) => Ok(dropped > 0),
        Err(fault) if session.connection.is_closed() => Err(fault),
        // A session that goes on has not committed.
        Err(_) => Ok(false),
    }
}

/// How many were dropped.
fn drop_all(session: &mut Session, database: &str) -> Result<usize> {
    let what = format!("drop the subscriptions of {database}");
    // In a transaction the server refuses to drop one that has got a slot meanwhile.
    session.run(&what, "BEGIN", Reason::PermissionDenied)?;
    super::make::without_triggers(session)?;
    let dropped = drop_idle(session, database)?;
    session.run(&what, "COMMIT", Reason::PermissionDenied)?;
    Ok(dropped)
}

/// Drops those in the session's database on which nothing hangs, in its open transaction; gives back how many.
pub(in super::super) fn drop_idle(session: &mut Session, database: &str) -> Result<usize> {
    let what = format!("drop the subscriptions of {database}");
    let rows = session.rows(&what, IDLE, &[])?;
    if !rows.is_empty() {
        session.run(&what, LIST_WAIT, Reason::PermissionDenied)?;
    }
    for name in rows.iter().filter_map(|row| row.text(0)) {
        let sql = format!("DROP SUBSCRIPTION IF EXISTS {}", ident(name));
        session.run(&what, &sql, Reason::PermissionDenied)?;
    }
    Ok(rows.len())
}

//! The full preflight: whether this backup fits this server, and whether the logins may do what is
//! needed. Writes nothing.

use super::server::{PostgresTarget, Server};
use super::survey::{Seen, Way};
use super::{direct, extensions, jobs, locale, roles, subscriptions};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::engine::Findings;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFormat};

/// The oldest server that is restored to.
const OLDEST_MAJOR: u32 = 10;

/// Holds the backup and the logins against the target.
pub(super) fn check(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    incoming: &DatabaseEntry,
) -> Result<Findings> {
    let mut notes = Vec::new();
    check_format(incoming.format)?;
    refuse_several(incoming)?;
    notes.extend(check_version(settings, server, incoming)?);
    check_rights(settings, server, seen)?;
    notes.extend(locale::check(settings, server, seen, incoming)?);
    let jobs = jobs::ask(server, incoming, Stage::Preflight)?;
    notes.extend(jobs.note(incoming));
    notes.extend(extensions::check(settings, server, seen, &jobs.needed(&incoming.facts.extensions))?);
    notes.extend(roles::check(settings, server, &incoming.facts.outside)?);
    subscriptions::check(settings, server, seen, &incoming.facts.outside)?;
    let tablespace = seen.database.as_ref().and_then(|existing| existing.tablespace.as_ref());
    if let Some(tablespace) = tablespace.filter(|it| !it.is_open && !seen.is_in_place()) {
        notes.push(format!(
            "{} lies in the tablespace {}, on which {} lacks CREATE: the new database lies where the server puts new ones",
            settings.database,
            tablespace.name,
            settings.administrator()
        ));
    }
    match seen.way {
        Way::Beside => {}
        Way::Instead => notes.push(format!(
            "{} is dropped before the load: if the load fails, neither old nor new data is there",
            settings.database
        )),
        Way::InPlace => {
            refuse_hooks(settings)?;
            notes.push(format!(
                "{} may not create databases, so the empty {} is loaded in place: a failed load leaves a part of it there",
                settings.administrator(),
                settings.database
            ));
        }
        Way::Emptied => {
            refuse_hooks(settings)?;
            notes.push(direct::check_owners(settings, &Cancel::never())?);
        }
    }
    notes.extend(in_the_way(settings, server, seen)?);
    notes.extend(subscriptions::in_the_way(settings, server, seen)?);
    Ok(Findings { space: None, notes })
}

fn check_format(format: DumpFormat) -> Result<()> {
    match format {
        DumpFormat::PostgresPlain | DumpFormat::PostgresArchive => Ok(()),
        other => {
            let message = format!("a backup of format {other:?} is none of PostgreSQL, which the target is");
            Err(Fault::new(Stage::Preflight, Reason::EngineMismatch, message))
        }
    }
}

/// What goes into one database must be of one.
fn refuse_several(incoming: &DatabaseEntry) -> Result<()> {
    let facts = &incoming.facts;
    let tables = facts.tables.as_ref().map_or(0, Vec::len);
    let message = match facts.databases.as_slice() {
        [] => return Ok(()),
        [one] if one.tables.len() >= tables => return Ok(()),
        [one] => format!("the dump holds tables before it changes to the database {}", one.name),
        several => {
            let names: Vec<&str> = several.iter().map(|database| database.name.as_str()).collect();
            format!("the dump is of several databases ({}), and one was not named", names.join(", "))
        }
    };
    Err(Fault::new(Stage::Preflight, Reason::NotSupported, message))
}

/// SQL before the switch and a switch that waits need one: in a database that is loaded in place everybody sees the rows before it.
fn refuse_hooks(settings: &PostgresTarget) -> Result<()> {
    let field = match (settings.has_hooks, settings.holds) {
        (true, _) => "hooks.beforeSwitch",
        (false, true) => "switch: Hold",
        (false, false) => return Ok(()),
    };
    let message = format!(
        "{field} needs a database beside {}, which {} may not create",
        settings.database,
        settings.administrator()
    );
    Err(Fault::new(Stage::Preflight, Reason::SwapNotPossible, message))
}

/// The version guard: by release series, not by patch level.
fn check_version(
    settings: &PostgresTarget,
    server: &Server,
    incoming: &DatabaseEntry,
) -> Result<Option<String>> {
    let (own, version) = (server.facts.major(), &server.facts.version);
    if own < OLDEST_MAJOR {
        let message =
            format!("the server is PostgreSQL {version}; the oldest that is restored to is {OLDEST_MAJOR}");
        return Err(Fault::new(Stage::Preflight, Reason::NotSupported, message));
    }
    let Some(backup) = &incoming.facts.engine_version else {
        return Ok(Some("the backup does not say which version of PostgreSQL it comes from".to_owned()));
    };
    if series(backup).is_none_or(|series| series <= own) {
        return Ok(None);
    }
    let message = format!("backup version ({backup}) newer than server ({version})");
    if settings.version_guard_warn {
        return Ok(Some(message));
    }
    Err(Fault::new(Stage::Preflight, Reason::VersionTooNew, message))
}

/// The release series of a version: `15` of `15.18`, and 9 of all before 10.
pub(super) fn series(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Defaults, triggers and index functions of a backup run with the rights of who loads it.
pub(super) fn refuse_superuser(settings: &PostgresTarget, server: &Server) -> Result<()> {
    if settings.allows_superuser || !server.facts.restores_as_superuser {
        return Ok(());
    }
    let message = format!(
        "{} is a superuser, or may become one or use the server's files, and code in the backup would run with all its rights",
        settings.login.user
    );
    Err(Fault::new(Stage::Preflight, Reason::SuperuserRefused, message))
}

pub(super) fn check_rights(settings: &PostgresTarget, server: &Server, seen: &Seen) -> Result<()> {
    let who = settings.administrator();
    let facts = &server.facts;
    let existing = seen.database.as_ref();
    if seen.is_in_place() {
        return Ok(());
    }
    let missing = if !facts.may_create {
        format!("{who} may not create databases: it lacks CREATEDB")
    } else if !facts.may_give {
        format!("{who} is no member of {}, which is to own the database", settings.login.user)
    } else if let Some(other) = existing.filter(|it| !it.is_ours) {
        format!("{who} may not rename {}, which belongs to {}", settings.database, other.owner)
    } else {
        return Ok(());
    };
    Err(Fault::new(Stage::Preflight, Reason::PermissionDenied, missing))
}

/// What a person should know of those who use the target.
fn in_the_way(settings: &PostgresTarget, server: &mut Server, seen: &Seen) -> Result<Vec<String>> {
    let database = settings.database.as_str();
    let sql = "SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity \
                       WHERE datname = $1::pg_catalog.name \
                         AND coalesce(backend_type, 'client backend') = 'client backend'), \
                      (SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = $1::pg_catalog.name), \
                      (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE database = $1::pg_catalog.name)";
    let row = server.session.at(Stage::Preflight).row("look at who uses the target", sql, &[database])?;
    let number = |index: usize| row.text(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let reason = if seen.way == Way::Beside { Reason::SwapNotPossible } else { Reason::TargetBusy };
    if number(1) > 0 && !seen.is_in_place() {
        let message = format!(
            "{database} has {} prepared transactions, and cannot be replaced until they are committed or rolled back",
            number(1)
        );
        return Err(Fault::new(Stage::Preflight, reason, message));
    }
    if number(2) > 0 && seen.way == Way::Instead {
        let message = format!(
            "{database} has {} logical replication slots, with which it cannot be dropped; drop them first, or use strategy Swap",
            number(2)
        );
        return Err(Fault::new(Stage::Preflight, reason, message));
    }
    let mut notes = Vec::new();
    if number(0) > 0 && seen.way != Way::InPlace {
        let what = if settings.ends_sessions {
            "they are ended then"
        } else {
            "if they are still there then, the run ends; sessions: Terminate would end them"
        };
        let when = if seen.way == Way::Beside { "at the switch" } else { "before the load" };
        notes.push(format!("{database} is used by {} sessions and is replaced {when}; {what}", number(0)));
    }
    if number(2) > 0 && !seen.is_in_place() {
        notes.push(format!(
            "{} logical replication slots of {database} stay with the replaced database, which cannot be dropped before they are",
            number(2)
        ));
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_what_stands_before_the_first_dot() {
        for (version, expected) in [
            ("15.18", Some(15)),
            ("9.6.24", Some(9)),
            ("18beta1", Some(18)),
            ("16", Some(16)),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(series(version), expected, "{version}");
        }
    }
}

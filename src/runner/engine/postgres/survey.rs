//! The quick preflight: what the target is, what it holds, and how it would be restored.

use super::server::{PostgresTarget, Server, ServerFacts, Session, Who};
use super::wire::Row;
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::engine::{Action, Holds, Survey};
use crate::runner::fault::{Fault, Result, Stage};

/// The target as it was before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `None`: it is not there.
    pub(super) database: Option<Existing>,
    pub(super) way: Way,
}

/// How the target comes to hold the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A new database is loaded beside it and renamed at the switch.
    Beside,
    /// The same, and the target is dropped before the load (`strategy: Direct`).
    Instead,
    /// The empty target itself is loaded, because no other database can be made.
    InPlace,
    /// The same, and what it holds is dropped before the load (`strategy: Direct`).
    Emptied,
}

/// A database that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Existing {
    /// Its object id, which a rename does not change.
    pub(super) oid: String,
    /// Role that owns it.
    pub(super) owner: String,
    /// Whether the administrator may rename and drop it.
    pub(super) is_ours: bool,
    /// Encoding, by PostgreSQL's name.
    pub(super) encoding: String,
    /// `LC_COLLATE`.
    pub(super) collate: String,
    /// `LC_CTYPE`.
    pub(super) ctype: String,
    /// Its locale provider where it is none of the system's (`icu`, `builtin`), with the locale and rules.
    pub(super) provider: Option<Provider>,
    /// Where it lies; `None`: in the tablespace that every server has.
    pub(super) tablespace: Option<Tablespace>,
    /// What it holds; `None`: no object of a user.
    pub(super) holds: Option<Holds>,
}

/// A tablespace of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tablespace {
    pub(super) name: String,
    /// The administrator may make databases in it.
    pub(super) is_open: bool,
}

/// A locale provider other than the system's library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provider {
    /// By the name that `CREATE DATABASE` takes.
    pub(super) name: &'static str,
    pub(super) locale: Option<String>,
    pub(super) rules: Option<String>,
}

impl Seen {
    /// Whether the target itself is loaded.
    pub(super) const fn is_in_place(&self) -> bool {
        matches!(self.way, Way::InPlace | Way::Emptied)
    }

    /// The target is no longer there: this run has dropped it.
    pub(super) fn dropped(&mut self) {
        self.database = None;
    }

    /// What the target holds is no longer there: this run has dropped it.
    pub(super) fn emptied(&mut self) {
        if let Some(existing) = &mut self.database {
            existing.holds = None;
        }
    }

    /// The survey for the run.
    pub(super) fn survey(&self, settings: &PostgresTarget, server: &ServerFacts) -> Survey {
        let holds = self.database.as_ref().and_then(|it| it.holds.clone());
        let oid = self.database.as_ref().map_or("absent", |it| it.oid.as_str());
        Survey {
            target: settings.database.clone(),
            action: match self.way {
                Way::Instead | Way::Emptied => Action::Replace,
                Way::Beside if holds.is_some() => Action::Swap,
                Way::Beside | Way::InPlace => Action::Create,
            },
            holds,
            version: Some(server.version.clone()),
            plan_identity: format!("{} {oid}", server.identity),
            server_identity: Some(server.identity.clone()),
        }
    }
}

/// Looks at the target. Writes nothing.
pub(super) fn look(settings: &PostgresTarget, server: &mut Server, cancel: &Cancel) -> Result<Seen> {
    let sql = "SELECT d.oid, pg_catalog.pg_get_userbyid(datdba), pg_catalog.pg_has_role(datdba, 'USAGE'), \
                      pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, datallowconn, datistemplate, \
                      spcname, pg_catalog.has_tablespace_privilege(t.oid, 'CREATE') \
               FROM pg_catalog.pg_database d \
               LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = dattablespace AND spcname <> 'pg_default' \
               WHERE datname = $1::pg_catalog.name";
    let rows = server.session.rows("look for the target", sql, &[&settings.database])?;
    let Some(row) = rows.first() else { return Ok(Seen { database: None, way: Way::Beside }) };
    refuse_unfit(settings, row)?;
    let provider = provider(server, row.text(0).unwrap_or_default())?;
    let (target, stage) = (settings.database.as_str(), Stage::Preflight);
    let mut holds = contents(settings, target, (stage, Extensions::Count), cancel)?;
    let text = |index: usize| row.text(index).unwrap_or_default().to_owned();
    let is_ours = text(2) == "t" || server.facts.is_superuser;
    let can_swap = server.facts.may_create && server.facts.may_give && is_ours;
    if holds.is_some() && !can_swap {
        // Nothing is dropped where the load goes in place, so what an administrator has prepared stays.
        let beside = contents(settings, target, (stage, Extensions::Leave), cancel)?;
        holds = holds.filter(|_| beside.is_some());
    }
    let existing = Existing {
        oid: text(0),
        owner: text(1),
        is_ours,
        encoding: text(3),
        collate: text(4),
        ctype: text(5),
        provider,
        tablespace: row
            .text(8)
            .map(|name| Tablespace { name: name.to_owned(), is_open: row.text(9) == Some("t") }),
        holds,
    };
    let way = match (existing.holds.is_some(), can_swap, settings.is_direct) {
        (true, true, true) => Way::Instead,
        (true, false, true) => Way::Emptied,
        (false, false, _) => Way::InPlace,
        (true, _, false) | (false, true, _) => Way::Beside,
    };
    Ok(Seen { database: Some(existing), way })
}

/// The locale provider of a database, where a server tells one (since 15) and it is not `libc`.
fn provider(server: &mut Server, oid: &str) -> Result<Option<Provider>> {
    let columns = match server.facts.major() {
        ..15 => return Ok(None),
        15 => "daticulocale, NULL",
        16 => "daticulocale, daticurules",
        _ => "datlocale, daticurules",
    };
    let sql = format!(
        "SELECT datlocprovider, {columns} FROM pg_catalog.pg_database WHERE oid = $1::pg_catalog.oid"
    );
    let row = server.session.row("look at the target's locale", &sql, &[oid])?;
    let name = match row.text(0) {
        Some("i") => "icu",
        Some("b") => "builtin",
        _ => return Ok(None),
    };
    let text = |index: usize| row.text(index).map(str::to_owned);
    Ok(Some(Provider { name, locale: text(1), rules: text(2) }))
}

/// A database that nobody may be in, or that others are made from, is not restored to.
fn refuse_unfit(settings: &PostgresTarget, row: &Row) -> Result<()> {
    let obstacle = match (row.text(6), row.text(7)) {
        (Some("f"), _) => "takes no connections (datallowconn is false)",
        (_, Some("t")) => "is a template for new databases (datistemplate is true)",
        _ => return Ok(()),
    };
    let message = format!("{} {obstacle}", settings.database);
    Err(Fault::new(Stage::Preflight, Reason::InvalidSpec, message))
}

/// Whether extensions are something that a database holds. They may keep data of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extensions {
    Count,
    Leave,
}

/// What a database holds beside what every new one does; `None`: nothing.
pub(super) fn contents(
    settings: &PostgresTarget,
    database: &str,
    (stage, extensions): (Stage, Extensions),
    cancel: &Cancel,
) -> Result<Option<Holds>> {
    let mut session = settings.session(Who::Restorer, database, stage, cancel)?;
    contents_in(&mut session, database, extensions)
}

/// The same, of the database that the session is in.
pub(super) fn contents_in(
    session: &mut Session,
    database: &str,
    extensions: Extensions,
) -> Result<Option<Holds>> {
    let row = session.row(&format!("look at what {database} holds"), CONTENTS, &[])?;
    let number = |index: usize| row.text(index).and_then(|text| text.parse::<u64>().ok());
    let (tables, mut others) = (number(0).unwrap_or_default(), number(1).unwrap_or_default());
    if extensions == Extensions::Count {
        others += number(4).unwrap_or_default();
    }
    Ok((tables + others > 0).then(|| Holds {
        tables: Some(tables),
        rows_estimate: number(2),
        bytes: number(3).unwrap_or_default(),
    }))
}

/// Tables; other objects of users; estimated rows; bytes; extensions. What an extension brings counts as the
/// extension. A table that was never analysed estimates -1 row.
const CONTENTS: &str = "
WITH ours AS (
    SELECT oid FROM pg_catalog.pg_namespace
    WHERE nspname::pg_catalog.text !~ '^pg_' AND nspname <> 'information_schema'::pg_catalog.name
), member AS (
    SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), relation AS (
    SELECT relkind, reltuples FROM pg_catalog.pg_class
    WHERE relnamespace IN (SELECT oid FROM ours)
      AND oid NOT IN (SELECT objid FROM member WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
)
SELECT (SELECT count(*) FROM relation WHERE relkind IN ('r', 'p', 'f', 'm')),
       (SELECT count(*) FROM relation WHERE relkind IN ('S', 'v', 'c'))
       + (SELECT count(*) FROM pg_catalog.pg_proc
          WHERE pronamespace IN (SELECT oid FROM ours)
            AND oid NOT IN (SELECT objid FROM member WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass))
       + (SELECT count(*) FROM pg_catalog.pg_type
          WHERE typnamespace IN (SELECT oid FROM ours) AND typtype IN ('d', 'e', 'r')
            AND oid NOT IN (SELECT objid FROM member WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass))
       + (SELECT count(*) FROM pg_catalog.pg_namespace
          WHERE oid IN (SELECT oid FROM ours) AND nspname <> 'public'
            AND oid NOT IN (SELECT extnamespace FROM pg_catalog.pg_extension)
            AND oid NOT IN (SELECT objid FROM member WHERE classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass))
       + (SELECT count(*) FROM pg_catalog.pg_event_trigger)
       + (SELECT count(*) FROM pg_catalog.pg_publication)
       + (SELECT count(*) FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = subdbid
          WHERE datname = pg_catalog.current_database())
       + (SELECT count(*) FROM pg_catalog.pg_foreign_server)
       + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata),
       (SELECT coalesce(sum(greatest(reltuples, 0)), 0)::pg_catalog.int8 FROM relation WHERE relkind IN ('r', 'm')),
       pg_catalog.pg_database_size(pg_catalog.current_database()),
       (SELECT count(*) FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql')";

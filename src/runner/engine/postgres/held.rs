//! A verified load that waits for a person, and kept previous databases.

use aws_lc_rs::digest::{Context as Sha256, SHA256};

use super::beside::Beside;
use super::load::Counts;
use super::names::ident;
use super::server::{PostgresTarget, Server, Session, Who};
use super::verify::{self, Counted};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::engine::{LoadedTable, Verified};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{DatabaseEntry, DumpFacts, DumpFormat, TableRows};

/// Hexadecimal digits of the digest in a held load's name.
const DIGEST_BYTES: usize = 4;

/// Renames the verified load so that no other run removes it; gives back its name.
pub(super) fn keep(
    settings: &PostgresTarget,
    server: &mut Server,
    shadow: &str,
    cancel: &Cancel,
) -> Result<String> {
    server.check_locks(Stage::Switch)?;
    let mut session = settings.session(Who::Restorer, shadow, Stage::Switch, cancel)?;
    let tables = verify::count(&mut session, &Counts::new(), cancel)?.tables;
    drop(session);
    let oid = oid(server, Stage::Switch, shadow)?.ok_or_else(|| gone(shadow))?;
    let held =
        Beside::Held(format!("{}-{}", settings.run_id, digest(&oid, &tables))).name(&settings.database);
    let sql = format!("ALTER DATABASE {} RENAME TO {}", ident(shadow), ident(&held));
    server.session.run(&format!("rename database {shadow}"), &sql, Reason::TargetBusy)?;
    Ok(held)
}

/// Counts a held load and holds it to the digest in its name.
pub(super) fn take_up(
    settings: &PostgresTarget,
    server: &mut Server,
    held: &str,
    cancel: &Cancel,
) -> Result<Verified> {
    let Some(Beside::Held(label)) = Beside::of(&settings.database, held) else {
        let message = format!("{held} is not the name of a held load of {}", settings.database);
        return Err(Fault::new(Stage::Verify, Reason::InvalidSpec, message));
    };
    let oid = oid(server, Stage::Verify, held)?.ok_or_else(|| gone(held))?;
    let mut session = settings.session(Who::Restorer, held, Stage::Verify, cancel)?;
    let Counted { tables, bytes, .. } = verify::count(&mut session, &Counts::new(), cancel)?;
    if label.rsplit('-').next() != Some(digest(&oid, &tables).as_str()) {
        let message = format!("{held} is not what was verified: tables or rows have changed since");
        return Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message));
    }
    let checks = vec!["the held load has the tables and rows that were verified".to_owned()];
    Ok(Verified { tables, bytes, checks })
}

/// Looks at a kept previous database.
pub(super) fn examine_previous(
    settings: &PostgresTarget,
    server: &mut Server,
    name: &str,
    cancel: &Cancel,
) -> Result<DatabaseEntry> {
    if !matches!(Beside::of(&settings.database, name), Some(Beside::Previous(_))) {
        let message = format!("{name} is not the name of a kept previous database of {}", settings.database);
        return Err(Fault::new(Stage::Preflight, Reason::InvalidSpec, message));
    }
    if oid(server, Stage::Preflight, name)?.is_none() {
        let message = format!("{name} is not there any more");
        return Err(Fault::new(Stage::Preflight, Reason::TargetNotFound, message));
    }
    let mut session = settings.session(Who::Restorer, name, Stage::Preflight, cancel)?;
    let Counted { tables, bytes, .. } = verify::count(&mut session, &Counts::new(), cancel)?;
    let tables = tables.into_iter().map(|table| TableRows { name: table.name, rows: table.rows });
    let facts = DumpFacts {
        tables: Some(tables.collect()),
        engine_version: Some(server.facts.version.clone()),
        ..DumpFacts::default()
    };
    // It is copied inside the server, so there are no bytes that could be hashed.
    Ok(DatabaseEntry {
        name: Some(name.to_owned()),
        format: DumpFormat::PostgresArchive,
        bytes,
        sha256: [0; 32],
        facts,
    })
}

/// The object id of a database, which a rename does not change.
pub(super) fn oid(server: &mut Server, stage: Stage, name: &str) -> Result<Option<String>> {
    oid_in(server.session.at(stage), name)
}

/// The same, asked in a session.
pub(super) fn oid_in(session: &mut Session, name: &str) -> Result<Option<String>> {
    let sql = "SELECT oid FROM pg_catalog.pg_database WHERE datname = $1::pg_catalog.name";
    let rows = session.rows(&format!("look for database {name}"), sql, &[name])?;
    Ok(rows.first().and_then(|row| row.text(0)).map(str::to_owned))
}

fn gone(name: &str) -> Fault {
    Fault::new(Stage::Switch, Reason::VerificationFailed, format!("database {name} is gone"))
}

fn digest(oid: &str, tables: &[LoadedTable]) -> String {
    let mut hash = Sha256::new(&SHA256);
    hash.update(oid.as_bytes());
    for table in tables {
        hash.update(format!("\n{} {}", table.rows, table.name).as_bytes());
    }
    hex::encode(hash.finish().as_ref().get(..DIGEST_BYTES).unwrap_or_default())
}

//! Whether the server has the roles and tablespaces that a dump names, and the login may use them. Asked
//! before anything is written, for what the run will restore alone.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{literal, shown};
use super::parts::Parts;
use super::server::{PostgresTarget, Server, Session};
use super::statement::Part;
use super::wire::WireError;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::{Outside, RoleUse};

/// Names that a message shows.
const SHOWN: usize = 10;
/// Memory for owners and rights, which a load keeps until all else is done, in bytes: of some 250,000
/// objects.
pub(super) const KEPT_LIMIT_BYTES: usize = 64 << 20;
/// The first release series that tells the right to become a role from the membership.
const SET_SINCE: u32 = 16;
/// The role that every owner of a database is a member of, in that database alone.
const DATABASE_OWNER: &[u8] = b"pg_database_owner";
/// `untranslatable_character` and `character_not_in_repertoire`.
const NOT_CONVERTED: [&str; 2] = ["22P05", "22021"];
/// Encodings in which a name of the manifest is written as in the dump.
const SAME_AS_MANIFEST: [&[u8]; 3] = [b"", b"UTF8", b"SQL_ASCII"];

/// Refuses what would fail in the midst of the load; gives back what a person should know.
pub(super) fn check(
    settings: &PostgresTarget,
    server: &mut Server,
    outside: &Outside,
) -> Result<Vec<String>> {
    let parts = &settings.parts;
    let changes_roles = parts.has(Part::Owners) || parts.has(Part::Grants);
    if parts.has(Part::Owners) && outside.acts_as_owners {
        let message = "the dump was made with --use-set-session-authorization, and owners are restored only \
                       from one without it; leave them out (target.roles.owners: Login), or dump again";
        return Err(Fault::new(Stage::Preflight, Reason::NotSupported, message));
    }
    if kept_bytes(parts, outside) > KEPT_LIMIT_BYTES as u64 {
        return Err(too_many(Stage::Preflight));
    }
    refuse_foreign_letters(parts, outside)?;
    let found = look(&mut server.session, settings, server.facts.major(), outside)?;
    let mut notes = Vec::new();
    notes.extend(missing(parts, &found)?);
    refuse_closed(settings, &found)?;
    check_tablespaces(settings, server, outside)?;
    if outside.is_cut && changes_roles {
        let message = "the dump names more roles than were looked for before the load";
        notes.push(message.to_owned());
    }
    Ok(notes)
}

/// Memory for the owners and rights that are restored.
fn kept_bytes(parts: &Parts, outside: &Outside) -> u64 {
    let of = |part, bytes| if parts.has(part) { bytes } else { 0 };
    of(Part::Owners, outside.owner_bytes) + of(Part::Grants, outside.rights_bytes)
}

/// More owners and rights than are kept.
pub(super) fn too_many(stage: Stage) -> Fault {
    let message = format!(
        "owners and rights in the backup need more than {} MiB of memory; leave them out with \
         target.roles (owners: Login, privileges: Skip)",
        KEPT_LIMIT_BYTES >> 20
    );
    Fault::new(stage, Reason::LimitExceeded, message)
}

/// A role of the dump, as the server has it.
struct Found<'o> {
    name: &'o [u8],
    /// What it is named for, of what is restored.
    uses: BTreeSet<RoleUse>,
    is_there: bool,
    /// The login may become it, and has its rights.
    is_ours: bool,
    is_superuser: bool,
}

/// Roles of the dump that the server does not have, under their names in the dump.
pub(super) fn absent(
    session: &mut Session,
    settings: &PostgresTarget,
    major: u32,
    outside: &Outside,
) -> Result<BTreeSet<Vec<u8>>> {
    let found = look(session, settings, major, outside)?;
    Ok(found.iter().filter(|role| !role.is_there).map(|role| role.name.to_vec()).collect())
}

/// What a role is needed for, if that is restored.
fn is_wanted(parts: &Parts, used: RoleUse) -> bool {
    match used {
        RoleUse::Owner => parts.has(Part::Owners),
        RoleUse::Grantor | RoleUse::Maker | RoleUse::Grantee => parts.has(Part::Grants),
        RoleUse::Policy | RoleUse::UserMapping => true,
    }
}

/// Asks the server for the roles that are needed.
fn look<'o>(
    session: &mut Session,
    settings: &PostgresTarget,
    major: u32,
    outside: &'o Outside,
) -> Result<Vec<Found<'o>>> {
    let mut needed: BTreeMap<&[u8], BTreeSet<RoleUse>> = BTreeMap::new();
    for (name, used) in outside.roles.iter().filter(|(_, used)| is_wanted(&settings.parts, *used)) {
        needed.entry(name).or_default().insert(*used);
    }
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<String> = needed
        .keys()
        .enumerate()
        .map(|(number, name)| format!("({number}, {})", text(settings.parts.role(name), &outside.encoding)))
        .collect();
    let ours = if major >= SET_SINCE { "SET" } else { "MEMBER" };
    // Who has given a table away has to read it still: the rights of its owner, without SET ROLE.
    let sql = format!(
        "SELECT r.oid IS NOT NULL, coalesce(pg_catalog.pg_has_role(me.oid, r.oid, '{ours}') \
                                            AND pg_catalog.pg_has_role(me.oid, r.oid, 'USAGE'), false), \
                r.rolsuper \
         FROM (VALUES {}) AS n (number, name) \
         JOIN pg_catalog.pg_roles me ON me.rolname = $1::pg_catalog.name \
         LEFT JOIN pg_catalog.pg_roles r ON r.rolname::pg_catalog.text = n.name::pg_catalog.text \
         ORDER BY n.number",
        rows.join(", ")
    );
    let rows = session
        .rows("look for the roles that the backup names", &sql, &[&settings.login.user])
        .map_err(|fault| not_to_be_written(fault, settings))?;
    let found = needed.into_iter().zip(rows).map(|((name, uses), row)| Found {
        name,
        uses,
        is_there: row.text(0) == Some("t"),
        is_ours: row.text(1) == Some("t") || settings.parts.role(name) == DATABASE_OWNER,
        is_superuser: row.text(2) == Some("t"),
    });
    Ok(found.collect())
}

/// A server converts what it is asked to the encoding of the session's database.
fn not_to_be_written(fault: Fault, settings: &PostgresTarget) -> Fault {
    let error = fault.source.as_ref().and_then(|source| source.downcast_ref::<WireError>());
    if !error.and_then(WireError::sqlstate).is_some_and(|state| NOT_CONVERTED.contains(&state)) {
        return fault;
    }
    let message = format!(
        "the backup names roles that the encoding of the database {} has no letters for; connect to another one \
         with maintenanceDatabase, or leave owners and rights out",
        settings.maintenance_database
    );
    Fault::new(Stage::Preflight, Reason::UnsupportedEncoding, message).caused_by(fault)
}

/// A name of the dump as an expression of a session whose texts are UTF-8.
fn text(name: &[u8], encoding: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if name.is_ascii() || SAME_AS_MANIFEST.contains(&encoding) => literal(text),
        _ => {
            let encoding = literal(&String::from_utf8_lossy(encoding));
            format!("pg_catalog.convert_from('\\x{}'::pg_catalog.bytea, {encoding})", hex::encode(name))
        }
    }
}

/// The map is in UTF-8, and names in the dump are compared byte by byte.
fn refuse_foreign_letters(parts: &Parts, outside: &Outside) -> Result<()> {
    let ascii = parts.map.iter().all(|(from, to)| from.is_ascii() && to.is_ascii());
    if ascii || SAME_AS_MANIFEST.contains(&outside.encoding.as_slice()) {
        return Ok(());
    }
    let message = format!(
        "target.roles.map has names that are not ASCII, and the dump is in {}; dump again with \
         --encoding=UTF8",
        String::from_utf8_lossy(&outside.encoding)
    );
    Err(Fault::new(Stage::Preflight, Reason::UnsupportedEncoding, message))
}

/// Names for a message, those of the dump with those at the server.
fn listed(parts: &Parts, roles: &[&Found<'_>]) -> String {
    let named = roles.iter().take(SHOWN).map(|role| {
        let to = parts.role(role.name);
        let uses: Vec<&str> = role.uses.iter().map(|used| for_people(*used)).collect();
        let mapped =
            if to == role.name { String::new() } else { format!(", which stands for {}", shown(role.name)) };
        format!("{}{mapped} ({})", shown(to), uses.join(", "))
    });
    let more = roles.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.collect::<Vec<_>>().join(", ") + &more
}

const fn for_people(used: RoleUse) -> &'static str {
    match used {
        RoleUse::Owner => "owner",
        RoleUse::Grantor => "grants rights",
        RoleUse::Maker => "default rights",
        RoleUse::Grantee => "has rights",
        RoleUse::Policy => "policy",
        RoleUse::UserMapping => "user mapping",
    }
}

/// The roles that the server does not have are a note or the end.
fn missing(parts: &Parts, found: &[Found<'_>]) -> Result<Option<String>> {
    let missing: Vec<&Found<'_>> = found.iter().filter(|role| !role.is_there).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let named = listed(parts, &missing);
    if parts.skips_missing {
        return Ok(Some(format!(
            "what names roles that the server does not have is left out: {named}; what they own belongs to \
             the login"
        )));
    }
    let message = format!("the backup names roles that the server does not have: {named}");
    Err(Fault::new(Stage::Preflight, Reason::RoleMissing, message))
}

/// To give something away, or to act for a role, the login must be a member of it.
fn refuse_closed(settings: &PostgresTarget, found: &[Found<'_>]) -> Result<()> {
    let acts = [RoleUse::Owner, RoleUse::Grantor, RoleUse::Maker];
    let closed = |role: &&Found<'_>| {
        role.is_there && !role.is_ours && acts.iter().any(|used| role.uses.contains(used))
    };
    let closed: Vec<&Found<'_>> = found.iter().filter(closed).collect();
    if closed.is_empty() {
        return Ok(());
    }
    let user = &settings.login.user;
    // A member of a superuser's role is as good as one, and refused as such.
    let membership = if closed.iter().any(|role| role.is_superuser) {
        String::new()
    } else {
        format!("grant it membership (GRANT role TO {user}, with INHERIT and SET), ")
    };
    let message = format!(
        "{user} may not become roles that own objects or grant rights in the backup: {}; {membership}map them \
         (target.roles.map), or leave them out (owners: Login, privileges: Skip)",
        listed(&settings.parts, &closed)
    );
    Err(Fault::new(Stage::Preflight, Reason::PermissionDenied, message))
}

/// Tablespaces must be there, and the login must be allowed to make something in them.
fn check_tablespaces(settings: &PostgresTarget, server: &mut Server, outside: &Outside) -> Result<()> {
    if !settings.parts.has(Part::Tablespaces) || outside.tablespaces.is_empty() {
        return Ok(());
    }
    let all = outside.tablespaces.iter();
    let rows: Vec<String> = all.clone().map(|name| format!("({})", text(name, &outside.encoding))).collect();
    let sql = format!(
        "SELECT n.name FROM (VALUES {}) AS n (name) LEFT JOIN pg_catalog.pg_tablespace t \
         ON t.spcname::pg_catalog.text = n.name::pg_catalog.text \
         WHERE n.name <> 'pg_default' \
           AND NOT coalesce(pg_catalog.has_tablespace_privilege($1::pg_catalog.name, t.oid, 'CREATE'), false) \
         ORDER BY n.name",
        rows.join(", ")
    );
    let what = "look for the tablespaces that the backup names";
    let rows = server.session.rows(what, &sql, &[&settings.login.user])?;
    if rows.is_empty() {
        return Ok(());
    }
    let names = rows.iter().filter_map(|row| row.text(0)).take(SHOWN);
    let message = format!(
        "the backup needs {} tablespaces that the server does not have, or that {} may not use: {}",
        rows.len(),
        settings.login.user,
        names.map(|name| shown(name.as_bytes())).collect::<Vec<_>>().join(", ")
    );
    Err(Fault::new(Stage::Preflight, Reason::TablespaceMissing, message))
}

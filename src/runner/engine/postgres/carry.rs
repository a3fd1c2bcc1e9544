//! What belongs to a database and not to what is in it: settings, rights, comment, limit, owner. The
//! loaded database takes them over from the one that it replaces.

use super::names::{ident, literal};
use super::server::Session;
use super::survey::Existing;
use crate::reason::Reason;
use crate::runner::fault::{Result, Stage};

/// Settings whose value is a list of quoted names, which must not be quoted once more
/// (`GUC_LIST_QUOTE`).
const LISTS: &[&str] = &[
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// What the loaded database takes over, as statements on it.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Takes from PUBLIC what every new database gives it, where the old one has rights of its own. Without
    /// that the new one would be more open than the old, so it must not fail.
    closing: Option<String>,
    statements: Statements,
}

impl Carried {
    /// Reads what `existing` has, for `shadow`.
    pub(super) fn read(session: &mut Session, existing: &Existing, shadow: &str) -> Result<Self> {
        let mut statements = Vec::new();
        statements.extend(settings(session, existing, shadow)?);
        statements.extend(rights(session, existing, shadow)?);
        statements.extend(particulars(session, existing, shadow)?);
        Ok(Self { closing: closing(session, existing, shadow)?, statements })
    }

    /// Gives it to the loaded database. Gives back what could not be taken over, one sentence each.
    pub(super) fn apply(&self, session: &mut Session) -> Result<Vec<String>> {
        let session = session.at(Stage::Switch);
        if let Some(sql) = &self.closing {
            session.run("take rights on the new database from PUBLIC", sql, Reason::PermissionDenied)?;
        }
        let mut notes = Vec::new();
        for (what, sql) in &self.statements {
            if let Err(fault) = session.run(what, sql, Reason::PermissionDenied) {
                notes.push(format!("not taken over from the replaced database: {}", fault.full_message()));
            }
        }
        Ok(notes)
    }
}

/// What is done, and the statement.
type Statements = Vec<(String, String)>;

fn closing(session: &mut Session, existing: &Existing, shadow: &str) -> Result<Option<String>> {
    let sql = "SELECT datacl IS NOT NULL FROM pg_catalog.pg_database WHERE oid = $1::pg_catalog.oid";
    let row = session.row("read the rights on the target", sql, &[&existing.oid])?;
    let sql = format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", ident(shadow));
    Ok((row.text(0) == Some("t")).then_some(sql))
}

/// `ALTER DATABASE … SET`, for all roles and for single ones.
fn settings(session: &mut Session, existing: &Existing, shadow: &str) -> Result<Statements> {
    let sql = "SELECT rolname, pg_catalog.unnest(setconfig) FROM pg_catalog.pg_db_role_setting s \
               LEFT JOIN pg_catalog.pg_roles r ON r.oid = setrole WHERE setdatabase = $1::pg_catalog.oid";
    let rows = session.rows("read the settings of the target", sql, &[&existing.oid])?;
    let statements = rows.iter().filter_map(|row| {
        let (name, value) = row.text(1)?.split_once('=')?;
        let value = if LISTS.contains(&name) { list(value) } else { literal(value) };
        let role = row.text(0).map_or_else(String::new, |role| format!("ROLE {} IN ", ident(role)));
        let sql = format!("ALTER {role}DATABASE {} SET {} TO {value}", ident(shadow), setting(name));
        Some((format!("set {name}"), sql))
    });
    Ok(statements.collect())
}

/// A list of names as it is stored, each as a constant of its own.
fn list(value: &str) -> String {
    let (mut names, mut name, mut within) = (Vec::new(), String::new(), false);
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if within && letters.peek() == Some(&'"') => name.extend(letters.next()),
            '"' => within = !within,
            ',' if !within => names.push(std::mem::take(&mut name)),
            ' ' if !within => {}
            other => name.push(other),
        }
    }
    names.push(name);
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

/// A setting's name; an extension's has two parts.
fn setting(name: &str) -> String {
    name.split('.').map(ident).collect::<Vec<_>>().join(".")
}

fn rights(session: &mut Session, existing: &Existing, shadow: &str) -> Result<Statements> {
    let sql = "SELECT CASE grantee WHEN 0::pg_catalog.oid THEN NULL ELSE pg_catalog.pg_get_userbyid(grantee) END, \
                      privilege_type, is_grantable \
               FROM pg_catalog.pg_database, pg_catalog.aclexplode(datacl) WHERE pg_database.oid = $1::pg_catalog.oid";
    let rows = session.rows("read the rights on the target", sql, &[&existing.oid])?;
    let database = ident(shadow);
    let mut statements = Statements::new();
    for row in &rows {
        let role = row.text(0).map_or_else(|| "PUBLIC".to_owned(), ident);
        let privilege = row.text(1).unwrap_or_default();
        let grantable = if row.text(2) == Some("t") { " WITH GRANT OPTION" } else { "" };
        statements.push((
            format!("grant {privilege} to {role}"),
            format!("GRANT {privilege} ON DATABASE {database} TO {role}{grantable}"),
        ));
    }
    Ok(statements)
}

fn particulars(session: &mut Session, existing: &Existing, shadow: &str) -> Result<Statements> {
    let sql = "SELECT datconnlimit, pg_catalog.shobj_description(oid, 'pg_database') \
               FROM pg_catalog.pg_database WHERE oid = $1::pg_catalog.oid";
    let row = session.row("read the particulars of the target", sql, &[&existing.oid])?;
    let database = ident(shadow);
    let mut statements = Statements::new();
    if let Some(limit) = row.text(0).filter(|limit| *limit != "-1") {
        statements.push((
            "set the connection limit".to_owned(),
            format!("ALTER DATABASE {database} CONNECTION LIMIT {limit}"),
        ));
    }
    if let Some(comment) = row.text(1) {
        statements.push((
            "set the comment".to_owned(),
            format!("COMMENT ON DATABASE {database} IS {}", literal(comment)),
        ));
    }
    // Last: the owner that it had may be another one than the login that restores.
    let owner = ident(&existing.owner);
    statements.push((
        format!("make {} the owner", existing.owner),
        format!("ALTER DATABASE {database} OWNER TO {owner}"),
    ));
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_is_written_name_by_name() {
        for (stored, expected) in [
            ("a, \"B c\"", "'a', 'B c'"),
            ("\"\"", "''"),
            ("\"$user\", public", "'$user', 'public'"),
            ("\"a\"\"b, c\", d'e", "'a\"b, c', 'd''e'"),
        ] {
            assert_eq!(list(stored), expected, "{stored}");
        }
    }
}

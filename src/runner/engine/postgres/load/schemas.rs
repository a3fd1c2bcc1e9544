//! Who gets an object must have `CREATE` on its schema, unless a superuser gives it. In the source a role
//! may have had it as the owner of the database, or by a right that is not restored; so the future owners
//! get it for as long as owners are given.

use super::session::Door;
use crate::reason::Reason;
use crate::runner::engine::postgres::names::ident;
use crate::runner::engine::postgres::server::{Session, Who};
use crate::runner::fault::{Result, Stage};

/// Rights on schemas that are taken back.
pub(super) struct Opened {
    session: Session,
    /// Schema and role.
    granted: Vec<(String, String)>,
}

/// Pairs of a schema and a role that lacks the right there, which the login may give; none for a superuser.
const LACKING: &str = "
SELECT nspname, r.rolname FROM pg_catalog.pg_namespace n, pg_catalog.pg_roles r, pg_catalog.pg_roles me
WHERE me.rolname = current_user AND NOT me.rolsuper
  AND r.rolname::pg_catalog.text = ANY (pg_catalog.string_to_array($1, pg_catalog.chr(10)))
  AND nspname::pg_catalog.text !~ '^pg_' AND nspname::pg_catalog.text <> 'information_schema'
  AND pg_catalog.pg_has_role(nspowner, 'USAGE')
  AND NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')
ORDER BY 1, 2";

/// Gives the roles `owners` the right where they lack it.
pub(super) fn open(door: &Door, owners: &[String]) -> Result<Opened> {
    let (settings, cancel) = (&door.settings, &door.context.cancel);
    let mut session = settings.session(Who::Restorer, &door.database, Stage::Restore, cancel)?;
    // No name of a role that is kept holds a line feed: it would only not be helped.
    let rows = session.rows("look for rights on schemas", LACKING, &[&owners.join("\n")])?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let granted: Vec<_> = rows.iter().map(|row| (text(row.text(0)), text(row.text(1)))).collect();
    for (schema, role) in &granted {
        let sql = format!("GRANT CREATE ON SCHEMA {} TO {}", ident(schema), ident(role));
        session.run(&format!("let {role} own objects in {schema}"), &sql, Reason::PermissionDenied)?;
    }
    Ok(Opened { session, granted })
}

impl Opened {
    /// Takes the rights back.
    pub(super) fn close(mut self) -> Result<()> {
        for (schema, role) in &self.granted {
            let sql = format!("REVOKE CREATE ON SCHEMA {} FROM {}", ident(schema), ident(role));
            let what = format!("take the right to make objects in {schema} from {role}");
            self.session.run(&what, &sql, Reason::PermissionDenied)?;
        }
        Ok(())
    }
}

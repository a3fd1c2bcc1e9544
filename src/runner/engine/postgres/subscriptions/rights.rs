//! Whether the login may make the subscriptions of a backup. Asked before anything is written.

use super::{PIECES_LIMIT, too_many};
use crate::reason::Reason;
use crate::runner::engine::postgres::server::{PostgresTarget, Server};
use crate::runner::engine::postgres::statement::Part;
use crate::runner::engine::postgres::survey::Seen;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::Outside;

/// The first release series in which others than superusers may make some.
const ROLE_SINCE: u32 = 16;

/// The login's rights: superuser, member of the role, `CREATE` on a database that is there.
const RIGHTS: &str = "
SELECT me.rolsuper,
       EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'pg_create_subscription'
               AND pg_catalog.pg_has_role(me.oid, r.oid, 'USAGE')),
       coalesce((SELECT pg_catalog.has_database_privilege(me.oid, d.oid, 'CREATE')
                 FROM pg_catalog.pg_database d WHERE datname = $2::pg_catalog.name), true)
FROM pg_catalog.pg_roles me WHERE me.rolname = $1::pg_catalog.name";

/// Refuses what would fail at the end of the run.
pub(in super::super) fn check(
    settings: &PostgresTarget,
    server: &mut Server,
    seen: &Seen,
    outside: &Outside,
) -> Result<()> {
    if !settings.parts.has(Part::Subscriptions) || outside.subscriptions == 0 {
        return Ok(());
    }
    if outside.subscriptions > PIECES_LIMIT as u64 {
        return Err(too_many(Stage::Preflight));
    }
    let (user, database) = (settings.login.user.as_str(), settings.database.as_str());
    let major = server.facts.major();
    let session = server.session.at(Stage::Preflight);
    let row = session.row("ask for the right to make subscriptions", RIGHTS, &[user, database])?;
    let is = |index: usize| row.text(index) == Some("t");
    if is(0) {
        return Ok(());
    }
    let lacking = if major < ROLE_SINCE {
        "before PostgreSQL 16 superusers alone may, with allowSuperuser".to_owned()
    } else if !is(1) {
        format!("it is no member of pg_create_subscription (GRANT it to {user})")
    } else if seen.is_in_place() && !is(2) {
        // One beside the target is its own.
        format!("it lacks CREATE on the database {database} (GRANT it to {user})")
    } else {
        return Ok(());
    };
    let message = format!(
        "{user} may not make the subscriptions of the backup: {lacking}; or leave them out \
         (target.objects.subscriptions: Skip)"
    );
    Err(Fault::new(Stage::Preflight, Reason::PermissionDenied, message))
}

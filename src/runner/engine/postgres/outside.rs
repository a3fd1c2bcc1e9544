//! Collects in pass 1 what a dump names beside its database: roles, and tablespaces.
//!
//! Only names are kept, and only so many: a hint for the preflight. What it misses the server refuses.

use memchr::memmem;

use super::archive::entry::Entry;
use super::archive::owner;
use super::copy::Rows;
use super::script::{Keep, Script, Statement};
use super::settings::Settings;
use super::split::Splitter;
use super::statement::{Judged, Object, Options, Step, judge};
use super::subject::{Subject, subject};
use crate::runner::fault::Result;
use crate::runner::inventory::{Outside, RoleUse};

/// Names that are listed, at most.
const NAMES_LIMIT: usize = 4096;
/// Longest name of a role in bytes (`NAMEDATALEN` - 1): no server has one with a longer name.
const NAME_BYTES: usize = 63;
/// Memory of a statement that waits for the end of a load, beside its text, in bytes.
pub(super) const KEPT_BYTES: usize = 200;
/// How statements begin that may name a role or a tablespace; those with an owner are of many kinds.
const BEGINNINGS: [&[u8]; 9] = [
    b"CREATE SCHEMA ",
    b"ALTER DEFAULT PRIVILEGES ",
    b"GRANT ",
    b"REVOKE ",
    b"CREATE POLICY ",
    b"CREATE USER MAPPING ",
    b"SET SESSION AUTHORIZATION ",
    b"SET default_tablespace ",
    b"ALTER LARGE OBJECT ",
];
const OWNER: &[u8] = b" OWNER TO ";
/// Entries of an archive whose statements name roles.
const ENTRIES: [&[u8]; 4] = [b"ACL", b"DEFAULT ACL", b"POLICY", b"USER MAPPING"];

/// Notes what a statement names, which may be cut.
pub(super) fn note(outside: &mut Outside, text: &[u8], cut: bool) {
    if text.starts_with(b"SET ")
        && let Subject::Set(name, value) = subject(text)
        && name == b"client_encoding"
    {
        outside.encoding = value;
        outside.encoding.truncate(NAME_BYTES);
    }
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let makes = [&b"CREATE"[..], b"SUBSCRIPTION"];
    let is_one = makes.iter().all(|word| words.next().is_some_and(|next| next.eq_ignore_ascii_case(word)));
    outside.subscriptions += u64::from(is_one);
    let gives = text.starts_with(b"ALTER ") && memmem::find(text, OWNER).is_some();
    if !gives && !BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        return;
    }
    let options = Options { skip: std::collections::BTreeSet::new(), ..Options::new(u16::MAX) };
    match judge(text, &options) {
        Judged::Send(step) => take(outside, &step, text.len()),
        Judged::Skip { .. } => {
            outside.acts_as_owners |= text.starts_with(b"SET SESSION AUTHORIZATION ");
            outside.is_cut |= cut;
        }
        Judged::Unsafe(_) => outside.is_cut |= cut,
        Judged::Database(_) | Judged::Empty => {}
    }
}

fn take(outside: &mut Outside, step: &Step, bytes: usize) {
    let used = match step {
        // It is the server's own, which keeps its owner where the login may not change that.
        _ if step.is_owner_of_public() => return,
        // A subscription belongs to the login that makes it.
        Step::Owner { object: Object::Subscription, .. } => return,
        // The role may be a word that means the login.
        Step::OwnedSchema { role, .. } if !role.is_name() => return,
        Step::Owner { .. } | Step::OwnedSchema { .. } => RoleUse::Owner,
        Step::Grant { .. } => RoleUse::Grantee,
        Step::DefaultPrivileges { makers, roles } => {
            outside.rights_bytes += (bytes + KEPT_BYTES) as u64;
            let makers = makers.iter().map(|role| (role, RoleUse::Maker));
            let all = makers.chain(roles.iter().map(|role| (role, RoleUse::Grantee)));
            for (role, used) in all.filter(|(role, _)| role.is_name()) {
                add_role(outside, &role.name, used);
            }
            return;
        }
        Step::Grantor { .. } => RoleUse::Grantor,
        Step::Policy { .. } => RoleUse::Policy,
        Step::UserMapping { .. } => RoleUse::UserMapping,
        Step::Setting { name: "default_tablespace", values } => {
            for name in values {
                add_tablespace(outside, name);
            }
            return;
        }
        _ => return,
    };
    match used {
        RoleUse::Owner => outside.owner_bytes += (bytes + KEPT_BYTES) as u64,
        RoleUse::Policy | RoleUse::UserMapping => {}
        _ => outside.rights_bytes += (bytes + KEPT_BYTES) as u64,
    }
    for role in step.roles() {
        add_role(outside, &role.name, used);
    }
}

fn add_role(outside: &mut Outside, name: &[u8], used: RoleUse) {
    if name.len() > NAME_BYTES {
        outside.is_cut = true;
        return;
    }
    let role = (name.to_vec(), used);
    if outside.roles.len() < NAMES_LIMIT {
        outside.roles.insert(role);
    } else {
        outside.is_cut |= !outside.roles.contains(&role);
    }
}

fn add_tablespace(outside: &mut Outside, name: &[u8]) {
    if name.is_empty() || outside.tablespaces.contains(name) {
        return;
    }
    if outside.tablespaces.len() < NAMES_LIMIT && name.len() <= NAME_BYTES {
        outside.tablespaces.insert(name.to_vec());
    } else {
        outside.is_cut = true;
    }
}

/// Memory that it takes, in bytes.
pub(super) fn size(outside: &Outside) -> usize {
    let roles: usize = outside.roles.iter().map(|(name, _)| name.len() + 64).sum();
    roles + outside.tablespaces.iter().map(|name| name.len() + 64).sum::<usize>()
}

/// Adds what another database of the same dump names.
pub(super) fn add(outside: &mut Outside, other: &Outside) {
    for (name, used) in &other.roles {
        add_role(outside, name, *used);
    }
    for name in &other.tablespaces {
        add_tablespace(outside, name);
    }
    outside.owner_bytes += other.owner_bytes;
    outside.rights_bytes += other.rights_bytes;
    outside.subscriptions += other.subscriptions;
    outside.is_cut |= other.is_cut;
    outside.acts_as_owners |= other.acts_as_owners;
    if outside.encoding.is_empty() {
        outside.encoding.clone_from(&other.encoding);
    }
}

/// Notes what the entries of an archive name.
pub(super) fn note_entries(outside: &mut Outside, entries: &[Entry], settings: Settings) -> Result<()> {
    for entry in entries {
        for object in owner::owned(entry).into_iter().filter(|_| !owner::is_public(entry)) {
            add_role(outside, &entry.owner, RoleUse::Owner);
            outside.owner_bytes += (object.len() + entry.owner.len() + KEPT_BYTES) as u64;
        }
        add_tablespace(outside, &entry.tablespace);
        outside.subscriptions += u64::from(entry.desc == b"SUBSCRIPTION");
    }
    let speaking = |entry: &&Entry| entry.desc == b"ENCODING" || ENTRIES.contains(&entry.desc.as_slice());
    for entry in entries.iter().filter(speaking) {
        let mut splitter = Splitter::new(Keep::Head).with_settings(settings);
        splitter.feed(&entry.defn, &mut Notes(outside))?;
        splitter.finish(&mut Notes(outside))?;
    }
    Ok(())
}

/// Notes what the statements of an entry name.
struct Notes<'a>(&'a mut Outside);

impl Script for Notes<'_> {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        note(self.0, statement.text, statement.cut);
        Ok(())
    }

    fn copy_begin(&mut self, _: Statement<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_rows(&mut self, _: Rows<'_>) -> Result<()> {
        Ok(())
    }

    fn copy_end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(text: &str, cut: bool) -> Outside {
        let mut outside = Outside::default();
        note(&mut outside, text.as_bytes(), cut);
        outside
    }

    #[test]
    fn what_a_statement_names_beside_its_database_is_noted() {
        use RoleUse::{Grantee, Grantor, Maker, Owner, Policy, UserMapping};
        for (text, expected) in [
            ("ALTER TABLE s.t OWNER TO a;", vec![("a", Owner)]),
            ("ALTER SCHEMA s OWNER TO \"A b\";", vec![("A b", Owner)]),
            ("ALTER SCHEMA public OWNER TO postgres;", vec![]),
            ("CREATE SCHEMA s AUTHORIZATION a;", vec![("a", Owner)]),
            ("CREATE SCHEMA s AUTHORIZATION current_user;", vec![]),
            ("CREATE SCHEMA public AUTHORIZATION a;", vec![]),
            ("CREATE SCHEMA s;", vec![]),
            ("ALTER DATABASE d OWNER TO a;", vec![]),
            ("ALTER SUBSCRIPTION s OWNER TO a;", vec![]),
            ("GRANT SELECT ON TABLE s.t TO a WITH GRANT OPTION;", vec![("a", Grantee)]),
            ("REVOKE ALL ON FUNCTION s.f() FROM PUBLIC;", vec![]),
            ("GRANT a TO b GRANTED BY c;", vec![]),
            ("SET SESSION AUTHORIZATION a;", vec![("a", Grantor)]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES TO b;",
                vec![("a", Maker), ("b", Grantee)],
            ),
            ("CREATE POLICY p ON s.t FOR SELECT TO a, b USING (true);", vec![("a", Policy), ("b", Policy)]),
            ("CREATE POLICY p ON s.t USING (true);", vec![]),
            ("CREATE USER MAPPING FOR a SERVER s;", vec![("a", UserMapping)]),
            ("CREATE USER MAPPING FOR public SERVER s;", vec![]),
            ("INSERT INTO t VALUES ('ALTER TABLE t OWNER TO a');", vec![]),
        ] {
            let roles = expected.iter().map(|(name, used)| (name.as_bytes().to_vec(), *used)).collect();
            assert_eq!(noted(text, false).roles, roles, "{text}");
        }
        let spaces = |text: &str| noted(text, false).tablespaces.into_iter().collect::<Vec<_>>();
        assert_eq!(spaces("SET default_tablespace = \"Fast disk\";"), [b"Fast disk".to_vec()]);
        assert_eq!(spaces("SET default_tablespace = '';"), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn subscriptions_are_counted_even_where_their_statements_are_cut() {
        for (text, expected) in [
            ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false);", 1),
            ("CREATE SUBSCRIPTION s CONNECTION 'x", 1),
            ("create  subscription\ts CONNECTION 'x' PUBLICATION p WITH (connect = false);", 1),
            ("COMMENT ON SUBSCRIPTION s IS 'CREATE SUBSCRIPTION t';", 0),
        ] {
            assert_eq!(noted(text, true).subscriptions, expected, "{text}");
        }
    }

    #[test]
    fn a_dump_that_acts_as_owners_is_told_from_one_that_grants_as_others() {
        for (text, expected) in [
            ("SET SESSION AUTHORIZATION 'a';", true),
            ("SET SESSION AUTHORIZATION DEFAULT;", true),
            ("SET SESSION AUTHORIZATION a;", false),
            ("RESET SESSION AUTHORIZATION;", false),
        ] {
            assert_eq!(noted(text, false).acts_as_owners, expected, "{text}");
        }
    }

    #[test]
    fn names_are_limited_and_a_cut_statement_is_no_silent_loss() {
        let mut outside = Outside::default();
        for number in 0..NAMES_LIMIT {
            note(&mut outside, format!("ALTER TABLE t OWNER TO r{number};").as_bytes(), false);
        }
        assert!(
            !outside.is_cut && outside.owner_bytes + outside.rights_bytes > (NAMES_LIMIT * KEPT_BYTES) as u64
        );
        note(&mut outside, b"ALTER TABLE t OWNER TO r7;", false);
        assert!(!outside.is_cut, "it is known");
        note(&mut outside, b"ALTER TABLE t OWNER TO more;", false);
        assert!(outside.is_cut && outside.roles.len() == NAMES_LIMIT);
        assert!(noted("GRANT SELECT(a,b,c", true).is_cut);
    }
}

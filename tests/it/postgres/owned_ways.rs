//! Owners and rights by every way that a load comes to its place: held for a person, in place, and out of an
//! archive in a TAR.

use std::collections::BTreeMap;

use reinstate::runner::engine::postgres::{Parts, PostgresTarget};
use reinstate::runner::engine::{Action, Context, Engine};
use reinstate::runner::fault::Result;

use super::formats::{Packed, examine, pack};
use super::owners::{Cast, Member, everything, source, with};
use super::restores::{Backup, Target, databases, difference, fresh, restore};
use crate::parts::only;
use crate::parts::postgres::{PASSWORD, Postgres, SUPERUSER, postgres};

fn assert_equal(server: &Postgres, database: &str, expected: &str, what: &str) {
    let found = server.canonical(database);
    assert!(found == expected, "{what}\n{}", difference(expected, &found));
}

/// Holds a load, and puts it in place by another run.
fn held(server: &Postgres, run: PostgresTarget, backup: &Backup, expected: &str) -> Result<()> {
    let target = run.database.clone();
    let run = PostgresTarget { holds: true, ..run };
    let mut engine = Target::new(run.clone(), Context::default());
    engine.survey()?;
    engine.preflight(only(&backup.entry))?;
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice())?;
    engine.verify(only(&backup.entry))?;
    let held = engine.hold()?.remove(0);
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_equal(server, &held, expected, "while it is held");

    let mut engine = Target::new(PostgresTarget { run_id: "0b0b0b0b".to_owned(), ..run }, Context::default());
    engine.survey()?;
    engine.take_up(0, &held)?;
    engine.switch()?;
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_equal(server, &target, expected, "once it is taken up");
    Ok(())
}

#[test]
fn what_is_held_keeps_its_owners_until_it_is_taken_up() {
    let server = postgres(15);
    let source = source(server, &Cast::new(server, "held"));
    let expected = server.canonical(&source);
    for form in ["plain", "custom"] {
        let backup = Backup::new(server.dump(15, &source, &[&format!("--format={form}")]));
        let target = fresh(&format!("held_owners_{form}"));
        held(server, with(server, SUPERUSER, &target, everything()), &backup, &expected)
            .unwrap_or_else(|fault| panic!("{form}: {}", fault.full_message()));
    }
    // Of what it has given away a member cannot count every table.
    for major in [15, 18] {
        let server = postgres(major);
        let Member { login, source, .. } = Member::new(server, "holds", "createdb");
        let expected = server.canonical(&source);
        let backup = Backup::new(server.dump(major, &source, &["--format=custom"]));
        let target = fresh(&format!("held_by_member_{major}"));
        for _ in 0..2 {
            let run = PostgresTarget { keep_until: None, ..with(server, &login, &target, everything()) };
            held(server, run, &backup, &expected)
                .unwrap_or_else(|fault| panic!("{major}: {}", fault.full_message()));
        }
        assert_eq!(databases(server, &target), [target.as_str()]);
    }
}

#[test]
fn what_is_loaded_in_place_gets_its_owners_there_and_is_emptied_again() {
    for major in [12, 15, 18] {
        let server = postgres(major);
        let Member { login, source, .. } = Member::new(server, "places", "");
        let expected = server.canonical(&source);
        let client = if major == 12 { 15 } else { major };
        for form in ["plain", "custom"] {
            let backup = Backup::new(server.dump(client, &source, &[&format!("--format={form}")]));
            let target = fresh(&format!("placed_owners_{major}_{form}"));
            server.sql("postgres", &format!("create database {target} owner {login} template template0"));
            for (is_direct, action) in [(false, Action::Create), (true, Action::Replace)] {
                let run = PostgresTarget { is_direct, ..with(server, &login, &target, everything()) };
                let done = restore(run, &backup)
                    .unwrap_or_else(|fault| panic!("{major} {form} {is_direct}: {}", fault.full_message()));
                assert_eq!(done.action, action, "{major} {form}");
                assert_equal(server, &target, &expected, &format!("{major} {form} {is_direct}"));
            }
        }
    }
}

#[test]
fn archives_in_a_tar_give_everything_to_its_owners() {
    for major in [15, 18] {
        let server = postgres(major);
        let source = source(server, &Cast::new(server, &format!("packed{major}")));
        let expected = server.canonical(&source);
        let folder = server.dump_folder(major, &source, &[]);
        let packed = |how| pack(&folder.path().join("dump"), how);
        for (form, bytes) in [
            ("tar", server.dump(major, &source, &["--format=tar"])),
            ("directory", packed(Packed::ContentsFirst)),
            ("directory_last", packed(Packed::ContentsLast)),
        ] {
            let (_folder, examined) = examine(&bytes).unwrap();
            let [entry] = examined.databases.as_slice() else { panic!("{}", examined.databases.len()) };
            let target = fresh(&format!("owned_{form}_{major}"));
            let context = Context::default();
            let mut engine = Target::new(with(server, SUPERUSER, &target, everything()), context.clone());
            let result = (|| {
                engine.survey()?;
                engine.preflight(only(entry))?;
                engine.load(&[only(entry)], &mut *examined.open_database(0, &context)?)?;
                engine.verify(only(entry))?;
                engine.switch().map(drop)
            })();
            result.unwrap_or_else(|fault: reinstate::runner::fault::Fault| {
                panic!("{major} {form}: {}", fault.full_message())
            });
            assert_eq!(engine.discard(), Vec::<String>::new());
            assert_equal(server, &target, &expected, &format!("{major} {form}"));
        }
    }
}

#[test]
fn a_schema_that_is_made_for_its_owner_belongs_to_him_to_another_or_to_the_login() {
    let server = postgres(16);
    let (own, other, login) = (fresh("schema_own"), fresh("schema_other"), fresh("schema_login"));
    server.sql(
        "postgres",
        &format!(
            "create role \"{own}\"; create role {other}; create role {login} login createdb password '{PASSWORD}';
             grant \"{own}\", {other} to {login}"
        ),
    );
    let backup = Backup::script(&format!(
        "CREATE SCHEMA public AUTHORIZATION postgres;\nCREATE SCHEMA \"Odd s\" AUTHORIZATION \"{own}\";\n\
         CREATE SCHEMA mine AUTHORIZATION CURRENT_USER;\nCREATE TABLE \"Odd s\".t (a int);\n\
         ALTER TABLE \"Odd s\".t OWNER TO \"{own}\";\n"
    ));
    let map = BTreeMap::from([(own.clone().into_bytes(), other.clone().into_bytes())]);
    for (number, (parts, owner)) in
        [(everything(), &own), (Parts { map, ..everything() }, &other), (Parts::default(), &login)]
            .into_iter()
            .enumerate()
    {
        let target = fresh(&format!("schemas_{number}"));
        let done = restore(with(server, &login, &target, parts), &backup)
            .unwrap_or_else(|fault| panic!("{number}: {}", fault.full_message()));
        let sql = "select nspname, pg_get_userbyid(nspowner) from pg_namespace where nspname in ('Odd s', 'mine') order by 1";
        assert_eq!(server.sql(&target, sql), format!("Odd s|{owner}\nmine|{login}"), "{number}");
        let told = done.verified.checks.join("\n");
        assert_eq!(told.contains("statements owner of …: this run leaves it out"), number == 2, "{told}");
    }
}

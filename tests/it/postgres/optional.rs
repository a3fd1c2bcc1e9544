//! Kinds of objects that are restored only where they are wanted: comments, publications, security labels,
//! tablespaces; and subscriptions, which are left out by default.

use std::collections::BTreeSet;

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::statement::Part;
use reinstate::runner::engine::postgres::{Parts, PostgresTarget};

use super::restores::{Backup, databases, fresh, refused, restore, settings};
use crate::parts::postgres::{CREATOR, Postgres, SUPERUSER, postgres};

fn without(server: &Postgres, user: &str, target: &str, left_out: &[Part]) -> PostgresTarget {
    let parts = Parts { left_out: left_out.iter().copied().collect(), ..Parts::default() };
    PostgresTarget { parts, ..settings(server, user, target) }
}

#[test]
fn tables_and_indexes_lie_in_their_tablespaces_where_that_is_wanted() {
    let server = postgres(15);
    let (one, two) = (fresh("space"), format!("Odd {}", fresh("space")));
    for space in [&one, &two] {
        let sql = format!("set allow_in_place_tablespaces = on; create tablespace \"{space}\" location ''");
        server.sql("postgres", &sql);
    }
    let source = server.database();
    server.sql(
        &source,
        &format!(
            "create table plain (a int); create table t (a int) tablespace {one};
             insert into t select generate_series(1, 50); create index i on t (a) tablespace \"{two}\";
             create index here on t (a);
             alter table t add constraint k unique (a) using index tablespace \"{two}\";
             create materialized view m tablespace {one} as select count(*) from t;
             create table p (a int) partition by range (a) tablespace {one};
             create table p1 partition of p for values from (0) to (9) tablespace \"{two}\""
        ),
    );
    let sql = "select relname, spcname from pg_class c left join pg_tablespace s on s.oid = reltablespace \
               where relnamespace = 'public'::regnamespace order by 1";
    let expected = server.sql(&source, sql);
    assert!(expected.contains(&format!("t|{one}")) && expected.contains(&format!("i|{two}")), "{expected}");
    for form in ["plain", "custom"] {
        let backup = Backup::new(server.dump(15, &source, &[&format!("--format={form}")]));
        let target = fresh(&format!("spaces_{form}"));
        restore(without(server, SUPERUSER, &target, &[Part::Owners, Part::Grants]), &backup)
            .unwrap_or_else(|fault| panic!("{form}: {}", fault.full_message()));
        assert_eq!(server.sql(&target, sql), expected, "{form}");
        assert_eq!(server.canonical(&target), server.canonical(&source), "{form}");

        restore(settings(server, SUPERUSER, &target), &backup).unwrap();
        let spaces = server.sql(&target, "select count(*) from pg_class where reltablespace > 1664");
        assert_eq!(spaces, "0", "{form}: they are left out by default");

        let target = fresh(&format!("spaceless_{form}"));
        let fault = refused(without(server, CREATOR, &target, &[Part::Owners, Part::Grants]), &backup);
        assert_eq!(fault.reason, Reason::TablespaceMissing, "{form}");
        let expected = format!("or that {CREATOR} may not use: \"{two}\", {one}");
        assert!(fault.message.ends_with(&expected), "{}", fault.message);
        assert!(databases(server, &target).is_empty(), "nothing was made");
    }
    let backup = Backup::script("SET default_tablespace = no_space;\nCREATE TABLE public.t (a int);\n");
    let fault = refused(without(server, SUPERUSER, &fresh("no_space"), &[]), &backup);
    assert_eq!(fault.reason, Reason::TablespaceMissing);
    assert!(fault.message.ends_with(": no_space"), "{}", fault.message);
}

#[test]
fn comments_and_publications_come_unless_they_are_left_out() {
    let server = postgres(15);
    let source = server.database();
    server.sql(
        &source,
        "create table t (a int); comment on table t is 'x'; comment on column t.a is 'y';
         create publication p for table t; comment on publication p is 'z'",
    );
    let sql =
        "select (select count(*) from pg_description where objoid >= 16384), count(*) from pg_publication";
    for form in ["plain", "custom"] {
        let backup = Backup::new(server.dump(15, &source, &[&format!("--format={form}")]));
        for (number, (more, expected)) in [
            (vec![], "3|1"),
            (vec![Part::Comments], "0|1"),
            (vec![Part::Publications], "2|0"),
            (vec![Part::Comments, Part::Publications], "0|0"),
        ]
        .into_iter()
        .enumerate()
        {
            let target = fresh(&format!("parts_{form}_{number}"));
            let mut parts = Parts::default();
            parts.left_out.extend(&more);
            let done = restore(PostgresTarget { parts, ..settings(server, CREATOR, &target) }, &backup)
                .unwrap_or_else(|fault| panic!("{form} {more:?}: {}", fault.full_message()));
            assert_eq!(server.sql(&target, sql), expected, "{form} {more:?}");
            let told = done.verified.checks.join("\n");
            assert_eq!(
                told.contains("COMMENT ON …: this run leaves it out"),
                more.contains(&Part::Comments),
                "{told}"
            );
        }
    }
}

#[test]
fn security_labels_are_sent_only_where_they_are_wanted() {
    let server = postgres(15);
    let backup = Backup::script(
        "CREATE TABLE public.t (a int);\nSECURITY LABEL FOR nobody ON TABLE public.t IS 'secret';\n",
    );
    let done = restore(settings(server, CREATOR, &fresh("unlabelled")), &backup).unwrap();
    let told = done.verified.checks.join("\n");
    assert!(told.contains("left out, 1 statement SECURITY LABEL …"), "{told}");
    let fault = refused(without(server, CREATOR, &fresh("labelled"), &[]), &backup);
    assert!(
        fault.full_message().contains("security label provider \"nobody\" is not loaded"),
        "{}",
        fault.full_message()
    );
}

#[test]
fn a_subscription_is_left_out_and_its_password_is_shown_nowhere() {
    let server = postgres(15);
    let create = "CREATE SUBSCRIPTION s CONNECTION 'host=localhost password=hidden-words' PUBLICATION p";
    let dump = |options: &str| {
        Backup::script(&format!(
            "CREATE TABLE public.t (a int);\n{create} WITH ({options});\n\
             ALTER SUBSCRIPTION s OWNER TO nobody;\nCOMMENT ON SUBSCRIPTION s IS 'x';\n"
        ))
    };
    let target = fresh("subscribed");
    let backup = dump("connect = false, slot_name = 's'");
    let parts = Parts { left_out: BTreeSet::from([Part::Subscriptions]), ..Parts::default() };
    let done = restore(PostgresTarget { parts, ..settings(server, SUPERUSER, &target) }, &backup)
        .unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    let told = done.verified.checks.join("\n");
    assert!(told.contains("left out, 1 statement subscription s …"), "{told}");
    assert!(!told.contains("hidden") && !done.notes.join("").contains("hidden"), "{told}");
    // Subscriptions of all databases are in one list.
    let count = "select count(*) from pg_subscription where subdbid = \
                 (select oid from pg_database where datname = current_database())";
    assert_eq!(server.sql(&target, count), "0");

    let fault = refused(settings(server, SUPERUSER, &target), &dump("slot_name = 's'"));
    assert_eq!(fault.reason, Reason::UnsafeContent);
    assert!(!fault.full_message().contains("hidden"), "{}", fault.full_message());
}

//! Scheduled jobs of the extension `pg_cron`: left out and told, whatever database is loaded. The extension here is
//! a stand-in for it, with its schema and its refusal, and no worker.

use std::path::Path;

use reinstate::runner::engine::Action;
use reinstate::runner::engine::postgres::{Parts, PostgresTarget};

use super::restores::{Backup, Done, difference, fresh, restore, settings};
use crate::parts::postgres::{CREATOR, PLAIN, Postgres, SUPERUSER, own_postgres, postgres};

/// The database that the servers' `cron.database_name` names.
const HOME: &str = "shop";

/// Who owns a database may create it, as providers let their users.
const CONTROL: &str = "\
comment = 'Stand-in for a job scheduler'
default_version = '1'
relocatable = false
schema = pg_catalog
superuser = false
";

const SCRIPT: &str = "\
DO $$ BEGIN
  IF current_database() <> current_setting('cron.database_name') THEN
    RAISE EXCEPTION 'can only create extension in database %', current_setting('cron.database_name');
  END IF;
END $$;
CREATE SCHEMA cron;
CREATE SEQUENCE cron.jobid_seq;
CREATE SEQUENCE cron.runid_seq;
CREATE TABLE cron.job (
  jobid bigint PRIMARY KEY DEFAULT nextval('cron.jobid_seq'), schedule text NOT NULL, command text NOT NULL,
  database text NOT NULL DEFAULT current_database(), username text NOT NULL DEFAULT current_user,
  active boolean NOT NULL DEFAULT true, jobname text);
CREATE TABLE cron.job_run_details (
  jobid bigint, runid bigint PRIMARY KEY DEFAULT nextval('cron.runid_seq'), command text, status text);
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE sql
  RETURN 1;
GRANT SELECT ON cron.job, cron.job_run_details TO public;
ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE cron.job_run_details ENABLE ROW LEVEL SECURITY;
CREATE POLICY cron_job_policy ON cron.job USING (username = current_user);
CREATE POLICY cron_job_run_details_policy ON cron.job_run_details USING (true);
SELECT pg_catalog.pg_extension_config_dump('cron.job', '');
SELECT pg_catalog.pg_extension_config_dump('cron.jobid_seq', '');
SELECT pg_catalog.pg_extension_config_dump('cron.job_run_details', '');
SELECT pg_catalog.pg_extension_config_dump('cron.runid_seq', '');
";

/// What the application has beside its jobs.
const OWN: &str = "
create table public.job (a int primary key, b text);
insert into public.job select n, 'b ' || n from generate_series(1, 500) n;
create view public.large as select a from public.job where a > 400;
create index on public.job (b);
comment on table public.job is 'no job of the server';
create function public.nightly() returns bigint language plpgsql as
  $$ begin return cron.schedule('x', '* * * * *', 'select 1'); end $$;
";

const JOBS: &str = "
create extension pg_cron;
insert into cron.job (schedule, command, jobname) values
  ('0 3 * * *', 'delete from public.job', 'nightly'), ('* * * * *', 'select 1', null);
insert into cron.job_run_details (jobid, command, status)
  select 1, 'delete from public.job', 'succeeded' from generate_series(1, 7);
select setval('cron.jobid_seq', 40);
comment on extension pg_cron is 'our jobs';
grant usage on schema cron to plain;
grant select on cron.job to plain;
grant execute on function cron.schedule(text, text, text) to plain;
alter default privileges in schema cron grant select on tables to plain;
";

/// What there is of the extension.
const FOUND: &str = "select count(*) from pg_extension where extname = 'pg_cron'";
const ROWS: &str = "select jobid, schedule, command, coalesce(jobname, '-') from cron.job order by 1";

/// A server that has the extension, and takes it in [`HOME`].
fn with_extension(folder: &Path) -> Postgres {
    let files = folder.join("extension");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("pg_cron.control"), CONTROL).unwrap();
    std::fs::write(files.join("pg_cron--1.sql"), SCRIPT).unwrap();
    let path = format!("extension_control_path = '{}:$system'", folder.display());
    own_postgres(18, &[&path, &format!("cron.database_name = '{HOME}'")])
}

/// Makes the source, and gives back how it is without its jobs.
fn source(server: &Postgres) -> String {
    server.sql("postgres", &format!("create database {HOME} template template0"));
    server.sql(HOME, OWN);
    let expected = server.canonical(HOME);
    server.sql(HOME, JOBS);
    expected
}

fn told(done: &Done) -> String {
    [done.notes.as_slice(), &done.verified.checks].concat().join("\n")
}

/// Owners and rights, too.
fn everything(server: &Postgres, target: &str) -> PostgresTarget {
    let mut run = settings(server, SUPERUSER, target);
    run.parts = Parts { left_out: std::collections::BTreeSet::new(), ..Parts::default() };
    run
}

fn assert_without(server: &Postgres, target: &str, expected: &str, what: &str) {
    assert_eq!(server.sql(target, FOUND), "0", "{what}");
    let found = server.canonical(target);
    assert!(found == expected, "{what}\n{}", difference(expected, &found));
}

/// What older releases of `pg_dump` write of an extension's tables (`citusdata/pg_cron#113`), and newer ones do not.
const POLICIES: &str = "\
ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;
CREATE POLICY cron_job_policy ON cron.job USING ((username = (CURRENT_USER)::text));
ALTER TABLE cron.job_run_details ENABLE ROW LEVEL SECURITY;
CREATE POLICY cron_job_run_details_policy ON cron.job_run_details USING (true);
";

/// Dumps in every form, with what each is called.
fn dumps(server: &Postgres) -> Vec<(String, Backup)> {
    let forms = [&[][..], &["--inserts"], &["--format=custom"], &["--format=custom", "--inserts"]];
    let dump = |arguments| server.dump(18, HOME, arguments);
    let all = forms.into_iter().map(|arguments| (format!("{arguments:?}"), dump(arguments)));
    let end = "--\n-- PostgreSQL database dump complete";
    let plain = String::from_utf8(dump(&[])).unwrap();
    let older = plain.replace(end, &format!("{POLICIES}\n{end}"));
    assert!(older.len() > plain.len());
    let all = all.chain([("policies".to_owned(), older.into_bytes())]);
    all.map(|(what, bytes)| (what, Backup::with_digests(bytes))).collect()
}

#[test]
fn jobs_are_left_out_and_told_where_another_database_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_extension(folder.path());
    let expected = source(&server);
    let without = postgres(18);
    for (number, (what, backup)) in dumps(&server).into_iter().enumerate() {
        let target = format!("copy_{number}");
        let done = restore(everything(&server, &target), &backup)
            .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
        assert_without(&server, &target, &expected, &what);
        let says = "left out, the extension pg_cron with 2 jobs: the server takes it only in the database shop, \
                    and its jobs run there at once; to have jobs run here, after the switch run CREATE EXTENSION pg_cron \
                    in shop, and there cron.schedule_in_database for each";
        assert!(done.notes.iter().any(|note| note == says), "{what}: {:?}", done.notes);
        assert!(told(&done).contains("statements of pg_cron"), "{what}: {}", told(&done));

        // A server that has none.
        let target = fresh(&format!("no_cron_{number}"));
        let done = restore(everything(without, &target), &backup)
            .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
        assert_without(without, &target, &expected, &what);
        let says = "with 2 jobs: the server has not loaded it (shared_preload_libraries)";
        assert!(told(&done).contains(says), "{what}: {}", told(&done));

        // By a login that may do little, with the defaults.
        let target = fresh(&format!("little_cron_{number}"));
        let done = restore(settings(without, CREATOR, &target), &backup)
            .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
        assert!(told(&done).contains(says), "{what}: {}", told(&done));
        assert_eq!(without.sql(&target, "select count(*) from public.job"), "500", "{what}");
    }
    // Over the database itself, which is replaced by a new one. What the note says makes it whole again.
    let (what, backup) = dumps(&server).remove(0);
    let done = restore(everything(&server, HOME), &backup)
        .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
    assert_eq!(done.action, Action::Swap);
    assert_without(&server, HOME, &expected, &what);
    server.sql(HOME, "create extension pg_cron; select cron.schedule('nightly', '0 3 * * *', 'select 1')");
}

#[test]
fn jobs_are_left_out_of_the_database_that_was_made_for_them_too() {
    let folder = tempfile::tempdir().unwrap();
    let (server, other) = (with_extension(folder.path()), with_extension(folder.path()));
    source(&server);
    let says = "with 2 jobs: the server takes it only in the database shop, and its jobs run there at once";
    for prepares in [false, true] {
        for (what, backup) in dumps(&server) {
            other.sql("postgres", &format!("drop database if exists {HOME} with (force)"));
            other.sql("postgres", &format!("create database {HOME} owner {PLAIN} template template0"));
            if prepares {
                // Jobs of its own stay as they are.
                other.sql(HOME, "create extension pg_cron; insert into cron.job (schedule, command) values ('@daily', 'select 2')");
            }
            let done = restore(settings(&other, PLAIN, HOME), &backup)
                .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
            assert_eq!(other.sql(HOME, "select count(*) from public.job"), "500", "{what}");
            assert_eq!(other.sql(HOME, FOUND), if prepares { "1" } else { "0" }, "{what}");
            if prepares {
                assert_eq!(other.sql(HOME, ROWS), "1|@daily|select 2|-", "{what}");
            }
            assert!(told(&done).contains(says), "{what}: {}", told(&done));
        }
    }
}

#[test]
fn a_schema_of_that_name_without_the_extension_is_a_schema_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_extension(folder.path());
    let source = server.database();
    server.sql(
        &source,
        "create schema cron; create table cron.job (jobid serial primary key, schedule text);
         insert into cron.job (schedule) values ('a'), ('b'); grant usage on schema cron to plain;
         comment on table cron.job is 'x'",
    );
    let expected = server.canonical(&source);
    for (number, form) in ["plain", "custom"].into_iter().enumerate() {
        let backup = Backup::with_digests(server.dump(18, &source, &[&format!("--format={form}")]));
        let target = format!("own_schema_{number}");
        let done = restore(everything(&server, &target), &backup)
            .unwrap_or_else(|fault| panic!("{form}: {}", fault.full_message()));
        let found = server.canonical(&target);
        assert!(found == expected, "{form}\n{}", difference(&expected, &found));
        assert!(!told(&done).contains("pg_cron"), "{form}: {}", told(&done));
    }
}

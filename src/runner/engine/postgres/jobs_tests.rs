//! What becomes of `pg_cron`, in tables of cases.

use super::*;
use crate::runner::engine::postgres::statement::{Judged, Options, judge};
use crate::runner::inventory::{DumpFacts, DumpFormat, TableRows};

fn is(database: &str) -> Setting {
    Setting::Is(database.to_owned())
}

#[test]
fn only_a_dump_that_needs_it_is_looked_at_for_it() {
    for (needed, expected) in
        [(&["pg_cron"][..], true), (&["hstore", "pg_cron"], true), (&["hstore"], false), (&[], false)]
    {
        let needed: Vec<String> = needed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(needs(&needed), expected, "{needed:?}");
    }
}

#[test]
fn what_belongs_to_it_is_left_out_and_nothing_else() {
    let options = Options { skip: std::collections::BTreeSet::new(), ..Options::new(18) };
    let left_out = Jobs::LeftOut(Setting::Unset);
    for (text, schema, expected) in [
        ("CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA pg_catalog;", None, true),
        ("CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;", None, false),
        ("COMMENT ON EXTENSION pg_cron IS 'Job scheduler for PostgreSQL';", None, true),
        ("COMMENT ON EXTENSION hstore IS 'x';", None, false),
        ("COPY cron.job (jobid, schedule) FROM stdin;", None, true),
        ("COPY cron.job_run_details (jobid, runid) FROM stdin;", None, true),
        ("COPY job (jobid, schedule) FROM stdin;", Some("cron"), true),
        ("COPY job (jobid, schedule) FROM stdin;", Some("public"), false),
        ("COPY public.job (jobid) FROM stdin;", Some("cron"), false),
        ("INSERT INTO cron.job VALUES (1, '* * * * *', 'SELECT 1');", None, true),
        ("SELECT pg_catalog.setval('cron.jobid_seq', 2, true);", None, true),
        ("SELECT pg_catalog.setval('cron.runid_seq', 1, false);", None, true),
        ("SELECT pg_catalog.setval('public.jobid_seq', 1, false);", None, false),
        ("GRANT USAGE ON SCHEMA cron TO app;", None, true),
        ("GRANT USAGE ON SCHEMA shop TO app;", None, false),
        ("REVOKE SELECT ON TABLE cron.job FROM PUBLIC;", None, true),
        ("GRANT ALL ON FUNCTION cron.schedule(schedule text, command text) TO app;", None, true),
        ("GRANT ALL ON FUNCTION cron.mine() TO app;", None, false),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA cron GRANT ALL ON TABLES TO b;", None, true),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA shop GRANT ALL ON TABLES TO b;", None, false),
        ("ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;", None, true),
        ("CREATE POLICY cron_job_policy ON cron.job USING ((username = CURRENT_USER));", None, true),
        ("CREATE POLICY mine ON cron.job USING (true);", None, true),
        ("CREATE POLICY cron_job_policy ON public.job USING (true);", None, false),
        ("COMMENT ON POLICY cron_job_policy ON cron.job IS 'x';", None, true),
        ("CREATE TABLE cron.mine (a integer);", None, false),
        ("COPY cron.mine (a) FROM stdin;", None, false),
        ("CREATE FUNCTION cron.job() RETURNS integer LANGUAGE sql AS 'SELECT 1';", None, false),
    ] {
        let Judged::Send(step) = judge(text.as_bytes(), &options) else { panic!("{text}") };
        let schema = schema.map(str::as_bytes);
        let leaves_out = |jobs: &Jobs| jobs.leaves_out(&step, text.as_bytes(), (schema, true));
        assert_eq!(leaves_out(&left_out), expected.then_some(ELSEWHERE), "{text}");
        assert_eq!(leaves_out(&Jobs::None), None, "{text}");
    }
}

fn entry(jobs: u64) -> DatabaseEntry {
    let table = |name: &str, rows| TableRows { name: name.to_owned(), rows };
    let facts = DumpFacts {
        tables: Some(vec![table("cron.job", jobs), table("cron.job_run_details", 9), table("public.job", 4)]),
        extensions: vec!["hstore".to_owned(), "pg_cron".to_owned()],
        ..DumpFacts::default()
    };
    DatabaseEntry { name: None, format: DumpFormat::PostgresPlain, bytes: 1, sha256: [0; 32], facts }
}

#[test]
fn its_jobs_are_counted_and_what_to_do_is_told() {
    let left_out = |jobs: &str, why: &str, database: &str| {
        format!(
            "left out, the extension pg_cron with {jobs}: {why}; to have jobs run here, after the switch run \
             CREATE EXTENSION pg_cron in {database}, and there cron.schedule_in_database for each"
        )
    };
    let only =
        |database: &str| format!("the server takes it only in {database}, and its jobs run there at once");
    let some = "the database of cron.database_name";
    let unset = "the server has not loaded it (shared_preload_libraries)";
    for (jobs, number, expected) in [
        (Jobs::None, 2, None),
        (Jobs::LeftOut(is("Shop")), 1, Some(left_out("1 job", &only("the database \"Shop\""), "\"Shop\""))),
        (Jobs::LeftOut(Setting::Unset), 0, Some(left_out("0 jobs", unset, some))),
        (Jobs::LeftOut(Setting::Hidden), 2, Some(left_out("2 jobs", &only(some), some))),
    ] {
        assert_eq!(jobs.note(&entry(number)), expected, "{jobs:?} {number}");
    }
}

#[test]
fn neither_the_extension_nor_its_tables_are_missed_where_they_are_left_out() {
    let incoming = entry(2);
    for (jobs, extensions, tables) in [(Jobs::None, 2, 3), (Jobs::LeftOut(Setting::Unset), 1, 1)] {
        let expected = jobs.expected(&incoming);
        assert_eq!(expected.facts.tables.as_ref().map_or(0, Vec::len), tables, "{jobs:?}");
        assert_eq!(jobs.needed(&incoming.facts.extensions).len(), extensions, "{jobs:?}");
    }
}

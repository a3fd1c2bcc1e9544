//! The database that PostgreSQL's own regression suite leaves, against what `psql` and `pg_restore` make of
//! the same dumps. `tests/soak/regression.sh` makes the dumps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::parts::postgres::{Postgres, SUPERUSER, canonical_text, own_postgres};

use super::fidelity::{by_client, content};
use super::restores::{Backup, restore, settings};

/// The folder of the dumps.
const FOLDER: &str = "REINSTATE_SOAK_REGRESSION";
/// The server and the clients that the suite is of.
const MAJOR: u16 = 15;
/// Lines of a difference that are shown.
const SHOWN: usize = 200;

/// A database as the suite's is.
fn empty(server: &Postgres, name: &str) {
    let sql = format!("create database {name} template template0 encoding 'SQL_ASCII' locale 'C'");
    server.sql("postgres", &sql);
}

/// How often each line stands in a text.
fn lines(text: &str) -> BTreeMap<&str, i64> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        *all.entry(line).or_default() += 1;
    }
    all
}

/// Lines that stand in `expected` more often than in `found`.
fn missing(expected: &str, found: &str) -> Vec<String> {
    let found = lines(found);
    let lines = lines(expected).into_iter();
    lines
        .filter(|(line, times)| found.get(line).unwrap_or(&0) < times)
        .map(|(line, _)| line.chars().take(300).collect())
        .collect()
}

/// Access methods of tables are left out, as docs/postgresql.md says; an empty line follows each.
fn is_left_out(line: &str) -> bool {
    line.is_empty() || line.starts_with("SET default_table_access_method = ")
}

#[test]
#[ignore = "tests/soak/regression.sh makes the dumps"]
fn the_database_of_the_regression_suite_is_restored_no_worse_than_by_the_clients() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap_or_else(|| panic!("{FOLDER} is set")));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let server = own_postgres(MAJOR, &[]);
    server.sql("postgres", &String::from_utf8(read("roles.sql")).unwrap());
    let source = canonical_text(&String::from_utf8_lossy(&read("source.sql")));
    for name in ["regression.sql", "regression.dump"] {
        let bytes = read(name);
        let (ours, theirs) = (format!("ours_{}", &name[11..]), format!("theirs_{}", &name[11..]));
        empty(&server, &ours);
        let mut settings = settings(&server, SUPERUSER, &ours);
        settings.all_statements = true;
        let done = restore(settings, &Backup::new(bytes.clone()))
            .unwrap_or_else(|fault| panic!("{name}: {}", fault.full_message()));
        empty(&server, &theirs);
        let theirs = by_client(&server, MAJOR, &theirs, &bytes).unwrap();
        let ours = content(&server, &ours);
        let (lost, lost_by_them) = (missing(&source, &ours), missing(&source, &theirs));
        println!(
            "{name}: {} tables; of {} lines of the source's dump {} differ, and {} where the client restores; notes: {:#?}",
            done.verified.tables.len(),
            source.lines().count(),
            lost.len(),
            lost_by_them.len(),
            done.verified.checks,
        );
        let unexpected = |lines: Vec<String>| {
            lines.into_iter().filter(|line| !is_left_out(line)).take(SHOWN).collect::<Vec<_>>()
        };
        let (worse, strange) = (unexpected(missing(&theirs, &ours)), unexpected(missing(&ours, &theirs)));
        assert!(worse.is_empty() && strange.is_empty(), "{name}: lost {worse:#?}\nstrange {strange:#?}");
    }
}

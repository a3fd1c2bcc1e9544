//! Restores of a database that uses everything: its dump is the dump of the source, and the database is
//! the one that `psql` and `pg_restore` make of the same backup.

use std::fmt::Write as _;

use crate::parts::postgres::{CLIENTS, CREATOR, Postgres, SUPERUSER, canonical_text, postgres};

use super::restores::{Backup, difference, fresh, restore, settings};

/// How a dump is made.
struct Form {
    arguments: &'static [&'static str],
    /// The first client that knows the arguments.
    since: u16,
    /// Whether `psql` or `pg_restore` restores it without an error into a database that is there already.
    by_clients: bool,
    /// Rows go in through the roots of partitions, which is refused where a part of them is a foreign table.
    by_roots: bool,
}

const fn form(arguments: &'static [&'static str]) -> Form {
    Form { arguments, since: 0, by_clients: true, by_roots: false }
}

/// The first two are what everybody uses.
const FORMS: [Form; 14] = [
    form(&[]),
    form(&["--format=custom"]),
    form(&["--inserts"]),
    form(&["--column-inserts", "--rows-per-insert=7", "--on-conflict-do-nothing"]),
    form(&["--quote-all-identifiers", "--disable-dollar-quoting"]),
    Form { by_roots: true, ..form(&["--load-via-partition-root", "--enable-row-security"]) },
    Form { by_roots: true, ..form(&["--load-via-partition-root", "--format=custom"]) },
    Form { by_clients: false, ..form(&["--clean", "--if-exists", "--no-publications", "--no-owner"]) },
    Form { by_clients: false, ..form(&["--create"]) },
    form(&["--format=custom", "--compress=0"]),
    form(&["--format=custom", "--compress=9", "--quote-all-identifiers"]),
    form(&["--format=custom", "--inserts", "--rows-per-insert=50"]),
    Form { since: 18, ..form(&["--statistics"]) },
    Form { since: 18, ..form(&["--statistics", "--format=custom"]) },
];

/// Files of the source that everybody may make, and those that need a superuser.
fn parts(major: u16) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut weak, mut strong) = (vec!["types", "tables", "code", "names", "since15"], vec!["superuser"]);
    if major >= 18 {
        weak.push("since18");
    }
    // Debian's build has contrib and XML; those of 16 and 18 that are tested have not.
    if major == 15 {
        weak.push("extensions");
        strong.push("extensions_superuser");
    }
    (weak, strong)
}

fn script(names: &[&str]) -> String {
    let folder = crate::support::fixtures().join("postgres/everything");
    names.iter().fold(String::new(), |mut all, name| {
        let text = std::fs::read_to_string(folder.join(name).with_extension("sql")).unwrap();
        writeln!(all, "{text}").unwrap();
        all
    })
}

/// A database of everything that this server takes; without `strong`, of what its creator may make.
pub(super) fn source(server: &Postgres, strong: bool) -> String {
    let database = server.database();
    server.sql("postgres", &format!("alter database {database} owner to {CREATOR}"));
    let (weak_parts, strong_parts) = parts(server.major);
    let mut text = format!("SET SESSION AUTHORIZATION {CREATOR};\n{}", script(&weak_parts));
    if strong {
        write!(text, "RESET SESSION AUTHORIZATION;\n{}", script(&strong_parts)).unwrap();
    }
    server.sql(&database, &text);
    database
}

/// All of a database but owners and rights, which a restore leaves out.
pub(super) fn content(server: &Postgres, database: &str) -> String {
    let client = CLIENTS.into_iter().find(|client| *client >= server.major).unwrap();
    let dump = server.dump(client, database, &["--no-owner", "--no-privileges"]);
    canonical_text(&String::from_utf8_lossy(&dump))
}

/// Every form that every client writes of this server, restored here by us and by the client.
fn round_trip(major: u16, user: &str) {
    let server = postgres(major);
    let source = source(server, user == SUPERUSER);
    let expected = content(server, &source);
    assert!(expected.lines().count() > 5000 && expected.contains("view\n\\connect evil"));
    let mut failures = Vec::new();
    for client in CLIENTS.into_iter().filter(|client| *client >= major) {
        for (number, form) in FORMS.iter().enumerate() {
            let strong = user == SUPERUSER;
            // What everybody uses is tested with all clients, the rest with the server's own alone.
            let (own, everywhere) = (client == major, strong && number < 2);
            let wanted = everywhere || (own && (number < 2 || strong != form.by_roots));
            if client < form.since || !wanted {
                continue;
            }
            let bytes = server.dump(client, &source, form.arguments);
            let what = format!("client {client} of server {major} {:?} by {user}", form.arguments);
            let expected = without(form, &expected);
            let mut compare =
                |who: &str, found: Result<String, String>| match found.map(|it| without(form, &it)) {
                    Ok(found) if found == expected => {}
                    Ok(found) => failures.push(format!("{what}, {who}:\n{}", difference(&expected, &found))),
                    Err(error) => failures.push(format!("{what}, {who}: {error}")),
                };
            compare("restored here", by_us(server, user, bytes.clone()));
            if form.by_clients && own && (strong || form.by_roots) {
                compare("by the client", by_client(server, client, &server.database(), &bytes));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The backup as this user restores it.
fn by_us(server: &Postgres, user: &str, bytes: Vec<u8>) -> Result<String, String> {
    let target = fresh(&format!("everything_{user}"));
    restore(settings(server, user, &target), &Backup::new(bytes)).map_err(|fault| fault.full_message())?;
    let found = content(server, &target);
    server.sql("postgres", &format!("drop database {target}"));
    Ok(found)
}

/// The same backup as `psql` or `pg_restore` restores it into an empty database, by the superuser.
pub(super) fn by_client(
    server: &Postgres,
    client: u16,
    database: &str,
    bytes: &[u8],
) -> Result<String, String> {
    let output = if bytes.starts_with(b"PGDMP") {
        server.restore(client, database, bytes, &["--exit-on-error"])
    } else {
        server.run_script(client, database, &["-v", "ON_ERROR_STOP=1"], bytes)
    };
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let found = content(server, database);
    server.sql("postgres", &format!("drop database {database}"));
    Ok(found)
}

/// The text without what the form does not keep.
fn without(form: &Form, text: &str) -> String {
    if form.arguments.contains(&"--no-publications") {
        return text.split("\n--\n-- Name: ").filter(|part| !part.contains("PUBLICATION")).collect();
    }
    if form.arguments.iter().any(|argument| argument.ends_with("inserts")) {
        // It is written without quotes there, and so is the integer that has no sign.
        return text.replace("\t-0\t-0\t", "\t0\t0\t");
    }
    text.to_owned()
}

#[test]
fn a_database_of_everything_comes_back_from_every_dump_of_15() {
    round_trip(15, SUPERUSER);
}

#[test]
fn a_database_of_everything_comes_back_from_every_dump_of_16() {
    round_trip(16, SUPERUSER);
}

#[test]
fn a_database_of_everything_comes_back_from_every_dump_of_18() {
    round_trip(18, SUPERUSER);
}

#[test]
fn who_may_create_databases_restores_all_that_such_a_user_can_make() {
    for major in [15, 16, 18] {
        round_trip(major, CREATOR);
    }
}

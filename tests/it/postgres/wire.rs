//! The client of PostgreSQL's wire protocol against real servers, and against listeners that lie.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::engine::postgres::wire::{
    ClientCertificate, Connection, Endpoint, Login, Timeouts, Tls, TlsMode, Transaction, WireError,
};
use reinstate::runner::fault::Stage;
use reinstate::secret::Secret;

use crate::parts::minio::make_ca;
use crate::parts::postgres::{
    CERTIFIED, CLEARTEXT, CREATOR, MAJORS, MD5, PASSWORD, PLAIN, Postgres, SUPERUSER, TRUSTED, own_postgres,
    postgres,
};
use crate::parts::toxiproxy::FaultyLink;
use crate::parts::wait_until;

fn endpoint(server: &Postgres) -> Endpoint {
    let tls = Tls {
        mode: if server.ca.is_some() { TlsMode::VerifyFull } else { TlsMode::Disable },
        ca_pem: server.ca.clone(),
        client: None,
    };
    Endpoint { host: "localhost".to_owned(), port: server.port, tls, timeouts: Timeouts::default() }
}

fn login(user: &str, database: &str) -> Login {
    Login {
        user: user.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        database: database.to_owned(),
        options: Vec::new(),
    }
}

fn open(server: &Postgres, database: &str) -> Connection {
    open_with(server, database, &Cancel::never())
}

fn open_with(server: &Postgres, database: &str, cancel: &Cancel) -> Connection {
    Connection::open(&endpoint(server), &login(SUPERUSER, database), cancel).unwrap()
}

fn one(connection: &mut Connection, sql: &str) -> String {
    let rows = connection.ask(sql, &[]).unwrap();
    rows[0].text(0).unwrap().to_owned()
}

/// The reason that an error has for people, with all its words, in which no password may stand.
fn judged(error: WireError) -> (Reason, String) {
    let fault = error.fault(Stage::Preflight, Reason::RestoreFailed, "failed to log in");
    let words = format!("{} {fault:?}", fault.full_message());
    assert!(!words.contains(PASSWORD), "{words}");
    (fault.reason, words)
}

#[test]
fn a_session_tells_what_it_is_and_answers_questions_on_every_version() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, "postgres");
        let version = connection.parameter("server_version").unwrap();
        assert_eq!(version.split('.').next(), Some(major.to_string().as_str()), "{version}");
        assert_eq!(connection.parameter("client_encoding"), Some("UTF8"));
        assert_eq!(connection.parameter("standard_conforming_strings"), Some("on"));
        assert_eq!(connection.transaction(), Transaction::Idle);
        let rows = connection
            .ask(
                "select pg_backend_pid(), current_setting('application_name'), $1::int + 1, $2::text, 'ä€'",
                &[Some("41"), None],
            )
            .unwrap();
        let [row] = rows.as_slice() else { panic!("{major}: {rows:?}") };
        assert_eq!(row.text(0).unwrap(), connection.process().to_string(), "{major}");
        assert_eq!((row.text(1), row.text(2), row.text(3)), (Some("reinstate"), Some("42"), None), "{major}");
        assert_eq!(row.text(4), Some("ä€"), "{major}");
        let encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let expected = if server.ca.is_some() { "t" } else { "f" };
        assert_eq!(one(&mut connection, encrypted), expected, "{major}");
        assert!(connection.ask("select 1 where false", &[]).unwrap().is_empty(), "{major}");
    }
}

#[test]
fn a_login_that_is_refused_has_its_reason_and_shows_no_password() {
    for major in MAJORS {
        let server = postgres(major);
        let with = |change: fn(&mut Login)| {
            let mut login = login(CREATOR, "postgres");
            change(&mut login);
            Connection::open(&endpoint(server), &login, &Cancel::never()).map(drop)
        };
        with(|_| ()).unwrap();
        for (change, reason, says) in [
            (
                (|login| login.password = Secret::new("wrong".to_owned())) as fn(&mut Login),
                Reason::TargetAccessDenied,
                "28P01",
            ),
            (
                |login| login.password = Secret::new(String::new()),
                Reason::TargetAccessDenied,
                "none was given",
            ),
            (|login| login.user = "nobody-of-that-name".to_owned(), Reason::TargetAccessDenied, "28P01"),
            (|login| login.database = "no such database".to_owned(), Reason::TargetNotFound, "3D000"),
            (
                |login| login.options.push(("client_encoding".into(), "KLINGON".into())),
                Reason::RestoreFailed,
                "KLINGON",
            ),
        ] {
            let (found, words) = judged(with(change).unwrap_err());
            assert_eq!(found, reason, "{major}: {words}");
            assert!(words.contains(says), "{major}: {words}");
        }
    }
}

#[test]
fn every_way_of_login_works_or_says_why_not() {
    for major in MAJORS {
        let server = postgres(major);
        let open = |endpoint: &Endpoint, user: &str| {
            Connection::open(endpoint, &login(user, "postgres"), &Cancel::never())
        };
        for user in [MD5, TRUSTED] {
            let mut connection = open(&endpoint(server), user).unwrap();
            assert_eq!(one(&mut connection, "select current_user"), user, "{major}");
        }
        let plain = Endpoint { tls: Tls { mode: TlsMode::Disable, ..Tls::default() }, ..endpoint(server) };
        let (reason, words) = judged(open(&plain, CLEARTEXT).unwrap_err());
        assert_eq!(reason, Reason::TargetAccessDenied, "{major}");
        assert!(words.contains("without TLS"), "{major}: {words}");
        if server.ca.is_none() {
            continue;
        }
        open(&endpoint(server), CLEARTEXT).unwrap();
        let (reason, words) = judged(open(&endpoint(server), CERTIFIED).unwrap_err());
        assert_eq!(reason, Reason::TargetAccessDenied, "{major}: {words}");
        let (certificate_pem, key_pem) = server.client_certificate(CERTIFIED);
        let mut certified = endpoint(server);
        certified.tls.client = Some(ClientCertificate { certificate_pem, key_pem: Secret::new(key_pem) });
        let mut connection = open(&certified, CERTIFIED).unwrap();
        assert_eq!(one(&mut connection, "select current_user"), CERTIFIED, "{major}");
    }
}

#[test]
fn tls_is_as_strict_as_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = make_ca(folder.path());
    for major in [10, 12, 15] {
        let server = postgres(major);
        let own = server.ca.clone();
        for (mode, host, ca, expected) in [
            (TlsMode::VerifyFull, "localhost", own.clone(), Ok("t")),
            (TlsMode::VerifyFull, "127.0.0.1", own.clone(), Ok("t")),
            (TlsMode::VerifyFull, "127.0.0.2", own.clone(), Err("another host name")),
            (TlsMode::VerifyFull, "localhost", Some(stranger.clone()), Err("not signed by a trusted CA")),
            (TlsMode::VerifyCa, "127.0.0.2", own.clone(), Ok("t")),
            (TlsMode::VerifyCa, "localhost", Some(stranger.clone()), Err("not signed by a trusted CA")),
            (TlsMode::Require, "127.0.0.2", Some(stranger.clone()), Ok("t")),
            (TlsMode::Disable, "127.0.0.2", None, Ok("f")),
        ] {
            let tls = Tls { mode, ca_pem: ca, client: None };
            let endpoint = Endpoint { host: host.to_owned(), tls, ..endpoint(server) };
            let opened = Connection::open(&endpoint, &login(PLAIN, "postgres"), &Cancel::never());
            let case = format!("{major} {mode:?} {host}");
            match (opened, expected) {
                (Ok(mut connection), Ok(ssl)) => {
                    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
                    assert_eq!(one(&mut connection, sql), ssl, "{case}");
                }
                (Err(error), Err(says)) => {
                    let (reason, words) = judged(error);
                    assert_eq!(reason, Reason::TargetTLSFailed, "{case}: {words}");
                    assert!(words.contains(says), "{case}: {words}");
                }
                (Ok(_), Err(says)) => panic!("{case}: opened, where {says}"),
                (Err(error), Ok(_)) => panic!("{case}: {error}"),
            }
        }
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    for major in [16, 18] {
        for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa, TlsMode::Require] {
            let server = postgres(major);
            let ca_pem = postgres(15).ca.clone();
            let endpoint = Endpoint { tls: Tls { mode, ca_pem, client: None }, ..endpoint(server) };
            let error = Connection::open(&endpoint, &login(PLAIN, "postgres"), &Cancel::never()).unwrap_err();
            let (reason, words) = judged(error);
            assert_eq!(reason, Reason::TargetTLSFailed, "{major} {mode:?}: {words}");
            assert!(words.contains("speaks no TLS"), "{major} {mode:?}: {words}");
        }
    }
}

#[test]
fn bytes_of_any_encoding_go_through_as_they_are() {
    for major in MAJORS {
        let server = postgres(major);
        let name = format!("{}_latin1", server.database());
        let create = format!(
            "create database {name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"
        );
        server.sql("postgres", &create);
        let mut latin1 = login(SUPERUSER, &name);
        latin1.options.push(("client_encoding".to_owned(), "LATIN1".to_owned()));
        let mut connection = Connection::open(&endpoint(server), &latin1, &Cancel::never()).unwrap();
        connection.run(b"create table \"stra\xdfe\" (a text)").unwrap();
        assert_eq!(
            connection.run(b"insert into \"stra\xdfe\" values ('\xe4\xf6\xfc'), ('\xa4')").unwrap(),
            2
        );
        connection.begin_copy(b"copy \"stra\xdfe\" from stdin").unwrap();
        connection.copy(b"\xe9t").unwrap();
        connection.copy(b"\xe9\n").unwrap();
        assert_eq!(connection.end_copy().unwrap(), 1);
        let mut utf8 = open(server, &name);
        let text = one(&mut utf8, "select string_agg(a, '|' order by a) from \"straße\"");
        assert_eq!(text, "¤|äöü|été", "{major}");
        let error = utf8.run(b"select '\xe4'").unwrap_err();
        assert_eq!(error.sqlstate(), Some("22021"), "{major}: {error}");
        assert_eq!(one(&mut utf8, "select 'usable'"), "usable", "{major}");
    }
}

#[test]
fn two_statements_in_one_text_are_refused_and_nothing_of_them_runs() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, &server.database());
        for text in ["create table a (); create table b ()", "create table a ();;create table b ()"] {
            let error = connection.run(text.as_bytes()).unwrap_err();
            assert_eq!(error.sqlstate(), Some("42601"), "{major}: {error}");
        }
        assert_eq!(one(&mut connection, "select count(*) from pg_class where relname in ('a', 'b')"), "0");
        // A semicolon, blanks and comments after the one statement are part of it.
        connection.run(b"-- first\ncreate table a (); -- last").unwrap();
        assert_eq!(connection.run(b"  ; ").unwrap(), 0, "{major}: an empty statement");
        let error = connection.run(b"select 1\0; drop table a").unwrap_err();
        assert!(matches!(error, WireError::Request(_)), "{major}: {error}");
        assert_eq!(one(&mut connection, "select count(*) from a"), "0");
    }
}

#[test]
fn many_statements_on_the_way_are_answered_in_order_and_the_failing_one_is_named() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, &server.database());
        connection.send(b"create table t (a int primary key)").unwrap();
        for number in 0..5000 {
            connection.send(format!("insert into t values ({number}), (-1 - {number})").as_bytes()).unwrap();
        }
        connection.send(b"select generate_series(1, 1000)").unwrap();
        let rows = connection.settle().unwrap();
        assert_eq!((rows.len(), rows[0], rows[1], rows[5001]), (5002, 0, 2, 1000), "{major}");
        assert!(connection.settle().unwrap().is_empty(), "{major}: nothing was sent");

        for number in 0..2000 {
            let value = if number == 777 { 5 } else { 100_000 + number };
            connection.send(format!("insert into t values ({value})").as_bytes()).unwrap();
        }
        let failed = connection.settle().unwrap_err();
        assert_eq!(failed.statement, 777, "{major}");
        assert_eq!(failed.error.sqlstate(), Some("23505"), "{major}: {}", failed.error);
        assert!(!failed.error.to_string().contains("(5)"), "{major}: {}", failed.error);
        assert_eq!(one(&mut connection, "select count(*) from t"), "10000", "{major}: all of it is undone");

        connection.send(b"begin").unwrap();
        connection.send(b"delete from t").unwrap();
        connection.settle().unwrap();
        assert_eq!(connection.transaction(), Transaction::Open, "{major}");
        connection.run(b"not sql").unwrap_err();
        assert_eq!(connection.transaction(), Transaction::Failed, "{major}");
        connection.run(b"rollback").unwrap();
        assert_eq!(one(&mut connection, "select count(*) from t"), "10000", "{major}");
    }
}

#[test]
fn a_constraint_that_is_checked_at_the_end_fails_the_batch() {
    let server = postgres(15);
    let mut connection = open(server, &server.database());
    connection
        .run(b"create table t (a int primary key, b int references t deferrable initially deferred)")
        .unwrap();
    connection.send(b"insert into t values (1, 2)").unwrap();
    connection.send(b"insert into t values (3, 3)").unwrap();
    let failed = connection.settle().unwrap_err();
    assert_eq!((failed.statement, failed.error.sqlstate()), (1, Some("23503")));
    assert_eq!(one(&mut connection, "select count(*) from t"), "0");
}

#[test]
fn answers_that_nobody_reads_meanwhile_do_not_hold_up_what_is_sent() {
    let server = postgres(15);
    let mut connection = open(server, &server.database());
    // Both directions are larger than all buffers between: whoever only sent would wait for ever.
    let filler = "x".repeat(2_000_000);
    let sql = format!("select repeat('y', 2000000) from generate_series(1, 2) where '{filler}' <> ''");
    for _ in 0..20 {
        connection.send(sql.as_bytes()).unwrap();
    }
    assert_eq!(connection.settle().unwrap(), [2; 20]);
}

#[test]
fn rows_go_in_by_copy_and_are_counted_by_the_server() {
    const ROWS: u64 = 100_000;
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, &server.database());
        connection.run(b"create table t (a bigint, b text)").unwrap();
        connection.begin_copy(b"copy t from stdin").unwrap();
        let mut rows = Vec::new();
        for number in 0..ROWS {
            writeln!(rows, "{number}\tvalue {number} \\N ä").unwrap();
        }
        // Cut anywhere, in the middle of characters too.
        for piece in rows.chunks(333_333) {
            connection.copy(piece).unwrap();
        }
        assert_eq!(connection.end_copy().unwrap(), ROWS, "{major}");
        let sum = one(&mut connection, "select count(*) || ' ' || sum(a) || ' ' || max(b) from t");
        assert_eq!(sum, format!("{ROWS} {} value 99999 N ä", ROWS * (ROWS - 1) / 2), "{major}");

        connection.begin_copy(b"copy t from stdin").unwrap();
        connection.copy(b"1\tgiven up\n").unwrap();
        connection.abort_copy("the run was stopped").unwrap();
        assert_eq!(one(&mut connection, "select count(*) from t"), ROWS.to_string(), "{major}");
        connection.begin_copy(b"copy t from stdin").unwrap();
        assert_eq!(connection.end_copy().unwrap(), 0, "{major}: no rows are fine");
    }
}

#[test]
fn a_copy_that_fails_says_in_which_line_and_not_with_which_data() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, &server.database());
        connection.run(b"create table t (a int, b text)").unwrap();
        // With little data the error comes at the end, with much in the middle.
        for behind in [10, 1_000_000] {
            connection.begin_copy(b"copy t from stdin").unwrap();
            let mut sent = connection.copy(b"1\tone\n2\ttwo\nx\tprivate words\n");
            for number in 0..behind {
                if sent.is_ok() {
                    sent = connection.copy(format!("{number}\tmore\n").as_bytes());
                }
            }
            let error = sent.and_then(|()| connection.end_copy()).unwrap_err();
            assert_eq!(error.sqlstate(), Some("22P02"), "{major}: {error}");
            let words = error.to_string();
            assert!(words.contains("COPY t, line 3, column a"), "{major}: {words}");
            assert!(!words.contains("private words"), "{major}: {words}");
            assert_eq!(
                one(&mut connection, "select count(*) from t"),
                "0",
                "{major}: usable, and nothing is in"
            );
        }
        for (sql, code) in
            [("copy nothing from stdin", Some("42P01")), ("copy t from stdin from", Some("42601"))]
        {
            let error = connection.begin_copy(sql.as_bytes()).unwrap_err();
            assert_eq!(error.sqlstate(), code, "{major}: {error}");
        }
        let error = connection.begin_copy(b"select 1").unwrap_err();
        assert!(matches!(error, WireError::Request(_)), "{major}: {error}");
        assert!(connection.copy(b"1\tx\n").is_err() && connection.end_copy().is_err(), "{major}");
        assert_eq!(one(&mut connection, "select 'usable'"), "usable", "{major}");
        let error = connection.run(b"copy t from stdin").unwrap_err();
        assert!(matches!(error, WireError::Request(_)), "{major}: {error}");
        assert!(connection.is_closed(), "{major}: rows were awaited of a statement");
    }
}

/// Whether a session runs a statement at the moment.
fn is_active(server: &Postgres, process: i32) -> bool {
    let sql = format!("select count(*) from pg_stat_activity where pid = {process} and state = 'active'");
    server.sql("postgres", &sql) == "1"
}

#[test]
fn the_runs_flag_ends_a_long_statement_here_and_at_the_server() {
    for major in MAJORS {
        let server = postgres(major);
        for (set, reason) in
            [(Cancel::cancel as fn(&Cancel), Reason::Interrupted), (Cancel::expire, Reason::DeadlineExceeded)]
        {
            let cancel = Cancel::never();
            let mut connection = open_with(server, "postgres", &cancel);
            let process = connection.process();
            let setter = thread::spawn(move || {
                wait_until("the statement runs", || is_active(server, process));
                set(&cancel);
                Instant::now()
            });
            let error = connection.run(b"select pg_sleep(600)").unwrap_err();
            let late = setter.join().unwrap().elapsed();
            assert_eq!(judged(error).0, reason, "{major}");
            assert!(late < Duration::from_secs(10), "{major}: {late:?}");
            wait_until("the server ends the statement", || !is_active(server, process));
            assert!(matches!(connection.run(b"select 1"), Err(WireError::Closed)), "{major}");
        }
    }
}

#[test]
fn another_thread_ends_a_long_statement_and_the_session_lives_on() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, "postgres");
        let process = connection.process();
        let canceller = connection.canceller();
        let other = thread::spawn(move || {
            wait_until("the statement runs", || is_active(server, process));
            canceller.cancel().unwrap();
        });
        let error = connection.run(b"select pg_sleep(600)").unwrap_err();
        assert_eq!(error.sqlstate(), Some("57014"), "{major}: {error}");
        other.join().unwrap();
        assert_eq!(one(&mut connection, "select 'usable'"), "usable", "{major}");
    }
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_copy_is_told_as_it_is() {
    for (major, by_kill) in [(10, true), (15, true), (18, true), (15, false)] {
        let mut server = own_postgres(major, &[]);
        let mut connection = open(&server, &server.database());
        connection.run(b"create table t (a text)").unwrap();
        connection.begin_copy(b"copy t from stdin").unwrap();
        connection.copy(&b"some row\n".repeat(100_000)).unwrap();
        if by_kill {
            server.kill();
        } else {
            server.stop();
        }
        let error = (0..10_000)
            .find_map(|_| connection.copy(&b"some row\n".repeat(100_000)).err())
            .expect("rows for nobody are not taken for ever");
        let (reason, words) = judged(error);
        assert_eq!(reason, Reason::TargetUnavailable, "{major} {by_kill}: {words}");
        assert!(connection.is_closed(), "{major} {by_kill}");
        let error = Connection::open(&endpoint(&server), &login(PLAIN, "postgres"), &Cancel::never());
        assert_eq!(judged(error.unwrap_err()).0, Reason::TargetUnavailable, "{major} {by_kill}");
    }
}

#[test]
fn a_session_that_an_administrator_ends_says_so() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, "postgres");
        let process = connection.process();
        server.sql("postgres", &format!("select pg_terminate_backend({process})"));
        wait_until("the session is over", || {
            server.sql("postgres", &format!("select count(*) from pg_stat_activity where pid = {process}"))
                == "0"
        });
        let error = connection.run(b"select 1").unwrap_err();
        assert_eq!(error.sqlstate(), Some("57P01"), "{major}: {error}");
        assert_eq!(judged(error).0, Reason::TargetUnavailable, "{major}");
        assert!(connection.is_closed(), "{major}");
    }
}

#[test]
fn notices_are_counted_and_only_the_first_kept() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, "postgres");
        let flood = "do $$ begin for i in 1..50000 loop raise notice 'number %', i; end loop;
            raise warning '%', repeat('long ', 2000000); end $$";
        connection.run(flood.as_bytes()).unwrap();
        let notices = connection.take_notices();
        assert_eq!((notices.count, notices.first.len()), (50_001, 20), "{major}");
        assert_eq!(notices.first[19].message, "number 20", "{major}");
        assert_eq!(connection.take_notices().count, 0, "{major}");
        let shout = "do $$ begin raise exception '%', repeat('long ', 2000000); end $$";
        let error = connection.run(shout.as_bytes()).unwrap_err();
        assert_eq!(error.sqlstate(), Some("P0001"), "{major}");
        assert!(error.to_string().len() < 2000, "{major}");
        assert_eq!(one(&mut connection, "select 'usable'"), "usable", "{major}");
    }
}

#[test]
fn an_answer_that_is_too_large_closes_the_session_and_not_the_runner() {
    let server = postgres(15);
    for sql in ["select repeat('x', 1000000) from generate_series(1, 200)", "select repeat('x', 20000000)"] {
        let mut connection = open(server, "postgres");
        let error = connection.ask(sql, &[]).unwrap_err();
        assert_eq!(judged(error).0, Reason::LimitExceeded, "{sql}");
        assert!(connection.is_closed());
    }
}

fn short(port: u16) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
        timeouts: Timeouts { open: Duration::from_secs(2), silence: None },
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for mode in [TlsMode::Disable, TlsMode::Require] {
        let endpoint = Endpoint { tls: Tls { mode, ..Tls::default() }, ..short(port) };
        let error = Connection::open(&endpoint, &login(PLAIN, "postgres"), &Cancel::never()).unwrap_err();
        assert!(matches!(error, WireError::TimedOut(_)), "{mode:?}: {error}");
        assert_eq!(judged(error).0, Reason::TargetUnavailable);
    }
    // A flag that is set while nothing comes is seen too.
    let cancel = Cancel::never();
    let patient = Endpoint { timeouts: Timeouts::default(), ..short(port) };
    let opener = {
        let cancel = cancel.clone();
        thread::spawn(move || Connection::open(&patient, &login(PLAIN, "postgres"), &cancel).map(drop))
    };
    // The two connections of above are in the queue before the third.
    let [_, _, mut third] = [0; 3].map(|_| listener.accept().unwrap().0);
    third.read_exact(&mut [0; 8]).unwrap();
    cancel.cancel();
    let error = opener.join().unwrap().unwrap_err();
    assert_eq!(judged(error).0, Reason::Interrupted);
}

#[test]
fn a_session_that_falls_silent_is_given_up_after_its_time() {
    let server = postgres(18);
    let link = FaultyLink::to(server.port);
    let mut endpoint = endpoint(server);
    endpoint.port = link.port;
    endpoint.timeouts.open = Duration::from_secs(2);
    let mut connection = Connection::open(&endpoint, &login(PLAIN, "postgres"), &Cancel::never()).unwrap();
    assert_eq!(one(&mut connection, "select 'speaks'"), "speaks");
    connection.set_silence(Some(Duration::from_millis(300)));
    // It works, and says so over another session.
    assert_eq!(one(&mut connection, "select 'slept' from pg_sleep(1.5)"), "slept");
    // What the server answers goes nowhere from now on.
    link.add("timeout", &serde_json::json!({"timeout": 0}));
    let error = connection.ask("select 1", &[]).unwrap_err();
    assert!(matches!(error, WireError::TimedOut(_)), "{error}");
    assert!(connection.is_closed());
}

/// A way to a server that loses what it answers to its first client, once that is `deaf`; it counts the clients.
fn lossy(server: u16, deaf: &Arc<AtomicBool>, clients: &Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (deaf, clients) = (Arc::clone(deaf), Arc::clone(clients));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let is_first = clients.fetch_add(1, Ordering::SeqCst) == 0;
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            let deaf = Arc::clone(&deaf);
            thread::spawn(move || {
                let (mut server, mut client, mut bytes) = (server, client, [0; 4096]);
                while let Ok(count @ 1..) = server.read(&mut bytes) {
                    if !(is_first && deaf.load(Ordering::SeqCst))
                        && client.write_all(&bytes[..count]).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn a_session_that_the_server_says_it_does_nothing_for_is_given_up() {
    let server = postgres(18);
    let (deaf, clients) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let mut endpoint = endpoint(server);
    endpoint.port = lossy(server.port, &deaf, &clients);
    let mut connection = Connection::open(&endpoint, &login(PLAIN, "postgres"), &Cancel::never()).unwrap();
    connection.set_silence(Some(Duration::from_millis(300)));
    assert_eq!(one(&mut connection, "select 'slept' from pg_sleep(0.5)"), "slept");
    let asked = clients.load(Ordering::SeqCst);
    assert!(asked > 1, "it was asked whether it works");
    // The answer is lost on its way, and the server waits for the next statement.
    deaf.store(true, Ordering::SeqCst);
    let error = connection.ask("select 1", &[]).unwrap_err();
    assert!(matches!(error, WireError::TimedOut(_)), "{error}");
    assert!(clients.load(Ordering::SeqCst) > asked, "it was asked once more, and told the truth");
}

/// A listener that answers each of its clients with `bytes` after their first message.
fn liar(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let bytes = bytes.clone();
            thread::spawn(move || lie(client, &bytes));
        }
    });
    port
}

fn lie(mut client: TcpStream, bytes: &[u8]) {
    let mut heard = [0; 1024];
    let _ = client.read(&mut heard);
    let _ = client.write_all(bytes);
    // Until the client has gone.
    while client.read(&mut heard).is_ok_and(|count| count > 0) {}
}

#[test]
fn a_listener_that_is_no_postgresql_gives_a_clear_error() {
    let frame = |kind: u8, body: &[u8]| {
        [&[kind], u32::try_from(body.len() + 4).unwrap().to_be_bytes().as_slice(), body].concat()
    };
    let ok = frame(b'R', &[0; 4]);
    let notices = frame(b'N', b"SNOTICE\0Mflood\0\0").repeat(200_000);
    for (name, bytes, says) in [
        ("http", b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n".to_vec(), "type H with"),
        ("mysql", b"\x4a\0\0\0\x0a5.7.44\0".to_vec(), "protocol"),
        ("huge", b"R\x7f\xff\xff\xff\0\0\0\0".to_vec(), "type R with"),
        ("negative", b"R\xff\xff\xff\xff".to_vec(), "length"),
        ("ready at once", frame(b'Z', b"I"), "let anybody in"),
        ("rows at once", [ok.clone(), frame(b'D', b"\0\0")].concat(), "before it was asked"),
        ("says nothing", Vec::new(), "in time"),
        ("notices without end", notices, "in time"),
        ("a strange method", frame(b'R', &[0, 0, 0, 99]), "number 99"),
        ("cleartext", frame(b'R', &[0, 0, 0, 3]), "without TLS"),
        (
            "echo",
            [frame(b'E', format!("SFATAL\0C28P01\0M{PASSWORD}?\0\0").as_bytes())].concat(),
            "[redacted]?",
        ),
    ] {
        let endpoint = short(liar(bytes));
        let error = Connection::open(&endpoint, &login(PLAIN, "postgres"), &Cancel::never()).unwrap_err();
        let (_, words) = judged(error);
        assert!(words.contains(says), "{name}: {words}");
    }
}

#[test]
fn rows_come_out_by_copy_in_bounded_pieces_whatever_their_length() {
    for major in MAJORS {
        let server = postgres(major);
        let mut connection = open(server, "postgres");
        let mut copied = |sql: &str| {
            let (mut text, mut longest) = (Vec::new(), 0);
            let rows = connection.copy_out(sql.as_bytes(), &mut |piece| {
                longest = longest.max(piece.len());
                text.extend_from_slice(piece);
            });
            rows.map(|rows| (rows, text, longest))
        };
        let (rows, text, _) =
            copied("copy (select g, null, e'a\\nb' from generate_series(1, 3) g) to stdout").unwrap();
        assert_eq!((rows, text), (3, b"1\t\\N\ta\\nb\n2\t\\N\ta\\nb\n3\t\\N\ta\\nb\n".to_vec()), "{major}");
        let (rows, text, longest) = copied("copy (select repeat('x', 50000000)) to stdout").unwrap();
        assert_eq!((rows, text.len()), (1, 50_000_001), "{major}");
        assert!(longest < 1_000_000, "{major}: {longest} bytes at once");
        assert_eq!(copied("copy (select 1 where false) to stdout").unwrap().0, 0, "{major}");
        // What fails on the way leaves the session as it was; what is no such COPY does not run.
        let error =
            copied("copy (select 1 / (1000 - g) from generate_series(1, 2000) g) to stdout").unwrap_err();
        assert_eq!(error.sqlstate(), Some("22012"), "{major}: {error}");
        let error = copied("copy (select 1) to stdout; select 1").unwrap_err();
        assert_eq!(error.sqlstate(), Some("42601"), "{major}: {error}");
        assert_eq!(one(&mut connection, "select 7"), "7", "{major}");
        assert_eq!(
            connection.copy_out(b"select 1", &mut |_| panic!("rows of no COPY")).unwrap(),
            1,
            "{major}"
        );
        assert_eq!(one(&mut connection, "select 8"), "8", "{major}");
    }
}

//! Encodings and locales that a server does not have are found before anything is written.

use reinstate::reason::Reason;
use reinstate::runner::engine::Action;
use reinstate::runner::fault::Stage;
use reinstate::runner::journal::Touched;

use crate::parts::postgres::{CREATOR, PLAIN, Postgres, SUPERUSER, postgres};

use super::restores::{Backup, databases, fresh, refused, restore, settings};

/// A dump that states its database with these options, and its text in `encoding`.
fn dump(options: &str, encoding: &str) -> Backup {
    let text = format!(
        "-- Dumped from database version 10.1\nSET client_encoding = '{encoding}';\nCREATE DATABASE x WITH TEMPLATE = template0 {options};\n\\connect x\n\
         CREATE TABLE public.t (a text);\nCOPY public.t (a) FROM stdin;\n1\n\\.\n"
    );
    Backup::new(text.into_bytes())
}

#[test]
fn what_the_server_lacks_is_named_before_the_first_write() {
    for (major, user, options, says) in [
        (
            15,
            CREATOR,
            "ENCODING = 'UTF8' LC_COLLATE = 'xx_XX.utf8' LC_CTYPE = 'xx_XX.utf8'",
            "does not have the locale \"xx_XX.utf8\"",
        ),
        (
            10,
            CREATOR,
            "ENCODING = 'UTF8' LC_COLLATE = 'xx_XX.utf8' LC_CTYPE = 'C'",
            "does not have the locale \"xx_XX.utf8\"",
        ),
        (
            18,
            CREATOR,
            "ENCODING = 'UTF8' LOCALE_PROVIDER = libc LC_COLLATE = 'Czech_Czechia.1250'",
            "the locale \"Czech_Czechia.1250\"",
        ),
        (
            15,
            CREATOR,
            "ENCODING = 'KLINGON' LC_COLLATE = 'C' LC_CTYPE = 'C'",
            "does not know the encoding \"KLINGON\"",
        ),
        (
            15,
            CREATOR,
            "ENCODING = 'SJIS' LC_COLLATE = 'C' LC_CTYPE = 'C'",
            "no databases of the encoding SJIS",
        ),
        (
            15,
            CREATOR,
            "ENCODING = 'LATIN1' LC_COLLATE = 'C.utf8' LC_CTYPE = 'C.utf8'",
            "makes no database of the encoding LATIN1",
        ),
        (15, CREATOR, "ENCODING = 'SQL_ASCII' LC_COLLATE = 'C.utf8' LC_CTYPE = 'C.utf8'", "only a superuser"),
        (
            15,
            CREATOR,
            "ENCODING = 'UTF8' LOCALE_PROVIDER = builtin LOCALE = 'C' BUILTIN_LOCALE = 'C.UTF-8'",
            "builtin locale \"C.UTF-8\"",
        ),
        (
            18,
            CREATOR,
            "ENCODING = 'UTF8' LOCALE_PROVIDER = builtin LOCALE = 'C' BUILTIN_LOCALE = 'C.UTF-9'",
            "builtin locale \"C.UTF-9\"",
        ),
    ] {
        let server = postgres(major);
        let target = fresh("lacking");
        let fault = refused(settings(server, user, &target), &dump(options, "UTF8"));
        let message = fault.full_message();
        assert_eq!(
            (fault.stage, fault.reason),
            (Stage::Preflight, Reason::LocaleNotAvailable),
            "{options}: {message}"
        );
        assert!(message.contains(says), "{options}: {message}");
        assert!(message.contains(&format!("create the empty database {target}")), "{message}");
        assert_eq!(databases(server, &target), Vec::<String>::new(), "{options}");
        // And it is the truth: the server itself refuses it.
        let made = format!(
            "create database {target} template template0 {}",
            options.replace("LOCALE_PROVIDER = libc", "")
        );
        let made = server.run_script(
            15,
            "postgres",
            &["-v", "ON_ERROR_STOP=1"],
            format!("set role {user}; {made}").as_bytes(),
        );
        assert!(!made.status.success(), "{options}");
    }
}

#[test]
fn what_the_server_has_is_made_as_the_dump_states_it() {
    for (major, user, options, made) in [
        (15, CREATOR, "ENCODING = 'UTF8' LC_COLLATE = 'C.utf8' LC_CTYPE = 'C.utf8'", "UTF8|C.utf8|C.utf8"),
        (15, CREATOR, "ENCODING = 'LATIN2' LC_COLLATE = 'C' LC_CTYPE = 'C'", "LATIN2|C|C"),
        (10, CREATOR, "ENCODING = 'EUC_JP' LC_COLLATE = 'C' LC_CTYPE = 'POSIX'", "EUC_JP|C|C"),
        (
            15,
            SUPERUSER,
            "ENCODING = 'SQL_ASCII' LC_COLLATE = 'C.utf8' LC_CTYPE = 'C.utf8'",
            "SQL_ASCII|C.utf8|C.utf8",
        ),
        (
            15,
            CREATOR,
            "ENCODING = 'UTF8' LOCALE_PROVIDER = icu LOCALE = 'C' ICU_LOCALE = 'de-DE'",
            "UTF8|C|C",
        ),
        (
            18,
            CREATOR,
            "ENCODING = 'UTF8' LOCALE_PROVIDER = builtin LOCALE = 'C' BUILTIN_LOCALE = 'C.UTF-8'",
            "UTF8|C|C",
        ),
    ] {
        let server = postgres(major);
        let target = fresh(&format!("having_{}", made.to_lowercase().replace(['|', '.'], "_")));
        let backup = dump(options, "UTF8");
        restore(settings(server, user, &target), &backup)
            .unwrap_or_else(|fault| panic!("{options}: {}", fault.full_message()));
        assert_eq!(shape(server, &target), made, "{options}");
        server.sql("postgres", &format!("drop database {target}"));
    }
}

fn shape(server: &Postgres, database: &str) -> String {
    let sql = format!(
        "select pg_encoding_to_char(encoding), datcollate, datctype from pg_database where datname = '{database}'"
    );
    server.sql("postgres", &sql)
}

#[test]
fn an_empty_database_of_another_locale_is_the_way_out() {
    let server = postgres(15);
    let target = fresh("way_out");
    let backup = dump("ENCODING = 'UTF8' LC_COLLATE = 'xx_XX.utf8' LC_CTYPE = 'xx_XX.utf8'", "UTF8");
    server.sql(
        "postgres",
        &format!("create database {target} owner {CREATOR} template template0 lc_collate 'C' lc_ctype 'C'"),
    );
    let done = restore(settings(server, CREATOR, &target), &backup).unwrap();
    assert_eq!(done.action, Action::Create);
    assert_eq!(shape(server, &target), "UTF8|C|C");
    assert_eq!(server.sql(&target, "select count(*) from public.t"), "1");
}

#[test]
fn text_that_may_not_fit_is_told_and_text_that_cannot_is_refused() {
    let server = postgres(15);
    for (encoding, dumped, says) in [
        (
            "LATIN1",
            "UTF8",
            Ok("the dump is in UTF8: a character that LATIN1, the database's encoding, lacks ends the load"),
        ),
        ("SQL_ASCII", "UTF8", Ok("takes its bytes as they are")),
        ("UTF8", "SQL_ASCII", Ok("a text in it that is not UTF8 ends the load")),
        ("UTF8", "WIN1252", Ok("")),
        ("UTF8", "UTF8", Ok("")),
        ("LATIN1", "EUC_KR", Err("cannot convert the dump's text from EUC_KR to LATIN1")),
        ("LATIN1", "SJIS", Err("cannot convert the dump's text from SJIS to LATIN1")),
    ] {
        let target = fresh(&format!("fits_{}_{}", encoding.to_lowercase(), dumped.to_lowercase()));
        server.sql(
            "postgres",
            &format!("create database {target} owner {PLAIN} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"),
        );
        let backup = dump("ENCODING = 'UTF8' LC_COLLATE = 'xx_XX.utf8'", dumped);
        match (says, restore(settings(server, PLAIN, &target), &backup)) {
            (Ok(says), Ok(done)) => {
                assert_eq!(done.touched, Touched::Yes, "in place");
                let of_text = done.notes.iter().filter(|note| note.starts_with("the dump is in"));
                let told = of_text.cloned().collect::<Vec<_>>().join("; ");
                assert!(
                    told.contains(says) && told.is_empty() == says.is_empty(),
                    "{encoding} {dumped}: {told}"
                );
            }
            (Err(says), Err(fault)) => {
                assert_eq!((fault.stage, fault.reason), (Stage::Preflight, Reason::UnsupportedEncoding));
                assert!(fault.message.contains(says), "{encoding} {dumped}: {}", fault.message);
                assert_eq!(server.sql(&target, "select count(*) from pg_class where relname = 't'"), "0");
            }
            (says, found) => panic!("{encoding} {dumped}: {says:?}, {:?}", found.map(|_| ())),
        }
    }
}

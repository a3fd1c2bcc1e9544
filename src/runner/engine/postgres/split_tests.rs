use super::*;

/// What a script consists of, written down.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(Vec<String>);

impl Seen {
    fn add(&mut self, what: &str, text: &[u8]) {
        self.0.push(format!("{what}{}", String::from_utf8_lossy(text)));
    }
}

impl Script for Seen {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        self.add(&format!("{}:", statement.line), statement.text);
        Ok(())
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        self.add(&format!("{}:copy:", statement.line), statement.text);
        Ok(())
    }

    fn copy_rows(&mut self, rows: crate::runner::engine::postgres::copy::Rows<'_>) -> Result<()> {
        // A piece may end within a character.
        let text: String = rows.bytes.iter().copied().map(char::from).collect();
        match self.0.last_mut().filter(|last| last.starts_with("rows:")) {
            Some(last) => last.push_str(&text),
            None => self.0.push(format!("rows:{text}")),
        }
        Ok(())
    }

    fn copy_end(&mut self, rows: u64) -> Result<()> {
        self.0.push(format!("end:{rows}"));
        Ok(())
    }

    fn connect(&mut self, name: &[u8], line: u64) -> Result<()> {
        self.add(&format!("{line}:connect:"), name);
        Ok(())
    }

    fn comment(&mut self, text: &[u8]) -> Result<()> {
        self.add("", text);
        Ok(())
    }
}

pub(super) fn split(script: &[u8], step: usize, keep: Keep) -> (Vec<String>, Result<(), Fault>) {
    let mut seen = Seen::default();
    let mut splitter = Splitter::new(keep);
    let fed = script.chunks(step.max(1)).try_for_each(|piece| splitter.feed(piece, &mut seen));
    let outcome = fed.and_then(|()| splitter.finish(&mut seen));
    (seen.0, outcome)
}

/// Splits in pieces of every length, which must all give the same.
#[track_caller]
fn check(script: &[u8], expected: &[&str]) {
    for step in 1..=script.len().max(1) {
        let (seen, outcome) = split(script, step, Keep::Whole);
        let shown = String::from_utf8_lossy(script);
        assert!(outcome.is_ok(), "{shown} by {step}: {outcome:?}");
        assert_eq!(seen, expected, "{shown} by {step}");
    }
}

#[track_caller]
fn refused(script: &[u8], reason: Reason, message: &str) {
    for step in 1..=script.len().max(1) {
        for keep in [Keep::Whole, Keep::Head] {
            let fault = split(script, step, keep).1.expect_err(&String::from_utf8_lossy(script));
            let shown = String::from_utf8_lossy(script);
            assert_eq!((fault.reason, fault.message.as_str()), (reason, message), "{shown} by {step}");
        }
    }
}

#[test]
fn statements_end_at_semicolons_outside_of_quotes_comments_and_parentheses() {
    let cases: &[(&str, &[&str])] = &[
        ("SELECT 1;", &["1:SELECT 1;"]),
        ("\n\n a;b ;\n c\n;", &["3:a;", "3:b ;", "4:c\n;"]),
        (";; a; ;", &["1:a;"]),
        ("a '; '' ;' ; b;", &["1:a '; '' ;' ;", "1:b;"]),
        ("a '\\'; b;", &["1:a '\\';", "1:b;"]),
        ("a E'\\'; b;' ;", &["1:a E'\\'; b;' ;"]),
        ("a e'\\\\'; b;", &["1:a e'\\\\';", "1:b;"]),
        ("a E'x''\\';' ; b;", &["1:a E'x''\\';' ;", "1:b;"]),
        ("a fe'\\'; b;", &["1:a fe'\\';", "1:b;"]),
        ("a 1e'\\'; b;", &["1:a 1e'\\';", "1:b;"]),
        ("a N'\\'; b;", &["1:a N'\\';", "1:b;"]),
        ("a B'01''\\'; b;", &["1:a B'01''\\';", "1:b;"]),
        ("a U&'\\'; b;", &["1:a U&'\\';", "1:b;"]),
        ("a U&\"x;\" ; u & 'y;' ; u&1;", &["1:a U&\"x;\" ;", "1:u & 'y;' ;", "1:u&1;"]),
        ("a \"; \"\" ' ;\" ; b;", &["1:a \"; \"\" ' ;\" ;", "1:b;"]),
        ("a $$ ; ' $x$ $$ ; b;", &["1:a $$ ; ' $x$ $$ ;", "1:b;"]),
        ("a $f$ $$ ; $f $f$; b;", &["1:a $f$ $$ ; $f $f$;", "1:b;"]),
        ("a $f$ $g$f$; b;", &["1:a $f$ $g$f$;", "1:b;"]),
        ("a $é1$ ; $é1$; b;", &["1:a $é1$ ; $é1$;", "1:b;"]),
        ("a x$$ ; b $1$2 ; $1$$;$$;", &["1:a x$$ ;", "1:b $1$2 ;", "1:$1$$;$$;"]),
        ("a $e'\\';' ; b;", &["1:a $e'\\';' ;", "1:b;"]),
        ("a /* ; /* ; */ ; */ ; b;", &["1:a /* ; /* ; */ ; */ ;", "1:b;"]),
        ("a /*/ ; */ ; b /**/ ; c;", &["1:a /*/ ; */ ;", "1:b /**/ ;", "1:c;"]),
        ("a +/* ; */ -- ; \n; b;", &["1:a +/* ; */ -- ; \n;", "2:b;"]),
        ("a -- ;\r; b - - c;", &["1:a -- ;\r;", "1:b - - c;"]),
        ("a (b; (c;) d;) ; e;", &["1:a (b; (c;) d;) ;", "1:e;"]),
        ("a ) ; (b);", &["1:a ) ;", "1:(b);"]),
        ("-a; /b; - -c;", &["1:-a;", "1:/b;", "1:- -c;"]),
        ("\u{feff}a;", &["1:a;"]),
        ("/* only; comments */ -- here;", &["-- here;"]),
        ("-- one\n--two\r\n/* x */ a;\n--", &["-- one", "--two", "3:a;", "--"]),
    ];
    for (script, expected) in cases {
        check(script.as_bytes(), expected);
    }
}

#[test]
fn bodies_of_routines_are_one_statement() {
    for body in [
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN b END; END;",
        "create or replace procedure p() language sql begin /* ; */ atomic select 1; end;",
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT (CASE a WHEN 1 THEN 2 END); SELECT \"end\"; END;",
    ] {
        let script = format!("{body} b;");
        check(script.as_bytes(), &[&format!("1:{body}"), "1:b;"]);
    }
    // A routine, a column or a label of that name begins no body.
    check(b"CREATE FUNCTION begin(a int) AS 'x'; b;", &["1:CREATE FUNCTION begin(a int) AS 'x';", "1:b;"]);
    check(b"BEGIN; END; BEGIN ATOMIC; c;", &["1:BEGIN;", "1:END;", "1:BEGIN ATOMIC;", "1:c;"]);
    check(b"CREATE TABLE a.begin atomic; c;", &["1:CREATE TABLE a.begin atomic;", "1:c;"]);
}

#[test]
fn settings_change_how_quotes_are_read() {
    check(
        b"SET standard_conforming_strings = off;\na '\\';'; n'\\';';\nset standard_conforming_strings to 'on'; b '\\'; c;",
        &[
            "1:SET standard_conforming_strings = off;",
            "2:a '\\';';",
            "2:n'\\';';",
            "3:set standard_conforming_strings to 'on';",
            "3:b '\\';",
            "3:c;",
        ],
    );
    // 0x815C is one character in SJIS, whose second byte looks like a backslash.
    check(
        b"SET client_encoding = 'SJIS'; SET standard_conforming_strings = off; a '\x81\x5c'; b;\nc;",
        &[
            "1:SET client_encoding = 'SJIS';",
            "1:SET standard_conforming_strings = off;",
            "1:a '\u{fffd}\\';",
            "1:b;",
            "2:c;",
        ],
    );
    refused(
        b"a;\nSET client_encoding = 'KLINGON';",
        Reason::UnsupportedEncoding,
        "line 2 of the dump has the client encoding \"KLINGON\", which PostgreSQL does not have",
    );
}

#[test]
fn copy_data_follow_their_statement() {
    check(
        b"COPY public.t (a) FROM stdin;\n1;\n'\n\\.\nb;",
        &["1:copy:COPY public.t (a) FROM stdin;", "rows:1;\n'\n", "end:2", "5:b;"],
    );
    check(
        b"copy \"from\" from STDIN ; \r\n\\.\r\nb;",
        &["1:copy:copy \"from\" from STDIN ;", "end:0", "3:b;"],
    );
    check(b"COPY t TO stdout; COPY t FROM 'f'; b;", &["1:COPY t TO stdout;", "1:COPY t FROM 'f';", "1:b;"]);
    check(b"SELECT a FROM stdin; b;", &["1:SELECT a FROM stdin;", "1:b;"]);
    check(b"COPY (SELECT a FROM stdin) TO x; b;", &["1:COPY (SELECT a FROM stdin) TO x;", "1:b;"]);
}

#[test]
fn meta_commands_of_dump_tools_are_followed() {
    check(
        b"\\restrict aB1\na;\n\\unrestrict aB1\n\\encoding SQL_ASCII\n\\connect -reuse-previous=on \"dbname='x y'\"\n\\restrict c\nb;\n\\unrestrict c",
        &["2:a;", "5:connect:x y", "7:b;"],
    );
}

#[test]
fn what_no_dump_tool_writes_is_refused_with_its_line() {
    let cases: &[(&[u8], &str)] = &[
        (b"a;\n\\! id\n", "line 2 of the dump is the psql command \\!, which no dump tool writes there"),
        (b"\\i x\n", "line 1 of the dump is the psql command \\i, which no dump tool writes there"),
        (
            b"a \\gexec\n",
            "line 1 of the dump holds a backslash within a statement, which no dump tool writes",
        ),
        (
            b"\\restrict a\n\\connect b\n",
            "line 2 of the dump is a psql command behind \\restrict, which no dump tool writes there",
        ),
        (
            b"\\restrict a\n\\unrestrict b\n",
            "line 2 of the dump is an \\unrestrict without its \\restrict, which no dump tool writes there",
        ),
        (
            b"\n\\unrestrict `id`\n",
            "line 2 of the dump is an \\unrestrict without its token, which no dump tool writes there",
        ),
        (
            b"COPY t FROM stdin WITH CSV;\n",
            "line 1 of the dump begins a COPY from the script with options that no dump tool writes",
        ),
        (
            b"COPY t FROM stdin;b;\n",
            "line 1 of the dump goes on behind a COPY from the script, which no dump tool writes",
        ),
        (
            b"SET standard_conforming_strings = maybe;",
            "line 1 of the dump has standard_conforming_strings set to neither on nor off",
        ),
    ];
    for (script, message) in cases {
        refused(script, Reason::UnsafeContent, message);
    }
    refused(
        b"a;\nb\0;",
        Reason::CorruptBackup,
        "line 2 of the dump holds a NUL byte, which no dump tool writes",
    );
    // Behind one among rows, and not in the next line.
    refused(
        b"SET client_encoding = 'SJIS';\nCOPY t FROM stdin;\na\0\n\\.\nb;\nc\0;",
        Reason::CorruptBackup,
        "line 6 of the dump holds a NUL byte, which no dump tool writes",
    );
    let long = format!("SET {}client_encoding = 'SJIS';", " ".repeat(5000));
    let fault = split(long.as_bytes(), 100, Keep::Head).1.unwrap_err();
    assert_eq!(fault.reason, Reason::UnsafeContent);
    let tag = format!("a ${}$", "x".repeat(5000));
    assert_eq!(split(tag.as_bytes(), 100, Keep::Head).1.unwrap_err().reason, Reason::UnsafeContent);
}

#[test]
fn a_cut_script_names_the_line_where_it_was() {
    let cases: &[(&[u8], &str)] = &[
        (b"a;\nb", "the dump ends inside the statement that begins in line 2"),
        (b"a;\nb (;\n", "the dump ends inside the statement that begins in line 2"),
        (b"a\n'x\n\n", "the dump ends inside a string that opens in line 2"),
        (b"a\nE'x\\", "the dump ends inside a string that opens in line 2"),
        (b"a\n\"x;", "the dump ends inside a quoted name that opens in line 2"),
        (b"a\n\n$x$ ;", "the dump ends inside a dollar-quoted string that opens in line 3"),
        (b"a;\n/* x\n /*\n*/", "the dump ends inside a comment that opens in line 2"),
        (b"a;\nCOPY t FROM stdin;\n1\n2\n", "the dump ends inside the COPY data that begin after line 2"),
        (b"COPY t FROM stdin;", "the dump ends inside the COPY data that begin after line 1"),
        (b"\\restrict a\nb;", "the dump ends without the \\unrestrict for line 1"),
    ];
    for (script, message) in cases {
        refused(script, Reason::Truncated, message);
    }
}

#[test]
fn heads_are_kept_and_all_else_is_the_same() {
    struct Heads(Vec<(usize, u64, bool, u64)>);
    impl Script for Heads {
        fn statement(&mut self, found: Statement<'_>) -> Result<()> {
            self.0.push((found.text.len(), found.bytes, found.cut, found.rows));
            Ok(())
        }
        fn copy_begin(&mut self, _: Statement<'_>) -> Result<()> {
            Ok(())
        }
        fn copy_rows(&mut self, _: crate::runner::engine::postgres::copy::Rows<'_>) -> Result<()> {
            Ok(())
        }
        fn copy_end(&mut self, _: u64) -> Result<()> {
            Ok(())
        }
        fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
            Ok(())
        }
    }
    let script = format!("INSERT INTO t VALUES ('{}'), (2);", "x".repeat(10_000));
    let bytes = script.len() as u64;
    for (keep, expected) in
        [(Keep::Head, (HEAD_BYTES, bytes, true, 2)), (Keep::Whole, (script.len(), bytes, false, 2))]
    {
        let mut heads = Heads(Vec::new());
        crate::runner::engine::postgres::script::read_script(&mut script.as_bytes(), keep, &mut heads)
            .unwrap();
        assert_eq!(heads.0, [expected]);
    }
}

#[test]
fn rows_of_inserts_are_counted() {
    struct Rows(Vec<(u64, bool)>);
    impl Script for Rows {
        fn statement(&mut self, found: Statement<'_>) -> Result<()> {
            self.0.push((found.rows, found.partitioned));
            Ok(())
        }
        fn copy_begin(&mut self, _: Statement<'_>) -> Result<()> {
            Ok(())
        }
        fn copy_rows(&mut self, _: crate::runner::engine::postgres::copy::Rows<'_>) -> Result<()> {
            Ok(())
        }
        fn copy_end(&mut self, _: u64) -> Result<()> {
            Ok(())
        }
        fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
            Ok(())
        }
    }
    for (script, expected) in [
        ("INSERT INTO t VALUES (1, (2), '(3)');", (1, false)),
        ("INSERT INTO t (a, b) VALUES (1, 2), (3, f(4, 5)) ,\n\t(6, 7);", (3, false)),
        ("INSERT INTO t DEFAULT VALUES;", (1, false)),
        ("INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1) ON CONFLICT (a) DO NOTHING;", (1, false)),
        ("INSERT INTO t SELECT 1;", (0, false)),
        ("SELECT (1), (2);", (0, false)),
        ("CREATE TABLE t (a int)\nPARTITION BY RANGE (a);", (0, true)),
        ("CREATE UNLOGGED TABLE t (a int) PARTITION BY LIST (a);", (0, true)),
        ("CREATE TABLE t PARTITION OF p DEFAULT;", (0, false)),
        ("CREATE VIEW v AS SELECT rank() OVER (PARTITION BY a);", (0, false)),
    ] {
        let mut rows = Rows(Vec::new());
        crate::runner::engine::postgres::script::read_script(&mut script.as_bytes(), Keep::Head, &mut rows)
            .unwrap();
        assert_eq!(rows.0, [expected], "{script}");
    }
}

use super::super::script::{CopyPlace, Keep, Script, Statement};
use super::*;

/// Where COPY data are, and the lines of all statements.
#[derive(Default)]
struct Places {
    found: Vec<CopyPlace>,
    lines: Vec<(u64, String)>,
    rows: Vec<u8>,
}

impl Script for Places {
    fn statement(&mut self, statement: Statement<'_>) -> Result<()> {
        self.lines.push((statement.line, String::from_utf8_lossy(statement.text).into_owned()));
        Ok(())
    }

    fn copy_begin(&mut self, statement: Statement<'_>) -> Result<()> {
        self.statement(statement)
    }

    fn copy_rows(&mut self, rows: super::super::copy::Rows<'_>) -> Result<()> {
        self.rows.extend_from_slice(rows.bytes);
        Ok(())
    }

    fn copy_place(&mut self, place: CopyPlace) -> Result<()> {
        self.found.push(place);
        Ok(())
    }

    fn copy_end(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn connect(&mut self, _: &[u8], _: u64) -> Result<()> {
        Ok(())
    }
}

const SCRIPT: &str = "\u{feff}-- head\nSELECT 1;\nCOPY a FROM stdin; \r\n1\n\\N\n2\n\\.\nSELECT 2;\n\n\
                      COPY b FROM stdin;\n\\.\nCOPY c FROM stdin;\nx\\\ny\n\\.\r\nSELECT\n 3;\n";

#[test]
fn rows_are_where_they_were_found_and_what_follows_them_is_the_same_without_them() {
    for step in 1..=SCRIPT.len() {
        let mut whole = Places::default();
        let mut splitter = Splitter::new(Keep::Whole);
        SCRIPT.as_bytes().chunks(step).for_each(|piece| splitter.feed(piece, &mut whole).unwrap());
        splitter.finish(&mut whole).unwrap();
        let at = |byte: u64| usize::try_from(byte).unwrap();
        let rows: Vec<&str> =
            whole.found.iter().map(|place| &SCRIPT[at(place.range.start)..at(place.range.end)]).collect();
        assert_eq!(rows, ["1\n\\N\n2\n", "", "x\\\ny\n"], "by {step}");
        assert_eq!(rows.concat().as_bytes(), whole.rows);

        // Each of them is passed or not.
        for passed in 0..1 << whole.found.len() {
            let (mut around, mut splitter) = (Places::default(), Splitter::new(Keep::Whole));
            let mut begin = 0;
            for (number, place) in whole.found.iter().enumerate().filter(|(at, _)| passed >> at & 1 == 1) {
                let piece = &SCRIPT.as_bytes()[begin..at(place.range.start)];
                piece.chunks(step).for_each(|piece| splitter.feed(piece, &mut around).unwrap());
                splitter.skip_copy(place).unwrap_or_else(|fault| panic!("{number}: {}", fault.message));
                begin = at(place.end);
            }
            splitter.feed(&SCRIPT.as_bytes()[begin..], &mut around).unwrap();
            splitter.finish(&mut around).unwrap();
            assert_eq!(around.lines, whole.lines, "{passed:b} by {step}");
        }
    }
}

#[test]
fn rows_are_passed_only_from_their_first_byte() {
    let place = |start: u64| CopyPlace { range: start..start + 4, end: start + 7, lines: 2 };
    for (fed, start, passes) in [
        ("COPY a FROM stdin;\n", 19, true),
        ("COPY a FROM stdin;\n", 20, false),
        ("COPY a FROM stdin;", 18, false),
        ("COPY a FROM stdin;\n1", 20, false),
        ("SELECT 1;\n", 10, false),
        ("COPY a FROM stdin;\n\\.\n", 22, false),
    ] {
        let mut splitter = Splitter::new(Keep::Whole);
        splitter.feed(fed.as_bytes(), &mut Places::default()).unwrap();
        assert_eq!(splitter.skip_copy(&place(start)).is_ok(), passes, "{fed:?} {start}");
    }
}

//! The same in other forms, damaged statements, and any words at all.

use proptest::prelude::*;

use super::case_tests::{OTHER, real};
use super::hostile_tests::HOSTILE;
use super::lexer::{Lexer, Token};
use super::tests::brief;
use super::*;

/// The same statement with blanks and comments before and between its tokens, and words in another
/// case.
fn disguised(text: &str) -> Vec<u8> {
    let mut lexer = Lexer::new(text.as_bytes(), true);
    let mut all = b"-- a 'comment\n/* and /* another */ */\t".to_vec();
    let mut before = text.len();
    loop {
        let token = lexer.next();
        let rest = lexer.rest().len();
        let piece = &text.as_bytes()[text.len() - before..text.len() - rest];
        match token {
            Token::End => return all,
            Token::Broken => {
                all.extend(&text.as_bytes()[text.len() - before..]);
                return all;
            }
            Token::Word(_) => all.extend(piece.to_ascii_uppercase()),
            Token::Punct(_) => all.extend(piece),
            _ => all.extend([piece, b" /* ' */\n"].concat()),
        }
        before = rest;
    }
}

#[test]
fn case_comments_and_blanks_change_nothing() {
    for (text, expected) in real().into_iter().chain(OTHER) {
        let text = disguised(text);
        let told = brief(&judge(&text, &Options::new(18)));
        assert_eq!(told, *expected, "{}", String::from_utf8_lossy(&text));
    }
    for text in HOSTILE {
        let text = disguised(text);
        let judged = judge(&text, &Options::new(18));
        assert!(!matches!(judged, Judged::Send(_)), "{}: {judged:?}", String::from_utf8_lossy(&text));
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(text in proptest::collection::vec(any::<u8>(), 0..200), conforming: bool) {
        let options = Options { standard_conforming_strings: conforming, ..Options::new(18) };
        judge(&text, &options);
    }

    #[test]
    fn a_damaged_statement_gets_an_answer(
        index in 0..real().len(),
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..4),
        cut: bool,
    ) {
        let mut text = real()[index].0.as_bytes().to_vec();
        let at = at.index(text.len() + 1);
        let end = if cut { text.len() } else { at };
        text.splice(at..end, bytes);
        judge(&text, &Options::new(18));
    }

    #[test]
    fn any_words_of_statements_are_sent_only_in_a_known_form(
        words in proptest::collection::vec(prop::sample::select(WORDS), 1..12),
    ) {
        let text = words.join(" ");
        let judged = judge(text.as_bytes(), &Options::new(18));
        let known = ["CREATE", "ALTER", "SET", "COPY t FROM stdin", "GRANT", "REVOKE", "COMMENT", "BEGIN", "COMMIT"];
        if matches!(judged, Judged::Send(_)) {
            // A comment before it is none of it.
            let text = words.iter().skip_while(|word| **word == "--\n").copied().collect::<Vec<_>>().join(" ");
            prop_assert!(known.iter().any(|start| text.starts_with(start)), "{}", text);
            prop_assert!(!text.contains("PROGRAM"), "{}", text);
        }
    }
}

const WORDS: &[&str] = &[
    "CREATE",
    "ALTER",
    "COPY",
    "t",
    "FROM",
    "stdin",
    "PROGRAM",
    "'x'",
    "TABLE",
    "(",
    ")",
    "a",
    ",",
    "GRANT",
    "ON",
    "TO",
    "REVOKE",
    "COMMENT",
    "IS",
    "BEGIN",
    "COMMIT",
    "SET",
    "=",
    "OWNER",
    "SELECT",
    "AS",
    "DO",
    "$$x$$",
    ";",
    "FUNCTION",
    "LANGUAGE",
    "sql",
    "c",
    "INDEX",
    "USING",
    "btree",
    "DROP",
    "pg_catalog",
    ".",
    "setval",
    "1",
    "--\n",
];

//! Scripts made up of known parts, and any bytes, however they are cut.

use proptest::prelude::*;

use super::tests::split;
use super::*;

/// Parts of statements that hold no end of one, whatever stands around them.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_$]{0,8}",
        "[0-9]{1,5}",
        "[+*<>=~!@#%^&|?.:]",
        "'([a-z; \\\\\n\"$/*-]|'')*'",
        "E'([a-z; \n\"$/*-]|''|\\\\[a-z'\\\\])*'",
        "\"([a-z; \n'$/*-]|\"\"){1,8}\"",
        "\\$\\$[a-z; \n'\"/*-]*\\$\\$",
        "\\$t\\$[a-s; \n'\"/*$-]*[a-s]\\$t\\$",
        "/\\*[a-z; \n'\"$-]*(/\\*[a-z;']*\\*/)?[a-z; ]*\\*/",
        "--[a-z; '\"$/*-]*\n",
        "\\([a-z; ]*(\\([a-z;]*\\))?[a-z; ]*\\)",
        Just("\n".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn scripts_of_known_statements_are_split_into_them(
        statements in prop::collection::vec(prop::collection::vec(part(), 0..8), 1..8),
        step in 1..60_usize,
    ) {
        let mut script = String::new();
        let (mut expected, mut line) = (Vec::new(), 1);
        for parts in &statements {
            // Begins with a word, so that a part in front is no comment between statements.
            let text = format!("x {};", parts.join(" "));
            expected.push(format!("{line}:{text}"));
            line += 1 + text.matches('\n').count();
            script.push_str(&text);
            script.push('\n');
        }
        let (seen, outcome) = split(script.as_bytes(), step, Keep::Whole);
        prop_assert!(outcome.is_ok(), "{script}: {outcome:?}");
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn any_bytes_split_the_same_however_they_are_cut(
        pieces in prop::collection::vec(
            prop_oneof![
                part().prop_map(String::into_bytes),
                prop::sample::select(vec![
                    &b"COPY t FROM stdin;\n"[..], b"\\.\n", b"\\restrict a\n", b"\\unrestrict a\n", b";", b"\n", b"(", b"'",
                    b"\\connect a\n", b"SET client_encoding = 'SJIS';\n", b"\x95", b"-", b"/", b"$", b"\"", b"\\",
                    b"SET standard_conforming_strings = off;\n", b"CREATE FUNCTION f() BEGIN ATOMIC ", b" END ",
                ]).prop_map(<[u8]>::to_vec),
                prop::collection::vec(any::<u8>(), 0..4),
            ],
            0..20,
        ),
        step in 1..30_usize,
    ) {
        let script = pieces.concat();
        let whole = split(&script, script.len(), Keep::Whole);
        let cut = split(&script, step, Keep::Whole);
        prop_assert_eq!(&whole.0, &cut.0);
        prop_assert_eq!(whole.1.map_err(|fault| fault.message), cut.1.map_err(|fault| fault.message));
    }
}

use super::*;

fn sum_of(text: &[u8], step: usize) -> RowSum {
    let mut hasher = RowHasher::default();
    text.chunks(step.max(1)).for_each(|piece| hasher.feed(piece));
    assert!(hasher.open.is_empty(), "every row ends");
    hasher.sum()
}

fn text_of(rows: &[Vec<u8>]) -> Vec<u8> {
    rows.iter().flat_map(|row| [row.as_slice(), b"\n"].concat()).collect()
}

#[test]
fn a_sum_is_the_hashes_of_the_rows_added_up() {
    let first = |row: &[u8]| u128::from_be_bytes(*digest(&SHA256, row).as_ref().first_chunk().unwrap());
    let sum = sum_of(b"1\ta\n2\tb\n\n", 100);
    let expected = first(b"1\ta").wrapping_add(first(b"2\tb")).wrapping_add(first(b""));
    assert_eq!(sum, RowSum { sum: expected, rows: 3 });
    assert_eq!(sum.short().len(), 8);
    assert_eq!(sum_of(b"", 1), RowSum::default());
}

#[test]
fn doubled_rows_do_not_hide_each_other() {
    let sums = [&b"x\n"[..], b"x\nx\n", b"x\nx\nx\n", b"y\ny\n"].map(|text| sum_of(text, 9).sum);
    for (at, sum) in sums.iter().enumerate() {
        assert!(!sums[at + 1..].contains(sum), "{at}");
    }
}

#[test]
fn one_moment_is_the_same_in_every_zone_and_no_other() {
    for (one, other, same) in [
        ("2026-11-29 17:30:00+00", "2026-11-29 18:30:00+01", true),
        ("2026-11-29 17:30:00.123456+00", "2026-11-29 23:00:00.123456+05:30", true),
        ("2026-01-01 00:30:00+01", "2025-12-31 23:30:00+00", true),
        ("2024-03-01 00:00:00+02", "2024-02-29 22:00:00+00", true),
        ("1890-01-01 00:57:44+00:57:44", "1890-01-01 00:00:00+00", true),
        ("0001-01-01 00:30:00+01", "0001-12-31 23:30:00+00 BC", true),
        ("12026-05-06 00:00:00-03", "12026-05-06 03:00:00+00", true),
        ("9999-12-31 23:59:59-05", "10000-01-01 04:59:59+00", true),
        ("9999-12-31 23:59:59-05", "20000-01-01 04:59:59+00", false),
        ("294275-12-31 23:00:00-02", "294276-01-01 01:00:00+00", true),
        ("{\"2026-11-29 17:30:00+00\"}", "{\"2026-11-29 19:30:00+02\"}", true),
        ("2026-11-29 17:30:00+00", "2026-11-29 17:30:00+01", false),
        ("2026-11-29 17:30:00.1+00", "2026-11-29 18:30:00.2+01", false),
        ("2026-11-29 17:30:00", "2026-11-29 18:30:00", false),
        ("2026-11-29 17:30:00+00", "2026-11-29 17:30:00-00", false),
        ("2026-13-29 17:30:00+00", "2026-13-29 18:30:00+01", false),
        ("2026-11-29T17:30:00+00", "2026-11-29T18:30:00+01", false),
    ] {
        let sums = [one, other].map(|text| sum_of(format!("1\t{text}\tx\n").as_bytes(), 100).sum);
        assert_eq!(sums[0] == sums[1], same, "{one} {other}");
    }
}

#[test]
fn days_are_counted_as_jiff_counts_them() {
    let start = jiff::civil::date(1970, 1, 1);
    for (year, month, day) in
        [(1970, 1, 1), (2000, 2, 29), (1900, 3, 1), (2026, 11, 29), (1, 1, 1), (0, 12, 31), (9999, 12, 31)]
    {
        let date = jiff::civil::date(year, month, day);
        let expected = i64::from((date - start).get_days());
        assert_eq!(days(year.into(), month.into(), day.into()), expected, "{date}");
    }
}

#[test]
fn a_long_row_is_hashed_in_bounded_memory_and_as_one_that_came_whole() {
    // Moments at every distance from where the row is cut.
    let row: Vec<u8> =
        (0..150_000).flat_map(|at| format!("{at} 2026-11-29 17:30:00+01,").into_bytes()).collect();
    let text = [row.as_slice(), b"\n"].concat();
    assert!(text.len() > 4 * OPEN_LIMIT_BYTES);
    let mut expected = Vec::new();
    in_utc(&row, true, &mut |part| expected.extend_from_slice(part));
    let expected = RowSum {
        sum: u128::from_be_bytes(*digest(&SHA256, &expected).as_ref().first_chunk().unwrap()),
        rows: 1,
    };
    for step in [4099, OPEN_LIMIT_BYTES - 1, OPEN_LIMIT_BYTES + 1, text.len()] {
        let mut hasher = RowHasher::default();
        for piece in text.chunks(step) {
            hasher.feed(piece);
            assert!(hasher.open.capacity() <= 4 * OPEN_LIMIT_BYTES, "{step}");
        }
        assert_eq!(hasher.sum(), expected, "{step}");
    }
}

#[test]
fn lines_of_another_system_are_noticed() {
    for (text, expected) in [("a\r\nb\r\n", true), ("a\nb\\r\n", false), ("\r\n", true), ("\n", false)] {
        for step in 1..4 {
            let mut hasher = RowHasher::default();
            text.as_bytes().chunks(step).for_each(|piece| hasher.feed(piece));
            assert_eq!(hasher.has_carriage_returns(), expected, "{text:?} by {step}");
        }
    }
}

mod any_rows {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Rows of letters, tabs, backslashes, and moments.
    fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let part = prop_oneof![
            3 => "[a-c0-9\\\\\t:+ .-]{0,8}".prop_map(String::into_bytes),
            1 => "20[0-9]{2}-0[1-9]-[0-2][0-9] [01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?[+-][01][0-9](:30)?"
                .prop_map(String::into_bytes),
        ];
        vec(vec(part, 0..4).prop_map(|parts| parts.concat()), 1..20)
    }

    proptest! {
        #[test]
        fn neither_order_nor_cuts_matter(rows in rows(), step in 1_usize..50, turn in 0_usize..20) {
            let expected = sum_of(&text_of(&rows), usize::MAX);
            let mut others = rows.clone();
            others.rotate_left(turn % rows.len());
            others.reverse();
            prop_assert_eq!(sum_of(&text_of(&others), step), expected);
            // In two blocks, too.
            let (one, other) = rows.split_at(turn % rows.len());
            prop_assert_eq!(sum_of(&text_of(one), step).with(sum_of(&text_of(other), step)), expected);
        }

        #[test]
        fn every_changed_byte_and_every_lost_or_doubled_row_gives_another(
            rows in rows(), at in any::<prop::sample::Index>(), byte in 1_u8..=255,
        ) {
            let text = text_of(&rows);
            let expected = sum_of(&text, usize::MAX);
            let mut changed = text.clone();
            let place = at.index(changed.len());
            changed[place] ^= byte;
            if changed.ends_with(b"\n") {
                prop_assert_ne!(sum_of(&changed, 7), expected, "{}", changed.escape_ascii());
            }
            let row = at.index(rows.len());
            let mut fewer = rows.clone();
            let lost = fewer.remove(row);
            prop_assert_ne!(sum_of(&text_of(&fewer), 7), expected);
            let mut more = rows.clone();
            more.push(lost);
            prop_assert_ne!(sum_of(&text_of(&more), 7), expected);
        }
    }
}

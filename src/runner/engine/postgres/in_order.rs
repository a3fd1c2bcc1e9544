//! Tables whose rows are of use in the order of the dump: those with a `BRIN` index, which knows ranges
//! of pages, and those that `CLUSTER` sorts.

use memchr::memmem::find;

use super::names::Name;
use super::statement::{Change, Judged, Options, Step, judge};

/// Whether a text can hold a statement that [`table`] knows; most do not, and are not read for it.
pub(super) fn may_say(text: &[u8]) -> bool {
    find(text, b"USING brin ").is_some() || find(text, b" CLUSTER ON ").is_some()
}

/// The table that a statement says this of.
pub(super) fn table(statement: &[u8]) -> Option<Name> {
    if !may_say(statement) {
        return None;
    }
    match judge(statement, &Options::new(u16::MAX)) {
        Judged::Send(
            Step::Index { table, in_order: true, .. } | Step::AlterTable { table, change: Change::ClusterOn },
        ) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brin_index_and_a_clustered_table_ask_for_the_order() {
        for (statement, expected) in [
            ("CREATE INDEX i ON ONLY s.t USING brin (at);", Some(Name::qualified("s", "t"))),
            ("ALTER TABLE s.t CLUSTER ON t_pkey;", Some(Name::qualified("s", "t"))),
            ("CREATE INDEX i ON s.t USING btree (at);", None),
            ("CREATE INDEX i ON s.t USING btree (at) WHERE (a = ' USING brin (');", None),
            ("ALTER TABLE s.t REPLICA IDENTITY USING INDEX i;", None),
        ] {
            assert_eq!(table(statement.as_bytes()), expected, "{statement}");
        }
    }
}

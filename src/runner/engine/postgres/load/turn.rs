//! When a statement may run: the order of the dump, but for what is known not to need it.
//!
//! Pure. Whatever is not of a kind named here keeps its place: it waits for all before it, and all
//! behind it wait for it.

use crate::runner::engine::postgres::names::Name;
use crate::runner::engine::postgres::statement::{Change, KeyKind, Object, Step};

/// When a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// In its place in the dump.
    InOrder,
    /// In order with others of its kind and those in order, but no matter what the lanes do: nothing
    /// of theirs has to do with it.
    Beside,
    /// Any time behind its place: nothing depends on it.
    Later,
    /// On any lane, beside others of its class.
    Task(Class, Scope),
}

/// Tasks of one class run side by side; those of another wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Indexes, and keys with their indexes.
    Index,
    /// Foreign keys, which need the keys: those of their own tables, or where one of these has parts, all.
    ForeignKey,
}

/// Which data a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of its table.
    Table,
    /// All: it may call functions of the dump, which may read any table.
    All,
}

/// How a statement holds a table while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    /// Rows are written.
    Rows,
    /// Rows are read and must not be written (`SHARE`): several indexes are built at once.
    Share,
    /// A foreign key is added (`SHARE ROW EXCLUSIVE`), of which each is alone.
    Bind,
    /// Statistics are collected (`SHARE UPDATE EXCLUSIVE`).
    Study,
    /// Rows are read (`ACCESS SHARE`).
    Read,
    /// Alone.
    Alone,
}

impl Hold {
    pub(super) const ALL: [Self; 6] =
        [Self::Rows, Self::Share, Self::Bind, Self::Study, Self::Read, Self::Alone];

    /// Whether two statements that hold the same table may run at once.
    pub(super) const fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Rows, Self::Rows) | (Self::Share, Self::Share) => true,
            (Self::Read, with) | (with, Self::Read) => !matches!(with, Self::Rows | Self::Alone),
            _ => false,
        }
    }

    /// Whether it may run before one that came earlier and waits: none of both changes what the other meets.
    pub(super) const fn overtakes(self, earlier: Self) -> bool {
        let is_free = matches!((self, earlier), (Self::Bind | Self::Study, Self::Bind | Self::Study));
        is_free || self.goes_with(earlier)
    }
}

/// When a statement runs.
pub(super) fn turn(step: &Step) -> Turn {
    match step {
        Step::Index { plain, .. } => Turn::Task(Class::Index, if *plain { Scope::Table } else { Scope::All }),
        Step::Key { kind, .. } => {
            let scope = if *kind == KeyKind::Exclude { Scope::All } else { Scope::Table };
            Turn::Task(Class::Index, scope)
        }
        Step::ForeignKey { .. } => Turn::Task(Class::ForeignKey, Scope::All),
        Step::SequenceValue { .. } | Step::LargeObject(_) | Step::Begin | Step::Commit => Turn::Beside,
        Step::Comment { .. }
        | Step::AlterTable { change: Change::ClusterOn | Change::ReplicaIdentity, .. }
        | Step::Alter { object: Object::Index, .. } => Turn::Later,
        _ => Turn::InOrder,
    }
}

/// The tables that a task holds, and how.
pub(super) fn holds(step: &Step) -> Vec<(&Name, Hold)> {
    match step {
        Step::Index { table, .. } => vec![(table, Hold::Share)],
        Step::Key { table, .. } => vec![(table, Hold::Alone)],
        Step::ForeignKey { table, references, .. } => vec![(table, Hold::Bind), (references, Hold::Bind)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_shared_as_far_as_the_locks_of_the_server_allow() {
        for (one, other, together) in [
            (Hold::Rows, Hold::Rows, true),
            (Hold::Share, Hold::Share, true),
            (Hold::Rows, Hold::Share, false),
            (Hold::Share, Hold::Rows, false),
            (Hold::Alone, Hold::Alone, false),
            (Hold::Alone, Hold::Share, false),
            (Hold::Rows, Hold::Alone, false),
            (Hold::Bind, Hold::Bind, false),
            (Hold::Bind, Hold::Share, false),
            (Hold::Bind, Hold::Rows, false),
            (Hold::Study, Hold::Study, false),
            (Hold::Study, Hold::Bind, false),
            (Hold::Study, Hold::Share, false),
            (Hold::Read, Hold::Read, true),
            (Hold::Read, Hold::Share, true),
            (Hold::Read, Hold::Bind, true),
            (Hold::Read, Hold::Study, true),
            // Rows are counted when all are in.
            (Hold::Read, Hold::Rows, false),
            (Hold::Read, Hold::Alone, false),
        ] {
            assert_eq!([one.goes_with(other), other.goes_with(one)], [together; 2], "{one:?} {other:?}");
        }
    }

    #[test]
    fn foreign_keys_and_statistics_come_in_any_order_and_nothing_else_does() {
        let either = |hold| matches!(hold, Hold::Bind | Hold::Study);
        for one in Hold::ALL {
            for other in Hold::ALL {
                let expected = one.goes_with(other) || either(one) && either(other);
                assert_eq!(one.overtakes(other), expected, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_is_not_known_keeps_its_place() {
        let table = || Name::qualified("s", "t");
        let other = Name::qualified("s", "o");
        let key = |kind| Step::Key { name: b"k".to_vec(), table: table(), kind };
        let index = |plain| Step::Index { name: b"i".to_vec(), table: table(), plain, in_order: false };
        for (step, expected) in [
            (index(true), Turn::Task(Class::Index, Scope::Table)),
            (index(false), Turn::Task(Class::Index, Scope::All)),
            (key(KeyKind::Primary), Turn::Task(Class::Index, Scope::Table)),
            (key(KeyKind::Exclude), Turn::Task(Class::Index, Scope::All)),
            (
                Step::ForeignKey { name: b"f".to_vec(), table: table(), references: other },
                Turn::Task(Class::ForeignKey, Scope::All),
            ),
            (Step::SequenceValue { sequence: table() }, Turn::Beside),
            (Step::Comment { object: Object::Index }, Turn::Later),
            (Step::Trigger { table: table() }, Turn::InOrder),
            (Step::AlterTable { table: table(), change: Change::Constraint }, Turn::InOrder),
            (Step::Refresh { view: table() }, Turn::InOrder),
            (Step::AttachIndex { index: table(), part: table() }, Turn::InOrder),
        ] {
            assert_eq!(turn(&step), expected, "{step:?}");
        }
    }
}

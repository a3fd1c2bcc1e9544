//! Objects by kind: how many a load has made, and how many the loaded database holds.
//!
//! Every statement that makes one was answered by the server; this asks whether what they have made is
//! there. The database may hold more of a kind, which others bring along: sequences of identity columns,
//! foreign keys and triggers of partitions, what an administrator has prepared.

use std::collections::BTreeMap;

use super::server::Session;
use super::statement::{LargeObject, Object, Step};
use crate::reason::Reason;
use crate::report::grouped;
use crate::runner::fault::{Fault, Result, Stage};

macro_rules! kinds {
    ($($kind:ident $one:literal $many:literal $sql:literal;)*) => {
        /// A kind of object that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind {
            $($kind,)*
        }

        /// Each with its word for one and for several, and the question for their number.
        const KINDS: &[(Kind, &str, &str, &str)] = &[$((Kind::$kind, $one, $many, $sql),)*];
    };
}

// Object ids from 16384 on are not the server's own (`FirstNormalObjectId`).
kinds! {
    View "view" "views" "pg_catalog.pg_class WHERE relkind = 'v' AND oid >= 16384";
    MaterializedView "materialised view" "materialised views" "pg_catalog.pg_class WHERE relkind = 'm'";
    Sequence "sequence" "sequences" "pg_catalog.pg_class WHERE relkind = 'S'";
    Routine "function" "functions" "pg_catalog.pg_proc WHERE oid >= 16384";
    Index "index" "indexes" "pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid = indrelid \
        WHERE c.oid >= 16384 AND relkind <> 't' AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint \
        WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))";
    Key "key" "keys" "pg_catalog.pg_constraint WHERE contype IN ('p', 'u', 'x') AND conrelid >= 16384";
    ForeignKey "foreign key" "foreign keys" "pg_catalog.pg_constraint WHERE contype = 'f'";
    Trigger "trigger" "triggers" "pg_catalog.pg_trigger WHERE NOT tgisinternal";
    Rule "rule" "rules" "pg_catalog.pg_rewrite WHERE rulename <> '_RETURN' AND ev_class >= 16384";
    Policy "policy" "policies" "pg_catalog.pg_policy";
    LargeObject "large object" "large objects" "pg_catalog.pg_largeobject_metadata";
    Comment "comment" "comments" "pg_catalog.pg_description \
        WHERE objoid >= 16384 OR classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass";
}

/// How many objects there are of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    counts: BTreeMap<Kind, u64>,
    /// What the counts are of cannot be told: a statement may have made or dropped anything.
    strange: bool,
}

/// The kind that a statement makes one more of.
fn made(step: &Step, text: &[u8]) -> Option<Kind> {
    match step {
        // What replaces another one is none more.
        Step::Create { .. } if text.starts_with(b"CREATE OR REPLACE") => None,
        Step::Create { object: Object::View, .. } => Some(Kind::View),
        Step::Create { object: Object::MaterializedView, .. } => Some(Kind::MaterializedView),
        Step::Create { object: Object::Sequence, .. } => Some(Kind::Sequence),
        Step::Create { object: Object::Aggregate, .. } | Step::Routine { .. } => Some(Kind::Routine),
        Step::Index { .. } => Some(Kind::Index),
        Step::Key { .. } => Some(Kind::Key),
        Step::ForeignKey { .. } => Some(Kind::ForeignKey),
        Step::Trigger { .. } => Some(Kind::Trigger),
        // Before version 10 it made the table a view.
        Step::Rule { .. } if memchr::memmem::find(text, b"_RETURN").is_some() => None,
        Step::Rule { .. } => Some(Kind::Rule),
        Step::Policy { .. } => Some(Kind::Policy),
        Step::LargeObject(LargeObject::Create(_) | LargeObject::CreateAndOpen(_)) => Some(Kind::LargeObject),
        // They may be the server's own, as `public` is; those on subscriptions are in a list of the server's.
        Step::Comment { object: Object::Schema | Object::Extension | Object::Subscription } => None,
        Step::Comment { .. } => Some(Kind::Comment),
        _ => None,
    }
}

impl Census {
    /// A statement is sent.
    pub(super) fn add(&mut self, step: &Step, text: &[u8]) {
        self.strange |= *step == Step::Other;
        if let Some(kind) = made(step, text) {
            *self.counts.entry(kind).or_default() += 1;
        }
    }

    /// A statement that was sent has made nothing.
    pub(super) fn take_back(&mut self, step: &Step, text: &[u8]) {
        if let Some(count) = made(step, text).and_then(|kind| self.counts.get_mut(&kind)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Takes in what another part of the same dump has made.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.strange |= other.strange;
        for (kind, count) in &other.counts {
            *self.counts.entry(*kind).or_default() += count;
        }
    }

    /// What is there as in the dump, in words; a fault where less is there.
    fn compare(&self, found: &BTreeMap<Kind, u64>) -> Result<Option<String>> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for (kind, one, many, _) in KINDS {
            let count = self.counts.get(kind).copied().unwrap_or_default();
            let found = found.get(kind).copied().unwrap_or_default();
            let words = format!("{} {}", grouped(count), if count == 1 { one } else { many });
            if found < count {
                missing.push(format!("{words} in the backup, {} in the database", grouped(found)));
            } else if count > 0 {
                there.push(words);
            }
        }
        if missing.is_empty() {
            return Ok(
                (!there.is_empty()).then(|| format!("{} are there, as in the backup", there.join(", ")))
            );
        }
        let message = format!("objects are missing: {}", missing.join("; "));
        Err(Fault::new(Stage::Verify, Reason::VerificationFailed, message))
    }
}

/// Holds the loaded database against what its load has made; gives back what to tell.
pub(super) fn check(session: &mut Session, made: &Census) -> Result<Option<String>> {
    if made.strange || made.counts.is_empty() {
        return Ok(None);
    }
    let each = KINDS.iter().map(|(.., from)| format!("(SELECT count(*) FROM {from})"));
    let sql = format!("SELECT {}", each.collect::<Vec<_>>().join(", "));
    let row = session.row("count what was made", &sql, &[])?;
    let number = |index: usize| row.text(index).and_then(|text| text.parse().ok()).unwrap_or_default();
    made.compare(&KINDS.iter().enumerate().map(|(index, (kind, ..))| (*kind, number(index))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::engine::postgres::statement::{Judged, Options, judge};

    fn census(statements: &[&str]) -> Census {
        let mut census = Census::default();
        for text in statements {
            let Judged::Send(step) = judge(text.as_bytes(), &Options::new(15)) else { panic!("{text}") };
            census.add(&step, text.as_bytes());
        }
        census
    }

    #[test]
    fn what_is_missing_is_named_and_what_others_bring_along_is_no_difference() {
        let made = census(&[
            "CREATE VIEW public.v AS SELECT 1 AS a",
            "CREATE OR REPLACE VIEW public.v AS SELECT t.a FROM public.t",
            "CREATE INDEX i ON public.t USING btree (a)",
            "CREATE INDEX j ON public.t USING btree (b)",
            "COMMENT ON VIEW public.v IS 'x'",
        ]);
        let found = |views, indexes| {
            BTreeMap::from([(Kind::View, views), (Kind::Index, indexes), (Kind::Comment, 9)])
        };
        let told = made.compare(&found(1, 5)).unwrap().unwrap();
        assert_eq!(told, "1 view, 2 indexes, 1 comment are there, as in the backup");
        let fault = made.compare(&found(0, 1)).unwrap_err();
        assert_eq!(
            (fault.reason, fault.message.as_str()),
            (
                Reason::VerificationFailed,
                "objects are missing: 1 view in the backup, 0 in the database; 2 indexes in the backup, 1 in the database"
            )
        );
        assert_eq!(Census::default().compare(&BTreeMap::new()).unwrap(), None);
    }
}

//! Which optional parts of a dump are restored, and which roles of the server stand for the dump's.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::Part;

/// Optional parts of a dump, and the names of roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// What is left out.
    pub left_out: BTreeSet<Part>,
    /// What names a role that the server does not have is left out; else the run ends before it writes.
    pub skips_missing: bool,
    /// Roles of the dump that have another name at the server.
    pub map: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Default for Parts {
    /// Comments and publications; everything belongs to the login.
    fn default() -> Self {
        let left_out =
            [Part::Owners, Part::Grants, Part::SecurityLabels, Part::Subscriptions, Part::Tablespaces];
        Self { left_out: BTreeSet::from(left_out), skips_missing: false, map: BTreeMap::new() }
    }
}

impl Parts {
    /// Whether a part is restored.
    pub fn has(&self, part: Part) -> bool {
        !self.left_out.contains(&part)
    }

    /// The name at the server of a role of the dump.
    pub fn role<'r>(&'r self, name: &'r [u8]) -> &'r [u8] {
        self.map.get(name).map_or(name, Vec::as_slice)
    }
}

//! The keys at hand and the order in which they are tried.
//!
//! Which key fits is the cipher's word alone. This module only says which one is most likely:
//! the named profile, then the one whose id the backup states, then all others.

use crate::runner::cipher::{AesKey, AgeKey};

/// Material of one key.
#[derive(Clone)]
pub enum Key {
    /// For DBackup's AES-256-GCM.
    Aes(AesKey),
    /// For age files.
    Age(AgeKey),
}

/// One key with the names it goes by.
#[derive(Clone)]
pub struct Candidate {
    /// The encryption profile (or key file) it comes from.
    pub profile: String,
    /// The id under which backups know it.
    pub id: Option<String>,
    /// The key.
    pub key: Key,
}

/// All keys of a run.
#[derive(Clone, Default)]
pub struct KeyRing {
    candidates: Vec<Candidate>,
    named: Option<String>,
}

impl KeyRing {
    /// A ring of `candidates`; `named` is the profile that the request names.
    pub fn new(candidates: Vec<Candidate>, named: Option<String>) -> Self {
        Self { candidates, named }
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The profile that the request names.
    pub fn named(&self) -> Option<&str> {
        self.named.as_deref()
    }

    /// The AES keys in the order to try, each key once; `id` is what the backup states.
    pub fn aes(&self, id: Option<&str>) -> Vec<(&Candidate, &AesKey)> {
        let mut ordered: Vec<(&Candidate, &AesKey)> = Vec::new();
        for rank in 0..=Self::UNLIKELY {
            for candidate in self.candidates.iter().filter(|candidate| self.rank(candidate, id) == rank) {
                let Key::Aes(key) = &candidate.key else { continue };
                if !ordered.iter().any(|(_, other)| other.expose() == key.expose()) {
                    ordered.push((candidate, key));
                }
            }
        }
        ordered
    }

    /// The age keys in the order to try.
    pub fn age(&self) -> Vec<(&Candidate, &AgeKey)> {
        let mut ordered: Vec<&Candidate> = self.candidates.iter().collect();
        ordered.sort_by_key(|candidate| self.rank(candidate, None));
        let age = |candidate: &&_| matches!(candidate, Candidate { key: Key::Age(_), .. });
        ordered.retain(age);
        ordered
            .into_iter()
            .filter_map(|candidate| match &candidate.key {
                Key::Age(key) => Some((candidate, key)),
                Key::Aes(_) => None,
            })
            .collect()
    }

    /// Rank of a key that nothing speaks for.
    const UNLIKELY: u8 = 3;

    fn rank(&self, candidate: &Candidate, id: Option<&str>) -> u8 {
        let named = self.named.as_deref() == Some(candidate.profile.as_str());
        let stated = id.is_some() && candidate.id.as_deref() == id;
        match (named, stated) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => Self::UNLIKELY,
        }
    }

    /// Whether one AES key is likelier than all others.
    pub fn has_favourite(&self, id: Option<&str>) -> bool {
        let ranks: Vec<u8> = self.aes(id).iter().map(|(candidate, _)| self.rank(candidate, id)).collect();
        match ranks.as_slice() {
            [_] => true,
            [first, second, ..] => first < second,
            [] => false,
        }
    }

    /// Whether `candidate` was neither named by the request nor by the backup.
    pub fn is_discovered(&self, candidate: &Candidate, id: Option<&str>) -> bool {
        self.rank(candidate, id) == Self::UNLIKELY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn candidate(profile: &str, id: Option<&str>, byte: u8) -> Candidate {
        Candidate { profile: profile.into(), id: id.map(Into::into), key: Key::Aes(Secret::new([byte; 32])) }
    }

    #[test]
    fn the_named_profile_goes_first_then_the_stated_id_then_the_rest_each_key_once() {
        let all = vec![
            candidate("spare", None, 1),
            candidate("same-key", Some("other"), 3),
            candidate("stated", Some("id-7"), 2),
            candidate("named", None, 3),
        ];
        let ring = KeyRing::new(all, Some("named".into()));
        let order: Vec<_> = ring.aes(Some("id-7")).iter().map(|(c, _)| c.profile.clone()).collect();
        assert_eq!(order, ["named", "stated", "spare"]);
        let discovered: Vec<_> =
            ring.aes(Some("id-7")).iter().map(|(c, _)| ring.is_discovered(c, Some("id-7"))).collect();
        assert_eq!(discovered, [false, false, true]);
    }
}

//! Names of the databases that runs make beside a target, and how to know them by name.
//!
//! `TARGET.reinstate-KIND-LABEL`, at most 63 bytes: a long target's name is cut and told apart by a
//! digest of it. Only databases of our own naming are ever dropped.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// Longest name of a database in bytes: `NAMEDATALEN` - 1.
const NAME_BYTES: usize = 63;
/// Between a target's name and what its leftover is.
const MARK: &str = ".reinstate-";
/// Hexadecimal digits that tell cut names apart.
const DIGEST_DIGITS: usize = 8;
/// The longest kind and label, for which room is kept in every name.
const LABEL_BYTES: usize = "previous-20261129T104200Z".len();
/// Form of the time in the name of a kept database: when it may go.
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// What a database beside a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// What the run of this id loads; of no use once the run is dead.
    Shadow(String),
    /// What a run has loaded and verified, and left for a person to switch to: run and digest.
    Held(String),
    /// What a run has replaced, kept until this time.
    Previous(Timestamp),
}

impl Beside {
    /// The name beside `target`.
    pub(super) fn name(&self, target: &str) -> String {
        let label = match self {
            Self::Shadow(run) => format!("shadow-{run}"),
            Self::Held(label) => format!("held-{label}"),
            Self::Previous(until) => format!("previous-{}", until.strftime(STAMP)),
        };
        format!("{}{MARK}{label}", stem(target))
    }

    /// What the database `name` is to `target`; `None`: nothing of ours.
    pub(super) fn of(target: &str, name: &str) -> Option<Self> {
        let (kind, label) = name.strip_prefix(&stem(target))?.strip_prefix(MARK)?.split_once('-')?;
        match (kind, label) {
            (_, "") => None,
            ("shadow", run) => Some(Self::Shadow(run.to_owned())),
            ("held", label) => Some(Self::Held(label.to_owned())),
            ("previous", until) => {
                let until = civil::DateTime::strptime(STAMP, until).ok()?;
                Some(Self::Previous(TimeZone::UTC.to_timestamp(until).ok()?))
            }
            _ => None,
        }
    }
}

/// The beginning of all names beside `target`.
fn stem(target: &str) -> String {
    let room = NAME_BYTES - MARK.len() - LABEL_BYTES;
    if target.len() <= room {
        return target.to_owned();
    }
    let mut end = room - 1 - DIGEST_DIGITS;
    while !target.is_char_boundary(end) {
        end -= 1;
    }
    let kept = target.get(..end).unwrap_or_default();
    let digest = digest(&SHA256, target.as_bytes());
    format!("{kept}~{}", hex::encode(digest.as_ref().get(..DIGEST_DIGITS / 2).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_again_and_only_beside_its_own_target() {
        let until: Timestamp = "2026-11-30T10:42:00Z".parse().unwrap();
        let long = "a".repeat(63);
        let umlauts = "ü".repeat(31);
        for target in ["shop", "Shop \"x\"", &long, &umlauts] {
            for beside in [
                Beside::Shadow("0a1b2c3d".into()),
                Beside::Held("0a1b2c3d-00112233".into()),
                Beside::Previous(until),
            ] {
                let name = beside.name(target);
                assert!(name.len() <= NAME_BYTES, "{name}");
                assert_eq!(Beside::of(target, &name), Some(beside), "{name}");
                assert_eq!(Beside::of("shop2", &name), None, "{name}");
            }
        }
        assert_eq!(Beside::Previous(until).name("shop"), "shop.reinstate-previous-20261130T104200Z");
        let other = format!("{}b", "a".repeat(62));
        assert_ne!(Beside::Shadow("r".into()).name(&long), Beside::Shadow("r".into()).name(&other));
    }

    #[test]
    fn what_is_not_of_our_naming_is_nothing_of_ours() {
        for name in [
            "shop",
            "shop.reinstate-",
            "shop.reinstate-shadow-",
            "shop.reinstate-other-1",
            "shop.reinstate-previous-soon",
            "shop_old",
        ] {
            assert_eq!(Beside::of("shop", name), None, "{name}");
        }
    }
}

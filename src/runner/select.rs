//! `backup.latest`: the newest backup of a storage destination that fits, by its sidecar.

use jiff::{SignedDuration, Timestamp};

use crate::plan::Latest;
use crate::reason::Reason;
use crate::runner::catalog::{self, Beside};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::source::Store;

/// How far the clock of the machine that made a backup may be ahead of this one's.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// One backup with the facts that the choice needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    path: String,
    timestamp: Timestamp,
    databases: Vec<String>,
}

/// The chosen backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its path.
    pub path: String,
    /// What was passed over, and why.
    pub warnings: Vec<String>,
}

/// The newest backup that fits `wanted` at `now`.
///
/// Only backups with a sidecar and its timestamp take part. A sidecar that cannot be read stops the
/// choice if its backup may be the newest: an older one is never taken in silence.
pub fn latest(store: &dyn Store, wanted: &Latest, now: Timestamp) -> Result<Chosen> {
    let mut offers = Vec::new();
    let mut unreadable = Vec::new();
    let mut warnings = Vec::new();
    // A sidecar is uploaded before its data: without the data there is no backup yet.
    for entry in catalog::backups(store, &wanted.prefix)?.into_iter().filter(|entry| entry.size.is_some()) {
        match entry.beside {
            Beside::Nothing => {}
            Beside::Unreadable(fault) => unreadable.push((entry.modified, fault)),
            Beside::Sidecar(sidecar) => match sidecar.timestamp {
                Some(timestamp) if timestamp > now.saturating_add(CLOCK_TOLERANCE).unwrap_or(now) => {
                    warnings.push(format!("{} is passed over: it claims to be of {timestamp}", entry.path));
                }
                Some(timestamp) => {
                    offers.push(Offer { path: entry.path, timestamp, databases: sidecar.databases });
                }
                None => warnings.push(format!("{} is passed over: its sidecar has no timestamp", entry.path)),
            },
        }
    }
    let (path, timestamp) = choose(offers, wanted, now, &store.describe())?;
    for (modified, fault) in unreadable {
        if modified.is_none_or(|modified| modified >= timestamp) {
            return Err(fault);
        }
        warnings.push(format!("a backup is passed over: {}", fault.message));
    }
    Ok(Chosen { path, warnings })
}

fn choose(offers: Vec<Offer>, wanted: &Latest, now: Timestamp, place: &str) -> Result<(String, Timestamp)> {
    let newest = offers
        .into_iter()
        .filter(|offer| wanted.not_after.is_none_or(|limit| offer.timestamp <= limit))
        .filter(|offer| wanted.database.as_ref().is_none_or(|name| offer.databases.contains(name)))
        .max_by(|a, b| (a.timestamp, &a.path).cmp(&(b.timestamp, &b.path)));
    let Some(newest) = newest else {
        let message = format!("no backup below {:?} in {place} fits `backup.latest`", wanted.prefix);
        return Err(Fault::new(Stage::Resolve, Reason::SourceNotFound, message));
    };
    let age = now.duration_since(newest.timestamp);
    match wanted.max_age {
        Some(most) if age > SignedDuration::try_from(most.get()).unwrap_or(SignedDuration::MAX) => {
            let message = format!(
                "the newest backup, {} of {}, is older than maxAge {most} allows",
                newest.path, newest.timestamp
            );
            Err(Fault::new(Stage::Resolve, Reason::BackupTooOld, message))
        }
        _ => Ok((newest.path, newest.timestamp)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    #[test]
    fn the_newest_that_fits_is_chosen_and_an_old_one_refused() {
        let offers = || {
            [("a", 1, "shop"), ("b", 3, "shop"), ("c", 2, "crm"), ("d", 3, "shop")]
                .map(|(path, hour, database)| Offer {
                    path: path.into(),
                    timestamp: at(hour),
                    databases: vec![database.into()],
                })
                .to_vec()
        };
        let hours = |hours: i64| Some(format!("{hours}h").parse().unwrap());
        for (wanted, expected) in [
            (Latest::default(), Ok("d")),
            (Latest { not_after: Some(at(2)), ..Latest::default() }, Ok("c")),
            (Latest { database: Some("crm".into()), ..Latest::default() }, Ok("c")),
            (Latest { database: Some("none".into()), ..Latest::default() }, Err(Reason::SourceNotFound)),
            (Latest { max_age: hours(2), ..Latest::default() }, Ok("d")),
            (Latest { max_age: hours(1), ..Latest::default() }, Err(Reason::BackupTooOld)),
        ] {
            let chosen =
                choose(offers(), &wanted, at(5), "x").map(|(path, _)| path).map_err(|fault| fault.reason);
            assert_eq!(chosen.as_deref().map_err(|reason| *reason), expected, "{wanted:?}");
        }
    }
}

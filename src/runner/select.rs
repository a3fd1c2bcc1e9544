//! `backup.latest`: the newest backup of a storage destination that fits, by its sidecar.

use jiff::Timestamp;

use crate::plan::Latest;
use crate::reason::{Class, Reason};
use crate::runner::catalog::{self, Beside, Entry};
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::source::Store;

/// One backup with the facts that the choice needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    path: String,
    timestamp: Timestamp,
    databases: Vec<String>,
}

/// The path of the newest backup that fits `wanted` at `now`.
///
/// Only backups with a sidecar and its timestamp take part. A sidecar that the storage did not give
/// stops the choice: it may be the newest one.
pub fn latest(store: &dyn Store, wanted: &Latest, now: Timestamp) -> Result<String> {
    let mut offers = Vec::new();
    for entry in catalog::backups(store, &wanted.prefix)? {
        // A sidecar is uploaded before its data: without the data there is no backup yet.
        if entry.size.is_some() {
            offers.extend(offer(entry)?);
        }
    }
    choose(offers, wanted, now, &store.describe())
}

fn offer(entry: Entry) -> Result<Option<Offer>> {
    match entry.beside {
        Beside::Nothing => Ok(None),
        Beside::Unreadable(fault) if fault.reason.facts().class == Class::Storage => Err(fault),
        Beside::Unreadable(fault) => {
            tracing::warn!(path = entry.path, "{}; the backup is left out", fault.message);
            Ok(None)
        }
        Beside::Sidecar(sidecar) => Ok(sidecar.timestamp.map(|timestamp| Offer {
            path: entry.path,
            timestamp,
            databases: sidecar.databases,
        })),
    }
}

fn choose(offers: Vec<Offer>, wanted: &Latest, now: Timestamp, place: &str) -> Result<String> {
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
        Some(most)
            if age > jiff::SignedDuration::try_from(most.get()).unwrap_or(jiff::SignedDuration::MAX) =>
        {
            let message = format!(
                "the newest backup, {} of {}, is older than maxAge {most} allows",
                newest.path, newest.timestamp
            );
            Err(Fault::new(Stage::Resolve, Reason::BackupTooOld, message))
        }
        _ => Ok(newest.path),
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
            let chosen = choose(offers(), &wanted, at(5), "x").map_err(|fault| fault.reason);
            assert_eq!(chosen.as_deref().map_err(|reason| *reason), expected, "{wanted:?}");
        }
    }
}

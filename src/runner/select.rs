//! `backup.latest`: the newest backup of a storage destination that fits, by its sidecar.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;

use crate::plan::Latest;
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::format::dbackup::SIDECAR_SUFFIX;
use crate::runner::format::dbackup::sidecar::{self, Sidecar};
use crate::runner::source::Store;

/// Most files of a destination that are looked through.
pub const LISTING_LIMIT: usize = 200_000;
/// Sidecars that are read at the same time.
const READERS: usize = 16;

/// A sidecar that was read, or why it could not be.
pub type Read = (String, Result<Sidecar>);

/// Reads the sidecars at `paths`, several at a time; the order is kept.
pub fn read_sidecars(store: &Arc<dyn Store>, paths: &[String]) -> Vec<Read> {
    let next = AtomicUsize::new(0);
    let mut read: Vec<(usize, Read)> = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS.min(paths.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while let Some((at, path)) = take(&next, paths) {
                        mine.push((at, (path.clone(), read_sidecar(store.as_ref(), path))));
                    }
                    mine
                })
            })
            .collect();
        readers.into_iter().filter_map(|reader| reader.join().ok()).flatten().collect()
    });
    read.sort_by_key(|(at, _)| *at);
    read.into_iter().map(|(_, read)| read).collect()
}

fn take<'a>(next: &AtomicUsize, paths: &'a [String]) -> Option<(usize, &'a String)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    paths.get(at).map(|path| (at, path))
}

fn read_sidecar(store: &dyn Store, path: &str) -> Result<Sidecar> {
    let data = store.read_small(path, sidecar::LIMIT_BYTES)?.ok_or_else(|| {
        Fault::new(Stage::Download, Reason::SourceNotFound, format!("{path} is gone since it was listed"))
    })?;
    Sidecar::parse(&data)
}

/// One backup with the facts that the choice needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    path: String,
    timestamp: Timestamp,
    databases: Vec<String>,
}

/// The path of the newest backup that fits `wanted` at `now`.
pub fn latest(store: &Arc<dyn Store>, wanted: &Latest, now: Timestamp) -> Result<String> {
    let listed = store.list(&wanted.prefix, LISTING_LIMIT)?;
    let present = |path: &str| listed.binary_search_by(|object| object.path.as_str().cmp(path)).is_ok();
    let sidecars: Vec<String> = listed
        .iter()
        .map(|object| object.path.clone())
        // A sidecar is uploaded before its data: without the data there is no backup yet.
        .filter(|path| path.strip_suffix(SIDECAR_SUFFIX).is_some_and(present))
        .collect();
    let offers: Vec<Offer> = read_sidecars(store, &sidecars)
        .into_iter()
        .filter_map(|(path, sidecar)| {
            let sidecar = sidecar.ok()?;
            let path = path.strip_suffix(SIDECAR_SUFFIX)?.to_owned();
            Some(Offer { path, timestamp: sidecar.timestamp?, databases: sidecar.databases })
        })
        .collect();
    choose(offers, wanted, now, &store.describe())
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
        Some(most) if age > jiff::SignedDuration::try_from(most.get()).unwrap_or(jiff::SignedDuration::MAX) => {
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

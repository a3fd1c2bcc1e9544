//! What the connections of a load may take of the server to build indexes: memory, and processes beside
//! their own.
//!
//! The memory is what the server was given as its buffers: half of it for all connections together. Its
//! defaults for both settings are those of a server that has other things to do at the same time.
//! Processes are counted by the run's `parallelism`: a connection that builds an index alone may have those
//! of the connections that have nothing to do.
//!
//! Source: PostgreSQL's manual, "Resource Consumption" and "Populating a Database".

use crate::reason::Reason;
use crate::runner::engine::postgres::server::Session;
use crate::runner::fault::Result;

/// Most memory of one connection, in KiB: sorts of whole indexes gain little from more.
const MEMORY_LIMIT_KIB: u64 = 1024 * 1024;
/// The first release series that builds an index by several processes.
const WORKERS_SINCE: u32 = 11;

/// What one connection may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexing {
    /// `maintenance_work_mem` in KiB; `None`: the server's own is enough.
    memory_kib: Option<u64>,
    /// `max_parallel_maintenance_workers` of the server; `None`: it has no such thing.
    workers: Option<usize>,
}

impl Indexing {
    /// Asks what the server has, for as many connections.
    pub(super) fn ask(session: &mut Session, major: u32, lanes: usize) -> Result<Self> {
        let mut show = |name: &str| -> Result<String> {
            let row = session.row("ask for a setting", &format!("SHOW {name}"), &[])?;
            Ok(row.text(0).unwrap_or_default().to_owned())
        };
        let buffers = kib(&show("shared_buffers")?);
        let own = kib(&show("maintenance_work_mem")?);
        let workers = match major {
            WORKERS_SINCE.. => show("max_parallel_maintenance_workers")?.parse().ok(),
            _ => None,
        };
        Ok(Self {
            memory_kib: buffers.zip(own).and_then(|(buffers, own)| memory(buffers, own, lanes)),
            workers,
        })
    }

    /// Lets a session use the memory.
    pub(super) fn set_memory(&self, session: &mut Session) -> Result<()> {
        let Some(kib) = self.memory_kib else { return Ok(()) };
        let sql = format!("SET maintenance_work_mem = {kib}");
        session.run("set the memory for indexes", &sql, Reason::RestoreFailed)
    }

    /// The statement that lets a session use up to `free` processes beside its own.
    pub(super) fn workers(&self, free: usize) -> Option<(usize, String)> {
        let workers = self.workers?.min(free);
        Some((workers, format!("SET max_parallel_maintenance_workers = {workers}")))
    }
}

/// Memory of one of several connections; `None`: not more than it has.
fn memory(buffers: u64, own: u64, lanes: usize) -> Option<u64> {
    let share = buffers / 2 / u64::try_from(lanes.max(1)).unwrap_or(u64::MAX);
    Some(share.min(MEMORY_LIMIT_KIB)).filter(|share| *share > own)
}

/// A size as the server shows it, such as `128MB`, in KiB.
fn kib(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "kB" => Some(number),
        "MB" => number.checked_mul(1024),
        "GB" => number.checked_mul(1024 * 1024),
        "TB" => number.checked_mul(1024 * 1024 * 1024),
        "B" => Some(number / 1024),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_share_of_the_servers_buffers_and_never_less_than_it_was() {
        let mib = 1024;
        for (buffers, own, lanes, expected) in [
            ("128MB", "64MB", 2, None),
            ("512MB", "64MB", 2, Some(128 * mib)),
            ("8GB", "64MB", 2, Some(1024 * mib)),
            ("8GB", "2GB", 2, None),
            ("8GB", "65536kB", 8, Some(512 * mib)),
            ("16384kB", "1024kB", 1, Some(8 * mib)),
        ] {
            let found = memory(kib(buffers).unwrap(), kib(own).unwrap(), lanes);
            assert_eq!(found, expected, "{buffers} {own} {lanes}");
        }
        assert_eq!([kib("-1"), kib("12"), kib("9XB"), kib("")], [None; 4]);
    }

    #[test]
    fn processes_are_those_of_connections_that_have_nothing_to_do() {
        let indexing = Indexing { memory_kib: None, workers: Some(2) };
        let workers = |free| indexing.workers(free).map(|(workers, _)| workers);
        assert_eq!([workers(0), workers(1), workers(7)], [Some(0), Some(1), Some(2)]);
        assert_eq!(Indexing::default().workers(3), None);
    }
}

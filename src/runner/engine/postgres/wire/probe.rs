//! Whether the server works for a session that has been silent for long: asked over another one.
//!
//! A statement may work for hours in silence, and a connection may be dead without a sign of it (a proxy that
//! has forgotten it, a firewall that drops what it does not know). The server knows which it is.

use super::connection::Connection;
use super::endpoint::{Endpoint, Login, Timeouts};
use crate::runner::cancel::Cancel;

/// `too_many_connections`: a server that says so is alive, and more cannot be known.
const FULL: &str = "53300";
/// Waiting for us, while we wait for it, is no work.
const WORKS: &str = "SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client' \
                     FROM pg_catalog.pg_stat_activity WHERE pid = $1::pg_catalog.int4";

/// Whom to ask, and about which process of the server.
#[derive(Debug)]
pub(super) struct Probe {
    endpoint: Endpoint,
    login: Login,
    process: i32,
}

impl Probe {
    /// Of the session `process`, by the same login.
    pub(super) fn new(endpoint: &Endpoint, login: &Login, process: i32) -> Self {
        let timeouts = Timeouts { silence: Some(endpoint.timeouts.open), ..endpoint.timeouts };
        let (endpoint, login) = (Endpoint { timeouts, ..endpoint.clone() }, login.clone());
        Self { endpoint, login, process }
    }

    /// Whether the server works for the session. Takes no longer than opening a session may, twice.
    pub(super) fn is_working(&self, cancel: &Cancel) -> bool {
        let mut other = match Connection::open(&self.endpoint, &self.login, cancel) {
            Ok(other) => other,
            Err(error) => return error.sqlstate() == Some(FULL),
        };
        other.drop_probe();
        let rows = other.ask(WORKS, &[Some(&self.process.to_string())]);
        rows.is_ok_and(|rows| rows.first().and_then(|row| row.text(0)) == Some("t"))
    }
}

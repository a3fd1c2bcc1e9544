//! A blocking client of PostgreSQL's wire protocol 3.0, made for loading dumps.
//!
//! Statements and rows go through as the bytes they are, whatever the dump's encoding. One message
//! holds one statement: the extended protocol lets the server itself refuse a text with two, so a
//! wrong split fails instead of running. Statements are pipelined in batches; rows go in through
//! `COPY`. Nothing that a server sends grows in memory without a limit, and every wait looks at the
//! run's [`Cancel`](crate::runner::cancel::Cancel) flag.
//!
//! Source: PostgreSQL's manual, chapter "Frontend/Backend Protocol".

mod answer;
mod batch;
mod cancel;
mod connection;
mod copy;
mod endpoint;
mod error;
mod link;
mod login;
mod patience;
mod probe;
mod socket;
mod tls;

pub use answer::{Notices, Transaction};
pub use batch::Row;
pub use cancel::Canceller;
pub use connection::Connection;
pub use endpoint::{ClientCertificate, Endpoint, Login, Timeouts, Tls, TlsMode};
pub use error::{Failed, ServerError, WireError};

//! Ending a statement from beside: a second connection that names the session's key.
//!
//! Source: PostgreSQL's manual, "Canceling Requests in Progress".

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::endpoint::Endpoint;
use super::error::WireError;
use super::patience::Patience;
use super::socket::Socket;
use crate::runner::cancel::Cancel;

/// Longest time for the request, which is sent when something else is already late.
const CANCEL_TIME: Duration = Duration::from_secs(5);

/// Ends what a session does at the moment; may be used from another thread.
#[derive(Clone, Debug)]
pub struct Canceller {
    endpoint: Endpoint,
    address: Option<SocketAddr>,
    process: i32,
    secret: i32,
}

impl Canceller {
    pub(super) fn new(
        endpoint: Endpoint,
        address: Option<SocketAddr>,
        (process, secret): (i32, i32),
    ) -> Self {
        Self { endpoint, address, process, secret }
    }

    /// Asks the server to end the session's statement, which then fails with SQLSTATE 57014; over TLS
    /// where the session is. The server does not tell whether there was one. Takes at most 5 s.
    pub fn cancel(&self) -> Result<(), WireError> {
        // What is stopped here is the run, so its flag is no reason not to ask.
        let patience = Patience::until(&Cancel::never(), CANCEL_TIME, "the request to cancel");
        let mut socket = Socket::open(&self.endpoint, self.address, &patience)?;
        let mut request = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut request);
        let mut rest = request.as_ref();
        while !rest.is_empty() {
            let count = socket.write(rest)?;
            rest = rest.get(count..).unwrap_or_default();
            if count == 0 {
                socket.wait(true, patience.slice()?)?;
            }
        }
        while !socket.flush()? {
            socket.wait(true, patience.slice()?)?;
        }
        // The server closes the connection when it has passed the request on, and says nothing.
        loop {
            match socket.read(&mut [0; 16]) {
                Ok(None) => socket.wait(false, patience.slice()?)?,
                Ok(Some(_)) => {
                    return Err(WireError::Protocol("it answers a request to cancel".to_owned()));
                }
                Err(WireError::Lost(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

//! The way to a server: name lookup, TCP, the request for TLS; then bytes in and out without waiting.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::ClientConnection;

use super::endpoint::Endpoint;
use super::error::WireError;
use super::patience::Patience;
use super::tls;

/// A connection on which nothing comes is asked for a sign of life after this time, and given up
/// after three asks: within 60 s. Firewalls and balancers keep silent connections for longer.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_ASKS: u32 = 3;
/// Most addresses of one name that are tried.
const ADDRESSES_LIMIT: usize = 16;

/// An open connection. Reads and writes never wait; [`Socket::wait`] does.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Socket {
    /// Connects and, unless TLS is off, makes the way secure. With `address` that one is taken: a name
    /// may lead to another server than before.
    pub(super) fn open(
        endpoint: &Endpoint,
        address: Option<SocketAddr>,
        patience: &Patience,
    ) -> Result<Self, WireError> {
        // What is wrong with the settings is said before anything is sent.
        let tls = tls::client(&endpoint.host, &endpoint.tls)?;
        let addresses = match address {
            Some(address) => vec![address],
            None => addresses(endpoint, patience)?,
        };
        let tcp = connect(endpoint, &addresses, patience)?;
        let mut socket = Self { tcp, tls: None };
        if let Some(tls) = tls {
            socket.ask_for_tls(patience)?;
            socket.tls = Some(Box::new(tls));
            socket.shake_hands(patience)?;
        }
        Ok(socket)
    }

    /// Whether what is sent is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The server's address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.tcp.peer_addr().ok()
    }

    /// Asks whether the server speaks TLS. The answer is one byte; what stands behind it would be
    /// plain text that somebody slipped in, and is read as TLS.
    fn ask_for_tls(&mut self, patience: &Patience) -> Result<(), WireError> {
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        let mut rest = request.as_ref();
        while !rest.is_empty() {
            let written = self.write(rest)?;
            rest = rest.get(written..).unwrap_or_default();
            if written == 0 {
                self.wait(true, patience.slice()?)?;
            }
        }
        let mut answer = [0_u8; 1];
        while self.read(&mut answer)?.is_none() {
            self.wait(false, patience.slice()?)?;
        }
        match answer {
            [b'S'] => Ok(()),
            [b'N'] => Err(WireError::Tls(
                "the server speaks no TLS; switch it on there, or set tls.mode to Disable".to_owned(),
            )),
            [b'E'] => Err(WireError::Tls("the server refused to speak TLS with an error".to_owned())),
            [other] => Err(WireError::Protocol(format!(
                "it answered the request for TLS with {}",
                other.escape_ascii()
            ))),
        }
    }

    fn shake_hands(&mut self, patience: &Patience) -> Result<(), WireError> {
        loop {
            let sent = self.drain()?;
            let Some(tls) = self.tls.as_deref_mut() else { return Ok(()) };
            if sent && !tls.is_handshaking() {
                return Ok(());
            }
            if tls.wants_read() {
                match tls.read_tls(&mut self.tcp) {
                    Ok(0) => {
                        let words = "the server closed the connection in the TLS handshake";
                        return Err(WireError::Tls(words.to_owned()));
                    }
                    Ok(_) => {
                        self.process()?;
                        continue;
                    }
                    Err(error) if is_later(&error) => {}
                    Err(error) => return Err(lost(&error)),
                }
            }
            self.wait(!sent, patience.slice()?)?;
        }
    }

    /// Lets TLS work on what came. Its alert is sent to the server, which writes it to its log.
    fn process(&mut self) -> Result<(), WireError> {
        let Some(tls) = self.tls.as_deref_mut() else { return Ok(()) };
        match tls.process_new_packets() {
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = self.drain();
                Err(tls::trouble(&error))
            }
        }
    }

    /// Sends what TLS has encrypted; false where the network takes no more now.
    fn drain(&mut self) -> Result<bool, WireError> {
        let Some(tls) = self.tls.as_deref_mut() else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_later(&error) => return Ok(false),
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(true)
    }

    /// Reads what is there; `None`: nothing yet. The end of the connection is an error.
    pub(super) fn read(&mut self, target: &mut [u8]) -> Result<Option<usize>, WireError> {
        loop {
            let result = match self.tls.as_deref_mut() {
                Some(tls) => tls.reader().read(target),
                None => self.tcp.read(target),
            };
            match result {
                Ok(0) => return Err(WireError::Lost("the server closed it".to_owned())),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(WireError::Lost("the server closed it".to_owned()));
                }
                Err(error) if !is_later(&error) => return Err(lost(&error)),
                Err(_) => {}
            }
            let Some(tls) = self.tls.as_deref_mut() else { return Ok(None) };
            match tls.read_tls(&mut self.tcp) {
                // The reader tells what kind of end it is, once this was worked on.
                Ok(_) => self.process()?,
                Err(error) if is_later(&error) => return Ok(None),
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    /// Writes as much as the network takes now; 0: nothing.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, WireError> {
        if !self.drain()? {
            return Ok(0);
        }
        let result = match self.tls.as_deref_mut() {
            Some(tls) => tls.writer().write(bytes),
            None => self.tcp.write(bytes),
        };
        match result {
            Ok(count) => {
                self.drain()?;
                Ok(count)
            }
            Err(error) if is_later(&error) => Ok(0),
            Err(error) => Err(lost(&error)),
        }
    }

    /// Whether nothing that was written waits here any more.
    pub(super) fn flush(&mut self) -> Result<bool, WireError> {
        self.drain()
    }

    /// Ends the connection in both directions.
    pub(super) fn close(&self) {
        // It may be gone already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }

    /// Waits until bytes came or, with `writing`, can be sent; at most `time`.
    pub(super) fn wait(&self, writing: bool, time: Duration) -> Result<(), WireError> {
        let flags = if writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        wait_for(&self.tcp, flags, time).map(|_| ()).map_err(|error| lost(&error.into()))
    }
}

/// Waits for an event on a socket; whether there was one.
fn wait_for(socket: impl AsFd, flags: PollFlags, time: Duration) -> Result<bool, Errno> {
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(&socket, flags)], Some(&time)) {
        Ok(events) => Ok(events > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Nothing can be done now.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn lost(error: &io::Error) -> WireError {
    WireError::Lost(error.to_string())
}

/// Connects to the first address that answers.
fn connect(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    patience: &Patience,
) -> Result<TcpStream, WireError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        match connect_to(*address, &patience.share(addresses.len() - index)) {
            Ok(stream) => return Ok(stream),
            Err(Attempt::Failed(error)) => last = error,
            Err(Attempt::Ended(WireError::TimedOut(_))) => last = io::ErrorKind::TimedOut.into(),
            Err(Attempt::Ended(error)) => return Err(error),
        }
    }
    Err(WireError::Unreachable { server: endpoint.name(), source: last })
}

/// Looks the name up on a thread of its own, because the system's resolver cannot be interrupted.
fn addresses(endpoint: &Endpoint, patience: &Patience) -> Result<Vec<SocketAddr>, WireError> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let no_such_host = |words: String| WireError::NoSuchHost { host: endpoint.host.clone(), words };
    let (sender, receiver) = sync_channel(1);
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs();
            // Nobody waits any more: there is nobody to tell.
            let _ = sender.send(found.map(|all| all.take(ADDRESSES_LIMIT).collect::<Vec<_>>()));
        })
        .map_err(|error| no_such_host(error.to_string()))?;
    loop {
        match receiver.recv_timeout(patience.slice()?) {
            Ok(Ok(found)) if found.is_empty() => return Err(no_such_host("it has no address".to_owned())),
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => return Err(no_such_host(error.to_string())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(no_such_host("the name lookup ended without a result".to_owned()));
            }
        }
    }
}

/// Why one address gave no connection: it did not answer, or the wait is over for all.
enum Attempt {
    Failed(io::Error),
    Ended(WireError),
}

impl From<Errno> for Attempt {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

fn connect_to(address: SocketAddr, patience: &Patience) -> Result<TcpStream, Attempt> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_ASKS)?;
    // Messages are put together here; to wait for more would only delay.
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => return Ok(TcpStream::from(socket)),
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    loop {
        let slice = patience.slice().map_err(Attempt::Ended)?;
        if wait_for(&socket, PollFlags::OUT, slice)? {
            sockopt::socket_error(&socket)??;
            return Ok(TcpStream::from(socket));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::endpoint::{Timeouts, Tls, TlsMode};
    use super::*;
    use crate::runner::cancel::Cancel;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        let tls = Tls { mode: TlsMode::Require, ..Tls::default() };
        Endpoint { host: host.to_owned(), port, tls, timeouts: Timeouts::default() }
    }

    fn patience(cancel: &Cancel) -> Patience {
        Patience::until(cancel, Duration::from_secs(20), "connecting")
    }

    #[test]
    fn a_server_that_answers_the_request_for_tls_otherwise_is_refused() {
        for (answer, says) in [
            (b"N".as_slice(), "speaks no TLS"),
            (b"E", "with an error"),
            (b"H", "answered the request for TLS with H"),
            (b"", "closed it"),
            // Plain text behind the consent would be somebody's who sits between.
            (b"SR\0\0\0\x08\0\0\0\0", "TLS"),
        ] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = std::thread::spawn(move || {
                let (mut client, _) = listener.accept().unwrap();
                client.read_exact(&mut [0; 8]).unwrap();
                client.write_all(answer).unwrap();
            });
            let error =
                Socket::open(&endpoint("127.0.0.1", port), None, &patience(&Cancel::never())).unwrap_err();
            assert!(error.to_string().contains(says), "{}: {error}", answer.escape_ascii());
            server.join().unwrap();
        }
    }

    #[test]
    fn nobody_there_is_said_at_once_and_a_silent_one_until_the_flag_is_set() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let never = Cancel::never();
        let error = Socket::open(&endpoint("127.0.0.1", closed), None, &patience(&never)).unwrap_err();
        assert!(matches!(error, WireError::Unreachable { .. }), "{error:?}");
        let error = Socket::open(&endpoint("no-such-host.invalid", 1), None, &patience(&never)).unwrap_err();
        assert!(matches!(error, WireError::NoSuchHost { .. }), "{error:?}");

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let short = Patience::until(&never, Duration::from_secs(1), "connecting");
        let error = Socket::open(&endpoint("127.0.0.1", port), None, &short).unwrap_err();
        assert!(matches!(error, WireError::TimedOut("connecting")), "{error:?}");
        let cancel = Cancel::never();
        cancel.cancel();
        let error = Socket::open(&endpoint("127.0.0.1", port), None, &patience(&cancel)).unwrap_err();
        assert!(matches!(error, WireError::Stopped { .. }), "{error:?}");
    }

    #[test]
    fn the_system_watches_over_silent_connections() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let plain = Tls { mode: TlsMode::Disable, ..Tls::default() };
        let endpoint =
            Endpoint { tls: plain, ..endpoint("localhost", listener.local_addr().unwrap().port()) };
        let socket = Socket::open(&endpoint, None, &patience(&Cancel::never())).unwrap();
        let given_up = sockopt::tcp_keepidle(&socket.tcp).unwrap()
            + sockopt::tcp_keepintvl(&socket.tcp).unwrap() * sockopt::tcp_keepcnt(&socket.tcp).unwrap();
        assert!(sockopt::socket_keepalive(&socket.tcp).unwrap());
        assert!(given_up <= Duration::from_mins(1));
    }
}

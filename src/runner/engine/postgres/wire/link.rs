//! The two directions of a connection together: while the server takes no more it is listened to, so
//! that neither side waits for the other for ever.

use bytes::BytesMut;

use super::answer::{Inbox, Message};
use super::error::WireError;
use super::patience::Patience;
use super::socket::Socket;

/// Bytes that are collected before they are sent; larger pieces are sent from where they are.
const SEND_BYTES: usize = 128 * 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Most reads of one glance.
const GLANCE_READS: usize = 64;

/// Takes the messages of the server.
pub(super) trait Sink {
    /// Takes one message.
    fn take(&mut self, message: Message) -> Result<(), WireError>;
}

/// A socket with what came and what is to go.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Socket,
    inbox: Inbox,
    /// Messages that are written with the next [`Link::push`].
    pub(super) out: BytesMut,
}

impl Link {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, inbox: Inbox::default(), out: BytesMut::new() }
    }

    /// Whether enough is collected to be sent.
    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= SEND_BYTES
    }

    /// Adds bytes to a message; many at once are sent from where they are.
    pub(super) fn add(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn Sink,
        patience: &mut Patience,
    ) -> Result<(), WireError> {
        if self.out.len() + bytes.len() < SEND_BYTES {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        self.push(sink, patience)?;
        self.write(bytes, sink, patience)
    }

    /// Sends all that was collected, and takes what comes meanwhile.
    pub(super) fn push(&mut self, sink: &mut dyn Sink, patience: &mut Patience) -> Result<(), WireError> {
        let mut out = std::mem::take(&mut self.out);
        let result = self.write(&out, sink, patience);
        out.clear();
        self.out = out;
        result?;
        self.flush(sink, patience)
    }

    /// Sends a message from where it is, so that no copy of it stays.
    pub(super) fn send(
        &mut self,
        message: &[u8],
        sink: &mut dyn Sink,
        patience: &mut Patience,
    ) -> Result<(), WireError> {
        self.push(sink, patience)?;
        self.write(message, sink, patience)?;
        self.flush(sink, patience)
    }

    fn flush(&mut self, sink: &mut dyn Sink, patience: &mut Patience) -> Result<(), WireError> {
        while !self.socket.flush()? {
            self.meanwhile(sink, patience)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        mut bytes: &[u8],
        sink: &mut dyn Sink,
        patience: &mut Patience,
    ) -> Result<(), WireError> {
        while !bytes.is_empty() {
            let count = self.socket.write(bytes)?;
            bytes = bytes.get(count..).unwrap_or_default();
            if count == 0 {
                self.meanwhile(sink, patience)?;
            } else {
                patience.renew();
            }
        }
        Ok(())
    }

    /// The network takes nothing now: listens, or waits for either.
    fn meanwhile(&mut self, sink: &mut dyn Sink, patience: &mut Patience) -> Result<(), WireError> {
        let slice = patience.slice()?;
        if self.read()? {
            patience.renew();
            self.hand_over(sink)
        } else {
            self.socket.wait(true, slice)
        }
    }

    /// Takes what has come, without waiting; of a flood only a part.
    pub(super) fn glance(&mut self, sink: &mut dyn Sink) -> Result<(), WireError> {
        for _ in 0..GLANCE_READS {
            if !self.read()? {
                break;
            }
            self.hand_over(sink)?;
        }
        Ok(())
    }

    /// Waits until something came, and takes it.
    pub(super) fn receive(&mut self, sink: &mut dyn Sink, patience: &mut Patience) -> Result<(), WireError> {
        loop {
            let slice = patience.slice()?;
            if self.read()? {
                patience.renew();
                return self.hand_over(sink);
            }
            self.socket.wait(false, slice)?;
        }
    }

    /// Waits for one message.
    pub(super) fn message(&mut self, patience: &Patience) -> Result<Message, WireError> {
        loop {
            if let Some(message) = self.inbox.next()? {
                return Ok(message);
            }
            let slice = patience.slice()?;
            if !self.read()? {
                self.socket.wait(false, slice)?;
            }
        }
    }

    /// Reads what is there; false: nothing.
    fn read(&mut self) -> Result<bool, WireError> {
        let mut piece = [0_u8; READ_BYTES];
        let Some(count) = self.socket.read(&mut piece)? else { return Ok(false) };
        self.inbox.feed(piece.get(..count).unwrap_or_default());
        Ok(true)
    }

    fn hand_over(&mut self, sink: &mut dyn Sink) -> Result<(), WireError> {
        while let Some(message) = self.inbox.next()? {
            sink.take(message)?;
        }
        Ok(())
    }
}

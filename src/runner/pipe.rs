//! Joins blocking stages by bounded channels of recycled buffers.
//!
//! [`on_thread`] moves a reader to a thread of its own and gives back a reader of what that thread
//! reads. [`Shared`] lets a pipeline keep a hand on a reader that a decoder has taken, so that after
//! a decoder's error the rest of the stored object can still be read and judged.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Bytes per buffer: the fastest of the measured sizes (docs/results).
pub const BUFFER_BYTES: usize = 256 * 1024;
/// Buffers on their way between two stages.
const DEPTH: usize = 4;

enum Message {
    Data(Vec<u8>),
    Failed(io::Error),
    End,
}

/// The reading end of a stage that runs on its own thread.
pub struct ThreadReader {
    full: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
    /// What the thread failed with; given again to who reads on.
    failure: Option<Fault>,
    name: &'static str,
}

/// Runs `reader` on a thread of its own, at most four buffers ahead of the consumer.
///
/// An error is delivered after all bytes that came before it. A panic in the thread is an error
/// too, never an end of file.
pub fn on_thread<R: Read + Send + 'static>(name: &'static str, reader: R) -> ThreadReader {
    let (full_sender, full) = sync_channel(DEPTH);
    let (empty, empty_receiver) = channel();
    let failed = full_sender.clone();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        forward(reader, &full_sender, &empty_receiver);
    });
    if let Err(error) = spawned {
        // The thread never ran; its end of the channel is gone, so there is room for this message.
        let _ = failed.try_send(Message::Failed(error));
    }
    ThreadReader { full, empty, current: Vec::new(), position: 0, ended: false, failure: None, name }
}

fn forward<R: Read>(mut reader: R, full: &SyncSender<Message>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(BUFFER_BYTES, 0);
        let message = match fill(&mut reader, &mut buffer) {
            Ok(0) => Message::End,
            Ok(length) => {
                buffer.truncate(length);
                Message::Data(buffer)
            }
            Err((length, error)) => {
                buffer.truncate(length);
                if length > 0 && full.send(Message::Data(buffer)).is_err() {
                    return;
                }
                Message::Failed(error)
            }
        };
        let last = !matches!(message, Message::Data(_));
        // The consumer went away: nothing is left to do.
        if full.send(message).is_err() || last {
            return;
        }
    }
}

/// Reads until `buffer` is full or the reader ends; an error comes with what was read before it.
fn fill<R: Read>(reader: &mut R, buffer: &mut [u8]) -> Result<usize, (usize, io::Error)> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((length, error)),
        }
    }
    Ok(length)
}

impl BufRead for ThreadReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(failure) = &self.failure {
            return Err(failure.restated().into_io());
        }
        if self.position >= self.current.len() && !self.ended {
            let used = std::mem::take(&mut self.current);
            if used.capacity() > 0 {
                // The thread may have ended already; then the buffer is simply dropped.
                let _ = self.empty.send(used);
            }
            self.position = 0;
            match self.full.recv() {
                Ok(Message::Data(buffer)) => self.current = buffer,
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(error)) => {
                    self.ended = true;
                    let what = error.to_string();
                    let fault = Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, &what);
                    self.failure = Some(fault.restated());
                    return Err(fault.into_io());
                }
                Err(_) => {
                    self.ended = true;
                    let message = format!("the {} thread ended without a result", self.name);
                    let fault = Fault::new(Stage::Inspect, Reason::InternalError, message);
                    self.failure = Some(fault.restated());
                    return Err(fault.into_io());
                }
            }
        }
        Ok(self.current.get(self.position..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.position = (self.position + amount).min(self.current.len());
    }
}

impl Read for ThreadReader {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        if let (Some(to), Some(from)) = (target.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

/// A reader with two holders: the decoder that reads it, and the pipeline that may read on after
/// the decoder gave up. Its first error stays: every later read gives it again.
pub struct Shared<R>(Arc<Mutex<Judged<R>>>);

struct Judged<R> {
    reader: R,
    verdict: Option<Fault>,
    stage: Stage,
    reason: Reason,
}

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Shared<R> {
    /// Shares `reader`; an error of it that is not a fault yet becomes `reason` in `stage`.
    pub fn new(reader: R, stage: Stage, reason: Reason) -> Self {
        Self(Arc::new(Mutex::new(Judged { reader, verdict: None, stage, reason })))
    }

    fn lock(&self) -> MutexGuard<'_, Judged<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `action` on the reader.
    pub fn with<T>(&self, action: impl FnOnce(&mut R) -> T) -> T {
        action(&mut self.lock().reader)
    }
}

impl<R: Read> Shared<R> {
    /// Reads to the end, whoever read before, and gives the reader's verdict.
    pub fn finish(&self) -> Result<()> {
        drain(self.clone()).map_err(|error| {
            let judged = self.lock();
            Fault::from_io(error, judged.stage, judged.reason, "failed to read")
        })
    }
}

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut judged = self.lock();
        if let Some(verdict) = &judged.verdict {
            return Err(verdict.restated().into_io());
        }
        match judged.reader.read(target) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let what = error.to_string();
                let fault = Fault::from_io(error, judged.stage, judged.reason, &what);
                judged.verdict = Some(fault.restated());
                Err(fault.into_io())
            }
            result => result,
        }
    }
}

/// Reads and throws away all that is left; the reader's own verdict at its end is the result.
pub fn drain<R: Read>(mut reader: R) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A reader whose next bytes can be looked at before they are read.
pub struct Peek<R> {
    inner: R,
    head: Vec<u8>,
    position: usize,
}

impl<R: Read> Peek<R> {
    /// Wraps `inner`; nothing is read yet.
    pub fn new(inner: R) -> Self {
        Self { inner, head: Vec::new(), position: 0 }
    }

    /// What was wrapped, when all that was peeked has been read.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next `count` bytes, fewer only at the end of the stream. They are still to be read.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let wanted = count + self.position;
        if self.head.len() < wanted {
            let missing = wanted - self.head.len();
            let mut more = vec![0; missing];
            let read = fill(&mut self.inner, &mut more).map_err(|(_, error)| error)?;
            more.truncate(read);
            self.head.extend_from_slice(&more);
        }
        let end = wanted.min(self.head.len());
        Ok(self.head.get(self.position..end).unwrap_or_default())
    }
}

impl<R: BufRead> BufRead for Peek<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position < self.head.len() {
            return Ok(self.head.get(self.position..).unwrap_or_default());
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if self.position < self.head.len() {
            self.position = (self.position + amount).min(self.head.len());
        } else {
            self.inner.consume(amount);
        }
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let waiting = self.head.get(self.position..).unwrap_or_default();
        if waiting.is_empty() {
            return self.inner.read(target);
        }
        let count = waiting.len().min(target.len());
        if let (Some(to), Some(from)) = (target.get_mut(..count), waiting.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count;
        if self.position == self.head.len() {
            self.head = Vec::new();
            self.position = 0;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Vec<io::Result<Vec<u8>>>);

    impl Read for Script {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0)?;
            target[..part.len()].copy_from_slice(&part);
            Ok(part.len())
        }
    }

    #[test]
    fn bytes_before_an_error_arrive_before_the_error() {
        let script = Script(vec![Ok(b"abc".to_vec()), Err(io::Error::other("cut"))]);
        let mut reader = on_thread("test", script);
        let mut seen = Vec::new();
        let error = reader.read_to_end(&mut seen).unwrap_err();
        assert_eq!((seen.as_slice(), error.to_string().as_str()), (&b"abc"[..], "cut"));
    }

    #[test]
    fn a_panic_in_a_stage_is_an_error_and_not_an_end_of_file() {
        struct Panics;
        impl Read for Panics {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("decoder bug")
            }
        }
        let error = on_thread("test", Panics).read(&mut [0; 8]).unwrap_err();
        assert!(error.to_string().contains("ended without a result"), "{error}");
    }

    #[test]
    fn a_large_stream_passes_unchanged() {
        let data: Vec<u8> = (0..3 * BUFFER_BYTES + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut seen = Vec::new();
        on_thread("test", io::Cursor::new(data.clone())).read_to_end(&mut seen).unwrap();
        assert_eq!(seen, data);
    }

    #[test]
    fn peeked_bytes_are_read_again() {
        let mut reader = Peek::new(&b"hello world"[..]);
        assert_eq!(reader.peek(5).unwrap(), b"hello");
        assert_eq!(reader.peek(99).unwrap(), b"hello world");
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).unwrap();
        assert_eq!(seen, b"hello world");
    }
}

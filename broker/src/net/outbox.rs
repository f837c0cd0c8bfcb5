//! Sends: a queue of chunks, gathered into as few system calls as the socket takes.
//!
//! Must never block, and never hold file data that `sendfile` can move.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use super::frame::{Chunk, FileSlice, Frame};
use super::stream::{self, TcpStream};
use super::tls::TlsStream;
use super::transport::Transport;

/// Chunks that one call gathers; the kernel's limit is 1,024.
const GATHER: usize = 64;

/// Answers on their way to one socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are sent already.
    sent: usize,
    len: usize,
    /// What the answers since the last look ask the connection to wait, in milliseconds.
    pause_ms: u32,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that wait to be sent.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether an answer asks the connection to wait.
    pub(super) fn asks_to_wait(&self) -> bool {
        self.pause_ms > 0
    }

    /// How long to wait, once.
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        let pause_ms = std::mem::take(&mut self.pause_ms);
        (pause_ms > 0).then(|| Duration::from_millis(pause_ms.into()))
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.len += frame.len;
        self.pause_ms = self.pause_ms.max(frame.pause_ms);
        self.chunks.extend(frame.chunks);
    }

    /// Sends until the socket is full, the queue is empty or about `budget` bytes are gone; returns the bytes sent.
    pub(super) fn write(&mut self, transport: &mut Transport, budget: usize) -> io::Result<usize> {
        match transport {
            Transport::Plain(stream) => self.write_plain(stream, budget),
            Transport::Tls(tls) => self.write_tls(tls, budget),
        }
    }

    fn write_plain(&mut self, stream: &TcpStream, budget: usize) -> io::Result<usize> {
        let mut total = 0;
        while total < budget
            && let Some(first) = self.chunks.front()
        {
            let result = match first {
                Chunk::Bytes(_) => self.send_bytes(stream),
                Chunk::File(slice) => send_file(stream, slice, self.sent, budget),
            };
            match result {
                Ok(count) => {
                    self.advance(count);
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Encrypts and sends in turn; what the socket does not take is the session's to send.
    fn write_tls(&mut self, tls: &mut TlsStream, budget: usize) -> io::Result<usize> {
        let mut total = 0;
        loop {
            match tls.flush() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(error) => return Err(error),
            }
            if total >= budget {
                return Ok(total);
            }
            let count = match self.chunks.front() {
                None => return Ok(total),
                Some(Chunk::Bytes(_)) => {
                    let mut slices = [IoSlice::new(&[]); GATHER];
                    let (count, _) = self.gather(&mut slices);
                    tls.write(&slices[..count])?
                }
                Some(Chunk::File(slice)) => tls.write_file(slice, self.sent)?,
            };
            self.advance(count);
            total += count;
        }
    }

    /// One call for all bytes up to the next file; the kernel is told when file data follows, so that the
    /// header does not leave in a packet of its own.
    fn send_bytes(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); GATHER];
        let (count, more) = self.gather(&mut slices);
        stream::send(stream, &slices[..count], more)
    }

    /// All bytes up to the next file, and whether something follows.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; GATHER]) -> (usize, bool) {
        let mut count = 0;
        for chunk in &self.chunks {
            match chunk {
                Chunk::Bytes(bytes) if count < GATHER => {
                    let from = if count == 0 { self.sent } else { 0 };
                    slices[count] = IoSlice::new(&bytes[from..]);
                    count += 1;
                }
                _ => return (count, true),
            }
        }
        (count, false)
    }

    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while count > 0 {
            let first = self.chunks.front().expect("no more was sent than queued");
            let left = first.len() - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            self.chunks.pop_front();
        }
    }
}

/// Moves file data to the socket inside the kernel.
fn send_file(stream: &TcpStream, slice: &FileSlice, sent: usize, budget: usize) -> io::Result<usize> {
    let sent = stream::send_file(stream, slice, sent, (slice.len - sent).min(budget))?;
    // The length was promised in the frame; a file that became shorter leaves no way but to cut the connection.
    if sent == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
}

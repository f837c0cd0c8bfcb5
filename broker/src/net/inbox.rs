//! Receives: a buffer that grows with what arrives, and cuts complete frames out of it.
//!
//! Must never reserve memory by a size prefix alone: a claimed frame costs memory only as its bytes arrive.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use super::Closing;
use super::frame::PREFIX;
use super::limits::{FrameMemory, Reservation};
use super::transport::Transport;
use crate::api::context::BoxFuture;

/// How much is received at first: many small requests, or the beginning of a large one. Requests that are sent ahead come in one receive and
/// are answered in one send, as far as they fit. With 64 KB a single connection waits for answers to all of them while it could send, and has
/// a fifth less throughput (measured with the Java producer's batches of 16 KB, five at a time).
const FIRST: usize = 32 << 10;
/// The same where the core has other connections to serve meanwhile: the Java producer's five batches of 16 KB. Four or five requests in
/// one receive instead of two take a tenth to a fifth less processor time a byte (measured with 16 and 256 connections).
const CROWDED: usize = 96 << 10;
/// A large request's buffer grows in steps of what has arrived, up to this at a time.
const LARGEST_STEP: usize = 4 << 20;
/// Smaller requests are copied out, so that the buffer is used again and no retained name keeps it alive.
const COPY_BELOW: usize = 4 << 10;
/// Buffers above this are not kept for reuse.
const KEEP_BELOW: usize = 2 << 20;
/// Buffers that one core keeps for its next readable connections.
const KEPT: usize = 8;

/// Buffers of one core, waiting for a connection that becomes readable.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<BytesMut>>,
    /// Who of the core's connections read last; [`NOBODY`] since it last slept. Only its thread looks.
    reader: AtomicU64,
}

/// No connection has this number.
const NOBODY: u64 = u64::MAX;

impl Default for Pool {
    fn default() -> Self {
        Self { free: Mutex::default(), reader: AtomicU64::new(NOBODY) }
    }
}

impl Pool {
    /// The core has nothing to do and sleeps.
    pub(super) fn rest(&self) {
        self.reader.store(NOBODY, Ordering::Relaxed);
    }

    /// Whether the core has served another connection since it last slept, and so is not waiting for this one.
    fn is_crowded(&self, reader: u64) -> bool {
        let before = self.reader.load(Ordering::Relaxed);
        self.reader.store(reader, Ordering::Relaxed);
        before != NOBODY && before != reader
    }

    fn take(&self) -> BytesMut {
        self.free.lock().pop().unwrap_or_else(|| BytesMut::with_capacity(CROWDED))
    }

    fn give_back(&self, mut buffer: BytesMut) {
        buffer.clear();
        // Slices of it may still be held by a handler; only a buffer that is whole again is worth keeping.
        if buffer.try_reclaim(CROWDED) && buffer.capacity() <= KEEP_BELOW {
            let mut free = self.free.lock();
            if free.len() < KEPT {
                free.push(buffer);
            }
        }
    }
}

/// The receiving half of a connection's state.
pub(super) struct Inbox {
    buffer: BytesMut,
    pool: Arc<Pool>,
    /// The connection's number.
    reader: u64,
    memory: FrameMemory,
    /// Memory of the frame that is being received.
    held: Reservation,
    /// Set while that memory is waited for; nothing is read meanwhile.
    waiting: Option<BoxFuture<Reservation>>,
    /// The size of the frame that memory was taken for.
    reserved_for: Option<usize>,
    /// The largest frame that this connection completed: so much room is made at once from then on.
    proven: usize,
}

/// A complete request without its prefix, and the memory that it holds.
pub(super) struct Received {
    pub(super) frame: Bytes,
    pub(super) memory: Reservation,
}

/// What a read brought.
pub(super) enum Arrived {
    Bytes,
    /// The memory that the frame at the front waited for; it may be complete already.
    Memory,
    End,
}

impl Inbox {
    pub(super) fn new(pool: Arc<Pool>, reader: u64, memory: FrameMemory) -> Self {
        Self {
            buffer: BytesMut::new(),
            pool,
            reader,
            memory,
            held: None,
            waiting: None,
            reserved_for: None,
            proven: FIRST,
        }
    }

    /// Goes on with the buffers of another core, and with what has arrived.
    pub(super) fn move_to(&mut self, pool: Arc<Pool>) {
        self.pool = pool;
    }

    /// Whether the frame that is arriving keeps memory from others who may need it.
    pub(super) fn holds_scarce_memory(&self) -> bool {
        self.held.is_some() && self.memory.is_scarce()
    }

    /// Cuts the next complete frame of at most so many bytes out of what has arrived.
    pub(super) fn next_frame(&mut self, max_frame: usize) -> Result<Option<Received>, Closing> {
        if self.waiting.is_some() || self.buffer.len() < PREFIX {
            self.rest();
            return Ok(None);
        }
        let size = i32::from_be_bytes([self.buffer[0], self.buffer[1], self.buffer[2], self.buffer[3]]);
        let length = usize::try_from(size).ok().filter(|length| *length <= max_frame);
        let Some(length) = length else {
            return Err(Closing::FrameSize { size, max: max_frame, hint: hint(size) });
        };
        if !self.reserve(length) || self.buffer.len() < PREFIX + length {
            self.grow_for(PREFIX + length);
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let frame = if length < COPY_BELOW {
            let copy = copied(&self.buffer[..length]);
            self.buffer.advance(length);
            copy
        } else {
            self.buffer.split_to(length).freeze()
        };
        self.reserved_for = None;
        self.proven = self.proven.max(length.min(LARGEST_STEP));
        Ok(Some(Received { frame, memory: self.held.take() }))
    }

    /// The frame at the front, if it is complete.
    pub(super) fn peek(&self, max_frame: usize) -> Option<&[u8]> {
        let (size, rest) = self.buffer.split_first_chunk::<PREFIX>()?;
        let length = usize::try_from(i32::from_be_bytes(*size)).ok().filter(|length| *length <= max_frame)?;
        rest.get(..length)
    }

    /// Takes memory for the frame at the front, once; `false` while it has to be waited for.
    fn reserve(&mut self, length: usize) -> bool {
        if self.reserved_for == Some(length) {
            return true;
        }
        self.reserved_for = Some(length);
        if let Some(reservation) = self.memory.try_reserve(length) {
            self.held = reservation;
            return true;
        }
        self.waiting = Some(Box::pin(self.memory.clone().reserve(length)));
        false
    }

    /// Makes room for more of a frame that is not complete: at most as much again as has arrived, or as the
    /// connection has completed before.
    fn grow_for(&mut self, total: usize) {
        let missing = total - self.buffer.len().min(total);
        let step = self.buffer.len().clamp(self.proven, LARGEST_STEP);
        self.buffer.reserve(missing.min(step));
    }

    /// Makes room where there is none, and tells how much of it is to be filled at once: what is received at first, or a large frame to its end.
    /// What comes behind that would be moved to where it has room: a tenth of the samples with batches of 1 MB.
    fn make_room(&mut self) -> usize {
        let is_crowded = self.pool.is_crowded(self.reader);
        if self.buffer.capacity() == 0 {
            self.buffer = self.pool.take();
            // No more than is kept afterwards: small requests of who has sent large ones would each take a new one.
            self.buffer.reserve((PREFIX + self.proven).min(KEEP_BELOW));
        } else if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(FIRST);
        }
        // Who sends larger ones is not answered early in any case.
        let sends_large = self.proven > FIRST;
        let least = if is_crowded || sends_large { CROWDED } else { FIRST };
        let expected = match self.buffer.first_chunk::<PREFIX>() {
            Some(size) => PREFIX + usize::try_from(i32::from_be_bytes(*size)).unwrap_or(0),
            None if sends_large => PREFIX + self.proven,
            None => 0,
        };
        expected.max(least).saturating_sub(self.buffer.len()).max(1)
    }

    /// Gives the buffer back while nothing is in it.
    fn rest(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.pool.give_back(std::mem::take(&mut self.buffer));
        }
    }

    /// Reads once when the socket has something. The buffer is taken only then: an idle connection owns none.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
    ) -> Poll<io::Result<Arrived>> {
        if let Some(waiting) = &mut self.waiting {
            self.held = ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
            return Poll::Ready(Ok(Arrived::Memory));
        }
        ready!(transport.poll_read_ready(cx))?;
        let room = self.make_room();
        let count = match transport {
            Transport::Plain(stream) => {
                ready!(pin!(stream.read_buf(&mut (&mut self.buffer).limit(room))).poll(cx))?
            }
            Transport::Tls(tls) => tls.read_into(&mut self.buffer)?,
        };
        Poll::Ready(Ok(if count == 0 { Arrived::End } else { Arrived::Bytes }))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.buffer.clear();
        self.rest();
    }
}

/// A copy of its own for a small request, in one allocation: `Bytes` made of a vector takes a second one when it is first cut.
fn copied(frame: &[u8]) -> Bytes {
    const SMALL: usize = 256;
    const MIDDLE: usize = 1024;
    match frame.len() {
        len if len <= SMALL => Bytes::from_owner(Inline::<SMALL>::of(frame)),
        len if len <= MIDDLE => Bytes::from_owner(Inline::<MIDDLE>::of(frame)),
        _ => Bytes::from_owner(Inline::<COPY_BELOW>::of(frame)),
    }
}

/// Bytes with their room beside them.
struct Inline<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Inline<ROOM> {
    fn of(frame: &[u8]) -> Self {
        let mut bytes = [0; ROOM];
        bytes[..frame.len()].copy_from_slice(frame);
        Self { bytes, len: frame.len() }
    }
}

impl<const ROOM: usize> AsRef<[u8]> for Inline<ROOM> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What a size that cannot be one says about who is talking.
fn hint(size: i32) -> &'static str {
    match &size.to_be_bytes() {
        b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" => "; this looks like HTTP",
        [0x16, 3, _, _] => "; this looks like TLS on a plaintext listener",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_crowded_while_it_serves_several_connections_without_a_rest() {
        let pool = Pool::default();
        assert_eq!([1, 1, 2, 1].map(|reader| pool.is_crowded(reader)), [false, false, true, true]);
        pool.rest();
        assert_eq!([1, 1].map(|reader| pool.is_crowded(reader)), [false, false]);
    }

    fn inbox(pool: &Arc<Pool>, reader: u64) -> Inbox {
        Inbox::new(Arc::clone(pool), reader, FrameMemory::new(1 << 20, 0))
    }

    /// As much of this as a read takes.
    fn read(inbox: &mut Inbox, sent: &[u8]) -> usize {
        let count = sent.len().min(inbox.make_room()).min(inbox.buffer.capacity() - inbox.buffer.len());
        inbox.buffer.extend_from_slice(&sent[..count]);
        count
    }

    #[test]
    fn one_alone_is_answered_early_and_one_among_others_in_one_go() {
        let pool = Arc::new(Pool::default());
        let (mut first, mut second) = (inbox(&pool, 1), inbox(&pool, 2));
        let sent = frame(1 << 20);
        assert_eq!(read(&mut first, &sent), FIRST);
        assert_eq!(read(&mut second, &sent), CROWDED);
        first.buffer.clear();
        second.buffer.clear();
        pool.rest();
        assert_eq!(read(&mut first, &sent[..FIRST / 2]), FIRST / 2);
        assert_eq!(
            read(&mut first, &sent[FIRST / 2..FIRST]),
            FIRST / 2,
            "as much as is handled at once, with what is there"
        );
        assert!(
            read(&mut first, &sent[FIRST..]) > FIRST,
            "a frame that is larger comes on as fast as it can"
        );
        assert_eq!(read(&mut second, &sent), CROWDED);
    }

    fn frame(length: usize) -> Vec<u8> {
        let mut frame = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        frame.resize(PREFIX + length, 7);
        frame
    }

    #[test]
    fn a_frame_a_little_larger_than_what_comes_first_takes_two_reads() {
        let mut inbox = inbox(&Arc::new(Pool::default()), 1);
        let sent = frame(40_000);
        let first = read(&mut inbox, &sent);
        assert_eq!(first, FIRST);
        assert!(inbox.next_frame(1 << 20).unwrap().is_none());
        assert_eq!(first + read(&mut inbox, &sent[first..]), sent.len());
        assert!(inbox.next_frame(1 << 20).unwrap().is_some());
        assert!(inbox.next_frame(1 << 20).unwrap().is_none(), "the buffer rests");
        assert_eq!(read(&mut inbox, &sent.repeat(9)), CROWDED, "from then on they come together");
    }

    #[test]
    fn the_buffer_of_who_has_sent_large_frames_is_used_again() {
        let mut inbox = inbox(&Arc::new(Pool::default()), 1);
        inbox.proven = LARGEST_STEP;
        let small = frame(10);
        let places = [(); 3].map(|()| {
            read(&mut inbox, &small);
            let place = inbox.buffer.as_ptr();
            assert!(inbox.next_frame(1 << 20).unwrap().is_some());
            assert!(inbox.next_frame(1 << 20).unwrap().is_none());
            place
        });
        assert_eq!(inbox.pool.free.lock().len(), 1);
        assert_eq!(places, [places[0]; 3]);
    }

    #[test]
    fn large_frames_come_one_by_one_into_room_that_is_there() {
        let mut inbox = inbox(&Arc::new(Pool::default()), 1);
        let (one, small) = (frame(300_000), frame(10));
        let sent = [&one[..], &one, &one, &small].concat();
        let mut rest = &sent[..];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let count = read(&mut inbox, rest);
            rest = &rest[count..];
            let place = inbox.buffer.as_ptr();
            while let Some(received) = inbox.next_frame(1 << 20).unwrap() {
                if received.frame.len() > COPY_BELOW && !frames.is_empty() {
                    assert_eq!(received.frame.as_ptr(), place.wrapping_add(PREFIX), "it was not moved");
                    assert_eq!(count, one.len(), "and came at once");
                }
                frames.push(received.frame.len());
            }
        }
        assert_eq!(frames, [300_000, 300_000, 300_000, 10]);
    }
}

//! A load that costs less than a broker: one thread, prepared frames, as few calls as the kernel allows.
//!
//! It must never count an answer that says an error, nor one that it did not read to its last byte.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustls::ClientConfig;

use crate::tls::Encrypted;

/// A larger answer than this is read in pieces.
const PIECE: usize = 1 << 20;
/// Frames that one call sends.
const GATHER: usize = 16;
/// Nothing that is measured takes longer for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked, how often at a time.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Requests with their sizes, all of one length; the connections go through them in turns.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Where the answer's error code is, counted from its size on; `None` where it has none at a fixed place.
    pub(crate) error_at: Option<usize>,
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    pub(crate) window: usize,
    /// How the connections are encrypted, if they are.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// How long a load goes on: until either is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    pub(crate) passed: Duration,
    pub(crate) answered: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    pub(crate) bytes: u64,
    pub(crate) lasted: Duration,
    /// From a request to its answer in milliseconds; measured where one is under way at a time.
    pub(crate) took: Vec<f64>,
}

/// Connections that are open, with nothing under way.
pub(crate) struct Open {
    load: Load,
    poll: OwnedFd,
    connections: Vec<Connection>,
    piece: Vec<u8>,
}

impl Open {
    pub(crate) fn new(to: SocketAddr, load: Load) -> io::Result<Self> {
        assert!(load.frames.iter().all(|frame| frame.len() == load.frames[0].len()), "all of one length");
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let connection = Connection::open(to, &load, index)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&poll, connection.stream.socket(), epoll::EventData::new_u64(index as u64), flags)?;
            connections.push(connection);
        }
        Ok(Self { load, poll, connections, piece: vec![0; PIECE] })
    }

    /// Asks until it is over, and takes the answers that are under way then.
    pub(crate) fn run(&mut self, until: Until) -> io::Result<Outcome> {
        let Self { load, poll, connections, piece } = self;
        let mut outcome = Outcome::default();
        let mut events = Vec::with_capacity(load.connections);
        let begin = Instant::now();
        for connection in &mut *connections {
            connection.send(load, load.window)?;
        }
        let mut owed = (load.connections * load.window) as u64;
        while owed > 0 {
            events.clear();
            let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            if epoll::wait(&*poll, spare_capacity(&mut events), Some(&patience))? == 0 {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}")));
            }
            for event in &events {
                let connection = &mut connections[event.data.u64() as usize];
                let answered = connection.receive(load, piece, &mut outcome)?;
                let over = begin.elapsed() >= until.passed || outcome.answers + owed >= until.answered;
                owed -= answered as u64;
                let more = if over { 0 } else { answered };
                owed += more as u64;
                connection.send(load, more)?;
            }
        }
        outcome.lasted = begin.elapsed();
        Ok(outcome)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<Encrypted>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(encrypted) => encrypted.socket(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(encrypted) => encrypted.read(into),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_vectored(slices),
            Self::Tls(encrypted) => encrypted.write(&slices[0]),
        }
    }

    /// Whether a read of so much, where there was room for more, left nothing in the socket.
    fn is_drained(&self, count: usize, room: usize) -> bool {
        matches!(self, Self::Plain(_)) && count < room
    }
}

struct Connection {
    stream: Stream,
    /// The frame that is next, or partly sent.
    next: usize,
    /// Requests that are not sent to their end, and how much of the first is.
    unsent: usize,
    sent: usize,
    asked: Instant,
    /// The beginning of the answer that is coming, up to its error code; and how much of it is still to come.
    head: Vec<u8>,
    left: usize,
}

impl Connection {
    fn open(to: SocketAddr, load: &Load, index: usize) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        let stream = match &load.tls {
            None => Stream::Plain(socket),
            Some(config) => Stream::Tls(Box::new(Encrypted::of(socket, Arc::clone(config))?)),
        };
        stream.socket().set_nonblocking(true)?;
        let next = index % load.frames.len();
        Ok(Self { stream, next, unsent: 0, sent: 0, asked: Instant::now(), head: Vec::new(), left: 0 })
    }

    /// Queues so many more requests, and sends what the socket takes.
    fn send(&mut self, load: &Load, more: usize) -> io::Result<()> {
        if more > 0 {
            self.asked = Instant::now();
        }
        self.unsent += more;
        let length = load.frames[0].len();
        while self.unsent > 0 {
            let frame =
                |ahead: usize| &load.frames[(self.next + ahead * load.connections) % load.frames.len()];
            let mut slices = [IoSlice::new(&[]); GATHER];
            let count = self.unsent.min(GATHER);
            for (ahead, slice) in slices[..count].iter_mut().enumerate() {
                *slice = IoSlice::new(&frame(ahead)[if ahead == 0 { self.sent } else { 0 }..]);
            }
            match self.stream.write(&slices[..count]) {
                Ok(count) => {
                    let sent = self.sent + count;
                    self.unsent -= sent / length;
                    self.next = (self.next + sent / length * load.connections) % load.frames.len();
                    self.sent = sent % length;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there, and gives how many answers were complete.
    fn receive(&mut self, load: &Load, piece: &mut [u8], outcome: &mut Outcome) -> io::Result<usize> {
        let mut answered = 0;
        loop {
            let count = match self.stream.read(piece) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answered),
                Err(error) => return Err(error),
            };
            outcome.bytes += count as u64;
            let complete = self.take(load, &piece[..count])?;
            if complete > 0 && load.window == 1 {
                outcome.took.push(self.asked.elapsed().as_secs_f64() * 1e3);
            }
            answered += complete;
            outcome.answers += complete as u64;
            if self.stream.is_drained(count, piece.len()) {
                return Ok(answered);
            }
        }
    }

    /// Follows the answers through these bytes.
    fn take(&mut self, load: &Load, mut bytes: &[u8]) -> io::Result<usize> {
        let mut complete = 0;
        // The size and the correlation id are there always.
        let wanted = load.error_at.map_or(8, |at| at + 2);
        while !bytes.is_empty() {
            if self.left == 0 {
                let (head, rest) = bytes.split_at((wanted - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() < wanted {
                    break;
                }
                let size = u32::from_be_bytes([self.head[0], self.head[1], self.head[2], self.head[3]]);
                let code =
                    load.error_at.map_or(0, |at| i16::from_be_bytes([self.head[at], self.head[at + 1]]));
                if code != 0 {
                    return Err(io::Error::other(format!("a request was refused with {code}")));
                }
                self.left = (4 + size as usize).checked_sub(self.head.len()).ok_or(ErrorKind::InvalidData)?;
                self.head.clear();
                complete += usize::from(self.left == 0);
                continue;
            }
            let now = self.left.min(bytes.len());
            self.left -= now;
            bytes = &bytes[now..];
            complete += usize::from(self.left == 0);
        }
        Ok(complete)
    }
}

//! A load that costs less than a broker: one thread, prepared frames, as few calls as the kernel allows.
//!
//! It must never count an answer that says an error, nor one that it did not read to its last byte.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

/// A larger answer than this is read in pieces.
const PIECE: usize = 1 << 20;
/// Frames that one call sends.
const GATHER: usize = 16;
/// Nothing that is measured takes longer for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked, how often at a time.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// A request with its size.
    pub(crate) frame: Vec<u8>,
    /// Where the answer's error code is, counted from its size on.
    pub(crate) error_at: usize,
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    pub(crate) window: usize,
}

/// How long a load goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Passed(Duration),
    Answered(u64),
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

/// Asks until it is over, and takes the answers that are under way then.
pub(crate) fn run(to: SocketAddr, load: &Load, until: Until) -> io::Result<Outcome> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(load.connections);
    for index in 0..load.connections {
        let connection = Connection::open(to, load)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&poll, &connection.stream, epoll::EventData::new_u64(index as u64), flags)?;
        connections.push(connection);
    }
    let mut outcome = Outcome::default();
    let mut piece = vec![0; PIECE];
    let mut events = Vec::with_capacity(load.connections);
    let begin = Instant::now();
    for connection in &mut connections {
        connection.send(load, load.window)?;
    }
    let mut owed = (load.connections * load.window) as u64;
    while owed > 0 {
        events.clear();
        let patience = rustix::event::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        if epoll::wait(&poll, spare_capacity(&mut events), Some(&patience))? == 0 {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer"));
        }
        for event in &events {
            let connection = &mut connections[event.data.u64() as usize];
            let answered = connection.receive(load, &mut piece, &mut outcome)?;
            let over = match until {
                Until::Passed(time) => begin.elapsed() >= time,
                Until::Answered(count) => outcome.answers + owed >= count,
            };
            owed -= answered as u64;
            let more = if over { 0 } else { answered };
            owed += more as u64;
            connection.send(load, more)?;
        }
    }
    outcome.lasted = begin.elapsed();
    Ok(outcome)
}

struct Connection {
    stream: TcpStream,
    /// Requests that are not sent to their end, and how much of the first is.
    unsent: usize,
    sent: usize,
    asked: Instant,
    /// The beginning of the answer that is coming, up to its error code; and how much of it is still to come.
    head: Vec<u8>,
    left: usize,
}

impl Connection {
    fn open(to: SocketAddr, load: &Load) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let head = Vec::with_capacity(load.error_at + 2);
        Ok(Self { stream, unsent: 0, sent: 0, asked: Instant::now(), head, left: 0 })
    }

    /// Queues so many more requests, and sends what the socket takes.
    fn send(&mut self, load: &Load, more: usize) -> io::Result<()> {
        if more > 0 {
            self.asked = Instant::now();
        }
        self.unsent += more;
        while self.unsent > 0 {
            let mut slices = [IoSlice::new(&load.frame); GATHER];
            slices[0] = IoSlice::new(&load.frame[self.sent..]);
            match self.stream.write_vectored(&slices[..self.unsent.min(GATHER)]) {
                Ok(count) => {
                    let sent = self.sent + count;
                    self.unsent -= sent / load.frame.len();
                    self.sent = sent % load.frame.len();
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
            if count < piece.len() {
                return Ok(answered);
            }
        }
    }

    /// Follows the answers through these bytes.
    fn take(&mut self, load: &Load, mut bytes: &[u8]) -> io::Result<usize> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                let wanted = load.error_at + 2 - self.head.len();
                let (head, rest) = bytes.split_at(wanted.min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() < load.error_at + 2 {
                    break;
                }
                let size = u32::from_be_bytes([self.head[0], self.head[1], self.head[2], self.head[3]]);
                let code = i16::from_be_bytes([self.head[load.error_at], self.head[load.error_at + 1]]);
                if code != 0 {
                    return Err(io::Error::other(format!("a request was refused with {code}")));
                }
                self.left = 4 + size as usize - self.head.len();
                self.head.clear();
            }
            let now = self.left.min(bytes.len());
            self.left -= now;
            bytes = &bytes[now..];
            complete += usize::from(self.left == 0);
        }
        Ok(complete)
    }
}

//! The bare loops: what a broker has to do at the least, and nothing else. Their processor time is the machine's limit.
//!
//! Each runs as a process of its own, so that it is measured as a broker is. It must never look into a request further than its size.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use milena_compat_tests::members::allow_many_connections;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fs::{FallocateFlags, fallocate, sendfile};

use crate::{bare_tls, requests, tls};

/// What a loop does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Receive, CRC-32C, one write at the end of a file: of so many in turns, as many partitions are.
    Append(usize),
    /// Send so many bytes of a file that is in the page cache.
    Send(usize),
    /// Answer.
    Echo,
    /// What a longer request brought is appended and acknowledged, and goes to the connection whose short request waits for it.
    Relay,
    /// Send so many bytes of a file that is in the page cache, encrypted.
    Encrypt(usize),
}

/// The first argument of a process that is one of these loops.
pub(crate) const COMMAND: &str = "bare-loop";
/// As long as the answer to a produce or a heartbeat.
pub(crate) const ANSWER: usize = 60;
/// A request that brings records is longer.
const SHORT: usize = 512;
/// Room for the largest request and the beginning of the next.
const BUFFER: usize = 2 << 20;
const PREALLOCATED: u64 = 64 << 20;

/// A loop in a process of its own, which ends with this value.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start(kind: Kind) -> io::Result<Self> {
        Self::with(kind, &[])
    }

    /// As `start`, with the files of a certificate.
    pub(crate) fn with(kind: Kind, files: &[&Path]) -> io::Result<Self> {
        let (name, size) = match kind {
            Kind::Append(files) => ("append", files),
            Kind::Send(size) => ("send", size),
            Kind::Echo => ("echo", 0),
            Kind::Relay => ("relay", 0),
            Kind::Encrypt(size) => ("encrypt", size),
        };
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.args([COMMAND, name, &size.to_string()]).args(files).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        let address = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until it is killed.
pub(crate) fn serve(arguments: &[String]) -> io::Result<()> {
    let size = arguments.get(1).and_then(|size| size.parse().ok()).unwrap_or(0);
    let kind = match arguments.first().map(String::as_str) {
        Some("append") => Kind::Append(size),
        Some("send") => Kind::Send(size),
        Some("relay") => Kind::Relay,
        Some("encrypt") => Kind::Encrypt(size),
        _ => Kind::Echo,
    };
    allow_many_connections();
    let file = tempfile::tempfile()?;
    if let Kind::Send(size) | Kind::Encrypt(size) = kind {
        file.write_all_at(&vec![7; size], 0)?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    if let (Kind::Encrypt(size), [_, _, chain, key]) = (kind, arguments) {
        return bare_tls::serve(&listener, &file, size, tls::server(Path::new(chain), Path::new(key))?);
    }
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(u64::MAX), flags)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut others = VecDeque::new();
    if let Kind::Append(files) = kind {
        for _ in 1..files {
            others.push_back(Growing::new(tempfile::tempfile()?));
        }
    }
    let mut disk = Disk { file: Growing::new(file), others, full: VecDeque::new(), passed_on: Vec::new() };
    let mut spare: Vec<Vec<u8>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            if event.data.u64() == u64::MAX {
                let stream = accept(&listener, &poll, connections.len())?;
                // A buffer that was used before has its pages.
                let buffer = spare.pop().unwrap_or_else(|| vec![0; BUFFER]);
                connections.push(Some(Connection::of(stream, buffer)));
                continue;
            }
            let slot = &mut connections[event.data.u64() as usize];
            let Some(connection) = slot else { continue };
            if connection.turn(kind, &mut disk).is_err() {
                spare.extend(slot.take().map(|connection| connection.buffer));
            }
            if kind == Kind::Relay && !disk.passed_on.is_empty() {
                let waiting = connections.iter_mut().flatten().find(|connection| connection.is_waiting());
                waiting.map_or(Ok(()), |connection| connection.hand_over(&mut disk.passed_on))?;
            }
        }
    }
}

struct Growing {
    file: File,
    end: u64,
    allocated: u64,
}

impl Growing {
    fn new(file: File) -> Self {
        Self { file, end: 0, allocated: 0 }
    }
}

struct Disk {
    file: Growing,
    /// Those that have their turn after it.
    others: VecDeque<Growing>,
    /// Full files that are not deleted yet.
    full: VecDeque<File>,
    /// What is to go to a connection that waits.
    passed_on: Vec<u8>,
}

impl Disk {
    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        // Nobody asks for it, and what nobody asks for the compiler leaves out.
        std::hint::black_box(crc_fast::crc32_iscsi(frame));
        if self.file.end + frame.len() as u64 > u64::from(requests::SEGMENT) {
            let full = std::mem::replace(&mut self.file, Growing::new(tempfile::tempfile()?));
            self.full.push_back(full.file);
            if self.full.len() as u64 * u64::from(requests::SEGMENT) > requests::KEPT {
                self.full.pop_front();
            }
        }
        let Growing { file, end, allocated } = &mut self.file;
        if self.others.is_empty() && *end + frame.len() as u64 > *allocated {
            fallocate(&*file, FallocateFlags::KEEP_SIZE, *allocated, PREALLOCATED)?;
            *allocated += PREALLOCATED;
        }
        file.write_all_at(frame, *end)?;
        *end += frame.len() as u64;
        if let Some(next) = self.others.pop_front() {
            self.others.push_back(std::mem::replace(&mut self.file, next));
        }
        Ok(())
    }
}

/// Takes the next connection, which the poll knows by its number.
pub(crate) fn accept(listener: &TcpListener, poll: &OwnedFd, number: usize) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(poll, &stream, epoll::EventData::new_u64(number as u64), flags)?;
    Ok(stream)
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// Answers without a file, ready to go; and answers with one that are owed, and how much of the first file is sent.
    out: Vec<u8>,
    owed: usize,
    header_sent: bool,
    file_sent: usize,
    waits: bool,
}

impl Connection {
    fn of(stream: TcpStream, buffer: Vec<u8>) -> Self {
        let out = Vec::new();
        Self { stream, buffer, filled: 0, out, owed: 0, header_sent: false, file_sent: 0, waits: false }
    }

    /// Everything that can be done now.
    fn turn(&mut self, kind: Kind, disk: &mut Disk) -> io::Result<()> {
        loop {
            let drained = match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    let room = self.buffer.len() - self.filled;
                    self.filled += count;
                    count < room
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                Err(error) => return Err(error),
            };
            self.take(kind, disk)?;
            self.send(kind, disk)?;
            if drained {
                return Ok(());
            }
        }
    }

    fn take(&mut self, kind: Kind, disk: &mut Disk) -> io::Result<()> {
        let mut at = 0;
        while let Some(prefix) = self.buffer[at..self.filled].first_chunk::<4>() {
            let whole = 4 + u32::from_be_bytes(*prefix) as usize;
            let Some(frame) = self.buffer[at..self.filled].get(..whole) else { break };
            match kind {
                Kind::Relay if frame.len() < SHORT => {
                    self.waits = true;
                    at += whole;
                    continue;
                }
                Kind::Append(_) => disk.append(frame)?,
                Kind::Relay => {
                    disk.append(frame)?;
                    disk.passed_on.extend_from_slice(frame);
                }
                Kind::Send(_) | Kind::Encrypt(_) => self.owed += 1,
                Kind::Echo => {}
            }
            if !matches!(kind, Kind::Send(_)) {
                self.out.extend_from_slice(&answer(0));
            }
            at += whole;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    fn send(&mut self, kind: Kind, disk: &Disk) -> io::Result<()> {
        let sent = match kind {
            Kind::Send(size) => self.send_files(size, disk),
            Kind::Append(_) | Kind::Echo | Kind::Relay | Kind::Encrypt(_) => self.send_answers(),
        };
        match sent {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Whether it waits and is still there: the end of one that has gone may be behind the record in the same round, which would go with it.
    fn is_waiting(&self) -> bool {
        self.waits && !matches!(self.stream.peek(&mut [0]), Ok(0))
    }

    /// Answers with all that is there.
    fn hand_over(&mut self, passed_on: &mut Vec<u8>) -> io::Result<()> {
        self.waits = false;
        self.out.extend_from_slice(&answer(passed_on.len()));
        self.out.append(passed_on);
        match self.send_answers() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn send_answers(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            let count = self.stream.write(&self.out)?;
            self.out.drain(..count);
        }
        Ok(())
    }

    fn send_files(&mut self, size: usize, disk: &Disk) -> io::Result<()> {
        while self.owed > 0 {
            if !self.header_sent {
                // As the broker does: the header waits for the data, in one packet.
                let flags = rustix::net::SendFlags::MORE;
                let count = rustix::net::send(&self.stream, &answer(size), flags)?;
                assert_eq!(count, ANSWER, "a socket takes sixty bytes or none");
                self.header_sent = true;
            }
            while self.file_sent < size {
                let mut from = self.file_sent as u64;
                let left = size - self.file_sent;
                self.file_sent +=
                    sendfile(self.stream.as_fd(), disk.file.file.as_fd(), Some(&mut from), left)?;
            }
            (self.owed, self.header_sent, self.file_sent) = (self.owed - 1, false, 0);
        }
        Ok(())
    }
}

/// An answer's first bytes, all zero behind its size.
pub(crate) fn answer(rest: usize) -> [u8; ANSWER] {
    let mut answer = [0; ANSWER];
    let size = u32::try_from(ANSWER - 4 + rest).expect("a small answer");
    answer[..4].copy_from_slice(&size.to_be_bytes());
    answer
}

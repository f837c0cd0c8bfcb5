//! The bare loop of TLS: a file of the page cache is read, encrypted and sent, and nothing else.
//!
//! It must never look into a request further than its size.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustls::{ServerConfig, ServerConnection};

use crate::bare::{ANSWER, accept, answer};

/// Read and encrypted at a time: it stays in the processor's cache.
const CHUNK: usize = 64 << 10;

/// Serves until the process is killed.
pub(crate) fn serve(
    listener: &TcpListener,
    file: &File,
    size: usize,
    config: Arc<ServerConfig>,
) -> io::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, listener, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            if event.data.u64() == u64::MAX {
                let socket = accept(listener, &poll, connections.len())?;
                let mut session = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
                session.set_buffer_limit(None);
                connections.push(Some(Connection { socket, session, asked: Vec::new(), owed: 0, sent: 0 }));
                continue;
            }
            let slot = &mut connections[event.data.u64() as usize];
            let turned = slot.as_mut().map_or(Ok(()), |connection| connection.turn(file, size));
            if turned.is_err() {
                *slot = None;
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    session: ServerConnection,
    /// A request that has not come to its end.
    asked: Vec<u8>,
    owed: usize,
    /// Of the answer that is on its way.
    sent: usize,
}

impl Connection {
    /// Everything that can be done now.
    fn turn(&mut self, file: &File, size: usize) -> io::Result<()> {
        self.receive()?;
        match self.send(file, size) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        loop {
            match self.session.read_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
        match self.session.reader().read_to_end(&mut self.asked) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        while let Some(prefix) = self.asked.first_chunk::<4>() {
            let whole = 4 + u32::from_be_bytes(*prefix) as usize;
            if self.asked.len() < whole {
                break;
            }
            self.asked.drain(..whole);
            self.owed += 1;
        }
        Ok(())
    }

    fn send(&mut self, file: &File, size: usize) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        loop {
            while self.session.wants_write() {
                self.session.write_tls(&mut self.socket)?;
            }
            if self.owed == 0 {
                return Ok(());
            }
            if self.sent == 0 {
                self.session.writer().write_all(&answer(size))?;
                self.sent = ANSWER;
            }
            let from = self.sent - ANSWER;
            let now = CHUNK.min(size - from);
            file.read_exact_at(&mut chunk[..now], from as u64)?;
            self.session.writer().write_all(&chunk[..now])?;
            self.sent += now;
            if self.sent == ANSWER + size {
                (self.owed, self.sent) = (self.owed - 1, 0);
            }
        }
    }
}

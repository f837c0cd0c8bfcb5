//! TLS over a socket: the handshake, and records in both directions, without ever waiting for more than the socket.
//!
//! Must never read a file, nor choose what is trusted: the configuration comes ready-made.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use rustls::{ServerConfig, ServerConnection};

use super::frame::FileSlice;
use super::stream::{self, TcpStream};

/// File data is read and encrypted in pieces of as much as the session takes at once.
const PIECE: usize = 64 << 10;

/// A connection whose handshake is done.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: TcpStream,
    session: ServerConnection,
    /// Decrypted bytes that nobody has read.
    readable: usize,
    /// The client sends no more.
    ended: bool,
}

impl TlsStream {
    /// Shakes hands; a client that does it wrong is told by an alert, as far as its socket takes it.
    pub(super) async fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, Refused> {
        let session = match ServerConnection::new(config) {
            Ok(session) => session,
            Err(error) => return Err(Refused { error: io::Error::other(error), socket }),
        };
        let mut this = Self { socket, session, readable: 0, ended: false };
        match poll_fn(|cx| this.poll_handshake(cx)).await {
            Ok(()) => Ok(this),
            Err(error) => {
                let _ = this.flush();
                Err(Refused { error, socket: this.socket })
            }
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(error) = self.flush() {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Poll::Ready(Err(error));
                }
                ready!(self.socket.poll_write_ready(cx))?;
                continue;
            }
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.socket.poll_read_ready(cx))?;
            self.receive()?;
        }
    }

    /// Takes what the socket has; nothing when that was taken already.
    fn receive(&mut self) -> io::Result<()> {
        match self.session.read_tls(&mut Socket(&self.socket)) {
            Ok(0) => self.ended = true,
            Ok(_) => {
                let state = self.session.process_new_packets().map_err(io::Error::other)?;
                self.readable = state.plaintext_bytes_to_read();
                self.ended |= state.peer_has_closed();
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.readable == 0 && !self.ended {
            ready!(self.socket.poll_read_ready(cx))?;
            self.receive()?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Moves decrypted bytes into the room that the buffer has; 0 is the end. A client that goes without a farewell has
    /// ended, too: whole requests are served, and half of one is none (`SslTransportLayer.read`).
    pub(super) fn read_into(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        if self.readable == 0 {
            return Ok(0);
        }
        let mut reader = self.session.reader();
        let chunk = reader.fill_buf()?;
        let count = chunk.len().min(into.capacity() - into.len());
        into.put_slice(&chunk[..count]);
        reader.consume(count);
        self.readable -= count;
        Ok(count)
    }

    pub(super) fn holds_back(&self) -> bool {
        self.session.wants_write()
    }

    /// Sends what is encrypted; `WouldBlock` when the socket took only a part.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket(&self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Encrypts as much of it as the session takes before it has to be flushed.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.writer().write_vectored(slices)
    }

    /// The same for a piece of a file, from this place in the slice on.
    pub(super) fn write_file(&mut self, slice: &FileSlice, from: usize) -> io::Result<usize> {
        let mut bytes = vec![0; (slice.len - from).min(PIECE)];
        slice.file.read_exact_at(&mut bytes, slice.position + from as u64)?;
        self.session.writer().write(&bytes)
    }

    /// With what is decrypted and not read, and what is encrypted and not sent.
    pub(super) fn park(self) -> io::Result<ParkedTls> {
        let Self { socket, session, readable, ended } = self;
        Ok(ParkedTls { socket: stream::park(socket)?, session, readable, ended })
    }

    pub(super) fn close(&mut self) {
        self.session.send_close_notify();
        // Who does not read it has gone.
        let _ = self.flush();
    }
}

/// A connection that belongs to no core.
#[derive(Debug)]
pub(super) struct ParkedTls {
    socket: stream::Parked,
    session: ServerConnection,
    readable: usize,
    ended: bool,
}

impl ParkedTls {
    pub(super) fn unpark(self) -> io::Result<TlsStream> {
        let Self { socket, session, readable, ended } = self;
        Ok(TlsStream { socket: stream::unpark(socket)?, session, readable, ended })
    }
}

/// A handshake that failed, with its socket: whoever failed is let go only after a while.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: io::Error,
    pub(super) socket: TcpStream,
}

/// The socket as the session reads and writes it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        stream::receive(self.0, into)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        stream::send(self.0, from, false)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

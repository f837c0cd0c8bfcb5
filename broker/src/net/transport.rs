//! What the bytes of a connection go through: the socket itself, or TLS over it.
//!
//! Must never cost a connection in plaintext more than a branch.

use std::io;
use std::task::{Context, Poll};

use super::stream::{self, TcpStream};
use super::tls::{ParkedTls, TlsStream};

#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// One that belongs to no core.
#[derive(Debug)]
pub(super) enum Parked {
    Plain(stream::Parked),
    Tls(Box<ParkedTls>),
}

impl Parked {
    /// Enters the event queue of the core that this is called on.
    pub(super) fn unpark(self) -> io::Result<Transport> {
        Ok(match self {
            Self::Plain(socket) => Transport::Plain(stream::unpark(socket)?),
            Self::Tls(tls) => Transport::Tls(Box::new(tls.unpark()?)),
        })
    }
}

impl Transport {
    /// Leaves its core's event queue. What has arrived meanwhile is seen by the next one.
    pub(super) fn park(self) -> io::Result<Parked> {
        Ok(match self {
            Self::Plain(socket) => Parked::Plain(stream::park(socket)?),
            Self::Tls(tls) => Parked::Tls(Box::new(tls.park()?)),
        })
    }

    /// Ready when a read brings something, or the end.
    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(cx),
            Self::Tls(tls) => tls.poll_read_ready(cx),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(cx),
            Self::Tls(tls) => tls.poll_write_ready(cx),
        }
    }

    /// Whether something was taken that has not reached the socket.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.holds_back())
    }

    /// Takes leave, as far as the socket takes it at once.
    pub(super) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }
}

//! Sockets of the operating system.
//!
//! Must never block.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
pub use tokio::net::{TcpListener, TcpStream};

use crate::net::frame::FileSlice;

/// A port that is taken; nobody may connect yet.
pub type Reserved = std::net::TcpListener;
/// A connection that belongs to no core.
pub type Parked = std::net::TcpStream;

/// Takes a port; 0 for one that the system chooses.
pub fn reserve(address: SocketAddr) -> io::Result<Reserved> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(address) = address {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Lets clients connect; they wait for an answer until somebody accepts.
pub fn listen(reserved: &Reserved, backlog: i32) -> io::Result<()> {
    Ok(rustix::net::listen(reserved, backlog)?)
}

/// Takes the socket to the core that this is called on.
pub fn listener(reserved: Reserved) -> io::Result<TcpListener> {
    TcpListener::from_std(reserved)
}

pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((host, port)).await
}

/// Connects to `host:port`.
pub async fn connect_to(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

/// The first bytes, which stay to be read.
pub async fn peek(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    stream.peek(into).await
}

/// Takes a connection out of its core's event queue.
pub fn park(stream: TcpStream) -> io::Result<Parked> {
    stream.into_std()
}

/// Enters a connection into the event queue of the core that this is called on.
pub fn unpark(parked: Parked) -> io::Result<TcpStream> {
    TcpStream::from_std(parked)
}

/// Sets what holds for every connection of a client; a size of `None` is the system's choice.
pub fn set_options(stream: &TcpStream, send: Option<usize>, receive: Option<usize>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    if let Some(size) = send {
        sockopt::set_socket_send_buffer_size(stream, size)?;
    }
    if let Some(size) = receive {
        sockopt::set_socket_recv_buffer_size(stream, size)?;
    }
    Ok(())
}

/// Sends what the socket takes at once; with `more` the kernel waits a moment for what follows.
pub fn send(stream: &TcpStream, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | if more { SendFlags::MORE } else { SendFlags::empty() };
    stream.try_io(Interest::WRITABLE, || {
        Ok(sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), flags)?)
    })
}

/// Takes what has arrived.
pub fn receive(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    stream.try_read(into)
}

/// Moves file data to the socket inside the kernel, from this place in the slice on.
pub fn send_file(stream: &TcpStream, slice: &FileSlice, from: usize, count: usize) -> io::Result<usize> {
    let file = slice.file.as_fd().ok_or(io::ErrorKind::Unsupported)?;
    let mut position = slice.position + from as u64;
    stream.try_io(Interest::WRITABLE, || Ok(rustix::fs::sendfile(stream, file, Some(&mut position), count)?))
}

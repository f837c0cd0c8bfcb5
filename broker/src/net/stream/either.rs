//! A socket of the operating system or of a simulated network, for tests.
//!
//! A simulated one is made wherever a simulation runs on this thread. Must never mix the two.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tcp;
use crate::net::frame::FileSlice;

#[derive(Debug)]
pub enum TcpStream {
    Real(tcp::TcpStream),
    Simulated(turmoil::net::TcpStream),
}

pub enum TcpListener {
    Real(tcp::TcpListener),
    Simulated(turmoil::net::TcpListener),
}

pub enum Reserved {
    Real(tcp::Reserved),
    /// With the socket once it listens.
    Simulated(SocketAddr, Mutex<Option<turmoil::net::TcpListener>>),
}

#[derive(Debug)]
pub enum Parked {
    Real(tcp::Parked),
    Simulated(turmoil::net::TcpStream),
}

impl std::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real(socket) => socket.fmt(f),
            Self::Simulated(address, _) => address.fmt(f),
        }
    }
}

impl Reserved {
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Real(socket) => socket.local_addr(),
            Self::Simulated(address, _) => Ok(*address),
        }
    }
}

impl TcpListener {
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Ok(match self {
            Self::Real(listener) => {
                let (stream, peer) = listener.accept().await?;
                (TcpStream::Real(stream), peer)
            }
            Self::Simulated(listener) => {
                let (stream, peer) = listener.accept().await?;
                (TcpStream::Simulated(stream), peer)
            }
        })
    }
}

impl TcpStream {
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Real(stream) => stream.set_nodelay(on),
            Self::Simulated(stream) => stream.set_nodelay(on),
        }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Real(stream) => stream.local_addr(),
            Self::Simulated(stream) => stream.local_addr(),
        }
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Real(stream) => stream.peer_addr(),
            Self::Simulated(stream) => stream.peer_addr(),
        }
    }

    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Real(stream) => stream.poll_read_ready(cx),
            Self::Simulated(stream) => {
                let mut byte = [0];
                stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)).map_ok(drop)
            }
        }
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Real(stream) => stream.poll_write_ready(cx),
            Self::Simulated(stream) => pin!(stream.writable()).poll(cx),
        }
    }
}

pub fn reserve(address: SocketAddr) -> io::Result<Reserved> {
    if turmoil::in_simulation() {
        return Ok(Reserved::Simulated(address, Mutex::default()));
    }
    tcp::reserve(address).map(Reserved::Real)
}

/// Simulated hosts have one address each, so every listener is on all of them.
pub fn listen(reserved: &Reserved, backlog: i32) -> io::Result<()> {
    match reserved {
        Reserved::Real(socket) => tcp::listen(socket, backlog),
        Reserved::Simulated(address, listener) => {
            let binding = turmoil::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()));
            let Poll::Ready(bound) = pin!(binding).poll(&mut Context::from_waker(std::task::Waker::noop()))
            else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            *listener.lock() = Some(bound?);
            Ok(())
        }
    }
}

pub fn listener(reserved: Reserved) -> io::Result<TcpListener> {
    match reserved {
        Reserved::Real(socket) => tcp::listener(socket).map(TcpListener::Real),
        Reserved::Simulated(_, listener) => {
            Ok(TcpListener::Simulated(listener.into_inner().ok_or(io::ErrorKind::NotConnected)?))
        }
    }
}

pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    if turmoil::in_simulation() {
        return turmoil::net::TcpStream::connect((host, port)).await.map(TcpStream::Simulated);
    }
    tcp::connect(host, port).await.map(TcpStream::Real)
}

pub async fn connect_to(address: &str) -> io::Result<TcpStream> {
    if turmoil::in_simulation() {
        return turmoil::net::TcpStream::connect(address).await.map(TcpStream::Simulated);
    }
    tcp::connect_to(address).await.map(TcpStream::Real)
}

pub async fn peek(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    match stream {
        TcpStream::Real(stream) => tcp::peek(stream, into).await,
        TcpStream::Simulated(stream) => stream.peek(into).await,
    }
}

pub fn park(stream: TcpStream) -> io::Result<Parked> {
    match stream {
        TcpStream::Real(stream) => tcp::park(stream).map(Parked::Real),
        TcpStream::Simulated(stream) => Ok(Parked::Simulated(stream)),
    }
}

pub fn unpark(parked: Parked) -> io::Result<TcpStream> {
    match parked {
        Parked::Real(parked) => tcp::unpark(parked).map(TcpStream::Real),
        Parked::Simulated(stream) => Ok(TcpStream::Simulated(stream)),
    }
}

pub fn set_options(stream: &TcpStream, send: Option<usize>, receive: Option<usize>) -> io::Result<()> {
    match stream {
        TcpStream::Real(stream) => tcp::set_options(stream, send, receive),
        TcpStream::Simulated(_) => Ok(()),
    }
}

pub fn send(stream: &TcpStream, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    match stream {
        TcpStream::Real(stream) => tcp::send(stream, slices, more),
        TcpStream::Simulated(stream) => {
            stream.try_write(&slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>())
        }
    }
}

/// Only TLS reads like this, which is not simulated.
pub fn receive(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    match stream {
        TcpStream::Real(stream) => tcp::receive(stream, into),
        TcpStream::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

pub fn send_file(stream: &TcpStream, slice: &FileSlice, from: usize, count: usize) -> io::Result<usize> {
    match stream {
        TcpStream::Real(stream) => tcp::send_file(stream, slice, from, count),
        TcpStream::Simulated(stream) => {
            let mut bytes = vec![0; count];
            slice.file.read_exact_at(&mut bytes, slice.position + from as u64)?;
            stream.try_write(&bytes)
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Simulated(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_write(cx, from),
            Self::Simulated(stream) => Pin::new(stream).poll_write(cx, from),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_flush(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Simulated(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

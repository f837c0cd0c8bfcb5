//! Links: one authenticated connection between two nodes, over which either may ask and answer.
//!
//! Whoever knows the other's address dials; a node without an address is reached over the link that it keeps itself.
//! Must never hand out a connection whose other end did not prove that it knows the secret.

mod connection;
mod frame;
mod handshake;
mod registry;

use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use connection::{Asked, Connection, Inbound, Lost};
pub use handshake::{ClusterSecret, MAGIC};
pub(super) use registry::{Identity, Links};

/// What a link runs over: a TCP connection, one with TLS, or a simulated one.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A dialled stream, some time later.
pub type Dialled = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Makes streams. Must not wait for longer than a connection should take; the caller gives up by itself.
pub trait Dialer: Send + Sync {
    fn dial(&self, address: &str) -> Dialled;
}

/// Dials over plain TCP.
#[derive(Clone, Copy, Debug)]
pub struct TcpDialer;

impl Dialer for TcpDialer {
    fn dial(&self, address: &str) -> Dialled {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

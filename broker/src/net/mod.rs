//! Sockets: frames in, frames out, in order.
//!
//! Must never know an API: a frame goes to a [`Service`], what comes back is written.

mod addresses;
mod connection;
mod connections;
mod cores;
pub mod frame;
pub mod guard;
mod inbox;
mod limits;
pub mod listener;
mod outbox;
mod quiet;
pub mod stream;
mod tls;
mod transport;
mod window;
pub mod workers;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::api::context::{BoxFuture, Caller};
use frame::Frame;

/// What a connection hands its frames to. Called on the connection's core, in the order of arrival.
pub trait Service: Send + Sync + 'static {
    /// Starts one request; the caller's client id is the service's to read from the header.
    fn serve(&self, caller: &Caller, frame: Bytes) -> Served;

    /// Whether this request is better started together with those of its kind that come after it.
    fn goes_with_others(&self, _frame: &[u8]) -> bool {
        false
    }

    /// Starts requests that [go together](Self::goes_with_others), and tells in their order what became of them. Ends with one that closes the
    /// connection.
    fn serve_run(&self, caller: &Caller, frames: Vec<Bytes>) -> Vec<Served> {
        frames.into_iter().map(|frame| self.serve(caller, frame)).collect()
    }

    /// Monotonic time, for what is limited per second.
    fn uptime(&self) -> Duration;
}

/// What became of one request.
pub enum Served {
    Now(Frame),
    Later(BoxFuture<Result<Frame, Closing>>),
    Nothing,
    Close(Closing),
    Last(Last),
}

/// The last answer of a connection, if there is one, which comes late.
pub struct Last {
    pub frame: Option<Frame>,
    pub after: Duration,
    pub why: Closing,
}

/// Why the broker closes a connection by itself.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Closing {
    #[error("frame size {size} is not between 0 and {max}{hint}")]
    FrameSize { size: i32, max: usize, hint: &'static str },
    #[error("malformed request header")]
    Header,
    #[error("unknown api key {0}")]
    UnknownApi(i16),
    #[error("{api} version {version} is not served")]
    Version { api: &'static str, version: i16 },
    #[error("{api} v{version}: {reason}")]
    Malformed { api: &'static str, version: i16, reason: String },
    #[error("{api} v{version}: answer could not be encoded: {reason}")]
    Unencodable { api: &'static str, version: i16, reason: String },
    #[error("{api} v{version}: handler panicked")]
    Panicked { api: &'static str, version: i16 },
    #[error("failed authentication: {0}")]
    Authentication(String),
    #[error("a large request stalled while others wait for its memory")]
    Stalled,
    /// Asked for by the handler; no fault of anybody.
    #[error("closed by the handler")]
    Asked,
}

impl Closing {
    /// Whether the broker is to blame, not the client.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Unencodable { .. } | Self::Panicked { .. })
    }
}

#[cfg(test)]
mod tests;

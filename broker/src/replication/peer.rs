//! A connection to another broker: one request at a time, on its listener for brokers.
//!
//! It must never be used again after a failure: an answer that is late would be taken for the next one.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use milena_coordinator::image::Endpoint;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::net::stream::{self, TcpStream};

/// Largest answer: a follower asks for at most `replica.fetch.response.max.bytes`, but takes one batch of any size.
const ANSWER_MAX: usize = 256 << 20;

/// Why another broker could not be asked.
#[derive(Debug, Error)]
pub enum PeerError {
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("an answer of {0} bytes")]
    TooLarge(usize),
    #[error("an answer that cannot be read: {0}")]
    Malformed(String),
}

/// An open connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    client_id: StrBytes,
    correlation: i32,
    patience: Duration,
}

impl Peer {
    pub async fn connect(
        endpoint: &Endpoint,
        client_id: String,
        patience: Duration,
    ) -> Result<Self, PeerError> {
        let connecting = stream::connect(&endpoint.host, endpoint.port);
        let stream = timeout(patience, connecting).await.map_err(|_| PeerError::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, client_id: StrBytes::from_string(client_id), correlation: 0, patience })
    }

    /// Asks and waits for the answer, at most for `replica.socket.timeout.ms`.
    pub async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, PeerError> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = self.frame(version, request)?;
        let exchanged = timeout(self.patience, self.exchange(&frame)).await;
        let mut answer = exchanged.map_err(|_| PeerError::TimedOut)??;
        let malformed = |error: &dyn std::fmt::Display| PeerError::Malformed(error.to_string());
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|error| malformed(&error))?;
        if header.correlation_id != self.correlation {
            return Err(PeerError::Malformed("it answers something else".into()));
        }
        R::Response::decode(&mut answer, version).map_err(|error| malformed(&error))
    }

    fn frame<R: Request>(&self, version: i16, request: &R) -> Result<BytesMut, PeerError> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let encoded = header.encode(&mut frame, R::header_version(version));
        let encoded = encoded.and_then(|()| request.encode(&mut frame, version));
        encoded.map_err(|error| PeerError::Malformed(error.to_string()))?;
        let length = i32::try_from(frame.len() - 4).map_err(|_| PeerError::TooLarge(frame.len()))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    async fn exchange(&mut self, frame: &[u8]) -> Result<Bytes, PeerError> {
        self.stream.write_all(frame).await?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let length = usize::try_from((&length[..]).get_i32()).unwrap_or(usize::MAX);
        if length > ANSWER_MAX {
            return Err(PeerError::TooLarge(length));
        }
        let mut answer = BytesMut::with_capacity(length);
        while answer.len() < length {
            let missing = length - answer.len();
            let mut rest = (&mut answer).limit(missing);
            if self.stream.read_buf(&mut rest).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(answer.freeze())
    }
}

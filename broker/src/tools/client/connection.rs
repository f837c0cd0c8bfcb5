//! One connection to a broker: a request, its answer, each in versions that both sides know.
//!
//! Must never wait longer than it was told to, nor read a frame that no broker would send.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::login::log_in;
use super::properties::Connecting;
use super::stream::Stream;
use super::{Missed, Refused};

/// A larger answer is a broken one: fetches ask for 50 MiB at most.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// What a broker that does not know a newer version answers in.
const UNSUPPORTED_VERSION: i16 = 35;

/// What Java's clients say of any handshake that failed, and do not try again after.
const HANDSHAKE_EXCEPTION: &str = "org.apache.kafka.common.errors.SslAuthenticationException";

/// A connection whose broker has told its versions, and believes the client.
pub(super) struct Connection {
    stream: Stream,
    client_id: StrBytes,
    correlation: i32,
    pub(super) versions: ApiVersionsResponse,
    ranges: BTreeMap<i16, (i16, i16)>,
    /// How long the broker believes who the client is, in milliseconds; 0 for ever.
    pub(super) session_ms: i64,
}

impl Connection {
    pub(super) fn open(
        host: &str,
        port: u16,
        connecting: &Connecting,
        limit: Duration,
    ) -> Result<Self, Missed> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(socket) => return Self::begin(socket, host, connecting, limit),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn begin(
        socket: TcpStream,
        host: &str,
        connecting: &Connecting,
        limit: Duration,
    ) -> Result<Self, Missed> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(limit))?;
        socket.set_read_timeout(Some(limit))?;
        let tls = connecting.security.tls.as_ref();
        let stream = Stream::open(socket, host, tls).map_err(|error| of_handshake(error, tls.is_some()))?;
        // A certificate of the client's that is not believed is told of only by the first answer.
        let is_tls = stream.is_tls();
        let mut own =
            Self::greet(stream, &connecting.client_id, limit).map_err(|error| of_handshake(error, is_tls))?;
        if let Some(login) = &connecting.security.login {
            own.session_ms = log_in(&mut own, login, limit)?;
        }
        Ok(own)
    }

    fn greet(stream: Stream, client_id: &str, limit: Duration) -> io::Result<Self> {
        let client_id = StrBytes::from_string(client_id.to_owned());
        let versions = ApiVersionsResponse::default();
        let ranges = BTreeMap::new();
        let mut own = Self { stream, client_id, correlation: 0, versions, ranges, session_ms: 0 };
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("milena-tools"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let body = own.exchange(&request, 3, limit)?;
        // An older broker answers in version 0 whatever it was asked in.
        own.versions = match ApiVersionsResponse::decode(&mut body.clone(), 3) {
            Ok(answer) if answer.error_code != UNSUPPORTED_VERSION => answer,
            _ => {
                let body = own.exchange(&ApiVersionsRequest::default(), 0, limit)?;
                ApiVersionsResponse::decode(&mut body.clone(), 0).map_err(invalid)?
            }
        };
        let range = |api: &kafka_protocol::messages::api_versions_response::ApiVersion| {
            (api.api_key, (api.min_version, api.max_version))
        };
        own.ranges = own.versions.api_keys.iter().map(range).collect();
        Ok(own)
    }

    /// The newest version of this request that both sides know.
    pub(super) fn version<R: Request>(&self) -> Option<i16> {
        let &(least, most) = self.ranges.get(&R::KEY)?;
        let version = most.min(newest(R::KEY).unwrap_or(R::VERSIONS.max));
        (version >= least && version >= R::VERSIONS.min).then_some(version)
    }

    /// Asks, and waits for the answer.
    pub(super) fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> io::Result<R::Response> {
        let mut body = self.exchange(request, version, limit)?;
        R::Response::decode(&mut body, version).map_err(invalid)
    }

    /// Sends what is not answered.
    pub(super) fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<()> {
        self.correlation = self.correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        let mut frame = BytesMut::from(&[0; 4][..]);
        header.encode(&mut frame, R::header_version(version)).map_err(invalid)?;
        request.encode(&mut frame, version).map_err(invalid)?;
        let length = u32::try_from(frame.len() - 4).map_err(invalid)?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)?;
        self.stream.flush()
    }

    fn exchange<R: Request>(&mut self, request: &R, version: i16, limit: Duration) -> io::Result<Bytes> {
        self.stream.socket().set_read_timeout(Some(limit))?;
        self.send(request, version)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(invalid(format!("an answer of {length} bytes")));
        }
        let mut frame = Vec::new();
        Read::by_ref(&mut self.stream).take(length as u64).read_to_end(&mut frame)?;
        if frame.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut body = Bytes::from(frame);
        let header =
            ResponseHeader::decode(&mut body, R::Response::header_version(version)).map_err(invalid)?;
        if header.correlation_id != self.correlation {
            return Err(invalid("an answer to another request"));
        }
        Ok(body)
    }
}

/// The newest version of requests that name topics; in later ones ids stand for them. Of OffsetFetch the newest that asks
/// for one group.
fn newest(api: i16) -> Option<i16> {
    match ApiKey::try_from(api).ok()? {
        ApiKey::Produce | ApiKey::Fetch => Some(12),
        ApiKey::OffsetCommit => Some(9),
        ApiKey::OffsetFetch => Some(7),
        _ => None,
    }
}

/// What TLS finds wrong is not tried again; who only went away is.
fn of_handshake(error: io::Error, is_tls: bool) -> Missed {
    let is_of_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if is_tls && is_of_tls {
        Refused::own(HANDSHAKE_EXCEPTION, "SSL handshake failed").because(error).into()
    } else {
        error.into()
    }
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

//! A plain protocol client: one connection, one request at a time, any bytes.
//!
//! For what no stock client would send. It must never repair what the broker answers: a wrong answer fails the test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// No answer takes longer, except those that are asked to wait.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// A larger answer is a broken one.
const LARGEST_ANSWER: usize = 256 << 20;

/// What a client calls itself that says nothing else.
const CLIENT: &str = "compat-tests";

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    correlation: i32,
    client: &'static str,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// When the broker does not accept.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects, or gives the error.
    ///
    /// # Errors
    /// When the broker does not accept.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_PATIENCE))?;
        Ok(Self { stream, correlation: 0, client: CLIENT })
    }

    /// Says from now on that it is this client.
    #[must_use]
    pub fn named(self, client: &'static str) -> Self {
        Self { client, ..self }
    }

    /// Sends a request and gives the answer.
    ///
    /// # Panics
    /// When the connection fails or the answer cannot be decoded to its last byte.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_call(version, request).unwrap_or_else(|error| panic!("request {}: {error}", R::KEY))
    }

    /// As `call`, but gives the connection's error.
    ///
    /// # Errors
    /// When the connection fails.
    ///
    /// # Panics
    /// When the answer cannot be decoded to its last byte.
    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.correlation += 1;
        self.send_frame(&self.frame(version, request))?;
        self.answer_to::<R>(version)
    }

    /// As `call`, with a body of one's own: for versions whose requests the protocol's crate does not write.
    ///
    /// # Panics
    /// When the connection fails or the answer cannot be decoded to its last byte.
    pub fn call_with<R: Request>(&mut self, version: i16, body: &[u8]) -> R::Response {
        self.correlation += 1;
        let mut bytes = header::<R>(self.correlation, version, self.client);
        bytes.extend_from_slice(body);
        let answer = self.send_frame(&bytes).and_then(|()| self.answer_to::<R>(version));
        answer.unwrap_or_else(|error| panic!("request {}: {error}", R::KEY))
    }

    /// Sends a request whose answer is taken later, with `finish`.
    ///
    /// # Panics
    /// When the connection fails.
    pub fn start<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation += 1;
        let sent = self.send_frame(&self.frame(version, request));
        sent.unwrap_or_else(|error| panic!("request {}: {error}", R::KEY));
    }

    /// The answer to the request that was started last.
    ///
    /// # Panics
    /// When the connection fails or the answer cannot be decoded to its last byte.
    pub fn finish<R: Request>(&mut self, version: i16) -> R::Response {
        self.answer_to::<R>(version).unwrap_or_else(|error| panic!("request {}: {error}", R::KEY))
    }

    /// Whether something has come, without waiting for it.
    ///
    /// # Panics
    /// When the socket does not change its mode.
    pub fn is_readable_now(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket");
        let readable =
            !matches!(self.stream.peek(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).expect("a socket");
        readable
    }

    fn frame<R: Request>(&self, version: i16, request: &R) -> BytesMut {
        let mut bytes = header::<R>(self.correlation, version, self.client);
        request.encode(&mut bytes, version).expect("the request fits its version");
        bytes
    }

    fn answer_to<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut answer = self.read_frame()?;
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version).expect("a response header");
        assert_eq!(header.correlation_id, self.correlation, "the answer to request {}", R::KEY);
        let response = R::Response::decode(&mut answer, version)
            .unwrap_or_else(|error| panic!("the answer to request {} v{version}: {error}", R::KEY));
        assert!(answer.is_empty(), "{} bytes after the answer to request {}", answer.len(), R::KEY);
        Ok(response)
    }

    /// Sends a frame: the length, then the bytes.
    ///
    /// # Errors
    /// When the connection fails.
    ///
    /// # Panics
    /// When the frame is 2 GiB or longer.
    pub fn send_frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = i32::try_from(bytes.len()).expect("a frame below 2 GiB");
        let mut whole = Vec::with_capacity(4 + bytes.len());
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(bytes);
        self.stream.write_all(&whole)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When the connection ends or nothing comes.
    pub fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > LARGEST_ANSWER {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    /// Makes a send fail that the broker does not take for so long.
    ///
    /// # Panics
    /// When the socket does not take the time-out.
    pub fn stop_writing_after(&mut self, patience: Duration) {
        self.stream.set_write_timeout(Some(patience)).expect("a time-out above zero");
    }

    /// Whether the broker sends anything within `patience`, or closes the connection. What came can still be read.
    pub fn is_readable_within(&mut self, patience: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(patience));
        let readable = self.stream.peek(&mut [0; 1]).is_ok();
        let _ = self.stream.set_read_timeout(Some(READ_PATIENCE));
        readable
    }

    /// Whether the broker closes the connection within `patience`, whatever it sends before.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let mut buffer = [0; 4096];
        let _ = self.stream.set_read_timeout(Some(patience));
        let closed = loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => {
                    break !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        };
        let _ = self.stream.set_read_timeout(Some(READ_PATIENCE));
        closed
    }
}

/// A request's bytes, header and body, without the length.
///
/// # Panics
/// When the request cannot be encoded in that version.
pub fn frame<R: Request>(correlation: i32, version: i16, request: &R) -> BytesMut {
    let mut bytes = header::<R>(correlation, version, CLIENT);
    request.encode(&mut bytes, version).expect("the request fits its version");
    bytes
}

fn header<R: Request>(correlation: i32, version: i16, client: &'static str) -> BytesMut {
    let mut bytes = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(client)));
    header.encode(&mut bytes, R::header_version(version)).expect("a header is encodable");
    bytes
}

/// A record with nothing but a value.
#[must_use]
pub fn record(value: &'static str) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: now_ms(),
        key: None,
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: IndexMap::new(),
    }
}

/// One uncompressed batch. Offsets are counted up from 0, as a producer does.
///
/// # Panics
/// When a record cannot be encoded.
pub fn batch(records: impl IntoIterator<Item = Record>) -> Bytes {
    let mut records: Vec<Record> = records.into_iter().collect();
    for (offset, record) in (0..).zip(&mut records) {
        record.offset = offset;
        if record.producer_id < 0 {
            // The encoder would begin a new batch where sequences do not go up with the offsets.
            record.sequence = i32::try_from(offset).expect("a batch of fewer records") - 1;
        }
    }
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("records are encodable");
    bytes.freeze()
}

/// One batch of an idempotent producer: these values with sequences from `first_sequence`.
pub fn idempotent_batch(producer: (i64, i16), first_sequence: i32, values: &[&'static str]) -> Bytes {
    batch((first_sequence..).zip(values).map(|(sequence, value)| Record {
        producer_id: producer.0,
        producer_epoch: producer.1,
        sequence,
        ..record(value)
    }))
}

/// Milliseconds since 1970.
///
/// # Panics
/// When the clock stands before 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

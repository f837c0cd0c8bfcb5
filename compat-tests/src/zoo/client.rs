//! A plain client of ZooKeeper's protocol: one connection, any bytes, answers and events as they come.
//!
//! For what no stock client would send or tell. It must never repair what a server answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes longer.
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// A larger frame is a broken one.
const LARGEST_FRAME: usize = 64 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub code: i32,
    pub body: Vec<u8>,
}

/// An event: its type and path.
pub type Event = (i32, String);

/// One connection with its session.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: TcpStream,
    /// What was read and not taken apart yet.
    input: Vec<u8>,
    /// How much of `input` was taken apart.
    taken: usize,
    /// Requests that were queued and not sent yet.
    output: Vec<u8>,
    xid: i32,
    pub session: i64,
    pub password: Vec<u8>,
    pub timeout_millis: i32,
    /// Events that came before the last answer, in order.
    pub events: Vec<Event>,
}

impl Client {
    /// Connects and opens a new session.
    ///
    /// # Panics
    /// When the server does not answer, or gives no session.
    #[must_use]
    pub fn open(address: SocketAddr, timeout_millis: i32) -> Self {
        let client = Self::attach(address, timeout_millis, 0, &[0; 16], 0).expect("the server answers");
        assert!(client.timeout_millis > 0, "a new session is always given");
        client
    }

    /// Connects and takes up a session; the time-out is 0 if there is none.
    ///
    /// # Errors
    /// When the server closes the connection.
    pub fn attach(
        address: SocketAddr,
        timeout_millis: i32,
        session: i64,
        password: &[u8],
        seen: i64,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_PATIENCE))?;
        let mut client = Self {
            address,
            stream,
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            xid: 0,
            session,
            password: password.to_vec(),
            timeout_millis,
            events: Vec::new(),
        };
        let mut request = Body::default().int(0).long(seen).int(timeout_millis).long(session);
        request = request.buffer(Some(password)).boolean(false);
        client.send_frame(&request.0)?;
        let answer = client.read_frame()?;
        let mut answer = Fields(&answer);
        let _version = answer.int();
        client.timeout_millis = answer.int();
        client.session = answer.long();
        client.password = answer.buffer().unwrap_or_default().to_vec();
        Ok(client)
    }

    /// Takes up the session on another connection to the same server; this one is left as it is.
    ///
    /// # Errors
    /// When the server closes the connection.
    pub fn again(&self, seen: i64) -> io::Result<Self> {
        Self::attach(self.address, self.timeout_millis, self.session, &self.password, seen)
    }

    /// Asks and waits for the answer. Events on the way are kept.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&mut self, op: i32, body: &Body) -> Reply {
        let xid = self.send(op, body).expect("the connection takes it");
        let reply = self.reply().unwrap_or_else(|error| panic!("no answer to operation {op}: {error}"));
        assert_eq!(reply.xid, xid, "answers come in order");
        reply
    }

    /// Sends a request without waiting, and gives its xid.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send(&mut self, op: i32, body: &Body) -> io::Result<i32> {
        let xid = match op {
            PING => -2,
            AUTH => -4,
            SET_WATCHES | SET_WATCHES2 => -8,
            _ => {
                self.xid += 1;
                self.xid
            }
        };
        let mut request = Body::default().int(xid).int(op);
        request.0.extend_from_slice(&body.0);
        self.send_frame(&request.0)?;
        Ok(xid)
    }

    /// Adds a request to those that the next flush sends.
    ///
    /// # Panics
    /// When it is larger than two gibibytes.
    pub fn queue(&mut self, op: i32, body: &Body) {
        self.xid += 1;
        let length = i32::try_from(body.0.len() + 8).expect("tests send little");
        for field in [length, self.xid, op] {
            self.output.extend_from_slice(&field.to_be_bytes());
        }
        self.output.extend_from_slice(&body.0);
    }

    /// Sends what was queued.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Whether a whole answer is here already.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        let rest = &self.input[self.taken..];
        rest.split_first_chunk::<4>().is_some_and(|(head, rest)| {
            usize::try_from(i32::from_be_bytes(*head)).is_ok_and(|length| rest.len() >= length)
        })
    }

    /// Sends bytes as a frame.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send_frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = i32::try_from(bytes.len()).expect("tests send little");
        self.stream.write_all(&[&length.to_be_bytes(), bytes].concat())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer; events before it are kept.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let frame = self.read_frame()?;
            let mut fields = Fields(&frame);
            let (xid, zxid, code) = (fields.int(), fields.long(), fields.int());
            if xid != -1 {
                return Ok(Reply { xid, zxid, code, body: fields.0.to_vec() });
            }
            let (kind, _state) = (fields.int(), fields.int());
            self.events.push((kind, fields.string().to_owned()));
        }
    }

    /// The next frame, whatever it is.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((head, rest)) = self.input[self.taken..].split_first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*head)).map_err(io::Error::other)?;
                if length > LARGEST_FRAME {
                    return Err(io::Error::other(format!("a frame of {length} bytes")));
                }
                if rest.len() >= length {
                    let frame = rest[..length].to_vec();
                    self.taken += 4 + length;
                    return Ok(frame);
                }
            }
            self.input.drain(..self.taken);
            self.taken = 0;
            let mut chunk = [0; 65536];
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&chunk[..read]);
        }
    }

    /// Changes how long a read may take.
    ///
    /// # Panics
    /// When the socket refuses.
    pub fn set_patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("the socket takes a time-out");
    }

    /// Changes how long a write may take.
    ///
    /// # Panics
    /// When the socket refuses.
    pub fn set_write_patience(&self, patience: Duration) {
        self.stream.set_write_timeout(Some(patience)).expect("the socket takes a time-out");
    }

    /// Events so far, taken.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// A four-letter word's answer.
///
/// # Errors
/// When the server does not answer.
pub fn four_letters(address: SocketAddr, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READ_PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

pub const CREATE: i32 = 1;
pub const DELETE: i32 = 2;
pub const EXISTS: i32 = 3;
pub const GET_DATA: i32 = 4;
pub const SET_DATA: i32 = 5;
pub const GET_ACL: i32 = 6;
pub const SET_ACL: i32 = 7;
pub const GET_CHILDREN: i32 = 8;
pub const SYNC: i32 = 9;
pub const PING: i32 = 11;
pub const GET_CHILDREN2: i32 = 12;
pub const CHECK: i32 = 13;
pub const MULTI: i32 = 14;
pub const CREATE2: i32 = 15;
pub const CHECK_WATCHES: i32 = 17;
pub const REMOVE_WATCHES: i32 = 18;
pub const CREATE_CONTAINER: i32 = 19;
pub const CREATE_TTL: i32 = 21;
pub const MULTI_READ: i32 = 22;
pub const AUTH: i32 = 100;
pub const SET_WATCHES: i32 = 101;
pub const GET_EPHEMERALS: i32 = 103;
pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
pub const SET_WATCHES2: i32 = 105;
pub const ADD_WATCH: i32 = 106;
pub const WHO_AM_I: i32 = 107;
pub const CLOSE_SESSION: i32 = -11;

/// A request's body, built field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body(pub Vec<u8>);

/// An entry of an access list: permissions, scheme, id.
pub type Entry<'a> = (i32, &'a str, &'a str);

/// Everybody may do everything.
pub const OPEN: &[Entry<'_>] = &[(31, "world", "anyone")];

impl Body {
    #[must_use]
    pub fn int(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    #[must_use]
    pub fn long(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    #[must_use]
    pub fn boolean(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    /// # Panics
    /// When the bytes are more than two gibibytes.
    #[must_use]
    pub fn buffer(self, bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return self.int(-1) };
        let mut body = self.int(i32::try_from(bytes.len()).expect("tests send little"));
        body.0.extend_from_slice(bytes);
        body
    }

    #[must_use]
    pub fn string(self, text: &str) -> Self {
        self.buffer(Some(text.as_bytes()))
    }

    /// # Panics
    /// When there are more than two billion.
    #[must_use]
    pub fn strings<S: AsRef<str>>(self, texts: &[S]) -> Self {
        let body = self.int(i32::try_from(texts.len()).expect("tests send little"));
        texts.iter().fold(body, |body, text| body.string(text.as_ref()))
    }

    /// # Panics
    /// When there are more than two billion.
    #[must_use]
    pub fn acls(self, entries: &[Entry<'_>]) -> Self {
        let body = self.int(i32::try_from(entries.len()).expect("tests send little"));
        entries.iter().fold(body, |body, (perms, scheme, id)| body.int(*perms).string(scheme).string(id))
    }

    /// The body of a create of any kind but with a time to live.
    #[must_use]
    pub fn create(path: &str, data: &[u8], flags: i32) -> Self {
        Self::default().string(path).buffer(Some(data)).acls(OPEN).int(flags)
    }

    /// A path and whether to leave a watch.
    #[must_use]
    pub fn path(path: &str, watch: bool) -> Self {
        Self::default().string(path).boolean(watch)
    }

    /// The body of a setData for any version.
    #[must_use]
    pub fn set(path: &str, data: &[u8]) -> Self {
        Self::default().string(path).buffer(Some(data)).int(-1)
    }

    /// One operation of a multi.
    #[must_use]
    pub fn part(mut self, op: i32, body: &Self) -> Self {
        self = self.int(op).boolean(false).int(-1);
        self.0.extend_from_slice(&body.0);
        self
    }

    /// The end of a multi.
    #[must_use]
    pub fn end(self) -> Self {
        self.int(-1).boolean(true).int(-1)
    }
}

/// Reads an answer's body from the front; a short one fails the test.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(count <= self.0.len(), "an answer ends {} bytes early", count - self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    pub fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    pub fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    pub fn boolean(&mut self) -> bool {
        self.take(1) != [0]
    }

    /// Bytes, or none.
    ///
    /// # Panics
    /// When the length is neither −1 nor a length.
    pub fn buffer(&mut self) -> Option<&'a [u8]> {
        match self.int() {
            -1 => None,
            length => Some(self.take(usize::try_from(length).expect("a length"))),
        }
    }

    /// # Panics
    /// When it is missing or no UTF-8.
    pub fn string(&mut self) -> &'a str {
        std::str::from_utf8(self.buffer().expect("a text is there")).expect("texts are UTF-8")
    }

    pub fn strings(&mut self) -> Vec<String> {
        let count = self.int();
        (0..count).map(|_| self.string().to_owned()).collect()
    }
}

//! A broker in this process, and a client of it that is not counted.
//!
//! Must never share a thread with the broker.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use milena::Broker;
use milena::settings::Settings;
use tokio::sync::oneshot;

use super::counting;

/// A broker on a runtime and in a directory of its own.
pub(crate) struct Served {
    address: String,
    http: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Served {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log_dirs = dir.path().to_string_lossy().into_owned();
        let mut all = vec![("log.dirs", log_dirs.as_str()), ("listeners", "PLAINTEXT://127.0.0.1:0")];
        all.extend(settings);
        let settings = Settings::from_pairs(&all).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (ready, places) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let broker = Broker::start(settings).await.unwrap();
                let http = broker.listening().iter().find(|each| each.name == "HTTP").map(|each| each.bound);
                ready.send((broker.bootstrap_servers(), http)).unwrap();
                let _ = stopped.await;
                broker.stop().await;
            });
        });
        let (address, http) = places.recv().expect("the broker starts");
        Self { address, http, stop: Some(stop), thread: Some(thread), _dir: dir }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::of(&self.address)
    }

    /// Where its HTTP port is, which the settings have to ask for.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.expect("an HTTP port")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the broker ended by a panic");
    }
}

/// One connection, from a thread that is set aside.
pub(crate) struct Client {
    stream: TcpStream,
    correlation: i32,
    answered: i32,
}

impl Client {
    /// Of the broker at this address.
    pub(crate) fn of(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation: 0, answered: 0 }
    }

    pub(crate) fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.receive::<R>(version)
    }

    /// As many answers as requests that are sent at once.
    pub(crate) fn call_together<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        times: usize,
    ) -> Vec<R::Response> {
        let frames: Vec<u8> = (0..times).flat_map(|_| self.frame(version, request)).collect();
        self.stream.write_all(&frames).unwrap();
        (0..times).map(|_| self.receive::<R>(version)).collect()
    }

    pub(crate) fn send<R: Request>(&mut self, version: i16, request: &R) {
        let frame = self.frame(version, request);
        self.stream.write_all(&frame).unwrap();
    }

    fn frame<R: Request>(&mut self, version: i16, request: &R) -> BytesMut {
        counting::set_aside();
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("a client")));
        let mut bytes = BytesMut::zeroed(4);
        header.encode(&mut bytes, R::header_version(version)).unwrap();
        request.encode(&mut bytes, version).unwrap();
        let length = i32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut answer).unwrap();
        let mut answer = Bytes::from(answer);
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        self.answered += 1;
        assert_eq!(header.correlation_id, self.answered);
        R::Response::decode(&mut answer, version).unwrap()
    }
}

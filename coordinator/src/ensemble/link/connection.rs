//! One connection: a task that reads, a task that writes, and who waits for which answer.
//!
//! Must never keep somebody waiting for an answer once the connection is gone.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::raft_types::spawn;
use super::Stream;
use super::frame::{self, Frame};

/// Bytes that may wait to be written; a peer that takes nothing is as good as gone.
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Bytes gathered into one write.
const WRITE_BYTES: usize = 256 << 10;
/// A connection on which requests go unanswered for so long is given up, and made anew if it can be.
const MAX_SILENCE: Duration = Duration::from_secs(2);
/// In a frame's kind: this is an answer.
const ANSWER: u8 = 0x80;

/// The connection ended before the answer came, or before the request could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Lost {
    /// Nothing of the request has left this node.
    #[error("the connection was closed before the request was sent")]
    Unsent,
    #[error("the connection was closed before the answer came")]
    Unanswered,
}

/// Takes what other nodes ask.
pub(in super::super) trait Inbound: Send + Sync {
    /// A connection is open: what takes the other end's requests.
    fn met(&self, connection: &Arc<Connection>) -> Box<dyn Asked>;

    /// The other end hung up, and no other connection to this peer is open.
    fn parted(&self, peer: i32);
}

/// Takes the requests of one connection.
pub(in super::super) trait Asked: Send {
    /// Called in the order of arrival by the connection's reader, which it must not hold up. False for what no sound
    /// node would send: the connection is closed.
    fn asked(&mut self, kind: u8, number: u64, body: Bytes) -> bool;
}

/// A link's end. Dropping every handle does not close it; its streams' end, or [`Connection::close`], does.
pub(in super::super) struct Connection {
    pub(in super::super) peer: i32,
    pub(in super::super) directory: Uuid,
    out: mpsc::UnboundedSender<Frame>,
    queued: AtomicUsize,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Bytes>>>,
    next: AtomicU64,
    closed: AtomicBool,
    closing: Notify,
    /// This end closed it.
    given_up: AtomicBool,
    /// The peer wants no more requests; changed under the lock of `waiting`.
    retired: AtomicBool,
    heard: Mutex<Instant>,
}

impl Connection {
    /// Starts the tasks; `ended` is called once, when the connection is over.
    pub(super) fn start(
        stream: Box<dyn Stream>,
        peer: (i32, Uuid),
        inbound: &dyn Inbound,
        ended: impl FnOnce(&Arc<Self>, io::Error) + Send + 'static,
    ) -> Arc<Self> {
        let (out, queue) = mpsc::unbounded_channel();
        let connection = Arc::new(Self {
            peer: peer.0,
            directory: peer.1,
            out,
            queued: AtomicUsize::new(0),
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            given_up: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            heard: Mutex::new(Instant::now()),
        });
        let (read, write) = tokio::io::split(stream);
        let own = Arc::clone(&connection);
        let asked = inbound.met(&connection);
        spawn(async move {
            let error = tokio::select! {
                biased;
                () = own.closing.notified() => io::Error::other("closed by this node"),
                error = own.read_all(read, asked) => error,
                error = own.write_all(write, queue) => error,
            };
            own.closed.store(true, Ordering::Release);
            // Whoever waits hears that its sender is gone.
            own.waiting.lock().clear();
            ended(&own, error);
        });
        connection
    }

    pub(in super::super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Whether requests can be sent.
    pub(in super::super) fn can_be_asked(&self) -> bool {
        self.is_open() && !self.retired.load(Ordering::Acquire)
    }

    /// No request is sent from now on; what was sent is still answered, and so is the peer.
    pub(in super::super) fn retire(&self) {
        let _waiting = self.waiting.lock();
        self.retired.store(true, Ordering::Release);
    }

    /// Whether this end closed it while the other end still held it.
    pub(in super::super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    pub(in super::super) fn close(&self) {
        let was_open = !self.closed.swap(true, Ordering::AcqRel);
        if was_open {
            self.given_up.store(true, Ordering::Release);
        }
        self.closing.notify_one();
    }

    /// An answer did not come in time. If none at all has come for long, the other end is gone without a word.
    pub(in super::super) fn doubt(&self) {
        if self.heard.lock().elapsed() > MAX_SILENCE {
            self.close();
        }
    }

    /// Queues a request at once and returns its answer later.
    pub(in super::super) fn ask(
        &self,
        kind: u8,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, Lost>> + Send + use<> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let sent = {
            let mut waiting = self.waiting.lock();
            waiting.insert(number, answer);
            let sent = !self.retired.load(Ordering::Acquire) && self.send(Frame { kind, number, body });
            if !sent || !self.is_open() {
                // The reader's end may have cleared the map before this entry was put in.
                waiting.remove(&number);
            }
            sent
        };
        async move {
            if !sent {
                return Err(Lost::Unsent);
            }
            answered.await.map_err(|_| Lost::Unanswered)
        }
    }

    /// Queues an answer; if the connection is gone, nobody waits for it.
    pub(in super::super) fn answer(&self, kind: u8, number: u64, body: Bytes) {
        self.send(Frame { kind: kind | ANSWER, number, body });
    }

    fn send(&self, frame: Frame) -> bool {
        let size = frame.body.len();
        if !self.is_open() || self.queued.fetch_add(size, Ordering::Relaxed) + size > MAX_QUEUED_BYTES {
            self.close();
            return false;
        }
        self.out.send(frame).is_ok()
    }

    async fn read_all(&self, read: ReadHalf<Box<dyn Stream>>, mut asked: Box<dyn Asked>) -> io::Error {
        let mut read = BufReader::with_capacity(WRITE_BYTES, read);
        loop {
            match frame::read(&mut read).await {
                Ok(Frame { kind, number, body }) if kind & ANSWER != 0 => {
                    *self.heard.lock() = Instant::now();
                    if let Some(waiting) = self.waiting.lock().remove(&number) {
                        // Whoever asked may have given up.
                        let _ = waiting.send(body);
                    }
                }
                Ok(Frame { kind, number, body }) => {
                    if !asked.asked(kind, number, body) {
                        return io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!("a bad request of kind {kind}"),
                        );
                    }
                }
                Err(error) => return error,
            }
        }
    }

    async fn write_all(
        &self,
        mut write: WriteHalf<Box<dyn Stream>>,
        mut queue: mpsc::UnboundedReceiver<Frame>,
    ) -> io::Error {
        let mut bytes = BytesMut::new();
        while let Some(frame) = queue.recv().await {
            let mut size = frame.body.len();
            frame.put(&mut bytes);
            while bytes.len() < WRITE_BYTES
                && let Ok(frame) = queue.try_recv()
            {
                size += frame.body.len();
                frame.put(&mut bytes);
            }
            if let Err(error) = write.write_all(&bytes).await {
                return error;
            }
            if let Err(error) = write.flush().await {
                return error;
            }
            self.queued.fetch_sub(size, Ordering::Relaxed);
            bytes.clear();
            if bytes.capacity() > 4 * WRITE_BYTES {
                bytes = BytesMut::new();
            }
        }
        io::Error::other("every handle of the link is gone")
    }
}

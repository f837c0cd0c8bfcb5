//! One client's connection: its handshake, its requests in order, its end.
//!
//! Changes go to the proposer at once, reads wait until the changes before them are answered; a bounded window of both
//! is open. Must never answer out of order: only answers to authentication overtake, as in ZooKeeper.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use milena_coordinator::tree::{
    ClientKind, ClientRequest, Code, Id, Ids, Outcome, PASSWORD_BYTES, SessionId, WatcherId, Zxid, is_super,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Shared;
use super::auth::{Proof, prove};
use super::four_letters;
use super::handshake::{ConnectRequest, put_connect_response};
use super::jute::{Garbled, Input, Output};
use super::mailbox::Mailbox;
use super::op_code::{
    AUTH, AUTH_FAILED, CLOSE_SESSION, MARSHALLING_ERROR, PING, PING_XID, SYNC, UNIMPLEMENTED,
};
use super::proposer::Job;
use super::read::{Asked, Reader, is_read};
use super::write::{self, Shape};
use crate::net::stream::TcpStream;

/// A connection without a session is closed after this long (`zookeeper.nio.sessionlessCnxnTimeout`).
const SESSIONLESS: Duration = Duration::from_secs(10);
/// Answers are sent once so many bytes of them wait, before more is read.
const UNSENT_HIGH: usize = 1 << 20;
/// Room for one read from the socket.
const READ_BYTES: usize = 16 << 10;
/// How long a client may take for its last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Why a connection ends; nothing that an operator needs to hear of.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Garbled(#[from] Garbled),
    #[error("the client went away")]
    Eof,
    #[error("a frame of {0} bytes")]
    FrameLength(i32),
    #[error("the client has seen {0}, which this node has not")]
    Ahead(Zxid),
    #[error("no session in time")]
    Sessionless,
    #[error("the session is over")]
    Over,
    #[error("done")]
    Done,
}

/// A request that is not answered yet.
enum Pending {
    /// With the proposer.
    Change { xid: i32, shape: Shape, since: i64 },
    /// Its answer is known, and waits for its turn.
    Code { xid: i32, code: i32, last: bool },
}

/// A request that waits for those before it.
struct Held {
    xid: i32,
    op: i32,
    body: Bytes,
    /// Who the client was when it asked.
    ids: Ids,
    since: i64,
}

pub(super) struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    mailbox: Arc<Mailbox>,
    watcher: WatcherId,
    ids: Ids,
    session: SessionId,
    attached: Zxid,
    input: BytesMut,
    pending: VecDeque<Pending>,
    held: VecDeque<Held>,
    sending: Vec<u8>,
    scratch: Vec<u8>,
    /// No request is read any more; the connection ends with its answers.
    is_closing: bool,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, stream: TcpStream, address: SocketAddr) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        mailbox.hear(shared.clock.steady_ms());
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let ids: Ids = Arc::from([Id { scheme: "ip".to_owned(), id: address.ip().to_string() }]);
        let watcher = shared.hub.enter(address, Arc::clone(&mailbox), Arc::clone(&ids));
        Self {
            shared,
            stream,
            address,
            mailbox,
            watcher,
            ids,
            session: SessionId::NONE,
            attached: Zxid::default(),
            input: BytesMut::new(),
            pending: VecDeque::new(),
            held: VecDeque::new(),
            sending: Vec::new(),
            scratch: Vec::new(),
            is_closing: false,
        }
    }

    /// Serves until either side ends it.
    pub(super) async fn run(mut self) {
        let end = self.serve().await;
        if let Err(end) = &end {
            tracing::debug!(address = %self.address, session = %self.session, %end, "a connection of ZooKeeper's protocol ends");
        }
        self.shared.hub.leave(self.watcher);
        if matches!(end, Err(End::Done | End::Over)) {
            let _ = timeout(LAST_ANSWERS, self.flush()).await;
            let _ = self.stream.shutdown().await;
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        let first = timeout(SESSIONLESS, self.first_frame()).await.map_err(|_| End::Sessionless)??;
        let Some(first) = first else { return Err(End::Done) };
        self.open(&first).await?;
        loop {
            self.take_frames()?;
            self.pump()?;
            if self.is_closing && self.pending.is_empty() && self.held.is_empty() {
                return Err(End::Done);
            }
            self.flush_or_cut().await?;
            if self.has_frame() && self.has_room() {
                continue;
            }
            self.wait().await?;
        }
    }

    /// Waits for bytes, if there is room for requests, or for mail.
    async fn wait(&mut self) -> Result<(), End> {
        let reads = self.has_room() && !self.is_closing;
        self.input.reserve(READ_BYTES);
        tokio::select! {
            read = self.stream.read_buf(&mut self.input), if reads => {
                if read? == 0 {
                    return Err(End::Eof);
                }
                self.mailbox.hear(self.shared.clock.steady_ms());
                Ok(())
            }
            () = self.mailbox.wait() => Ok(()),
        }
    }

    fn has_room(&self) -> bool {
        self.pending.len() + self.held.len() < self.shared.limits.outstanding
    }

    /// The length of the frame at the front, if all of it is there.
    fn whole_frame(&self) -> Result<Option<usize>, End> {
        let Some((head, rest)) = self.input.split_first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*head);
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.shared.limits.frame_bytes => {
                Ok((rest.len() >= bytes).then_some(bytes))
            }
            _ => Err(End::FrameLength(length)),
        }
    }

    fn has_frame(&self) -> bool {
        matches!(self.whole_frame(), Ok(Some(_)))
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, End> {
        let Some(length) = self.whole_frame()? else { return Ok(None) };
        self.input.advance(4);
        self.mailbox.received.fetch_add(1, Ordering::Relaxed);
        self.shared.hub.counts.received.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.input.split_to(length).freeze()))
    }

    /// The connect request; none if a four-letter word came in its place and was answered.
    async fn first_frame(&mut self) -> Result<Option<Bytes>, End> {
        loop {
            if let Some(word) = self.input.first_chunk::<4>()
                && let Some(answer) = four_letters::answer(*word, &self.shared)
            {
                self.stream.write_all(answer.as_bytes()).await?;
                return Ok(None);
            }
            if let Some(frame) = self.next_frame()? {
                return Ok(Some(frame));
            }
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(End::Eof);
            }
        }
    }

    /// Opens the session, or takes it up again.
    async fn open(&mut self, frame: &[u8]) -> Result<(), End> {
        let request = ConnectRequest::read(Input(frame))?;
        let seen = Zxid(request.last_zxid_seen);
        if seen > self.shared.ensemble.with_tree(|tree| tree.zxid()) {
            return Err(End::Ahead(seen));
        }
        let timeout_millis =
            request.timeout_millis.clamp(self.shared.limits.timeout_min, self.shared.limits.timeout_max);
        let id = SessionId(request.session);
        let secret = self.shared.secret.clone();
        let kind = if id == SessionId::NONE {
            ClientKind::Open { timeout_millis }
        } else if secret.is_password(id, request.password) {
            ClientKind::Attach { id, timeout_millis }
        } else {
            tracing::info!(address = %self.address, session = %id, "a session was asked for with a wrong password");
            return self.refuse(request.has_flag);
        };
        self.send(kind, Arc::clone(&self.ids), frame.len());
        let (zxid, outcome) = self.outcome().await?;
        self.session = match outcome {
            Outcome::SessionOpened(id) => id,
            Outcome::SessionAttached => id,
            _ => return self.refuse(request.has_flag),
        };
        self.attached = zxid;
        if !self.shared.hub.serve(self.watcher, self.session, zxid, timeout_millis) {
            return Err(End::Over);
        }
        let password = secret.password(self.session);
        let mut mail = self.mailbox.lock();
        put_connect_response(&mut mail.out, timeout_millis, self.session, password, request.has_flag);
        Ok(())
    }

    /// A time-out of 0 tells the client that its session has expired.
    fn refuse(&self, has_flag: bool) -> Result<(), End> {
        let mut mail = self.mailbox.lock();
        put_connect_response(&mut mail.out, 0, SessionId::NONE, [0; PASSWORD_BYTES], has_flag);
        Err(End::Done)
    }

    /// The one outcome that a handshake waits for.
    async fn outcome(&self) -> Result<(Zxid, Outcome), End> {
        loop {
            {
                let mut mail = self.mailbox.lock();
                if let Some(outcome) = mail.outcomes.pop_front() {
                    return Ok(outcome);
                }
                if mail.is_over {
                    return Err(End::Over);
                }
            }
            self.mailbox.wait().await;
        }
    }

    /// Begins every request that is there, as far as the window goes.
    fn take_frames(&mut self) -> Result<(), End> {
        let now = self.shared.clock.steady_ms();
        while !self.is_closing && self.has_room() && self.mailbox.lock().out.len() < UNSENT_HIGH {
            let Some(frame) = self.next_frame()? else { break };
            self.begin(frame, now)?;
        }
        Ok(())
    }

    /// A request is executed in the order in which it was sent: a read waits for the changes before it, and a change for
    /// the reads before it, which must not see it.
    fn begin(&mut self, frame: Bytes, since: i64) -> Result<(), End> {
        let mut input = Input(&frame);
        let (xid, op) = (input.int()?, input.int()?);
        if op == AUTH {
            return self.authenticate(xid, input);
        }
        self.is_closing |= op == CLOSE_SESSION;
        let body = frame.slice(frame.len() - input.0.len()..);
        let request = Held { xid, op, body, ids: Arc::clone(&self.ids), since };
        if self.held.is_empty() && (!is_read(op) || self.pending.is_empty()) {
            self.execute(request);
        } else {
            self.held.push_back(request);
        }
        Ok(())
    }

    /// Reads at once, or hands a change to the proposer.
    fn execute(&mut self, request: Held) {
        let Held { xid, op, body, ids, since } = request;
        let input = Input(&body);
        match op {
            CLOSE_SESSION => self.propose(xid, ClientKind::Close, Shape::Close, (ids, since), body.len()),
            SYNC => match Input(&body).string() {
                Ok(path) => {
                    let shape = Shape::Sync(path.into_owned());
                    self.propose(xid, ClientKind::Sync, shape, (ids, since), body.len());
                }
                Err(Garbled) => self.put_code(xid, MARSHALLING_ERROR, false),
            },
            op if write::is_change(op) => {
                let change = write::change(op, input, is_super(&ids));
                self.propose(xid, change.kind, change.shape, (ids, since), body.len());
            }
            op if is_read(op) => {
                let xid = if op == PING { PING_XID } else { xid };
                self.read(Asked { xid, op, input }, &ids, since);
            }
            _ => {
                self.is_closing = true;
                self.put_code(xid, UNIMPLEMENTED, true);
            }
        }
    }

    fn put_code(&mut self, xid: i32, code: i32, last: bool) {
        self.pending.push_back(Pending::Code { xid, code, last });
    }

    fn propose(&mut self, xid: i32, kind: ClientKind, shape: Shape, (ids, since): (Ids, i64), bytes: usize) {
        self.send(kind, ids, bytes);
        self.pending.push_back(Pending::Change { xid, shape, since });
    }

    fn send(&self, kind: ClientKind, ids: Ids, bytes: usize) {
        let request = ClientRequest { session: self.session, attached: self.attached, ids, kind };
        let reply_to = Some(Arc::clone(&self.mailbox));
        self.shared.proposer.push(Job { request, bytes, reply_to });
    }

    /// Answers at once, past what is pending, as ZooKeeper does.
    fn authenticate(&mut self, xid: i32, mut input: Input<'_>) -> Result<(), End> {
        let _type = input.int()?;
        let (scheme, proof) = (input.string()?, input.buffer()?.unwrap_or_default());
        let limits = &self.shared.limits;
        let code = match prove(&scheme, proof, &self.ids, limits.super_digest.as_deref()) {
            Proof::Known(ids) => {
                self.ids = Ids::from(ids);
                self.shared.hub.set_ids(self.watcher, Arc::clone(&self.ids));
                0
            }
            Proof::Failed => {
                self.is_closing = true;
                self.pending.clear();
                self.held.clear();
                AUTH_FAILED
            }
        };
        Output(&mut self.mailbox.lock().out).frame(|out| out.header(xid, 0, code));
        Ok(())
    }

    fn read(&mut self, asked: Asked<'_>, ids: &[Id], since: i64) {
        let Self { shared, mailbox, watcher, session, scratch, .. } = self;
        let reader = Reader { hub: &shared.hub, watcher: *watcher, session: *session, ids };
        shared.ensemble.with_tree(|tree| reader.answer(tree, asked, mailbox, scratch));
        self.answered(since);
    }

    /// Answers what is ready, and begins what waited for it.
    fn pump(&mut self) -> Result<(), End> {
        self.answer_ready()?;
        while let Some(request) = self.held.pop_front() {
            if is_read(request.op) && !self.pending.is_empty() {
                self.held.push_front(request);
                break;
            }
            self.execute(request);
            self.answer_ready()?;
        }
        let open = self.pending.len() + self.held.len();
        self.mailbox.outstanding.store(open as u64, Ordering::Relaxed);
        // A client that closes its session still gets the answer to that.
        if self.mailbox.lock().is_over && !self.is_closing { Err(End::Over) } else { Ok(()) }
    }

    fn answer_ready(&mut self) -> Result<(), End> {
        while let Some(front) = self.pending.pop_front() {
            match front {
                Pending::Code { xid, code, last } => {
                    let zxid = self.shared.ensemble.with_tree(|tree| tree.zxid());
                    Output(&mut self.mailbox.lock().out).frame(|out| out.header(xid, zxid.0, code));
                    if last {
                        return Err(End::Done);
                    }
                }
                Pending::Change { xid, shape, since } => {
                    let mut mail = self.mailbox.lock();
                    let Some((zxid, outcome)) = mail.outcomes.pop_front() else {
                        drop(mail);
                        self.pending.push_front(Pending::Change { xid, shape, since });
                        break;
                    };
                    let answered = write::answer(&mut Output(&mut mail.out), xid, zxid, &shape, &outcome);
                    drop(mail);
                    if !answered || outcome == Outcome::Refused(Code::SessionExpired) {
                        return Err(End::Over);
                    }
                    self.answered(since);
                }
            }
        }
        Ok(())
    }

    fn answered(&self, since: i64) {
        let took = self.shared.clock.steady_ms().saturating_sub(since).unsigned_abs();
        let counts = &self.shared.hub.counts;
        counts.answered.fetch_add(1, Ordering::Relaxed);
        counts.latency_sum.fetch_add(took, Ordering::Relaxed);
        counts.latency_max.fetch_max(took, Ordering::Relaxed);
        counts.sent.fetch_add(1, Ordering::Relaxed);
        self.mailbox.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends what is there, unless the connection has to end before the client took it.
    async fn flush_or_cut(&mut self) -> Result<(), End> {
        let mailbox = Arc::clone(&self.mailbox);
        let is_closing = self.is_closing;
        tokio::select! {
            biased;
            sent = self.flush() => sent,
            () = mailbox.wait_cut(), if !is_closing => Err(End::Over),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        std::mem::swap(&mut self.sending, &mut self.mailbox.lock().out);
        if !self.sending.is_empty() {
            self.stream.write_all(&self.sending).await?;
            self.sending.clear();
        }
        Ok(())
    }
}

//! Which peers there are, where they are, and the connection to each.
//!
//! Must never dial a peer twice at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use super::super::message::kind;
use super::handshake::{introduce, welcome};
use super::{ClusterSecret, Connection, Dialer, Inbound, Stream};

/// How long it may take to connect and to prove who one is.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Handshakes under way with nodes that dialled this one.
const MAX_STRANGERS: usize = 64;

/// Who this node is.
#[derive(Debug)]
pub(in super::super) struct Identity {
    pub(in super::super) id: i32,
    /// Of its metadata log directory: tells a node from another of the same id with other data (KIP-853).
    pub(in super::super) directory: Uuid,
    /// Empty until the cluster has told.
    cluster: RwLock<String>,
}

impl Identity {
    pub(in super::super) fn new(id: i32, directory: Uuid) -> Self {
        Self { id, directory, cluster: RwLock::default() }
    }

    pub(in super::super) fn cluster(&self) -> String {
        self.cluster.read().clone()
    }

    pub(in super::super) fn set_cluster(&self, cluster: &str) {
        cluster.clone_into(&mut self.cluster.write());
    }
}

/// A handle; clones are the same links.
#[derive(Clone)]
pub(in super::super) struct Links(Arc<Shared>);

struct Shared {
    me: Arc<Identity>,
    dialer: Arc<dyn Dialer>,
    secret: ClusterSecret,
    peers: Mutex<BTreeMap<i32, Peer>>,
    /// Voters with the directories that their logs are in, zero where that is not known.
    voters: RwLock<BTreeMap<i32, Uuid>>,
    /// Who takes requests, until this node stops: whoever that is holds these links in turn.
    inbound: RwLock<Option<Arc<dyn Inbound>>>,
    strangers: Semaphore,
    stopped: std::sync::atomic::AtomicBool,
}

#[derive(Default)]
struct Peer {
    /// Those that are open, the newest last. There are several when both ends dialled, or when one dialled again
    /// before the other knew that the first is gone.
    connections: Vec<Arc<Connection>>,
    /// Held while this node dials it.
    dialling: Arc<tokio::sync::Mutex<()>>,
}

impl Links {
    pub(in super::super) fn new(me: Arc<Identity>, dialer: Arc<dyn Dialer>, secret: ClusterSecret) -> Self {
        Self(Arc::new(Shared {
            me,
            dialer,
            secret,
            peers: Mutex::default(),
            voters: RwLock::default(),
            inbound: RwLock::default(),
            strangers: Semaphore::new(MAX_STRANGERS),
            stopped: false.into(),
        }))
    }

    /// Says who takes requests; before, nobody is connected.
    pub(in super::super) fn serve(&self, inbound: Arc<dyn Inbound>) {
        *self.0.inbound.write() = Some(inbound);
    }

    pub(in super::super) fn me(&self) -> &Identity {
        &self.0.me
    }

    /// The open connection to a peer.
    pub(in super::super) fn current(&self, peer: i32) -> Option<Arc<Connection>> {
        self.0.peers.lock().get(&peer)?.newest()
    }

    /// Says which directories the voters have.
    pub(in super::super) fn set_voters(&self, voters: BTreeMap<i32, Uuid>) {
        *self.0.voters.write() = voters;
    }

    /// Whether the other end is the voter of its id, with the log and the votes that this one had; true of a node without a vote.
    pub(in super::super) fn is_itself(&self, connection: &Connection) -> bool {
        let voters = self.0.voters.read();
        let directory = voters.get(&connection.peer).filter(|directory| !directory.is_nil());
        directory.is_none_or(|directory| *directory == connection.directory)
    }

    /// The open connection to a peer that is itself.
    pub(in super::super) fn to_itself(&self, peer: i32) -> Option<Arc<Connection>> {
        self.current(peer).filter(|connection| self.is_itself(connection))
    }

    /// Peers with an open connection.
    pub(in super::super) fn connected(&self) -> Vec<Arc<Connection>> {
        let peers = self.0.peers.lock();
        peers.values().filter_map(Peer::newest).collect()
    }

    /// The connection to a peer; dials it if there is none and its address is known.
    pub(in super::super) async fn reach(&self, peer: i32, address: &str) -> io::Result<Arc<Connection>> {
        if let Some(connection) = self.current(peer) {
            return Ok(connection);
        }
        if address.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                format!("node {peer} keeps no link to this node"),
            ));
        }
        let dialling = Arc::clone(&self.0.peers.lock().entry(peer).or_default().dialling);
        let _one_at_a_time = dialling.lock().await;
        match self.current(peer) {
            Some(connection) => Ok(connection),
            None => self.dial(address, Some(peer)).await,
        }
    }

    /// Connects to whoever is at an address.
    pub(in super::super) async fn dial(
        &self,
        address: &str,
        expected: Option<i32>,
    ) -> io::Result<Arc<Connection>> {
        let shared = &self.0;
        let dial = async {
            let mut stream = shared.dialer.dial(address).await?;
            let met = introduce(&mut *stream, &shared.me, &shared.secret, expected).await?;
            io::Result::Ok((stream, met))
        };
        let (stream, met) = match timeout(CONNECT_PATIENCE, dial).await {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(error)) => {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    tracing::warn!(address, %error, "a node of the ensemble was not accepted");
                }
                return Err(error);
            }
            Err(_) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")));
            }
        };
        self.adopt(stream, (met.id, met.directory))
    }

    /// Meets whoever dialled this node, and returns when it is connected or refused.
    pub(in super::super) async fn accept(&self, mut stream: Box<dyn Stream>) -> io::Result<()> {
        let shared = &self.0;
        let _stranger = shared
            .strangers
            .try_acquire()
            .map_err(|_| io::Error::other("too many nodes are introducing themselves"))?;
        let meeting = timeout(CONNECT_PATIENCE, welcome(&mut *stream, &shared.me, &shared.secret));
        let met = meeting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.adopt(stream, (met.id, met.directory)).map(|_| ())
    }

    /// Takes leave of the peers: what they have asked already is still answered, what they would ask now they ask others.
    /// No new connection is made. Returns when all of that is done, or after `patience`.
    pub(in super::super) async fn leave(&self, served: impl Future<Output = ()>, patience: Duration) {
        self.0.stopped.store(true, std::sync::atomic::Ordering::Release);
        let say = || {
            let peers = self.0.peers.lock();
            let open = peers.values().flat_map(|peer| &peer.connections);
            join_all(open.map(|connection| connection.ask(kind::LEAVE, Bytes::new())).collect::<Vec<_>>())
        };
        let leave = async {
            say().await;
            served.await;
            // Answers are behind each other, so that this one's says that the others have been written.
            say().await;
        };
        let _ = timeout(patience, leave).await;
    }

    /// Closes every connection; no new one is made.
    pub(in super::super) fn stop(&self) {
        self.0.stopped.store(true, std::sync::atomic::Ordering::Release);
        for connection in self.0.peers.lock().values().flat_map(|peer| &peer.connections) {
            connection.close();
        }
        // What it holds may end with it, and must find the lock free.
        let inbound = self.0.inbound.write().take();
        drop(inbound);
    }

    fn inbound(&self) -> Option<Arc<dyn Inbound>> {
        self.0.inbound.read().clone()
    }

    fn adopt(&self, stream: Box<dyn Stream>, peer: (i32, Uuid)) -> io::Result<Arc<Connection>> {
        if self.0.stopped.load(std::sync::atomic::Ordering::Acquire) {
            return Err(io::Error::other("this node has stopped"));
        }
        let inbound = self.inbound().ok_or_else(|| io::Error::other("this node has not started"))?;
        let links = self.clone();
        let ended = move |connection: &Arc<Connection>, error| links.part(connection, &error);
        let connection = Connection::start(stream, peer, &*inbound, ended);
        tracing::debug!(peer = peer.0, "linked");
        self.0.peers.lock().entry(peer.0).or_default().connections.push(Arc::clone(&connection));
        if !connection.is_open() {
            // It was over before it was entered.
            self.forget(&connection);
        }
        Ok(connection)
    }

    fn part(&self, connection: &Arc<Connection>, error: &io::Error) {
        tracing::debug!(peer = connection.peer, %error, "a link is gone");
        let is_last = self.forget(connection);
        // A connection that this node gave up says nothing of the other end: it may only be slow.
        let is_hung_up = !connection.is_given_up();
        if is_last
            && is_hung_up
            && let Some(inbound) = self.inbound()
        {
            inbound.parted(connection.peer);
        }
    }

    /// True if no connection to its peer is left.
    fn forget(&self, connection: &Arc<Connection>) -> bool {
        let mut peers = self.0.peers.lock();
        let peer = peers.entry(connection.peer).or_default();
        peer.connections.retain(|other| !Arc::ptr_eq(other, connection));
        peer.newest().is_none()
    }
}

impl Peer {
    fn newest(&self) -> Option<Arc<Connection>> {
        self.connections.iter().rev().find(|connection| connection.can_be_asked()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, TcpDialer};
    use super::*;

    /// Takes requests, and holds the links that it came by, as a node does.
    struct Holder(Links);

    impl Inbound for Holder {
        fn met(&self, _connection: &Arc<Connection>) -> Box<dyn Asked> {
            unreachable!("nobody connects to {}", self.0.me().id)
        }

        fn parted(&self, _peer: i32) {}
    }

    #[test]
    fn links_that_have_stopped_keep_nobody() {
        let me = Arc::new(Identity::new(1, Uuid::nil()));
        let links = Links::new(me, Arc::new(TcpDialer), ClusterSecret::new("secret"));
        let holder: Arc<dyn Inbound> = Arc::new(Holder(links.clone()));
        let left = Arc::downgrade(&holder);
        links.serve(holder);
        assert!(left.upgrade().is_some());
        links.stop();
        assert!(left.upgrade().is_none());
        links.stop();
    }
}

//! Runs the tree: every voter holds the same log of commands and applies it in the same order.
//!
//! The one module of this crate that does I/O and is `async`. Must never decide anything about topics, groups or
//! brokers: it orders commands, keeps them, and applies them.
//!
//! # What is kept where
//!
//! The directory given to [`Ensemble::start`] (usually [`DIRECTORY`] in the first log directory, a name that is
//! neither a topic's partition nor anything Kafka looks for) holds:
//!
//! | file | content | written |
//! |---|---|---|
//! | `log/*.log` | the Raft log as Kafka record batches: offset = index, leader epoch = term, value = one of our entries | synced before an entry counts; proposals that meet a running sync share the next |
//! | `vote` | the vote, the last known commit, how far the log was dropped | replaced atomically and synced before a vote is given |
//! | `snapshot` | the membership and the whole tree | replaced atomically when enough was applied; then the log before it is dropped |
//!
//! The tree itself is only in memory. A start reads the snapshot, replays the log, and serves nothing before all that
//! is committed is applied, so nobody sees an older tree than before. A torn end of the log, as a loss of power
//! leaves it, is cut off; damage anywhere else stops the start with the file and the place.
//!
//! # Threads
//!
//! Raft runs as tasks of the runtime that called `start`, which may have one thread. One thread of its own writes and
//! syncs the log. A lone voter has no timer: it sleeps until somebody proposes something.
//!
//! # Several nodes
//!
//! With a [`Cluster`] nodes find each other over authenticated links (`link`). One, three or five are voters; any other is
//! an observer that asks to be let in and holds the whole tree. Whoever does not lead sends proposals to the leader,
//! once each: an answer that is lost makes the outcome unknown, and nothing is proposed twice. A node that starts serves
//! nothing before it has applied what was committed before (`ready`), so nobody sees an older tree on it than before.
//!
//! The membership knows of which directory each voter's log and votes are (KIP-853). Votes and acknowledgements of a node that
//! comes with another one do not count: its disk is new, and what it had promised is gone. It is nobody until that voter
//! is removed; then it may observe, and be added with its new directory. Directories are entered by the leader as soon as the
//! voters are linked, so there are none yet in the first moments of a quorum of fixed voters; and a voter goes by the last
//! membership that it has got.

mod entry_bytes;
mod entry_log;
mod errors;
mod link;
mod load;
mod local;
mod log_store;
mod machine;
mod message;
mod network;
mod node;
mod plant;
mod raft;
mod raft_types;
mod scan;
mod serve;
mod sessions;
mod snapshot_file;
mod succession;
mod tending;
mod vote_file;
mod writer;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use milena_storage::fs::Fs;
use milena_storage::ids::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

pub use self::errors::{AskError, MembersError, ProposeError, StartError};
pub use self::link::{ClusterSecret, Dialer, Dialled, MAGIC, Stream, TcpDialer};
use self::message::{MemberChange, Refused};
use self::raft::Node;
use crate::tree::{
    ClientRequest, Command, CommandKind, Op, OpResult, Outcome, Secret, SessionId, Tree, Zxid,
};

/// Name of the ensemble's directory inside a log directory.
pub const DIRECTORY: &str = ".milena-ensemble";

/// Largest command: a multi that touches thousands of partitions, well below what a segment holds.
pub const MAX_COMMAND_BYTES: usize = 8 << 20;

/// How long a barrier waits for a leader: several elections.
const BARRIER_PATIENCE: Duration = Duration::from_secs(10);

/// Proposals under way at once; further ones wait. Bounds the memory of everything behind them.
const MAX_IN_FLIGHT: usize = 1024;

/// Hears of every change, in the order of the log.
pub trait Observer: Send {
    /// The tree after the commands up to `zxid`, and what they changed, before any of their proposers is answered.
    ///
    /// With no changes the tree as a whole is new: it was loaded, or a snapshot was installed. Commands that change
    /// nothing are not told.
    fn applied(&mut self, tree: &Tree, changes: &[crate::tree::Change], zxid: Zxid);

    /// The same, while nobody can read the tree: what is done here is done before any reader sees the changes.
    /// Everybody waits for it, so it must be short.
    fn changing(&mut self, _tree: &Tree, _changes: &[crate::tree::Change]) {}
}

/// What an ensemble needs to start.
pub struct EnsembleConfig {
    pub node_id: i32,
    /// The directory of its log, votes and snapshots; created if it is missing.
    pub dir: PathBuf,
    pub fs: Arc<dyn Fs>,
    /// Milliseconds since 1970: the proposer's clock, stamped on every command.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub observer: Box<dyn Observer>,
    /// How to find the others; none for a node that is and stays on its own.
    pub cluster: Option<Cluster>,
}

/// A node of an ensemble, with the address under which the others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: i32,
    /// `host:port`; empty for a node that only dials.
    pub address: String,
    /// Of its metadata log directory; zero if it is not known.
    pub directory: Uuid,
}

impl Member {
    /// One whose directory is not known.
    #[must_use]
    pub fn at(id: i32, address: String) -> Self {
        Self { id, address, directory: Uuid::nil() }
    }
}

/// How a node finds the others of its ensemble, and they it.
#[derive(Clone)]
pub struct Cluster {
    /// The first voters (`controller.quorum.voters`): they begin the log if it is not there yet. The same on each of
    /// them. What the log says later counts more.
    pub voters: Vec<Member>,
    /// Where somebody is who knows the ensemble (`controller.quorum.bootstrap.servers`).
    pub bootstrap: Vec<String>,
    pub dialer: Arc<dyn Dialer>,
    pub secret: ClusterSecret,
    /// Of this node's metadata log directory.
    pub directory: Uuid,
    /// The cluster's id; empty if it is not known yet.
    pub id: String,
    /// How often the leader is told which sessions of this node live.
    pub heartbeat: Duration,
}

/// Answers what other nodes ask the embedding program.
pub trait Answerer: Send + Sync {
    fn answer(&self, from: i32, question: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>>;
}

/// Who leads, as far as this node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<i32>,
    /// This node does.
    pub leads: bool,
}

/// A handle; clones are the same ensemble.
#[derive(Clone)]
pub struct Ensemble {
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    in_flight: Semaphore,
    /// Until this node is ready.
    observer: Mutex<Option<Box<dyn Observer>>>,
}

/// A proposal that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub zxid: Zxid,
    /// One per operation.
    pub results: Vec<OpResult>,
}

/// What DescribeQuorum tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    pub leader: Option<i32>,
    pub term: u64,
    /// One past the last committed entry.
    pub committed_end: u64,
    pub voters: Vec<Replica>,
    pub learners: Vec<Replica>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub id: i32,
    /// One past the last entry that this replica is known to have; none if the leader has not heard.
    pub log_end: Option<u64>,
    /// How long ago the leader heard it; none for the leader itself, and on other nodes.
    pub heard: Option<Duration>,
    /// A voter's as the membership has it, else that of the node that is linked; zero if neither is known.
    pub directory: Uuid,
    /// `host:port`; empty for a node that only dials.
    pub address: String,
    pub is_linked: bool,
}

impl Ensemble {
    /// Loads what is on disk. A node whose quorum is itself tells the observer and is ready; any other needs
    /// [`Ensemble::accept`] to be called for those who dial it, and [`Ensemble::ready`] to be waited for.
    pub async fn start(config: EnsembleConfig) -> Result<Self, StartError> {
        let EnsembleConfig { node_id, dir, fs, now, observer, cluster } = config;
        let now_too = Arc::clone(&now);
        let settings =
            raft::Settings { node_id, dir, fs, now: now_too, cluster, ..raft::Settings::default() };
        Self::start_with(settings, observer).await
    }

    /// Without a thread of its own, each sync taking so long of the runtime's time, and with the bug that is planted.
    #[cfg(feature = "simulated")]
    pub async fn start_simulated(config: EnsembleConfig, sync: Duration) -> Result<Self, StartError> {
        use crate::plant::{Bug, is_planted};
        let EnsembleConfig { node_id, dir, fs, now, observer, cluster } = config;
        let (work, now_too) = (writer::Work::Tasks { sync }, Arc::clone(&now));
        let commits_alone = is_planted(Bug::CommitsWithoutQuorum);
        let plant = if commits_alone { plant::Plant::AcksBeforeAnswers } else { plant::Plant::None };
        let defaults = raft::Settings::default();
        let settings = raft::Settings { node_id, dir, fs, now: now_too, cluster, work, plant, ..defaults };
        Self::start_with(settings, observer).await
    }

    async fn start_with(settings: raft::Settings, observer: Box<dyn Observer>) -> Result<Self, StartError> {
        let now = Arc::clone(&settings.now);
        let node = Node::start(settings).await?;
        let mut waiting = Some(observer);
        if node.is_alone()
            && let Some(observer) = waiting.take()
        {
            node.go_live(observer);
        }
        let in_flight = Semaphore::new(MAX_IN_FLIGHT);
        Ok(Self { shared: Arc::new(Shared { node, now, in_flight, observer: Mutex::new(waiting) }) })
    }

    /// Returns when this node has applied all that was committed before it started, so that nobody sees an older
    /// tree here than before, and when its observer knows. Waits for a quorum as long as it takes.
    pub async fn ready(&self) -> Result<(), ProposeError> {
        let shared = &self.shared;
        let observer = shared.observer.lock().take();
        let Some(observer) = observer else { return Ok(()) };
        shared.node.wait_ready().await?;
        shared.node.go_live(observer);
        Ok(())
    }

    /// Takes a stream from whoever dialled this node; returns when it is connected, or refused.
    pub async fn accept(&self, stream: Box<dyn Stream>) -> io::Result<()> {
        match &self.shared.node.core.links {
            Some(links) => links.accept(stream).await,
            None => Err(io::Error::other("this node is on its own")),
        }
    }

    /// Says who answers [`Ensemble::ask_leader`] while this node leads.
    pub fn answer_with(&self, answerer: Arc<dyn Answerer>) {
        *self.shared.node.answerer.write() = Some(answerer);
    }

    /// Asks the embedding program of the leader, once. On the leader itself that is the caller's own.
    pub async fn ask_leader(&self, question: Bytes) -> Result<Bytes, AskError> {
        let core = &self.shared.node.core;
        let Some(leader) = self.leadership().leader.filter(|leader| *leader != core.node_id) else {
            return Err(AskError::NoLeader("this node knows of none".to_owned()));
        };
        core.ask_node(leader, message::kind::ASK, question).await.map_err(|refused| match refused {
            Refused::Unknown => AskError::Unknown,
            Refused::NotLeader { .. } => AskError::NoLeader("it has just changed".to_owned()),
            Refused::Never(why) | Refused::Later(why) => AskError::NoLeader(why),
        })
    }

    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.shared.node.core.leadership()
    }

    /// Tells of every change of leadership.
    #[must_use]
    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.node.core.leadership.subscribe()
    }

    /// Learns the cluster's id, so that links to nodes of another are refused.
    pub fn set_cluster_id(&self, id: &str) {
        if let Some(links) = &self.shared.node.core.links {
            links.me().set_cluster(id);
        }
    }

    /// Returns when this node has applied everything that was acknowledged anywhere before the call.
    pub async fn barrier(&self) -> Result<(), ProposeError> {
        self.shared.node.core.barrier(Instant::now() + BARRIER_PATIENCE).await
    }

    /// Gives a node a vote once it has the log; it has to be running, with this directory. On the leader only.
    pub async fn add_voter(&self, member: Member) -> Result<(), MembersError> {
        let Member { id, address, directory } = member;
        self.change_members(MemberChange::AddVoter { id, address, directory }).await
    }

    /// Changes where a voter is reached; its directory has to be the one that is known, if any is. On the leader only.
    pub async fn update_voter(&self, member: Member) -> Result<(), MembersError> {
        let Member { id, address, directory } = member;
        self.change_members(MemberChange::UpdateVoter { id, address, directory }).await
    }

    /// Takes a node's vote away; it goes on as an observer. On the leader only, which may remove itself.
    pub async fn remove_voter(&self, id: i32) -> Result<(), MembersError> {
        self.change_members(MemberChange::RemoveVoter { id }).await
    }

    async fn change_members(&self, change: MemberChange) -> Result<(), MembersError> {
        let core = &self.shared.node.core;
        core.change_members(core.node_id, change).await.map_err(|refused| match refused {
            Refused::NotLeader { leader } => MembersError::NotLeader { leader },
            Refused::Unknown => MembersError::Unknown,
            Refused::Never(why) => MembersError::Refused(why),
            Refused::Later(why) => MembersError::Later(why),
        })
    }

    /// If this node leads, another voter takes over, if there is one that can. Call it before [`Ensemble::stop`].
    pub async fn hand_over(&self) {
        self.shared.node.hand_over().await;
    }

    /// The session lives as long as this node does, and is known to be silent when this node is.
    pub fn keep_session(&self, id: SessionId) {
        self.shared.node.core.sessions.keep(id);
    }

    /// Sessions whose node's connection is closed though their time is not over; only the leader knows any.
    #[must_use]
    pub fn suspects(&self) -> watch::Receiver<BTreeSet<SessionId>> {
        self.shared.node.core.sessions.suspects()
    }

    /// Proposes operations on behalf of no session; returns after this node has applied them and its observer knows.
    pub async fn propose(&self, ops: Vec<Op>) -> Result<Applied, ProposeError> {
        self.propose_as(SessionId::NONE, ops).await
    }

    /// Proposes operations on behalf of a session, which owns the ephemeral nodes that they create.
    pub async fn propose_as(&self, session: SessionId, ops: Vec<Op>) -> Result<Applied, ProposeError> {
        match self.command(session, CommandKind::Multi(ops)).await? {
            (zxid, Outcome::Multi(results)) => Ok(Applied { zxid, results: results? }),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// Opens a session. The leader ends it when it was not heard for so long, unless it is kept.
    pub async fn open_session(&self, timeout_millis: i32) -> Result<SessionId, ProposeError> {
        match self.command(SessionId::NONE, CommandKind::OpenSession { timeout_millis }).await? {
            (_, Outcome::SessionOpened(id)) => Ok(id),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// Opens a session as [`Ensemble::open_session`] does and proposes operations on its behalf, in one step: a leader's first.
    /// The secret stays if the tree had none.
    pub async fn begin_session(
        &self,
        timeout_millis: i32,
        secret: Secret,
        ops: Vec<Op>,
    ) -> Result<SessionId, ProposeError> {
        let begin = CommandKind::Begin { timeout_millis, secret, ops };
        match self.command(SessionId::NONE, begin).await? {
            (_, Outcome::Begun(id)) => Ok(id),
            (_, Outcome::Multi(Err(error))) => Err(error.into()),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// Ends a session and removes its ephemeral nodes, in one step.
    pub async fn close_session(&self, id: SessionId) -> Result<(), ProposeError> {
        self.shared.node.core.sessions.let_go(id);
        match self.command(SessionId::NONE, CommandKind::CloseSession { id }).await? {
            (_, Outcome::SessionClosed(_)) => Ok(()),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// Proposes what clients of the ZooKeeper protocol asked for, in one step; returns what became of each request, in
    /// order, with the zxid that it took.
    pub async fn propose_clients(
        &self,
        requests: Vec<ClientRequest>,
    ) -> Result<Vec<(Zxid, Outcome)>, ProposeError> {
        match self.command(SessionId::NONE, CommandKind::Clients(requests)).await? {
            (_, Outcome::Clients(outcomes)) => Ok(outcomes),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// Makes sure that the tree holds a secret for session passwords; this one, if it had none.
    pub async fn keep_secret(&self, secret: Secret) -> Result<(), ProposeError> {
        match self.command(SessionId::NONE, CommandKind::Secret(secret)).await? {
            (_, Outcome::SecretKept) => Ok(()),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// On a new leader: these sessions are suspect as long as nobody is heard who speaks for them.
    pub fn doubt_sessions(&self, ids: &[SessionId]) {
        self.shared.node.core.sessions.doubt(ids);
    }

    /// Reads the local tree. Holds up whoever applies, so do little and never block in it.
    pub fn with_tree<R>(&self, read: impl FnOnce(&Tree) -> R) -> R {
        self.shared.node.with_tree(read)
    }

    #[must_use]
    pub fn quorum(&self) -> Quorum {
        self.shared.node.quorum()
    }

    /// Ends everything that runs and closes the log; proposals from now on fail with [`ProposeError::Stopped`].
    /// May be called more than once.
    pub async fn stop(&self) -> Result<(), StartError> {
        self.shared.in_flight.close();
        self.shared.node.stop().await
    }

    /// Syncs of the log since the start, for metrics.
    #[must_use]
    pub fn log_syncs(&self) -> u64 {
        self.shared.node.log_syncs()
    }

    async fn command(&self, session: SessionId, kind: CommandKind) -> Result<(Zxid, Outcome), ProposeError> {
        let _permit = self.shared.in_flight.acquire().await.map_err(|_| ProposeError::Stopped)?;
        let command = Command { session, time: (self.shared.now)(), kind };
        self.shared.node.core.propose(command).await
    }
}

/// A command can only have its own kind's outcome or be refused as a whole.
fn refusal(outcome: &Outcome) -> ProposeError {
    match outcome {
        Outcome::Refused(code) => ProposeError::Refused(*code),
        other => ProposeError::Failed { reason: format!("a command had the outcome of another: {other:?}") },
    }
}

#[cfg(test)]
mod tests;

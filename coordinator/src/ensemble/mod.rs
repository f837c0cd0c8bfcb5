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

mod entry_bytes;
mod entry_log;
mod load;
mod local;
mod log_store;
mod machine;
mod network;
mod raft;
mod raft_types;
mod scan;
mod snapshot_file;
mod vote_file;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::fs::Fs;
use milena_storage::ids::Timestamp;
use tokio::sync::Semaphore;

use self::raft::Node;
use crate::tree::{
    ClientRequest, Code, Command, CommandKind, MultiError, Op, OpResult, Outcome, Secret, SessionId,
    SnapshotError, Tree, Zxid,
};

/// Name of the ensemble's directory inside a log directory.
pub const DIRECTORY: &str = ".milena-ensemble";

/// Largest command: a multi that touches thousands of partitions, well below what a segment holds.
pub const MAX_COMMAND_BYTES: usize = 8 << 20;

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
}

/// A proposal that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub zxid: Zxid,
    /// One per operation.
    pub results: Vec<OpResult>,
}

/// Why a proposal was not applied, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// In the log, and refused by the tree: nothing changed.
    #[error("{0}")]
    Multi(#[from] MultiError),
    #[error("command refused: {0}")]
    Refused(Code),
    #[error("this node does not lead the ensemble; the leader is {leader:?}")]
    NotLeader { leader: Option<i32> },
    /// The leader changed meanwhile: the command may have been applied, or may still be.
    #[error("the leader changed before the command was applied; it may or may not take effect")]
    Unknown,
    #[error("a command of {bytes} bytes is larger than {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// The disk failed; only a restart can tell what is on it.
    #[error("the ensemble has failed: {reason}")]
    Failed { reason: String },
    #[error("the ensemble has stopped")]
    Stopped,
}

/// Why an ensemble did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{} belongs to node {found}, this is node {expected}", path.display())]
    NodeId { path: PathBuf, found: i32, expected: i32 },
    #[error("{}: {source}", path.display())]
    Snapshot { path: PathBuf, source: SnapshotError },
    #[error("the ensemble did not come up: {reason}")]
    Raft { reason: String },
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
}

impl Ensemble {
    /// Loads what is on disk, tells the observer, and returns when this node can take proposals (a lone voter) or
    /// follows a leader.
    pub async fn start(config: EnsembleConfig) -> Result<Self, StartError> {
        let EnsembleConfig { node_id, dir, fs, now, observer } = config;
        let settings =
            raft::Settings { node_id, dir, fs, now: Arc::clone(&now), ..raft::Settings::default() };
        Self::start_with(settings, observer).await
    }

    async fn start_with(settings: raft::Settings, observer: Box<dyn Observer>) -> Result<Self, StartError> {
        let now = Arc::clone(&settings.now);
        let node = Node::start(settings).await?;
        node.go_live(observer);
        Ok(Self { shared: Arc::new(Shared { node, now, in_flight: Semaphore::new(MAX_IN_FLIGHT) }) })
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

    /// Opens a session. Its end is the caller's to propose; nothing expires it by itself.
    pub async fn open_session(&self, timeout_millis: i32) -> Result<SessionId, ProposeError> {
        match self.command(SessionId::NONE, CommandKind::OpenSession { timeout_millis }).await? {
            (_, Outcome::SessionOpened(id)) => Ok(id),
            (_, other) => Err(refusal(&other)),
        }
    }

    /// Ends a session and removes its ephemeral nodes, in one step.
    pub async fn close_session(&self, id: SessionId) -> Result<(), ProposeError> {
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
        self.shared.node.propose(command).await
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

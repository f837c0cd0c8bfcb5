//! Runs the tree: every voter holds the same log of commands and applies it in the same order.
//!
//! The one module of this crate that does I/O and is `async`. Must never decide anything about topics, groups or
//! brokers: it orders commands, keeps them, and applies them.

use std::path::PathBuf;
use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::fs::Fs;
use milena_storage::ids::Timestamp;
use parking_lot::RwLock;

use crate::tree::{
    Change, Code, Command, CommandKind, MultiError, Op, OpResult, Outcome, SessionId, SnapshotError, Tree,
    Zxid,
};

/// Name of the ensemble's directory inside a log directory.
pub const DIRECTORY: &str = ".milena-ensemble";

/// Hears of every change, in the order of the log.
pub trait Observer: Send {
    /// The tree after the commands up to `zxid`, and what they changed, before any of their proposers is answered.
    ///
    /// With no changes the tree as a whole is new: it was loaded, or a snapshot was installed. Commands that change
    /// nothing are not told.
    fn applied(&mut self, tree: &Tree, changes: &[Change], zxid: Zxid);
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
    node_id: i32,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    tree: RwLock<Tree>,
    observer: parking_lot::Mutex<Box<dyn Observer>>,
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
        let mut observer = config.observer;
        let tree = Tree::new();
        observer.applied(&tree, &[], tree.zxid());
        let observer = parking_lot::Mutex::new(observer);
        let shared = Shared { node_id: config.node_id, now: config.now, tree: RwLock::new(tree), observer };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Proposes operations on behalf of no session; returns after this node has applied them and its observer knows.
    pub async fn propose(&self, ops: Vec<Op>) -> Result<Applied, ProposeError> {
        self.propose_as(SessionId::NONE, ops).await
    }

    /// Proposes operations on behalf of a session, which owns the ephemeral nodes that they create.
    pub async fn propose_as(&self, session: SessionId, ops: Vec<Op>) -> Result<Applied, ProposeError> {
        match self.command(session, CommandKind::Multi(ops)).await? {
            (zxid, Outcome::Multi(results)) => Ok(Applied { zxid, results: results? }),
            (_, Outcome::Refused(code)) => Err(ProposeError::Refused(code)),
            (_, other) => unreachable!("a multi has a multi's outcome, not {other:?}"),
        }
    }

    pub async fn open_session(&self, timeout_millis: i32) -> Result<SessionId, ProposeError> {
        match self.command(SessionId::NONE, CommandKind::OpenSession { timeout_millis }).await? {
            (_, Outcome::SessionOpened(id)) => Ok(id),
            (_, Outcome::Refused(code)) => Err(ProposeError::Refused(code)),
            (_, other) => unreachable!("an opened session has its own outcome, not {other:?}"),
        }
    }

    /// Ends a session and removes its ephemeral nodes, in one step.
    pub async fn close_session(&self, id: SessionId) -> Result<(), ProposeError> {
        match self.command(SessionId::NONE, CommandKind::CloseSession { id }).await? {
            (_, Outcome::Refused(code)) => Err(ProposeError::Refused(code)),
            _ => Ok(()),
        }
    }

    /// Reads the local tree. Holds up whoever applies, so do little and never block in it.
    pub fn with_tree<R>(&self, read: impl FnOnce(&Tree) -> R) -> R {
        read(&self.shared.tree.read())
    }

    #[must_use]
    pub fn quorum(&self) -> Quorum {
        let id = self.shared.node_id;
        let voter = Replica { id, log_end: Some(0) };
        Quorum { leader: Some(id), term: 1, committed_end: 0, voters: vec![voter], learners: Vec::new() }
    }

    /// Ends everything that runs; proposals from now on fail with [`ProposeError::Stopped`].
    pub async fn stop(&self) -> Result<(), StartError> {
        Ok(())
    }

    async fn command(&self, session: SessionId, kind: CommandKind) -> Result<(Zxid, Outcome), ProposeError> {
        let command = Command { session, time: (self.shared.now)(), kind };
        let mut observer = self.shared.observer.lock();
        let mut tree = self.shared.tree.write();
        let zxid = tree.zxid().next(1);
        let (outcome, changes) = tree.apply(zxid, &command);
        let tree = parking_lot::RwLockWriteGuard::downgrade(tree);
        if !changes.is_empty() {
            observer.applied(&tree, &changes, zxid);
        }
        Ok((zxid, outcome))
    }
}

//! What can go wrong with an ensemble, as its callers are told.
//!
//! Must never hold more than they can act on.

use std::path::PathBuf;

use milena_storage::StorageError;

use crate::tree::{Code, MultiError, SnapshotError};

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

/// Why a change of members did not happen, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    #[error("this node does not lead the ensemble; the leader is {leader:?}")]
    NotLeader { leader: Option<i32> },
    #[error("the leader changed meanwhile; the change may or may not take effect")]
    Unknown,
    #[error("{0}")]
    Refused(String),
    /// Another change is under way, or the node does not take the log.
    #[error("{0}")]
    Later(String),
}

/// Why the leader did not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody has looked at the question.
    #[error("there is no leader that can be reached: {0}")]
    NoLeader(String),
    #[error("the leader may have looked at the question, and its answer is lost")]
    Unknown,
}

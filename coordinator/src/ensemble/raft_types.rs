//! What openraft is told about us: the types of commands, answers, nodes and log ids.
//!
//! Nothing outside `ensemble/` may see these, and none of them is ever stored as openraft would store it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::vote::RaftLeaderId;
use uuid::Uuid;

use crate::tree::{Command, Malformed, Outcome, Zxid};

/// What the membership knows of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemberNode {
    /// `host:port`; empty for a node that only dials.
    pub(super) addr: String,
    /// The directory that a voter's log and votes are in (KIP-853): whoever comes with another one has forgotten them. Zero
    /// while it is not known.
    pub(super) directory: Uuid,
}

/// In tests the random time-outs follow from a seed.
#[cfg(not(test))]
pub(super) type Runtime = openraft::TokioRuntime;
#[cfg(test)]
pub(super) type Runtime = openraft_rt::deterministic_rng::DeterministicRng<openraft::TokioRuntime>;

/// Starts a task; in tests with random numbers of its own that follow from the seed.
pub(super) fn spawn<T>(task: T) -> tokio::task::JoinHandle<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    <Runtime as openraft::AsyncRuntime>::spawn(task)
}

openraft::declare_raft_types!(
    /// Standard Raft leader ids: one leader per term, and a log id is a term and an index.
    pub(super) TreeRaft:
        D = Proposal,
        R = Reply,
        NodeId = i32,
        Node = MemberNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, i32>,
        AsyncRuntime = Runtime,
);

pub(super) type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, i32>;
pub(super) type Committed = <LeaderId as RaftLeaderId>::Committed;
pub(super) type LogId = openraft::LogId<Committed>;
pub(super) type Vote = openraft::Vote<LeaderId>;
pub(super) type Membership = openraft::Membership<i32, MemberNode>;
pub(super) type StoredMembership = openraft::StoredMembership<Committed, i32, MemberNode>;
pub(super) type Payload = openraft::EntryPayload<Proposal, i32, MemberNode>;
pub(super) type Entry = openraft::Entry<Committed, Payload>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<Committed, i32, MemberNode>;
pub(super) type Snapshot = openraft::Snapshot<Committed, i32, MemberNode, Bytes>;

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Committed::new(term), index)
}

/// A command together with its bytes, so that it is encoded once and by the proposer.
#[derive(Clone)]
pub(super) struct Proposal {
    pub(super) command: Arc<Command>,
    pub(super) bytes: Bytes,
}

impl Proposal {
    pub(super) fn new(command: Command) -> Self {
        let bytes = Bytes::from(command.encode());
        Self { command: Arc::new(command), bytes }
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let command = Arc::new(Command::decode(bytes.clone())?);
        Ok(Self { command, bytes })
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.bytes.len())
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a proposer gets back; nothing for entries that carry no command.
#[derive(Clone, Debug)]
pub(super) struct Reply(pub(super) Option<(Zxid, Outcome)>);

//! How votes, entries and snapshots reach other voters: not yet, so every call says "unreachable".
//!
//! Pre-vote and leadership transfer are written out because openraft's defaults would silently grant the one and
//! ignore the other. Must never answer for a node that was not asked.

use std::future::Future;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::raft_types::{Snapshot, TreeRaft, Vote};

/// Makes links that reach nobody.
pub(super) struct NoLinks;

/// A link to one node that reaches nobody.
pub(super) struct NoLink {
    to: i32,
}

impl RaftNetworkFactory<TreeRaft> for NoLinks {
    type Network = NoLink;

    async fn new_client(&mut self, to: i32, _node: &BasicNode) -> NoLink {
        NoLink { to }
    }
}

impl NoLink {
    fn unreachable(&self) -> Unreachable<TreeRaft> {
        Unreachable::new(&AnyError::error(format!(
            "node {} cannot be reached: no link is configured",
            self.to
        )))
    }

    fn refused<T>(&self) -> Result<T, RPCError<TreeRaft>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }
}

impl RaftNetworkV2<TreeRaft> for NoLink {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TreeRaft>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TreeRaft>, RPCError<TreeRaft>> {
        self.refused()
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TreeRaft>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TreeRaft>, RPCError<TreeRaft>> {
        self.refused()
    }

    async fn pre_vote(
        &mut self,
        _rpc: VoteRequest<TreeRaft>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TreeRaft>, RPCError<TreeRaft>> {
        self.refused()
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TreeRaft>, StreamingError<TreeRaft>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }

    async fn transfer_leader(
        &mut self,
        _req: TransferLeaderRequest<TreeRaft>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TreeRaft>, RPCError<TreeRaft>> {
        self.refused()
    }
}

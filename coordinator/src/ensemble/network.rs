//! How votes, entries and snapshots reach other nodes: openraft's calls as requests over the links.
//!
//! Pre-vote and leadership transfer are written out because openraft's defaults would silently grant the one and
//! ignore the other. Must never answer for a node that was not asked.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, ready, select};
use futures_util::stream::{empty, once};
use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use tokio::time::timeout;

use super::link::{Connection, Links};
use super::message::{self, Chunk, Decoded, kind};
use super::plant::Plant;
use super::raft_types::{MemberNode, Snapshot, TreeRaft, Vote};

/// Appends to one node whose answers are outstanding.
const WINDOW: usize = 16;
/// How long the answer to an append may take: a sync of the other's disk, at its worst.
const APPEND_PATIENCE: Duration = Duration::from_secs(2);
/// How long one part of a snapshot may take; the last is answered when the whole is installed.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
const CHUNK_BYTES: usize = 1 << 20;
/// Pauses before a node that could not be reached is tried again.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// Makes links for openraft; without any, a node on its own.
pub(super) struct Network {
    links: Option<Links>,
    /// Numbers streams of appends and transfers of snapshots.
    next: Arc<AtomicU64>,
    plant: Plant,
}

impl Network {
    pub(super) fn new(links: Option<Links>, plant: Plant) -> Self {
        Self { links, next: Arc::new(AtomicU64::new(1)), plant }
    }
}

/// The way to one node.
pub(super) struct Way {
    links: Option<Links>,
    to: i32,
    address: String,
    next: Arc<AtomicU64>,
    plant: Plant,
}

impl RaftNetworkFactory<TreeRaft> for Network {
    type Network = Way;

    async fn new_client(&mut self, to: i32, node: &MemberNode) -> Way {
        let (links, address, next) = (self.links.clone(), node.addr.clone(), Arc::clone(&self.next));
        Way { links, to, address, next, plant: self.plant }
    }
}

impl Way {
    fn unreachable(&self, why: impl std::fmt::Display) -> Unreachable<TreeRaft> {
        Unreachable::new(&AnyError::error(format!("node {} cannot be reached: {why}", self.to)))
    }

    /// To the node, if it still has the log and the votes by which it counts.
    async fn connection(&self) -> Result<Arc<Connection>, Unreachable<TreeRaft>> {
        let links = self.links.as_ref().ok_or_else(|| self.unreachable("this node is on its own"))?;
        let connection =
            links.reach(self.to, &self.address).await.map_err(|error| self.unreachable(error))?;
        #[cfg(test)]
        if self.plant == Plant::AnyDirectory {
            return Ok(connection);
        }
        if links.is_itself(&connection) {
            Ok(connection)
        } else {
            let directory = connection.directory;
            Err(self.unreachable(format!("its directory {directory} is not the voter's")))
        }
    }

    async fn ask<T>(
        &self,
        kind: u8,
        body: Bytes,
        patience: Duration,
        decode: impl Fn(Bytes) -> Decoded<T>,
    ) -> Result<T, RPCError<TreeRaft>> {
        let asking = async {
            let connection = self.connection().await?;
            let answer = connection.ask(kind, body);
            receive(&connection, answer, patience).await
        };
        let answer = timeout(patience, asking).await.map_err(|_| silent(self.to))??;
        decode(answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }
}

fn silent(to: i32) -> RPCError<TreeRaft> {
    RPCError::Network(NetworkError::from_string(format!("node {to} did not answer in time")))
}

async fn receive(
    connection: &Connection,
    answer: impl Future<Output = Result<Bytes, super::link::Lost>>,
    patience: Duration,
) -> Result<Bytes, RPCError<TreeRaft>> {
    match timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(lost)) => Err(RPCError::Unreachable(Unreachable::new(&lost))),
        Err(_) => {
            connection.doubt();
            Err(silent(connection.peer))
        }
    }
}

/// Queues an append here and now, so that the order on the wire is the stream's; its answer comes later.
fn append(
    connection: &Arc<Connection>,
    stream: u64,
    rpc: &AppendEntriesRequest<TreeRaft>,
    plant: Plant,
) -> impl Future<Output = Result<StreamAppendResult<TreeRaft>, RPCError<TreeRaft>>> + Send + use<> {
    let answer = connection.ask(kind::STREAM, message::encode_append(stream, rpc));
    let connection = Arc::clone(connection);
    let last = rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id);
    async move {
        #[cfg(any(test, feature = "simulated"))]
        if plant == Plant::AcksBeforeAnswers {
            return Ok(Ok(last));
        }
        let _ = (plant, last);
        let answer = receive(&connection, answer, APPEND_PATIENCE).await?;
        message::decode_streamed(answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }
}

impl RaftNetworkV2<TreeRaft> for Way {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TreeRaft>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TreeRaft>, RPCError<TreeRaft>> {
        let body = message::encode_append(0, &rpc);
        self.ask(kind::APPEND, body, option.soft_ttl(), message::decode_appended).await
    }

    /// Several appends are under way at a time; answers come in their order.
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TreeRaft>, RPCError<TreeRaft>>>, RPCError<TreeRaft>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TreeRaft>> + OptionalSend + Unpin + 'static,
    {
        let answers = async move {
            // The pauses after errors lie in the input, so that it has to be asked before anything is tried.
            let mut input = input;
            let Some(first) = input.next().await else { return empty().boxed() };
            let connection = match self.connection().await {
                Ok(connection) => connection,
                Err(error) => return once(ready(Err(RPCError::Unreachable(error)))).boxed(),
            };
            let stream = self.next.fetch_add(1, Ordering::Relaxed);
            let appends = once(ready(first)).chain(input);
            appends.map(move |rpc| append(&connection, stream, &rpc, self.plant)).buffered(WINDOW).boxed()
        };
        Box::pin(ready(Ok(once(answers).flatten().boxed() as BoxStream<'s, _>)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TreeRaft>,
        option: RPCOption,
    ) -> Result<VoteResponse<TreeRaft>, RPCError<TreeRaft>> {
        let body = message::encode_vote_request(&rpc);
        self.ask(kind::VOTE, body, option.soft_ttl(), message::decode_vote_response).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TreeRaft>,
        option: RPCOption,
    ) -> Result<VoteResponse<TreeRaft>, RPCError<TreeRaft>> {
        let body = message::encode_vote_request(&rpc);
        self.ask(kind::PRE_VOTE, body, option.soft_ttl(), message::decode_vote_response).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TreeRaft>, StreamingError<TreeRaft>> {
        match select(pin!(self.send_snapshot(vote, snapshot)), pin!(cancel)).await {
            Either::Left((sent, _)) => sent,
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TreeRaft>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TreeRaft>, RPCError<TreeRaft>> {
        let body = message::encode_transfer(&req);
        self.ask(kind::TRANSFER, body, option.soft_ttl(), message::decode_transferred).await
    }

    /// A node that was away is tried again soon: trying costs little, and it may be what a quorum waits for.
    fn backoff(&self) -> Option<Backoff> {
        let last = BACKOFF[BACKOFF.len() - 1];
        Some(Backoff::new(BACKOFF.into_iter().chain(std::iter::repeat(last))))
    }
}

impl Way {
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<TreeRaft>, StreamingError<TreeRaft>> {
        let transfer = self.next.fetch_add(1, Ordering::Relaxed);
        let (total, mut offset) = (snapshot.snapshot.len(), 0);
        loop {
            let end = total.min(offset + CHUNK_BYTES);
            let chunk = Chunk {
                transfer,
                vote,
                meta: snapshot.meta.clone(),
                total: total as u64,
                offset: offset as u64,
                bytes: snapshot.snapshot.slice(offset..end),
            };
            let body = message::encode_chunk(&chunk);
            let answer = self.ask(kind::SNAPSHOT, body, CHUNK_PATIENCE, message::decode_result).await?;
            let mut answer = answer.map_err(|refused| {
                StreamingError::Network(NetworkError::from_string(format!(
                    "the snapshot was refused: {refused:?}"
                )))
            })?;
            // A follower that knows a higher vote says so at any part.
            if !answer.is_empty() {
                let vote = message::vote(&mut answer)
                    .map_err(|error| StreamingError::Network(NetworkError::new(&error)))?;
                return Ok(SnapshotResponse::new(vote));
            }
            offset = end;
        }
    }
}

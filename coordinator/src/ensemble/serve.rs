//! What this node does when another asks.
//!
//! Must never answer a request out of its connection's order where the order matters, which is for appends, nor hold up
//! a connection's reader.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use openraft::raft::AppendEntriesRequest;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::link::{Asked, Connection, Inbound};
use super::message::{self, Chunk, MemberChange, Refused, kind};
use super::node::Core;
use super::raft_types::spawn;
use super::raft_types::{Proposal, Snapshot, TreeRaft};
use super::{Answerer, MAX_IN_FLIGHT};
use crate::tree::{SessionId, Tree};

/// Appends of one stream that may wait here; the sender has fewer under way.
const MAX_APPENDS: usize = 64;
/// Largest snapshot that is taken in: no tree that fits a broker's memory is larger.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 31;

/// Takes requests of every other node.
pub(super) struct Service {
    pub(super) core: Arc<Core>,
    /// What answers the requests of whoever embeds the ensemble.
    pub(super) answerer: Arc<RwLock<Option<Arc<dyn Answerer>>>>,
    /// Requests of all connections that are being answered.
    pub(super) under_way: watch::Sender<usize>,
}

impl Inbound for Service {
    fn met(&self, connection: &Arc<Connection>) -> Box<dyn Asked> {
        self.core.sessions.met();
        Box::new(Asker {
            connection: Arc::clone(connection),
            core: Arc::clone(&self.core),
            answerer: Arc::clone(&self.answerer),
            under_way: self.under_way.clone(),
            stream: None,
            receiving: Arc::default(),
            room: Arc::new(Semaphore::new(2 * MAX_IN_FLIGHT)),
        })
    }

    fn parted(&self, peer: i32) {
        self.core.sessions.parted(peer);
        if self.core.leadership().leader == Some(peer) {
            self.core.hung_up.notify_one();
        }
    }
}

type Append = (u64, AppendEntriesRequest<TreeRaft>);

/// The requests of one connection.
struct Asker {
    connection: Arc<Connection>,
    core: Arc<Core>,
    answerer: Arc<RwLock<Option<Arc<dyn Answerer>>>>,
    under_way: watch::Sender<usize>,
    /// The present stream of appends.
    stream: Option<(u64, mpsc::Sender<Append>)>,
    receiving: Arc<tokio::sync::Mutex<Option<Receiving>>>,
    /// Requests under way; a node that has more is not one of ours.
    room: Arc<Semaphore>,
}

/// A request that is being answered.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn one(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The part of a snapshot that has come.
struct Receiving {
    transfer: u64,
    bytes: BytesMut,
}

impl Asked for Asker {
    fn asked(&mut self, kind: u8, number: u64, body: Bytes) -> bool {
        if kind == kind::STREAM {
            return message::decode_append(body).is_ok_and(|(stream, rpc)| self.append(stream, number, rpc));
        }
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else { return false };
        let Some(work) = self.work(kind, body) else { return false };
        let connection = Arc::clone(&self.connection);
        let counted = Counted::one(&self.under_way);
        spawn(async move {
            // Without an answer the asking side waits in vain, so a node that fails hangs up.
            match work.await {
                Some(answer) => connection.answer(kind, number, answer),
                None => connection.close(),
            }
            drop((permit, counted));
        });
        true
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

impl Asker {
    /// What a request takes; nothing if it is malformed.
    fn work(&self, kind: u8, body: Bytes) -> Option<Work> {
        let core = Arc::clone(&self.core);
        let peer = self.connection.peer;
        Some(match kind {
            kind::APPEND => {
                let (_, rpc) = message::decode_append(body).ok()?;
                Box::pin(async move {
                    core.raft.append_entries(rpc).await.ok().map(|answer| message::encode_appended(&answer))
                })
            }
            kind::VOTE => {
                let rpc = message::decode_vote_request(body).ok()?;
                Box::pin(async move {
                    core.raft.vote(rpc).await.ok().map(|answer| message::encode_vote_response(&answer))
                })
            }
            kind::PRE_VOTE => {
                let rpc = message::decode_vote_request(body).ok()?;
                Box::pin(async move {
                    core.raft.pre_vote(rpc).await.ok().map(|answer| message::encode_vote_response(&answer))
                })
            }
            kind::TRANSFER => {
                let rpc = message::decode_transfer(body).ok()?;
                Box::pin(async move {
                    let answer = core.raft.handle_transfer_leader(rpc).await.ok()?;
                    Some(message::encode_transferred(&answer))
                })
            }
            kind::SNAPSHOT => {
                let chunk = message::decode_chunk(body).ok()?;
                let receiving = Arc::clone(&self.receiving);
                Box::pin(async move { receive(&core, &mut *receiving.lock().await, chunk).await })
            }
            kind::PROPOSE => {
                let proposal = Proposal::decode(body).ok()?;
                Box::pin(async move {
                    let written = core.write(proposal).await.map_err(|refused| match refused {
                        // This node's disk failed; others may have got the entry.
                        Refused::Never(_) => Refused::Unknown,
                        other => other,
                    });
                    Some(message::encode_result(written.map(|(index, _)| number(index))))
                })
            }
            kind::BARRIER => {
                Box::pin(async move { Some(message::encode_result(core.read_index().await.map(number))) })
            }
            kind::MEMBERS => {
                let change = MemberChange::decode(body).ok()?;
                Box::pin(async move {
                    let done = core.change_members(peer, change).await;
                    Some(message::encode_result(done.map(|()| Bytes::new())))
                })
            }
            kind::LEAVE => {
                self.connection.retire();
                Box::pin(std::future::ready(Some(Bytes::new())))
            }
            kind::TOUCH => Box::pin(std::future::ready(Some(self.touch(&body)?))),
            kind::ASK => {
                let answerer = self.answerer.read().clone();
                Box::pin(async move {
                    let answer = match answerer {
                        Some(answerer) => Ok(answerer.answer(peer, body).await),
                        None => Err(Refused::Later("this node is starting".to_owned())),
                    };
                    Some(message::encode_result(answer))
                })
            }
            _ => return None,
        })
    }

    fn touch(&self, body: &[u8]) -> Option<Bytes> {
        let ids = session_ids(body)?;
        let leads = self.core.sessions.touched_by(self.connection.peer, &ids, Instant::now());
        let leader = self.core.leadership().leader;
        let answer = if leads { Ok(Bytes::new()) } else { Err(Refused::NotLeader { leader }) };
        Some(message::encode_result(answer))
    }

    /// Hands an append to the stream that it belongs to, and begins the stream if it is new.
    fn append(&mut self, stream: u64, number: u64, rpc: AppendEntriesRequest<TreeRaft>) -> bool {
        #[cfg(test)]
        let rpc = self.core.planted(rpc);
        if self.stream.as_ref().is_none_or(|(current, _)| *current != stream) {
            let (appends, queue) = mpsc::channel(MAX_APPENDS);
            spawn(serve_appends(Arc::clone(&self.core), Arc::clone(&self.connection), queue));
            self.stream = Some((stream, appends));
        }
        let Some((_, appends)) = &self.stream else { return false };
        match appends.try_send((number, rpc)) {
            Ok(()) => true,
            // The stream ended with a conflict or a higher vote, and the sender does not know yet.
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.connection.answer(kind::STREAM, number, Bytes::new());
                true
            }
            Err(mpsc::error::TrySendError::Full(_)) => false,
        }
    }
}

async fn serve_appends(core: Arc<Core>, connection: Arc<Connection>, queue: mpsc::Receiver<Append>) {
    let numbers: Arc<Mutex<VecDeque<u64>>> = Arc::default();
    let taken = Arc::clone(&numbers);
    let input = futures_util::stream::unfold(queue, move |mut queue| {
        let taken = Arc::clone(&taken);
        async move {
            let (number, rpc) = queue.recv().await?;
            taken.lock().push_back(number);
            Some((rpc, queue))
        }
    });
    let mut answers = pin!(core.raft.stream_append(input));
    while let Some(answer) = answers.next().await {
        let number = numbers.lock().pop_front();
        let (Some(number), Ok(answer)) = (number, answer) else { break };
        connection.answer(kind::STREAM, number, message::encode_streamed(&answer));
    }
    // What came behind the last answer is told that it was not looked at.
    let rest = std::mem::take(&mut *numbers.lock());
    for number in rest {
        connection.answer(kind::STREAM, number, Bytes::new());
    }
}

/// Takes one part; the answer is empty until the last, which carries the vote that the node then has.
async fn receive(core: &Core, receiving: &mut Option<Receiving>, chunk: Chunk) -> Option<Bytes> {
    let refuse = |why: &str| Some(message::encode_result(Err(Refused::Later(why.to_owned()))));
    if chunk.total > MAX_SNAPSHOT_BYTES {
        return refuse("the snapshot is too large");
    }
    if chunk.offset == 0 {
        *receiving = Some(Receiving { transfer: chunk.transfer, bytes: BytesMut::new() });
    }
    let Some(part) = receiving.as_mut().filter(|part| {
        part.transfer == chunk.transfer
            && part.bytes.len() as u64 == chunk.offset
            && chunk.offset + chunk.bytes.len() as u64 <= chunk.total
    }) else {
        return refuse("a part of the snapshot is missing");
    };
    part.bytes.extend_from_slice(&chunk.bytes);
    if (part.bytes.len() as u64) < chunk.total {
        return Some(message::encode_result(Ok(Bytes::new())));
    }
    let snapshot = receiving.take().map(|part| part.bytes.freeze())?;
    // The tree has a checksum of its own; openraft takes a snapshot that cannot be installed for a broken disk.
    if let Err(error) = Tree::decode(snapshot.clone()) {
        tracing::error!(%error, "a snapshot came damaged");
        return refuse("the snapshot is damaged");
    }
    tracing::info!(bytes = snapshot.len(), upto = ?chunk.meta.last_log_id, "installing a snapshot of the tree");
    let answer =
        core.raft.install_full_snapshot(chunk.vote, Snapshot { meta: chunk.meta, snapshot }).await.ok()?;
    let mut vote = Vec::new();
    message::put_vote(&mut vote, &answer.vote);
    Some(message::encode_result(Ok(vote.into())))
}

pub(super) fn number(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

pub(super) fn put_session_ids(ids: &[SessionId]) -> Bytes {
    let mut out = Vec::with_capacity(8 * ids.len());
    ids.iter().for_each(|id| out.put_i64(id.0));
    out.into()
}

fn session_ids(body: &[u8]) -> Option<Vec<SessionId>> {
    let (ids, rest) = body.as_chunks::<8>();
    rest.is_empty().then(|| ids.iter().map(|id| SessionId(i64::from_be_bytes(*id))).collect())
}

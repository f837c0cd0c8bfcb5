//! What nodes ask each other, as bytes.
//!
//! Formats of our own, like the log's: a link may join two versions of the consensus library. Must never reserve
//! memory by a count that the bytes do not back.

use bytes::{Buf, BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::vote::RaftLeaderId;
use uuid::Uuid;

use super::entry_bytes::{decode_membership, decode_plain, encode_membership, encode_plain};
use super::raft_types::{Entry, LeaderId, LogId, SnapshotMeta, StoredMembership, TreeRaft, Vote, log_id};

/// Kinds of requests; an answer has its request's.
pub(super) mod kind {
    pub(crate) const APPEND: u8 = 1;
    pub(crate) const STREAM: u8 = 2;
    pub(crate) const VOTE: u8 = 3;
    pub(crate) const PRE_VOTE: u8 = 4;
    pub(crate) const SNAPSHOT: u8 = 5;
    pub(crate) const TRANSFER: u8 = 6;
    pub(crate) const PROPOSE: u8 = 7;
    pub(crate) const BARRIER: u8 = 8;
    pub(crate) const MEMBERS: u8 = 9;
    pub(crate) const TOUCH: u8 = 10;
    pub(crate) const ASK: u8 = 11;
    /// The sender is leaving: nothing more is to be asked of it. Answered when nothing will be.
    pub(crate) const LEAVE: u8 = 12;
}

/// The bytes are not what they should be; the connection is worth nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is malformed")]
pub(super) struct Malformed;

pub(super) type Decoded<T> = Result<T, Malformed>;

impl From<bytes::TryGetError> for Malformed {
    fn from(_: bytes::TryGetError) -> Self {
        Self
    }
}

/// A part of a snapshot on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chunk {
    /// Tells one transfer from the next.
    pub(super) transfer: u64,
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) total: u64,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// Why a node did not do what it was asked. The number is what travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It does not lead; nothing was done.
    NotLeader { leader: Option<i32> },
    /// It may have been done, or may still be.
    Unknown,
    /// Nothing was done, and asking again does not help.
    Never(String),
    /// Nothing was done; later it may go.
    Later(String),
}

pub(super) fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.put_u64(vote.leader_id.term);
    out.put_i32(vote.leader_id.voted_for);
    out.put_u8(u8::from(vote.committed));
}

pub(super) fn vote(input: &mut Bytes) -> Decoded<Vote> {
    let (term, voted_for, committed) = (input.try_get_u64()?, input.try_get_i32()?, input.try_get_u8()?);
    Ok(Vote { leader_id: LeaderId::new(term, voted_for), committed: committed != 0 })
}

pub(super) fn put_log_id(out: &mut Vec<u8>, id: Option<LogId>) {
    out.put_u8(u8::from(id.is_some()));
    out.put_u64(id.map_or(0, |id| id.leader_id.term));
    out.put_u64(id.map_or(0, |id| id.index));
}

pub(super) fn optional_log_id(input: &mut Bytes) -> Decoded<Option<LogId>> {
    let (there, term, index) = (input.try_get_u8()?, input.try_get_u64()?, input.try_get_u64()?);
    Ok((there != 0).then(|| log_id(term, index)))
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).expect("a frame's body is shorter"));
    out.put_slice(bytes);
}

fn bytes(input: &mut Bytes) -> Decoded<Bytes> {
    let length = input.try_get_u32()? as usize;
    if length > input.len() { Err(Malformed) } else { Ok(input.split_to(length)) }
}

fn text(input: &mut Bytes) -> Decoded<String> {
    String::from_utf8(bytes(input)?.into()).map_err(|_| Malformed)
}

/// An append; `stream` is 0 for one that stands alone.
pub(super) fn encode_append(stream: u64, rpc: &AppendEntriesRequest<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(64);
    out.put_u64(stream);
    put_vote(&mut out, &rpc.vote);
    put_log_id(&mut out, rpc.prev_log_id);
    put_log_id(&mut out, rpc.leader_commit);
    out.put_u32(u32::try_from(rpc.entries.len()).expect("openraft limits them"));
    for entry in &rpc.entries {
        out.put_u64(entry.log_id.index);
        put_bytes(&mut out, &encode_plain(entry));
    }
    out.into()
}

pub(super) fn decode_append(mut input: Bytes) -> Decoded<(u64, AppendEntriesRequest<TreeRaft>)> {
    let stream = input.try_get_u64()?;
    let vote = vote(&mut input)?;
    let prev_log_id = optional_log_id(&mut input)?;
    let leader_commit = optional_log_id(&mut input)?;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..input.try_get_u32()? {
        let index = input.try_get_u64()?;
        // A copy, so that an entry does not hold the memory of the whole frame.
        let value = Bytes::copy_from_slice(&bytes(&mut input)?);
        entries.push(decode_plain(index, value).map_err(|_| Malformed)?);
    }
    Ok((stream, AppendEntriesRequest { vote, prev_log_id, entries, leader_commit }))
}

pub(super) fn encode_appended(answer: &AppendEntriesResponse<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(20);
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(id) => {
            out.put_u8(1);
            put_log_id(&mut out, *id);
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(&mut out, vote);
        }
    }
    out.into()
}

pub(super) fn decode_appended(mut input: Bytes) -> Decoded<AppendEntriesResponse<TreeRaft>> {
    Ok(match input.try_get_u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(optional_log_id(&mut input)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(vote(&mut input)?),
        _ => return Err(Malformed),
    })
}

/// The answer to one append of a stream; an empty one says that the stream has ended before it.
pub(super) fn encode_streamed(answer: &StreamAppendResult<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(20);
    match answer {
        Ok(id) => {
            out.put_u8(0);
            put_log_id(&mut out, *id);
        }
        Err(StreamAppendError::Conflict(id)) => {
            out.put_u8(1);
            put_log_id(&mut out, Some(*id));
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(2);
            put_vote(&mut out, vote);
        }
    }
    out.into()
}

pub(super) fn decode_streamed(mut input: Bytes) -> Decoded<StreamAppendResult<TreeRaft>> {
    Ok(match input.try_get_u8()? {
        0 => Ok(optional_log_id(&mut input)?),
        1 => Err(StreamAppendError::Conflict(optional_log_id(&mut input)?.ok_or(Malformed)?)),
        2 => Err(StreamAppendError::HigherVote(vote(&mut input)?)),
        _ => return Err(Malformed),
    })
}

pub(super) fn encode_vote_request(rpc: &VoteRequest<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(32);
    put_vote(&mut out, &rpc.vote);
    put_log_id(&mut out, rpc.last_log_id);
    out.put_u8(u8::from(rpc.leadership_transfer));
    out.into()
}

pub(super) fn decode_vote_request(mut input: Bytes) -> Decoded<VoteRequest<TreeRaft>> {
    let mut rpc = VoteRequest::new(vote(&mut input)?, optional_log_id(&mut input)?);
    rpc.leadership_transfer = input.try_get_u8()? != 0;
    Ok(rpc)
}

pub(super) fn encode_vote_response(answer: &VoteResponse<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(32);
    put_vote(&mut out, &answer.vote);
    out.put_u8(u8::from(answer.vote_granted));
    put_log_id(&mut out, answer.last_log_id);
    out.into()
}

pub(super) fn decode_vote_response(mut input: Bytes) -> Decoded<VoteResponse<TreeRaft>> {
    let (vote, vote_granted) = (vote(&mut input)?, input.try_get_u8()? != 0);
    Ok(VoteResponse { vote, vote_granted, last_log_id: optional_log_id(&mut input)? })
}

pub(super) fn encode_chunk(chunk: &Chunk) -> Bytes {
    let mut out = Vec::with_capacity(chunk.bytes.len() + 256);
    out.put_u64(chunk.transfer);
    put_vote(&mut out, &chunk.vote);
    put_log_id(&mut out, chunk.meta.last_log_id);
    put_log_id(&mut out, *chunk.meta.last_membership.log_id());
    put_bytes(&mut out, &encode_membership(chunk.meta.last_membership.membership()));
    out.put_u64(chunk.total);
    out.put_u64(chunk.offset);
    put_bytes(&mut out, &chunk.bytes);
    out.into()
}

pub(super) fn decode_chunk(mut input: Bytes) -> Decoded<Chunk> {
    let transfer = input.try_get_u64()?;
    let vote = vote(&mut input)?;
    let last_log_id = optional_log_id(&mut input)?;
    let at = optional_log_id(&mut input)?;
    let membership = decode_membership(&mut bytes(&mut input)?).ok_or(Malformed)?;
    let meta = SnapshotMeta { last_log_id, last_membership: StoredMembership::new(at, membership) };
    let (total, offset) = (input.try_get_u64()?, input.try_get_u64()?);
    Ok(Chunk { transfer, vote, meta, total, offset, bytes: bytes(&mut input)? })
}

pub(super) fn encode_transfer(rpc: &TransferLeaderRequest<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(40);
    put_vote(&mut out, rpc.from_leader());
    out.put_i32(*rpc.to_node_id());
    put_log_id(&mut out, rpc.last_log_id().copied());
    out.into()
}

pub(super) fn decode_transfer(mut input: Bytes) -> Decoded<TransferLeaderRequest<TreeRaft>> {
    let (vote, to) = (vote(&mut input)?, input.try_get_i32()?);
    Ok(TransferLeaderRequest::new(vote, to, optional_log_id(&mut input)?))
}

pub(super) fn encode_transferred(answer: &TransferLeaderResponse<TreeRaft>) -> Bytes {
    let mut out = Vec::with_capacity(40);
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            put_vote(&mut out, expected);
            put_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_log_id(&mut out, *expected);
            put_log_id(&mut out, *actual);
        }
    }
    out.into()
}

pub(super) fn decode_transferred(mut input: Bytes) -> Decoded<TransferLeaderResponse<TreeRaft>> {
    Ok(match input.try_get_u8()? {
        0 => Ok(()),
        1 => {
            let (expected, actual) = (vote(&mut input)?, vote(&mut input)?);
            Err(TransferLeaderError::VoteChanged { expected, actual })
        }
        2 => {
            let (expected, actual) = (optional_log_id(&mut input)?, optional_log_id(&mut input)?);
            Err(TransferLeaderError::LogNotFlushed { expected, actual })
        }
        _ => return Err(Malformed),
    })
}

/// An answer that is a value, or a reason why there is none.
pub(super) fn encode_result(result: Result<Bytes, Refused>) -> Bytes {
    let mut out = Vec::with_capacity(16);
    match result {
        Ok(value) => {
            out.reserve(value.len() + 1);
            out.put_u8(0);
            out.put_slice(&value);
        }
        Err(Refused::NotLeader { leader }) => {
            out.put_u8(1);
            out.put_i32(leader.unwrap_or(-1));
        }
        Err(Refused::Unknown) => out.put_u8(2),
        Err(Refused::Never(why)) => {
            out.put_u8(3);
            put_bytes(&mut out, why.as_bytes());
        }
        Err(Refused::Later(why)) => {
            out.put_u8(4);
            put_bytes(&mut out, why.as_bytes());
        }
    }
    out.into()
}

pub(super) fn decode_result(mut input: Bytes) -> Decoded<Result<Bytes, Refused>> {
    Ok(Err(match input.try_get_u8()? {
        0 => return Ok(Ok(input)),
        1 => Refused::NotLeader { leader: Some(input.try_get_i32()?).filter(|leader| *leader >= 0) },
        2 => Refused::Unknown,
        3 => Refused::Never(text(&mut input)?),
        4 => Refused::Later(text(&mut input)?),
        _ => return Err(Malformed),
    }))
}

/// A request to become an observer, or a change of voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemberChange {
    /// The asking node wants the log.
    Join,
    AddVoter {
        id: i32,
        address: String,
        directory: Uuid,
    },
    /// Where a voter is reached has changed.
    UpdateVoter {
        id: i32,
        address: String,
        directory: Uuid,
    },
    RemoveVoter {
        id: i32,
    },
}

impl MemberChange {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Join => out.put_u8(0),
            Self::AddVoter { id, address, directory } | Self::UpdateVoter { id, address, directory } => {
                out.put_u8(if matches!(self, Self::AddVoter { .. }) { 1 } else { 3 });
                out.put_i32(*id);
                put_bytes(&mut out, address.as_bytes());
                out.put_u128(directory.as_u128());
            }
            Self::RemoveVoter { id } => {
                out.put_u8(2);
                out.put_i32(*id);
            }
        }
        out.into()
    }

    pub(super) fn decode(mut input: Bytes) -> Decoded<Self> {
        Ok(match input.try_get_u8()? {
            0 => Self::Join,
            1 => {
                let (id, address) = (input.try_get_i32()?, text(&mut input)?);
                Self::AddVoter { id, address, directory: Uuid::from_u128(input.try_get_u128()?) }
            }
            3 => {
                let (id, address) = (input.try_get_i32()?, text(&mut input)?);
                Self::UpdateVoter { id, address, directory: Uuid::from_u128(input.try_get_u128()?) }
            }
            2 => Self::RemoveVoter { id: input.try_get_i32()? },
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
mod tests;

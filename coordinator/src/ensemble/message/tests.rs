//! Messages survive their bytes, and bad bytes are refused. Must never depend on openraft's own formats.

use std::collections::{BTreeMap, BTreeSet};

use milena_storage::ids::Timestamp;
use uuid::Uuid;

use super::super::raft_types::{MemberNode, Membership, Payload, Proposal};
use super::*;
use crate::tree::{Command, Op};

fn a_vote() -> Vote {
    Vote { leader_id: LeaderId::new(9, 2), committed: true }
}

fn an_append() -> AppendEntriesRequest<TreeRaft> {
    let command = Command::multi(Timestamp(7), vec![Op::create("/a", "x")]);
    AppendEntriesRequest {
        vote: a_vote(),
        prev_log_id: Some(log_id(8, 4)),
        entries: vec![
            Entry { log_id: log_id(9, 5), payload: Payload::Blank },
            Entry { log_id: log_id(9, 6), payload: Payload::Normal(Proposal::new(command)) },
        ],
        leader_commit: None,
    }
}

fn a_chunk() -> Chunk {
    let nodes = BTreeMap::from([(1, MemberNode { addr: "a:1".into(), directory: Uuid::from_u128(9) })]);
    let membership = Membership::new(vec![BTreeSet::from([1])], nodes).unwrap();
    let last_membership = StoredMembership::new(Some(log_id(1, 2)), membership);
    Chunk {
        transfer: 3,
        vote: a_vote(),
        meta: SnapshotMeta { last_log_id: Some(log_id(4, 5)), last_membership },
        total: 10,
        offset: 5,
        bytes: Bytes::from_static(b"bytes"),
    }
}

#[test]
fn messages_survive_their_bytes() {
    let (stream, append) = decode_append(encode_append(6, &an_append())).unwrap();
    assert_eq!((stream, format!("{append:?}")), (6, format!("{:?}", an_append())));
    assert_eq!(decode_chunk(encode_chunk(&a_chunk())).unwrap(), a_chunk());
    let mut ask = VoteRequest::new(a_vote(), Some(log_id(1, 2)));
    ask.leadership_transfer = true;
    assert_eq!(decode_vote_request(encode_vote_request(&ask)).unwrap(), ask);
    let answer = VoteResponse { vote: a_vote(), vote_granted: true, last_log_id: None };
    assert_eq!(decode_vote_response(encode_vote_response(&answer)).unwrap(), answer);
    let transfer = TransferLeaderRequest::new(a_vote(), 3, Some(log_id(1, 2)));
    assert_eq!(decode_transfer(encode_transfer(&transfer)).unwrap(), transfer);
    for change in [
        MemberChange::Join,
        MemberChange::AddVoter { id: 4, address: "h:1".into(), directory: Uuid::from_u128(3) },
        MemberChange::UpdateVoter { id: 4, address: "h:1".into(), directory: Uuid::nil() },
        MemberChange::RemoveVoter { id: 4 },
    ] {
        assert_eq!(MemberChange::decode(change.encode()).unwrap(), change);
    }
}

#[test]
fn answers_survive_their_bytes() {
    for answer in [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(Some(log_id(1, 2))),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(a_vote()),
    ] {
        assert_eq!(decode_appended(encode_appended(&answer)).unwrap(), answer);
    }
    for answer in [
        Ok(Some(log_id(1, 2))),
        Err(StreamAppendError::Conflict(log_id(1, 2))),
        Err(StreamAppendError::HigherVote(a_vote())),
    ] {
        assert_eq!(decode_streamed(encode_streamed(&answer)).unwrap(), answer);
    }
    for answer in [
        Ok(()),
        Err(TransferLeaderError::VoteChanged { expected: a_vote(), actual: a_vote() }),
        Err(TransferLeaderError::LogNotFlushed { expected: None, actual: Some(log_id(1, 2)) }),
    ] {
        assert_eq!(decode_transferred(encode_transferred(&answer)).unwrap(), answer);
    }
    for answer in [
        Ok(Bytes::from_static(b"value")),
        Err(Refused::NotLeader { leader: None }),
        Err(Refused::NotLeader { leader: Some(2) }),
        Err(Refused::Unknown),
        Err(Refused::Never("never".into())),
        Err(Refused::Later("later".into())),
    ] {
        assert_eq!(decode_result(encode_result(answer.clone())).unwrap(), answer);
    }
}

#[test]
fn every_cut_or_altered_message_is_refused_or_read_without_a_panic() {
    let all = [
        encode_append(1, &an_append()),
        encode_chunk(&a_chunk()),
        encode_result(Err(Refused::Never("x".into()))),
    ];
    for (which, bytes) in all.iter().enumerate() {
        for at in 0..bytes.len() {
            let mut altered = bytes.to_vec();
            altered[at] ^= 0xff;
            for input in [bytes.slice(..at), altered.into()] {
                let _ = match which {
                    0 => decode_append(input).is_ok(),
                    1 => decode_chunk(input).is_ok(),
                    _ => decode_result(input).is_ok(),
                };
            }
        }
    }
}

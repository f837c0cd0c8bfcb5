//! Log entries as records of our own: what the ensemble keeps must outlive any version of the consensus library.
//!
//! An entry is the value of the only record of a Kafka batch; its index is the offset and its term also the batch's
//! leader epoch. The value: version, kind, term, the two [`Marks`], then the body. Must never trust a length in its input.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes};
use milena_storage::batch::{BatchBuilder, BatchError, BatchView, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use super::raft_types::{Entry, MemberNode, Membership, Payload, Proposal, log_id};
use crate::tree::Malformed;

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;
/// Version, kind, term and marks.
const HEAD_BYTES: usize = 26;
/// Stands where older memberships have the number of their sets: each node's directory follows its address.
const WITH_DIRECTORIES: u32 = u32::MAX;
/// Nodes that a membership may name: far beyond any cluster, small enough to reserve memory for.
const MAX_NODES: u32 = 100_000;

/// What was known when an entry was written, so that a reader need not guess. Each is one past an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Below it everything was committed.
    pub(super) committed: u64,
    /// Below it everything was synced: a reader that finds damage there has lost acknowledged entries.
    pub(super) durable: u64,
}

/// An entry as it was read.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) entry: Entry,
    pub(super) marks: Marks,
}

/// Why a record is not an entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("record {index}: {source}")]
    Command { index: i64, source: Malformed },
    #[error("record {index} is not an entry that this program knows")]
    Foreign { index: i64 },
}

/// An entry as a batch of its own, so that a log can be cut behind any entry.
pub(super) fn encode(entry: &Entry, marks: Marks, now: Timestamp) -> Bytes {
    // A term counts elections; two billion of them are out of reach.
    let epoch = i32::try_from(entry.log_id.leader_id.term).unwrap_or(i32::MAX);
    let offset =
        i64::try_from(entry.log_id.index).expect("an index counts entries that were written one by one");
    let mut batch = BatchBuilder::new().base_offset(Offset(offset)).leader_epoch(LeaderEpoch(epoch));
    let value = encode_one(entry, marks);
    batch.push(Record { timestamp: now, key: None, value: Some(&value), headers: &[] });
    batch.finish(Codec::None, None)
}

fn encode_one(entry: &Entry, marks: Marks) -> Vec<u8> {
    let (kind, body) = match &entry.payload {
        Payload::Blank => (BLANK, Bytes::new()),
        Payload::Normal(proposal) => (COMMAND, proposal.bytes.clone()),
        Payload::Membership(membership) => (MEMBERSHIP, encode_membership(membership).into()),
    };
    let mut out = Vec::with_capacity(HEAD_BYTES + body.len());
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u64(entry.log_id.leader_id.term);
    out.put_u64(marks.committed);
    out.put_u64(marks.durable);
    out.put_slice(&body);
    out
}

/// An entry as it travels between nodes; nobody there asks for marks.
pub(super) fn encode_plain(entry: &Entry) -> Vec<u8> {
    encode_one(entry, Marks::default())
}

/// Reads what [`encode_plain`] wrote.
pub(super) fn decode_plain(index: u64, value: Bytes) -> Result<Entry, EntryError> {
    let index = i64::try_from(index).map_err(|_| EntryError::Foreign { index: -1 })?;
    decode_one(index, value).map(|stored| stored.entry)
}

/// The entry in a batch whose checksum was checked.
pub(super) fn decode(batch: &BatchView<'_>) -> Result<Stored, EntryError> {
    let index = batch.base_offset.0;
    let mut scratch = Vec::new();
    // Our own batches are never compressed, so the cap is never needed.
    let mut records = batch.records(&mut scratch, 0)?;
    let (Some(record), None) = (records.next(), records.next()) else {
        return Err(EntryError::Foreign { index });
    };
    decode_one(index, Bytes::copy_from_slice(record?.value.unwrap_or_default()))
}

fn decode_one(index: i64, mut value: Bytes) -> Result<Stored, EntryError> {
    let foreign = || EntryError::Foreign { index };
    let place = u64::try_from(index).map_err(|_| foreign())?;
    if value.len() < HEAD_BYTES || value.get_u8() != VERSION {
        return Err(foreign());
    }
    let kind = value.get_u8();
    let term = value.get_u64();
    let marks = Marks { committed: value.get_u64(), durable: value.get_u64() };
    let payload = match kind {
        BLANK => Payload::Blank,
        COMMAND => {
            Payload::Normal(Proposal::decode(value).map_err(|source| EntryError::Command { index, source })?)
        }
        MEMBERSHIP => Payload::Membership(decode_membership(&mut value).ok_or_else(foreign)?),
        _ => return Err(foreign()),
    };
    Ok(Stored { entry: Entry { log_id: log_id(term, place), payload }, marks })
}

/// The sets of voters (two while a change is under way), then every node with its address, and with its directory if any is
/// known: a membership that knows of none is written as it was before there were any.
pub(super) fn encode_membership(membership: &Membership) -> Vec<u8> {
    let mut out = Vec::new();
    let with_directories = membership.nodes().any(|(_, node)| !node.directory.is_nil());
    if with_directories {
        out.put_u32(WITH_DIRECTORIES);
    }
    let sets = membership.get_joint_config();
    put_count(&mut out, sets.len());
    for set in sets {
        put_count(&mut out, set.len());
        for id in set {
            out.put_i32(*id);
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    put_count(&mut out, nodes.len());
    for (id, node) in nodes {
        out.put_i32(*id);
        put_count(&mut out, node.addr.len());
        out.put_slice(node.addr.as_bytes());
        if with_directories {
            out.put_u128(node.directory.as_u128());
        }
    }
    out
}

/// Reads what [`encode_membership`] wrote, from the front.
pub(super) fn decode_membership(input: &mut Bytes) -> Option<Membership> {
    let with_directories = input.first_chunk() == Some(&WITH_DIRECTORIES.to_be_bytes());
    if with_directories {
        input.advance(size_of::<u32>());
    }
    let mut sets = Vec::new();
    for _ in 0..count(input)? {
        let mut set = BTreeSet::new();
        for _ in 0..count(input)? {
            set.insert(input.try_get_i32().ok()?);
        }
        sets.push(set);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..count(input)? {
        let id = input.try_get_i32().ok()?;
        let length = count(input)? as usize;
        if length > input.len() {
            return None;
        }
        let addr = String::from_utf8(input.split_to(length).into()).ok()?;
        let directory = if with_directories { input.try_get_u128().ok()? } else { 0 };
        nodes.insert(id, MemberNode { addr, directory: Uuid::from_u128(directory) });
    }
    // A node that never joined has no sets at all, which `Membership::new` refuses.
    if sets.is_empty() && nodes.is_empty() {
        return Some(Membership::default());
    }
    Membership::new(sets, nodes).ok()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).expect("a membership has fewer nodes than fit in memory"));
}

fn count(input: &mut Bytes) -> Option<u32> {
    input.try_get_u32().ok().filter(|count| *count <= MAX_NODES)
}

#[cfg(test)]
mod tests {
    use milena_storage::batch::walk;

    use super::*;
    use crate::tree::{Command, Op};

    fn membership() -> Membership {
        let nodes = [(1, "a:1"), (2, "b:2"), (3, "c:3")];
        let directory = Uuid::nil();
        let nodes: BTreeMap<i32, MemberNode> =
            nodes.into_iter().map(|(id, addr)| (id, MemberNode { addr: addr.into(), directory })).collect();
        Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([1])], nodes).unwrap()
    }

    fn membership_with_directories() -> Membership {
        let old = membership();
        let nodes = old.nodes().map(|(id, node)| {
            let directory = Uuid::from_u128(if *id == 2 { 0 } else { u128::MAX - 1 });
            (*id, MemberNode { directory, ..node.clone() })
        });
        Membership::new(old.get_joint_config().clone(), nodes.collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn entries_survive_their_bytes() {
        let command = Command::multi(Timestamp(7), vec![Op::create("/a", "x")]);
        let entries = vec![
            Entry { log_id: log_id(0, 0), payload: Payload::Membership(membership()) },
            Entry { log_id: log_id(1, 1), payload: Payload::Blank },
            Entry { log_id: log_id(1, 2), payload: Payload::Normal(Proposal::new(command)) },
        ];
        let marks = Marks { committed: 2, durable: 3 };
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| encode(entry, marks, Timestamp(9))).collect();
        let read: Vec<_> = walk(&bytes).map(|batch| decode(&batch.unwrap()).unwrap()).collect();
        assert!(read.iter().all(|stored| stored.marks == marks));
        let read: Vec<_> = read.into_iter().map(|stored| stored.entry).collect();
        assert_eq!(read, entries);
    }

    #[test]
    fn an_empty_membership_survives_its_bytes() {
        let mut bytes = Bytes::from(encode_membership(&Membership::default()));
        assert_eq!(decode_membership(&mut bytes), Some(Membership::default()));
    }

    #[test]
    fn every_cut_or_altered_membership_is_refused_or_read_without_a_panic() {
        for membership in [membership(), membership_with_directories()] {
            let bytes = encode_membership(&membership);
            for cut in 0..bytes.len() {
                assert_eq!(
                    decode_membership(&mut Bytes::copy_from_slice(&bytes[..cut])),
                    None,
                    "cut at {cut}"
                );
            }
            for at in 0..bytes.len() {
                let mut altered = bytes.clone();
                altered[at] ^= 0xff;
                let _ = decode_membership(&mut Bytes::from(altered));
            }
        }
    }

    #[test]
    fn directories_survive_their_bytes_and_what_stands_behind_them_is_left() {
        let membership = membership_with_directories();
        let mut bytes = encode_membership(&membership);
        bytes.extend_from_slice(b"rest");
        let mut bytes = Bytes::from(bytes);
        assert_eq!((decode_membership(&mut bytes), &*bytes), (Some(membership), &b"rest"[..]));
    }

    #[test]
    fn a_membership_from_before_directories_is_read() {
        // One set of one voter, 7, at `a:1`.
        let bytes =
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 3, b'a', b':', b'1'];
        let node = MemberNode { addr: "a:1".into(), directory: Uuid::nil() };
        let expected = Membership::new(vec![BTreeSet::from([7])], BTreeMap::from([(7, node)])).unwrap();
        assert_eq!(encode_membership(&expected), bytes);
        assert_eq!(decode_membership(&mut Bytes::copy_from_slice(&bytes)), Some(expected));
    }
}

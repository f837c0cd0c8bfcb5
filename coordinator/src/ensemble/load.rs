//! What a start reads before Raft runs: vote, snapshot and log, checked against each other; and how a log begins.
//!
//! A lone voter writes its first two entries and its first vote itself instead of asking openraft to initialize: the
//! vote first, then both entries in one append, and one sync makes the names of both durable. Killed anywhere in between,
//! the next start finds an empty log and does the same again, where openraft would refuse to initialize a node that has a
//! vote but no log. A loss of power may take the vote alone; then the entries say what it was.
//! Must never start from files that contradict each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::fs::Fs;
use milena_storage::ids::Timestamp;
use openraft::vote::RaftLeaderId;

use super::StartError;
use super::entry_bytes::Stored;
use super::entry_log::{EntryLog, log_dir};
use super::local::State;
use super::log_store::Held;
use super::raft_types::{
    Entry, LeaderId, LogId, MemberNode, Membership, Payload, StoredMembership, Vote, log_id,
};
use super::scan::{Scan, scan};
use super::snapshot_file;
use super::vote_file::{self, Promises};
use crate::tree::Tree;

/// Everything that was on disk.
pub(super) struct Loaded {
    pub(super) held: Held,
    pub(super) log: EntryLog,
    pub(super) state: State,
}

/// How a log begins that has no entry yet.
#[derive(Clone, Debug)]
pub(super) struct First {
    /// The voters; none for a node that is to be given the log by others.
    pub(super) voters: BTreeMap<i32, MemberNode>,
}

impl First {
    #[cfg(test)]
    pub(super) fn alone(node_id: i32) -> Self {
        Self { voters: BTreeMap::from([(node_id, MemberNode::default())]) }
    }
}

/// Reads the ensemble's directory, which is created if it is missing. Blocking.
pub(super) fn load(
    fs: Arc<dyn Fs>,
    dir: &Path,
    node_id: i32,
    first: &First,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
) -> Result<Loaded, StartError> {
    fs.create_dir_all(dir).map_err(|source| StorageError::io("create", dir, source))?;
    let kept = Promises::load(&*fs, dir)?;
    if kept.is_none() {
        // Whoever made the directory: an earlier start may have been killed before it could sync its name. Those in it are
        // synced with the vote or the first entries.
        if let Some(parent) = dir.parent() {
            fs.sync_dir(parent).map_err(|source| StorageError::io("sync", parent, source))?;
        }
    }
    let mut promises = kept.unwrap_or(Promises::none(node_id));
    if promises.node_id != node_id {
        return Err(StartError::NodeId {
            path: vote_file::path(dir),
            found: promises.node_id,
            expected: node_id,
        });
    }
    let state = load_state(&*fs, dir)?;
    let scan = scan(&*fs, &log_dir(dir), promises.purged.map_or(0, |purged| purged.index + 1))?;
    check(dir, &promises, &scan, state.applied)?;
    promises.committed = committed(&promises, &scan, state.applied);
    let mut log = EntryLog::open(Arc::clone(&fs), dir, &scan, &promises, now)?;
    let kept =
        |stored: &Stored| promises.purged.is_none_or(|purged| stored.entry.log_id.index > purged.index);
    let mut entries: VecDeque<Entry> =
        scan.entries.into_iter().filter(kept).map(|stored| stored.entry).collect();
    if entries.is_empty() && state.applied.is_none() && first.voters.contains_key(&node_id) {
        entries = begin(&mut log, &mut promises, first)?.into();
    } else if let Some(vote) = lost_vote(&promises, &entries) {
        promises.vote = Some(vote);
        log.promise(&promises)?;
    }
    Ok(Loaded { held: Held { promises, entries }, log, state })
}

fn load_state(fs: &dyn Fs, dir: &Path) -> Result<State, StartError> {
    let Some(kept) = snapshot_file::load(fs, dir)? else {
        let membership = StoredMembership::default();
        return Ok(State { tree: Tree::new(), applied: None, membership, bytes: 0, snapshot_bytes: 0 });
    };
    let snapshot_bytes = kept.tree.len() as u64;
    let tree = Tree::decode(kept.tree)
        .map_err(|source| StartError::Snapshot { path: snapshot_file::path(dir), source })?;
    let (applied, membership) = (kept.meta.last_log_id, kept.meta.last_membership);
    Ok(State { tree, applied, membership, bytes: 0, snapshot_bytes })
}

/// Refuses files of which one knows of entries that the others lost.
fn check(dir: &Path, promises: &Promises, scan: &Scan, snapshot: Option<LogId>) -> Result<(), StartError> {
    let lost = |path: PathBuf, reason: String| Err(StorageError::corrupt(&path, 0, reason).into());
    let first_needed = promises.purged.map_or(0, |purged| purged.index + 1);
    let covered = snapshot.map_or(0, |last| last.index + 1);
    if covered < first_needed {
        let reason =
            format!("it reaches to entry {covered}, but the log was dropped to entry {first_needed}");
        return lost(snapshot_file::path(dir), reason);
    }
    let first = scan.entries.first().map(|stored| stored.entry.log_id.index);
    if let Some(first) = first.filter(|first| *first > first_needed) {
        return lost(
            log_dir(dir),
            format!("it begins with entry {first}, but entry {first_needed} is needed"),
        );
    }
    let end = scan.end().unwrap_or(0).max(covered);
    let committed = promises.committed.map_or(0, |id| id.index + 1);
    if committed > end {
        return lost(
            log_dir(dir),
            format!("it ends at entry {end}, but entries below {committed} were committed"),
        );
    }
    Ok(())
}

/// The highest entry that any of the files knows as committed.
fn committed(promises: &Promises, scan: &Scan, snapshot: Option<LogId>) -> Option<LogId> {
    let mark = scan.entries.iter().map(|stored| stored.marks.committed).max().unwrap_or(0);
    let marked = scan.entries.iter().map(|stored| stored.entry.log_id).find(|id| id.index + 1 == mark);
    [promises.committed, snapshot, marked].into_iter().flatten().max_by_key(|id| id.index)
}

/// The vote of a lone voter that lost it with the power before its start was complete: it led, since it wrote.
fn lost_vote(promises: &Promises, entries: &VecDeque<Entry>) -> Option<Vote> {
    let last = entries.back().filter(|last| promises.vote.is_none() && last.log_id.leader_id.term > 0)?;
    let alone = entries.iter().all(|entry| match &entry.payload {
        Payload::Membership(membership) => membership.voter_ids().eq([promises.node_id]),
        _ => true,
    });
    let leader = LeaderId::new(last.log_id.leader_id.term, promises.node_id);
    alone.then_some(Vote { leader_id: leader, committed: true })
}

/// The first entries: the membership, which is the same for each of the first voters (what openraft's `initialize`
/// writes); and, if there is but one voter, a blank entry of the leader that it makes itself.
fn begin(log: &mut EntryLog, promises: &mut Promises, first: &First) -> Result<Vec<Entry>, StorageError> {
    let me = promises.node_id;
    let nodes = first.voters.clone();
    let voters: BTreeSet<i32> = nodes.keys().copied().collect();
    let is_alone = voters.len() == 1;
    let membership = Membership::new(vec![voters], nodes).expect("each voter has a node");
    let mut entries = vec![Entry { log_id: log_id(0, 0), payload: Payload::Membership(membership) }];
    if promises.vote.is_none() && is_alone {
        promises.vote = Some(Vote { leader_id: LeaderId::new(1, me), committed: true });
        log.promise_with_next_append(promises)?;
    }
    let led = promises.vote.filter(|vote| is_alone && vote.committed && vote.leader_id.voted_for == me);
    if let Some(vote) = led {
        entries.push(Entry { log_id: log_id(vote.leader_id.term, 1), payload: Payload::Blank });
    }
    log.append(&entries, 0)?;
    Ok(entries)
}

//! The log as openraft sees it: entries in memory for reading, the writer thread for keeping.
//!
//! The whole log since the last snapshot is held in memory; snapshots are taken by size, which bounds it. Must never
//! answer a vote before it is on the medium.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::Mutex;

use super::raft_types::{Entry, LogId, Membership, Payload, StoredMembership, TreeRaft, Vote};
use super::vote_file::Promises;
use super::writer::Writer;

/// Entries in one message to another node: it comes between two heartbeats, so it has to be short.
const MESSAGE_BYTES: usize = 1 << 20;
/// What an entry takes besides its command.
const ENTRY_BYTES: usize = 64;

/// A handle; clones are the same log.
#[derive(Clone)]
pub(super) struct LogStore {
    held: Arc<Mutex<Held>>,
    writer: Writer,
}

/// What memory holds of the log.
pub(super) struct Held {
    pub(super) promises: Promises,
    /// Consecutive; the first follows the purged one.
    pub(super) entries: VecDeque<Entry>,
}

impl LogStore {
    pub(super) fn new(held: Held, writer: Writer) -> Self {
        writer.set_committed_end(held.promises.committed.map_or(0, |id| id.index + 1));
        Self { held: Arc::new(Mutex::new(held)), writer }
    }

    /// Ends the log cleanly.
    pub(super) async fn close(&self) -> io::Result<()> {
        let promises = self.held.lock().promises;
        self.writer.close(promises).await
    }

    /// Where a log begins that holds, of what `covered` and the entries before it are, no more than so many bytes.
    pub(super) fn start_within(&self, covered: u64, bytes: usize) -> Option<u64> {
        let held = self.held.lock();
        let end = held.place(covered + 1);
        let mut sum = 0;
        let beyond = held.entries.range(..end).rev().find(|entry| {
            sum += weight(entry);
            sum > bytes
        });
        beyond.map(|entry| entry.log_id.index)
    }

    pub(super) fn syncs(&self) -> u64 {
        self.writer.syncs()
    }
}

impl Held {
    /// The last membership that this node knows, which counts though it may not be committed.
    pub(super) fn membership<'a>(&'a self, applied: &'a StoredMembership) -> &'a Membership {
        let newest = self.entries.iter().rev().find_map(|entry| match &entry.payload {
            Payload::Membership(membership) => Some(membership),
            _ => None,
        });
        newest.unwrap_or(applied.membership())
    }

    fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.promises.purged)
    }

    /// Where an index is in `entries`, clamped to what is there.
    fn place(&self, index: u64) -> usize {
        let first = self.entries.front().map_or(index, |entry| entry.log_id.index);
        usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX).min(self.entries.len())
    }

    fn range(&self, range: impl RangeBounds<u64>) -> Vec<Entry> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let (start, end) = (self.place(start), self.place(end));
        self.entries.range(start..end.max(start)).cloned().collect()
    }
}

impl RaftLogReader<TreeRaft> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.held.lock().range(range))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.held.lock().promises.vote)
    }

    /// For other nodes: as many as go into one message.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let held = self.held.lock();
        let (from, to) = (held.place(start), held.place(end));
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += weight(entry);
            bytes <= MESSAGE_BYTES || bytes == weight(entry)
        };
        Ok(held.entries.range(from..to.max(from)).take_while(fits).cloned().collect())
    }
}

fn weight(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(proposal) => ENTRY_BYTES + proposal.bytes.len(),
        Payload::Blank | Payload::Membership(_) => ENTRY_BYTES,
    }
}

impl RaftLogStorage<TreeRaft> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TreeRaft>, io::Error> {
        let held = self.held.lock();
        Ok(LogState { last_purged_log_id: held.promises.purged, last_log_id: held.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let promises = {
            let mut held = self.held.lock();
            held.promises.vote = Some(*vote);
            held.promises
        };
        self.writer.promise(promises).await
    }

    /// Not synced for its own sake: entries carry it as a mark, and a start waits until all that is in the log and
    /// committed is applied before anything is served.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.held.lock().promises.committed = committed;
        self.writer.set_committed_end(committed.map_or(0, |id| id.index + 1));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.held.lock().promises.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TreeRaft>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.held.lock().entries.extend(entries.iter().cloned());
        self.writer.append(entries, callback)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        {
            let mut held = self.held.lock();
            let keep = held.place(from);
            held.entries.truncate(keep);
        }
        self.writer.truncate(from).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let promises = {
            let mut held = self.held.lock();
            let gone = held.place(upto.index + 1);
            held.entries.drain(..gone);
            held.promises.purged = Some(upto);
            held.promises
        };
        self.writer.purge(promises)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use milena_storage::fs::SimFs;
    use milena_storage::ids::Timestamp;
    use openraft::storage::RaftLogStorageExt;
    use openraft::vote::RaftLeaderId;

    use super::super::load::{First, load};
    use super::super::raft_types::{LeaderId, SnapshotMeta, log_id};
    use super::super::snapshot_file::{self, Kept};
    use super::super::writer::Work;
    use super::*;
    use crate::tree::Tree;

    const DIR: &str = "/data/ensemble";

    fn open(fs: &SimFs) -> LogStore {
        let loaded =
            load(Arc::new(fs.clone()), Path::new(DIR), 1, &First::alone(1), Arc::new(|| Timestamp(0)))
                .unwrap();
        LogStore::new(loaded.held, Writer::start(loaded.log, Work::Threads).unwrap())
    }

    fn blanks(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry> {
        indexes.map(|index| Entry { log_id: log_id(term, index), payload: Payload::Blank }).collect()
    }

    fn ids(store: &LogStore) -> Vec<LogId> {
        store.held.lock().entries.iter().map(|entry| entry.log_id).collect()
    }

    #[tokio::test]
    async fn a_follower_takes_over_another_leaders_entries_and_finds_them_again() {
        let fs = SimFs::new();
        let mut store = open(&fs);
        store.blocking_append(blanks(1, 2..300)).await.unwrap();
        // Cut inside a segment, then into an earlier one.
        for (term, from) in [(2, 290), (3, 20)] {
            store.save_vote(&Vote { leader_id: LeaderId::new(term, 2), committed: true }).await.unwrap();
            store.truncate_after(Some(log_id(1, from - 1))).await.unwrap();
            store.blocking_append(blanks(term, from..from + 5)).await.unwrap();
        }
        let before = ids(&store);
        assert_eq!((before.len(), before[24]), (25, log_id(3, 24)));
        store.close().await.unwrap();
        let mut store = open(&fs);
        assert_eq!(ids(&store), before);
        assert_eq!(store.read_vote().await.unwrap().unwrap().leader_id, LeaderId::new(3, 2));
    }

    #[tokio::test]
    async fn a_purge_beyond_the_end_begins_the_log_behind_the_snapshot() {
        let fs = SimFs::new();
        let mut store = open(&fs);
        store.blocking_append(blanks(1, 2..10)).await.unwrap();
        let last = log_id(2, 1000);
        let meta = SnapshotMeta { last_log_id: Some(last), last_membership: StoredMembership::default() };
        let kept = Kept { meta, tree: Bytes::from(Tree::new().encode()) };
        snapshot_file::save(&fs, Path::new(DIR), &kept).unwrap();
        store.purge(last).await.unwrap();
        store.blocking_append(blanks(2, 1001..1004)).await.unwrap();
        store.close().await.unwrap();
        fs.power_loss(7);
        let mut store = open(&fs);
        assert_eq!(ids(&store), [log_id(2, 1001), log_id(2, 1002), log_id(2, 1003)]);
        let state = store.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(last), Some(log_id(2, 1003))));
        let read = store.try_get_log_entries(990..1002).await.unwrap();
        assert_eq!(read.len(), 1, "what was purged is not there, what is there is given");
    }
}

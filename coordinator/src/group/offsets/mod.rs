//! Committed offsets, by group, topic and partition.
//!
//! Must never be changed by a step: only `put` and `take`, which `apply` calls, change it.
//!
//! Kafka: `OffsetMetadataManager`. Offsets of open transactions stand beside the others until their transaction ends.

mod commit;
mod delete;
mod expire;
mod fetch;
mod pending;
mod txn_commit;

use std::collections::BTreeMap;

use milena_storage::ids::ProducerId;

use super::Name;
use super::records::{OffsetCommit, OffsetKey};

pub(super) use commit::commit;
pub(super) use delete::{delete, delete_all, topics_deleted};
pub(super) use expire::expire;
pub(super) use fetch::fetch;
pub(super) use txn_commit::{commit as commit_in_transaction, refusal as txn_commit_refusal};

use pending::Pending;

type Partitions = BTreeMap<i32, Stored>;
type Topics = BTreeMap<Name, Partitions>;

#[derive(Debug, Default)]
pub(super) struct Offsets {
    groups: BTreeMap<Name, Topics>,
    pending: Pending,
    /// Counts what was applied.
    last: u64,
}

/// A commit, and when it was written: the order of the log, which the end of a transaction must not turn around.
#[derive(Debug)]
struct Stored {
    commit: OffsetCommit,
    written: u64,
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.pending.is_empty()
    }

    pub(super) fn put(&mut self, key: OffsetKey, commit: OffsetCommit) {
        self.last += 1;
        let written = self.last;
        self.store(key, Stored { commit, written });
    }

    /// Keeps a commit until its transaction ends.
    pub(super) fn put_pending(&mut self, producer: ProducerId, key: OffsetKey, commit: OffsetCommit) {
        self.last += 1;
        self.pending.put(producer, key, Stored { commit, written: self.last });
    }

    /// Takes out a committed offset, and what open transactions have for the same partition.
    pub(super) fn take(&mut self, key: &OffsetKey) {
        self.pending.forget(key);
        let Some(topics) = self.groups.get_mut(&*key.group) else { return };
        let Some(partitions) = topics.get_mut(&*key.topic) else { return };
        partitions.remove(&key.partition);
        if partitions.is_empty() {
            topics.remove(&*key.topic);
        }
        if topics.is_empty() {
            self.groups.remove(&*key.group);
        }
    }

    /// The end of a transaction: its offsets count from now on, or never did.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        for (key, stored) in self.pending.take(producer) {
            let newer = self.stored(&key.group, &key.topic, key.partition);
            // A commit outside the transaction that came later stays.
            if commit && newer.is_none_or(|newer| newer.written < stored.written) {
                self.store(key, stored);
            }
        }
    }

    fn store(&mut self, key: OffsetKey, stored: Stored) {
        let topics = self.groups.entry(key.group.into()).or_default();
        topics.entry(key.topic.into()).or_default().insert(key.partition, stored);
    }

    fn of(&self, group: &str) -> impl Iterator<Item = (&Name, &Partitions)> {
        self.groups.get(group).into_iter().flatten()
    }

    fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&OffsetCommit> {
        self.stored(group, topic, partition).map(|stored| &stored.commit)
    }

    fn stored(&self, group: &str, topic: &str, partition: i32) -> Option<&Stored> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }
}

fn key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition }
}

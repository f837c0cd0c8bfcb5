//! Committed offsets, by group, topic and partition.
//!
//! Must never be changed by a step: only `put` and `take`, which `apply` calls, change it.
//!
//! Kafka: `OffsetMetadataManager`. Offsets of open transactions belong beside this store, not into it.

mod commit;
mod delete;
mod expire;
mod fetch;

use std::collections::BTreeMap;

use super::Name;
use super::records::{OffsetCommit, OffsetKey};

pub(super) use commit::commit;
pub(super) use delete::{delete, delete_all, topics_deleted};
pub(super) use expire::expire;
pub(super) use fetch::fetch;

type Partitions = BTreeMap<i32, OffsetCommit>;
type Topics = BTreeMap<Name, Partitions>;

#[derive(Debug, Default)]
pub(super) struct Offsets {
    groups: BTreeMap<Name, Topics>,
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn put(&mut self, key: OffsetKey, commit: OffsetCommit) {
        let topics = self.groups.entry(key.group.into()).or_default();
        topics.entry(key.topic.into()).or_default().insert(key.partition, commit);
    }

    pub(super) fn take(&mut self, key: &OffsetKey) {
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

    fn of(&self, group: &str) -> impl Iterator<Item = (&Name, &Partitions)> {
        self.groups.get(group).into_iter().flatten()
    }

    fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&OffsetCommit> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }
}

fn key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.to_owned(), topic: topic.to_owned(), partition }
}

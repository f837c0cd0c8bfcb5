//! The first dirty offsets of compacted partitions, kept in `cleaner-offset-checkpoint` of each log directory.
//!
//! It must never give the offset of one incarnation of a topic to another.

use std::collections::{BTreeMap, HashSet};

use milena_storage::dirs::{CLEANER_CHECKPOINT, read_checkpoint, write_checkpoint};
use milena_storage::ids::{Offset, TopicPartition};
use uuid::Uuid;

use crate::partition::Partition;
use crate::partition::disk::Disk;
use crate::partition::set::Gone;

#[derive(Clone, Copy, Debug)]
struct Entry {
    first_dirty: Offset,
    /// Not known until the partition is first looked at: the file does not tell.
    topic: Option<Uuid>,
}

/// See the module; index = log directory.
#[derive(Debug)]
pub(super) struct Checkpoints(Vec<BTreeMap<TopicPartition, Entry>>);

impl Checkpoints {
    /// Reads the files. One that cannot be read only costs another cleaning.
    pub(super) fn load(disk: &Disk) -> Self {
        let load = |dir: &crate::partition::disk::LogDir| {
            let read = read_checkpoint(disk.fs.as_ref(), &dir.path, CLEANER_CHECKPOINT);
            let offsets = read.unwrap_or_else(|error| {
                tracing::error!(%error, "the cleaner begins anew in this log directory");
                BTreeMap::new()
            });
            let entry = |(name, first_dirty)| (name, Entry { first_dirty, topic: None });
            offsets.into_iter().map(entry).collect()
        };
        Self(disk.dirs.iter().map(load).collect())
    }

    /// The first dirty offset that the last cleaning of the partition left.
    pub(super) fn get(&mut self, partition: &Partition) -> Option<Offset> {
        let entry = self.0[partition.dir()].get_mut(&partition.name)?;
        let topic = *entry.topic.get_or_insert(partition.topic_id);
        (topic == partition.topic_id).then_some(entry.first_dirty)
    }

    /// Notes a first dirty offset and writes the directory's file.
    pub(super) fn set(&mut self, disk: &Disk, partition: &Partition, first_dirty: Offset) {
        let entry = Entry { first_dirty, topic: Some(partition.topic_id) };
        self.0[partition.dir()].insert(partition.name.clone(), entry);
        self.write(disk, partition.dir());
    }

    /// Moves the first dirty offset down to `end`, if it is above.
    pub(super) fn truncate(&mut self, disk: &Disk, partition: &Partition, end: Offset) {
        if self.get(partition).is_some_and(|first_dirty| first_dirty > end) {
            self.set(disk, partition, end);
        }
    }

    /// A partition's log is in another directory now (`LogCleanerManager.alterCheckpointDir`).
    pub(super) fn change_dir(&mut self, disk: &Disk, name: &TopicPartition, from: usize, to: usize) {
        let Some(entry) = self.0[from].remove(name) else { return };
        self.0[to].insert(name.clone(), entry);
        self.write(disk, to);
        self.write(disk, from);
    }

    /// Forgets these partitions.
    pub(super) fn forget(&mut self, disk: &Disk, gone: &[Gone]) {
        for dir in 0..self.0.len() {
            let before = self.0[dir].len();
            for (name, topic) in gone {
                if self.0[dir].get(name).is_some_and(|entry| entry.topic.is_none_or(|of| of == *topic)) {
                    self.0[dir].remove(name);
                }
            }
            if self.0[dir].len() != before {
                self.write(disk, dir);
            }
        }
    }

    /// Forgets partitions that are not hosted any more.
    pub(super) fn keep_only(&mut self, disk: &Disk, hosted: &HashSet<(TopicPartition, Uuid)>) {
        let names: HashSet<&TopicPartition> = hosted.iter().map(|(name, _)| name).collect();
        for dir in 0..self.0.len() {
            let before = self.0[dir].len();
            self.0[dir].retain(|name, entry| match entry.topic {
                Some(topic) => hosted.contains(&(name.clone(), topic)),
                None => names.contains(name),
            });
            if self.0[dir].len() != before {
                self.write(disk, dir);
            }
        }
    }

    fn write(&self, disk: &Disk, dir: usize) {
        let offsets = self.0[dir].iter().map(|(name, entry)| (name, entry.first_dirty));
        let path = &disk.dirs[dir].path;
        if let Err(error) = write_checkpoint(disk.fs.as_ref(), path, CLEANER_CHECKPOINT, offsets) {
            // After a restart what was cleaned is cleaned again.
            tracing::error!(%error, "cannot write the cleaner's checkpoint");
        }
    }
}

//! The checkpoint files of each log directory: recovery points, log starts, high watermarks (`LogManager`,
//! `ReplicaManager.checkpointHighWatermarks`).
//!
//! It must never write a file whose content is what the directory has: idle logs cost no writes.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use milena_storage::dirs::{
    self, HIGH_WATERMARK_CHECKPOINT, LOG_START_CHECKPOINT, RECOVERY_POINT_CHECKPOINT,
};
use milena_storage::ids::{Offset, TopicPartition};
use milena_storage::log::Log;
use parking_lot::Mutex;

use super::Partition;
use super::set::Partitions;

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    Recovery,
    LogStart,
    HighWatermark,
}

impl Point {
    const ALL: [Self; 3] = [Self::Recovery, Self::LogStart, Self::HighWatermark];

    fn file(self) -> &'static str {
        match self {
            Self::Recovery => RECOVERY_POINT_CHECKPOINT,
            Self::LogStart => LOG_START_CHECKPOINT,
            Self::HighWatermark => HIGH_WATERMARK_CHECKPOINT,
        }
    }
}

/// What was last written, as a hash of each file of each directory.
#[derive(Debug)]
pub(super) struct Written(Mutex<Vec<Hashes>>);

/// One for each file of a directory.
type Hashes = [Option<Hash64>; Point::ALL.len()];

/// A hash of points in any order, so that looking whether something has changed takes neither a copy of the names nor a sort.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Hash64(u64);

impl Hash64 {
    fn add(&mut self, name: &TopicPartition, offset: Offset) {
        let mut hasher = DefaultHasher::new();
        (name, offset).hash(&mut hasher);
        self.0 = self.0.wrapping_add(hasher.finish());
    }
}

impl Written {
    pub(super) fn new(dirs: usize) -> Self {
        Self(Mutex::new(vec![[None; Point::ALL.len()]; dirs]))
    }
}

impl Partitions {
    /// Writes one checkpoint file of every directory.
    pub fn checkpoint(&self, point: Point) {
        self.checkpoint_in(point, |_| true);
    }

    /// Writes one checkpoint file of the directories that are chosen. A failed write takes the directory offline.
    pub(super) fn checkpoint_in(&self, point: Point, chosen: impl Fn(usize) -> bool) {
        // Held while the offsets are gathered, so that an older state never comes after a newer one.
        let mut written = self.written.0.lock();
        let futures = self.future_points(point);
        let mut found = vec![Hash64::default(); self.disk.dirs.len()];
        for (dir, name, offset) in &futures {
            found[*dir].add(name, *offset);
        }
        self.each_point(point, &chosen, |dir, name, offset| found[dir].add(name, offset));
        let changed = |dir: usize| {
            let served = chosen(dir) && !self.disk.dirs[dir].health.has_failed();
            served && written[dir][point as usize] != Some(found[dir])
        };
        if !(0..found.len()).any(changed) {
            return;
        }
        // Offsets may have gone on since: what is written is a state of its own.
        let mut offsets: Vec<Vec<(TopicPartition, Offset)>> = vec![Vec::new(); found.len()];
        self.each_point(point, &chosen, |dir, name, offset| offsets[dir].push((name.clone(), offset)));
        for (dir, name, offset) in futures {
            offsets[dir].push((name, offset));
        }
        for (dir, offsets) in offsets.iter_mut().enumerate().filter(|(dir, _)| chosen(*dir)) {
            self.write_file(&mut written, dir, point, offsets);
        }
    }

    /// Every partition of these directories that has such a point, with its directory. Logs elsewhere are not locked.
    fn each_point(
        &self,
        point: Point,
        chosen: impl Fn(usize) -> bool,
        mut take: impl FnMut(usize, &TopicPartition, Offset),
    ) {
        for partition in self.all() {
            let dir = partition.dir();
            if chosen(dir)
                && let Some(offset) = partition.point(point)
            {
                take(dir, &partition.name, offset);
            }
        }
    }

    /// Writes one file; false if that could not be done.
    pub(super) fn write_points(
        &self,
        dir: usize,
        point: Point,
        offsets: &mut [(TopicPartition, Offset)],
    ) -> bool {
        self.write_file(&mut self.written.0.lock(), dir, point, offsets)
    }

    fn write_file(
        &self,
        written: &mut [Hashes],
        dir: usize,
        point: Point,
        offsets: &mut [(TopicPartition, Offset)],
    ) -> bool {
        let place = &self.disk.dirs[dir];
        if place.health.has_failed() {
            return false;
        }
        let mut hash = Hash64::default();
        offsets.iter().for_each(|(name, offset)| hash.add(name, *offset));
        let hash = Some(hash);
        let last = &mut written[dir][point as usize];
        if *last == hash {
            return true;
        }
        offsets.sort();
        let lines = offsets.iter().map(|(name, offset)| (name, *offset));
        match dirs::write_checkpoint(self.disk.fs.as_ref(), &place.path, point.file(), lines) {
            Ok(()) => *last = hash,
            Err(error) => {
                tracing::error!(%error, "cannot write a checkpoint of a log directory");
                place.health.note(&error);
            }
        }
        *last == hash
    }
}

impl Partition {
    /// What a checkpoint file says of this partition, if it has to say anything.
    pub(super) fn point(&self, point: Point) -> Option<Offset> {
        match point {
            Point::Recovery => self.peek(Log::recovery_checkpoint),
            // Where the log starts with a segment, the file's name tells it.
            Point::LogStart => {
                self.peek(|log| log.log_start_needs_checkpoint().then(|| log.log_start_offset())).flatten()
            }
            Point::HighWatermark => Some(self.high_watermark()),
        }
    }
}

#[cfg(test)]
mod tests;

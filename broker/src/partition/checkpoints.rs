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
type Hashes = [Option<u64>; Point::ALL.len()];

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
        let mut offsets: Vec<Vec<(TopicPartition, Offset)>> = vec![Vec::new(); self.disk.dirs.len()];
        // Held while the offsets are gathered, so that an older state never comes after a newer one.
        let mut written = self.written.0.lock();
        for partition in self.all() {
            let dir = partition.dir();
            if chosen(dir)
                && let Some(offset) = partition.point(point)
            {
                offsets[dir].push((partition.name.clone(), offset));
            }
        }
        for (dir, name, offset) in self.future_points(point) {
            offsets[dir].push((name, offset));
        }
        for (dir, offsets) in offsets.iter_mut().enumerate().filter(|(dir, _)| chosen(*dir)) {
            self.write_file(&mut written, dir, point, offsets);
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
        offsets.sort();
        let mut hasher = DefaultHasher::new();
        offsets.hash(&mut hasher);
        let hash = Some(hasher.finish());
        let last = &mut written[dir][point as usize];
        if *last == hash {
            return true;
        }
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

//! Logs that Kafka was moving to another directory (`-future`, KIP-113) when it stopped. Nothing is moved here yet: they
//! are opened, recovered, told of, and closed, so that Kafka can go on where it was.
//!
//! It must never take such a log for the partition's own: it holds only what was copied.

use std::path::PathBuf;

use milena_coordinator::image::MetadataImage;
use milena_storage::StorageError;
use milena_storage::dirs;
use milena_storage::ids::{Offset, Timestamp, TopicPartition};
use milena_storage::log::Log;

use super::checkpoints::Point;
use super::set::{Gone, Partitions};

/// Where a `-future` directory was found.
#[derive(Clone, Debug)]
pub struct FoundFuture {
    pub partition: TopicPartition,
    /// Index of its log directory.
    pub dir: usize,
    pub path: PathBuf,
}

/// One that is open.
#[derive(Debug)]
pub(super) struct Future {
    partition: TopicPartition,
    topic_id: uuid::Uuid,
    dir: usize,
    log: Log,
    high_watermark: Offset,
}

/// What DescribeLogDirs tells of one.
#[derive(Clone, Debug)]
pub struct FutureUsage {
    pub partition: TopicPartition,
    pub dir: usize,
    pub size: u64,
    /// How many offsets the log is behind the partition's own.
    pub lag: i64,
}

impl Partitions {
    /// Opens those of partitions that the image has here; the others are strays (`LogManager.loadLog`).
    pub(super) fn load_futures(&self, image: &MetadataImage, now: Timestamp) {
        for found in self.disk.take_futures() {
            let name = &found.partition;
            let wanted = image.topic(&name.topic).filter(|topic| {
                topic.partition(name.partition).is_some_and(|known| known.replicas.contains(&self.broker))
            });
            let fs = self.disk.fs.as_ref();
            let id = dirs::read_partition_metadata(fs, &found.path).ok().flatten();
            let done = match (wanted, id) {
                (Some(topic), Some(id)) if topic.id == id => self.open_future(&found, id, now),
                _ => self.disk.set_future_aside(&found),
            };
            if let Err(error) = done {
                tracing::error!(path = %found.path.display(), %error, "cannot load a log that was being moved");
                self.disk.dirs[found.dir].health.note(&error);
            }
        }
    }

    fn open_future(
        &self,
        found: &FoundFuture,
        topic_id: uuid::Uuid,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let name = &found.partition;
        let own = self.get(&name.topic, name.partition.0);
        let config = own.and_then(|own| own.peek(|log| log.config().clone()));
        let (log, high_watermark) = self.disk.open_future(found, config.unwrap_or_default(), now)?;
        tracing::warn!(
            path = %found.path.display(), log_end = %log.log_end_offset(),
            "a partition was being moved here; that goes on when Kafka runs again"
        );
        let future = Future { partition: name.clone(), topic_id, dir: found.dir, log, high_watermark };
        self.futures.lock().push(future);
        Ok(())
    }

    /// Dooms those of partitions that were deleted.
    pub(super) fn retire_futures(&self, gone: &[Gone], now: Timestamp) {
        let doomed: Vec<Future> = {
            let mut futures = self.futures.lock();
            let is_gone = |each: &Future| gone.contains(&(each.partition.clone(), each.topic_id));
            let (doomed, kept) = futures.drain(..).partition(is_gone);
            *futures = kept;
            doomed
        };
        for Future { partition, dir, log, .. } in doomed {
            if let Err(error) = self.disk.doom_in(dir, &partition, log, now) {
                tracing::error!(%partition, %error, "cannot delete a log that was being moved");
            }
        }
    }

    /// What the checkpoint files of their directories say of them; by directory.
    pub(super) fn future_points(&self, point: Point) -> Vec<(usize, TopicPartition, Offset)> {
        let futures = self.futures.lock();
        let offset = |future: &Future| match point {
            Point::Recovery => Some(future.log.recovery_checkpoint()),
            Point::LogStart => future.log.log_start_needs_checkpoint().then(|| future.log.log_start_offset()),
            Point::HighWatermark => Some(future.high_watermark),
        };
        let entry = |future: &Future| Some((future.dir, future.partition.clone(), offset(future)?));
        futures.iter().filter_map(entry).collect()
    }

    /// Closes those of one directory; false if that failed.
    pub(super) fn close_futures(&self, dir: usize) -> bool {
        let mut closed = true;
        let mut futures = self.futures.lock();
        let (here, others): (Vec<_>, Vec<_>) = futures.drain(..).partition(|each| each.dir == dir);
        *futures = others;
        for future in here {
            if let Err(error) = future.log.close_clean() {
                tracing::error!(partition = %future.partition, %error, "cannot close a log cleanly");
                closed = false;
            }
        }
        closed
    }

    /// Those of all directories.
    #[must_use]
    pub fn future_usage(&self) -> Vec<FutureUsage> {
        let futures = self.futures.lock();
        let usage = |future: &Future| {
            let name = &future.partition;
            let own = self.get(&name.topic, name.partition.0);
            let end = future.log.log_end_offset().0;
            FutureUsage {
                partition: name.clone(),
                dir: future.dir,
                size: future.log.size(),
                lag: own.map_or(0, |own| (own.log_end_offset().0 - end).max(0)),
            }
        };
        futures.iter().map(usage).collect()
    }
}

#[cfg(test)]
mod tests;

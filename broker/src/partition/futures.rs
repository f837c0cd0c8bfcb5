//! Logs on their way to another log directory (`-future`, KIP-113): asked for, given up, found again after a start, or left by
//! Kafka in the middle of a move.
//!
//! It must never take such a log for the partition's own before it has all records: `moves` sees to that.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use milena_coordinator::image::MetadataImage;
use milena_storage::StorageError;
use milena_storage::dirs;
use milena_storage::ids::{Offset, Timestamp, TopicPartition};
use milena_storage::log::Log;
use parking_lot::Mutex;
use uuid::Uuid;

use super::checkpoints::Point;
use super::set::{Gone, Partitions};
use super::{Partition, PartitionError};

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
    pub partition: TopicPartition,
    pub topic_id: Uuid,
    /// Index of the log directory that it is in.
    pub dir: usize,
    /// `None` once it was given up or took the partition's place. Taken before the lock of the partition's log, never after.
    pub log: Mutex<Option<Log>>,
    pub high_watermark: AtomicI64,
}

/// What DescribeLogDirs tells of one.
#[derive(Clone, Debug)]
pub struct FutureUsage {
    pub partition: TopicPartition,
    pub dir: usize,
    pub size: u64,
    /// How many offsets the log is behind the partition's own; −1 where that cannot be used.
    pub lag: i64,
}

impl Future {
    fn new(
        partition: TopicPartition,
        topic_id: Uuid,
        dir: usize,
        log: Log,
        high_watermark: Offset,
    ) -> Arc<Self> {
        let (log, high_watermark) = (Mutex::new(Some(log)), AtomicI64::new(high_watermark.0));
        Arc::new(Self { partition, topic_id, dir, log, high_watermark })
    }
}

impl Partitions {
    /// Asks for a partition's log to be in this directory, by its absolute path (`ReplicaManager.alterReplicaLogDirs`). Where it
    /// is already, a move under way ends; a replica that is not here yet will be made there. Blocks.
    pub fn ask_for_dir(
        &self,
        image: &MetadataImage,
        name: &TopicPartition,
        path: &str,
        now: Timestamp,
    ) -> Result<(), PartitionError> {
        let _alone = self.exchanging.lock();
        if !dirs::has_future_name(name) {
            return Err(PartitionError::NameTooLong);
        }
        let dir = self.disk.dir_at(Path::new(path)).ok_or(PartitionError::NoSuchDir)?;
        if self.disk.dirs[dir].health.has_failed() {
            return Err(PartitionError::Offline);
        }
        if self.disk.dirs[dir].is_cordoned() {
            return Err(PartitionError::CordonedDir);
        }
        let partition = match self.find(image, &name.topic, name.partition.0) {
            Ok(partition) => partition,
            Err(error @ (PartitionError::Unknown | PartitionError::NotLeader)) => {
                self.disk.wish(name, dir);
                return Err(if matches!(error, PartitionError::Unknown) {
                    error
                } else {
                    PartitionError::NotHere
                });
            }
            Err(error) => return Err(error),
        };
        if let Some(under_way) = self.future_of(&partition) {
            if under_way.dir == dir {
                return Ok(());
            }
            self.give_up(&under_way, now);
        }
        if partition.dir() == dir {
            return Ok(());
        }
        // Where a directory has failed, the partition may have a future log there (`LogManager.getOrCreateLog`).
        if self.disk.dirs.iter().any(|each| each.health.has_failed()) {
            return Err(PartitionError::Offline);
        }
        self.begin_move(&partition, dir, now)
    }

    fn begin_move(&self, partition: &Partition, dir: usize, now: Timestamp) -> Result<(), PartitionError> {
        let config = partition.look(|log| log.config().clone())?;
        let made = self.disk.make_future(&partition.name, partition.topic_id, dir, config, now);
        let log = made.map_err(|error| {
            self.disk.dirs[dir].health.note(&error);
            PartitionError::Storage(error)
        })?;
        tracing::info!(partition = %partition.name, to = %log.dir().display(), "a log is moved to another directory");
        self.enter(Future::new(partition.name.clone(), partition.topic_id, dir, log, Offset(0)));
        Ok(())
    }

    /// Takes one up to be copied.
    fn enter(&self, future: Arc<Future>) {
        if let Some(own) = self.own_of(&future) {
            own.set_moving(true);
        }
        self.futures.lock().push(future);
        self.move_wake.notify_one();
    }

    /// The partition that a future log is of.
    pub(super) fn own_of(&self, future: &Future) -> Option<Arc<Partition>> {
        let own = self.get(&future.partition.topic, future.partition.partition.0)?;
        (own.topic_id == future.topic_id).then_some(own)
    }

    fn future_of(&self, partition: &Partition) -> Option<Arc<Future>> {
        let futures = self.futures.lock();
        let is_of = |future: &&Arc<Future>| {
            future.partition == partition.name && future.topic_id == partition.topic_id
        };
        futures.iter().find(is_of).cloned()
    }

    /// Those that are open.
    pub(super) fn futures(&self) -> Vec<Arc<Future>> {
        self.futures.lock().clone()
    }

    /// Takes one off the list; false if it is not there any more.
    pub(super) fn forget_future(&self, future: &Arc<Future>) -> bool {
        let mut futures = self.futures.lock();
        let before = futures.len();
        futures.retain(|each| !Arc::ptr_eq(each, future));
        futures.len() < before
    }

    /// Ends a move and deletes what was copied.
    fn give_up(&self, future: &Arc<Future>, now: Timestamp) {
        self.forget_future(future);
        if let Some(own) = self.own_of(future) {
            own.set_moving(false);
            let path = own.look(|log| log.dir().to_owned());
            if let Ok(Err(error)) = path.map(|path| dirs::unmark_replaced(self.disk.fs.as_ref(), &path)) {
                own.note_failure(&error);
            }
        }
        self.doom_future(future, now);
        self.checkpoint_in(Point::Recovery, |dir| dir == future.dir);
        self.checkpoint_in(Point::LogStart, |dir| dir == future.dir);
    }

    fn doom_future(&self, future: &Future, now: Timestamp) {
        let Some(log) = future.log.lock().take() else { return };
        let name = &future.partition;
        tracing::info!(partition = %name, dir = %log.dir().display(), "a move to another directory is given up");
        if let Err(error) = self.disk.doom_log(name, log, now) {
            tracing::error!(partition = %name, %error, "cannot delete a log that was being moved");
            self.disk.dirs[future.dir].health.note(&error);
        }
    }

    /// Opens those of partitions that the image has here, to go on with them; the others are strays (`LogManager.loadLog`).
    pub(super) fn load_futures(&self, image: &MetadataImage, now: Timestamp) {
        for found in self.disk.take_futures() {
            let name = &found.partition;
            let wanted = image.topic(&name.topic).filter(|topic| {
                topic.partition(name.partition).is_some_and(|known| known.replicas.contains(&self.broker))
            });
            let fs = self.disk.fs.as_ref();
            let id = dirs::read_partition_metadata(fs, &found.path).ok().flatten();
            let is_beside = self.disk.dir_of(name) == Some(found.dir);
            let done = match (wanted, id) {
                (Some(topic), Some(id)) if topic.id == id && !is_beside => self.open_future(&found, id, now),
                _ => self.disk.set_future_aside(&found),
            };
            if let Err(error) = done {
                tracing::error!(path = %found.path.display(), %error, "cannot load a log that was being moved");
                self.disk.dirs[found.dir].health.note(&error);
            }
        }
    }

    fn open_future(&self, found: &FoundFuture, topic_id: Uuid, now: Timestamp) -> Result<(), StorageError> {
        let name = &found.partition;
        let own = self.get(&name.topic, name.partition.0);
        let config = own.and_then(|own| own.peek(|log| log.config().clone()));
        let (log, high_watermark) = self.disk.open_future(found, config.unwrap_or_default(), now)?;
        tracing::info!(path = %found.path.display(), log_end = %log.log_end_offset(), "a log is moved here; that goes on");
        self.enter(Future::new(name.clone(), topic_id, found.dir, log, high_watermark));
        Ok(())
    }

    /// Dooms those of partitions that were deleted.
    pub(super) fn retire_futures(&self, gone: &[Gone], now: Timestamp) {
        for future in self.futures() {
            if gone.contains(&(future.partition.clone(), future.topic_id)) && self.forget_future(&future) {
                self.doom_future(&future, now);
            }
        }
    }

    /// Lets go of those in failed directories; their files stay as they are.
    pub(super) fn withdraw_futures(&self) {
        for future in self.futures() {
            if self.disk.dirs[future.dir].health.has_failed() && self.forget_future(&future) {
                future.log.lock().take();
                if let Some(own) = self.own_of(&future) {
                    own.set_moving(false);
                }
            }
        }
    }

    /// What the checkpoint files of their directories say of them; by directory.
    pub(super) fn future_points(&self, point: Point) -> Vec<(usize, TopicPartition, Offset)> {
        let offset = |future: &Future| {
            let log = future.log.lock();
            let log = log.as_ref()?;
            match point {
                Point::Recovery => Some(log.recovery_checkpoint()),
                Point::LogStart => log.log_start_needs_checkpoint().then(|| log.log_start_offset()),
                Point::HighWatermark => Some(Offset(future.high_watermark.load(Ordering::Acquire))),
            }
        };
        let entry = |future: &Arc<Future>| Some((future.dir, future.partition.clone(), offset(future)?));
        self.futures().iter().filter_map(entry).collect()
    }

    /// Closes those of one directory; false if that failed.
    pub(super) fn close_futures(&self, dir: usize) -> bool {
        let mut closed = true;
        for future in self.futures().iter().filter(|future| future.dir == dir) {
            self.forget_future(future);
            let Some(log) = future.log.lock().take() else { continue };
            if let Err(error) = log.close_clean() {
                tracing::error!(partition = %future.partition, %error, "cannot close a log cleanly");
                closed = false;
            }
        }
        closed
    }

    /// Those of all directories.
    #[must_use]
    pub fn future_usage(&self) -> Vec<FutureUsage> {
        let usage = |future: &Arc<Future>| {
            let (size, end) = {
                let log = future.log.lock();
                let log = log.as_ref()?;
                (log.size(), log.log_end_offset().0)
            };
            let own = self.own_of(future).filter(|own| !own.is_offline());
            let lag = own.map_or(-1, |own| own.log_end_offset().0 - end);
            Some(FutureUsage { partition: future.partition.clone(), dir: future.dir, size, lag })
        };
        self.futures().iter().filter_map(usage).collect()
    }
}

#[cfg(test)]
mod tests;

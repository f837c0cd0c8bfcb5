//! Moves logs to other directories: copies what is missing, round by round, and exchanges the logs when nothing is
//! (`ReplicaAlterLogDirsThread`). Leadership, in-sync sets and clients do not notice.
//!
//! Every moment of it survives a loss of power: the copy is durable before it takes the partition's name, a mark in the old directory
//! tells from then on which of the two counts, and the old one goes last. It must never hold a log's lock over more than the last bytes.

use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::dirs;
use milena_storage::ids::{Timestamp, TopicPartition};
use milena_storage::log::{AppendError, Log};

use super::checkpoints::Point;
use super::exchange::{CopyFault, Destination, Progress};
use super::futures::Future;
use super::set::Partitions;
use super::{Partition, PartitionError};

/// What became of a move in one round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moved {
    /// So many bytes were copied.
    Some(usize),
    /// The log is in its new directory.
    Done { partition: TopicPartition, from: usize, to: usize },
    /// Nothing could be done now.
    Stuck,
    /// It is not under way any more.
    Over,
}

/// A log that is on its way to another directory.
#[derive(Clone, Debug)]
pub struct Move(Arc<Future>);

impl Partitions {
    /// The moves that are under way.
    #[must_use]
    pub fn moves(&self) -> Vec<Move> {
        self.futures().into_iter().map(Move).collect()
    }

    /// Copies at most `max_bytes` of a log, but a whole batch, and exchanges the logs if that was all. Blocks.
    pub fn advance(&self, Move(future): &Move, max_bytes: usize, now: Timestamp) -> Moved {
        let Some(own) = self.own_of(future).filter(|own| !own.is_offline()) else { return Moved::Stuck };
        let copied = {
            let mut log = future.log.lock();
            let Some(log) = log.as_mut() else { return Moved::Over };
            own.copy_some(log, max_bytes, now)
        };
        match copied {
            Ok(Progress::Behind(bytes)) => Moved::Some(bytes),
            Ok(Progress::Level) => match self.finish(future, &own, now) {
                Ok(moved) => moved,
                Err(fault) => self.fail(future, &own, fault),
            },
            Err(fault) => self.fail(future, &own, fault),
        }
    }

    /// Exchanges the logs of a partition whose copy is level.
    fn finish(&self, future: &Arc<Future>, own: &Partition, now: Timestamp) -> Result<Moved, CopyFault> {
        if !sync(future)? {
            return Ok(Moved::Over);
        }
        let _alone = self.exchanging.lock();
        // It may have been given up, and the partition deleted, since.
        if !self.futures().iter().any(|each| Arc::ptr_eq(each, future)) || own.is_offline() {
            return Ok(Moved::Over);
        }
        for point in [Point::Recovery, Point::LogStart] {
            self.checkpoint_in(point, |dir| dir == future.dir);
        }
        let from = own.dir();
        let old_dir = own.look(|log| log.dir().to_owned()).map_err(CopyFault::Original)?;
        let marked = dirs::mark_replaced(self.disk.fs.as_ref(), &old_dir);
        marked.map_err(|error| CopyFault::Original(error.into()))?;
        let place = &self.disk.dirs[future.dir];
        let path = place.path.join(future.partition.to_string());
        let to = Destination { dir: future.dir, health: &place.health, path: &path };
        let replaced = {
            let mut log = future.log.lock();
            let Some(copy) = log.as_mut() else { return Ok(Moved::Over) };
            if !own.exchange(copy, &to, now)? {
                return Ok(Moved::Stuck);
            }
            log.take()
        };
        self.forget_future(future);
        self.disk.moved(&future.partition, future.dir);
        self.moved_wake.notify_one();
        own.set_moving(false);
        tracing::info!(partition = %future.partition, from = %old_dir.display(), to = %path.display(), "a log was moved");
        if let Some(old) = replaced {
            self.remove_replaced(future, from, old, now);
        }
        for point in [Point::Recovery, Point::LogStart, Point::HighWatermark] {
            self.checkpoint_in(point, |dir| dir == future.dir || dir == from);
        }
        Ok(Moved::Done { partition: future.partition.clone(), from, to: future.dir })
    }

    /// The log that was replaced goes; where that fails, the mark in it tells the next start that it is done with.
    fn remove_replaced(&self, future: &Future, from: usize, old: Log, now: Timestamp) {
        if let Err(error) = self.disk.doom_log(&future.partition, old, now) {
            tracing::error!(partition = %future.partition, %error, "cannot delete a log that was moved");
            self.disk.dirs[from].health.note(&error);
        }
    }

    /// A directory that fails takes what is in it out of service; a shortage is waited out.
    fn fail(&self, future: &Arc<Future>, own: &Partition, fault: CopyFault) -> Moved {
        match fault {
            CopyFault::Original(error) => {
                if let Err(error) = own.report::<()>(Err(error)) {
                    tracing::warn!(partition = %future.partition, %error, "a log that is moved cannot be read");
                }
            }
            CopyFault::Copy(AppendError::Storage(error)) => {
                tracing::error!(partition = %future.partition, %error, "a log cannot be moved for now");
                self.disk.dirs[future.dir].health.note(&error);
            }
            CopyFault::Copy(error) => {
                tracing::error!(partition = %future.partition, %error, "a log cannot be moved for now");
            }
        }
        Moved::Stuck
    }
}

/// Makes durable what was copied, without holding any lock meanwhile; false if the move is over.
fn sync(future: &Future) -> Result<bool, CopyFault> {
    let failed = |error: StorageError| CopyFault::Copy(error.into());
    let plan = match future.log.lock().as_mut() {
        Some(log) => log.flush_plan().map_err(failed)?,
        None => return Ok(false),
    };
    let ran = plan.run();
    let mut log = future.log.lock();
    // Given up meanwhile, its directory has another name, so that a failure says nothing.
    let Some(log) = log.as_mut() else { return Ok(false) };
    ran.map_err(failed)?;
    log.flushed(&plan);
    Ok(true)
}

impl Partition {
    /// Notes what became of work on the log that was done outside its lock.
    fn report<T>(&self, outcome: Result<T, PartitionError>) -> Result<T, PartitionError> {
        self.noted(outcome)
    }
}

#[cfg(test)]
mod tests;

//! One look over the compacted logs, and one cleaning. Both block.
//!
//! It must never hold a log's lock while it reads or writes segments.

use std::collections::HashSet;
use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::ids::{Offset, Timestamp};
use milena_storage::log::{CleanError, CleanStats, Cleanable, Means, OffsetMap, Pace};
use tokio::sync::watch;

use super::metrics::Finished;
use super::{Cleaner, incarnation};
use crate::partition::{Partition, PartitionError};
use crate::settings::CleanerSettings;
/// Less is not worth a call of the system.
const BUFFER_MIN: usize = 4096;

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub work: Option<Box<Work>>,
    /// When the passing of time alone may bring work.
    pub look_again_in_ms: Option<i64>,
}

/// A log to be cleaned.
#[derive(Debug)]
pub(super) struct Work {
    partition: Arc<Partition>,
    what: Cleanable,
    delay_ms: i64,
}

impl Cleaner {
    /// Chooses the dirtiest log that is due (`grabFilthiestCompactedLog`), and deletes old segments of all others.
    pub(super) fn look(&self) -> Look {
        let now = self.clock.now();
        let compacted: Vec<_> =
            self.partitions.all().into_iter().filter(|partition| partition.is_compacted()).collect();
        self.forget_gone();
        self.state.lock().ledger.last_run = now;
        let mut found = Vec::new();
        let mut look_again: Option<i64> = None;
        for partition in &compacted {
            let Some((what, due)) = self.look_at(partition, now) else { continue };
            let waits = what.look_again.map(|at| at.0.saturating_sub(now.0));
            // The back-off bounds how often an open transaction is asked after.
            let stable = what.waits_for_stable.then_some(0);
            look_again = look_again.into_iter().chain(waits).chain(stable).min();
            found.push((partition, what, due));
        }
        let delay_ms = found.iter().map(|(_, what, _)| what.overdue_ms).max().unwrap_or(0);
        let dirtiest = found.iter().map(|(_, what, _)| what.ratio()).fold(0.0, f64::max);
        self.state.lock().ledger.dirtiest_ratio = dirtiest;
        let chosen = found
            .into_iter()
            .filter(|(_, _, due)| *due)
            .max_by(|(_, a, _), (_, b, _)| a.ratio().total_cmp(&b.ratio()));
        let work = chosen.map(|(partition, what, _)| {
            self.state.lock().in_progress.insert(incarnation(partition));
            Box::new(Work { partition: partition.clone(), what, delay_ms })
        });
        for partition in &compacted {
            let due = self.delete_old(partition, now);
            look_again = look_again.into_iter().chain(due).min();
        }
        Look { work, look_again_in_ms: look_again }
    }

    /// What of a partition can be cleaned, and whether it should be.
    fn look_at(&self, partition: &Partition, now: Timestamp) -> Option<(Cleanable, bool)> {
        if partition.is_moving() {
            return None;
        }
        let checkpoint = {
            let state = &mut *self.state.lock();
            let key = incarnation(partition);
            if state.in_progress.contains(&key) || state.uncleanable.contains(&key) {
                return None;
            }
            state.checkpoints.get(partition)
        };
        let stable = partition.last_stable_offset();
        let looked = partition.tend(|log| match log.cleanable(checkpoint, stable, now) {
            Ok(what) => Ok(Ok((what, what.is_due(log.config().min_cleanable_dirty_ratio)))),
            Err(error @ StorageError::Corrupt { .. }) => Ok(Err(error)),
            Err(error) => Err(error),
        });
        match looked {
            Ok(Ok((what, due))) => {
                if what.checkpoint_invalid {
                    let disk = &self.partitions.disk;
                    self.state.lock().checkpoints.set(disk, partition, what.first_dirty);
                }
                Some((what, due)).filter(|_| what.total_bytes() > 0)
            }
            Ok(Err(error)) => {
                self.mark_uncleanable(partition, &error);
                None
            }
            // `tend` has said so already.
            Err(_) => None,
        }
    }

    fn mark_uncleanable(&self, partition: &Partition, error: &StorageError) {
        tracing::error!(partition = %partition.name, %error,
            "cannot clean this partition; it is left alone until the next start");
        self.state.lock().uncleanable.insert(incarnation(partition));
    }

    fn forget_gone(&self) {
        let hosted: HashSet<_> = self.partitions.all().iter().map(|each| incarnation(each)).collect();
        let state = &mut *self.state.lock();
        state.uncleanable.retain(|each| hosted.contains(each));
        state.checkpoints.keep_only(&self.partitions.disk, &hosted);
    }

    /// Deletes what the log start or `compact,delete` lets go; returns in how many milliseconds there is more.
    fn delete_old(&self, partition: &Partition, now: Timestamp) -> Option<i64> {
        let key = incarnation(partition);
        {
            let state = self.state.lock();
            if state.in_progress.contains(&key) || state.uncleanable.contains(&key) {
                return None;
            }
        }
        let due = partition.retain(now).and_then(|()| partition.tend(|log| log.retention_due()));
        match due {
            Ok(due) => due.map(|due| due.0.saturating_sub(now.0)),
            Err(PartitionError::Offline) => None,
            Err(error) => {
                tracing::error!(partition = %partition.name, %error, "cannot delete old segments");
                None
            }
        }
    }

    /// Cleans a log and notes how it went.
    pub(super) fn clean(&self, work: &Work, stop: watch::Receiver<bool>) {
        let Work { partition, what, delay_ms } = work;
        let settings = self.settings.load().cleaner();
        let began = self.clock.steady_ms();
        let outcome = if partition.begin_cleaning() {
            let outcome = self.clean_partition(partition, what, &settings, stop);
            partition.end_cleaning();
            outcome
        } else {
            Err(CleanError::Aborted)
        };
        let elapsed_ms = self.clock.steady_ms() - began;
        match outcome {
            Ok((end, stats)) => {
                // The log may have been cut since.
                let first_dirty = end.min(partition.active_base());
                let state = &mut *self.state.lock();
                state.checkpoints.set(&self.partitions.disk, partition, first_dirty);
                state.ledger.finish(Finished { stats, elapsed_ms, delay_ms: *delay_ms }, settings.threads);
                told(partition, what, end, &stats, elapsed_ms);
            }
            Err(CleanError::Aborted) => {
                tracing::info!(partition = %partition.name, "the cleaning was given up");
            }
            Err(CleanError::Storage(error)) if error.is_shortage() => {
                tracing::error!(partition = %partition.name, %error, "no space to clean in; it is tried again");
            }
            Err(CleanError::Storage(error)) => self.mark_uncleanable(partition, &error),
        }
        self.state.lock().in_progress.remove(&incarnation(partition));
    }

    fn clean_partition(
        &self,
        partition: &Partition,
        what: &Cleanable,
        settings: &CleanerSettings,
        stop: watch::Receiver<bool>,
    ) -> Result<(Offset, CleanStats), CleanError> {
        let now = self.clock.now();
        // A record may only go when the one that replaces it is on the medium.
        ended(partition.sync_rolled())?;
        let mut cleaning = ended(partition.tend(|log| log.begin_cleaning(what, now)))?;
        let threads = settings.threads.max(1);
        let memory = settings.dedupe_buffer_bytes / threads;
        let load = settings.io_buffer_load_factor;
        let pace = CleanerPace { cleaner: self, partition, stop };
        let mut means = Means {
            map: OffsetMap::new(memory, load, cleaning.keys_max(), self.seed),
            buffer: (settings.io_buffer_bytes / threads / 2).max(BUFFER_MIN),
            pace: &pace,
        };
        let end = fatal(partition, cleaning.index(&mut means))?;
        while let Some(cleaned) = fatal(partition, cleaning.next_group(&mut means))? {
            let now = self.clock.now();
            let swapped = partition.tend(|log| match log.swap_in(cleaned, now) {
                Ok(()) => Ok(true),
                Err(CleanError::Aborted) => Ok(false),
                Err(CleanError::Storage(error)) => Err(error),
            });
            if !ended(swapped)? {
                return Err(CleanError::Aborted);
            }
        }
        Ok((end, cleaning.stats()))
    }
}

/// A partition that went out of service takes its cleaning with it; its end was told where it came about.
fn ended<T>(outcome: Result<T, PartitionError>) -> Result<T, CleanError> {
    outcome.map_err(|_| CleanError::Aborted)
}

/// A disk that fails takes the partition out of service, as anywhere else; a log that is damaged, or has no room to be
/// written anew, does not.
fn fatal<T>(partition: &Partition, outcome: Result<T, CleanError>) -> Result<T, CleanError> {
    match outcome {
        // The files of a deleted topic go while they are read.
        Err(CleanError::Storage(_)) if partition.is_offline() => Err(CleanError::Aborted),
        Err(CleanError::Storage(error @ StorageError::Io { .. })) if !error.is_shortage() => {
            ended(partition.tend(|_| Err(error)))
        }
        other => other,
    }
}

fn told(partition: &Partition, what: &Cleanable, end: Offset, stats: &CleanStats, elapsed_ms: i64) {
    tracing::info!(
        partition = %partition.name, from = %what.first_dirty, to = %end, read_bytes = stats.read_bytes,
        written_bytes = stats.written_bytes, read_records = stats.read_records,
        written_records = stats.written_records, elapsed_ms, "cleaned a log"
    );
    if stats.keyless_records > 0 {
        tracing::warn!(partition = %partition.name, records = stats.keyless_records, "removed records without a key");
    }
}

/// Holds a cleaning back to the rate that is set, and ends it when the broker stops or the partition is gone.
struct CleanerPace<'a> {
    cleaner: &'a Cleaner,
    partition: &'a Partition,
    stop: watch::Receiver<bool>,
}

impl Pace for CleanerPace<'_> {
    fn passed(&self, bytes: u64) -> Result<(), CleanError> {
        let done = || *self.stop.borrow() || self.partition.is_offline() || self.partition.is_moving();
        if done() {
            return Err(CleanError::Aborted);
        }
        let rate = self.cleaner.settings.load().cleaner().io_max_bytes_per_second;
        let now = self.cleaner.clock.steady_ms();
        let wait_ms = self.cleaner.throttle.lock().passed(bytes, rate, now);
        if wait_ms > 0 {
            let mut stop = self.stop.clone();
            tokio::runtime::Handle::current().block_on(async {
                tokio::select! {
                    () = self.cleaner.clock.sleep_until(now.saturating_add(wait_ms)) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            });
        }
        if done() { Err(CleanError::Aborted) } else { Ok(()) }
    }
}

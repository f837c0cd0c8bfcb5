//! What logs need from time to time: retention, checkpoints, late removal, forgetting idle producers.
//!
//! It must never run on a thread that serves connections: every task touches the disk.

use std::sync::Arc;
use std::time::Duration;

use milena_storage::ids::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::checkpoints::Point;
use super::set::Partitions;
use super::{Partition, PartitionError};
use crate::blocking;
use crate::clock::Clock;
use crate::settings::Settings;

/// How often deleted files are looked for, beside each look for what is to be deleted; their delay is `file.delete.delay.ms`.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(10);
/// Kafka's bound for a disabled interval would overflow timers.
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 86_400);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Retain,
    SyncRolled,
    Checkpoint(Point),
    Remove,
    ForgetProducers,
    Flush,
}

/// Runs until `stop` changes and what is under way has ended. A task that takes long holds back no other.
pub async fn run(
    partitions: Arc<Partitions>,
    clock: Arc<Clock>,
    settings: Arc<Settings>,
    stop: watch::Receiver<bool>,
) {
    let storage = settings.storage();
    let delay = storage.initial_task_delay;
    let watermarks = storage.high_watermark_checkpoint_interval;
    let expiration = settings.transactions().producer_id_expiration_check_interval;
    let tasks = [
        (Task::Retain, delay, storage.retention_check_interval),
        (Task::Flush, delay.max(storage.flush_check_interval), storage.flush_check_interval),
        (Task::Checkpoint(Point::Recovery), delay, storage.recovery_point_checkpoint_interval),
        (Task::Checkpoint(Point::LogStart), delay, storage.start_offset_checkpoint_interval),
        (Task::Checkpoint(Point::HighWatermark), watermarks, watermarks),
        (Task::Remove, REMOVAL_INTERVAL, REMOVAL_INTERVAL),
        (Task::ForgetProducers, expiration, expiration),
    ];
    let mut running = JoinSet::new();
    for (task, first, period) in tasks {
        let (doer, stop) =
            (Doer { task, partitions: partitions.clone(), clock: clock.clone() }, stop.clone());
        running.spawn(doer.every(first, period, stop));
    }
    let roll_wake = partitions.roll_wake.clone();
    running.spawn(Doer { task: Task::SyncRolled, partitions, clock }.whenever(roll_wake, stop));
    while running.join_next().await.is_some() {}
}

/// One task and what it works on.
struct Doer {
    task: Task,
    partitions: Arc<Partitions>,
    clock: Arc<Clock>,
}

impl Doer {
    async fn every(self, first: Duration, period: Duration, mut stop: watch::Receiver<bool>) {
        let millis =
            |wait: Duration| i64::try_from(wait.as_millis()).expect("a year of milliseconds is a number");
        let mut next = self.clock.steady_ms() + millis(first.min(INTERVAL_MAX));
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                // By the broker's clock, which tests move on.
                () = self.clock.sleep_until(next) => self.run().await,
            }
            next = self.clock.steady_ms() + millis(period.clamp(Duration::from_millis(1), INTERVAL_MAX));
        }
    }

    async fn whenever(self, wake: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                () = wake.notified() => self.run().await,
            }
        }
    }

    async fn run(&self) {
        let (task, partitions, clock) = (self.task, self.partitions.clone(), self.clock.clone());
        if let Err(error) = blocking::spawn(move || run_task(task, &partitions, &clock)).await {
            tracing::error!(?task, %error, "a housekeeping task failed");
        }
    }
}

fn run_task(task: Task, partitions: &Partitions, clock: &Clock) {
    let now = clock.now();
    if let Task::Checkpoint(point) = task {
        return partitions.checkpoint(point);
    }
    if task == Task::Remove {
        partitions.disk.remove_doomed(now);
    }
    for partition in partitions.all() {
        match tend(task, &partition, now) {
            Ok(()) | Err(PartitionError::Offline) => {}
            Err(error) => tracing::error!(partition = %partition.name, ?task, %error, "housekeeping failed"),
        }
    }
}

fn tend(task: Task, partition: &Partition, now: Timestamp) -> Result<(), PartitionError> {
    match task {
        // The cleaner deletes from compacted logs, so that it does not meet itself there.
        Task::Retain if partition.is_compacted() => Ok(()),
        Task::Retain => partition.retain(now),
        Task::Remove => partition.remove_deleted(now),
        Task::Flush => partition.sync_overdue(now),
        // An unclean stop then leaves only the active segments to scan (`UnifiedLog.roll`).
        Task::SyncRolled => partition.sync_rolled(),
        Task::ForgetProducers => partition.tend(|log| {
            log.expire_producers(now);
            Ok(())
        }),
        Task::Checkpoint(_) => Ok(()),
    }
}

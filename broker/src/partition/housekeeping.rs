//! What logs need from time to time: retention, checkpoints, late removal, forgetting idle producers.
//!
//! It must never run on a thread that serves connections: every task touches the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at};

use super::PartitionError;
use super::disk::Checkpoint;
use super::set::Partitions;
use crate::clock::Clock;
use crate::settings::Settings;

/// How often deleted files are looked for; their delay is `file.delete.delay.ms`.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(10);
/// Kafka's bound for a disabled interval would overflow timers.
const INTERVAL_MAX: Duration = Duration::from_secs(365 * 86_400);

#[derive(Clone, Copy, Debug)]
enum Task {
    Retain,
    Checkpoint,
    Remove,
    ForgetProducers,
    Flush,
}

/// Runs until `stop` changes.
pub async fn run(
    partitions: Arc<Partitions>,
    clock: Arc<Clock>,
    settings: Arc<Settings>,
    mut stop: watch::Receiver<bool>,
) {
    let storage = settings.storage();
    let every = |first: Duration, period: Duration| {
        let period = period.clamp(Duration::from_millis(1), INTERVAL_MAX);
        let mut ticks = interval_at(tokio::time::Instant::now() + first.min(INTERVAL_MAX), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let delay = storage.initial_task_delay;
    let mut retain = every(delay, storage.retention_check_interval);
    let mut checkpoint = every(delay, storage.recovery_point_checkpoint_interval);
    let mut flush = every(delay.max(storage.flush_check_interval), storage.flush_check_interval);
    let mut remove = every(REMOVAL_INTERVAL, REMOVAL_INTERVAL);
    let period = settings.transactions().producer_id_expiration_check_interval;
    let mut forget = every(period, period);
    loop {
        let task = tokio::select! {
            _ = stop.changed() => return,
            _ = retain.tick() => Task::Retain,
            _ = checkpoint.tick() => Task::Checkpoint,
            _ = flush.tick() => Task::Flush,
            _ = remove.tick() => Task::Remove,
            _ = forget.tick() => Task::ForgetProducers,
        };
        let (partitions, clock) = (partitions.clone(), clock.clone());
        if let Err(error) = tokio::task::spawn_blocking(move || run_task(task, &partitions, &clock)).await {
            tracing::error!(?task, %error, "a housekeeping task failed");
        }
    }
}

fn run_task(task: Task, partitions: &Partitions, clock: &Clock) {
    let now = clock.now();
    if let Task::Remove = task {
        partitions.disk.remove_doomed(now);
    }
    if let Task::Checkpoint = task {
        return checkpoint(partitions);
    }
    for partition in partitions.all() {
        let high_watermark = partition.high_watermark();
        let done = match task {
            // The cleaner deletes from compacted logs, so that it does not meet itself there.
            Task::Retain if partition.is_compacted() => Ok(()),
            Task::Retain => partition.tend(|log| log.retain(now, high_watermark).map(drop)),
            Task::Remove => partition.tend(|log| log.remove_deleted(now).map(drop)),
            Task::Flush => {
                partition.tend(|log| if log.flush_due(now) { log.flush().map(drop) } else { Ok(()) })
            }
            Task::ForgetProducers => partition.tend(|log| {
                log.expire_producers(now);
                Ok(())
            }),
            Task::Checkpoint => Ok(()),
        };
        match done {
            Ok(()) | Err(PartitionError::Offline) => {}
            Err(error) => tracing::error!(partition = %partition.name, ?task, %error, "housekeeping failed"),
        }
    }
}

/// Makes rolled segments durable, so that an unclean stop leaves only the active ones to scan, and notes how far.
fn checkpoint(partitions: &Partitions) {
    for partition in partitions.all() {
        match partition.sync_rolled() {
            Ok(()) | Err(PartitionError::Offline) => {}
            Err(error) => tracing::error!(partition = %partition.name, %error, "cannot sync rolled segments"),
        }
    }
    let mut points: Vec<Vec<Checkpoint>> = vec![Vec::new(); partitions.disk.dirs.len()];
    for partition in partitions.all() {
        points[partition.dir].push(partition.checkpoint());
    }
    points.iter_mut().for_each(|points| points.sort_by(|a, b| a.name.cmp(&b.name)));
    for (index, points) in points.iter().enumerate() {
        let health = &partitions.disk.dirs[index].health;
        if health.has_failed() {
            continue;
        }
        if let Err(error) = partitions.disk.checkpoint(index, points) {
            tracing::error!(%error, "cannot write the checkpoints of a log directory");
            health.note(&error);
        }
    }
}

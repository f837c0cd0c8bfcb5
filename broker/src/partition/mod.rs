//! One partition on this broker: its log, its high watermark and who waits for it.
//!
//! It must never elect, shrink an ISR or choose a leader: it follows the metadata image.

mod append;
mod checkpoints;
pub mod config;
pub mod directories;
pub mod disk;
mod exchange;
pub mod following;
pub mod futures;
pub mod health;
pub mod housekeeping;
pub mod interest;
mod log_dir;
pub mod marker;
pub mod moves;
mod opening;
pub mod peers;
pub mod read;
pub mod replicas;
pub mod set;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
pub mod throttle;
pub mod traffic;
pub mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use milena_coordinator::image::PartitionImage;
use milena_coordinator::plant::{self, Bug};
use milena_coordinator::replica::{Leading, Shortage};
use milena_storage::StorageError;
use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicPartition};
use milena_storage::log::{FoundOffset, Log, LogConfig};
use milena_storage::validate::Rules;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;
use uuid::Uuid;

pub use crate::error::PartitionError;
pub use append::AppendAs;
use disk::Disk;
use exchange::Exchange;
use health::DirHealth;
use peers::Peers;
use read::last_stable;
pub use read::{ReadAt, ReadFrom};
use throttle::Side;
use traffic::Traffic;
use waiters::{FetchWait, Waiters, Wakes};

/// The highest offset that DeleteRecords can mean by −1.
const HIGH_WATERMARK: i64 = -1;

/// What the partition's topic asks of appends; replaced as a whole when configs change.
#[derive(Clone, Debug)]
pub struct TopicRules {
    pub validation: Rules,
    pub min_insync_replicas: usize,
    /// `cleanup.policy` is compact alone, so that records cannot be deleted by offset.
    pub only_compacted: bool,
}

/// The log directory that holds a partition: its index and its state; and who cleans there.
#[derive(Debug)]
pub struct Place {
    pub dir: usize,
    pub health: Arc<DirHealth>,
    /// Told when there may be something to compact.
    pub cleaner_wake: Arc<Notify>,
    /// Told when a segment is closed, which is then to be synced.
    pub roll_wake: Arc<Notify>,
    pub peers: Arc<Peers>,
}

/// One partition that this broker hosts.
#[derive(Debug)]
pub struct Partition {
    pub name: TopicPartition,
    pub topic_id: Uuid,
    /// Index of the log directory that holds it; moves change it under the log's lock.
    dir: AtomicUsize,
    health: ArcSwap<DirHealth>,
    exchange: Exchange,
    /// Its replica here is named by the throttled ones of its topic, as leader and as follower.
    throttled: [AtomicBool; 2],
    /// The leader had committed nothing more when it was last heard.
    caught_up: AtomicBool,
    peers: Arc<Peers>,
    /// `None` once it was closed or deleted.
    log: Mutex<Option<Log>>,
    rules: ArcSwap<TopicRules>,
    high_watermark: AtomicI64,
    leader_epoch: AtomicI32,
    in_sync: AtomicI32,
    replicas: AtomicI32,
    leads: AtomicBool,
    /// The arithmetic over followers, while this broker leads several replicas. Taken after the log's lock, never before.
    leading: Mutex<Option<Box<Leading>>>,
    /// Bytes appended since the high watermark last moved, where followers move it.
    uncommitted: AtomicI64,
    offline: AtomicBool,
    shortage: Shortage,
    waiters: Mutex<Waiters>,
    /// Told when a segment of a compacted log is closed.
    cleaner_wake: Arc<Notify>,
    /// Told when a segment is closed.
    roll_wake: Arc<Notify>,
    pub traffic: Traffic,
    /// Held while the log is synced, so that many appends share one sync.
    syncing: tokio::sync::Mutex<()>,
}

impl Partition {
    /// `high_watermark` is what the last checkpoint has; a log that was cut or moved since bounds it
    /// (`UnifiedLog.updateHighWatermark`).
    #[must_use]
    pub fn new(
        name: TopicPartition,
        topic_id: Uuid,
        at: Place,
        log: Log,
        high_watermark: Offset,
        rules: Arc<TopicRules>,
    ) -> Self {
        let high_watermark = high_watermark.clamp(log.log_start_offset(), log.log_end_offset());
        Self {
            name,
            topic_id,
            dir: AtomicUsize::new(at.dir),
            health: ArcSwap::new(at.health),
            exchange: Exchange::default(),
            throttled: Default::default(),
            caught_up: AtomicBool::new(false),
            peers: at.peers,
            cleaner_wake: at.cleaner_wake,
            roll_wake: at.roll_wake,
            log: Mutex::new(Some(log)),
            rules: ArcSwap::new(rules),
            high_watermark: AtomicI64::new(high_watermark.0),
            leader_epoch: AtomicI32::new(-1),
            in_sync: AtomicI32::new(1),
            replicas: AtomicI32::new(1),
            leads: AtomicBool::new(false),
            leading: Mutex::default(),
            uncommitted: AtomicI64::new(0),
            offline: AtomicBool::new(false),
            shortage: Shortage::default(),
            waiters: Mutex::new(Waiters::default()),
            traffic: Traffic::default(),
            syncing: tokio::sync::Mutex::default(),
        }
    }

    /// Takes up what the image says of leadership. A state that is older than the one known changes nothing.
    pub fn follow_image(&self, state: &PartitionImage, now: Timestamp) -> Result<(), PartitionError> {
        let leads = state.leader == Some(self.peers.local) && !self.peers.is_usurped();
        let count = |list: &[BrokerId]| i32::try_from(list.len()).unwrap_or(i32::MAX);
        let mut log = self.lock()?;
        let (led, before) = (self.leads.load(Ordering::Acquire), self.leader_epoch());
        if state.leader_epoch < before {
            return Ok(());
        }
        let end = log.log_end_offset();
        let taken = if leads && state.leader_epoch > before {
            log.assign_epoch_start(state.leader_epoch, end)
        } else if !leads && state.leader_epoch > before {
            // An epoch in which nothing was written is not one that the leader may know of.
            let planted = plant::is_planted(Bug::TruncatesToHighWatermark);
            log.truncate_to(if planted { self.high_watermark() } else { end }, now).map(drop)
        } else {
            Ok(())
        };
        if state.leader_epoch > before {
            self.caught_up.store(false, Ordering::Release);
        }
        self.leader_epoch.store(state.leader_epoch.0, Ordering::Release);
        self.in_sync.store(count(&state.isr), Ordering::Release);
        self.replicas.store(count(&state.replicas), Ordering::Release);
        self.leads.store(leads, Ordering::Release);
        self.lead_replicas(state, leads, end, now);
        drop(log);
        self.noted(taken)?;
        let mut wakes = Wakes::default();
        if leads && state.replicas.len() == 1 {
            // With this broker as the only replica, everything in the log is committed.
            self.advance(end, usize::MAX, &mut wakes);
        } else if leads {
            self.reckon(now, &mut wakes);
        }
        wakes.fire();
        if state.leader_epoch != before || led != leads || !leads {
            self.disturb();
        } else {
            self.moved();
        }
        Ok(())
    }

    /// New topic configs: rules for appends, and what the log needs.
    pub fn reconfigure(&self, rules: Arc<TopicRules>, config: Arc<LogConfig>) {
        self.rules.store(rules);
        if let Some(log) = self.log.lock().as_mut() {
            log.set_config(config);
        }
    }

    /// Whether its bytes count for that quota (KIP-73).
    #[must_use]
    pub fn is_throttled(&self, side: Side) -> bool {
        self.throttled[side as usize].load(Ordering::Relaxed)
    }

    pub(super) fn set_throttled(&self, side: Side, throttled: bool) {
        self.throttled[side as usize].store(throttled, Ordering::Relaxed);
    }

    /// Registers a long poll that saw the partition end at `seen`; bytes that came since count at once.
    pub fn watch(&self, wait: &Arc<FetchWait>, seen: Offset) -> bool {
        let mut waiters = self.waiters.lock();
        if self.high_watermark() > seen || self.is_offline() {
            return false;
        }
        waiters.watch(wait.clone());
        true
    }

    /// Resolves when the high watermark has reached `offset`, or leadership changed; the caller looks at the partition again.
    #[must_use]
    pub fn park(&self, offset: Offset) -> Option<Arc<Notify>> {
        let mut waiters = self.waiters.lock();
        if self.high_watermark() >= offset {
            return None;
        }
        let notify = Arc::new(Notify::new());
        waiters.park(offset, notify.clone());
        Some(notify)
    }

    /// Moves the log start to `offset` (−1: the high watermark) and answers the new low watermark.
    pub fn delete_records(&self, offset: i64) -> Result<Offset, PartitionError> {
        self.check_leads()?;
        if self.rules.load().only_compacted {
            return Err(PartitionError::OnlyCompacted);
        }
        let high_watermark = self.high_watermark();
        let target = if offset == HIGH_WATERMARK { high_watermark } else { Offset(offset) };
        if target.0 < 0 || target > high_watermark {
            return Err(PartitionError::OutOfRange);
        }
        let mut log = self.lock()?;
        let moved = log.advance_log_start(target);
        let start = log.log_start_offset();
        drop(log);
        let moved = self.noted(moved.map_err(PartitionError::Storage))?;
        // It is the cleaner that deletes from compacted logs.
        if moved {
            self.moved();
        }
        if moved && self.is_compacted() {
            self.cleaner_wake.notify_one();
        }
        Ok(start)
    }

    /// The end of the largest epoch not above `epoch`, after fencing by the reader's own epoch.
    pub fn end_of_epoch(
        &self,
        current: i32,
        epoch: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, PartitionError> {
        self.check_epoch(current)?;
        Ok(self.lock()?.end_offset_for_epoch(epoch))
    }

    /// Fences a client whose leader epoch is not ours (KIP-320); −1 asks for no check.
    pub fn check_epoch(&self, current: i32) -> Result<(), PartitionError> {
        self.check_leads()?;
        self.compare_epoch(current)
    }

    fn compare_epoch(&self, current: i32) -> Result<(), PartitionError> {
        let ours = self.leader_epoch().0;
        match current {
            -1 => Ok(()),
            older if older < ours => Err(PartitionError::FencedEpoch),
            newer if newer > ours => Err(PartitionError::UnknownEpoch),
            _ => Ok(()),
        }
    }

    /// The epoch of the record at `offset`, if the log's epoch history reaches there.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.peek(|log| log.epoch_of(offset)).flatten()
    }

    pub fn offset_for_timestamp(&self, timestamp: Timestamp) -> Result<Option<FoundOffset>, PartitionError> {
        let found = {
            let log = self.lock()?;
            log.offset_for_timestamp(timestamp, log.log_end_offset())
        };
        self.noted(found.map_err(PartitionError::Storage))
    }

    pub fn max_timestamp(&self) -> Result<Option<FoundOffset>, PartitionError> {
        let found = { self.lock()?.max_timestamp() };
        self.noted(found.map_err(PartitionError::Storage))
    }

    /// Index of the log directory that holds it.
    #[must_use]
    pub fn dir(&self) -> usize {
        self.dir.load(Ordering::Acquire)
    }

    /// `cleanup.policy` holds compact.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        self.rules.load().validation.compact
    }

    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Where read_committed consumers stop: the first open transaction or the high watermark.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        self.peek(|log| last_stable(log, high_watermark)).unwrap_or(high_watermark)
    }

    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.peek(Log::log_start_offset).unwrap_or_default()
    }

    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.peek(Log::log_end_offset).unwrap_or_default()
    }

    /// First offset of the segment that is appended to.
    #[must_use]
    pub fn active_base(&self) -> Offset {
        self.peek(Log::active_base).unwrap_or_default()
    }

    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// Bytes in all segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.peek(Log::size).unwrap_or_default()
    }

    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire) || self.health.load().has_failed()
    }

    /// Takes the partition out of service: its topic is gone or its directory failed.
    pub fn take_offline(&self) {
        self.offline.store(true, Ordering::Release);
        self.disturb();
    }

    /// Flushes and closes the log; gives its recovery point.
    pub fn close(&self) -> Result<Offset, StorageError> {
        self.take_offline();
        match self.log.lock().take() {
            Some(log) => log.close_clean(),
            None => Ok(Offset(0)),
        }
    }

    /// Takes the log out of service for good: its topic was deleted.
    pub fn retire(&self, disk: &Disk, now: Timestamp) -> Result<(), StorageError> {
        self.take_offline();
        match self.log.lock().take() {
            Some(log) => disk.doom(&self.name, log, now),
            None => Ok(()),
        }
    }

    /// Runs a housekeeping task on the log; a failed disk takes the partition offline.
    pub fn tend<T>(
        &self,
        task: impl FnOnce(&mut Log) -> Result<T, StorageError>,
    ) -> Result<T, PartitionError> {
        let done = { task(&mut *self.lock()?) };
        self.noted(done)
    }

    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Log) -> T) -> Option<T> {
        self.log.lock().as_ref().map(look)
    }

    fn lock(&self) -> Result<MappedMutexGuard<'_, Log>, PartitionError> {
        if self.is_offline() {
            return Err(PartitionError::Offline);
        }
        MutexGuard::try_map(self.log.lock(), Option::as_mut).map_err(|_| PartitionError::Offline)
    }

    fn check_leads(&self) -> Result<(), PartitionError> {
        if self.is_offline() {
            return Err(PartitionError::Offline);
        }
        if self.leads.load(Ordering::Acquire) { Ok(()) } else { Err(PartitionError::NotLeader) }
    }

    fn advance(&self, end: Offset, bytes: usize, wakes: &mut Wakes) {
        self.high_watermark.fetch_max(end.0, Ordering::AcqRel);
        let mut waiters = self.waiters.lock();
        if !waiters.is_empty() {
            waiters.advanced(self.high_watermark(), i64::try_from(bytes).unwrap_or(i64::MAX), wakes);
        }
    }

    /// A failed disk takes its directory offline, damage the partition, so that it never answers from a log it cannot
    /// trust. A shortage only refuses what was asked: the log is as it was.
    fn noted<T>(&self, outcome: Result<T, impl Into<PartitionError>>) -> Result<T, PartitionError> {
        outcome.map_err(|error| {
            let error = error.into();
            if let PartitionError::Storage(cause) = &error {
                // What comes from a directory that the log has left since is that one's own affair.
                if !self.note_failure(cause) {
                    return PartitionError::Offline;
                }
                if cause.is_shortage() && !self.is_offline() {
                    tracing::error!(partition = %self.name, error = %cause, "the disk takes nothing more");
                } else {
                    tracing::error!(partition = %self.name, error = %cause, "partition goes offline");
                    self.take_offline();
                }
            }
            error
        })
    }
}

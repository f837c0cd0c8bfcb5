//! What the partitions of this broker know of the other brokers, and what they want told to the controller.
//!
//! It must never send anything: whoever carries the word takes it from here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::{BrokerId, Timestamp, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::throttle::Throttles;
use crate::clock::Clock;

/// Kafka's default of `replica.lag.time.max.ms`.
const LAG_MAX_MS: i64 = 30_000;

/// Shared by all partitions of a broker.
#[derive(Debug)]
pub struct Peers {
    pub local: BrokerId,
    image: Arc<ArcSwap<MetadataImage>>,
    /// `replica.lag.time.max.ms`
    lag_max_ms: AtomicI64,
    /// Another process is registered with this broker's id.
    usurped: AtomicBool,
    /// How fast throttled replicas may be caught up.
    pub throttles: Throttles,
    /// Partitions whose in-sync set is to change; each is here at most once.
    changes: Mutex<BTreeSet<TopicPartition>>,
    changed: Notify,
    /// Tells how long followers have been behind; without one it is the time that comes with what is asked.
    clock: Option<Arc<Clock>>,
}

impl Peers {
    #[must_use]
    pub fn new(local: BrokerId, image: Arc<ArcSwap<MetadataImage>>) -> Arc<Self> {
        Arc::new(Self {
            local,
            image,
            lag_max_ms: AtomicI64::new(LAG_MAX_MS),
            usurped: AtomicBool::new(false),
            throttles: Throttles::default(),
            changes: Mutex::default(),
            changed: Notify::new(),
            clock: None,
        })
    }

    /// As [`Peers::new`], where followers are judged by this clock's steady time: a wall clock that is set would have all of them late, or none
    /// for as long as it was set back (Kafka goes by the wall clock).
    #[must_use]
    pub fn timed(local: BrokerId, image: Arc<ArcSwap<MetadataImage>>, clock: Arc<Clock>) -> Arc<Self> {
        let mut peers = Self::new(local, image);
        Arc::get_mut(&mut peers).expect("it was just made").clock = Some(clock);
        peers
    }

    /// The time by which followers are judged, for what is asked at `now`.
    pub(super) fn lag_time(&self, now: Timestamp) -> Timestamp {
        self.clock.as_ref().map_or(now, |clock| Timestamp(clock.steady_ms()))
    }

    /// Whether another process is registered with this broker's id: what the image says of the broker is said of that one.
    #[must_use]
    pub fn is_usurped(&self) -> bool {
        self.usurped.load(Ordering::Acquire)
    }

    /// Says whether it is; true if that is news.
    pub(super) fn set_usurped(&self, usurped: bool) -> bool {
        self.usurped.swap(usurped, Ordering::AcqRel) != usurped
    }

    pub fn set_lag_max_ms(&self, lag_max_ms: i64) {
        self.lag_max_ms.store(lag_max_ms, Ordering::Relaxed);
    }

    #[must_use]
    pub fn lag_max_ms(&self) -> i64 {
        self.lag_max_ms.load(Ordering::Relaxed)
    }

    /// The epoch of a broker that may be in sync: registered and not fenced.
    #[must_use]
    pub fn live(&self, id: BrokerId) -> Option<i64> {
        self.image.load().broker(id).filter(|broker| !broker.fenced).map(|broker| broker.epoch)
    }

    /// Notes that a partition has a proposal for the controller.
    pub fn note_change(&self, name: TopicPartition) {
        self.changes.lock().insert(name);
        self.changed.notify_one();
    }

    /// Resolves when there is something for the controller.
    pub async fn has_changes(&self) {
        self.changed.notified().await;
    }

    pub fn take_changes(&self) -> BTreeSet<TopicPartition> {
        std::mem::take(&mut *self.changes.lock())
    }
}

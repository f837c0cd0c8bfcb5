//! Deadlines of shards, and the one alarm clock of the broker.
//!
//! Must never tick: the alarm sleeps until the next deadline, or for ever.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::Notify;

use crate::clock::Clock;

/// The deadlines of one shard, in the steady time of the broker's clock.
#[derive(Debug)]
pub(super) struct Deadlines<K> {
    by_key: HashMap<K, i64>,
    by_time: BTreeSet<(i64, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Clone + Ord + Hash> Deadlines<K> {
    pub(super) fn set(&mut self, key: K, at: i64) {
        if let Some(before) = self.by_key.insert(key.clone(), at) {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    pub(super) fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    pub(super) fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the first deadline that is not after `now`.
    pub(super) fn take_due(&mut self, now: i64) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
    }
}

/// Knows the earliest deadline of all shards.
#[derive(Debug)]
pub(super) struct Alarm {
    at: AtomicI64,
    earlier: Notify,
    stopped: AtomicBool,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { at: AtomicI64::new(i64::MAX), earlier: Notify::new(), stopped: AtomicBool::new(false) }
    }
}

impl Alarm {
    /// A shard has a deadline. Later ones than the earliest cost one atomic operation.
    pub(super) fn at_latest(&self, at: i64) {
        if self.at.fetch_min(at, Ordering::AcqRel) > at {
            self.earlier.notify_one();
        }
    }

    /// Rings for the last time.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.earlier.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Forgets the time, before the shards are asked what they need.
    pub(super) fn reset(&self) {
        self.at.store(i64::MAX, Ordering::Release);
    }

    /// Resolves at `earliest`, which the shards said, or when one of them sets a deadline before it.
    pub(super) async fn ring(&self, clock: &Clock, earliest: Option<i64>) {
        let earliest = earliest.unwrap_or(i64::MAX);
        let at = self.at.fetch_min(earliest, Ordering::AcqRel).min(earliest);
        let due =
            async { if at == i64::MAX { std::future::pending().await } else { clock.sleep_until(at).await } };
        tokio::select! {
            () = due => {}
            () = self.earlier.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milena_coordinator::group::TimerKey;

    fn join(group: &str) -> TimerKey {
        TimerKey::Join { group: group.into() }
    }

    #[test]
    fn deadlines_come_in_the_order_of_time_and_each_once() {
        let mut deadlines = Deadlines::default();
        deadlines.set(join("b"), 20);
        deadlines.set(join("a"), 10);
        deadlines.set(join("b"), 5);
        deadlines.set(join("c"), 7);
        deadlines.cancel(join("c"));
        assert_eq!(deadlines.next(), Some(5));
        assert_eq!(deadlines.take_due(4), None);
        assert_eq!(deadlines.take_due(10), Some(join("b")));
        assert_eq!(deadlines.take_due(10), Some(join("a")));
        assert_eq!(deadlines.take_due(i64::MAX), None);
    }

    #[tokio::test]
    async fn an_earlier_deadline_rings_a_sleeping_alarm() {
        let (alarm, clock) = (Alarm::default(), Clock::new());
        alarm.at_latest(3_600_000);
        alarm.at_latest(0);
        alarm.ring(&clock, None).await;
    }
}

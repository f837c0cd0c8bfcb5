//! Who waits for a partition: long polls counting bytes, and replies parked until the high watermark passes.
//!
//! It must never wake anybody while a log's lock is held: wakes are collected and issued by the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use milena_storage::ids::Offset;
use tokio::sync::Notify;

use super::interest::{Happened, Interest, Rested};

/// One long poll: ready when enough bytes have arrived over all its partitions, or when one of them changed
/// in a way that the client must hear of.
#[derive(Debug)]
pub struct FetchWait {
    missing: AtomicI64,
    over: AtomicBool,
    notify: Notify,
}

impl FetchWait {
    /// A poll that still misses `missing` bytes.
    #[must_use]
    pub fn new(missing: i64) -> Arc<Self> {
        Arc::new(Self {
            missing: AtomicI64::new(missing),
            over: AtomicBool::new(false),
            notify: Notify::new(),
        })
    }

    /// Resolves once enough bytes have arrived; remembers a wake that came before the call.
    pub async fn ready(&self) {
        self.notify.notified().await;
    }

    /// Marks the poll as answered or abandoned, so that partitions forget it.
    pub fn finish(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Counts bytes that arrived; true when this arrival completed the poll.
    pub(super) fn arrived(&self, bytes: i64) -> bool {
        let before = self.missing.fetch_sub(bytes, Ordering::AcqRel);
        before > 0 && before <= bytes
    }
}

/// What must be woken after a request; dropping it unfired would leave clients waiting for their time-out.
#[must_use = "clients wait until these are fired"]
#[derive(Debug, Default)]
pub struct Wakes {
    fetches: Vec<Arc<FetchWait>>,
    acks: Vec<Arc<Notify>>,
}

impl Wakes {
    pub(super) fn add(&mut self, poll: Arc<FetchWait>) {
        self.fetches.push(poll);
    }

    /// Wakes everybody at once, after all appends of the request.
    pub fn fire(self) {
        for wait in self.fetches {
            wait.notify.notify_one();
        }
        for ack in self.acks {
            ack.notify_one();
        }
    }
}

/// The waiters of one partition. Bounded by the connections of the broker times their request window.
#[derive(Debug, Default)]
pub struct Waiters {
    fetches: Vec<Arc<FetchWait>>,
    /// Followers' polls, which wait for the log's end and not for the high watermark.
    followers: Vec<Arc<FetchWait>>,
    acks: Vec<(Offset, Arc<Notify>)>,
    /// Sessions of followers in which the partition rests; at most one for each follower that lives.
    resting: Vec<(Arc<Interest>, Rested)>,
}

impl Waiters {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fetches.is_empty()
            && self.followers.is_empty()
            && self.acks.is_empty()
            && self.resting.is_empty()
    }

    /// Adds a poll, forgetting those that are over.
    pub fn watch(&mut self, wait: Arc<FetchWait>) {
        self.fetches.retain(|each| !each.is_over());
        self.fetches.push(wait);
    }

    /// Adds a follower's poll.
    pub fn watch_end(&mut self, wait: Arc<FetchWait>) {
        self.followers.retain(|each| !each.is_over());
        self.followers.push(wait);
    }

    /// The partition rests in that session, and not in those that are over.
    pub fn rest(&mut self, interest: Arc<Interest>, partition: Rested) {
        self.resting.retain(|(each, _)| !each.is_over() && !Arc::ptr_eq(each, &interest));
        self.resting.push((interest, partition));
    }

    /// Something has moved that followers hear of with their next answer.
    pub fn moved(&mut self, wakes: &mut Wakes) {
        self.stir(Happened::Moved, wakes);
    }

    /// The log has `bytes` more, committed or not.
    pub fn grown(&mut self, bytes: i64, wakes: &mut Wakes) {
        arrived(&mut self.followers, bytes, wakes);
        self.stir(Happened::Grown(bytes), wakes);
    }

    fn stir(&mut self, happened: Happened, wakes: &mut Wakes) {
        for (interest, partition) in self.resting.drain(..).filter(|(interest, _)| !interest.is_over()) {
            interest.stir(partition, happened, wakes);
        }
    }

    /// Adds a reply that waits until the high watermark reaches `offset`.
    pub fn park(&mut self, offset: Offset, notify: Arc<Notify>) {
        self.acks.push((offset, notify));
    }

    /// The high watermark moved up to `high_watermark`, making `bytes` more readable.
    pub fn advanced(&mut self, high_watermark: Offset, bytes: i64, wakes: &mut Wakes) {
        arrived(&mut self.fetches, bytes, wakes);
        self.acks.retain(|(offset, notify)| {
            let passed = *offset <= high_watermark;
            if passed {
                wakes.acks.push(notify.clone());
            }
            !passed
        });
    }

    /// Leadership, deletion or a directory failure: everybody must look again.
    pub fn disturb(&mut self, wakes: &mut Wakes) {
        wakes.fetches.append(&mut self.fetches);
        wakes.fetches.append(&mut self.followers);
        wakes.acks.extend(self.acks.drain(..).map(|(_, notify)| notify));
        self.stir(Happened::Disturbed, wakes);
    }
}

/// Counts bytes for polls, and forgets those that are over.
fn arrived(polls: &mut Vec<Arc<FetchWait>>, bytes: i64, wakes: &mut Wakes) {
    polls.retain(|wait| {
        let stays = !wait.is_over();
        if stays && wait.arrived(bytes) {
            wakes.fetches.push(wait.clone());
        }
        stays
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(waiters: &mut Waiters, bytes: i64) -> usize {
        let mut wakes = Wakes::default();
        waiters.advanced(Offset(0), bytes, &mut wakes);
        wakes.fetches.len()
    }

    #[test]
    fn a_poll_is_woken_once_when_its_bytes_are_there() {
        let mut waiters = Waiters::default();
        waiters.watch(FetchWait::new(100));
        assert_eq!(fired(&mut waiters, 60), 0);
        assert_eq!(fired(&mut waiters, 40), 1);
        assert_eq!(fired(&mut waiters, 40), 0);
    }

    #[test]
    fn finished_polls_are_forgotten() {
        let mut waiters = Waiters::default();
        let wait = FetchWait::new(1);
        waiters.watch(wait.clone());
        wait.finish();
        assert_eq!(fired(&mut waiters, 5), 0);
        assert!(waiters.is_empty());
    }

    #[test]
    fn parked_replies_go_when_the_high_watermark_passes() {
        let mut waiters = Waiters::default();
        waiters.park(Offset(5), Arc::new(Notify::new()));
        waiters.park(Offset(9), Arc::new(Notify::new()));
        let mut wakes = Wakes::default();
        waiters.advanced(Offset(5), 10, &mut wakes);
        assert_eq!(wakes.acks.len(), 1);
        waiters.disturb(&mut wakes);
        assert_eq!(wakes.acks.len(), 2);
        assert!(waiters.is_empty());
    }
}

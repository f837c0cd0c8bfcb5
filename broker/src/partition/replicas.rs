//! A partition with several replicas, as its leader sees it: followers read to the end, the high watermark follows them.
//!
//! It must never decide who is in sync: `milena_coordinator::replica` works that out, and the controller has the last word.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use milena_coordinator::image::PartitionImage;
use milena_coordinator::replica::{Fetched, Leading, Outcome, Proposal, Terms};
use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, Timestamp};
use milena_storage::log::LogSlice;

use super::interest::Interest;
use super::throttle::Side;
use super::waiters::{FetchWait, Wakes};
use super::{Partition, PartitionError, ReadAt, ReadFrom};

/// Who reads as a follower.
#[derive(Clone, Copy, Debug)]
pub struct Replica {
    pub id: BrokerId,
    /// −1 before version 15 of Fetch.
    pub broker_epoch: i64,
    /// Where its log starts.
    pub log_start: Offset,
}

impl Partition {
    /// Reads for a follower, to the log's end, and takes its offset for where its own log ends (Partition.fetchRecords).
    pub fn read_as_replica(
        &self,
        at: ReadFrom,
        replica: Replica,
        now: Timestamp,
        wakes: &mut Wakes,
    ) -> Result<ReadAt, PartitionError> {
        self.check_epoch(at.current_leader_epoch)?;
        if !self.leading.lock().as_ref().is_some_and(|leading| leading.is_replica(replica.id)) {
            return Err(PartitionError::NotLeader);
        }
        let mut read = self.read(ReadFrom { whole: true, committed: false, any_replica: false, ..at })?;
        if read.diverging.is_none() {
            let fetched = Fetched {
                replica: replica.id,
                broker_epoch: replica.broker_epoch,
                // A follower before KIP-320 does not tell it; ours always does.
                leader_epoch: if at.current_leader_epoch < 0 {
                    self.leader_epoch()
                } else {
                    at.current_leader_epoch.into()
                },
                end: at.offset,
                log_start: replica.log_start,
            };
            self.note_fetch(&fetched, read.log_end_offset, now, wakes);
            if self.holds_back(replica.id, now) {
                read.slice = Some(LogSlice::empty(at.offset));
            }
        }
        Ok(ReadAt { high_watermark: self.high_watermark(), ..read })
    }

    /// Whether a follower gets nothing now: it is throttled, not in sync, and more went than may (`shouldLeaderThrottle`).
    fn holds_back(&self, replica: BrokerId, now: Timestamp) -> bool {
        self.is_throttled(Side::Leader)
            && !self.leading.lock().as_ref().is_some_and(|leading| leading.is_in_sync(replica))
            && self.peers.throttles.is_exceeded(Side::Leader, now.0)
    }

    /// Registers a follower's long poll that saw the log end at `seen`.
    pub fn watch_end(&self, wait: &Arc<FetchWait>, seen: Offset) -> bool {
        let mut waiters = self.waiters.lock();
        if self.log_end_offset() > seen || self.is_offline() || !self.leads.load(Ordering::Acquire) {
            return false;
        }
        waiters.watch_end(wait.clone());
        true
    }

    /// Lets the partition rest in a follower's session: the follower, which is in sync, has all that was `seen`, and all of that is
    /// committed. False if it is not so, or not any more.
    pub fn rest(
        &self,
        interest: &Arc<Interest>,
        (follower, epoch): (BrokerId, LeaderEpoch),
        seen: &ReadAt,
    ) -> bool {
        // What happens from here on finds it resting.
        let mut waiters = self.waiters.lock();
        let end = self.log_end_offset();
        let is_quiet = self.leads_in(epoch)
            && (end, end) == (seen.log_end_offset, self.high_watermark())
            && seen.high_watermark == end
            && seen.log_start_offset == self.log_start_offset()
            && self.leading.lock().as_ref().is_some_and(|leading| leading.is_in_sync(follower));
        if is_quiet {
            waiters.rest(Arc::clone(interest), (self.topic_id, self.name.partition.0));
        }
        is_quiet
    }

    /// Whether this broker leads in that epoch.
    #[must_use]
    pub fn leads_in(&self, epoch: LeaderEpoch) -> bool {
        !self.is_offline() && self.leads.load(Ordering::Acquire) && self.leader_epoch() == epoch
    }

    /// Whether the leader has committed up to its epoch's beginning; before that its offsets may still go back (KIP-207).
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let leading = self.leading.lock();
        leading.as_ref().is_none_or(|leading| self.high_watermark() >= leading.epoch_start())
    }

    /// Whether so many are in sync that what was appended with acks=all counts as durable.
    #[must_use]
    pub fn has_enough_in_sync(&self) -> bool {
        let in_sync = usize::try_from(self.in_sync.load(Ordering::Acquire)).unwrap_or(0);
        in_sync >= self.effective_min_in_sync()
    }

    /// A partition never asks for more replicas than it has (Partition.effectiveMinIsr).
    pub(super) fn effective_min_in_sync(&self) -> usize {
        let replicas = usize::try_from(self.replicas.load(Ordering::Acquire)).unwrap_or(0);
        self.rules.load().min_insync_replicas.min(replicas)
    }

    /// Proposes to leave out followers that are too slow (Partition.maybeShrinkIsr).
    pub fn check_lag(&self, now: Timestamp) {
        let end = self.log_end_offset();
        let mut leading = self.leading.lock();
        let Some(state) = leading.as_mut() else { return };
        let proposed = self.with_terms(end, now, |terms| state.shrink(terms));
        drop(leading);
        if let Some(proposal) = proposed {
            tracing::info!(partition = %self.name, isr = ?proposal.isr, "followers have fallen behind");
            self.peers.note_change(self.name.clone());
        }
    }

    /// The replica from which a consumer near those brokers reads; `None` where that is this one, or this one does not lead.
    #[must_use]
    pub(super) fn nearest(&self, offset: Offset, is_near: &dyn Fn(BrokerId) -> bool) -> Option<BrokerId> {
        self.leading.lock().as_ref()?.nearest(offset, is_near)
    }

    /// What is to be told to the controller.
    #[must_use]
    pub fn proposal(&self) -> Option<Proposal> {
        self.leading.lock().as_ref()?.under_way().cloned()
    }

    pub fn settle(&self, proposal: &Proposal, outcome: Outcome) {
        if let Some(leading) = self.leading.lock().as_mut() {
            leading.settle(proposal, outcome);
        }
    }

    /// The first offset that every live replica still has.
    #[must_use]
    pub fn low_watermark(&self, now: Timestamp) -> Offset {
        let (own, end) = (self.log_start_offset(), self.log_end_offset());
        let leading = self.leading.lock();
        let Some(state) = leading.as_ref() else { return own };
        self.with_terms(end, now, |terms| state.low_watermark(own, terms))
    }

    /// Takes up, or gives up, the leader's arithmetic; `end` is where the log ends.
    pub(super) fn lead_replicas(&self, state: &PartitionImage, leads: bool, end: Offset, now: Timestamp) {
        let now = self.peers.lag_time(now);
        let mut leading = self.leading.lock();
        if !leads || state.replicas.len() < 2 {
            *leading = None;
            return;
        }
        match leading.as_mut() {
            Some(known) if known.epoch() == state.leader_epoch => known.follow(state, now),
            _ => *leading = Some(Box::new(Leading::begin(self.peers.local, state, end, now))),
        }
    }

    /// The log has grown to `end`: followers may fetch, and what needs nobody else is committed.
    pub(super) fn grown(&self, end: Offset, bytes: usize, now: Timestamp, wakes: &mut Wakes) {
        if self.replicas.load(Ordering::Acquire) <= 1 {
            return self.advance(end, bytes, wakes);
        }
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.uncommitted.fetch_add(bytes, Ordering::AcqRel);
        self.waiters.lock().grown(bytes, wakes);
        let leading = self.leading.lock();
        let Some(state) = leading.as_ref() else { return };
        // Alone in sync, the leader commits at once.
        let committed = self.with_terms(end, now, |terms| state.committed(terms));
        drop(leading);
        self.raise(committed, wakes);
    }

    /// Something else than a fetch or an append changed: commits what can be.
    pub(super) fn reckon(&self, now: Timestamp, wakes: &mut Wakes) {
        let end = self.log_end_offset();
        let leading = self.leading.lock();
        let Some(state) = leading.as_ref() else { return };
        let committed = self.with_terms(end, now, |terms| state.committed(terms));
        drop(leading);
        self.raise(committed, wakes);
    }

    fn note_fetch(&self, fetched: &Fetched, end: Offset, now: Timestamp, wakes: &mut Wakes) {
        let mut leading = self.leading.lock();
        let Some(state) = leading.as_mut() else { return };
        if !state.fetched(fetched, end, self.peers.lag_time(now)) {
            return;
        }
        let (proposed, committed) = self.with_terms(end, now, |terms| {
            let proposed = state.expand(fetched.replica, self.high_watermark(), terms);
            (proposed, state.committed(terms))
        });
        drop(leading);
        self.raise(committed, wakes);
        if let Some(proposal) = proposed {
            tracing::info!(partition = %self.name, isr = ?proposal.isr, "a follower has caught up");
            self.peers.note_change(self.name.clone());
        }
    }

    pub(super) fn raise(&self, committed: Option<Offset>, wakes: &mut Wakes) {
        let Some(committed) = committed.filter(|committed| *committed > self.high_watermark()) else {
            return;
        };
        // Polls are counted in bytes, and what is committed is known in offsets: a poll may be woken early and waits again.
        let bytes = self.uncommitted.swap(0, Ordering::AcqRel).max(1);
        self.advance(committed, usize::try_from(bytes).unwrap_or(usize::MAX), wakes);
    }

    fn with_terms<T>(&self, end: Offset, now: Timestamp, run: impl FnOnce(&Terms<'_>) -> T) -> T {
        let live = |id| self.peers.live(id);
        run(&Terms {
            now: self.peers.lag_time(now),
            end,
            lag_max_ms: self.peers.lag_max_ms(),
            min_in_sync: self.rules.load().min_insync_replicas,
            live: &live,
        })
    }
}

#[cfg(test)]
mod tests;

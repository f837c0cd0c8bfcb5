//! The leader's side of one partition: followers' ends, the in-sync set as it is and as it may become, the high watermark.
//!
//! The set that counts for the high watermark is Kafka's maximal one, the committed set and whoever a proposal under way would
//! add. A proposal is given up only on a definite refusal: one whose fate is unknown may still be committed, so it is sent again.
//! Must never take a follower's word from another leader epoch, and never lower the high watermark.
//!
//! Kafka: `Partition` (`updateFollowerFetchState`, `maybeExpandIsr`, `maybeShrinkIsr`, `maybeIncrementLeaderHW`), `Replica`.

use std::collections::BTreeMap;

use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, Timestamp};

use crate::image::PartitionImage;
use crate::plant::{self, Bug};

/// Longer ago than any lag time, on whatever clock.
const NEVER: Timestamp = Timestamp(i64::MIN / 2);

/// A follower's Fetch for this partition: its offset is where the follower's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub replica: BrokerId,
    /// The broker epoch that the Fetch carried; −1 before version 15.
    pub broker_epoch: i64,
    pub leader_epoch: LeaderEpoch,
    pub end: Offset,
    pub log_start: Offset,
}

/// What the arithmetic depends on besides the followers.
pub struct Terms<'a> {
    pub now: Timestamp,
    /// Where the leader's log ends.
    pub end: Offset,
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: i64,
    /// `min.insync.replicas` of the topic.
    pub min_in_sync: usize,
    /// The epoch of a broker that is registered, neither fenced nor about to stop.
    pub live: &'a dyn Fn(BrokerId) -> Option<i64>,
}

/// A change of the in-sync set for the controller (AlterPartition). One is under way at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    /// The new set, with the broker epochs that the leader knows of (KIP-903); −1 where it does not.
    pub isr: Vec<(BrokerId, i64)>,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The controller refused it: the set is what it was.
    Refused,
    /// It was taken, or another change came first: the image will tell the set.
    Moved,
    /// Nobody knows. It stays under way and has to be sent again.
    Unknown,
}

/// The leader's state of one partition with more than one replica.
#[derive(Debug)]
pub struct Leading {
    local: BrokerId,
    epoch: LeaderEpoch,
    partition_epoch: i32,
    /// Where this epoch begins in the log: nothing before a follower's end has reached it counts as committed by it.
    epoch_start: Offset,
    isr: Vec<BrokerId>,
    followers: BTreeMap<BrokerId, Follower>,
    under_way: Option<Proposal>,
}

#[derive(Debug, Default)]
struct Follower {
    /// `None` until it has fetched in this epoch.
    end: Option<Offset>,
    log_start: Offset,
    broker_epoch: Option<i64>,
    /// When it last had everything that the leader had.
    caught_up_at: Timestamp,
    fetched_at: Timestamp,
    /// The leader's end at its last fetch.
    leader_end_then: Offset,
}

impl Leading {
    /// The beginning of a leadership: members of the in-sync set have the whole lag time to show themselves.
    #[must_use]
    pub fn begin(local: BrokerId, state: &PartitionImage, epoch_start: Offset, now: Timestamp) -> Self {
        let mut leading = Self {
            local,
            epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            epoch_start,
            isr: state.isr.clone(),
            followers: BTreeMap::new(),
            under_way: None,
        };
        leading.take_replicas(state, now);
        leading
    }

    /// Takes up a newer state of the same leadership.
    pub fn follow(&mut self, state: &PartitionImage, now: Timestamp) {
        assert_eq!(self.epoch, state.leader_epoch, "another epoch is another leadership");
        if state.partition_epoch > self.partition_epoch {
            self.partition_epoch = state.partition_epoch;
            self.isr = state.isr.clone();
            self.under_way = None;
        }
        self.take_replicas(state, now);
    }

    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    #[must_use]
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    #[must_use]
    pub fn in_sync(&self) -> usize {
        self.isr.len()
    }

    /// The proposal that has not been settled.
    #[must_use]
    pub fn under_way(&self) -> Option<&Proposal> {
        self.under_way.as_ref()
    }

    #[must_use]
    /// Whether the replica is in the in-sync set that the controller knows.
    pub fn is_in_sync(&self, id: BrokerId) -> bool {
        self.isr.contains(&id)
    }

    pub fn is_replica(&self, id: BrokerId) -> bool {
        self.followers.contains_key(&id)
    }

    /// Notes a follower's fetch; false if it does not count: another epoch, or no replica.
    pub fn fetched(&mut self, fetch: &Fetched, leader_end: Offset, now: Timestamp) -> bool {
        if fetch.leader_epoch != self.epoch {
            return false;
        }
        let Some(follower) = self.followers.get_mut(&fetch.replica) else { return false };
        if fetch.end >= leader_end {
            follower.caught_up_at = follower.caught_up_at.max(now);
        } else if fetch.end >= follower.leader_end_then {
            follower.caught_up_at = follower.caught_up_at.max(follower.fetched_at);
        }
        follower.end = Some(fetch.end);
        follower.log_start = fetch.log_start;
        follower.broker_epoch = Some(fetch.broker_epoch);
        follower.fetched_at = now;
        follower.leader_end_then = leader_end;
        true
    }

    /// How far the log is committed; `None` while too few are in sync, or one of those that count has not shown itself.
    #[must_use]
    pub fn committed(&self, terms: &Terms<'_>) -> Option<Offset> {
        if self.isr.len() < terms.min_in_sync.min(self.followers.len() + 1) {
            return None;
        }
        let mut committed = terms.end;
        for (id, follower) in &self.followers {
            let soon = follower.is_caught_up(terms) && follower.is_eligible(*id, terms);
            if self.counts(*id) || soon {
                committed = committed.min(follower.end?);
            }
        }
        Some(committed)
    }

    /// Proposes to take a follower in that has caught up with the committed part and with this epoch's beginning.
    pub fn expand(
        &mut self,
        replica: BrokerId,
        high_watermark: Offset,
        terms: &Terms<'_>,
    ) -> Option<Proposal> {
        if self.under_way.is_some() || self.isr.contains(&replica) {
            return None;
        }
        let follower = self.followers.get(&replica)?;
        let end = follower.end?;
        if end < high_watermark || end < self.epoch_start || !follower.is_eligible(replica, terms) {
            return None;
        }
        let isr = self.isr.iter().copied().chain([replica]).collect();
        Some(self.propose(isr))
    }

    /// Proposes to leave out whoever has been behind for longer than the lag time.
    pub fn shrink(&mut self, terms: &Terms<'_>) -> Option<Proposal> {
        if self.under_way.is_some() {
            return None;
        }
        let stays = |id: &BrokerId| {
            *id == self.local || self.followers.get(id).is_some_and(|follower| follower.is_caught_up(terms))
        };
        let isr: Vec<_> = self.isr.iter().copied().filter(stays).collect();
        if isr.len() == self.isr.len() { None } else { Some(self.propose(isr)) }
    }

    /// Notes what became of a proposal; an old one changes nothing.
    pub fn settle(&mut self, proposal: &Proposal, outcome: Outcome) {
        if outcome == Outcome::Refused && self.under_way.as_ref() == Some(proposal) {
            self.under_way = None;
        }
    }

    /// The first offset that every live replica still has, for the answer of DeleteRecords.
    #[must_use]
    pub fn low_watermark(&self, own: Offset, terms: &Terms<'_>) -> Offset {
        let live = self.followers.iter().filter(|(id, _)| (terms.live)(**id).is_some());
        live.map(|(_, follower)| follower.log_start).fold(own, Offset::min)
    }

    /// Where a consumer that stands near the brokers of `is_near` reads from `offset`: at an in-sync follower there which has that
    /// offset, unless the leader is near too (KIP-392, `ReplicaManager.findPreferredReadReplica`, `RackAwareReplicaSelector`).
    #[must_use]
    pub fn nearest(&self, offset: Offset, is_near: &dyn Fn(BrokerId) -> bool) -> Option<BrokerId> {
        if is_near(self.local) {
            return None;
        }
        let near = self.followers.iter().filter(|(id, follower)| {
            let has_it = follower.end.is_some_and(|end| end >= offset) && follower.log_start <= offset;
            has_it && self.isr.contains(id) && is_near(**id)
        });
        near.max_by_key(|(id, follower)| (follower.end, follower.caught_up_at, **id)).map(|(id, _)| *id)
    }

    fn take_replicas(&mut self, state: &PartitionImage, now: Timestamp) {
        self.followers.retain(|id, _| state.replicas.contains(id));
        for id in state.replicas.iter().filter(|id| **id != self.local) {
            let in_sync = state.isr.contains(id);
            self.followers.entry(*id).or_insert_with(|| Follower {
                caught_up_at: if in_sync { now } else { NEVER },
                fetched_at: NEVER,
                ..Follower::default()
            });
        }
    }

    /// In the maximal in-sync set.
    fn counts(&self, id: BrokerId) -> bool {
        let proposed = self.under_way.iter().flat_map(|proposal| &proposal.isr);
        self.isr.contains(&id) || proposed.map(|(id, _)| *id).any(|proposed| proposed == id)
    }

    fn propose(&mut self, isr: Vec<BrokerId>) -> Proposal {
        let epoch_of = |id: &BrokerId| self.followers.get(id).and_then(|follower| follower.broker_epoch);
        let proposal = Proposal {
            leader_epoch: self.epoch,
            partition_epoch: self.partition_epoch,
            isr: isr.iter().map(|id| (*id, epoch_of(id).unwrap_or(-1))).collect(),
        };
        self.under_way = Some(proposal.clone());
        proposal
    }
}

impl Follower {
    fn is_caught_up(&self, terms: &Terms<'_>) -> bool {
        self.end == Some(terms.end) || terms.now.0 - self.caught_up_at.0 <= terms.lag_max_ms
    }

    /// Live, and the same process that fetched.
    fn is_eligible(&self, id: BrokerId, terms: &Terms<'_>) -> bool {
        let live = (terms.live)(id);
        let same = self.broker_epoch.is_none_or(|fetched| fetched == -1 || Some(fetched) == live);
        live.is_some() && (same || plant::is_planted(Bug::IgnoresBrokerEpochs))
    }
}

#[cfg(test)]
#[path = "leading/tests.rs"]
mod tests;

//! A partition that another broker leads: what is asked from the leader, and what is done with its answer.
//!
//! It must never take anything in that was asked for under another leader epoch, nor give records out of its own accord: a log
//! is cut only where the leader says that it diverges.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use milena_storage::log::Log;

use super::throttle::Side;
use super::waiters::Wakes;
use super::{Partition, PartitionError};

/// Where a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub epoch: LeaderEpoch,
    pub end: Offset,
    pub log_start: Offset,
    /// The epoch of the last record; none in an empty log.
    pub last_epoch: Option<LeaderEpoch>,
}

/// The part of a leader's answer that is taken in.
#[derive(Clone, Debug)]
pub struct Replicated {
    /// The epoch and the offset that were asked with.
    pub epoch: LeaderEpoch,
    pub from: Offset,
    pub records: Bytes,
    pub high_watermark: Offset,
    pub log_start: Offset,
}

impl Partition {
    /// Where this follower stands; `None` if it leads or is offline.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let epoch = self.leader_epoch();
        if self.leads.load(Ordering::Acquire) || self.is_offline() {
            return None;
        }
        self.peek(|log| Standing {
            epoch,
            end: log.log_end_offset(),
            log_start: log.log_start_offset(),
            last_epoch: log.latest_epoch(),
        })
    }

    /// Whether nothing is asked for now: the replica is throttled, behind, and more came than may (`shouldFollowerThrottle`).
    #[must_use]
    pub fn is_held_back(&self, now: Timestamp) -> bool {
        self.is_throttled(Side::Follower)
            && !self.caught_up.load(Ordering::Acquire)
            && self.peers.throttles.is_exceeded(Side::Follower, now.0)
    }

    /// Appends what the leader sent; false if it came too late to count.
    pub fn replicate(&self, sent: Replicated, now: Timestamp) -> Result<bool, PartitionError> {
        let bytes = i64::try_from(sent.records.len()).unwrap_or(i64::MAX);
        let taken = self.as_follower(sent.epoch, |log| {
            if log.log_end_offset() != sent.from {
                return Ok(None);
            }
            if !sent.records.is_empty() {
                log.append_as_follower(sent.records, now)?;
            }
            let end = log.log_end_offset();
            let committed = sent.high_watermark.min(end);
            // A follower whose log starts later keeps its own start: it has no earlier records to give.
            if sent.log_start > log.log_start_offset() && sent.log_start <= end {
                log.advance_log_start(sent.log_start)?;
            }
            Ok(Some((committed, sent.high_watermark <= end)))
        })?;
        let Some((committed, caught_up)) = taken.flatten() else { return Ok(false) };
        self.caught_up.store(caught_up, Ordering::Release);
        self.uncommitted.fetch_add(bytes, Ordering::AcqRel);
        // Consumers may read from this replica too (KIP-392).
        let mut wakes = Wakes::default();
        self.raise(Some(committed), &mut wakes);
        wakes.fire();
        Ok(true)
    }

    /// Cuts the log where the leader says that it goes another way (KIP-595): its largest epoch not above the asked one,
    /// and the end of that. The next fetch asks again from there.
    pub fn cut_back(
        &self,
        asked_under: LeaderEpoch,
        (epoch, end): (LeaderEpoch, Offset),
        now: Timestamp,
    ) -> Result<bool, PartitionError> {
        let cut = self.as_follower(asked_under, |log| {
            let own = log.end_offset_for_epoch(epoch).map_or(end, |(_, own_end)| own_end);
            let to = own.min(end);
            Ok((to, log.truncate_to(to, now)?))
        })?;
        let Some((to, cut)) = cut else { return Ok(false) };
        if cut {
            self.cut_high_watermark(to);
        }
        Ok(true)
    }

    /// Follows a leader whose log ends before ours (an unclean election), or begins after our end.
    pub fn restart_within(
        &self,
        asked_under: LeaderEpoch,
        leader: std::ops::Range<Offset>,
        now: Timestamp,
    ) -> Result<bool, PartitionError> {
        let done = self.as_follower(asked_under, |log| {
            let end = log.log_end_offset();
            if leader.end < end {
                log.truncate_to(leader.end, now)?;
            } else if end < leader.start {
                log.truncate_fully_and_start_at(leader.start, now)?;
            }
            Ok(log.log_end_offset())
        })?;
        let Some(end) = done else { return Ok(false) };
        self.cut_high_watermark(end);
        self.high_watermark.fetch_max(self.log_start_offset().0, Ordering::AcqRel);
        Ok(true)
    }

    fn cut_high_watermark(&self, end: Offset) {
        let before = self.high_watermark.fetch_min(end.0, Ordering::AcqRel);
        if before > end.0 {
            tracing::warn!(partition = %self.name, %before, %end, "the log was cut below its high watermark");
        }
    }

    /// Runs on the log while this broker follows in that epoch; `None` if it does not any more.
    fn as_follower<T>(
        &self,
        epoch: LeaderEpoch,
        run: impl FnOnce(&mut Log) -> Result<T, PartitionError>,
    ) -> Result<Option<T>, PartitionError> {
        let mut log = self.lock()?;
        // Leadership changes under this lock, so it holds until the log is let go.
        if self.leads.load(Ordering::Acquire) || self.leader_epoch() != epoch {
            return Ok(None);
        }
        let done = run(&mut log);
        drop(log);
        self.noted(done).map(Some)
    }
}

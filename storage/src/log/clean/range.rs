//! Which part of a log may be cleaned, and whether it should be (`LogCleanerManager`, `LogToClean`).
//!
//! Must never offer the active segment, anything at or above the last stable offset, or anything that is not durable.

use crate::StorageError;
use crate::ids::{Offset, Timestamp};
use crate::log::Log;

/// What of a log can be cleaned now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cleanable {
    /// Everything below was cleaned before.
    pub first_dirty: Offset,
    /// The base of the first segment that must stay as it is.
    pub first_uncleanable: Offset,
    pub clean_bytes: u64,
    pub cleanable_bytes: u64,
    /// The checkpoint did not fit the log, so that it must be written anew with `first_dirty`.
    pub checkpoint_invalid: bool,
    /// By how much the oldest dirty record is past `max.compaction.lag.ms`; 0: it is not.
    pub overdue_ms: i64,
    /// When the passing of time alone may make more cleanable.
    pub look_again: Option<Timestamp>,
    /// An open transaction, or a follower that is behind, keeps closed segments from being cleaned.
    pub waits_for_stable: bool,
}

impl Cleanable {
    pub fn total_bytes(&self) -> u64 {
        self.clean_bytes + self.cleanable_bytes
    }

    /// The dirty share of the bytes, 0 to 1.
    pub fn ratio(&self) -> f64 {
        match self.total_bytes() {
            0 => 0.0,
            total => self.cleanable_bytes as f64 / total as f64,
        }
    }

    /// True if there is enough to do, or something waited too long.
    pub fn is_due(&self, min_ratio: f64) -> bool {
        self.total_bytes() > 0
            && ((self.overdue_ms > 0 && self.cleanable_bytes > 0) || self.ratio() > min_ratio)
    }
}

impl Log {
    /// Looks at what can be cleaned. `checkpoint` is the first dirty offset that the last cleaning left; `stable` is
    /// the last stable offset of the caller's view.
    pub fn cleanable(
        &mut self,
        checkpoint: Option<Offset>,
        stable: Offset,
        now: Timestamp,
    ) -> Result<Cleanable, StorageError> {
        let (first_dirty, checkpoint_invalid) = self.first_dirty(checkpoint);
        let active = self.active().base;
        let (lagging, lag_ends) = self.first_lagging(first_dirty, now)?;
        let first_unclean = [Some(stable), Some(active), lagging].into_iter().flatten().min();
        let first_unclean = first_unclean.unwrap_or(active).max(first_dirty);
        let first_uncleanable = self.segments[self.segment_index(first_unclean)].base.min(active);
        let from = self.segment_index(first_dirty.min(first_uncleanable));
        let (overdue_ms, overdue_at) = self.overdue(first_dirty, now)?;
        let bytes = |range: std::ops::Range<usize>| -> u64 {
            self.segments[range].iter().map(|segment| segment.size).sum()
        };
        let uncleanable = self.segment_index(first_uncleanable);
        let clean = self.segments.partition_point(|segment| segment.base < first_dirty);
        let cleanable_bytes = if first_dirty < first_uncleanable { bytes(from..uncleanable) } else { 0 };
        Ok(Cleanable {
            first_dirty,
            first_uncleanable,
            clean_bytes: bytes(0..clean),
            cleanable_bytes,
            checkpoint_invalid,
            overdue_ms,
            look_again: lag_ends.into_iter().chain(overdue_at).min(),
            waits_for_stable: stable < active && first_dirty < active,
        })
    }

    /// Where the dirty part begins, and whether the checkpoint had to be left out for it.
    fn first_dirty(&self, checkpoint: Option<Offset>) -> (Offset, bool) {
        let start = self.log_start;
        match checkpoint {
            None => (start, false),
            Some(checkpoint) if checkpoint < start => {
                // Where records are also deleted by age this happens all the time.
                if !self.config.delete {
                    tracing::warn!(dir = %self.place.dir.display(), %checkpoint, %start,
                        "the first dirty offset is below the log start and begins there again");
                }
                (start, true)
            }
            Some(checkpoint) if checkpoint > self.log_end => {
                tracing::warn!(dir = %self.place.dir.display(), %checkpoint, end = %self.log_end,
                    "the first dirty offset is behind the log's end; everything is cleaned again");
                (start, true)
            }
            Some(checkpoint) => (checkpoint, false),
        }
    }

    /// Indexes of the closed segments from the one that holds `offset` on.
    fn closed_from(&self, offset: Offset) -> std::ops::Range<usize> {
        let active = self.segments.len() - 1;
        let first = if offset >= self.segments[active].base { active } else { self.segment_index(offset) };
        first..active
    }

    /// The first dirty segment with a record younger than `min.compaction.lag.ms`, and when it will be old enough.
    fn first_lagging(
        &self,
        first_dirty: Offset,
        now: Timestamp,
    ) -> Result<(Option<Offset>, Option<Timestamp>), StorageError> {
        let lag = self.config.min_compaction_lag_ms;
        if lag <= 0 {
            return Ok((None, None));
        }
        for index in self.closed_from(first_dirty) {
            let segment = &self.segments[index];
            let newest = segment.newest(&self.place)?;
            if newest.0 > now.0.saturating_sub(lag) {
                return Ok((Some(segment.base), Some(Timestamp(newest.0.saturating_add(lag)))));
            }
        }
        Ok((None, None))
    }

    /// By how much the oldest dirty record is past `max.compaction.lag.ms`, else when it will be.
    fn overdue(
        &mut self,
        first_dirty: Offset,
        now: Timestamp,
    ) -> Result<(i64, Option<Timestamp>), StorageError> {
        let lag = self.config.max_compaction_lag_ms.max(0);
        let mut earliest = None;
        for index in self.closed_from(first_dirty) {
            let first = self.segments[index].first_timestamp(&self.place)?;
            earliest = first.into_iter().filter(|first| first.0 > 0).chain(earliest).min();
        }
        let Some(earliest) = earliest else { return Ok((0, None)) };
        let until = now.0.saturating_sub(lag);
        if earliest.0 < until {
            return Ok((until - earliest.0, None));
        }
        let at = earliest.0.checked_add(lag).and_then(|at| at.checked_add(1));
        Ok((0, at.map(Timestamp)))
    }
}

//! A second log that is made like the first, batch by batch, and then takes its place: moves between log directories
//! (`ReplicaAlterLogDirsThread`, `LogManager.replaceCurrentWithFutureLog`).
//!
//! Must never take the place of a log that it does not equal, nor promise less to be durable than that one has.

use std::path::Path;

use bytes::Bytes;

use super::{Log, LogSlice, ReadError};
use crate::StorageError;
use crate::ids::{Offset, Timestamp};

/// What a copy needs next.
#[derive(Clone, Debug)]
pub enum CopyStep {
    /// The original was cut, or never was like this.
    Cut(Offset),
    /// The original begins behind the copy's end.
    Restart(Offset),
    /// These batches come next.
    Append(LogSlice),
    /// Compaction left nothing up to there, where the original ends.
    Skip(Offset),
    /// The copy has all records.
    Level,
}

impl Log {
    /// What this log needs next to become like `original`; at most `max_bytes` of records, but a whole batch.
    pub fn next_copy_step(&self, original: &Self, max_bytes: usize) -> Result<CopyStep, ReadError> {
        let end = self.log_end;
        if end < original.log_start {
            return Ok(CopyStep::Restart(original.log_start));
        }
        let common = self.common_end(original);
        if common < end {
            return Ok(CopyStep::Cut(common));
        }
        if end == original.log_end {
            return Ok(CopyStep::Level);
        }
        let slice = original.read(end, max_bytes, original.log_end, true)?;
        Ok(if slice.is_empty() { CopyStep::Skip(original.log_end) } else { CopyStep::Append(slice) })
    }

    /// Where the two begin to differ, by their epochs (KIP-595).
    fn common_end(&self, original: &Self) -> Offset {
        let end = self.log_end.min(original.log_end);
        let Some(latest) = self.latest_epoch().filter(|_| self.log_end > self.log_start) else { return end };
        match original.end_offset_for_epoch(latest) {
            Some((epoch, theirs)) => {
                let ours = self.end_offset_for_epoch(epoch).map_or(theirs, |(_, ours)| ours);
                end.min(ours).min(theirs)
            }
            // It knows no epoch that late: what is ours alone begins with the first that it has not.
            None => original
                .latest_epoch()
                .and_then(|epoch| self.end_offset_for_epoch(epoch))
                .map_or(original.log_start, |(_, ours)| end.min(ours)),
        }
    }

    /// Carries out a step; `records` are the bytes of the slice, if it is one.
    pub fn take_copy_step(
        &mut self,
        step: &CopyStep,
        records: Bytes,
        now: Timestamp,
    ) -> Result<(), super::AppendError> {
        match step {
            CopyStep::Cut(to) => self.truncate_to(*to, now).map(drop)?,
            CopyStep::Restart(at) => self.truncate_fully_and_start_at(*at, now)?,
            CopyStep::Append(_) => self.append_as_follower(records, now).map(drop)?,
            CopyStep::Skip(to) if self.log_end == self.log_start => {
                self.truncate_fully_and_start_at(*to, now)?;
            }
            CopyStep::Skip(to) => {
                self.roll_at(*to, now)?;
                self.log_end = *to;
            }
            CopyStep::Level => {}
        }
        Ok(())
    }

    /// Takes over name and state of `original`, which has the same records, under the locks of both. What was durable there is
    /// durable here when this returns; after an error this log is the copy that it was.
    ///
    /// # Panics
    /// When the two do not end at the same offset.
    pub fn take_place_of(&mut self, original: &mut Self, dir: &Path) -> Result<(), StorageError> {
        assert_eq!(self.log_end, original.log_end, "a copy replaces what it equals");
        self.config = original.config.clone();
        self.advance_log_start(original.log_start)?;
        // A leader notes its epoch before its first record.
        if self.epochs.take_later(&original.epochs) {
            self.save_epochs()?;
        }
        if original.recovery_point > self.recovery_point {
            self.flush()?;
        }
        self.rename_dir(dir)?;
        // Both are what the same batches made, but the original may remember producers whose batches are gone.
        self.producers = std::mem::take(&mut original.producers);
        self.producers.end = self.log_end;
        self.verifying = std::mem::take(&mut original.verifying);
        self.unsynced.replaces(&original.unsynced);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

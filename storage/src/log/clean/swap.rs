//! Puts a cleaned segment in the place of those that it was made of (`LocalLog.replaceSegments`).
//!
//! Each step is on the medium before the next begins, so that after a crash at any of them an opening finds either all
//! of the old segments or the new one (`log/open.rs` finishes what was begun). Must never swap in what a truncation or
//! a deletion has made untrue.

use super::CleanError;
use crate::StorageError;
use crate::error::At;
use crate::ids::{Offset, Timestamp};
use crate::log::Log;
use crate::log::place::{CLEANED_SUFFIX, FileKind, SWAP_SUFFIX};
use crate::log::segment::Segment;

/// A cleaned segment that waits to be swapped in.
#[derive(Debug)]
pub struct Cleaned {
    pub(super) segment: Segment,
    /// Bases and sizes of the segments that it replaces.
    pub(super) old: Vec<(Offset, u64)>,
    pub(super) truncations: u64,
    pub(super) has_aborted: bool,
}

impl Log {
    /// Swaps a cleaned segment in. If the log was cut or lost segments since the cleaning began, nothing is changed
    /// and the cleaning is over.
    pub fn swap_in(&mut self, cleaned: Cleaned, now: Timestamp) -> Result<(), CleanError> {
        self.check_poison()?;
        let base = cleaned.segment.base;
        let first = self.segments.partition_point(|segment| segment.base < base);
        let end = first + cleaned.old.len();
        let same = |(segment, old): (&Segment, &(Offset, u64))| (segment.base, segment.size) == *old;
        let unchanged = cleaned.truncations == self.unsynced.truncations()
            && end < self.segments.len()
            && self.segments[first..end].iter().zip(&cleaned.old).all(same);
        if !unchanged {
            let place = self.place.with_suffix(CLEANED_SUFFIX);
            for kind in FileKind::OF_SEGMENT {
                crate::log::open::remove_if_present(&place, &place.path(base, kind))?;
            }
            return Err(CleanError::Aborted);
        }
        let Cleaned { segment, has_aborted, .. } = cleaned;
        self.replace(first..end, segment, has_aborted, now).map_err(|error| {
            // Names may be half changed; opening the log again puts them in order.
            self.poisoned.store(true, std::sync::atomic::Ordering::Release);
            error.into()
        })
    }

    fn replace(
        &mut self,
        range: std::ops::Range<usize>,
        new: Segment,
        has_aborted: bool,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let (cleaned, swap, place) =
            (self.place.with_suffix(CLEANED_SUFFIX), self.place.with_suffix(SWAP_SUFFIX), self.place.clone());
        let kinds = FileKind::OF_SEGMENT.into_iter().filter(|kind| match kind {
            FileKind::TransactionIndex => has_aborted,
            _ => true,
        });
        let kinds: Vec<FileKind> = kinds.collect();
        let sync = || place.fs.sync_dir(&place.dir).at("sync", &place.dir);
        for kind in &kinds {
            let from = cleaned.path(new.base, *kind);
            place.fs.rename(&from, &swap.path(new.base, *kind)).at("rename", &from)?;
        }
        sync()?;
        let base = new.base;
        let old: Vec<Segment> = self.segments.splice(range, [new]).collect();
        let due = Timestamp(now.0.saturating_add(self.config.file_delete_delay_ms));
        for segment in &old {
            self.doom_segment(segment, now)?;
            if segment.base != base && self.snapshots.remove(&segment.base) {
                let snapshot = place.path(segment.base, FileKind::Snapshot);
                self.doom(&snapshot, due)?;
            }
        }
        sync()?;
        for kind in &kinds {
            let from = swap.path(base, *kind);
            place.fs.rename(&from, &place.path(base, *kind)).at("rename", &from)?;
        }
        sync()
    }
}

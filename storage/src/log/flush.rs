//! Flushing: what must be synced, and what is durable afterwards.
//!
//! Must never promise an offset whose bytes, names and indexes a loss of power could take.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Log, snapshot};
use crate::StorageError;
use crate::error::At;
use crate::fs::{File, Fs, Open};
use crate::ids::{Offset, Timestamp};

/// A file with its path, for errors.
pub(super) type OpenFile = (PathBuf, Arc<dyn File>);

/// Changes of names in the log's directory, counted so that a plan knows whether it saw the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unsynced {
    changes: u64,
    synced: u64,
    truncations: u64,
    /// The directory itself is new, so its parent must be synced once.
    pub new_dir: bool,
}

impl Unsynced {
    /// What a log that was just opened has to sync.
    pub(super) fn new(new_dir: bool) -> Self {
        Self { changes: 1, synced: 0, truncations: 0, new_dir }
    }

    /// A file was created, renamed or removed.
    pub(super) fn touch(&mut self) {
        self.changes += 1;
    }

    /// Changes whenever the log is cut, for work that goes on without the log's lock.
    pub(super) fn truncations(&self) -> u64 {
        self.truncations
    }

    /// This log takes the place of another: plans and cleanings of that one are not believed here.
    pub(super) fn replaces(&mut self, other: &Self) {
        self.truncations = self.truncations.max(other.truncations) + 1;
    }

    /// The log was cut: plans taken before cover offsets that may be written again.
    pub(super) fn truncated(&mut self) {
        self.changes += 1;
        self.truncations += 1;
    }
}

/// Files to be synced outside the log's lock, for group commit: take it under the lock, [`run`](Self::run) it
/// without, then hand it to [`Log::flushed`] under the lock. A plan that fails closes the log for good, since the
/// kernel forgets what it could not write.
#[derive(Clone, Debug)]
pub struct FlushPlan {
    files: Vec<OpenFile>,
    dirs: Vec<PathBuf>,
    fs: Arc<dyn Fs>,
    up_to: Offset,
    seen: Unsynced,
    poisoned: Arc<AtomicBool>,
}

impl FlushPlan {
    /// Syncs; everything below the offset returned is then durable.
    pub fn run(&self) -> Result<Offset, StorageError> {
        self.sync().inspect_err(|_| self.poisoned.store(true, Ordering::Release))
    }

    fn sync(&self) -> Result<Offset, StorageError> {
        for (path, file) in &self.files {
            file.sync_data().at("sync", path)?;
        }
        for dir in &self.dirs {
            self.fs.sync_dir(dir).at("sync", dir)?;
        }
        Ok(self.up_to)
    }

    /// How many files are synced, so that a caller with many plans may choose one `syncfs` instead.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The log's end when the plan was taken.
    pub fn up_to(&self) -> Offset {
        self.up_to
    }
}

impl Log {
    /// Makes everything durable, under the caller's lock.
    pub fn flush(&mut self) -> Result<Offset, StorageError> {
        let plan = self.flush_plan()?;
        let up_to = plan.run()?;
        self.flushed(&plan);
        Ok(up_to)
    }

    /// What must be synced to make everything appended so far durable.
    pub fn flush_plan(&mut self) -> Result<FlushPlan, StorageError> {
        self.check_poison()?;
        let mut files = Vec::new();
        let last = self.segments.len() - 1;
        let mut closed_one = false;
        for (index, segment) in self.segments.iter_mut().enumerate() {
            if segment.dirty {
                files.push((segment.path(&self.place), segment.file(&self.place)?.clone()));
            }
            // Recovery builds the indexes of the last flushed segment again, but trusts those before it.
            if index < last && !segment.indexes_synced {
                closed_one = true;
                files.push((segment.offsets.path(&self.place), segment.offsets.file(&self.place)?.clone()));
                files.push((segment.times.path(&self.place), segment.times.file(&self.place)?.clone()));
            }
        }
        if closed_one {
            self.plan_side_files(&mut files)?;
        }
        files.extend(self.epochs.unsynced(&self.place)?);
        let mut dirs = Vec::new();
        if self.unsynced.changes != self.unsynced.synced {
            dirs.push(self.place.dir.clone());
        }
        if self.unsynced.new_dir {
            dirs.extend(self.place.dir.parent().map(PathBuf::from));
        }
        let (fs, poisoned) = (self.place.fs.clone(), self.poisoned.clone());
        self.unplanned_since = None;
        Ok(FlushPlan { files, dirs, fs, up_to: self.log_end, seen: self.unsynced, poisoned })
    }

    /// The producer snapshot and the transaction indexes of closed segments.
    fn plan_side_files(&self, files: &mut Vec<OpenFile>) -> Result<(), StorageError> {
        let closed =
            self.segments[..self.segments.len() - 1].iter().filter(|segment| !segment.indexes_synced);
        let transactions =
            closed.map(|segment| self.place.path(segment.base, super::place::FileKind::TransactionIndex));
        let base = self.active().base;
        let snapshot = self.place.path(base, super::place::FileKind::Snapshot);
        for path in transactions.chain([snapshot]) {
            if self.place.fs.meta(&path).at("look at", &path)?.is_some() {
                let file = self.place.fs.open(&path, Open::Write).at("open", &path)?;
                files.push((path, file));
            }
        }
        Ok(())
    }

    /// Whether a plan was made by this log, and not by one whose place it took.
    pub fn owns(&self, plan: &FlushPlan) -> bool {
        Arc::ptr_eq(&plan.poisoned, &self.poisoned)
    }

    /// Notes that a plan has run. One taken before a truncation is not believed.
    pub fn flushed(&mut self, plan: &FlushPlan) {
        if plan.seen.truncations != self.unsynced.truncations {
            return;
        }
        let up_to = plan.up_to.min(self.log_end);
        self.recovery_point = self.recovery_point.max(up_to);
        self.waiting_since = if up_to == self.log_end { None } else { self.unplanned_since };
        self.unsynced.synced = plan.seen.changes;
        self.unsynced.new_dir = false;
        let ends: Vec<Offset> =
            self.segments.iter().skip(1).map(|segment| segment.base).chain([self.log_end]).collect();
        let last = self.segments.len() - 1;
        for (index, (segment, end)) in self.segments.iter_mut().zip(ends).enumerate() {
            if end <= up_to && (segment.dirty || !segment.indexes_synced) {
                segment.dirty = false;
                // A segment that was closed after the plan was taken is the active one of the plan.
                segment.indexes_synced |= index < last && plan.seen.changes == self.unsynced.changes;
                if index < last && segment.indexes_synced {
                    segment.release();
                }
            }
        }
        if plan.seen.changes == self.unsynced.changes {
            self.epochs.synced();
        }
    }

    /// Something comes that no plan covers yet.
    pub(super) fn note_waiting(&mut self, now: Timestamp) {
        self.waiting_since.get_or_insert(now);
        self.unplanned_since.get_or_insert(now);
    }

    /// True if `flush.ms` has passed with something not flushed.
    pub fn flush_due(&self, now: Timestamp) -> bool {
        let waiting = self.waiting_since.filter(|_| self.recovery_point < self.log_end);
        waiting.is_some_and(|since| now.0.saturating_sub(since.0) >= self.config.flush_ms)
    }

    /// Makes everything durable, trims what was reserved and leaves a producer snapshot, so that the next start
    /// need not scan. A log that nothing was written to costs nothing.
    pub fn close_clean(mut self) -> Result<Offset, StorageError> {
        if self.log_end == Offset(0) && self.doomed.is_empty() {
            // Nothing was ever written; names that a loss of power takes are made again.
            return Ok(self.log_end);
        }
        let place = self.place.clone();
        let untouched = !self.active().dirty && self.snapshots.contains(&self.log_end);
        if self.epochs.unsaved {
            self.save_epochs()?;
        }
        if !untouched {
            self.active_mut().seal(&place)?;
            self.producers.end = self.log_end;
            snapshot::write(&place, &self.producers)?;
            let path = place.path(self.log_end, super::place::FileKind::Snapshot);
            let snapshot = place.fs.open(&path, Open::Write).at("open", &path)?;
            let active = self.active();
            for file in [&snapshot, active.offsets.file(&place)?, active.times.file(&place)?] {
                file.sync_data().at("sync", &place.dir)?;
            }
            self.unsynced.touch();
        }
        for (_, name) in std::mem::take(&mut self.doomed) {
            self.remove_if_present(&name)?;
        }
        self.flush()
    }
}

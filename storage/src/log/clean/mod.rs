//! Compaction: of every key in the closed part of a log only the last record stays (Kafka's `Cleaner`).
//!
//! A [`Cleaning`] is taken under the log's lock and works without it, on files that nobody appends to; what it made is
//! swapped in under the lock again. Must never change an offset or the order of what stays, and never remove a record
//! whose successor is not durable.

mod filter;
mod group;
mod index;
mod map;
mod range;
mod swap;
mod transactions;
mod writer;

use std::collections::{HashMap, VecDeque};

pub use map::OffsetMap;
pub use range::Cleanable;
pub use swap::Cleaned;

use super::place::Place;
use super::txn_index::AbortedTransaction;
use super::{Log, LogConfig};
use crate::StorageError;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use group::Source;
use transactions::Transactions;

/// A batch on our disk was once accepted; this only keeps a damaged one from taking all memory.
const BATCH_UNPACKED_MAX: usize = 1 << 30;

/// Why a cleaning ended early. Whatever it has swapped in stays, and is whole.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The broker stops, the log is gone or was cut; nothing is wrong with it.
    #[error("the cleaning was given up")]
    Aborted,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What the owner of a cleaning says each time some bytes have passed: it may hold the cleaning back, or end it.
pub trait Pace {
    /// Returns when more may be read or written; [`CleanError::Aborted`] ends the cleaning.
    fn passed(&self, bytes: u64) -> Result<(), CleanError>;
}

/// The means of one cleaning.
pub struct Means<'a> {
    pub map: OffsetMap,
    /// Bytes read, and written, at once; a larger batch gets what it needs.
    pub buffer: usize,
    pub pace: &'a dyn Pace,
}

/// What a cleaning did, for metrics (`CleanerStats`).
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct CleanStats {
    pub indexed_bytes: u64,
    pub indexed_records: u64,
    pub read_bytes: u64,
    pub read_records: u64,
    pub written_bytes: u64,
    pub written_records: u64,
    /// Records without a key, which have no place in a compacted log and were removed.
    pub keyless_records: u64,
    /// The used share of the map of keys.
    pub map_utilization: f64,
}

/// The last that a producer wrote (`LastRecord`).
#[derive(Clone, Copy, Debug)]
struct LastRecord {
    /// `None`: only markers.
    last: Option<Offset>,
    epoch: ProducerEpoch,
}

/// One cleaning of one log; see the module.
#[derive(Debug)]
pub struct Cleaning {
    place: Place,
    config: LogConfig,
    first_dirty: Offset,
    /// Batches from here on are not looked at.
    upper: Offset,
    /// Where in its segment the dirty part may begin.
    dirty_position: u64,
    sources: Vec<Source>,
    /// The aborted transactions that reach into the sources.
    aborted: Vec<AbortedTransaction>,
    groups: VecDeque<Vec<Source>>,
    producers: HashMap<ProducerId, LastRecord>,
    transactions: Transactions,
    truncations: u64,
    now: Timestamp,
    stats: CleanStats,
}

impl Log {
    /// Takes what a cleaning needs to know. What is not flushed yet stays as it is: after a loss of power a removed
    /// record would be missed if its successor were lost.
    pub fn begin_cleaning(&self, what: &Cleanable, now: Timestamp) -> Result<Cleaning, StorageError> {
        self.check_poison()?;
        let durable = self.segments[self.segment_index(self.recovery_point)].base;
        let upper = what.first_uncleanable.min(durable).min(self.active().base);
        let count = self.segments.partition_point(|segment| segment.base < upper);
        let sources: Vec<Source> = (0..count)
            .map(|index| Source::of(&self.segments[index], self.segments[index + 1].base))
            .collect();
        let aborted = match sources.first() {
            Some(first) => self.aborted_transactions(first.base, upper)?,
            None => Vec::new(),
        };
        let dirty_position = match self.segments[..count].get(self.segment_index(what.first_dirty)) {
            Some(segment) => segment.position_before(&self.place, what.first_dirty)?,
            None => 0,
        };
        let last = |(id, producer): (ProducerId, &super::producers::Producer)| {
            let last = producer.last().map(|written| written.last_offset);
            (id, LastRecord { last, epoch: producer.epoch })
        };
        Ok(Cleaning {
            place: self.place.clone(),
            config: LogConfig::clone(&self.config),
            first_dirty: what.first_dirty,
            upper,
            dirty_position,
            sources,
            aborted,
            groups: VecDeque::new(),
            producers: self.producers.iter().map(last).collect(),
            transactions: Transactions::default(),
            truncations: self.unsynced.truncations(),
            now,
            stats: CleanStats::default(),
        })
    }
}

impl Cleaning {
    /// Offsets that may need a place in the map of keys.
    pub fn keys_max(&self) -> u64 {
        u64::try_from(self.upper.0 - self.first_dirty.0).unwrap_or(0)
    }

    /// What was done so far.
    pub fn stats(&self) -> CleanStats {
        self.stats
    }

    /// Cleans the next group of segments into one, synced under a name that an opening removes; `None` when all are
    /// done. The caller swaps it in before it asks for another.
    pub fn next_group(&mut self, means: &mut Means<'_>) -> Result<Option<Cleaned>, CleanError> {
        let Some(group) = self.groups.pop_front() else { return Ok(None) };
        match self.clean_group(&group, means) {
            Ok((segment, aborted)) => {
                let old = group.iter().map(|source| (source.base, source.size)).collect();
                Ok(Some(Cleaned { segment, old, truncations: self.truncations, has_aborted: aborted }))
            }
            Err(error) => {
                // The next opening would remove them too; a failure here adds nothing to the first one.
                let _ = self.remove_leftovers(group[0].base);
                Err(error)
            }
        }
    }
}

/// Passes bytes on to the [`Pace`] in portions, so that small batches cost no calls.
struct Meter<'a> {
    pace: &'a dyn Pace,
    portion: u64,
    pending: u64,
}

impl<'a> Meter<'a> {
    fn new(means: &Means<'a>) -> Self {
        Self { pace: means.pace, portion: means.buffer as u64, pending: 0 }
    }

    fn pass(&mut self, bytes: usize) -> Result<(), CleanError> {
        self.pending += bytes as u64;
        if self.pending < self.portion { Ok(()) } else { self.settle() }
    }

    fn settle(&mut self) -> Result<(), CleanError> {
        self.pace.passed(std::mem::take(&mut self.pending))
    }
}

#[cfg(test)]
mod tests;

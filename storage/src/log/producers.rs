//! What a log knows of its idempotent and transactional producers (`ProducerStateManager`, `ProducerAppendInfo`).
//!
//! Must never accept a sequence with a gap from a known producer, and never touch the disk.

use std::collections::BTreeMap;

use super::error::AppendError;
use super::txn_index::AbortedTransaction;
use crate::batch::{EndTransaction, Header, rewind_sequence};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// Batches remembered per producer, which is how many a client may have in flight
/// (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const BATCHES_KEPT: usize = 5;

/// A batch that a producer wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Written {
    pub last_sequence: i32,
    pub last_offset: Offset,
    pub offset_delta: i32,
    pub timestamp: Timestamp,
}

impl Written {
    fn first_sequence(&self) -> i32 {
        rewind_sequence(self.last_sequence, self.offset_delta)
    }

    pub(super) fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// One producer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Producer {
    pub epoch: ProducerEpoch,
    pub coordinator_epoch: i32,
    pub last_timestamp: Timestamp,
    pub transaction_start: Option<Offset>,
    /// The last batches, oldest first.
    pub written: Vec<Written>,
    /// Every sequence of the epoch, from 0 to the last, has been in the log: there is no gap, and no way around to 0 again. Unknown, and so
    /// false, for what a snapshot tells.
    pub is_whole: bool,
}

impl Producer {
    pub(super) fn unknown() -> Self {
        Self {
            epoch: ProducerEpoch(-1),
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            transaction_start: None,
            written: Vec::new(),
            is_whole: false,
        }
    }

    pub(super) fn last(&self) -> Option<&Written> {
        self.written.last()
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.written.clear();
            self.is_whole = false;
            self.epoch = epoch;
        }
    }

    pub(super) fn push(&mut self, written: Written) {
        if self.written.len() == BATCHES_KEPT {
            self.written.remove(0);
        }
        self.written.push(written);
    }
}

/// A transaction whose marker is in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Completed {
    pub producer_id: ProducerId,
    pub first: Offset,
    /// The marker's offset.
    pub last: Offset,
    pub aborted: bool,
}

/// All producers of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
    /// First offset → producer of each open transaction.
    open: BTreeMap<Offset, ProducerId>,
    /// First offset → marker's offset of transactions whose markers may be above the high watermark.
    completed: BTreeMap<Offset, Offset>,
    /// The state is that of a log that ends here.
    pub end: Offset,
}

impl Producers {
    /// No producers, for a log that ends at `end`.
    pub(super) fn none(end: Offset) -> Self {
        Self { end, ..Self::default() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Enters a producer of a snapshot.
    pub(super) fn insert(&mut self, id: ProducerId, producer: Producer) {
        if let Some(first) = producer.transaction_start {
            self.open.insert(first, id);
        }
        self.by_id.insert(id, producer);
    }

    /// The batch in the log that a client's batch repeats: same epoch, same first and last sequence.
    pub(super) fn duplicate(&self, header: &Header) -> Option<Written> {
        let producer = self.by_id.get(&header.producer_id)?;
        if producer.epoch != header.producer_epoch {
            return None;
        }
        let same = |written: &&Written| {
            written.first_sequence() == header.base_sequence
                && written.last_sequence == header.last_sequence()
        };
        producer.written.iter().find(same).copied()
    }

    /// The offset before which the log has what a client's batch repeats, where later batches have pushed it out of the last five.
    ///
    /// A client may have so many batches under way at each leader: those that an isolated leader has not answered come again to its
    /// successor, which has them, and five later ones as well. Kafka takes such a batch for one out of order; clients then repeat it until its
    /// time is up, since they have the answer to later ones, and nothing of that partition is sent meanwhile.
    pub(super) fn repeated(&self, header: &Header) -> Option<Offset> {
        let producer = self.by_id.get(&header.producer_id)?;
        let oldest = producer.written.first()?;
        let (first, last) = (header.base_sequence, header.last_sequence());
        let is_older = first <= last && last < oldest.first_sequence();
        let is_known = producer.epoch == header.producer_epoch && producer.is_whole;
        (is_known && is_older).then(|| oldest.first_offset())
    }

    /// The rules for a client's data batch (`ProducerAppendInfo.maybeValidateDataBatch`).
    pub(super) fn check(&self, header: &Header) -> Result<(), AppendError> {
        self.check_epoch(header)?;
        let producer_id = header.producer_id;
        let Some(producer) = self.by_id.get(&producer_id) else { return Ok(()) };
        let sequence = header.base_sequence;
        let last_sequence = producer.last().map_or(-1, |written| written.last_sequence);
        let in_order = if header.producer_epoch != producer.epoch {
            // A producer that only markers made known has an epoch but accepts any first sequence when that is −1.
            sequence == 0 || producer.epoch.0 == -1
        } else {
            let next = i64::from(sequence) == i64::from(last_sequence) + 1;
            producer.epoch.0 == -1 || next || (sequence == 0 && last_sequence == i32::MAX)
        };
        if !in_order {
            return Err(AppendError::Sequence { producer_id, sequence, last_sequence });
        }
        if producer.transaction_start.is_some() && !header.is_transactional() {
            return Err(AppendError::TransactionState { producer_id });
        }
        Ok(())
    }

    /// No batch comes from an epoch before the last that was seen, whoever wrote it.
    pub(super) fn check_epoch(&self, header: &Header) -> Result<(), AppendError> {
        let producer_id = header.producer_id;
        let Some(producer) = self.by_id.get(&producer_id) else { return Ok(()) };
        let (epoch, current) = (header.producer_epoch, producer.epoch);
        if epoch < current {
            return Err(AppendError::ProducerEpoch { producer_id, epoch, current });
        }
        Ok(())
    }

    /// The rules for a marker from this broker's own coordinator (`ProducerAppendInfo.checkProducerEpoch`).
    ///
    /// Transactions of version 2 are ended with an epoch above that of their batches, so a marker of the same epoch is
    /// late, unless nothing is open: then it repeats one that is here (KAFKA-19999).
    pub(super) fn check_marker(
        &self,
        header: &Header,
        marker: EndTransaction,
        transaction_version: i16,
    ) -> Result<(), AppendError> {
        let producer_id = header.producer_id;
        let Some(producer) = self.by_id.get(&producer_id) else { return Ok(()) };
        let (epoch, current) = (header.producer_epoch, producer.epoch);
        let open = producer.transaction_start.is_some();
        let late = transaction_version >= 2 && epoch == current && open && epoch.0 != i16::MAX;
        if epoch < current || late {
            return Err(AppendError::ProducerEpoch { producer_id, epoch, current });
        }
        let (epoch, current) = (marker.coordinator_epoch, producer.coordinator_epoch);
        if epoch < current {
            return Err(AppendError::CoordinatorFenced { producer_id, epoch, current });
        }
        Ok(())
    }

    /// Whether the producer has a transaction open here, in this epoch (`UnifiedLog.hasOngoingTransaction`).
    pub(super) fn has_open(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        let producer = self.by_id.get(&id);
        producer.is_some_and(|producer| producer.transaction_start.is_some() && producer.epoch == epoch)
    }

    /// Whether anything of the producer is remembered, be it a marker alone.
    pub(super) fn knows_of(&self, id: ProducerId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Whether batches of the producer are remembered.
    pub(super) fn knows(&self, id: ProducerId) -> bool {
        self.by_id.get(&id).is_some_and(|producer| !producer.written.is_empty())
    }

    pub(super) fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.by_id.get(&id)
    }

    /// Makes a producer what it was before batches that were in no transaction.
    pub(super) fn put_back(&mut self, id: ProducerId, before: Option<Producer>) {
        match before {
            Some(producer) => self.by_id.insert(id, producer),
            None => self.by_id.remove(&id),
        };
    }

    /// Enters a data batch that is in the log.
    pub(super) fn apply(&mut self, header: &Header) {
        self.end = header.next_offset();
        if !header.has_producer() {
            return;
        }
        let producer = self.by_id.entry(header.producer_id).or_insert_with(Producer::unknown);
        producer.enter_epoch(header.producer_epoch);
        producer.is_whole = match producer.last() {
            None => header.base_sequence == 0 && header.last_sequence() >= 0,
            Some(last) => {
                let follows = i64::from(header.base_sequence) == i64::from(last.last_sequence) + 1;
                producer.is_whole && follows && header.last_sequence() > last.last_sequence
            }
        };
        producer.push(Written {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        producer.last_timestamp = header.max_timestamp;
        if header.is_transactional() && producer.transaction_start.is_none() {
            producer.transaction_start = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// Enters a marker that is in the log; an aborted transaction comes back for the transaction index.
    pub(super) fn apply_marker(
        &mut self,
        header: &Header,
        marker: EndTransaction,
        timestamp: Timestamp,
    ) -> Option<AbortedTransaction> {
        self.end = header.next_offset();
        let producer = self.by_id.entry(header.producer_id).or_insert_with(Producer::unknown);
        producer.enter_epoch(header.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = timestamp;
        let first = producer.transaction_start.take()?;
        let done = Completed {
            producer_id: header.producer_id,
            first,
            last: header.base_offset,
            aborted: !marker.commit,
        };
        self.open.remove(&first);
        self.completed.insert(first, done.last);
        let last_stable = self.open.keys().next().copied().unwrap_or(done.last.plus(1));
        done.aborted.then_some(AbortedTransaction {
            producer_id: done.producer_id,
            first: done.first,
            last: done.last,
            last_stable,
        })
    }

    /// First offset of a transaction that is open, or whose marker is not below `high_watermark`.
    pub(super) fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let open = self.open.keys().next().copied();
        let unreplicated = self.completed.iter().find(|(_, last)| **last >= high_watermark);
        open.into_iter().chain(unreplicated.map(|(first, _)| *first)).min()
    }

    /// Forgets completed transactions whose markers are below `high_watermark`.
    pub(super) fn settle(&mut self, high_watermark: Offset) {
        self.completed.retain(|_, last| *last >= high_watermark);
    }

    /// Forgets producers that were silent for `after_ms` and have no open transaction.
    pub(super) fn expire(&mut self, now: Timestamp, after_ms: i64) {
        self.by_id.retain(|_, producer| {
            producer.transaction_start.is_some() || now.0.saturating_sub(producer.last_timestamp.0) < after_ms
        });
    }
}

#[cfg(test)]
mod tests;

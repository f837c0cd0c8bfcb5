//! Batches that were refused for a while, so that none that its producer sent behind one is let past.
//!
//! A client may have five batches under way. Where a log knows nothing of the producer it takes any first sequence, since what came before
//! may have been deleted; so when the first batch came a moment before this broker led the partition and the second a moment after,
//! the second got in. The first then came as one out of order, and clients repeat it until its time is up: its records are never written.
//! Kafka 4.3.1 behaves so, except in transactions of version 2 (ProducerAppendInfo.checkSequence). Here what comes behind is refused as the first
//! one was until that has come again.
//!
//! Where the log knows the producer, the sequence says that one is missing. librdkafka, told of that gap, begins a new epoch and sends again
//! what it has no answer for, in every partition: records twice. So there, too, the answer is that of the refused batch, as long as that may
//! be on its way again.
//!
//! It must never hold back a batch that follows what the log has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kafka_protocol::error::ResponseError;
use milena_storage::batch::Header;
use milena_storage::ids::{ProducerEpoch, ProducerId};
use uuid::Uuid;

use crate::codec::produce_request::{PartitionRecords, TopicData};

/// How long a refused batch is waited for, in milliseconds: a producer gives its records up after `delivery.timeout.ms`, 2 minutes unless it
/// sets another time, and then begins a new epoch.
const HOLD_MS: i64 = 120_000;
/// How long the answer to a gap in a known sequence is that of the batch that is missing, in milliseconds: clients repeat it within a second
/// (`retry.backoff.max.ms`). Whoever has given it up must hear of the gap, or what comes behind is repeated until its time is up.
const GAP_MS: i64 = 10_000;
/// Where more producers are refused at once, those that come last are treated as Kafka treats them. About 150 bytes each.
const REFUSALS_MAX: usize = 10_000;
/// How often those that have ended are looked for, in milliseconds: one pass over all.
const LOOK_AFTER_MS: i64 = 10_000;

/// Who sent what, of an idempotent producer's batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub producer: ProducerId,
    pub epoch: ProducerEpoch,
    pub sequence: i32,
}

impl Sent {
    /// None for what has no sequence, or no header that can be read: that is refused elsewhere.
    pub(super) fn of(data: &PartitionRecords) -> Option<Self> {
        let header = Header::parse(data.records.as_ref()?).ok()?;
        header.has_producer().then_some(Self {
            producer: header.producer_id,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
        })
    }
}

/// A partition as requests name it: by the topic's id from version 13 on. It is kept apart from the image, which may not know it yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Named {
    Id(Uuid, i32),
    Name(String, i32),
}

impl Named {
    pub(super) fn of(topic: &TopicData, index: i32, by_id: bool) -> Self {
        if by_id { Self::Id(topic.id, index) } else { Self::Name(topic.name.to_string(), index) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    epoch: ProducerEpoch,
    sequence: i32,
    error: ResponseError,
    at: i64,
}

impl Refusal {
    fn has_ended(&self, now: i64) -> bool {
        now.saturating_sub(self.at) >= HOLD_MS
    }
}

#[derive(Debug, Default)]
struct Refusals {
    by_sender: HashMap<(ProducerId, Named), Refusal>,
    looked_at: i64,
}

/// What a broker has refused. Nothing is locked while that is nothing.
#[derive(Debug, Default)]
pub struct RefusedBatches {
    count: AtomicUsize,
    refusals: Mutex<Refusals>,
}

impl RefusedBatches {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// A batch was refused, and its producer will send it again.
    pub(super) fn note(&self, named: Named, sent: Sent, error: ResponseError, now: i64) {
        self.change(now, |refusals| {
            let is_full = refusals.len() >= REFUSALS_MAX;
            let key = (sent.producer, named);
            let new = Refusal { epoch: sent.epoch, sequence: sent.sequence, error, at: now };
            match refusals.get_mut(&key) {
                Some(old) if old.epoch == sent.epoch && old.sequence < sent.sequence => {}
                Some(old) => *old = new,
                None if is_full => {}
                None => drop(refusals.insert(key, new)),
            }
        });
    }

    /// Why an earlier batch of a producer that the log does not know was refused, which has not come since.
    pub(super) fn ahead_of(&self, named: &Named, sent: Sent, now: i64) -> Option<ResponseError> {
        self.within(HOLD_MS, named, sent, now)
    }

    /// Why the batch was refused that is missing in the sequence of a producer that the log knows, if it may be on its way again.
    pub(super) fn missing_before(&self, named: &Named, sent: Sent, now: i64) -> Option<ResponseError> {
        self.within(GAP_MS, named, sent, now)
    }

    fn within(&self, limit_ms: i64, named: &Named, sent: Sent, now: i64) -> Option<ResponseError> {
        self.change(now, |refusals| {
            let refusal = refusals.get(&(sent.producer, named.clone()))?;
            let is_ahead = refusal.epoch == sent.epoch && refusal.sequence < sent.sequence;
            (is_ahead && now.saturating_sub(refusal.at) < limit_ms).then_some(refusal.error)
        })
    }

    /// A batch was taken: nothing up to it is waited for.
    pub(super) fn taken(&self, named: &Named, sent: Sent, now: i64) {
        self.change(now, |refusals| {
            let key = (sent.producer, named.clone());
            if refusals
                .get(&key)
                .is_some_and(|refusal| refusal.sequence <= sent.sequence || refusal.epoch != sent.epoch)
            {
                refusals.remove(&key);
            }
        });
    }

    fn change<T>(&self, now: i64, change: impl FnOnce(&mut HashMap<(ProducerId, Named), Refusal>) -> T) -> T {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(refusals.looked_at) >= LOOK_AFTER_MS {
            refusals.looked_at = now;
            refusals.by_sender.retain(|_, refusal| !refusal.has_ended(now));
        }
        let changed = change(&mut refusals.by_sender);
        self.count.store(refusals.by_sender.len(), Ordering::Release);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const WHY: ResponseError = ResponseError::NotLeaderOrFollower;

    fn sent(sequence: i32) -> Sent {
        Sent { producer: ProducerId(7), epoch: ProducerEpoch(0), sequence }
    }

    fn here() -> Named {
        Named::Name("t".into(), 0)
    }

    #[test]
    fn what_comes_behind_waits_for_what_was_refused() {
        let refused = RefusedBatches::default();
        assert!(refused.is_empty());
        refused.note(here(), sent(10), WHY, NOW);
        refused.note(here(), sent(20), ResponseError::NotEnoughReplicas, NOW);
        assert_eq!(refused.ahead_of(&here(), sent(20), NOW), Some(WHY));
        assert_eq!(refused.ahead_of(&here(), sent(10), NOW), None, "it is the one that is waited for");
        assert_eq!(refused.ahead_of(&Named::Name("t".into(), 1), sent(20), NOW), None);
        let other = Sent { producer: ProducerId(8), ..sent(20) };
        assert_eq!(refused.ahead_of(&here(), other, NOW), None);
        let later = Sent { epoch: ProducerEpoch(1), ..sent(20) };
        assert_eq!(refused.ahead_of(&here(), later, NOW), None, "a new epoch has nothing ahead of it");
        refused.taken(&here(), sent(0), NOW);
        assert_eq!(refused.ahead_of(&here(), sent(20), NOW), Some(WHY), "10 is still to come");
        refused.taken(&here(), sent(10), NOW);
        assert!(refused.is_empty());
    }

    #[test]
    fn a_refusal_ends_with_the_time_that_records_have() {
        let refused = RefusedBatches::default();
        refused.note(here(), sent(0), WHY, NOW);
        assert_eq!(refused.missing_before(&here(), sent(1), NOW + GAP_MS - 1), Some(WHY));
        assert_eq!(refused.missing_before(&here(), sent(1), NOW + GAP_MS), None, "a gap is told of sooner");
        assert_eq!(refused.ahead_of(&here(), sent(1), NOW + HOLD_MS - 1), Some(WHY));
        refused.note(here(), sent(0), WHY, NOW + HOLD_MS - 1);
        assert_eq!(
            refused.ahead_of(&here(), sent(1), NOW + HOLD_MS),
            Some(WHY),
            "it came and was refused again"
        );
        assert_eq!(refused.ahead_of(&here(), sent(1), NOW + 2 * HOLD_MS - 1), None);
    }

    #[test]
    fn it_is_bounded_and_forgets_what_has_ended() {
        let refused = RefusedBatches::default();
        let at = |index| Named::Id(Uuid::nil(), index);
        (0..10_005).for_each(|index| refused.note(at(index), sent(0), WHY, NOW));
        assert_eq!(refused.ahead_of(&at(9_999), sent(1), NOW), Some(WHY));
        assert_eq!(refused.ahead_of(&at(10_000), sent(1), NOW), None);
        assert_eq!(refused.ahead_of(&at(0), sent(1), NOW + HOLD_MS), None);
        assert!(refused.is_empty());
    }
}

//! Transactions whose first batch waits for the coordinator's word (KIP-890; `VerificationStateEntry`).
//!
//! Must never let a batch in under a guard that a marker has ended: the transaction was decided meanwhile.

use std::collections::BTreeMap;

use super::error::AppendError;
use crate::batch::Header;
use crate::ids::{ProducerEpoch, ProducerId, Timestamp};

/// Stands for one question to the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guard(u64);

impl Guard {
    /// No question was asked, because the transaction was open (`VerificationGuard.SENTINEL`); no batch begins a
    /// transaction under it.
    pub const NOT_ASKED: Self = Self(0);
}

#[derive(Debug, Default)]
pub(super) struct Verifying {
    by_producer: BTreeMap<ProducerId, Waiting>,
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    guard: Guard,
    epoch: ProducerEpoch,
    lowest_sequence: i32,
    /// The client's epoch grows with each transaction, so its first sequence is always zero.
    bumps: bool,
    since: Timestamp,
}

impl Verifying {
    /// Several batches of a transaction may ask at once; the earliest of them is to come first.
    pub(super) fn begin(&mut self, header: &Header, bumps: bool, now: Timestamp) -> Guard {
        let (epoch, sequence) = (header.producer_epoch, header.base_sequence);
        let last = &mut self.last;
        let waiting = self.by_producer.entry(header.producer_id).or_insert_with(|| {
            *last += 1;
            Waiting { guard: Guard(*last), epoch, lowest_sequence: sequence, bumps, since: now }
        });
        if epoch > waiting.epoch {
            waiting.epoch = epoch;
            waiting.lowest_sequence = sequence;
        } else if epoch == waiting.epoch {
            waiting.lowest_sequence = waiting.lowest_sequence.min(sequence);
        }
        waiting.guard
    }

    /// The transaction is open, or was ended.
    pub(super) fn end(&mut self, producer_id: ProducerId) {
        self.by_producer.remove(&producer_id);
    }

    /// The rules for a batch that begins a transaction here; `knows` tells whether the log has batches of the producer.
    pub(super) fn check(&self, header: &Header, guard: Guard, knows: bool) -> Result<(), AppendError> {
        let producer_id = header.producer_id;
        let waiting = self.by_producer.get(&producer_id).filter(|waiting| waiting.guard == guard);
        let waiting = waiting.ok_or(AppendError::NotVerified { producer_id })?;
        let sequence = header.base_sequence;
        let unknown = waiting.bumps && !knows && sequence != 0;
        if unknown || sequence > waiting.lowest_sequence {
            let last_sequence = if unknown { -1 } else { waiting.lowest_sequence };
            return Err(AppendError::Sequence { producer_id, sequence, last_sequence });
        }
        Ok(())
    }

    /// Forgets questions whose batches never came.
    pub(super) fn expire(&mut self, now: Timestamp, after_ms: i64) {
        self.by_producer.retain(|_, waiting| now.0.saturating_sub(waiting.since.0) < after_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Record};
    use crate::compress::Codec;

    fn header(epoch: i16, sequence: i32) -> Header {
        let mut batch =
            BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(epoch), sequence).transactional();
        batch.push(Record::default());
        Header::parse(&batch.finish(Codec::None, None)).unwrap()
    }

    #[test]
    fn a_batch_comes_in_under_the_guard_of_its_question_and_under_no_other() {
        let mut verifying = Verifying::default();
        let first = header(0, 0);
        let guard = verifying.begin(&first, true, Timestamp(0));
        assert_eq!(verifying.begin(&header(0, 1), true, Timestamp(0)), guard, "one question");
        assert!(verifying.check(&first, guard, false).is_ok());
        assert!(verifying.check(&first, Guard::NOT_ASKED, false).is_err());
        verifying.end(ProducerId(7));
        assert!(verifying.check(&first, guard, false).is_err(), "the transaction was ended meanwhile");
        assert_ne!(verifying.begin(&first, true, Timestamp(0)), guard, "a new question");
    }

    #[test]
    fn the_earliest_batch_that_asked_comes_first() {
        let mut verifying = Verifying::default();
        let guard = verifying.begin(&header(0, 5), false, Timestamp(0));
        verifying.begin(&header(0, 3), false, Timestamp(0));
        assert!(matches!(
            verifying.check(&header(0, 5), guard, true),
            Err(AppendError::Sequence { last_sequence: 3, .. })
        ));
        assert!(verifying.check(&header(0, 3), guard, true).is_ok());
        // A client whose epoch grows begins at zero where nothing is known of it.
        let mut verifying = Verifying::default();
        let guard = verifying.begin(&header(1, 2), true, Timestamp(0));
        assert!(verifying.check(&header(1, 2), guard, false).is_err());
        assert!(verifying.check(&header(1, 2), guard, true).is_ok());
    }

    #[test]
    fn questions_whose_batches_never_come_are_forgotten() {
        let mut verifying = Verifying::default();
        let guard = verifying.begin(&header(0, 0), false, Timestamp(0));
        verifying.expire(Timestamp(99), 100);
        assert!(verifying.check(&header(0, 0), guard, true).is_ok());
        verifying.expire(Timestamp(100), 100);
        assert!(verifying.check(&header(0, 0), guard, true).is_err());
    }
}

//! What a leader whose disk is full says to what producers have sent behind a batch that it refused.
//!
//! Must never hide a gap for longer than a client may still repeat the refused batch.

use std::sync::atomic::{AtomicI64, Ordering};

use milena_storage::ids::Timestamp;
use milena_storage::log::AppendError;

/// How long after the disk last refused a batch what comes behind it is refused, too, in milliseconds. Clients repeat the refused one within a
/// second (`retry.backoff.max.ms`); whoever has given it up must hear of the gap, or what comes behind is repeated until its time is up.
const SHORTAGE_MS: u64 = 10_000;

/// Stands for no time.
const NEVER: i64 = i64::MIN;

/// When the disk refused the last batch of a partition, unless it has taken one since.
#[derive(Debug)]
pub struct Shortage(AtomicI64);

impl Default for Shortage {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl Shortage {
    /// Notes what became of an append; true if it is to be answered KAFKA_STORAGE_ERROR though the log found a gap: what a producer sent
    /// behind a batch that the full disk refused is refused for the same reason. Told of a gap in its sequence instead, librdkafka begins a
    /// new epoch and sends again what it has no answer for yet, in every partition: records twice. (Kafka gives the directory up, and
    /// answers so from then on.)
    pub fn is_behind<T>(&self, outcome: &Result<T, AppendError>, now: Timestamp) -> bool {
        let refused = self.0.load(Ordering::Acquire);
        if matches!(outcome, Err(AppendError::Sequence { .. })) {
            return refused != NEVER && refused.abs_diff(now.0) < SHORTAGE_MS;
        }
        let is_short = matches!(outcome, Err(AppendError::Storage(cause)) if cause.is_shortage());
        if is_short || outcome.is_ok() {
            self.0.store(if is_short { now.0 } else { NEVER }, Ordering::Release);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use milena_storage::StorageError;
    use milena_storage::ids::ProducerId;

    use super::*;

    fn gap() -> Result<(), AppendError> {
        Err(AppendError::Sequence { producer_id: ProducerId(7), sequence: 9, last_sequence: 3 })
    }

    fn full() -> Result<(), AppendError> {
        Err(StorageError::io("write", Path::new("/d/t-0/f"), io::ErrorKind::StorageFull.into()).into())
    }

    #[test]
    fn what_comes_behind_a_refusal_for_lack_of_room_is_refused_for_it() {
        let shortage = Shortage::default();
        let at = |ms: i64, outcome: Result<(), AppendError>| {
            shortage.is_behind(&outcome, Timestamp(1_000_000 + ms))
        };
        assert!(!at(0, gap()), "no batch was refused before it");
        assert!(!at(0, full()));
        assert!(at(0, gap()));
        assert!(!at(0, Err(AppendError::NotVerified { producer_id: ProducerId(7) })));
        assert!(at(0, gap()), "the refused batch has not come again");
        assert!(!at(0, Ok(())));
        assert!(!at(0, gap()));
        assert!(!at(0, full()));
        assert!(!at(9_000, full()));
        assert!(at(18_999, gap()), "it has come again, and was refused again");
        assert!(!at(19_000, gap()), "it does not come any more");
    }
}

//! InitProducerId with a transactional id: a producer takes the id over, and fences whoever had it.
//!
//! Must never give the same id and epoch to two producers.
//!
//! Kafka: `TransactionCoordinator.handleInitProducerId` and `prepareInitProducerIdTransit`.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};

use super::record::Transaction;
use super::shard::{NO_EPOCH, TransactionShard, Turn, exhausted};
use super::{Init, Initialized, State, TransactionVersion, end};

pub(super) fn init(
    shard: &mut TransactionShard,
    turn: &mut Turn,
    request: &Init,
) -> Result<Initialized, ResponseError> {
    check(shard, request)?;
    shard.stock.add(request.fresh);
    let timeout_ms = if request.two_phase_commit { i32::MAX } else { request.timeout_ms };
    let (before, last_epoch) = match shard.entries.get(&request.id) {
        Some(entry) => (entry.durable.clone(), entry.last_epoch),
        None => (newcomer(shard.stock.take()?, turn.now), NO_EPOCH),
    };
    if !request.expected.is_none_or(|expected| before.may_be(expected)) {
        return Err(ResponseError::ProducerFenced);
    }
    match before.state {
        State::PrepareCommit | State::PrepareAbort => Err(ResponseError::ConcurrentTransactions),
        State::Ongoing => {
            // The epoch of the fence is never given to anybody: who asks again gets the one after it.
            end::fence(shard, turn, &request.id)?;
            Err(ResponseError::ConcurrentTransactions)
        }
        State::Empty
        | State::CompleteCommit
        | State::CompleteAbort
        | State::Dead
        | State::PrepareEpochFence => {
            let expected = request.expected.map(|(_, epoch)| epoch);
            let (after, last_epoch) =
                if before.is_exhausted() && expected.is_none_or(|epoch| epoch == before.epoch) {
                    before.rotated(shard.stock.take()?, expected.is_some())
                } else {
                    before.bumped(expected, last_epoch)?
                };
            let after = Transaction {
                timeout_ms,
                partitions: BTreeSet::new(),
                started: Timestamp::NONE,
                updated: turn.now,
                ..after
            };
            turn.write(&request.id, &after)?;
            let initialized = Initialized { producer_id: after.producer_id, epoch: after.epoch };
            // Soft, and so set at once. A newcomer has no epoch before this one.
            if let Some(entry) = shard.entries.get_mut(&request.id) {
                entry.last_epoch = last_epoch;
            }
            Ok(initialized)
        }
    }
}

fn check(shard: &TransactionShard, request: &Init) -> Result<(), ResponseError> {
    if request.id.is_empty() {
        Err(ResponseError::InvalidRequest)
    } else if request.two_phase_commit && !shard.config.two_phase_commit {
        Err(ResponseError::TransactionalIdAuthorizationFailed)
    } else if request.keep_prepared {
        Err(ResponseError::UnsupportedVersion)
    } else if !request.two_phase_commit && !(1..=shard.config.timeout_max_ms).contains(&request.timeout_ms) {
        Err(ResponseError::InvalidTransactionTimeout)
    } else {
        Ok(())
    }
}

/// An id that nobody has used yet.
fn newcomer(producer_id: ProducerId, now: Timestamp) -> Transaction {
    Transaction {
        producer_id,
        previous_producer_id: ProducerId::NONE,
        next_producer_id: ProducerId::NONE,
        epoch: NO_EPOCH,
        timeout_ms: 0,
        state: State::Empty,
        partitions: BTreeSet::new(),
        started: Timestamp::NONE,
        updated: now,
        client_version: TransactionVersion::V0,
    }
}

impl Transaction {
    /// Whether a producer that names this id and epoch may be the one that had it. The epoch is looked at when it is
    /// about to grow.
    fn may_be(&self, (id, epoch): (ProducerId, ProducerEpoch)) -> bool {
        self.epoch == NO_EPOCH
            || id == self.producer_id
            // Its epochs were used up, and the answer with its new id got lost.
            || (id == self.previous_producer_id && exhausted(epoch))
    }

    /// A new producer id, because the epochs of the old one are used up (`prepareProducerIdRotation`).
    fn rotated(&self, fresh: ProducerId, keep_last: bool) -> (Self, ProducerEpoch) {
        let after = Self { producer_id: fresh, epoch: ProducerEpoch(0), ..self.moved_to(State::Empty) };
        (after, if keep_last { self.epoch } else { NO_EPOCH })
    }

    /// The next epoch, or the same once more for a repeated request (`prepareIncrementProducerEpoch`).
    fn bumped(
        &self,
        expected: Option<ProducerEpoch>,
        last_epoch: ProducerEpoch,
    ) -> Result<(Self, ProducerEpoch), ResponseError> {
        let next =
            Self { epoch: ProducerEpoch(self.epoch.0.saturating_add(1)), ..self.moved_to(State::Empty) };
        match expected {
            None => Ok((next, NO_EPOCH)),
            Some(epoch) if self.epoch == NO_EPOCH || epoch == self.epoch => Ok((next, self.epoch)),
            Some(epoch) if epoch == last_epoch => Ok((self.moved_to(State::Empty), last_epoch)),
            Some(_) => Err(ResponseError::ProducerFenced),
        }
    }
}

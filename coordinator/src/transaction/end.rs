//! EndTxn, what it leaves to do, and the fence that ends a transaction for its producer.
//!
//! Must never decide a transaction twice, nor call it complete before all its markers are written.
//!
//! Kafka: `TransactionCoordinator.endTransaction`, `endTransactionWithTV1`, `TransactionMetadata.prepareAbortOrCommit`.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use milena_storage::ids::{ProducerEpoch, ProducerId};

use super::record::Transaction;
use super::shard::{NO_EPOCH, TransactionShard, Turn, exhausted};
use super::{End, Ended, MarkerOrder, Name, State, TransactionVersion};

pub(super) fn end(
    shard: &mut TransactionShard,
    turn: &mut Turn,
    request: &End,
) -> Result<Ended, ResponseError> {
    if request.id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let entry = shard.entries.get(&request.id).ok_or(ResponseError::InvalidProducerIdMapping)?;
    let bumps = request.client_version.supports_epoch_bump();
    let verdict =
        if bumps { judge_bumping(&entry.durable, request)? } else { judge_fixed(&entry.durable, request)? };
    match verdict {
        Verdict::Done if bumps => {
            let Transaction { producer_id, epoch, .. } = entry.durable;
            Ok(Ended { producer_id, epoch })
        }
        Verdict::Done => Ok(NOTHING_NEW),
        Verdict::Prepare { begun } => {
            let target = if request.commit { State::PrepareCommit } else { State::PrepareAbort };
            let prepared = prepare(shard, turn, &request.id, target, request.client_version, begun)?;
            let (producer_id, epoch) = prepared.successor();
            Ok(if bumps { Ended { producer_id, epoch } } else { NOTHING_NEW })
        }
    }
}

/// Aborts an ongoing transaction on the coordinator's own account, so that its producer cannot go on.
///
/// # Errors
/// COORDINATOR_LOAD_IN_PROGRESS if it takes a fresh producer id and there is none at hand.
pub(super) fn fence(shard: &mut TransactionShard, turn: &mut Turn, id: &Name) -> Result<(), ResponseError> {
    if turn.version.supports_epoch_bump() {
        return prepare(shard, turn, id, State::PrepareAbort, turn.version, true).map(drop);
    }
    let entry = shard.entries.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
    let prepared = Transaction {
        epoch: ProducerEpoch(entry.durable.epoch.0.saturating_add(1)),
        next_producer_id: ProducerId::NONE,
        updated: turn.now,
        client_version: TransactionVersion::V0,
        ..entry.durable.moved_to(State::PrepareAbort)
    };
    entry.last_epoch = NO_EPOCH;
    turn.write(id, &prepared)?;
    turn.out.orders.push(prepared.order(id));
    Ok(())
}

/// All markers of an order are written.
pub(super) fn complete(shard: &TransactionShard, turn: &mut Turn, order: &MarkerOrder) {
    let Some(entry) = shard.entries.get(&order.id) else { return };
    let before = &entry.durable;
    let same = before.state.is_prepared()
        && before.producer_id == order.producer_id
        && before.epoch == order.epoch
        && (before.state == State::PrepareCommit) == order.commit;
    if !same {
        return;
    }
    let (producer_id, epoch) = before.successor();
    let done = if order.commit { State::CompleteCommit } else { State::CompleteAbort };
    let after = Transaction {
        producer_id,
        epoch,
        next_producer_id: ProducerId::NONE,
        partitions: BTreeSet::new(),
        updated: turn.now,
        ..before.moved_to(done)
    };
    if let Err(error) = turn.write(&order.id, &after) {
        // The id was short enough for the record that prepared this.
        tracing::error!(id = %order.id, ?error, "a completed transaction cannot be written");
    }
}

/// What older clients are told: their id and epoch stay.
const NOTHING_NEW: Ended = Ended { producer_id: ProducerId::NONE, epoch: NO_EPOCH };

enum Verdict {
    /// The request repeats one that was carried out.
    Done,
    /// `begun` is false for the abort of a transaction that has no partitions yet (KIP-890).
    Prepare { begun: bool },
}

/// Clients whose epoch stays over transactions.
fn judge_fixed(before: &Transaction, request: &End) -> Result<Verdict, ResponseError> {
    if before.producer_id != request.producer_id {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    if before.epoch != request.epoch {
        return Err(ResponseError::ProducerFenced);
    }
    match (before.state, request.commit) {
        (State::Ongoing, _) => Ok(Verdict::Prepare { begun: true }),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(Verdict::Done),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
            Err(ResponseError::ConcurrentTransactions)
        }
        _ => Err(ResponseError::InvalidTxnState),
    }
}

/// Clients whose epoch grows with each transaction: the same epoch is the next request, the one before it is a
/// repetition. The table stands at `TransactionCoordinator.endTransaction`.
fn judge_bumping(before: &Transaction, request: &End) -> Result<Verdict, ResponseError> {
    let repeats_rotation = before.previous_producer_id == request.producer_id
        && request.epoch.0 == i16::MAX - 1
        && before.epoch.0 == 0;
    let repeats_bump = before.epoch.0 == request.epoch.0.wrapping_add(1);
    if before.producer_id != request.producer_id && !repeats_rotation {
        return Err(ResponseError::InvalidProducerIdMapping);
    }
    let current = request.epoch == before.epoch;
    let valid = match before.state {
        State::Ongoing | State::Empty | State::Dead | State::PrepareEpochFence => current,
        State::PrepareCommit | State::PrepareAbort => repeats_bump,
        State::CompleteCommit | State::CompleteAbort => repeats_bump || repeats_rotation || current,
    };
    if !valid {
        return Err(ResponseError::ProducerFenced);
    }
    let repeats = repeats_bump || repeats_rotation;
    match (before.state, request.commit) {
        (State::Ongoing, _) => Ok(Verdict::Prepare { begun: true }),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) if repeats => Ok(Verdict::Done),
        (State::CompleteCommit | State::CompleteAbort, false) if !repeats => {
            Ok(Verdict::Prepare { begun: false })
        }
        (State::Empty, false) => Ok(Verdict::Prepare { begun: false }),
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
            Err(ResponseError::ConcurrentTransactions)
        }
        _ => Err(ResponseError::InvalidTxnState),
    }
}

/// Writes the decision; the markers follow once it is committed.
fn prepare(
    shard: &mut TransactionShard,
    turn: &mut Turn,
    id: &Name,
    target: State,
    client_version: TransactionVersion,
    begun: bool,
) -> Result<Transaction, ResponseError> {
    let entry = shard.entries.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
    let before = &entry.durable;
    let mut prepared = Transaction {
        next_producer_id: ProducerId::NONE,
        started: if begun { before.started } else { turn.now },
        updated: turn.now,
        client_version,
        ..before.moved_to(target)
    };
    if client_version.supports_epoch_bump() {
        if exhausted(before.epoch) {
            let fresh = shard.stock.take();
            turn.out.wants_producer_id |= fresh.is_err();
            prepared.next_producer_id = fresh?;
        }
        // At the very last epoch an abort goes through without another, so that the id recovers.
        prepared.epoch = ProducerEpoch(before.epoch.0.saturating_add(1));
        entry.last_epoch = before.epoch;
    }
    turn.write(id, &prepared)?;
    turn.out.orders.push(prepared.order(id));
    Ok(prepared)
}

//! AddPartitionsToTxn: partitions join a transaction, or are asked to be in it already.
//!
//! Must never add to a transaction that is decided.
//!
//! Kafka: `TransactionCoordinator.handleAddPartitionsToTransaction` and `handleVerifyPartitionsInTransaction`.

use kafka_protocol::error::ResponseError;

use super::record::Transaction;
use super::shard::{TransactionShard, Turn};
use super::{Added, Partitions, State};

pub(super) fn add(
    shard: &TransactionShard,
    turn: &mut Turn,
    request: Partitions,
) -> Result<(), ResponseError> {
    let before = running(shard, &request)?;
    if before.state == State::Ongoing && request.partitions.is_subset(&before.partitions) {
        return Ok(());
    }
    let begins = before.state.is_at_rest();
    let mut after = Transaction {
        started: if begins { turn.now } else { before.started },
        updated: turn.now,
        client_version: request.client_version,
        ..before.moved_to(State::Ongoing)
    };
    after.partitions.extend(request.partitions);
    turn.write(&request.id, &after)
}

/// An answer for each partition. Not being in the transaction is TRANSACTION_ABORTABLE: the producer may abort and go
/// on (KIP-890).
pub(super) fn verify(shard: &TransactionShard, request: &Partitions) -> Vec<Added> {
    let transaction = running(shard, request);
    let answers = request.partitions.iter().map(|partition| {
        let error = match &transaction {
            Err(error) => Some(*error),
            Ok(transaction) if transaction.partitions.contains(partition) => None,
            Ok(_) => Some(ResponseError::TransactionAbortable),
        };
        Added { partition: partition.clone(), error }
    });
    answers.collect()
}

/// The transaction that the producer may add to.
fn running<'a>(shard: &'a TransactionShard, request: &Partitions) -> Result<&'a Transaction, ResponseError> {
    if request.id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let entry = shard.entries.get(&request.id).ok_or(ResponseError::InvalidProducerIdMapping)?;
    let transaction = &entry.durable;
    if transaction.producer_id != request.producer_id {
        Err(ResponseError::InvalidProducerIdMapping)
    } else if transaction.epoch != request.epoch {
        Err(ResponseError::ProducerFenced)
    } else if transaction.state.is_prepared() {
        Err(ResponseError::ConcurrentTransactions)
    } else {
        Ok(transaction)
    }
}

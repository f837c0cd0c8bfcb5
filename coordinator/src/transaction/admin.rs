//! ListTransactions and DescribeTransactions.
//!
//! Must never change anything.

use kafka_protocol::error::ResponseError;
use milena_storage::ids::Timestamp;

use super::shard::TransactionShard;
use super::{Described, ListFilter, Listed, State};

pub(super) fn list(shard: &TransactionShard, now: Timestamp, filter: &ListFilter) -> Vec<Listed> {
    let states: Vec<State> = filter.states.iter().filter_map(|name| State::from_name(name)).collect();
    let found = shard.entries.iter().filter(|(_, entry)| {
        let transaction = &entry.durable;
        let running = now.0.saturating_sub(transaction.started.0);
        (filter.producer_ids.is_empty() || filter.producer_ids.contains(&transaction.producer_id))
            && (filter.states.is_empty() || states.contains(&transaction.state))
            && (filter.duration_ms < 0 || running > filter.duration_ms)
    });
    let listed = found.map(|(id, entry)| Listed {
        id: id.clone(),
        producer_id: entry.durable.producer_id,
        state: entry.durable.state,
    });
    listed.collect()
}

pub(super) fn describe(shard: &TransactionShard, id: &str) -> Result<Described, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let transaction = &shard.entries.get(id).ok_or(ResponseError::TransactionalIdNotFound)?.durable;
    Ok(Described {
        state: transaction.state,
        timeout_ms: transaction.timeout_ms,
        started: transaction.started,
        producer_id: transaction.producer_id,
        epoch: transaction.epoch,
        partitions: transaction.partitions.clone(),
    })
}

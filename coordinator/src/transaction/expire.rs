//! What ends by time: transactions that take too long, and ids that nobody uses.
//!
//! Must never touch a transaction that is decided.

use milena_storage::ids::Timestamp;

use super::record::{Transaction, tombstone};
use super::shard::{TransactionShard, Turn};
use super::{Name, State, end};

/// `TransactionCoordinator.abortTimedOutTransactions`.
pub(super) fn abort_timed_out(shard: &mut TransactionShard, turn: &mut Turn) {
    let now = turn.now;
    let late = shard.entries.iter().filter(|(_, entry)| entry.durable.is_late(now));
    let late: Vec<Name> = late.map(|(id, _)| id.clone()).collect();
    for id in late {
        match end::fence(shard, turn, &id) {
            Ok(()) => tracing::info!(%id, "aborting a transaction that exceeded its time-out"),
            // It stays until the next look, when a fresh producer id is at hand.
            Err(error) => tracing::debug!(%id, ?error, "a transaction's time-out has to wait"),
        }
    }
}

/// `TransactionStateManager.removeExpiredTransactionalIds`.
pub(super) fn expire_ids(shard: &TransactionShard, turn: &mut Turn) {
    let oldest = Timestamp(turn.now.0.saturating_sub(shard.config.id_expiration_ms));
    let expired = shard.entries.iter().filter(|(_, entry)| {
        let transaction = &entry.durable;
        transaction.state.is_at_rest() && transaction.updated <= oldest
    });
    // An id that is in the log fits a record.
    turn.out.records.extend(expired.filter_map(|(id, _)| tombstone(id).ok()));
}

impl Transaction {
    /// Transactions of the two-phase commit (KIP-939) have no time-out.
    fn is_late(&self, now: Timestamp) -> bool {
        self.state == State::Ongoing
            && self.timeout_ms != i32::MAX
            && self.started.0.saturating_add(i64::from(self.timeout_ms)) < now.0
    }
}

//! The broker settings that transactions obey, as plain values.
//!
//! Must never read a settings file: whoever builds a shard fills this in.

/// Defaults are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`
    pub timeout_max_ms: i32,
    /// `transaction.two.phase.commit.enable`
    pub two_phase_commit: bool,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_interval_ms: i64,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expiry_interval_ms: i64,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            timeout_max_ms: 15 * 60 * 1000,
            two_phase_commit: false,
            abort_interval_ms: 10_000,
            id_expiration_ms: 7 * 24 * 3_600 * 1_000,
            expiry_interval_ms: 3_600_000,
        }
    }
}

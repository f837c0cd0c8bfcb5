//! The levels of the feature `transaction.version`, for the cluster and for one client's request.
//!
//! Must never let a level above what is known here count as more than it says.
//!
//! Kafka: `TransactionVersion`.

/// A level of `transaction.version`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TransactionVersion(pub i16);

impl TransactionVersion {
    /// Before KIP-890.
    pub const V0: Self = Self(0);
    /// Flexible fields in the records of the log.
    pub const V1: Self = Self(1);
    /// KIP-890, part 2: the epoch grows at the end of each transaction, partitions are added by Produce.
    pub const V2: Self = Self(2);

    #[must_use]
    pub fn supports_epoch_bump(self) -> bool {
        self >= Self::V2
    }

    /// The version in which the log's values are written (`transactionLogValueVersion`).
    #[must_use]
    pub fn log_value_version(self) -> i16 {
        i16::from(self >= Self::V1)
    }

    /// What an EndTxn request of that API version says of its client (`transactionVersionForEndTxn`).
    #[must_use]
    pub fn of_end_txn(api_version: i16) -> Self {
        if api_version > 4 { Self::V2 } else { Self::V0 }
    }

    /// What an AddPartitionsToTxn request of that API version says of the client behind it
    /// (`transactionVersionForAddPartitionsToTxn`).
    #[must_use]
    pub fn of_add_partitions(api_version: i16) -> Self {
        if api_version > 3 { Self::V2 } else { Self::V0 }
    }
}

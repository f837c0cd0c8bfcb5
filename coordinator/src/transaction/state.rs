//! The states of a transaction and how they are written.
//!
//! Must never change a number or a name: both are in Kafka's records and tools.
//!
//! Kafka: `org.apache.kafka.coordinator.transaction.TransactionState`.

/// Where a transactional id stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// No transaction has been started since the producer was initialized.
    Empty,
    Ongoing,
    /// Decided; the markers are not all written.
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    /// Known to Kafka while an id expires. Never written here.
    Dead,
    /// Known to Kafka while a producer is fenced. Never written here.
    PrepareEpochFence,
}

const TABLE: [(State, i8, &str); 8] = [
    (State::Empty, 0, "Empty"),
    (State::Ongoing, 1, "Ongoing"),
    (State::PrepareCommit, 2, "PrepareCommit"),
    (State::PrepareAbort, 3, "PrepareAbort"),
    (State::CompleteCommit, 4, "CompleteCommit"),
    (State::CompleteAbort, 5, "CompleteAbort"),
    (State::Dead, 6, "Dead"),
    (State::PrepareEpochFence, 7, "PrepareEpochFence"),
];

impl State {
    /// The number in the log.
    #[must_use]
    pub fn id(self) -> i8 {
        self.row().1
    }

    /// The name that DescribeTransactions and ListTransactions use.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().2
    }

    #[must_use]
    pub fn from_id(id: i8) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == id).map(|row| row.0)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Whether the transaction is over, or none was begun: what may begin another, and expire.
    #[must_use]
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }

    /// Decided, with markers to write.
    #[must_use]
    pub fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    fn row(self) -> &'static (Self, i8, &'static str) {
        // The table is in the order of the states.
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_states() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, index);
            assert_eq!(State::from_id(row.1), Some(row.0));
            assert_eq!(State::from_name(row.2), Some(row.0));
        }
        assert_eq!(State::from_id(8), None);
    }
}

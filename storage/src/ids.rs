//! Offsets, epochs and ids as types of their own, so that one cannot be passed for another.
//!
//! Must never hold behaviour beyond conversion, order and display.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// Position of a record in a partition's log.
    Offset(i64)
}
number! {
    /// Milliseconds since 1970-01-01 UTC; −1 means that there is none.
    Timestamp(i64)
}
number! {
    /// Counts the leaders that a partition has had.
    LeaderEpoch(i32)
}
number! {
    /// Identifies an idempotent or transactional producer.
    ProducerId(i64)
}
number! {
    /// Fences earlier instances of the same producer.
    ProducerEpoch(i16)
}
number! {
    /// A broker's `node.id`.
    BrokerId(i32)
}
number! {
    /// Index of a partition within its topic.
    PartitionIndex(i32)
}

impl Offset {
    /// The offset `count` records further.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl Timestamp {
    /// Kafka's "no timestamp".
    pub const NONE: Self = Self(-1);
}

impl LeaderEpoch {
    /// Kafka's "no leader epoch".
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// Kafka's "not idempotent".
    pub const NONE: Self = Self(-1);
}

/// A partition of a topic, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: PartitionIndex,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: PartitionIndex(partition) }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

//! What each subsystem gets: plain structs, by value, built from the table once per change of the settings.
//!
//! Must never be passed around as `Settings` instead: a subsystem sees the values that concern it.

mod groups;
mod network;
mod node;
mod storage;
mod topics;

pub use groups::{
    AssignmentLimits, ConsumerGroupSettings, GroupSettings, OffsetsSettings, ShareGroupSettings,
    ShareStateSettings, StreamsGroupSettings,
};
pub use network::{ConnectionSettings, NetworkSettings};
pub use node::{NodeSettings, ReplicationSettings, TransactionSettings};
pub use storage::{CleanerSettings, StorageSettings};
pub use topics::{FetchSettings, TopicDefaults, TopicSettings};

use std::time::Duration;

use super::Settings;

/// Smallest and largest value that a setting of a group may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    pub min: T,
    pub max: T,
}

impl Settings {
    /// Milliseconds as a duration; a negative number is none at all.
    fn millis(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.long(name)).unwrap_or_default())
    }

    /// Milliseconds where a negative number means "never".
    fn optional_millis(&self, name: &str) -> Option<Duration> {
        u64::try_from(self.optional_long(name)?).ok().map(Duration::from_millis)
    }

    /// A number of things or bytes; a negative one counts as zero.
    fn count(&self, name: &str) -> usize {
        usize::try_from(self.long(name)).unwrap_or_default()
    }

    fn millis_bounds(&self, min: &str, max: &str) -> Bounds<Duration> {
        Bounds { min: self.millis(min), max: self.millis(max) }
    }
}

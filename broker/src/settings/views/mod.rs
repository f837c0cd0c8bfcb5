//! What each subsystem gets: plain structs, by value, built from the table once per change of the settings.
//!
//! Must never be passed around as `Settings` instead: a subsystem sees the values that concern it.

mod groups;
mod network;
mod node;
mod own;
mod quorum;
mod sasl;
mod security;
mod storage;
mod topics;
mod zookeeper;

pub use groups::{
    AssignmentLimits, ConsumerGroupSettings, GroupSettings, OffsetsSettings, ShareGroupSettings,
    ShareStateSettings, StreamsGroupSettings,
};
pub use network::{ConnectionSettings, ListenerLimits, NetworkSettings};
pub use node::{NodeSettings, ReplicationSettings, TransactionSettings};
pub use own::{HttpSettings, http_address};
pub(super) use own::{TOPICS, TOPICS_FILE};
pub(super) use quorum::voter;
pub use quorum::{Beginning, QuorumSettings};
pub use sasl::{MechanismSettings, SaslSettings};
pub use security::{ClientAuth, StoreSettings, TlsSettings};
pub use storage::{CleanerSettings, MoveSettings, QuotaWindow, StorageSettings};
pub use topics::{FetchSettings, TopicDefaults, TopicSettings};
pub use zookeeper::ZooKeeperSettings;

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

#[cfg(test)]
mod tests {
    use super::super::row::Effect;
    use super::super::rows;
    use super::*;

    /// Where settings are read.
    const READERS: &[&str] = &[
        include_str!("groups.rs"),
        include_str!("network.rs"),
        include_str!("node.rs"),
        include_str!("own.rs"),
        include_str!("quorum.rs"),
        include_str!("sasl.rs"),
        include_str!("security.rs"),
        include_str!("storage.rs"),
        include_str!("topics.rs"),
        include_str!("zookeeper.rs"),
        include_str!("../listeners.rs"),
    ];

    #[test]
    fn a_setting_that_is_said_to_work_is_read_somewhere() {
        let is_read = |name: &str| READERS.iter().any(|text| text.contains(&format!("\"{name}\"")));
        let by_topics: Vec<_> = rows::TOPIC_ROWS
            .iter()
            .filter(|row| row.effect == Effect::Works)
            .filter_map(|row| row.synonym)
            .collect();
        for row in rows::broker_rows().filter(|row| row.effect == Effect::Works) {
            let same_as_node_id = row.name == "broker.id";
            assert!(
                is_read(row.name) || by_topics.contains(&row.name) || same_as_node_id,
                "{} is said to work and read nowhere",
                row.name
            );
        }
        for row in rows::TOPIC_ROWS.iter().filter(|row| row.effect == Effect::Works) {
            assert!(is_read(row.name), "{} is said to work and read nowhere", row.name);
        }
    }

    #[test]
    fn every_view_can_be_made_of_the_defaults() {
        let settings = Settings::default();
        assert_eq!(settings.node().id.0, 1);
        assert_eq!(settings.network().connections.max_idle, Some(Duration::from_secs(600)));
        assert_eq!(settings.storage().dirs, [std::path::PathBuf::from("./milena-data")]);
        assert_eq!(settings.groups().offsets.topic_replication_factor, 1);
        assert_eq!(settings.groups().initial_rebalance_delay, Duration::ZERO);
        assert_eq!(settings.groups().consumer.session_timeout_bounds.max, Duration::from_secs(60));
        assert_eq!(settings.transactions().topic_min_isr, 1);
        assert!(settings.cleaner().enabled);
        assert_eq!(settings.fetch().max_bytes, 57_671_680);
        assert_eq!(settings.topic_defaults().partitions, 1);
        assert_eq!(settings.replication().fetchers, 1);
    }

    #[test]
    fn a_topic_takes_its_own_value_then_the_finest_unit_of_the_broker() {
        let settings = |pairs: &[(&str, &str)]| Settings::from_pairs(pairs).expect("texts of the right type");
        let overrides = [("retention.ms".to_owned(), "7".to_owned())].into();
        let none = std::collections::BTreeMap::new();
        let hours = settings(&[("log.retention.hours", "2"), ("log.roll.hours", "3")]);
        assert_eq!(hours.topic(&none).retention_ms, 7_200_000);
        assert_eq!(hours.topic(&none).segment_ms, 3 * 3_600_000);
        assert_eq!(hours.topic(&overrides).retention_ms, 7);
        let minutes = settings(&[("log.retention.hours", "2"), ("log.retention.minutes", "3")]);
        assert_eq!(minutes.topic(&none).retention_ms, 180_000);
        let for_ever = settings(&[("log.retention.minutes", "-1")]);
        assert_eq!(for_ever.topic(&none).retention(), None);
        assert_eq!(hours.topic_defaults().partitions, 1);
        let more = hours.with_dynamic(&[("num.partitions".to_owned(), "4".to_owned())].into(), &none);
        assert_eq!(more.topic_defaults().partitions, 4, "a changed setting makes new views");
        let dynamic = hours.with_dynamic(&[("log.retention.ms".to_owned(), "9".to_owned())].into(), &none);
        assert_eq!(dynamic.topic(&none).retention_ms, 9);
    }
}

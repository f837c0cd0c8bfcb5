//! What the controller asks the settings table: is this value allowed, is this a list, what is its default.
//!
//! Must never hold more config names than the two on which elections depend: the one table of them is in the broker.

use crate::image::{ConfigKind, Configs, MetadataImage};

/// How many replicas have to be in sync for a write with acks=all.
pub(super) const MIN_IN_SYNC: &str = "min.insync.replicas";

use super::Refusal;

/// Implemented by the broker's settings.
pub trait ConfigRules: Send + Sync {
    /// Checks a resource's complete overrides after a change: names, types, ranges, combinations, and for
    /// brokers whether each may change while running. `old` are the overrides in force.
    fn check(&self, kind: ConfigKind, name: &str, new: &Configs, old: &Configs) -> Result<(), Refusal>;

    /// Whether the config is a list, so that append and subtract apply; `None`: no such config.
    fn is_list(&self, kind: ConfigKind, key: &str) -> Option<bool>;

    /// The default of the config's definition as text, onto which append and subtract work when nothing is set.
    fn default_text(&self, kind: ConfigKind, key: &str) -> Option<String>;

    /// All effective configs of a topic with these overrides, for the answer of CreateTopics.
    fn topic_configs(&self, image: &MetadataImage, overrides: &Configs) -> Vec<EffectiveConfig>;

    /// `num.partitions`.
    fn default_partitions(&self) -> i32;

    /// `default.replication.factor`.
    fn default_replication_factor(&self) -> i16;

    /// What a topic says of its replicas.
    fn replication(&self, image: &MetadataImage, topic: &str) -> ReplicationRules {
        let nothing = Configs::new();
        let values = self.topic_configs(image, image.topic_config(topic).unwrap_or(&nothing));
        let value = |name: &str| values.iter().find(|each| each.name == name)?.value.as_deref();
        ReplicationRules {
            min_in_sync: value(MIN_IN_SYNC).and_then(|text| text.parse().ok()).unwrap_or(1),
            unclean_election: value("unclean.leader.election.enable") == Some("true"),
        }
    }
}

/// `min.insync.replicas` and `unclean.leader.election.enable` of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationRules {
    pub min_in_sync: usize,
    pub unclean_election: bool,
}

/// One line of a topic's effective configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig {
    pub name: String,
    /// `None` for sensitive values.
    pub value: Option<String>,
    pub read_only: bool,
    /// `DescribeConfigsResponse.ConfigSource`.
    pub source: i8,
    pub sensitive: bool,
}

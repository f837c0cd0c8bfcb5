//! The metadata image: what a broker knows about the cluster at one zxid, as an immutable value.
//!
//! It is built from the tree and from nothing else. A new image shares every unchanged part with the one
//! before it, and a look-up allocates nothing. It must never hold state that cannot be rebuilt from the tree.

mod broker;
mod build;
mod config;
mod delta;
mod ordered;
mod quotas;
mod topic;

pub mod nodes;
pub mod paths;

use std::sync::Arc;

use milena_storage::ids::{BrokerId, PartitionIndex};
use uuid::Uuid;

use crate::tree::Zxid;

pub use broker::{BrokerImage, Endpoint, SecurityProtocol, SupportedFeatures};
pub use config::{ConfigKind, ConfigResource, Configs};
pub use delta::Delta;
pub use ordered::Ordered;
pub use quotas::{ClientQuotas, QuotaEntity, QuotaKey, Sharing};
pub use topic::{PartitionImage, TopicImage, is_internal_topic};

/// Everything that handlers and state machines read about the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataImage {
    /// Base64 form of the cluster's UUID; empty until the cluster is bootstrapped.
    pub cluster_id: Arc<str>,
    /// The last change of the tree that this image contains.
    pub zxid: Zxid,
    /// The broker that holds `/controller`.
    pub controller: Option<BrokerId>,
    /// Content of `/controller_epoch`.
    pub controller_epoch: i32,
    /// Node version of `/controller_epoch`: the token that every controller write checks.
    pub controller_epoch_version: i32,
    /// Live brokers in the order of their ids.
    pub brokers: Ordered<BrokerId, Arc<BrokerImage>>,
    pub features: Features,
    /// First producer id that no block has given out, from `/latest_producer_id_block`.
    pub next_producer_id: i64,
    /// Node version of `/latest_producer_id_block`; `None` while there is no such node.
    pub producer_block_version: Option<i32>,
    topics: Ordered<Arc<str>, Arc<TopicImage>>,
    topics_by_id: Ordered<Uuid, Arc<TopicImage>>,
    /// Names with a '.' or '_' by their form with underscores only, for the collision rule.
    collisions: Ordered<Arc<str>, Arc<[Arc<str>]>>,
    configs: [Ordered<Arc<str>, Arc<ConfigNode>>; ConfigKind::COUNT],
    /// The nodes that hold quotas only; those of users hold credentials, too, and are among the configs.
    quota_nodes: Ordered<QuotaEntity, Arc<ConfigNode>>,
    /// Users that have a folder of clients.
    client_folders: Ordered<Arc<str>, ()>,
    /// `None` while nobody has a quota, so that who serves requests has one thing to look at.
    quotas: Option<Arc<ClientQuotas>>,
}

/// Finalized feature levels (KIP-584) from `/feature`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Grows with each change, as clients keep the features of the highest epoch they saw; −1 before bootstrap.
    pub epoch: i64,
    /// Node version of `/feature`.
    pub version: i32,
    /// Levels by feature name; level 0 is never stored.
    pub levels: Arc<std::collections::BTreeMap<String, i16>>,
}

/// One `/config/<kind>/<name>` node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConfigNode {
    version: i32,
    entries: Configs,
}

impl MetadataImage {
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics_by_id.get(&id)
    }

    /// The partition, if topic and index exist.
    pub fn partition(&self, topic: &str, index: PartitionIndex) -> Option<&Arc<PartitionImage>> {
        self.topic(topic)?.partition(index)
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter().map(|(_, topic)| topic)
    }

    /// Topics named `from` and after, in the order of their names.
    pub fn topics_from(&self, from: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter_from(from).map(|(_, topic)| topic)
    }

    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// Whether a replica may lead and be in sync: its broker is there and not fenced, and the log directory in which it lies has not
    /// failed (`ReplicationControlManager.LeaderAcceptor`).
    pub fn is_usable(&self, partition: &PartitionImage, replica: BrokerId) -> bool {
        let broker = self.broker(replica).filter(|broker| !broker.fenced);
        broker.is_some_and(|broker| broker.has_online_dir(partition.directory(replica)))
    }

    /// The dynamic configs of one resource; `None` when it has none.
    pub fn config(&self, kind: ConfigKind, name: &str) -> Option<&Configs> {
        self.configs[kind as usize].get(name).map(|node| &node.entries)
    }

    pub fn topic_config(&self, topic: &str) -> Option<&Configs> {
        self.config(ConfigKind::Topic, topic)
    }

    /// Node version of the resource's config, for a checked write; `None` when it has no node.
    pub fn config_version(&self, kind: ConfigKind, name: &str) -> Option<i32> {
        self.configs[kind as usize].get(name).map(|node| node.version)
    }

    /// What the node of an entity with quotas holds, and its version.
    pub fn quota_node(&self, entity: &QuotaEntity) -> Option<(&Configs, i32)> {
        let node = match entity {
            QuotaEntity::User(user) => self.configs[ConfigKind::User as usize].get(user),
            other => self.quota_nodes.get(other),
        };
        node.map(|node| (&node.entries, node.version))
    }

    /// The clients that have a node below a user's.
    pub fn clients_of(&self, user: &Arc<str>) -> Vec<&QuotaEntity> {
        let from = QuotaEntity::UserClient(Arc::clone(user), "".into());
        let below = self.quota_nodes.iter_from(&from).map(|(entity, _)| entity);
        let is_of = |entity: &&QuotaEntity| matches!(entity, QuotaEntity::UserClient(of, _) if of == user);
        below.take_while(is_of).collect()
    }

    /// Whether there is a folder for the clients of a user.
    pub fn has_client_folder(&self, user: &str) -> bool {
        self.client_folders.contains(user)
    }

    /// The quotas of clients; `None` while nobody has any.
    pub fn quotas(&self) -> Option<&Arc<ClientQuotas>> {
        self.quotas.as_ref()
    }

    /// Whether no resource's configs differ from those of an image that this one was made of; false may be wrong.
    pub fn has_configs_of(&self, earlier: &Self) -> bool {
        self.configs.iter().zip(&earlier.configs).all(|(now, before)| now.is_same(before))
    }

    /// All resources of a kind that have a config node, by name.
    pub fn configs(&self, kind: ConfigKind) -> impl Iterator<Item = (&Arc<str>, &Configs)> {
        self.configs[kind as usize].iter().map(|(name, node)| (name, &node.entries))
    }

    /// Another topic whose name differs from `name` only by '.' and '_', so that their metrics would collide.
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        let names = self.collisions.get(topic::normalized(name).as_ref())?;
        names.iter().find(|other| other.as_ref() != name)
    }
}

#[cfg(test)]
mod tests;

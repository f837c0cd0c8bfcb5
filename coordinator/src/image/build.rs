//! Builds the image from the tree: whole, or the next one from what a batch of changes touched.
//!
//! Must never read anything but the tree, so that an image built step by step equals one built at once. A node
//! whose content cannot be read counts as absent and is named in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milena_storage::ids::{BrokerId, LeaderEpoch, PartitionIndex};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::nodes::{
    BrokerNode, ClusterIdNode, ConfigNodeJson, ControllerNode, FeatureNode, ProducerIdsNode, StateNode,
    TopicNode, parse_topic_id,
};
use super::paths::{self, Place};
use super::{
    ClientQuotas, ConfigKind, ConfigNode, ConfigResource, Delta, Features, MetadataImage, PartitionImage,
    QuotaEntity, TopicImage, quotas, topic,
};
use crate::tree::{Change, Stat, Tree};

impl MetadataImage {
    /// The image of a whole tree.
    #[must_use]
    pub fn from_tree(tree: &Tree) -> Self {
        let mut image = Self::default();
        image.read_singles(tree, &Singles::ALL);
        for id in tree.children(paths::BROKER_IDS).filter_map(|name| name.parse().ok()) {
            image.read_broker(tree, BrokerId(id));
        }
        for name in tree.children(paths::TOPICS) {
            image.read_topic(tree, name);
        }
        for kind in ConfigKind::ALL {
            for node in tree.children(&paths::config_folder(kind)) {
                image.read_config(tree, kind, &paths::decode(node));
            }
        }
        image.read_all_quotas(tree);
        image.sum_up_quotas();
        image.zxid = tree.zxid();
        image
    }

    /// The image after `changes`, which led to `tree`, and what differs; parts that no change touched are shared
    /// with this one.
    #[must_use]
    pub fn apply(&self, tree: &Tree, changes: &[Change]) -> (Self, Delta) {
        let mut next = self.clone();
        next.zxid = tree.zxid();
        let touched = Touched::by(changes);
        let mut delta = touched.delta();
        next.read_singles(tree, &touched.singles);
        for id in touched.brokers {
            next.read_broker(tree, id);
        }
        for (name, partitions) in touched.topics {
            match partitions {
                Some(indexes) => next.read_states(tree, name, &indexes),
                None => next.read_topic(tree, name),
            }
        }
        delta.quotas = !touched.quotas.is_empty();
        for (kind, name) in touched.configs {
            let changes_quotas = next.read_config(tree, kind, &name);
            delta.quotas |= changes_quotas;
        }
        for entity in touched.quotas {
            next.read_quotas(tree, entity);
        }
        for user in touched.client_folders {
            next.read_client_folder(tree, &user);
        }
        if delta.quotas {
            next.sum_up_quotas();
        }
        (next, delta)
    }

    fn read_singles(&mut self, tree: &Tree, singles: &Singles) {
        if singles.cluster_id {
            let node: Option<ClusterIdNode> = json(tree, paths::CLUSTER_ID).map(|(node, _)| node);
            self.cluster_id = node.map_or_else(|| Arc::from(""), |node| Arc::from(node.id));
        }
        if singles.controller {
            let node: Option<(ControllerNode, _)> = json(tree, paths::CONTROLLER);
            self.controller = node.map(|(node, _)| BrokerId(node.brokerid));
        }
        if singles.controller_epoch {
            let node: Option<(i32, Stat)> = json(tree, paths::CONTROLLER_EPOCH);
            (self.controller_epoch, self.controller_epoch_version) =
                node.map_or((0, 0), |(epoch, stat)| (epoch, stat.version));
        }
        if singles.feature {
            let node: Option<(FeatureNode, Stat)> = json(tree, paths::FEATURE);
            self.features = node.map_or_else(Features::default, |(node, stat)| Features {
                epoch: stat.mzxid.0,
                version: stat.version,
                levels: Arc::new(
                    node.features.into_iter().map(|(name, f)| (name, f.max_version_level)).collect(),
                ),
            });
        }
        if singles.producer_ids {
            let node: Option<(ProducerIdsNode, Stat)> = json(tree, paths::PRODUCER_IDS);
            self.producer_block_version = node.as_ref().map(|(_, stat)| stat.version);
            self.next_producer_id = node.and_then(|(node, _)| node.next()).unwrap_or(0);
        }
    }

    fn read_broker(&mut self, tree: &Tree, id: BrokerId) {
        let node: Option<(BrokerNode, Stat)> = json(tree, &paths::broker(id));
        match node.and_then(|(node, stat)| node.image(id, stat.czxid.0)) {
            Some(broker) => self.brokers.insert(id, Arc::new(broker)),
            None => self.brokers.remove(&id),
        };
    }

    fn read_topic(&mut self, tree: &Tree, name: &str) {
        let read: Option<(TopicNode, Stat)> = json(tree, &paths::topic(name));
        let old = self.topics.get(name).cloned();
        let Some((node, stat)) = read else {
            if let Some(old) = old {
                self.drop_topic(&old);
            }
            return;
        };
        let count = i32::try_from(node.partitions.len()).unwrap_or(i32::MAX);
        let partition = |index: i32| {
            let next = read_partition(tree, name, index, &node);
            let kept = old.as_ref().and_then(|t| t.partition(PartitionIndex(index)));
            kept.filter(|kept| ***kept == next).cloned().unwrap_or_else(|| Arc::new(next))
        };
        let topic = Arc::new(TopicImage {
            name: old.as_ref().map_or_else(|| Arc::from(name), |old| Arc::clone(&old.name)),
            id: parse_topic_id(&node.topic_id).unwrap_or_default(),
            version: stat.version,
            partitions: (0..count).map(partition).collect(),
        });
        match old {
            Some(old) if old.id == topic.id => self.put_topic(&topic),
            Some(old) => {
                self.drop_topic(&old);
                self.add_topic(&topic);
            }
            None => self.add_topic(&topic),
        }
    }

    /// Reads the states of some partitions of a topic whose own node has not changed.
    fn read_states(&mut self, tree: &Tree, name: &str, indexes: &BTreeSet<i32>) {
        let Some(old) = self.topics.get(name) else { return };
        let mut topic = TopicImage::clone(old);
        for &index in indexes {
            let Some(slot) = usize::try_from(index).ok().and_then(|i| topic.partitions.get_mut(i)) else {
                continue;
            };
            let mut partition = PartitionImage::clone(slot);
            set_state(&mut partition, tree, name);
            *slot = Arc::new(partition);
        }
        self.put_topic(&Arc::new(topic));
    }

    /// Whether it may hold other quotas than before.
    fn read_config(&mut self, tree: &Tree, kind: ConfigKind, name: &str) -> bool {
        let node = config_node(tree, &paths::config(kind, name));
        let configs = &mut self.configs[kind as usize];
        let now = node.clone();
        let before = match node {
            Some(node) => configs.insert(name.into(), node),
            None => configs.remove(name),
        };
        if kind != ConfigKind::User {
            return false;
        }
        let entity = QuotaEntity::User(name.into());
        let quotas = |node: Option<Arc<ConfigNode>>| node.map(|node| quotas::values(&entity, &node.entries));
        quotas(before).unwrap_or_default() != quotas(now).unwrap_or_default()
    }

    fn read_all_quotas(&mut self, tree: &Tree) {
        for client in tree.children(paths::CLIENTS) {
            self.read_quotas(tree, QuotaEntity::Client(paths::decode(client).into()));
        }
        for ip in tree.children(paths::IPS) {
            self.read_quotas(tree, QuotaEntity::Ip(paths::decode(ip).into()));
        }
        for user in tree.children(paths::USERS) {
            let user: Arc<str> = paths::decode(user).into();
            self.read_client_folder(tree, &user);
            for client in tree.children(&paths::clients_of(&user)) {
                let client = paths::decode(client).into();
                self.read_quotas(tree, QuotaEntity::UserClient(Arc::clone(&user), client));
            }
        }
    }

    fn read_quotas(&mut self, tree: &Tree, entity: QuotaEntity) {
        match config_node(tree, &paths::quotas(&entity)) {
            Some(node) => _ = self.quota_nodes.insert(entity, node),
            None => _ = self.quota_nodes.remove(&entity),
        }
    }

    fn read_client_folder(&mut self, tree: &Tree, user: &str) {
        match tree.stat(&paths::clients_of(user)) {
            Some(_) => _ = self.client_folders.insert(user.into(), ()),
            None => _ = self.client_folders.remove(user),
        }
    }

    fn sum_up_quotas(&mut self) {
        let users = self.configs[ConfigKind::User as usize].iter();
        let users = users.map(|(user, node)| (QuotaEntity::User(Arc::clone(user)), node));
        let others = self.quota_nodes.iter().map(|(entity, node)| (entity.clone(), node));
        let all = users.chain(others).map(|(entity, node)| {
            let values = quotas::values(&entity, &node.entries);
            (entity, values)
        });
        self.quotas = ClientQuotas::of(all).map(Arc::new);
    }

    fn add_topic(&mut self, topic: &Arc<TopicImage>) {
        self.put_topic(topic);
        if topic::has_collision_chars(&topic.name) {
            let key = topic::normalized(&topic.name);
            let mut names: Vec<_> =
                self.collisions.get(key.as_ref()).map_or_else(Vec::new, |names| names.to_vec());
            names.push(Arc::clone(&topic.name));
            names.sort();
            self.collisions.insert(Arc::from(key), names.into());
        }
    }

    fn put_topic(&mut self, topic: &Arc<TopicImage>) {
        self.topics.insert(Arc::clone(&topic.name), Arc::clone(topic));
        if !topic.id.is_nil() {
            self.topics_by_id.insert(topic.id, Arc::clone(topic));
        }
    }

    fn drop_topic(&mut self, topic: &TopicImage) {
        self.topics.remove(&topic.name);
        // Two topics never have one id unless somebody writes that by hand; then the later write is found by it.
        if self.topics_by_id.get(&topic.id).is_some_and(|found| found.name == topic.name) {
            self.topics_by_id.remove(&topic.id);
        }
        let key = topic::normalized(&topic.name);
        if let Some(names) = self.collisions.get(key.as_ref()) {
            let left: Arc<[Arc<str>]> = names.iter().filter(|name| **name != topic.name).cloned().collect();
            if left.is_empty() {
                self.collisions.remove(key.as_ref());
            } else {
                self.collisions.insert(Arc::from(key), left);
            }
        }
    }
}

/// Nodes that stand for themselves.
struct Singles {
    cluster_id: bool,
    controller: bool,
    controller_epoch: bool,
    feature: bool,
    producer_ids: bool,
}

impl Singles {
    const NONE: Self = Self {
        cluster_id: false,
        controller: false,
        controller_epoch: false,
        feature: false,
        producer_ids: false,
    };
    const ALL: Self = Self {
        cluster_id: true,
        controller: true,
        controller_epoch: true,
        feature: true,
        producer_ids: true,
    };
}

/// What a batch of changes requires to be read again, each once.
struct Touched<'a> {
    singles: Singles,
    brokers: BTreeSet<BrokerId>,
    /// The partitions whose state changed; `None`: the topic as a whole.
    topics: BTreeMap<&'a str, Option<BTreeSet<i32>>>,
    configs: BTreeSet<(ConfigKind, String)>,
    quotas: BTreeSet<QuotaEntity>,
    client_folders: BTreeSet<String>,
}

impl<'a> Touched<'a> {
    fn by(changes: &'a [Change]) -> Self {
        let mut touched = Self {
            singles: Singles::NONE,
            brokers: BTreeSet::new(),
            topics: BTreeMap::new(),
            configs: BTreeSet::new(),
            quotas: BTreeSet::new(),
            client_folders: BTreeSet::new(),
        };
        for change in changes {
            let (Change::Created(path, _) | Change::Deleted(path, _) | Change::DataChanged(path, _)) = change
            else {
                continue;
            };
            match paths::place(path) {
                Place::ClusterId => touched.singles.cluster_id = true,
                Place::Controller => touched.singles.controller = true,
                Place::ControllerEpoch => touched.singles.controller_epoch = true,
                Place::Feature => touched.singles.feature = true,
                Place::ProducerIds => touched.singles.producer_ids = true,
                Place::Broker(id) => _ = touched.brokers.insert(id),
                Place::Topic(name) => _ = touched.topics.insert(name, None),
                Place::Partition(name, index) => {
                    if let Some(indexes) = touched.topics.entry(name).or_insert_with(|| Some(BTreeSet::new()))
                    {
                        indexes.insert(index);
                    }
                }
                Place::Config(kind, name) => _ = touched.configs.insert((kind, name.into_owned())),
                Place::Quotas(entity) => _ = touched.quotas.insert(entity),
                Place::ClientsOf(user) => _ = touched.client_folders.insert(user.into_owned()),
                Place::Elsewhere => {}
            }
        }
        touched
    }

    fn delta(&self) -> Delta {
        Delta {
            topics: self.topics.keys().map(|name| Arc::from(*name)).collect(),
            configs: self
                .configs
                .iter()
                .map(|(kind, name)| ConfigResource::new(*kind, name.as_str()))
                .collect(),
            brokers: self.brokers.clone(),
            features: self.singles.feature,
            quotas: false,
        }
    }
}

fn read_partition(tree: &Tree, topic: &str, index: i32, node: &TopicNode) -> PartitionImage {
    let ids = |map: &BTreeMap<i32, Vec<i32>>| map.get(&index).map_or_else(Vec::new, |ids| brokers(ids));
    let mut partition = PartitionImage {
        index: PartitionIndex(index),
        leader: None,
        leader_epoch: LeaderEpoch::NONE,
        partition_epoch: -1,
        replicas: ids(&node.partitions),
        isr: Vec::new(),
        adding: ids(&node.adding_replicas),
        removing: ids(&node.removing_replicas),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        recovering: false,
        directories: Vec::new(),
    };
    set_state(&mut partition, tree, topic);
    partition
}

fn set_state(partition: &mut PartitionImage, tree: &Tree, topic: &str) {
    let read: Option<(StateNode, Stat)> = json(tree, &paths::partition_state(topic, partition.index.0));
    let (state, partition_epoch) = match read {
        Some((state, stat)) => (state, stat.version),
        None => (StateNode::absent(), -1),
    };
    partition.leader = (state.leader >= 0).then_some(BrokerId(state.leader));
    partition.leader_epoch = LeaderEpoch(state.leader_epoch);
    partition.partition_epoch = partition_epoch;
    partition.isr = brokers(&state.isr);
    partition.elr = brokers(&state.elr);
    partition.last_known_elr = brokers(&state.last_known_elr);
    partition.recovering = state.leader_recovery_state != 0;
    partition.directories = state.directories();
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn config_node(tree: &Tree, path: &str) -> Option<Arc<ConfigNode>> {
    let (node, stat): (ConfigNodeJson, Stat) = json(tree, path)?;
    Some(Arc::new(ConfigNode { version: stat.version, entries: node.config }))
}

fn json<T: DeserializeOwned>(tree: &Tree, path: &str) -> Option<(T, Stat)> {
    let (data, stat) = tree.get(path)?;
    match serde_json::from_slice(data) {
        Ok(node) => Some((node, stat)),
        Err(error) => {
            warn!(path, %error, "unreadable node in the tree counts as absent");
            None
        }
    }
}

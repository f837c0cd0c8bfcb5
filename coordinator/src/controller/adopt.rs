//! Topics, configs and producer ids that a new cluster takes over from an older one's directories.
//!
//! Must never touch what is in the tree already but to raise an epoch or an id, so that it can be repeated: after a
//! crash, and when the older cluster ran again in between.

use std::collections::BTreeSet;

use milena_storage::ids::BrokerId;
use uuid::Uuid;

use crate::image::nodes::{ConfigNodeJson, ProducerIdsNode, StateNode, TopicNode, to_json, topic_id_text};
use crate::image::{ConfigKind, Configs, MetadataImage, QuotaEntity, paths};
use crate::tree::{ANY_VERSION, Op};

use super::PRODUCER_ID_BLOCK;

/// What is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The broker that has the records.
    pub node: BrokerId,
    pub topics: Vec<AdoptedTopic>,
    pub configs: Vec<(ConfigKind, String, Configs)>,
    /// Those of users are among the configs.
    pub quotas: Vec<(QuotaEntity, Configs)>,
    /// No producer id from here on was given out.
    pub next_producer_id: i64,
    /// Tells the older cluster's state from its later ones; written last.
    pub mark: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedTopic {
    pub name: String,
    pub id: Uuid,
    /// By partition number, from 0.
    pub partitions: Vec<AdoptedPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedPartition {
    pub replicas: Vec<BrokerId>,
    /// The last one that the older cluster used; the first leader here takes the next.
    pub leader_epoch: i32,
    /// The adopting broker has the records; else nobody has.
    pub in_sync_here: bool,
}

/// The operations, in groups that are proposed one after the other: a topic is there whole or not at all. They come
/// before the cluster's first nodes, which say that the cluster is complete.
pub fn adopt(image: &MetadataImage, exists: impl Fn(&str) -> bool, adopted: Adopted) -> Vec<Vec<Op>> {
    let folders =
        paths::FOLDERS.iter().filter(|folder| !exists(folder)).map(|folder| Op::create(*folder, ""));
    let mut groups = vec![folders.collect::<Vec<_>>()];
    for topic in &adopted.topics {
        if exists(&paths::topic(&topic.name)) {
            groups.push(raise_epochs(image, topic));
        } else {
            groups.push(topic_ops(adopted.node, topic));
        }
    }
    let mut made = BTreeSet::new();
    for (kind, name, configs) in adopted.configs {
        let path = paths::config(kind, &name);
        if !exists(&path) {
            made.insert(path.clone());
            groups.push(vec![Op::create(path, to_json(&ConfigNodeJson::new(configs)))]);
        }
    }
    groups.extend(quota_ops(&exists, made, adopted.quotas));
    if adopted.next_producer_id > image.next_producer_id {
        let start = (adopted.next_producer_id - PRODUCER_ID_BLOCK).max(0);
        let node = ProducerIdsNode::new(adopted.node, start, adopted.next_producer_id - start);
        groups.push(vec![put(paths::PRODUCER_IDS, to_json(&node), exists(paths::PRODUCER_IDS))]);
    }
    groups.push(vec![put(paths::ADOPTED, adopted.mark.into_bytes(), exists(paths::ADOPTED))]);
    groups.retain(|group| !group.is_empty());
    groups
}

/// A client that has quotas as a user needs the user's node and a folder in it, which may be there for another's sake.
fn quota_ops(
    exists: impl Fn(&str) -> bool,
    mut made: BTreeSet<String>,
    quotas: Vec<(QuotaEntity, Configs)>,
) -> Vec<Vec<Op>> {
    let mut groups = Vec::new();
    for (entity, configs) in quotas {
        let mut ops = Vec::new();
        let mut make = |path: String, data: Vec<u8>| {
            if !exists(&path) && made.insert(path.clone()) {
                ops.push(Op::create(path, data));
            }
        };
        if let QuotaEntity::UserClient(user, _) = &entity {
            let nothing = to_json(&ConfigNodeJson::new(Configs::new()));
            make(paths::config(ConfigKind::User, user), nothing);
            make(paths::clients_of(user), Vec::new());
        }
        make(paths::quotas(&entity), to_json(&ConfigNodeJson::new(configs)));
        groups.push(ops);
    }
    groups
}

fn put(path: &str, data: Vec<u8>, exists: bool) -> Op {
    if exists { Op::set(path, data, ANY_VERSION) } else { Op::create(path, data) }
}

/// The older cluster may have led partitions since; its epochs are in their logs, so the next one here must be larger.
fn raise_epochs(image: &MetadataImage, topic: &AdoptedTopic) -> Vec<Op> {
    let Some(known) = image.topic(&topic.name).filter(|known| known.id == topic.id) else {
        return Vec::new();
    };
    let mut ops = Vec::new();
    for (known, theirs) in known.partitions.iter().zip(&topic.partitions) {
        if theirs.in_sync_here && theirs.leader_epoch > known.leader_epoch.0 {
            let state = StateNode::new(BrokerId(-1), theirs.leader_epoch, image.controller_epoch, &known.isr);
            let path = paths::partition_state(&topic.name, known.index.0);
            ops.push(Op::set(path, to_json(&state), ANY_VERSION));
        }
    }
    ops
}

fn topic_ops(node: BrokerId, topic: &AdoptedTopic) -> Vec<Op> {
    let ids = |partition: &AdoptedPartition| partition.replicas.iter().map(|id| id.0).collect();
    let json = TopicNode {
        version: 3,
        partitions: (0..).zip(&topic.partitions).map(|(index, partition)| (index, ids(partition))).collect(),
        topic_id: topic_id_text(topic.id),
        ..TopicNode::default()
    };
    let mut ops = vec![
        Op::create(paths::topic(&topic.name), to_json(&json)),
        Op::create(paths::partitions(&topic.name), ""),
    ];
    for (index, partition) in (0..).zip(&topic.partitions) {
        let isr = if partition.in_sync_here { vec![node] } else { partition.replicas.clone() };
        // Without a leader, so that the broker takes it up with the next epoch when it registers.
        let state = StateNode::new(BrokerId(-1), partition.leader_epoch, 0, &isr);
        ops.push(Op::create(paths::partition(&topic.name, index), ""));
        ops.push(Op::create(paths::partition_state(&topic.name, index), to_json(&state)));
    }
    ops
}

#[cfg(test)]
mod tests {
    use milena_storage::ids::{LeaderEpoch, PartitionIndex};

    use super::super::testing::Stage;
    use super::super::{allocate_producer_ids, take_up_leadership};
    use super::*;

    fn rate() -> Configs {
        [("producer_byte_rate".to_owned(), "5".to_owned())].into()
    }

    fn adopted() -> Adopted {
        let here = AdoptedPartition { replicas: vec![BrokerId(1)], leader_epoch: 6, in_sync_here: true };
        let away = AdoptedPartition { replicas: vec![BrokerId(9)], leader_epoch: 2, in_sync_here: false };
        let topic = AdoptedTopic { name: "t".into(), id: Uuid::from_u128(77), partitions: vec![here, away] };
        let configs = Configs::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        Adopted {
            node: BrokerId(1),
            topics: vec![topic],
            configs: vec![(ConfigKind::Topic, "t".into(), configs), (ConfigKind::User, "u".into(), rate())],
            quotas: ["u", "v"].map(|user| (QuotaEntity::UserClient(user.into(), "c".into()), rate())).into(),
            next_producer_id: 4000,
            mark: "a".into(),
        }
    }

    #[test]
    fn what_is_taken_over_is_led_from_the_next_epoch_on() {
        let mut stage = Stage::with_brokers(&[1]);
        for groups_left in [7, 1] {
            let groups = adopt(&stage.image, |path| stage.tree.stat(path).is_some(), adopted());
            assert_eq!(groups.len(), groups_left, "the second time, only the mark is written");
            groups.into_iter().for_each(|group| stage.commit(group));
        }
        stage.commit(take_up_leadership(&stage.image, BrokerId(1), true));
        let topic = stage.image.topic("t").unwrap();
        assert_eq!(topic.id, Uuid::from_u128(77));
        let led = topic.partition(PartitionIndex(0)).unwrap();
        assert_eq!((led.leader, led.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(7)));
        let away = topic.partition(PartitionIndex(1)).unwrap();
        assert_eq!((away.leader, away.leader_epoch), (None, LeaderEpoch(2)));
        assert_eq!(stage.image.topic_config("t").unwrap()["cleanup.policy"], "compact");
        assert_eq!(stage.image.quotas().unwrap().entities().count(), 3);
        let mut later = adopted();
        later.topics[0].partitions[0].leader_epoch = 11;
        let groups = adopt(&stage.image, |path| stage.tree.stat(path).is_some(), later);
        groups.into_iter().for_each(|group| stage.commit(group));
        stage.commit(take_up_leadership(&stage.image, BrokerId(1), true));
        let led = stage.image.partition("t", PartitionIndex(0)).unwrap();
        assert_eq!((led.leader, led.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(12)));
        let (_, first) = allocate_producer_ids(&stage.image, BrokerId(1)).unwrap();
        assert_eq!(first.0, 4000);
    }
}

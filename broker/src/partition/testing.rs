//! Partitions on a simulated disk, and the states that an image would tell them.
//!
//! Must never be compiled into the broker.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use milena_coordinator::image::{BrokerImage, MetadataImage, PartitionImage, paths};
use milena_coordinator::tree::{Command, Op, Tree};
use milena_storage::fs::SimFs;
use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicPartition};
use milena_storage::log::{Log, LogConfig, OpenHow};
use uuid::Uuid;

use super::disk::uuid_text;
use super::health::{DirHealth, Failures};
use super::peers::Peers;
use super::{Partition, Place, TopicRules};
use crate::clock::Clock;

/// The state of a partition: its leader, the leader epoch, the node's version, the in-sync set and all replicas.
pub(crate) fn state(leader: i32, epoch: i32, version: i32, isr: &[i32], replicas: &[i32]) -> PartitionImage {
    let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect::<Vec<_>>();
    PartitionImage {
        index: PartitionIndex(0),
        leader: (leader >= 0).then_some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: version,
        replicas: ids(replicas),
        isr: ids(isr),
        adding: Vec::new(),
        removing: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        recovering: false,
        directories: Vec::new(),
    }
}

/// An image with one topic, of one replica on broker 1.
pub(crate) fn image_of(topic: &str, id: Uuid) -> MetadataImage {
    let mut tree = Tree::new();
    let created = |path: &str, data: String| Op::create(path, data);
    let topic_node = format!(r#"{{"version":3,"partitions":{{"0":[1]}},"topic_id":"{}"}}"#, uuid_text(id));
    let state = r#"{"version":1,"leader":1,"leader_epoch":1,"controller_epoch":1,"isr":[1]}"#;
    let mut ops: Vec<_> = paths::FOLDERS.iter().map(|path| created(path, String::new())).collect();
    ops.extend([
        created(&paths::topic(topic), topic_node),
        created(&paths::partitions(topic), String::new()),
        created(&paths::partition(topic, 0), String::new()),
        created(&paths::partition_state(topic, 0), state.to_owned()),
    ]);
    tree.apply(tree.zxid().next(1), &Command::multi(Timestamp(0), ops));
    MetadataImage::from_tree(&tree)
}

/// Peers of broker `local`, where brokers 1, 2 and 3 live, in epochs of ten times their ids.
pub(crate) fn peers(local: i32) -> Arc<Peers> {
    Peers::new(BrokerId(local), Arc::new(ArcSwap::from_pointee(brokers())))
}

/// Brokers 1, 2 and 3, in epochs of ten times their ids.
fn brokers() -> MetadataImage {
    let mut image = MetadataImage::default();
    for id in 1..=3 {
        let broker = BrokerImage {
            id: BrokerId(id),
            epoch: i64::from(id) * 10,
            endpoints: Vec::new(),
            rack: None,
            fenced: false,
            suspect: false,
            directory: None,
            log_dirs: Vec::new(),
            cordoned: false,
            features: Default::default(),
        };
        image.brokers.insert(BrokerId(id), broker.into());
    }
    image
}

/// A place without anybody to wake.
pub(crate) fn place(local: i32) -> Place {
    Place {
        dir: 0,
        health: DirHealth::new(Path::new("/d"), Failures::default()),
        cleaner_wake: Arc::default(),
        roll_wake: Arc::default(),
        peers: peers(local),
    }
}

/// An empty replica of `t-0` on broker `local`.
pub(crate) fn replica(local: i32, min_insync_replicas: usize) -> Partition {
    replica_at(place(local), min_insync_replicas)
}

/// As [`replica`], where followers are judged by a clock.
pub(crate) fn timed_replica(local: i32, min_insync_replicas: usize, clock: Arc<Clock>) -> Partition {
    let image = Arc::new(ArcSwap::from_pointee(brokers()));
    let peers = Peers::timed(BrokerId(local), image, clock);
    replica_at(Place { peers, ..place(local) }, min_insync_replicas)
}

fn replica_at(place: Place, min_insync_replicas: usize) -> Partition {
    let config = LogConfig::default();
    let rules = TopicRules { validation: config.rules(), min_insync_replicas, only_compacted: false };
    let opened =
        Log::open(Arc::new(SimFs::new()), Path::new("/d/t-0"), config, OpenHow::default(), Timestamp(0));
    let (log, _) = opened.expect("the disk is empty");
    Partition::new(TopicPartition::new("t", 0), Uuid::from_u128(1), place, log, Offset(0), Arc::new(rules))
}
